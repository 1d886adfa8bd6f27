//! `realtimeInput`: the user's audio, text, pictures, and the edges of their activity.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value, json};

use super::answer::{Cause, Heard};
use super::engine::Engine;
use super::life::duration_text;
use super::memory::{Speaker, Turn};
use super::refusal::Refusal;
use super::setup::{Setup, check_characters};
use crate::fake::audio::AudioFormat;
use crate::fake::vad::Edge;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

impl Engine {
    pub(super) fn realtime_input(&mut self, input: &Value) -> Result<(), Refusal> {
        let fields = input.as_object().map_or(0, Map::len);
        if input.get("mediaChunks").is_some() {
            return Err(Refusal::media_chunks());
        }
        if fields != 1 {
            let detail = format!("realtimeInput has exactly one field, this one has {fields}");
            return Err(Refusal::invalid_argument(detail).at("realtime_input"));
        }
        // Whoever speaks in real time has no more history to give.
        self.seeding = false;
        if let Some(audio) = input.get("audio") {
            self.audio(audio)
        } else if let Some(video) = input.get("video") {
            self.video(video)
        } else if let Some(text) = input["text"].as_str() {
            self.text(text)
        } else if input.get("activityStart").is_some() {
            self.activity_start()
        } else if input.get("activityEnd").is_some() {
            self.activity_end()
        } else if input["audioStreamEnd"] == true {
            self.audio_stream_end()
        } else {
            Ok(())
        }
    }

    /// Refuses text and pictures while a blocking call has no result.
    pub(super) fn check_not_blocked(&self, path: &str) -> Result<(), Refusal> {
        if self.calls.any_blocking() {
            let detail = "a blocking tool call waits for its response";
            return Err(Refusal::invalid_argument(detail).at(path));
        }
        Ok(())
    }

    /// Whether the client takes the turns itself.
    fn is_manual(&self) -> bool {
        let setup = self.setup.as_ref();
        setup.is_some_and(|setup| setup.detection.is_none())
    }

    fn audio(&mut self, blob: &Value) -> Result<(), Refusal> {
        let path = "realtime_input.audio";
        let mime = blob["mimeType"].as_str().unwrap_or_default();
        let Some(rate) = pcm_rate(mime) else {
            let detail = format!("mimeType '{mime}' is not audio/pcm;rate=N");
            return Err(Refusal::invalid_argument(detail).at(&format!("{path}.mime_type")));
        };
        let data = blob["data"].as_str().unwrap_or_default();
        if self.hub.options.common.relay {
            self.relay(data);
            return Ok(());
        }
        let pcm = decode(data, &format!("{path}.data"))?;
        let keep = self.hub.options.common.record_audio;
        self.record.change(|state| state.heard(&pcm, rate, keep));
        if pcm.len() % 2 != 0 {
            self.object("audio of half a sample", Some(&format!("{path}.data")));
        }
        if rate != self.rate {
            self.rate = rate;
            let detection = self.setup.as_ref().and_then(|setup| setup.detection);
            self.input.configure(AudioFormat::Pcm(rate), detection);
        }
        self.listen(&pcm);
        Ok(())
    }

