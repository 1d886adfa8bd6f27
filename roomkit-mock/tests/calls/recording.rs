//! Calls that are recorded (contracts V1–V4).

use std::sync::Arc;

use roomkit_core::{
    SessionOptions,
    audio::bytes_for,
    client_protocol::ServerMessage,
    error::{SessionError, StartError},
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    provider::Role,
    recording::{Consent, Recording, RecordingDecision, RecordingMarkKind as Mark, RecordingState},
    transport::{ClientEvent, LinkInfo},
};
use roomkit_mock::{
    Gate, MockConnection, MockRealtimeProvider, MockRealtimeTransport, MockRecordingSink,
    recording::{Recorded, RecordingFault},
};
use serde_json::json;

use crate::support::{Call, House, ROOM, ms, pcm, pcm_at, settle, soon};

/// Samples of each side in a ms.
const PER_MS: usize = 24;

async fn house(sink: &MockRecordingSink, consent: Consent) -> House {
    let recording = Recording::new(Arc::new(sink.clone()))
        .consent(consent)
        .client_decides(true);
    House::with(|voice| voice.recording(recording)).await
}

/// A microphone that speaks for so long.
async fn speak(call: &Call, frames: u64) {
    for _ in 0..frames {
        tokio::time::sleep(ms(20)).await;
        call.client.send_audio(pcm(ms(20)));
    }
    settle().await;
}

/// Where a side is not silent: from and to, in ms.
fn sound(side: &[i16]) -> Option<(usize, usize)> {
    let first = side.iter().position(|sample| *sample != 0)?;
    let last = side.iter().rposition(|sample| *sample != 0)?;
    Some((first / PER_MS, (last + 1) / PER_MS))
}

fn kinds(recorded: &Recorded) -> Vec<&Mark> {
    recorded.marks.iter().map(|mark| &mark.kind).collect()
}

