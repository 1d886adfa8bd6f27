//! What of a call is recorded, and when (contracts V1–V3).

mod late;

use super::*;
use crate::{
    client_protocol::ServerMessage,
    recording::{Consent, RecordingDecision, RecordingState, RecordingTerms, Side},
};

fn terms(consent: Consent, client_decides: bool) -> CallSettings {
    CallSettings {
        recording: Some(RecordingTerms {
            consent,
            client_decides,
        }),
        ..settings()
    }
}

fn recorded(consent: Consent, client_decides: bool) -> Scripted {
    Scripted::with(terms(consent, client_decides), capabilities())
}

impl Scripted {
    fn says(&mut self, length: Duration) -> &mut Self {
        self.client(ClientEvent::Audio(sound(length)))
    }

    /// Speaks frame by frame, as a microphone does.
    fn speaks(&mut self, length: Duration) -> &mut Self {
        self.speaks_in_pieces(length, ms(20))
    }

    fn speaks_in_pieces(&mut self, length: Duration, piece: Duration) -> &mut Self {
        for _ in 0..length.as_millis() / piece.as_millis() {
            self.pass(piece).says(piece);
        }
        self
    }

    fn records(&mut self, on: bool) -> &mut Self {
        self.command(Command::Record(on))
    }

    /// How much of the caller was recorded.
    fn kept(&self) -> Duration {
        let lengths = self.log.iter().filter_map(|(_, action)| match action {
            Action::Record(sound) if sound.side == Side::Caller => {
                Some(pcm::duration_of(sound.pcm.len(), sound.rate))
            }
            _ => None,
        });
        lengths.sum()
    }

    /// What was recorded of a side, as runs: beginning and length in ms.
    fn tape(&self, side: Side) -> Vec<(u128, u128)> {
        let mut runs: Vec<(Moment, Moment)> = Vec::new();
        for (at, action) in &self.log {
            let Action::Record(sound) = action else {
                continue;
            };
            if sound.side != side {
                continue;
            }
            let ends = sound.begins + pcm::duration_of(sound.pcm.len(), sound.rate);
            assert!(ends <= *at, "recorded before it was heard");
            match runs.last_mut() {
                Some((_, end)) if *end == sound.begins => *end = ends,
                _ => runs.push((sound.begins, ends)),
            }
        }
        runs.iter()
            .map(|(start, end)| (start.as_millis(), end.saturating_sub(*start).as_millis()))
            .collect()
    }

    fn recording_states(&self) -> Vec<(RecordingState, RecordingDecision)> {
        let states = self.log.iter().filter_map(|(_, action)| match action {
            Action::Recording(state, by, _) => Some((*state, *by)),
            _ => None,
        });
        states.collect()
    }

    fn client_reads(&self) -> Vec<RecordingState> {
        let messages = self.to_client().into_iter();
        let states = messages.filter_map(|command| match command {
            ClientCommand::Message(ServerMessage::Recording { state }) => Some(state),
            _ => None,
        });
        states.collect()
    }

    fn error_codes(&self) -> Vec<String> {
        let messages = self.to_client().into_iter();
        let codes = messages.filter_map(|command| match command {
            ClientCommand::Message(ServerMessage::Error { code, .. }) => Some(code),
            _ => None,
        });
        codes.collect()
    }
}

#[test]
fn v1_nothing_is_recorded_unless_it_is_wanted() {
    let mut call = Scripted::new();
    call.says(ms(20)).answer("r1", "hello", ms(500));
    call.records(true).pass(ms(1000));
    assert_eq!(call.recording_states(), []);
    assert_eq!(call.tape(Side::Caller), []);
    assert_eq!(call.tape(Side::Ai), []);
    assert_eq!(call.client_reads(), []);
}

#[test]
fn v1_with_consent_it_begins_with_the_session() {
    let mut call = recorded(Consent::Given, false);
    assert_eq!(
        call.recording_states(),
        [(RecordingState::On, RecordingDecision::Settings)]
    );
    assert_eq!(call.client_reads(), [RecordingState::On]);
    call.speaks(ms(400));
    assert_eq!(call.tape(Side::Caller), [(0, 400)]);
}

/// A burst looks as if it had been said before the recording, whose beginning it comes with.
#[test]
fn v1_a_burst_at_the_beginning_is_recorded_whole_where_consent_came_first() {
    for (consent, kept) in [(Consent::Given, 600), (Consent::Ask, 3)] {
        let mut call = Scripted::unconnected(terms(consent, false));
        call.pass(ms(100));
        call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
        call.records(true).pass(ms(3));
        for _ in 0..30 {
            call.says(ms(20));
        }
        assert_eq!(call.kept(), ms(kept), "{consent:?}");
    }
}

