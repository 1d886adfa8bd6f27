//! What a call has come to: turns and how long they took, interruptions, tokens.

use super::*;
use crate::{
    provider::{ProviderError, ProviderErrorKind, TranscriptionUsage, Usage},
    stats::{SessionStats, TurnLatency},
};

impl Scripted {
    /// What was told last.
    fn stats(&self) -> SessionStats {
        let told = |(_, action): &(Moment, Action)| match action {
            Action::Stats(stats) => Some(**stats),
            _ => None,
        };
        self.log.iter().rev().find_map(told).unwrap_or_default()
    }
}

#[test]
fn a_turn_lasts_from_the_end_of_the_question_to_the_first_of_the_answer() {
    let mut call = Scripted::new();
    call.user_starts("u1").pass(ms(2_000)).user_stops("u1");
    call.pass(ms(400)).response("r1").pass(ms(50));
    call.voice("r1", "a1", ms(500)).pass(ms(2_000));
    let stats = call.stats();
    let waited = ms(450);
    assert_eq!((stats.turns, stats.responses), (1, 1));
    assert_eq!(
        stats.last_turn,
        Some(TurnLatency {
            first_audio: waited,
            sent: waited,
            played: None,
        })
    );
    assert_eq!(stats.slowest_turn, waited);

    call.voice("r1", "a1", ms(500)).pass(ms(1_000));
    assert_eq!(call.stats().turns, 1, "more of the same answer is no turn");
}

#[test]
fn a_question_that_is_not_answered_is_no_turn() {
    let mut call = Scripted::new();
    call.user_starts("u1").user_stops("u1").pass(ms(300));
    call.user_starts("u2").user_stops("u2").pass(ms(200));
    call.response("r1").voice("r1", "a1", ms(100)).pass(ms(500));
    let stats = call.stats();
    assert_eq!(stats.turns, 1);
    assert_eq!(stats.last_turn.unwrap().sent, ms(200));

    call.text("a whisper", false).response("r2");
    call.voice("r2", "a2", ms(100)).pass(ms(500));
    assert_eq!(call.stats().turns, 1, "nobody asked aloud");
    assert_eq!(call.stats().responses, 2);
}

#[test]
fn what_the_model_passed_over_is_not_answered_later() {
    let mut call = Scripted::new();
    call.user_starts("u1").user_stops("u1");
    call.provider(ProviderEvent::TurnPassed).pass(ms(600_000));
    call.text("Offer 20 %", false).response("r1");
    call.voice("r1", "a1", ms(100)).pass(ms(500));
    assert_eq!(call.stats().turns, 0);
}

/// Long after, something is said that nobody asked for: it answers nothing.
fn says_something_else(call: &mut Scripted) -> SessionStats {
    call.pass(ms(60_000)).text("Offer 20 %", false);
    call.response("r9").voice("r9", "a9", ms(100)).pass(ms(500));
    call.stats()
}

#[test]
fn a_question_whose_answer_is_stopped_has_none() {
    for is_begun in [true, false] {
        let mut call = Scripted::new();
        call.user_starts("u1").user_stops("u1").pass(ms(100));
        if is_begun {
            call.response("r1");
        }
        call.client(ClientEvent::Interrupt);
        if !is_begun {
            call.response("r1");
        }
        call.response_ends("r1", ResponseStatus::Cancelled);
        assert_eq!(says_something_else(&mut call).turns, 0, "{is_begun}");
    }
}

#[test]
fn an_answer_that_is_not_to_be_heard_is_no_turn() {
    let mut call = Scripted::new();
    let may = |voice| {
        let microphone = true;
        Input::Permissions(Permissions { microphone, voice })
    };
    call.feed(may(false));
    call.user_starts("u1").user_stops("u1").pass(ms(100));
    call.answer("r1", "hello", ms(400)).pass(ms(100));
    assert!(!call.call.turn.answers(), "audio has its short way again");
    call.pass(ms(1_000)).feed(may(true));
    assert_eq!(says_something_else(&mut call).turns, 0);
}