#[tokio::test(start_paused = true)]
async fn v2_a_call_is_recorded_from_its_beginning_to_its_end() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Given).await;
    let call = house.call().await;
    assert_eq!(call.session.recording(), RecordingState::On);
    call.client
        .wait_for_message(|message| {
            *message
                == ServerMessage::Recording {
                    state: RecordingState::On,
                }
        })
        .await;

    call.ai.simulate_speech_start(Some("u1"));
    speak(&call, 25).await;
    call.ai.simulate_speech_end(Some("u1"));
    call.ai
        .simulate_transcription("What time is it?", Role::User, true, Some("u1"));
    call.ai.simulate_response_start(Some("r1"));
    call.ai.simulate_item_audio("a1", pcm(ms(700)));
    call.ai
        .simulate_transcription("It is noon.", Role::Assistant, true, Some("a1"));
    call.ai.simulate_response_end(Some("r1"));
    call.wait_for_final("It is noon.").await;
    tokio::time::sleep(ms(1000)).await;
    soon(house.voice.end_session(&call.session)).await;

    let recorded = sink.recordings().remove(0);
    let summary = recorded
        .summary
        .expect("it is finished when the session is over");
    assert_eq!(recorded.info.session_id, *call.session.id());
    assert_eq!(recorded.info.consent, RecordingDecision::Settings);
    let written = recorded.audio.len() / 4 / PER_MS;
    assert_eq!(summary.duration.as_millis() as usize, written);
    assert!((2200..=2300).contains(&written), "{written} ms");
    assert_eq!(summary.missed, 0);
    let (left, right) = (sound(&recorded.left()), sound(&recorded.right()));
    assert_eq!(left, Some((0, 500)));
    assert_eq!(right, Some((501, 1201)), "the answer follows the question");

    let told: Vec<_> = recorded
        .marks
        .iter()
        .map(|mark| (mark.at.as_millis(), &mark.kind))
        .filter(|(_, kind)| matches!(kind, Mark::Transcript { .. }))
        .collect();
    let [(asked, question), (answered, answer)] = told[..] else {
        panic!("{told:?}")
    };
    assert!(asked <= 1 && (499..=502).contains(&answered), "{told:?}");
    assert!(
        matches!(question, Mark::Transcript { role: Role::User, text, .. } if text == "What time is it?")
    );
    assert!(
        matches!(answer, Mark::Transcript { role: Role::Assistant, text, interrupted: false, .. } if text == "It is noon.")
    );
    assert_eq!(
        house
            .close(FrameworkEventKind::RecordingFinished)
            .await
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn v3_what_an_interruption_cut_off_is_not_in_the_recording() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Given).await;
    let call = house.call().await;
    call.ai.simulate_response_start(Some("r1"));
    call.ai.simulate_item_audio("a1", pcm(ms(5000)));
    tokio::time::sleep(ms(900)).await;
    call.ai.simulate_speech_start(Some("u1"));
    tokio::time::sleep(ms(2000)).await;
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    assert!(
        call.client
            .audio()
            .iter()
            .map(bytes::Bytes::len)
            .sum::<usize>()
            >= bytes_for(ms(1080), 24_000),
        "the client had more than it heard"
    );
    let (from, to) = sound(&recorded.right()).unwrap();
    assert!(from <= 1 && (899..=901).contains(&to), "{from} to {to}");
    assert!(
        kinds(&recorded).iter().any(|kind| matches!(
            kind,
            Mark::BargeIn { heard } if (899..=901).contains(&heard.as_millis())
        )),
        "{recorded:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn v1_consent_pause_and_the_end_of_the_pause() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Ask).await;
    let call = house.call().await;
    assert_eq!(call.session.recording(), RecordingState::Waiting);
    assert_eq!(
        house.voice.resume_recording(&call.session),
        Err(SessionError::NoConsent(call.session.id().clone()))
    );
    speak(&call, 10).await;
    assert_eq!(sink.recordings().len(), 0, "nothing is even begun");

    house.voice.grant_recording(&call.session).unwrap();
    speak(&call, 10).await;
    call.client.send(ClientEvent::Recording(false));
    settle().await;
    assert_eq!(call.session.recording(), RecordingState::Paused);
    call.ai
        .simulate_transcription("my secret", Role::User, true, None);
    call.wait_for_final("my secret").await;
    speak(&call, 10).await;
    house.voice.resume_recording(&call.session).unwrap();
    settle().await;
    speak(&call, 10).await;
    soon(house.voice.end_session(&call.session)).await;

    let recorded = sink.finished(call.session.id()).await;
    assert_eq!(recorded.info.consent, RecordingDecision::Host);
    let left = recorded.left();
    assert_eq!(sound(&left).unwrap().0, 0);
    assert!(
        left[202 * PER_MS..400 * PER_MS]
            .iter()
            .all(|sample| *sample == 0)
    );
    assert_eq!(
        sound(&left[300 * PER_MS..]).map(|(_, to)| to / 10),
        Some(30)
    );
    let by = [
        Mark::Paused {
            by: RecordingDecision::Client,
        },
        Mark::Resumed {
            by: RecordingDecision::Host,
        },
    ];
    assert_eq!(kinds(&recorded), [&by[0], &by[1]], "and no words");
    let states: Vec<_> = call
        .client
        .messages()
        .into_iter()
        .filter_map(|message| match message {
            ServerMessage::Recording { state } => Some(state),
            _ => None,
        })
        .collect();
    assert_eq!(
        states,
        [
            RecordingState::Waiting,
            RecordingState::On,
            RecordingState::Paused,
            RecordingState::On
        ]
    );
    let mut reports = house.close_whole().await;
    reports.retain(|event| event.kind.as_str().starts_with("recording"));
    let reports: Vec<_> = reports
        .iter()
        .map(|event| (event.kind.as_str(), event.data.get("by").cloned()))
        .collect();
    let told = [
        ("recording_started", Some(json!("host"))),
        ("recording_paused", Some(json!("client"))),
        ("recording_resumed", Some(json!("host"))),
        ("recording_finished", None),
    ];
    assert_eq!(reports, told);
}

