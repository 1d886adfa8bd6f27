//! The call and its recording: begun, fed, ended, and reported (contract V4).

use std::sync::Arc;

use tokio::time::Instant;

use super::{Driver, Shared};
use crate::{
    call::io::{Input, Moment, Sound},
    framework::{FrameworkEvent, FrameworkEventKind},
    kit::WeakRoomKit,
    provider::ProviderCapabilities,
    recording::{
        Piece, Recorder, RecorderQueue, RecordingDecision, RecordingError, RecordingInfo,
        RecordingSink, RecordingState, RecordingSummary,
    },
    session::RealtimeSession,
};

/// Gets everything ready for a recording, which may or may not begin.
pub(super) fn recorder(
    sink: Arc<dyn RecordingSink>,
    shared: &Shared,
    session: &RealtimeSession,
    began: Instant,
) -> Recorder {
    let info = RecordingInfo {
        provider: shared.provider.name().to_owned(),
        ..RecordingInfo::new(session, sink.sample_rate())
    };
    Recorder::start(sink, info, began)
}

impl Driver {
    /// The machine has decided whether the call is recorded from here on.
    pub(super) fn recording_changed(
        &mut self,
        state: RecordingState,
        by: RecordingDecision,
        since: Moment,
    ) {
        let before = self.recording;
        self.recording = state;
        self.session.set_recording(state);
        let at = self.began.elapsed();
        let kind = match (before, state) {
            (RecordingState::Paused, RecordingState::On) => {
                self.tell_recorder(|queue| queue.record(since, Piece::Resumed { at, by }));
                FrameworkEventKind::RecordingResumed
            }
            (_, RecordingState::On) => {
                self.tell_recorder(|queue| queue.record(since, Piece::Begins { at, by }));
                FrameworkEventKind::RecordingStarted
            }
            (_, RecordingState::Paused) => {
                self.tell_recorder(|queue| queue.pause(at, Piece::Paused { at, by }));
                FrameworkEventKind::RecordingPaused
            }
            (_, RecordingState::Off | RecordingState::Waiting) => return,
        };
        self.announce(kind, |event| event.data("by", by.as_str()));
    }

    /// What a connection can do may be other than what its provider can do in general.
    pub(super) fn recorder_expects(&self, provider: &ProviderCapabilities) {
        if let Some(recorder) = &self.recorder {
            recorder.queue.expect_lag(provider.speech_lag);
        }
    }

    pub(super) fn record(&mut self, sound: Sound) {
        self.tell_recorder(|queue| queue.give(Piece::Sound(sound)));
    }

    fn tell_recorder(&mut self, tell: impl FnOnce(&RecorderQueue) -> bool) {
        if let Some(recorder) = &self.recorder
            && !tell(&recorder.queue)
        {
            self.dropped("recording_slow");
        }
    }

    /// The recording went wrong, and the call goes on.
    pub(super) fn recording_failed(&mut self, error: RecordingError) {
        self.recorder = None;
        self.feed(Input::RecordingFailed);
        report(&self.kit, &self.session, Err(error));
    }
}

/// Ends a recording with its call, and reports what it came to.
pub(super) async fn finish(recorder: Recorder, kit: WeakRoomKit, session: RealtimeSession) {
    if let Some(outcome) = recorder.finish().await.transpose() {
        report(&kit, &session, outcome);
    }
}

fn report(
    kit: &WeakRoomKit,
    session: &RealtimeSession,
    outcome: Result<RecordingSummary, RecordingError>,
) {
    let label = if outcome.is_ok() { "whole" } else { "failed" };
    metrics::counter!("roomkit_recordings_total", "outcome" => label).increment(1);
    let event = match outcome {
        Ok(RecordingSummary { duration, missed }) => {
            FrameworkEvent::new(FrameworkEventKind::RecordingFinished)
                .data("duration_ms", duration.as_millis() as u64)
                .data("missed", missed)
        }
        Err(error) => {
            tracing::error!(session_id = %session.id(), %error, "a recording failed");
            FrameworkEvent::new(FrameworkEventKind::RecordingFailed)
                .data("error", error.to_string())
        }
    };
    if let Some(kit) = kit.upgrade() {
        kit.emit(
            event
                .room(session.room_id())
                .channel(session.channel_id())
                .session(session.id()),
        );
    }
}