#[test]
fn an_answer_that_fails_is_no_turn_unless_it_is_given_after_all() {
    use ProviderErrorKind::{InvalidRequest, Server};
    for (kind, turns) in [(InvalidRequest, 0), (Server, 1)] {
        let mut call = Scripted::new();
        call.user_starts("u1").user_stops("u1").pass(ms(100));
        let error = ProviderError::new(kind, "no");
        call.response("r1")
            .response_ends("r1", ResponseStatus::Failed(error))
            .pass(ms(900));
        if kind == Server {
            call.answer("r2", "hello", ms(400));
        }
        let stats = says_something_else(&mut call);
        assert_eq!(stats.turns, turns);
        assert_eq!(stats.slowest_turn, ms(1_000 * u64::from(turns)));
    }
}

#[test]
fn an_answer_that_goes_on_over_the_next_question_does_not_answer_it() {
    let mut settings = settings();
    settings.interruptions = false;
    let mut call = Scripted::with(settings, capabilities());
    call.response("r1").voice("r1", "a1", ms(500));
    call.user_starts("u1").user_stops("u1");
    call.voice("r1", "a1", ms(500)).pass(ms(2_000));
    assert_eq!(call.stats().turns, 0);
    call.response_ends("r1", ResponseStatus::Completed);
    call.response("r2").voice("r2", "a2", ms(100)).pass(ms(100));
    assert_eq!(call.stats().last_turn.unwrap().sent, ms(2_000));
}

#[test]
fn an_answer_that_waits_behind_another_is_sent_when_its_turn_comes() {
    let mut settings = settings();
    settings.interruptions = false;
    let mut call = Scripted::with(settings, capabilities());
    call.answer("r1", "first", ms(3_000));
    call.user_starts("u1").user_stops("u1");
    call.response("r2")
        .voice("r2", "a2", ms(500))
        .pass(ms(6_000));
    let turn = call.stats().last_turn.unwrap();
    assert_eq!(
        (turn.first_audio, turn.sent),
        (ms(0), ms(2_820)),
        "a lead before the first one has ended, but for a frame"
    );
}

#[test]
fn a_client_that_says_what_it_plays_tells_when_the_answer_was_played() {
    let mut call = Scripted::new();
    call.answer("r1", "hello", ms(400)).pass(ms(500));
    call.user_starts("u1").user_stops("u1").pass(ms(300));
    call.response("r2").voice("r2", "a2", ms(900)).pass(ms(150));
    assert_eq!(call.stats().last_turn.unwrap().played, None);
    call.client(ClientEvent::Playback(ms(0))).pass(ms(50));
    assert_eq!(
        call.stats().last_turn.unwrap().played,
        None,
        "it still buffers"
    );
    call.client(ClientEvent::Playback(ms(80)));
    assert_eq!(
        call.stats().last_turn.unwrap().played,
        Some(ms(420)),
        "80 ms ago"
    );
    call.pass(ms(100)).client(ClientEvent::Playback(ms(180)));
    assert_eq!(
        call.stats().last_turn.unwrap().played,
        Some(ms(420)),
        "once"
    );
}

#[test]
fn interruptions_tools_and_tokens_are_counted() {
    let mut call = Scripted::new();
    call.response("r1").voice("r1", "a1", ms(900)).pass(ms(100));
    call.user_starts("u1").user_stops("u1");
    call.tool_call("c1").tool_call("c1");
    let usage = Usage {
        input_tokens: 30,
        cached_tokens: 10,
        ..Usage::default()
    };
    let transcription = TranscriptionUsage {
        input_audio_tokens: 16,
        output_tokens: 8,
        audio: ms(1_500),
        ..TranscriptionUsage::default()
    };
    for _ in 0..2 {
        call.provider(ProviderEvent::Usage(Box::new(usage)));
        call.provider(ProviderEvent::TranscriptionUsage(transcription));
    }
    let stats = call.stats();
    assert_eq!((stats.interruptions, stats.tool_calls), (1, 1));
    assert_eq!(stats.usage.input_tokens, 60);
    assert_eq!(stats.usage.cached_tokens, 20);
    // It has other prices.
    assert_eq!(stats.usage.input_audio_tokens, 0);
    assert_eq!(stats.transcription.input_audio_tokens, 32);
    assert_eq!(stats.transcription.output_tokens, 16);
    assert_eq!(stats.transcription.audio, ms(3_000));
}