#[test]
fn v1_what_was_said_in_a_pause_is_not_kept_when_it_comes_after_it() {
    // At once, and in pieces.
    for pieces in [1, 5] {
        let mut call = recorded(Consent::Given, false);
        call.speaks(ms(1000)).records(false).speaks(ms(500));
        // The network stands still.
        call.pass(ms(1500)).records(true);
        for _ in 0..pieces {
            call.pass(ms(100));
            for _ in 0..(1500 + 100 * pieces) / 20 / pieces {
                call.says(ms(20));
            }
        }
        let since = ms(100 * pieces);
        assert_eq!(call.kept(), ms(1000) + since, "{pieces}");
        call.speaks(ms(500));
        assert_eq!(call.kept(), ms(1500) + since, "{pieces}");
    }
}

#[test]
fn v1_of_a_client_that_sends_nothing_in_a_pause_no_more_than_a_moment_is_lost() {
    // Clients whose pieces are longer than a moment lose the first.
    for (piece, moment) in [(20, 220), (256, 256), (1024, 1024)] {
        let mut call = recorded(Consent::Given, false);
        let speaks = |call: &mut Scripted| {
            call.speaks_in_pieces(ms(4096), ms(piece));
        };
        let spoken = ms(4096 / piece * piece);
        speaks(&mut call);
        call.records(false).pass(ms(5000)).records(true);
        speaks(&mut call);
        let lost = (spoken * 2).saturating_sub(call.kept());
        assert!(lost <= ms(moment), "{piece}: {lost:?}");
        call.records(false).pass(ms(5000)).records(true);
        call.pass(ms(1000));
        speaks(&mut call);
        let lost = (spoken * 3).saturating_sub(call.kept());
        assert!(lost <= ms(moment) * 2, "{piece}: {lost:?}");
    }
}

/// WebRTC fills the time in which nothing comes.
#[test]
fn v1_what_the_transport_made_up_in_an_outage_does_not_stand_for_what_was_said_in_it() {
    let mut call = recorded(Consent::Given, false);
    call.speaks(ms(1000)).records(false);
    for _ in 0..75 {
        let filling = ClientEvent::Filling(vec![0; sound(ms(20)).len()].into());
        call.pass(ms(20)).client(filling);
    }
    call.records(true).pass(ms(100));
    // All that the network held back.
    for _ in 0..80 {
        call.says(ms(20));
    }
    assert_eq!(call.kept(), ms(1100), "what was said after the pause");
}

#[test]
fn v1_nothing_is_kept_before_consent() {
    let mut call = recorded(Consent::Ask, false);
    assert_eq!(call.client_reads(), [RecordingState::Waiting]);
    call.answer("r1", "hello", ms(1000));
    call.speaks(ms(500));
    call.client(ClientEvent::Recording(true));
    assert_eq!(call.error_codes(), ["recording_not_allowed"]);
    assert_eq!(call.tape(Side::Caller), []);
    call.records(true).speaks(ms(1000));
    assert_eq!(call.tape(Side::Caller), [(500, 1000)]);
    assert_eq!(
        call.tape(Side::Ai),
        [(500, 500)],
        "the half of the answer that was heard with consent"
    );
}

#[test]
fn v1_the_client_decides_where_it_may() {
    let mut call = recorded(Consent::Ask, true);
    call.client(ClientEvent::Recording(false));
    call.client(ClientEvent::Recording(true)).speaks(ms(100));
    call.client(ClientEvent::Recording(true));
    call.client(ClientEvent::Recording(false)).speaks(ms(100));
    assert_eq!(
        call.recording_states()[1..],
        [
            (RecordingState::On, RecordingDecision::Client),
            (RecordingState::Paused, RecordingDecision::Client)
        ]
    );
    assert_eq!(call.tape(Side::Caller), [(0, 100)]);

    let mut other = Scripted::new();
    other.client(ClientEvent::Recording(true));
    assert_eq!(other.error_codes(), ["recording_unavailable"]);
}

#[test]
fn v1_what_the_client_wants_before_the_session_is_live_holds_from_its_beginning() {
    for (consent, on) in [(Consent::Ask, true), (Consent::Given, false)] {
        let mut call = Scripted::unconnected(terms(consent, true));
        call.client(ClientEvent::Recording(on)).speaks(ms(100));
        assert_eq!(call.client_reads(), [], "`session_started` comes first");
        call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
        call.speaks(ms(100));
        if on {
            let begun = (RecordingState::On, RecordingDecision::Client);
            assert_eq!(call.recording_states(), [begun]);
            assert_eq!(call.tape(Side::Caller), [(100, 100)]);
        } else {
            assert_eq!(call.client_reads(), [RecordingState::Waiting]);
            assert_eq!(call.tape(Side::Caller), []);
        }
    }
}

#[test]
fn v1_a_pause_is_exact_on_both_sides() {
    let mut call = recorded(Consent::Given, false);
    call.answer("r1", "hello", ms(1000));
    call.pass(ms(310)).says(ms(310)).records(false);
    call.pass(ms(200)).says(ms(200));
    // A piece that is longer than the time since recording went on.
    call.records(true).pass(ms(50)).says(ms(150));
    call.pass(ms(1000));
    assert_eq!(call.tape(Side::Caller), [(0, 310), (510, 50)]);
    assert_eq!(call.tape(Side::Ai), [(0, 310), (510, 490)]);
}

