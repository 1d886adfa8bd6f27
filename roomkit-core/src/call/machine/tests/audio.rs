//! Audio and barge-in (contracts A and S4).

use super::*;
use crate::{client_protocol::ServerMessage, event::EndReason, transport::DropReason};

#[test]
fn a3_barge_in_clears_before_everything_else() {
    let mut call = Scripted::new();
    call.answer("r1", "one two three four five", ms(5000))
        .pass(ms(1000));
    call.take();
    call.user_starts("u1");
    let actions = call.take();
    let Action::ToClient(ClientCommand::Clear) = &actions[0] else {
        panic!("{actions:?}")
    };
    let Action::ToProvider(ProviderCommand::Truncate { item_id, heard, .. }) = &actions[1] else {
        panic!("{actions:?}")
    };
    assert_eq!((item_id.as_str(), *heard), ("r1-item", ms(1000)));
    assert!(
        matches!(&actions[2], Action::Publish(_)),
        "only then everybody else: {actions:?}"
    );
    let before = call.heard();
    call.pass(ms(5000));
    assert_eq!(
        call.heard(),
        before,
        "nothing of the interrupted answer follows"
    );
}

#[test]
fn a3_late_audio_of_an_interrupted_response_is_dropped() {
    let mut call = Scripted::new();
    call.response("r1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(100))
        .user_starts("u1");
    let before = call.heard();
    call.voice("r1", "a1", ms(1000)).pass(ms(2000));
    assert_eq!(call.heard(), before, "while the user speaks");
    call.user_stops("u1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(2000));
    assert_eq!(call.heard(), before, "after the user spoke");
    call.response_ends("r1", ResponseStatus::Cancelled)
        .voice("r1", "a1", ms(1000))
        .pass(ms(2000));
    assert_eq!(call.heard(), before, "after it ended");
    call.response("r2")
        .voice("r2", "a2", ms(300))
        .pass(ms(2000));
    assert_eq!(call.heard(), before + ms(300), "the next response is heard");
}

#[test]
fn a3_the_gate_opens_at_the_next_response_even_while_the_user_speaks() {
    let mut call = Scripted::new();
    call.user_starts("u1")
        .response("r1")
        .voice("r1", "a1", ms(100))
        .pass(ms(500));
    assert_eq!(call.heard(), ms(100));
}

#[test]
fn a3_a_provider_that_does_not_stop_by_itself_is_told_to() {
    let mut slow = capabilities();
    slow.interrupts_itself = false;
    let mut call = Scripted::with(settings(), slow);
    call.response("r1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(100))
        .user_starts("u1");
    assert!(
        call.to_provider()
            .contains(&ProviderCommand::CancelResponse)
    );

    let mut call = Scripted::new();
    call.response("r1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(100))
        .user_starts("u1");
    assert!(
        !call
            .to_provider()
            .contains(&ProviderCommand::CancelResponse)
    );
}

#[test]
fn a3_the_client_can_interrupt_too() {
    let mut call = Scripted::new();
    call.response("r1")
        .voice("r1", "a1", ms(1000))
        .pass(ms(100))
        .client(ClientEvent::Interrupt);
    assert!(call.to_client().contains(&ClientCommand::Clear));
    let told = call.to_provider();
    assert!(
        matches!(
            told[..],
            [
                ProviderCommand::CancelResponse,
                ProviderCommand::Truncate { .. }
            ]
        ),
        "the vendor adds nothing to what is cut: {told:?}"
    );
    call.response_ends("r1", ResponseStatus::Cancelled);
    assert_eq!(
        call.phases(),
        [ResponsePhase::Started, ResponsePhase::Interrupted]
    );
}

#[test]
fn a3_where_interruptions_are_off_the_answer_goes_on() {
    let mut polite = settings();
    polite.interruptions = false;
    let mut call = Scripted::with(polite, capabilities());
    call.answer("r1", "hello", ms(1000))
        .pass(ms(300))
        .user_starts("u1")
        .pass(ms(2000));
    assert_eq!(call.heard(), ms(1000));
    assert!(!call.to_client().contains(&ClientCommand::Clear));
    let is_audio = |command: &ProviderCommand| matches!(command, ProviderCommand::Audio(_));
    assert!(call.to_provider().iter().all(is_audio));

    call.user_stops("u1")
        .response("r2")
        .voice("r2", "a2", ms(1000))
        .pass(ms(300))
        .command(Command::Interrupt);
    assert!(call.to_client().contains(&ClientCommand::Clear));
    let told = call.to_provider();
    assert!(told.contains(&ProviderCommand::CancelResponse), "{told:?}");
}

#[test]
fn a4_a_truncation_is_never_longer_than_what_came() {
    let mut call = Scripted::new();
    // A gap: the provider is slower than real time, and the clock overshoots what there is.
    call.response("r1")
        .voice("r1", "a1", ms(100))
        .pass(ms(90))
        .voice("r1", "a1", ms(40));
    call.pass(ms(60)).user_starts("u1");
    assert!(
        !call
            .to_provider()
            .iter()
            .any(|c| matches!(c, ProviderCommand::Truncate { .. }))
    );
}

#[test]
fn a4_an_answer_still_audible_after_its_end_is_truncated_once() {
    let mut call = Scripted::new();
    call.answer("r1", "words", ms(3000))
        .pass(ms(700))
        .user_starts("u1")
        .user_stops("u1");
    call.user_starts("u2").user_stops("u2");
    let cuts: Vec<_> = call
        .to_provider()
        .into_iter()
        .filter(|command| matches!(command, ProviderCommand::Truncate { .. }))
        .collect();
    assert_eq!(cuts.len(), 1, "{cuts:?}");
}

#[test]
fn a4_the_clients_own_word_counts() {
    let mut call = Scripted::new();
    call.answer("r1", "words", ms(3000)).pass(ms(1000));
    call.client(ClientEvent::Playback(ms(640)))
        .user_starts("u1");
    let heard = call
        .to_provider()
        .into_iter()
        .find_map(|command| match command {
            ProviderCommand::Truncate { heard, .. } => Some(heard),
            _ => None,
        });
    assert_eq!(heard, Some(ms(640)));
}

#[test]
fn a5_control_does_not_overtake_audio() {
    let mut call = Scripted::new();
    call.answer("r1", "hello", ms(1000)).pass(ms(3000));
    let commands = call.to_client();
    assert_eq!(commands.last(), Some(&ClientCommand::EndOfResponse));
    assert_eq!(call.heard(), ms(1000));
}

#[test]
fn a5_a_backlog_beyond_the_bound_is_dropped_and_counted() {
    let mut short = settings();
    short.backlog = ms(1000);
    let mut call = Scripted::with(short, capabilities());
    call.response("r1");
    for _ in 0..20 {
        call.voice("r1", "a1", ms(100));
    }
    let dropped = call
        .take()
        .into_iter()
        .filter(|a| *a == Action::Dropped("playout_full"))
        .count();
    assert_eq!(dropped, 8, "1000 ms wait, 200 ms are on their way");
}

#[test]
fn t4_an_answer_for_which_there_is_no_room_ends_where_it_did_not_fit() {
    let mut short = settings();
    short.backlog = ms(1000);
    let mut call = Scripted::with(short, capabilities());
    call.response("r1");
    // 200 ms are on their way, and 1000 ms wait.
    for _ in 0..16 {
        call.voice("r1", "a1", ms(100));
    }
    call.take();
    call.pass(ms(500)).voice("r1", "a1", ms(100));
    let late = call.take().contains(&Action::Dropped("playout_full"));
    assert!(late, "there is room, but not for what is behind a hole");
    let text = "one two three four five six seven eight nine ten";
    call.words(Role::Assistant, "a1", text, true)
        .response_ends("r1", ResponseStatus::Completed)
        .pass(ms(2000));
    call.answer("r2", "and now", ms(400)).pass(ms(2000));
    let finals = call.news().into_iter().filter_map(|news| match news {
        News::Final { text, barge_in, .. } => Some((text, barge_in)),
        _ => None,
    });
    let heard = "one two three four five six seven";
    assert_eq!(
        finals.collect::<Vec<_>>(),
        [(heard.to_owned(), true), ("and now".to_owned(), false)]
    );
}

#[test]
fn a7_permissions_hold_for_the_next_frame() {
    let mut call = Scripted::new();
    let deaf = Permissions {
        microphone: false,
        voice: true,
    };
    call.feed(Input::Permissions(deaf))
        .client(ClientEvent::Audio(sound(ms(20))));
    assert!(call.to_provider().is_empty());
    let mute = Permissions {
        microphone: true,
        voice: false,
    };
    call.feed(Input::Permissions(mute))
        .client(ClientEvent::Audio(sound(ms(20))));
    assert_eq!(call.to_provider().len(), 1);
    call.answer("r1", "hello", ms(500)).pass(ms(2000));
    assert_eq!(call.heard(), Duration::ZERO);
    assert_eq!(
        call.finals(),
        [(Role::Assistant, "hello".to_owned())],
        "its words are told"
    );
}

#[test]
fn a4_a7_after_a_time_without_voice_the_client_counts_from_nothing() {
    let mut call = Scripted::new();
    let voice = |voice| {
        Input::Permissions(Permissions {
            microphone: true,
            voice,
        })
    };
    let played = |played| ClientEvent::Playback(ms(played));
    call.answer("r1", "one two three four five six", ms(6000))
        .pass(ms(1000))
        .client(played(1000))
        .feed(voice(false));
    // It has thrown away what it had, and says so for as long as nothing comes.
    call.client(played(0)).pass(ms(3000)).client(played(0));
    call.feed(voice(true)).pass(ms(1000));
    call.client(played(1000)).take();
    call.user_starts("u1");
    let heard = call
        .to_provider()
        .into_iter()
        .find_map(|command| match command {
            ProviderCommand::Truncate { heard, .. } => Some(heard),
            _ => None,
        });
    assert!(
        heard.is_some_and(|heard| heard.abs_diff(ms(5000)) <= ms(200)),
        "what it was not sent counts as heard, to the lead: {heard:?}"
    );
}

#[test]
fn a4_s6_a_client_that_says_it_plays_nothing_is_believed_for_ten_seconds() {
    let mut call = Scripted::new();
    call.answer("r1", "one two", ms(1000));
    for _ in 0..100 {
        call.pass(ms(100)).client(ClientEvent::Playback(ms(0)));
    }
    assert!(call.finals().is_empty(), "it may yet be heard");
    call.take();
    for _ in 0..10 {
        call.pass(ms(100)).client(ClientEvent::Playback(ms(0)));
    }
    assert_eq!(call.finals(), [(Role::Assistant, "one two".to_owned())]);
    assert!(call.take().contains(&Action::Idle(true)));
}

#[test]
fn a8_idle_is_nothing_running_nothing_audible_and_nobody_speaking() {
    let mut call = Scripted::new();
    let idle = |call: &mut Scripted| {
        call.take()
            .into_iter()
            .filter_map(|action| match action {
                Action::Idle(idle) => Some(idle),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    call.user_starts("u1");
    assert_eq!(idle(&mut call), [false]);
    call.user_stops("u1");
    assert_eq!(idle(&mut call), [true]);
    call.answer("r1", "hello", ms(1000));
    assert_eq!(idle(&mut call), [false]);
    call.pass(ms(999));
    assert_eq!(idle(&mut call), [] as [bool; 0], "still audible");
    call.pass(ms(1));
    assert_eq!(idle(&mut call), [true]);
}

#[test]
fn s4_early_audio_is_kept_in_order_and_bounded() {
    let mut call = Scripted::unconnected(settings());
    let frame = |n: u8| ClientEvent::Audio(vec![n; 64 * 1024].into());
    for n in 0..20 {
        call.client(frame(n));
    }
    assert_eq!(
        call.take(),
        [const { Action::Dropped("early_audio") }; 4],
        "1 MiB is kept"
    );
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())))
        .client(frame(99))
        .pass(ms(10_000));
    let firsts: Vec<u8> = call
        .to_provider()
        .iter()
        .map(|command| match command {
            ProviderCommand::Audio(pcm) => pcm[0],
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(firsts, (0..16).chain([99]).collect::<Vec<u8>>());
}

#[test]
fn a1_what_a_transport_drops_is_counted_and_the_call_goes_on() {
    let mut call = Scripted::new();
    call.client(ClientEvent::Dropped(DropReason::OddLength));
    assert_eq!(call.take(), [Action::Dropped("odd_length")]);
    call.client(ClientEvent::Ping(None));
    let pong = ServerMessage::Pong { id: None };
    assert_eq!(
        call.take(),
        [Action::ToClient(ClientCommand::Message(pong))]
    );
}

#[test]
fn a1_a_frame_with_half_a_sample_is_dropped_and_no_other() {
    let mut call = Scripted::new();
    let frame = |length| Bytes::from(vec![7; length]);
    for muted in [false, true] {
        call.user_starts("u1").client(ClientEvent::Mute(muted));
        call.take();
        call.client(ClientEvent::Audio(frame(961)));
        assert_eq!(call.take(), [Action::Dropped("odd_length")]);
        call.pass(ms(20)).client(ClientEvent::Audio(frame(960)));
        let sent = call.to_provider().pop();
        let heard = frame(960);
        let silence = Bytes::from(vec![0; 960]);
        let expected = if muted { silence } else { heard };
        assert_eq!(sent, Some(ProviderCommand::Audio(expected)));
    }
}

#[test]
fn a1_half_a_sample_from_a_provider_does_no_harm() {
    let mut call = Scripted::new();
    call.response("r1");
    let (response_id, item_id) = (None, None);
    let odd = Bytes::from(vec![1; 961]);
    call.provider(ProviderEvent::Audio {
        response_id,
        item_id,
        content_index: 0,
        pcm: odd,
    });
    call.provider(ProviderEvent::Audio {
        response_id: None,
        item_id: None,
        content_index: 0,
        pcm: Bytes::from_static(&[1]),
    });
    assert_eq!(call.heard(), ms(20));
}

#[test]
fn s6_limits_end_the_call_each_with_its_reason() {
    let mut limited = settings();
    limited.idle_timeout = Some(ms(5000));
    limited.max_duration = Some(ms(20_000));
    let mut call = Scripted::with(limited.clone(), capabilities());
    call.pass(ms(3000))
        .answer("r1", "hello", ms(2000))
        .pass(ms(6999));
    assert!(!call.take().contains(&Action::End(EndReason::IdleTimeout)));
    call.pass(ms(1));
    assert_eq!(
        call.take().last(),
        Some(&Action::End(EndReason::IdleTimeout))
    );

    let mut call = Scripted::with(limited, capabilities());
    call.response("r1").pass(ms(30_000));
    assert_eq!(
        call.log.last().unwrap(),
        &(ms(20_000), Action::End(EndReason::MaxDuration))
    );
}

#[test]
fn s1_what_is_typed_before_the_session_has_begun_is_told_after_that() {
    let mut call = Scripted::unconnected(settings());
    call.client(ClientEvent::Text("are you there?".into()))
        .pass(ms(3000));
    assert!(call.finals().is_empty());
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
    let typed = (Role::User, "are you there?".to_owned());
    assert_eq!(call.finals(), std::slice::from_ref(&typed));
    assert!(matches!(
        &call.to_provider()[..],
        [ProviderCommand::Text { .. }, ..]
    ));

    let mut call = Scripted::unconnected(settings());
    call.client(ClientEvent::Text("are you there?".into()))
        .client(ClientEvent::End);
    assert!(call.finals().is_empty(), "and not at all if it never does");
}

#[test]
fn s6_h2_an_outage_is_not_idle() {
    let mut limited = settings();
    limited.idle_timeout = Some(ms(5000));
    let mut call = Scripted::with(limited, capabilities());
    call.provider(ProviderEvent::Closed(None)).take();
    for _ in 0..3 {
        // A dial that hangs.
        call.pass(ms(4000));
    }
    assert!(!call.take().contains(&Action::Idle(true)));
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())))
        .pass(ms(4999));
    assert!(!call.take().contains(&Action::End(EndReason::IdleTimeout)));
    call.pass(ms(1));
    assert!(call.take().contains(&Action::End(EndReason::IdleTimeout)));
}
