//! Consent to a recording, before the session is live and when it has just been given (contract V1).

use std::sync::Arc;

use roomkit_core::{
    RealtimeSession,
    error::SessionError,
    provider::{RealtimeVoiceProvider, Role},
    recording::{Consent, Recording, RecordingMarkKind, RecordingState},
};
use roomkit_mock::{
    Gate, MockConnection, MockRealtimeProvider, MockRealtimeTransport, MockRecordingSink,
    provider::ConnectOutcome,
};

use crate::support::{House, ROOM, ms, pcm, settle, soon};

async fn house(consent: Consent) -> House {
    let recording = Recording::new(Arc::new(MockRecordingSink::new())).consent(consent);
    House::with(|voice| voice.recording(recording)).await
}

#[tokio::test(start_paused = true)]
async fn v1_a_recording_can_be_paused_and_resumed_as_soon_as_it_is_granted() {
    let house = house(Consent::Ask).await;
    let (voice, session) = (&house.voice, house.call().await.session);
    let refused = Err(SessionError::NoConsent(session.id().clone()));
    assert_eq!(voice.resume_recording(&session), refused);
    voice.grant_recording(&session).unwrap();
    voice.pause_recording(&session).unwrap();
    voice.resume_recording(&session).unwrap();
    settle().await;
    assert_eq!(session.recording(), RecordingState::On);
}

#[tokio::test(start_paused = true)]
async fn v1_a_session_that_is_about_to_begin_is_not_one_that_will_not_be_recorded() {
    let house = house(Consent::Given).await;
    let gate = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    let start = house
        .voice
        .start_session(ROOM, "ann", MockConnection::new());
    let meanwhile = async {
        house.provider.wait_for_attempts(1).await;
        let session: RealtimeSession = house.voice.sessions().remove(0);
        assert_eq!(session.recording(), RecordingState::Waiting);
        gate.open();
    };
    let (session, ()) = soon(async { tokio::join!(start, meanwhile) }).await;
    assert_eq!(session.unwrap().recording(), RecordingState::On);
}

#[tokio::test(start_paused = true)]
async fn v1_a_recording_that_is_paused_before_the_session_begins_can_be_resumed() {
    let house = house(Consent::Given).await;
    let gate = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    let start = house
        .voice
        .start_session(ROOM, "ann", MockConnection::new());
    let meanwhile = async {
        house.provider.wait_for_attempts(1).await;
        let session: RealtimeSession = house.voice.sessions().remove(0);
        house.voice.pause_recording(&session).unwrap();
        settle().await;
        gate.open();
    };
    let (session, ()) = soon(async { tokio::join!(start, meanwhile) }).await;
    let session = session.unwrap();
    assert_eq!(session.recording(), RecordingState::Waiting);
    house.voice.resume_recording(&session).unwrap();
    settle().await;
    assert_eq!(session.recording(), RecordingState::On);
}

#[tokio::test(start_paused = true)]
async fn v1_how_late_words_may_be_noticed_is_what_the_connection_says() {
    let sink = MockRecordingSink::new();
    let recording = Recording::new(Arc::new(sink.clone())).consent(Consent::Given);
    let provider = MockRealtimeProvider::new();
    let mut slow = provider.capabilities();
    slow.speech_lag = ms(2000);
    let provider = provider.with_connection_capabilities(slow);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        voice.recording(recording)
    })
    .await;
    let call = house.call().await;
    let speak = async |frames: u64| {
        for _ in 0..frames {
            tokio::time::sleep(ms(20)).await;
            call.client.send_audio(pcm(ms(20)));
        }
    };
    speak(10).await;
    house.voice.pause_recording(&call.session).unwrap();
    speak(50).await;
    house.voice.resume_recording(&call.session).unwrap();
    settle().await;
    for (text, frames) in [("my card number is 4711", 75), ("thank you", 30)] {
        speak(frames).await;
        call.ai.simulate_transcription(text, Role::User, true, None);
        call.wait_for_final(text).await;
    }
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    let words = recorded.marks.iter().filter_map(|mark| match &mark.kind {
        RecordingMarkKind::Transcript { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(words.collect::<Vec<_>>(), ["thank you"]);
}

#[tokio::test(start_paused = true)]
async fn v1_h2_words_of_a_pause_that_a_connection_hears_only_after_it_are_not_kept() {
    let sink = MockRecordingSink::new();
    let recording = Recording::new(Arc::new(sink.clone())).consent(Consent::Given);
    let house = House::with(|voice| voice.recording(recording)).await;
    let call = house.call().await;
    let speak = async |frames: u64| {
        for _ in 0..frames {
            tokio::time::sleep(ms(20)).await;
            call.client.send_audio(pcm(ms(20)));
        }
    };
    speak(50).await;
    house.voice.pause_recording(&call.session).unwrap();
    let gate = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    call.ai.simulate_closed(None);
    speak(100).await;
    house.voice.resume_recording(&call.session).unwrap();
    tokio::time::sleep(ms(2000)).await;
    gate.open();
    settle().await;
    let ai = house.provider.session(call.session.id());
    for (text, frames) in [("my card number is 4711", 20), ("thank you", 300)] {
        speak(frames).await;
        ai.simulate_speech_start(Some(text));
        ai.simulate_speech_end(Some(text));
        ai.simulate_transcription(text, Role::User, true, Some(text));
        call.wait_for_final(text).await;
    }
    soon(house.voice.end_session(&call.session)).await;
    let recorded = sink.finished(call.session.id()).await;
    let words = recorded.marks.iter().filter_map(|mark| match &mark.kind {
        RecordingMarkKind::Transcript { text, .. } => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(words.collect::<Vec<_>>(), ["thank you"]);
}
