//! Silence in place of what a client does not send in mid-sentence (contracts A7, S6).

use super::*;
use crate::event::EndReason;

#[test]
fn a7_a_microphone_muted_in_mid_sentence_falls_silent_for_the_provider() {
    let mut call = Scripted::new();
    call.user_starts("u1").client(ClientEvent::Mute(true));
    call.client(ClientEvent::Audio(sound(ms(20))));
    assert_eq!(
        call.to_provider(),
        [ProviderCommand::Audio(vec![0; 960].into())]
    );
    call.user_stops("u1")
        .client(ClientEvent::Audio(sound(ms(20))));
    assert_eq!(call.to_provider().len(), 1, "and then for everybody");
}

impl Scripted {
    /// 20 ms from the microphone.
    fn frame(&mut self) -> &mut Self {
        self.client(ClientEvent::Audio(sound(ms(20))))
    }

    /// When the provider was sent silence, since the last call of this.
    fn silences(&mut self) -> Vec<Moment> {
        let new = self.log[self.taken..].iter();
        let silence = ProviderCommand::Audio(vec![0; 960].into());
        let silences = new
            .filter(|(_, action)| *action == Action::ToProvider(silence.clone()))
            .map(|(at, _)| *at)
            .collect();
        self.taken = self.log.len();
        silences
    }
}

/// Every 20 ms of this time.
fn every_frame(from: u64, to: u64) -> Vec<Moment> {
    (from..to).step_by(20).map(ms).collect()
}

#[test]
fn a7_a_client_that_mutes_and_sends_nothing_falls_silent_at_once_until_the_sentence_ends() {
    let mut call = Scripted::new();
    call.frame().user_starts("u1");
    call.pass(ms(10)).client(ClientEvent::Mute(true));
    call.pass(ms(490));
    assert_eq!(call.silences(), every_frame(20, 501), "as if frames came");
    call.user_stops("u1").pass(ms(5_000));
    assert_eq!(call.silences(), []);

    let mut call = Scripted::new();
    call.user_starts("u1").pass(ms(600));
    call.feed(Input::Permissions(Permissions {
        microphone: false,
        voice: true,
    }));
    call.pass(ms(100));
    assert_eq!(call.silences(), every_frame(600, 701), "so long muted");
}

#[test]
fn a7_a_client_that_stops_sending_in_mid_sentence_is_silent_after_three_seconds() {
    let mut call = Scripted::new();
    call.frame().user_starts("u1").pass(ms(3_500));
    assert_eq!(call.silences(), every_frame(3_020, 3_501));
    // It is back, and is waited for anew when it goes.
    call.frame().pass(ms(3_019));
    assert_eq!(call.silences(), []);
    call.pass(ms(101));
    assert_eq!(call.silences(), every_frame(6_520, 6_621));
    call.user_stops("u1").pass(ms(5_000));
    assert_eq!(call.silences(), []);

    let mut nobody = Scripted::new();
    nobody.frame().pass(ms(5_000));
    assert_eq!(nobody.silences(), [], "no sentence, no silence");
    let mut manual = Scripted::new();
    manual.command(Command::ActivityStart).pass(ms(5_000));
    assert_eq!(manual.silences(), [], "the host says when it ends");
    let mut finds = capabilities();
    finds.manual_turns = false;
    let mut automatic = Scripted::with(settings(), finds);
    automatic
        .command(Command::ActivityStart)
        .user_starts("u1")
        .pass(ms(5_000));
    assert_ne!(automatic.silences(), [], "the vendor finds the end");
}

#[test]
fn a7_frames_of_a_muted_client_that_come_as_they_like_make_no_more_silence_than_time() {
    let mut call = Scripted::new();
    call.user_starts("u1").client(ClientEvent::Mute(true));
    for late in [0, 7, 3, 19, 1, 12].repeat(20) {
        call.pass(ms(late)).frame().pass(ms(20 - late));
    }
    let silences = call.silences();
    let (least, most) = (120, 122);
    assert!((least..=most).contains(&silences.len()), "{silences:?}");
}

#[test]
fn s6_a7_silence_of_a_muted_client_counts_once_whoever_makes_it() {
    let mut call = Scripted::new();
    call.user_starts("u1").client(ClientEvent::Mute(true));
    let filling = ClientEvent::Filling(vec![0; 960].into());
    let mut passes = |frames: usize| {
        for late in [0, 7, 3, 19, 1, 12].into_iter().cycle().take(frames) {
            call.pass(ms(late))
                .client(filling.clone())
                .pass(ms(20 - late));
        }
        call.call.user_speaks()
    };
    assert!(passes(495), "less than ten seconds");
    assert!(!passes(10));
}

#[test]
fn s6_a7_silence_that_the_transport_made_is_not_made_once_more() {
    let mut limited = settings();
    limited.idle_timeout = Some(ms(5_000));
    let mut call = Scripted::with(limited, capabilities());
    call.frame().user_starts("u1");
    let filling = ClientEvent::Filling(vec![0; 960].into());
    for _ in 0..500 {
        call.pass(ms(20)).client(filling.clone());
    }
    assert_eq!(call.silences().len(), 500, "ten seconds of it");
    call.pass(ms(30_000));
    assert_eq!(call.silences(), [], "that was all");
    let (ended, last) = call.log.last().unwrap();
    assert_eq!(*last, Action::End(EndReason::IdleTimeout));
    assert_eq!(*ended, ms(15_000), "idle since then");
}

#[test]
fn s6_a_provider_that_sees_no_sentence_end_in_ten_seconds_does_not_keep_the_call() {
    let mut limited = settings();
    limited.idle_timeout = Some(ms(5_000));
    let mut call = Scripted::with(limited, capabilities());
    call.frame().user_starts("u1").pass(ms(60_000));
    assert_eq!(call.silences(), every_frame(3_020, 13_020), "and no more");
    let (ended, last) = call.log.last().unwrap();
    assert_eq!(*last, Action::End(EndReason::IdleTimeout));
    assert_eq!(*ended, ms(18_000));

    let mut limited = settings();
    limited.idle_timeout = Some(ms(5_000));
    let mut back = Scripted::with(limited, capabilities());
    back.frame().user_starts("u1").pass(ms(14_000));
    assert!(back.call.idle);
    back.frame();
    assert!(!back.call.idle, "the client is back");
}

#[test]
fn s6_a8_who_is_gone_in_mid_sentence_keeps_nobody_from_answering() {
    let mut call = Scripted::new();
    call.frame().user_starts("u1").pass(ms(5_000));
    call.text("are you there?", false).pass(ms(5_000));
    assert_eq!(call.asked(), 0, "the sentence may yet end");
    call.pass(ms(5_000));
    assert_eq!(call.asked(), 1);
}
