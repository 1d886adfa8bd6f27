//! Records one session, in a task of its own: however long the sink takes, the call goes on
//! (contract V4).

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    RecordingDecision, RecordingError, RecordingInfo, RecordingMark, RecordingMarkKind,
    RecordingSink, RecordingSummary, RecordingWriter,
    timeline::{BLOCK, Timeline},
    unrecorded::Unrecorded,
};
use crate::{
    call::{Moment, Sound},
    guard,
    provider::Role,
};

/// Pieces that may wait for the sink: a call makes about a hundred a second.
const QUEUE: usize = 1024;
/// How long one call of a sink may take.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the end of a recording is waited for, with all that still stands in its queue.
pub(crate) const RECORDING_ENDS: Duration = Duration::from_secs(8);

/// Something for the recording. Times are the call's.
#[derive(Debug)]
pub(crate) enum Piece {
    /// It begins.
    Begins { at: Moment, by: RecordingDecision },
    /// From here on nothing is kept.
    Paused { at: Moment, by: RecordingDecision },
    /// It goes on.
    Resumed { at: Moment, by: RecordingDecision },
    /// Somebody was heard.
    Sound(Sound),
    /// Something happened, or may have begun to.
    Mark {
        at: Moment,
        since: Moment,
        kind: RecordingMarkKind,
    },
    /// All that there is to tell has been told.
    Ends,
}

/// Where pieces wait for the recording; full or not, giving one costs no time.
#[derive(Debug, Clone)]
pub(crate) struct RecorderQueue {
    pieces: mpsc::Sender<Piece>,
    shared: Arc<Shared>,
}

/// What has to be known of a recording even where its queue is full.
#[derive(Debug, Default)]
struct Shared {
    /// Pieces that are missing.
    missed: AtomicU64,
    /// When the call ended, if it has.
    ended: OnceLock<Moment>,
    unrecorded: Mutex<Unrecorded>,
    /// How many milliseconds after their first words the user's speech may be noticed, by the slowest of
    /// the connections so far.
    speech_lag: AtomicU64,
}

impl Shared {
    /// How far a call is that began then.
    fn now(&self, began: Instant) -> Moment {
        let ended = self.ended.get().copied();
        ended.unwrap_or_else(|| began.elapsed())
    }

    fn speech_lag(&self) -> Duration {
        Duration::from_millis(self.speech_lag.load(Ordering::Relaxed))
    }

    fn unrecorded(&self) -> MutexGuard<'_, Unrecorded> {
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl RecorderQueue {
    /// A connection that notices the user's speech so much later than their first words.
    pub(crate) fn expect_lag(&self, speech_lag: Duration) {
        let lag = u64::try_from(speech_lag.as_millis()).unwrap_or(u64::MAX);
        self.shared.speech_lag.fetch_max(lag, Ordering::Relaxed);
    }

    /// Recording begins or goes on. What was said `since` may be kept.
    pub(crate) fn record(&self, since: Moment, piece: Piece) -> bool {
        self.shared.unrecorded().ends(since);
        self.give(piece)
    }

    /// Nothing is kept from here on.
    pub(crate) fn pause(&self, at: Moment, piece: Piece) -> bool {
        self.shared.unrecorded().begins(at);
        self.give(piece)
    }

    /// Gives a piece to the recording. False: it is missing, because the recording does not keep up, or
    /// because hooks let it through only after the end.
    pub(crate) fn give(&self, piece: Piece) -> bool {
        match self.pieces.try_send(piece) {
            Err(TrySendError::Full(_)) => {
                self.shared.missed.fetch_add(1, Ordering::Relaxed);
                false
            }
            // A recording that failed misses nothing more.
            Err(TrySendError::Closed(Piece::Mark { at, since, .. })) => {
                self.shared.ended.get().is_none() || self.shared.unrecorded().touches(since, at)
            }
            Ok(()) | Err(TrySendError::Closed(_)) => true,
        }
    }
}

/// A session's recording as its call sees it.
pub(crate) struct Recorder {
    pub(crate) queue: RecorderQueue,
    failed: oneshot::Receiver<RecordingError>,
    task: JoinHandle<Option<RecordingSummary>>,
}

impl Recorder {
    /// Waits for the recording's beginning. `info` is completed then.
    pub(crate) fn start(sink: Arc<dyn RecordingSink>, info: RecordingInfo, began: Instant) -> Self {
        let (pieces, from_call) = mpsc::channel(QUEUE);
        let (failure, failed) = oneshot::channel();
        let shared = Arc::new(Shared::default());
        let queue = RecorderQueue {
            pieces,
            shared: Arc::clone(&shared),
        };
        let task = tokio::spawn(async move {
            match record(sink, info, began, from_call, shared).await {
                Ok(summary) => summary,
                Err(error) => {
                    let _ = failure.send(error);
                    None
                }
            }
        });
        Self {
            queue,
            failed,
            task,
        }
    }

    /// Why it went wrong before its end, as soon as it does.
    pub(crate) async fn failure(&mut self) -> RecordingError {
        (&mut self.failed).await.unwrap_or_else(|_| defect())
    }

    /// The call is over, and so is the recording; only what is still to be told of it follows.
    pub(crate) fn call_ended(&self, at: Moment) {
        let _ = self.queue.shared.ended.set(at); // It ends once.
    }

