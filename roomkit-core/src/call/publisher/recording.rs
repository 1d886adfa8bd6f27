//! Marks in the recording: words as the host's hooks let them through, and what else is told.

use jiff::Timestamp;

use super::Publisher;
use crate::{
    call::io::{Moment, News},
    event::{HandOverPhase, RealtimeTranscriptionEvent},
    provider::Role,
    recording::{Piece, RecordingMarkKind},
};

impl Publisher {
    /// Marks what is told, but for words.
    pub(super) fn mark_news(&self, at: Timestamp, news: &News) {
        if self.recording.is_none() {
            return;
        }
        let kind = match news {
            News::UserSpeaking(speaking) => RecordingMarkKind::Speaking {
                who: Role::User,
                speaking: *speaking,
            },
            News::AssistantSpeaking(speaking) => RecordingMarkKind::Speaking {
                who: Role::Assistant,
                speaking: *speaking,
            },
            News::BargeIn { heard, .. } => RecordingMarkKind::BargeIn { heard: *heard },
            News::HandOver(HandOverPhase::Started { reason }) => {
                RecordingMarkKind::HandOverStarted {
                    reason: reason.as_str().into(),
                }
            }
            News::HandOver(HandOverPhase::Finished { outcome, .. }) => {
                RecordingMarkKind::HandOverFinished {
                    outcome: outcome.as_str().into(),
                }
            }
            _ => return,
        };
        let at = self.moment(at);
        self.mark(at, at, kind);
    }

    /// Marks words that the transcription hook has let through (contract T5), and that may have been said
    /// `since` then.
    pub(super) fn mark_words(&self, event: &RealtimeTranscriptionEvent, since: Moment) {
        if self.recording.is_some() {
            let kind = RecordingMarkKind::Transcript {
                role: event.role,
                text: event.text.clone(),
                interrupted: event.role == Role::Assistant && event.was_barge_in,
                item_id: event.item_id.clone(),
            };
            let at = self.moment(event.timestamp);
            self.mark(at, since.min(at), kind);
        }
    }

    fn moment(&self, at: Timestamp) -> Moment {
        Moment::try_from(at.duration_since(self.began)).unwrap_or_default()
    }

    fn mark(&self, at: Moment, since: Moment, kind: RecordingMarkKind) {
        if let Some(recording) = &self.recording
            && !recording.give(Piece::Mark { at, since, kind })
        {
            metrics::counter!("roomkit_dropped_total", "reason" => "recording_slow").increment(1);
        }
    }
}
