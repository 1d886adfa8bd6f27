//! Recordings as files. Nothing here works on the threads that carry calls.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use roomkit_core::{
    error::ConfigError,
    recording::{
        RecordingError, RecordingInfo, RecordingMark, RecordingSink, RecordingSummary,
        RecordingWriter,
    },
};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{
    config::{OggOpusConfig, WavConfig},
    files,
    opus::OggOpus,
    wav::Wav,
};

/// Threads of the process that may wait for a sink's disk. One that hangs gives back none, and others
/// need some too, such as who looks up a name.
const THREADS: usize = 64;

/// Keeps recordings in a directory, two files for each.
#[derive(Debug, Clone)]
pub struct FileSink {
    directory: PathBuf,
    format: Format,
    threads: Threads,
}

#[derive(Debug, Clone)]
enum Format {
    Wav { rate: u32 },
    OggOpus(OggOpusConfig),
}

impl FileSink {
    /// WAV files. Makes the directory if it is not there.
    ///
    /// # Errors
    ///
    /// When a setting is out of range, or the directory cannot be written.
    pub fn wav(config: &WavConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let rate = config.sample_rate;
        Self::new(&config.directory, Format::Wav { rate })
    }

    /// Ogg Opus files. Makes the directory if it is not there.
    ///
    /// # Errors
    ///
    /// When a setting is out of range, or the directory cannot be written.
    pub fn ogg_opus(config: &OggOpusConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Self::new(&config.directory, Format::OggOpus(config.clone()))
    }

    fn new(directory: &Path, format: Format) -> Result<Self, ConfigError> {
        files::check_directory(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            format,
            threads: Threads::new(),
        })
    }
}

#[async_trait]
impl RecordingSink for FileSink {
    fn name(&self) -> &str {
        self.format.name()
    }

    fn sample_rate(&self) -> u32 {
        match &self.format {
            Format::Wav { rate } => *rate,
            Format::OggOpus(config) => config.sample_rate,
        }
    }

    async fn open(&self, info: RecordingInfo) -> Result<Box<dyn RecordingWriter>, RecordingError> {
        let sink = self.clone();
        let files = self.threads.run(move || Files::create(&sink, &info));
        Ok(Box::new(FileWriter {
            files: Some(files.await?),
            threads: self.threads.clone(),
        }))
    }
}

impl Format {
    fn name(&self) -> &'static str {
        match self {
            Self::Wav { .. } => "wav",
            Self::OggOpus(_) => "ogg_opus",
        }
    }

    fn extension(&self) -> &'static str {
        match self {
            Self::Wav { .. } => "wav",
            Self::OggOpus(_) => "opus",
        }
    }
}

/// Writes one recording.
struct FileWriter {
    /// Absent while they are worked on, and after something went wrong.
    files: Option<Files>,
    threads: Threads,
}

impl FileWriter {
    async fn work(
        &mut self,
        work: impl FnOnce(&mut Files) -> io::Result<()> + Send + 'static,
    ) -> Result<(), RecordingError> {
        let mut files = self
            .files
            .take()
            .ok_or_else(|| RecordingError::new("the recording has failed before"))?;
        let done = self.threads.run(move || work(&mut files).map(|()| files));
        self.files = Some(done.await?);
        Ok(())
    }
}

#[async_trait]
impl RecordingWriter for FileWriter {
    async fn audio(&mut self, stereo: Bytes) -> Result<(), RecordingError> {
        self.work(move |files| files.audio.write(&stereo)).await
    }

    async fn mark(&mut self, mark: RecordingMark) -> Result<(), RecordingError> {
        self.work(move |files| files.note(&mark)).await
    }

    async fn finish(&mut self, summary: RecordingSummary) -> Result<(), RecordingError> {
        self.work(move |files| {
            files.audio.finish()?;
            files.note(&Line::End(summary))
        })
        .await
    }
}

/// The threads that may wait for a disk.
#[derive(Debug, Clone)]
struct Threads(Arc<Semaphore>);

impl Threads {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(THREADS)))
    }

    /// Runs what may wait for the disk on one of them, as soon as one is free. Nobody waits for that
    /// longer than for the disk itself: the engine gives both up together.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, RecordingError> {
        let failed = |error| RecordingError::new(format!("the file: {error}"));
        let free = Arc::clone(&self.0).acquire_owned().await;
        let busy = free.map_err(|error| failed(io::Error::other(error)))?;
        let working = tokio::task::spawn_blocking(move || {
            // Whoever asked may have given up; the thread is free when the disk has answered.
            let _busy = busy;
            work()
        });
        let done = working.await.map_err(io::Error::other).flatten();
        done.map_err(failed)
    }
}

struct Files {
    audio: Audio,
    sidecar: File,
}

enum Audio {
    Wav(Wav),
    OggOpus(Box<OggOpus>),
}

/// The lines of a sidecar that are no marks.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Session {
        format: &'static str,
        audio: &'a str,
        channels: [&'static str; 2],
        #[serde(flatten)]
        info: &'a RecordingInfo,
    },
    End(RecordingSummary),
}

impl Files {
    fn create(sink: &FileSink, info: &RecordingInfo) -> io::Result<Self> {
        let id = info.session_id.as_str();
        files::create_pair(&sink.directory, id, sink.format.extension(), |new| {
            let audio = match &sink.format {
                Format::Wav { rate } => Audio::Wav(Wav::new(new.audio, *rate)?),
                Format::OggOpus(config) => {
                    let serial = RandomState::new().hash_one(id) as u32;
                    Audio::OggOpus(Box::new(OggOpus::new(new.audio, serial, config)?))
                }
            };
            let sidecar = new.sidecar;
            let mut files = Self { audio, sidecar };
            files.note(&Line::Session {
                format: sink.format.name(),
                audio: &new.audio_name,
                channels: ["caller", "ai"],
                info,
            })?;
            Ok(files)
        })
    }

    /// Writes a line of the sidecar, in one piece.
    fn note(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        self.sidecar.write_all(&line)
    }
}

impl Audio {
    fn write(&mut self, stereo: &[u8]) -> io::Result<()> {
        match self {
            Self::Wav(file) => file.write(stereo),
            Self::OggOpus(file) => file.write(stereo),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        match self {
            // It is whole after each block.
            Self::Wav(_) => Ok(()),
            Self::OggOpus(file) => file.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::RwLock, task::Poll, time::Duration};

    use tokio::{net::lookup_host, runtime::Builder, time::timeout};

    use super::*;

    #[test]
    fn v4_a_disk_that_hangs_leaves_threads_to_others() {
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(THREADS + 1)
            .enable_all()
            .build()
            .unwrap();
        let (threads, disk) = (Threads::new(), Arc::new(RwLock::new(())));
        let hangs = disk.write().unwrap();
        let mut recordings: Vec<_> = (0..2 * THREADS)
            .map(|_| {
                let disk = Arc::clone(&disk);
                Box::pin(threads.run(move || {
                    drop(disk.read());
                    Ok(())
                }))
            })
            .collect();
        runtime.block_on(async {
            poll_fn(|context| {
                for recording in &mut recordings {
                    assert!(recording.as_mut().poll(context).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            // As every dial does.
            let found = timeout(Duration::from_secs(30), lookup_host("localhost:1")).await;
            assert!(found.expect("a thread is left").unwrap().count() > 0);
        });
        drop(hangs);
        for recording in recordings {
            runtime.block_on(recording).unwrap();
        }
    }
}