    /// Nothing follows any more. What the recording came to, `None` if it never began, or why it failed.
    pub(crate) async fn finish(mut self) -> Result<Option<RecordingSummary>, RecordingError> {
        let ending = async {
            // Here there is time to wait for a place in the queue.
            let _ = self.queue.pieces.send(Piece::Ends).await;
            (&mut self.task).await
        };
        let Ok(ended) = timeout(RECORDING_ENDS, ending).await else {
            self.task.abort();
            return Err(RecordingError::new(format!(
                "the sink did not finish within {RECORDING_ENDS:?}"
            )));
        };
        match self.failed.try_recv() {
            Ok(error) => Err(error),
            Err(_) => ended.map_err(|_| defect()),
        }
    }
}

fn defect() -> RecordingError {
    RecordingError::new("it failed inside")
}

/// The life of a recording; one that never begins leaves nothing behind.
async fn record(
    sink: Arc<dyn RecordingSink>,
    mut info: RecordingInfo,
    began: Instant,
    mut pieces: mpsc::Receiver<Piece>,
    shared: Arc<Shared>,
) -> Result<Option<RecordingSummary>, RecordingError> {
    let (zero, consent) = loop {
        match pieces.recv().await {
            Some(Piece::Begins { at, by }) => break (at, by),
            Some(Piece::Ends) | None => return Ok(None),
            // What was before is not recorded.
            Some(_) => {}
        }
    };
    info.started_at = Timestamp::now();
    info.consent = consent;
    let rate = info.sample_rate;
    let mut tape = Tape {
        writer: called(sink.open(info)).await?,
        timeline: Timeline::new(rate, zero),
        now: zero,
        shared,
        told_missed: 0,
    };
    loop {
        let piece = match timeout(BLOCK, pieces.recv()).await {
            Ok(Some(Piece::Ends) | None) => {
                let end = tape.shared.now(began);
                return tape.finish(end).await.map(Some);
            }
            Ok(Some(piece)) => Some(piece),
            // Nobody speaks, and time goes on. Everything that is queued is older than this.
            Err(_) => None,
        };
        match piece {
            Some(piece) => tape.take(piece).await?,
            None => tape.now = tape.shared.now(began),
        }
        tape.write().await?;
    }
}

/// Awaits the sink, for no longer than it may take; a panic in it is a failure (contract S8).
async fn called<T>(
    call: impl Future<Output = Result<T, RecordingError>> + Send,
) -> Result<T, RecordingError> {
    guard::call(LIMIT, call)
        .await
        .unwrap_or_else(|failure| Err(RecordingError::new(format!("the sink failed: {failure}"))))
}

/// A recording that has begun.
struct Tape {
    writer: Box<dyn RecordingWriter>,
    timeline: Timeline,
    /// How far the call is, as far as is known here.
    now: Moment,
    shared: Arc<Shared>,
    told_missed: u64,
}

impl Tape {
    async fn take(&mut self, piece: Piece) -> Result<(), RecordingError> {
        match piece {
            Piece::Sound(sound) => {
                self.now = self.now.max(sound.begins);
                if !self.timeline.push(&sound) {
                    self.shared.missed.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
            Piece::Paused { at, by } => {
                self.now = self.now.max(at);
                self.mark(at, RecordingMarkKind::Paused { by }).await
            }
            Piece::Resumed { at, by } => {
                self.now = self.now.max(at);
                self.mark(at, RecordingMarkKind::Resumed { by }).await
            }
            Piece::Mark { at, since, kind } => {
                let until = match kind {
                    // Words cannot be cut where the pause was.
                    RecordingMarkKind::Transcript { .. } => self.now.max(at),
                    _ => at,
                };
                let from = match kind {
                    RecordingMarkKind::Transcript {
                        role: Role::User, ..
                    } => since.min(at.saturating_sub(self.shared.speech_lag())),
                    _ => at,
                };
                if self.shared.unrecorded().touches(from, until) {
                    return Ok(());
                }
                self.mark(at, kind).await
            }
            // It has begun, and its end is seen where pieces come from.
            Piece::Begins { .. } | Piece::Ends => Ok(()),
        }
    }

    async fn mark(&mut self, at: Moment, kind: RecordingMarkKind) -> Result<(), RecordingError> {
        let at = self.timeline.time(at);
        called(self.writer.mark(RecordingMark::new(at, kind))).await
    }

    /// Writes all audio that is settled.
    async fn write(&mut self) -> Result<(), RecordingError> {
        while let Some(block) = self.timeline.next_block(self.now) {
            called(self.writer.audio(block)).await?;
            self.mark_missed().await?;
        }
        Ok(())
    }

    /// Marks what is missing and has not been marked, if something is.
    async fn mark_missed(&mut self) -> Result<(), RecordingError> {
        let missed = self.shared.missed.load(Ordering::Relaxed);
        let pieces = missed - std::mem::replace(&mut self.told_missed, missed);
        if pieces == 0 {
            return Ok(());
        }
        self.mark(self.now, RecordingMarkKind::Missed { pieces })
            .await
    }

    async fn finish(mut self, end: Moment) -> Result<RecordingSummary, RecordingError> {
        while let Some(block) = self.timeline.last_block(end) {
            called(self.writer.audio(block)).await?;
        }
        self.mark_missed().await?;
        let summary = RecordingSummary::new(self.timeline.length(), self.told_missed);
        called(self.writer.finish(summary)).await?;
        Ok(summary)
    }
}
