//! Recordings in memory.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use roomkit_core::{
    id::SessionId,
    recording::{
        RecordingError, RecordingInfo, RecordingMark, RecordingSink, RecordingSummary,
        RecordingWriter,
    },
};

use crate::{Gate, watched::Watched};

/// Keeps recordings in memory, or fails to. Clones are the same sink.
#[derive(Clone, Default)]
pub struct MockRecordingSink {
    fault: Option<RecordingFault>,
    recordings: Arc<Watched<Vec<Recorded>>>,
}

/// What goes wrong with every recording.
#[derive(Debug, Clone)]
pub enum RecordingFault {
    /// It cannot be opened.
    Open,
    /// It fails at the first audio.
    Audio,
    /// It panics at the first audio.
    Panic,
    /// It takes audio only once the gate is open.
    Hang(Gate),
}

/// One recording so far.
#[derive(Clone)]
pub struct Recorded {
    /// Whose.
    pub info: RecordingInfo,
    /// PCM16, left and right in turn.
    pub audio: Vec<u8>,
    /// What happened, in the order in which it was told.
    pub marks: Vec<RecordingMark>,
    /// What it came to, if it was finished.
    pub summary: Option<RecordingSummary>,
}

impl Recorded {
    /// The caller's side.
    pub fn left(&self) -> Vec<i16> {
        self.side(0)
    }

    /// The AI's side.
    pub fn right(&self) -> Vec<i16> {
        self.side(1)
    }

    fn side(&self, side: usize) -> Vec<i16> {
        let samples = self.audio.chunks_exact(4);
        samples
            .map(|both| i16::from_le_bytes([both[2 * side], both[2 * side + 1]]))
            .collect()
    }
}

impl MockRecordingSink {
    /// A sink that keeps everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets every recording go wrong.
    #[must_use]
    pub fn with_fault(mut self, fault: RecordingFault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// Every recording that was begun, oldest first.
    pub fn recordings(&self) -> Vec<Recorded> {
        self.recordings.read(Clone::clone)
    }

    /// The recording of this session, as soon as it is `wanted`.
    pub async fn wait_for(
        &self,
        session: &SessionId,
        wanted: impl Fn(&Recorded) -> bool,
    ) -> Recorded {
        self.recordings
            .expect(
                "recording",
                |recordings| {
                    let mut ours = recordings
                        .iter()
                        .filter(|recorded| recorded.info.session_id == *session);
                    ours.find(|recorded| wanted(recorded)).cloned()
                },
                |recordings| format!("{recordings:?}"),
            )
            .await
    }

    /// The recording of this session once it is finished.
    pub async fn finished(&self, session: &SessionId) -> Recorded {
        self.wait_for(session, |recorded| recorded.summary.is_some())
            .await
    }
}

#[async_trait]
impl RecordingSink for MockRecordingSink {
    fn name(&self) -> &'static str {
        "mock"
    }

    async fn open(&self, info: RecordingInfo) -> Result<Box<dyn RecordingWriter>, RecordingError> {
        if let Some(RecordingFault::Open) = self.fault {
            return Err(RecordingError::new("it cannot be opened"));
        }
        let place = self.recordings.change(|recordings| {
            recordings.push(Recorded {
                info,
                audio: Vec::new(),
                marks: Vec::new(),
                summary: None,
            });
            recordings.len() - 1
        });
        Ok(Box::new(MockWriter {
            sink: self.clone(),
            place,
        }))
    }
}

struct MockWriter {
    sink: MockRecordingSink,
    place: usize,
}

impl MockWriter {
    fn change(&self, change: impl FnOnce(&mut Recorded)) {
        self.sink
            .recordings
            .change(|recordings| change(&mut recordings[self.place]));
    }
}

#[async_trait]
impl RecordingWriter for MockWriter {
    async fn audio(&mut self, stereo: Bytes) -> Result<(), RecordingError> {
        match &self.sink.fault {
            Some(RecordingFault::Audio) => return Err(RecordingError::new("the disk is full")),
            Some(RecordingFault::Panic) => panic!("a sink that panics"),
            Some(RecordingFault::Hang(gate)) => gate.wait().await,
            Some(RecordingFault::Open) | None => {}
        }
        self.change(|recorded| recorded.audio.extend_from_slice(&stereo));
        Ok(())
    }

    async fn mark(&mut self, mark: RecordingMark) -> Result<(), RecordingError> {
        self.change(|recorded| recorded.marks.push(mark));
        Ok(())
    }

    async fn finish(&mut self, summary: RecordingSummary) -> Result<(), RecordingError> {
        self.change(|recorded| recorded.summary = Some(summary));
        Ok(())
    }
}

impl fmt::Debug for Recorded {
    /// Without the audio.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("info", &self.info)
            .field("bytes", &self.audio.len())
            .field("marks", &self.marks)
            .field("summary", &self.summary)
            .finish()
    }
}

impl fmt::Debug for MockRecordingSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MockRecordingSink")
            .field("fault", &self.fault)
            .finish_non_exhaustive()
    }
}