#[tokio::test(start_paused = true)]
async fn v1_words_that_are_noticed_soon_after_a_pause_may_be_of_it() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Given).await;
    let call = house.call().await;
    speak(&call, 10).await;
    call.client.send(ClientEvent::Recording(false));
    settle().await;
    speak(&call, 50).await;
    house.voice.resume_recording(&call.session).unwrap();
    settle().await;
    for (text, frames) in [("my card number is 4711", 15), ("thank you", 30)] {
        speak(&call, frames).await;
        call.ai.simulate_transcription(text, Role::User, true, None);
        call.wait_for_final(text).await;
    }
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    let words: Vec<&str> = kinds(&recorded)
        .into_iter()
        .filter_map(|kind| match kind {
            Mark::Transcript { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(words, ["thank you"]);
}

#[tokio::test(start_paused = true)]
async fn v1_a_session_decides_for_itself() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Ask).await;
    let yes = house.call_with(SessionOptions::new().record(true)).await;
    let no = house.call_with(SessionOptions::new().record(false)).await;
    assert_eq!(yes.session.recording(), RecordingState::On);
    assert_eq!(no.session.recording(), RecordingState::Off);
    let refused = Err(SessionError::NotRecorded(no.session.id().clone()));
    assert_eq!(house.voice.grant_recording(&no.session), refused);
    assert_eq!(house.voice.pause_recording(&no.session), refused);
    no.client.send(ClientEvent::Recording(true));
    no.client
        .wait_for_message(|message| {
            matches!(message, ServerMessage::Error { code, .. } if code == "recording_unavailable")
        })
        .await;
    speak(&yes, 10).await;
    soon(house.kit.close()).await;
    assert_eq!(sink.recordings().len(), 1);

    let house = House::new().await;
    let start = house.voice.start_session_with(
        ROOM,
        "ann",
        MockConnection::new(),
        SessionOptions::new().record(true),
    );
    let Err(StartError::Config(error)) = soon(start).await else {
        panic!("it started");
    };
    assert!(error.to_string().starts_with("record: "), "{error}");
}