    /// Sends the payload straight back: the shortest way through, for measuring a round trip.
    fn relay(&mut self, data: &str) {
        let bytes = (data.len() / 4 * 3) as u64;
        self.record.change(|state| {
            state.appends += 1;
            state.audio_bytes += bytes;
        });
        let part = json!({"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}});
        self.writer
            .content(json!({"modelTurn": {"role": "model", "parts": [part]}}));
    }

    /// Runs audio through the detector.
    fn listen(&mut self, audio: &[u8]) {
        let mut rest = audio;
        while !rest.is_empty() {
            match self.input.feed(&mut rest) {
                Some(Edge::Started { .. }) => self.speech_started(),
                Some(Edge::Stopped { .. }) => self.speech_stopped(),
                None => {}
            }
        }
    }

    fn speech_started(&mut self) {
        self.user_active = true;
        self.signal("ACTIVITY_START");
        self.transcribe_start();
        if self.setup.as_ref().is_some_and(|setup| setup.interrupts) {
            self.interrupt();
        }
    }

    fn speech_stopped(&mut self) {
        self.user_active = false;
        self.signal("ACTIVITY_END");
        let deaf = self.setup.as_ref().is_some_and(|setup| setup.deaf);
        let format = AudioFormat::Pcm(self.rate);
        let audio = self.input.take();
        if deaf {
            self.speech = None;
            return;
        }
        let text = self.transcribe_end();
        self.remember(Turn {
            audio_ms: format.duration_ms(audio.len()),
            ..Turn::new(Speaker::User, text.clone().unwrap_or_default())
        });
        self.heard = Heard {
            audio,
            format: Some(format),
            text,
        };
        self.begin(Cause::Speech);
    }

    fn signal(&mut self, kind: &str) {
        if self.setup.as_ref().is_some_and(Setup::signals_activity) {
            let offset = Duration::from_millis(self.input.position_ms());
            self.writer.message(json!({"voiceActivity": {
                "voiceActivityType": kind, "audioOffset": duration_text(offset)}}));
        }
    }

    fn video(&mut self, blob: &Value) -> Result<(), Refusal> {
        let path = "realtime_input.video";
        let mime = blob["mimeType"].as_str().unwrap_or_default();
        if !["image/jpeg", "image/png"].contains(&mime) {
            let detail = format!("mimeType '{mime}' is neither image/jpeg nor image/png");
            return Err(Refusal::invalid_argument(detail).at(&format!("{path}.mime_type")));
        }
        decode(blob["data"].as_str().unwrap_or_default(), path)?;
        self.check_not_blocked(path)
    }

    fn text(&mut self, text: &str) -> Result<(), Refusal> {
        let path = "realtime_input.text";
        check_characters(text, path)?;
        self.check_not_blocked(path)?;
        if self.setup.as_ref().is_some_and(|setup| setup.interrupts) {
            self.interrupt();
        }
        self.remember(Turn::new(Speaker::User, text));
        self.begin(Cause::Text(text.to_owned()));
        Ok(())
    }

    fn activity_start(&mut self) -> Result<(), Refusal> {
        let path = "realtime_input.activity_start";
        self.check_manual(path)?;
        if self.user_active {
            self.object("activityStart after activityStart", Some(path));
            return Ok(());
        }
        let setup = self.setup.as_ref();
        let coverage = setup.map(|setup| &setup.json["realtimeInputConfig"]["turnCoverage"]);
        if coverage.is_none_or(|coverage| coverage != "TURN_INCLUDES_ALL_INPUT") {
            // Only what comes between start and end belongs to the turn.
            self.input.take();
        }
        self.speech_started();
        Ok(())
    }

    fn activity_end(&mut self) -> Result<(), Refusal> {
        let path = "realtime_input.activity_end";
        self.check_manual(path)?;
        if !self.user_active {
            self.object("activityEnd without activityStart", Some(path));
            return Ok(());
        }
        if self.input.is_empty() {
            // An activity without audio interrupts, and leaves nothing to answer.
            self.user_active = false;
            self.speech = None;
            self.signal("ACTIVITY_END");
            if self.generation.is_none() {
                self.begin_queued();
            }
            return Ok(());
        }
        self.speech_stopped();
        Ok(())
    }

    fn check_manual(&self, path: &str) -> Result<(), Refusal> {
        if self.is_manual() {
            return Ok(());
        }
        let detail = "activity is detected automatically; disable that first";
        Err(Refusal::invalid_argument(detail).at(path))
    }

    /// The microphone is off: what is being said is over.
    fn audio_stream_end(&mut self) -> Result<(), Refusal> {
        let path = "realtime_input.audio_stream_end";
        if self.is_manual() || self.service.is_vertex() {
            let detail = "audioStreamEnd goes with automatic detection, and not with Vertex";
            return Err(Refusal::invalid_argument(detail).at(path));
        }
        if self.user_active {
            self.speech_stopped();
        }
        Ok(())
    }
}

/// The rate of `audio/pcm` with or without `;rate=N`, in Hz.
fn pcm_rate(mime: &str) -> Option<u32> {
    let (kind, parameters) = mime.split_once(';').unwrap_or((mime, ""));
    if kind.trim() != "audio/pcm" {
        return None;
    }
    match parameters.trim() {
        "" => Some(16_000),
        rate => {
            let rate = rate.strip_prefix("rate=")?.trim().parse().ok()?;
            (8_000..=96_000).contains(&rate).then_some(rate)
        }
    }
}

/// Base64 of either alphabet, padded or not.
fn decode(data: &str, path: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD
        .decode(data)
        .or_else(|_| URL_SAFE.decode(data))
        .map_err(|_| {
            let got = Value::from(data);
            Refusal::wrong_type(path, "TYPE_BYTES", &got)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_from_the_mime_type() {
        assert_eq!(pcm_rate("audio/pcm"), Some(16_000));
        assert_eq!(pcm_rate("audio/pcm;rate=24000"), Some(24_000));
        assert_eq!(pcm_rate("audio/pcm; rate=8000"), Some(8_000));
        assert_eq!(pcm_rate("audio/pcm;rate=0"), None);
        assert_eq!(pcm_rate("audio/wav"), None);
    }

    #[test]
    fn base64_comes_in_every_dress() {
        for data in ["+/8=", "+/8", "-_8=", "-_8"] {
            assert_eq!(decode(data, "x"), Ok(vec![0xfb, 0xff]), "{data}");
        }
        assert!(decode("!!", "x").is_err());
    }
}
