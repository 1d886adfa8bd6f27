#![doc = include_str!("../README.md")]

mod config;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod ogg;
mod opus;
mod sink;
mod wav;

use std::sync::Arc;

use roomkit_core::{
    recording::RecordingSink,
    registry::{ConfigError, RecordingSinkPlugin, inventory, read_config},
};
use serde_json::Value;

pub use config::{OggOpusConfig, WavConfig};
pub use sink::FileSink;

inventory::submit! {
    RecordingSinkPlugin {
        name: "ogg_opus",
        about: "Ogg Opus files with a sidecar of turns and times",
        build: build_ogg_opus,
    }
}

inventory::submit! {
    RecordingSinkPlugin {
        name: "wav",
        about: "WAV files with a sidecar of turns and times",
        build: build_wav,
    }
}

fn build_ogg_opus(config: Value) -> Result<Arc<dyn RecordingSink>, ConfigError> {
    Ok(Arc::new(FileSink::ogg_opus(&read_config(config)?)?))
}

fn build_wav(config: Value) -> Result<Arc<dyn RecordingSink>, ConfigError> {
    Ok(Arc::new(FileSink::wav(&read_config(config)?)?))
}