#[tokio::test(start_paused = true)]
async fn v3_words_that_a_hook_blocks_are_not_in_the_recording() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Given).await;
    house.kit.add_hook(Hook::transcription(|event| async move {
        if event.text.contains("4711") {
            Decision::block("a secret")
        } else {
            Decision::Allow
        }
    }));
    let call = house.call().await;
    for text in ["my number is 4711", "good bye"] {
        call.ai.simulate_transcription(text, Role::User, true, None);
    }
    call.wait_for_final("good bye").await;
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    let words: Vec<_> = kinds(&recorded)
        .into_iter()
        .filter_map(|kind| match kind {
            Mark::Transcript { text, .. } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(words, ["good bye"]);
}

#[tokio::test(start_paused = true)]
async fn v2_both_sides_have_the_rate_of_the_sink() {
    let sink = MockRecordingSink::new();
    let recording = Recording::new(Arc::new(sink.clone())).consent(Consent::Given);
    let house = House::of(
        MockRealtimeProvider::new(),
        MockRealtimeTransport::new().with_link(LinkInfo::new(8000, 48_000)),
        |voice| voice.recording(recording),
    )
    .await;
    let call = house.call().await;
    for _ in 0..50 {
        tokio::time::sleep(ms(20)).await;
        let loud = [0, 16].repeat(bytes_for(ms(20), 8000) / 2);
        assert_eq!(loud.len(), pcm_at(ms(20), 8000).len());
        call.client.send_audio(loud);
    }
    settle().await;
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    let (from, to) = sound(&recorded.left()).unwrap();
    assert!(from <= 2 && (995..=1000).contains(&to), "{from} to {to}");
}

#[tokio::test(start_paused = true)]
async fn v4_a_sink_that_fails_or_panics_ends_the_recording_and_not_the_call() {
    for fault in [
        RecordingFault::Open,
        RecordingFault::Audio,
        RecordingFault::Panic,
        RecordingFault::Hang(Gate::closed()),
    ] {
        let sink = MockRecordingSink::new().with_fault(fault.clone());
        let house = house(&sink, Consent::Given).await;
        let call = house.call().await;
        // A sink that hangs is given up after ten seconds.
        speak(&call, 600).await;
        call.client
            .wait_for_message(|message| {
                *message
                    == ServerMessage::Recording {
                        state: RecordingState::Off,
                    }
            })
            .await;
        assert_eq!(call.session.recording(), RecordingState::Off);
        assert_eq!(
            call.ai.sent_audio().len(),
            600,
            "{fault:?}: not a frame is lost"
        );
        call.ai.simulate_response_start(None);
        call.ai.simulate_audio(pcm(ms(100)));
        call.client.wait_for_audio(bytes_for(ms(100), 24_000)).await;
        soon(house.voice.end_session(&call.session)).await;
        house.assert_nothing_left();
        let reports = house.close(FrameworkEventKind::RecordingFailed).await;
        assert_eq!(reports.len(), 1, "{fault:?}");
        let error = reports[0].data["error"].as_str().unwrap();
        assert!(!error.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn v4_what_a_slow_sink_misses_is_counted_and_leaves_the_time_right() {
    let gate = Gate::closed();
    let sink = MockRecordingSink::new().with_fault(RecordingFault::Hang(gate.clone()));
    let house = house(&sink, Consent::Given).await;
    let call = house.call().await;
    // Ten times as much as a call says, in the nine seconds for which the sink stands still.
    for _ in 0..450 {
        tokio::time::sleep(ms(20)).await;
        for _ in 0..10 {
            call.client.send_audio(pcm(ms(2)));
        }
    }
    gate.open();
    speak(&call, 10).await;
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    let summary = recorded.summary.unwrap();
    assert!(summary.missed > 3000, "{summary:?}");
    let told: u64 = kinds(&recorded)
        .into_iter()
        .map(|kind| match kind {
            Mark::Missed { pieces } => *pieces,
            _ => 0,
        })
        .sum();
    assert_eq!(told, summary.missed);
    assert!(
        (9190..=9220).contains(&summary.duration.as_millis()),
        "{summary:?}"
    );
    let end = sound(&recorded.left()).unwrap().1;
    assert!((9100..=9220).contains(&end), "{end}");
}

#[tokio::test(start_paused = true)]
async fn v2_a_recording_goes_on_over_a_new_provider_connection() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Given).await;
    let call = house.call().await;
    speak(&call, 25).await;
    call.ai.simulate_closed(None);
    speak(&call, 100).await;
    let ai = house.provider.session(call.session.id());
    ai.simulate_response_start(None);
    ai.simulate_audio(pcm(ms(100)));
    call.client.wait_for_audio(bytes_for(ms(100), 24_000)).await;
    tokio::time::sleep(ms(200)).await;
    soon(house.kit.close()).await;
    let recorded = sink.recordings().remove(0);
    assert!(
        recorded.summary.is_some(),
        "it is whole when the kit is closed"
    );
    let left = recorded.left();
    let silent = left[..2500 * PER_MS].iter().filter(|sample| **sample == 0);
    assert_eq!(silent.count(), 0, "the caller was heard all the time");
    assert!(sound(&recorded.right()).unwrap().0 >= 2500);
    let moved: Vec<_> = kinds(&recorded)
        .into_iter()
        .filter_map(|kind| match kind {
            Mark::HandOverStarted { reason } => Some(reason.as_str()),
            Mark::HandOverFinished { outcome } => Some(outcome.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(moved, ["lost", "fresh"]);
}

#[tokio::test(start_paused = true)]
async fn v2_silence_is_written_as_time_goes_on() {
    let sink = MockRecordingSink::new();
    let house = house(&sink, Consent::Given).await;
    let call = house.call().await;
    let recorded = sink
        .wait_for(call.session.id(), |recorded| {
            recorded.audio.len() / 4 / PER_MS >= 3000
        })
        .await;
    assert_eq!(sound(&recorded.left()), None);
}
