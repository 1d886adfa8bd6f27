//! Random conversations: whatever comes in whatever order, the promises hold.

use proptest::prelude::*;

use super::*;
use crate::{
    provider::ProviderErrorKind,
    recording::{Consent, RecordingTerms, Side},
};

fn step() -> impl Strategy<Value = Step> {
    let id = 0..6_u8;
    prop_oneof![
        4 => (0..900_u64).prop_map(|time| Step::Pass(ms(time))),
        3 => (any::<bool>(), id.clone()).prop_map(|(on, id)| Step::Speech(on, id)),
        3 => id.clone().prop_map(Step::Response),
        5 => (id.clone(), id.clone(), 1..700_u64).prop_map(|(r, i, time)| Step::Voice(r, i, ms(time))),
        5 => (any::<bool>(), id.clone(), any::<bool>()).prop_map(|(u, i, f)| Step::Words(u, i, f)),
        3 => (id.clone(), any::<bool>()).prop_map(|(id, ok)| Step::EndResponse(id, status(ok))),
        2 => id.clone().prop_map(|id| Step::Call(id, 0)),
        3 => Just(Step::Cleared),
        2 => id.clone().prop_map(Step::Answer),
        1 => id.prop_map(Step::CancelCall),
        1 => any::<bool>().prop_map(Step::Text),
        1 => Just(Step::Refused),
        2 => Just(Step::Microphone(ms(20))),
        1 => Just(Step::Interrupt),
        1 => any::<bool>().prop_map(Step::Mute),
        1 => (0..5000_u64).prop_map(|played| Step::Playback(ms(played))),
        1 => any::<bool>().prop_map(Step::Record),
        1 => Just(Step::Hiccup(ProviderErrorKind::Server)),
    ]
}

fn status(is_completed: bool) -> ResponseStatus {
    if is_completed {
        ResponseStatus::Completed
    } else {
        ResponseStatus::Cancelled
    }
}

/// What came of it, and when.
fn told(steps: &[Step], settings: CallSettings, goes_the_long_way: bool) -> Vec<(Moment, Action)> {
    let mut capabilities = capabilities();
    capabilities.pings = true;
    let mut world = World::new(settings, capabilities, true, None);
    world.call.call.calm.is_off = goes_the_long_way;
    world.run(&Step::Dialled(Ok(None)));
    for step in steps {
        world.run(step);
    }
    world.call.log
}

#[test]
fn a7_silence_is_due_at_the_same_time_on_both_ways() {
    let steps = [
        Step::Speech(true, 0),
        Step::Microphone(ms(20)),
        Step::Pass(ms(3_000)),
        Step::Microphone(ms(100)),
        Step::Pass(ms(10)),
        // What is shorter ends before it.
        Step::Microphone(ms(20)),
        Step::Pass(ms(3_500)),
        Step::Mute(true),
        Step::Microphone(ms(20)),
        Step::Pass(ms(100)),
        Step::Mute(false),
        Step::Pass(ms(3_000)),
    ];
    let told = |goes_the_long_way| told(&steps, settings(), goes_the_long_way);
    assert_eq!(told(false), told(true));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(
        steps in prop::collection::vec(step(), 1..80),
        has_jitter_buffer: bool,
    ) {
        let mut settings = settings();
        if has_jitter_buffer {
            settings.lead = ms(20);
            settings.jitter_buffer = ms(60);
        }
        settings.recording = Some(RecordingTerms {
            consent: Consent::Given,
            client_decides: false,
        });
        let jitter_buffer = settings.jitter_buffer;
        let mut world = World::new(settings, capabilities(), true, None);
        world.run(&Step::Dialled(Ok(None)));
        for step in &steps {
            world.run(step);
        }
        world.end();
        let broken = &world.promises.broken;
        prop_assert!(broken.is_empty(), "{broken:#?}");

        // V3: of the AI that much is recorded as was heard, by the clock; or less, where the client
        // says so or recording was off.
        let mut is_less = false;
        for step in &steps {
            is_less |= matches!(step, Step::Playback(_) | Step::Record(_));
        }
        let (mut sent, mut recorded, mut play_end) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for (at, action) in &world.call.log {
            match action {
                Action::ToClient(ClientCommand::Audio(audio)) => {
                    let length = pcm::duration_of(audio.len(), RATE);
                    let goes_on = sent > Duration::ZERO && *at <= play_end + jitter_buffer;
                    play_end = if goes_on { play_end } else { play_end.max(*at) } + length;
                    sent += length;
                }
                Action::Record(sound) if sound.side == Side::Ai => {
                    let length = pcm::duration_of(sound.pcm.len(), RATE);
                    prop_assert!(sound.begins + length <= *at, "recorded before it was heard");
                    recorded += length;
                }
                Action::ToClient(ClientCommand::Clear) | Action::End(_) => {
                    let heard = sent.saturating_sub(play_end.saturating_sub(*at));
                    prop_assert!(recorded <= heard, "{recorded:?} of {heard:?}");
                    prop_assert!(is_less || recorded + ms(1) >= heard, "{recorded:?} of {heard:?}");
                    (sent, recorded, play_end) = (Duration::ZERO, Duration::ZERO, *at);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn audio_takes_the_short_way_only_where_it_changes_nothing(
        steps in prop::collection::vec(step(), 1..80),
        has_jitter_buffer: bool,
        is_recorded: bool,
        ends in prop::option::of((any::<prop::sample::Index>(), 0..20_000_u64)),
    ) {
        let mut steps = steps;
        if let Some((at, limit)) = ends {
            steps.insert(at.index(steps.len()), Step::EndWhenOver(ms(limit)));
        }
        let settings = || {
            let mut settings = settings();
            settings.idle_timeout = Some(ms(3000));
            settings.max_duration = Some(ms(20_000));
            if has_jitter_buffer {
                settings.lead = ms(20);
                settings.jitter_buffer = ms(60);
            }
            settings.recording = is_recorded.then_some(RecordingTerms {
                consent: Consent::Given,
                client_decides: false,
            });
            settings
        };
        let (short, long) = (told(&steps, settings(), false), told(&steps, settings(), true));
        prop_assert_eq!(short, long);
    }
}
