//! Recordings as files. Nothing here works on the threads that carry calls.

use std::{
    fs::File,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    path::{Path, PathBuf},
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

use crate::{
    config::{OggOpusConfig, WavConfig},
    files,
    opus::OggOpus,
    wav::Wav,
};

/// Keeps recordings in a directory, two files for each.
#[derive(Debug, Clone)]
pub struct FileSink {
    directory: PathBuf,
    format: Format,
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
        let files = elsewhere(move || Files::create(&sink, &info)).await?;
        Ok(Box::new(FileWriter(Some(files))))
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

/// The files of one recording; absent while they are worked on, and after something went wrong.
struct FileWriter(Option<Files>);

impl FileWriter {
    async fn work(
        &mut self,
        work: impl FnOnce(&mut Files) -> io::Result<()> + Send + 'static,
    ) -> Result<(), RecordingError> {
        let mut files = self
            .0
            .take()
            .ok_or_else(|| RecordingError::new("the recording has failed before"))?;
        let files = elsewhere(move || work(&mut files).map(|()| files)).await?;
        self.0 = Some(files);
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
            files.note(&Line::End(summary))?;
            files.sidecar.sync_all()
        })
        .await
    }
}

/// Runs what may wait for a disk on a thread that may wait.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, RecordingError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| RecordingError::new(format!("the file: {error}")))
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
        let (name, sidecar) = files::create_sidecar(&sink.directory, id)?;
        let name = format!("{name}.{}", sink.format.extension());
        let file = files::create(&sink.directory.join(&name))?;
        let audio = match &sink.format {
            Format::Wav { rate } => Audio::Wav(Wav::new(file, *rate)?),
            Format::OggOpus(config) => {
                let serial = RandomState::new().hash_one(id) as u32;
                Audio::OggOpus(Box::new(OggOpus::new(file, serial, config)?))
            }
        };
        let mut files = Self { audio, sidecar };
        files.note(&Line::Session {
            format: sink.format.name(),
            audio: &name,
            channels: ["caller", "ai"],
            info,
        })?;
        Ok(files)
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
            Self::Wav(file) => file.finish(),
            Self::OggOpus(file) => file.finish(),
        }
    }
}
