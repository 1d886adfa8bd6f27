//! What a frame of audio costs the machine: nothing but its way through.

use super::*;

/// Frames of 20 ms until every buffer is as large as it gets; more than two signs of life apart.
const WARM_UP: usize = 300;
const FRAMES: usize = 500;

/// A frame goes each way and what the machine wants is done, with nothing allocated for it here.
fn step(call: &mut Call, now: Moment, user: Input, ai: Input) {
    call.handle(now, user);
    let mut pinged = drain(call);
    call.handle(now, ai);
    pinged |= drain(call);
    call.handle(now, Input::Tick);
    pinged |= drain(call);
    if pinged {
        call.handle(now, Input::Provider(ProviderEvent::Pong));
        drain(call);
    }
    call.next_wake(now);
}

/// True: the provider was sent a ping.
fn drain(call: &mut Call) -> bool {
    let mut pinged = false;
    while let Some(action) = call.poll() {
        pinged |= action == Action::ToProvider(ProviderCommand::Ping);
    }
    pinged
}

#[test]
fn a_frame_of_audio_needs_no_allocation() {
    let mut capabilities = capabilities();
    capabilities.pings = true;
    let mut scripted = Scripted::with(settings(), capabilities);
    scripted.response("r1");
    let frames = (0..FRAMES).map(|number| {
        let ai = ProviderEvent::Audio {
            response_id: Some("r1".into()),
            item_id: Some("item".into()),
            content_index: 0,
            pcm: sound(ms(20)),
        };
        (
            ms(20) * number as u32,
            Input::Client(ClientEvent::Audio(sound(ms(20)))),
            Input::Provider(ai),
        )
    });
    let mut frames: Vec<_> = frames.collect();
    let measured = frames.split_off(WARM_UP);
    let mut call = scripted.call;
    for (now, user, ai) in frames {
        step(&mut call, now, user, ai);
    }
    let allocations = allocation_counter::measure(|| {
        for (now, user, ai) in measured {
            step(&mut call, now, user, ai);
        }
    });
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
}