#[test]
fn v3_an_interrupted_answer_is_recorded_as_far_as_it_was_heard() {
    let mut call = recorded(Consent::Given, false);
    call.answer("r1", "one two three four five", ms(5000));
    call.pass(ms(1005)).user_starts("u1");
    call.pass(ms(1000)).user_stops("u1");
    call.answer("r2", "yes", ms(200)).pass(ms(500));
    assert_eq!(call.tape(Side::Ai), [(0, 1005), (2005, 200)]);
}

#[test]
fn v3_what_was_heard_is_recorded_in_time_though_the_answer_goes_on_later() {
    let mut call = recorded(Consent::Given, false);
    call.response("r1").voice("r1", "a1", ms(500));
    call.pass(ms(500));
    assert_eq!(call.tape(Side::Ai), [(0, 500)]);
    let wake = call.call.next_wake(call.now);
    assert!(wake.is_none_or(|at| at > call.now), "{wake:?}");
}

#[test]
fn v3_a_client_that_reports_what_it_played_is_believed() {
    let mut call = recorded(Consent::Given, false);
    call.answer("r1", "one two three four five", ms(5000));
    call.pass(ms(500));
    call.client(ClientEvent::Playback(ms(300)));
    call.pass(ms(505)).user_starts("u1");
    let recorded: u128 = call.tape(Side::Ai).iter().map(|run| run.1).sum();
    assert_eq!(recorded, 805, "200 ms behind the clock");
    let last = *call.tape(Side::Ai).last().unwrap();
    assert_eq!(last.0 + last.1, 1005, "and heard just before it was cut");
}

#[test]
fn v3_a_client_that_never_plays_anything_does_not_make_the_tape_grow() {
    let mut call = recorded(Consent::Given, false);
    call.answer("r1", "a long story", ms(40_000));
    for _ in 0..30 {
        call.pass(ms(1000)).client(ClientEvent::Playback(ms(0)));
    }
    let waiting = call.call.tape.as_ref().unwrap().waiting();
    assert!(waiting <= ms(10_300), "{waiting:?}");
    let recorded: u128 = call.tape(Side::Ai).iter().map(|run| run.1).sum();
    assert!(recorded > 18_000);
}

#[test]
fn v3_what_the_client_is_not_let_hear_or_say_is_not_recorded() {
    let mut call = recorded(Consent::Given, false);
    call.answer("r1", "hello", ms(1000)).pass(ms(300));
    call.feed(Input::Permissions(Permissions {
        microphone: false,
        voice: false,
    }));
    call.speaks(ms(200));
    call.feed(Input::Permissions(Permissions {
        microphone: true,
        voice: true,
    }));
    call.client(ClientEvent::Mute(true)).speaks(ms(100));
    call.client(ClientEvent::Mute(false)).speaks(ms(100));
    assert_eq!(call.tape(Side::Caller), [(600, 100)]);
    let heard = call.tape(Side::Ai);
    assert_eq!(heard[0], (0, 300));
    // What was sent while it was muted is gone: 200 ms, and the lead.
    assert!(heard[1..].iter().all(|run| run.0 >= 700), "{heard:?}");
}

#[test]
fn v2_a_hand_over_leaves_no_gap_in_the_recording() {
    let mut call = recorded(Consent::Given, false);
    call.speaks(ms(200));
    call.provider(ProviderEvent::Closed(None)).speaks(ms(300));
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
    call.speaks(ms(200));
    assert_eq!(call.tape(Side::Caller), [(0, 700)]);
    assert_eq!(call.client_reads(), [RecordingState::On]);
}

#[test]
fn v4_a_recording_that_fails_is_told_and_the_call_goes_on() {
    let mut call = recorded(Consent::Given, true);
    call.speaks(ms(100)).feed(Input::RecordingFailed);
    call.speaks(ms(100)).answer("r1", "hello", ms(200));
    call.client(ClientEvent::Recording(true)).pass(ms(300));
    assert_eq!(call.tape(Side::Caller), [(0, 100)]);
    assert_eq!(call.heard(), ms(200));
    assert_eq!(
        call.client_reads(),
        [RecordingState::On, RecordingState::Off]
    );
    assert_eq!(call.error_codes(), ["recording_unavailable"]);
}

#[test]
fn v1_what_was_said_before_the_last_decision_is_not_kept_though_the_session_was_not_live() {
    for consent in [Consent::Given, Consent::Ask] {
        let mut call = Scripted::unconnected(terms(consent, false));
        call.pass(ms(100)).records(false);
        call.pass(ms(2000)).records(true).records(true);
        call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
        call.pass(ms(3));
        // All that the network held back.
        for _ in 0..110 {
            call.says(ms(20));
        }
        assert_eq!(call.kept(), ms(3), "{consent:?}");
    }
}
