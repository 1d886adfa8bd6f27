//! Hears where speech begins and ends, in audio time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use roomkit_core::audio::{duration_of, level_dbfs};

use super::config::EchoConfig;

/// The detector decides on windows of this length.
const WINDOW_MS: u32 = 10;
/// Loud windows in a row that make speech, so that a click does not.
const ONSET_WINDOWS: u32 = 6;
/// Speech goes on down to this far below the level at which it begins.
const HYSTERESIS_DB: f32 = 6.0;
/// What is kept of the silence that ended an utterance.
const TAIL_MS: u32 = 100;

/// A change the detector heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Started,
    Stopped(Utterance),
}

/// Something the user said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Utterance {
    /// The audio, with what came just before it.
    pub(super) pcm: Bytes,
    /// From the first loud moment to the last.
    pub(super) spoken: Duration,
}

/// The detector. Holds at most one utterance of the longest allowed.
#[derive(Debug)]
pub(super) struct Ears {
    audio: BytesMut,
    partial: BytesMut,
    loud_windows: u32,
    speech: Option<Speech>,
}

#[derive(Debug)]
struct Speech {
    /// Where in the audio it begins, in bytes.
    start: usize,
    /// Where the last loud window ended.
    last_loud: usize,
    /// The host says when it ends.
    manual: bool,
}

impl Ears {
    pub(super) fn new() -> Self {
        Self {
            audio: BytesMut::new(),
            partial: BytesMut::new(),
            loud_windows: 0,
            speech: None,
        }
    }

    /// Hears audio from the front of `rest` up to the next edge; to be called until it is empty.
    pub(super) fn hear(&mut self, config: &EchoConfig, rest: &mut &[u8]) -> Option<Edge> {
        let window = config.bytes(WINDOW_MS);
        while !rest.is_empty() {
            let take = window.saturating_sub(self.partial.len()).min(rest.len());
            let (now, later) = rest.split_at(take);
            self.partial.extend_from_slice(now);
            *rest = later;
            if self.partial.len() >= window {
                let edge = self.close_window(config);
                if edge.is_some() {
                    return edge;
                }
            }
        }
        None
    }

    /// The host says that the user begins to speak.
    pub(super) fn begin(&mut self) {
        self.forget();
        self.speech = Some(Speech {
            start: 0,
            last_loud: 0,
            manual: true,
        });
    }

    /// The host says that the user has finished.
    pub(super) fn finish(&mut self, config: &EchoConfig) -> Option<Utterance> {
        let speech = self.speech.take_if(|speech| speech.manual)?;
        Some(self.utterance(config, &speech, usize::MAX))
    }

    fn close_window(&mut self, config: &EchoConfig) -> Option<Edge> {
        let level = level_dbfs(&self.partial);
        let window = self.partial.split();
        let longest = config.bytes(config.max_utterance_ms);
        let Some(speech) = &mut self.speech else {
            self.audio.extend_from_slice(&window);
            return self.listen(config, level);
        };
        if level >= config.threshold_dbfs - HYSTERESIS_DB {
            speech.last_loud = self.audio.len() + window.len();
        }
        if speech.manual {
            // What is too long is cut; the host decides when it ends.
            if self.audio.len() + window.len() <= longest {
                self.audio.extend_from_slice(&window);
            }
            return None;
        }
        self.audio.extend_from_slice(&window);
        let quiet = self.audio.len() - speech.last_loud.min(self.audio.len());
        if quiet < config.bytes(config.silence_ms) && self.audio.len() < longest {
            return None;
        }
        let speech = self.speech.take()?;
        let tail = config.bytes(TAIL_MS);
        Some(Edge::Stopped(self.utterance(config, &speech, tail)))
    }

    fn listen(&mut self, config: &EchoConfig, level: f32) -> Option<Edge> {
        let loud = level >= config.threshold_dbfs;
        self.loud_windows = if loud { self.loud_windows + 1 } else { 0 };
        let onset = config.bytes(ONSET_WINDOWS * WINDOW_MS);
        let keep = onset + config.bytes(config.prefix_ms);
        if self.audio.len() > 2 * keep || self.loud_windows >= ONSET_WINDOWS {
            let excess = self.audio.len().saturating_sub(keep);
            let _ = self.audio.split_to(excess);
        }
        if self.loud_windows < ONSET_WINDOWS {
            return None;
        }
        self.loud_windows = 0;
        self.speech = Some(Speech {
            start: self.audio.len().saturating_sub(onset),
            last_loud: self.audio.len(),
            manual: false,
        });
        Some(Edge::Started)
    }

    /// What was heard, with at most `tail` bytes of the silence at its end.
    fn utterance(&mut self, config: &EchoConfig, speech: &Speech, tail: usize) -> Utterance {
        let mut pcm = self.audio.split();
        let end = speech.last_loud.saturating_add(tail).min(pcm.len());
        pcm.truncate(end);
        let spoken = speech.last_loud.min(end).saturating_sub(speech.start);
        self.forget();
        Utterance {
            pcm: pcm.freeze(),
            spoken: duration_of(spoken, config.sample_rate),
        }
    }

    fn forget(&mut self) {
        self.audio.clear();
        self.partial.clear();
        self.loud_windows = 0;
        self.speech = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> EchoConfig {
        EchoConfig {
            sample_rate: 16_000,
            silence_ms: 200,
            prefix_ms: 100,
            max_utterance_ms: 1000,
            ..EchoConfig::default()
        }
    }

    fn sound(ms: u32, amplitude: i16) -> Vec<u8> {
        let samples = config().bytes(ms) / 2;
        let samples = (0..samples).map(|n| if n % 20 < 10 { amplitude } else { -amplitude });
        samples.flat_map(i16::to_le_bytes).collect()
    }

    fn edges(audio: &[u8], chunk: usize) -> Vec<Edge> {
        let mut ears = Ears::new();
        let mut edges = Vec::new();
        for piece in audio.chunks(chunk) {
            let mut rest = piece;
            while !rest.is_empty() {
                edges.extend(ears.hear(&config(), &mut rest));
            }
        }
        edges
    }

    fn ms(utterance: &Utterance) -> (u128, u128) {
        let whole = duration_of(utterance.pcm.len(), 16_000);
        (whole.as_millis(), utterance.spoken.as_millis())
    }

    #[test]
    fn an_utterance_has_its_prefix_and_a_short_tail_whatever_the_chunks() {
        let audio = [sound(500, 0), sound(600, 4000), sound(400, 0)].concat();
        for chunk in [2, 31, 640, 1_000_000] {
            let edges = edges(&audio, chunk);
            let [Edge::Started, Edge::Stopped(utterance)] = &edges[..] else {
                panic!("{edges:?}");
            };
            assert_eq!(
                ms(utterance),
                (100 + 600 + 100, 600),
                "in chunks of {chunk}"
            );
        }
    }

    #[test]
    fn a_click_is_no_speech_and_a_pause_no_end() {
        let click = [sound(300, 0), sound(50, 9000), sound(400, 0)].concat();
        assert_eq!(edges(&click, 640), []);
        let pause = [
            sound(200, 4000),
            sound(150, 0),
            sound(200, 4000),
            sound(300, 0),
        ]
        .concat();
        assert_eq!(edges(&pause, 640).len(), 2);
    }

    #[test]
    fn speech_goes_on_below_the_level_at_which_it_begins() {
        // -40 dBFS is an amplitude of 328; -46 dBFS is 164.
        assert_eq!(edges(&sound(900, 250), 640), [], "too quiet to begin");
        let fading = [sound(200, 4000), sound(500, 250), sound(300, 0)].concat();
        let edges = edges(&fading, 640);
        let Some(Edge::Stopped(utterance)) = edges.last() else {
            panic!("{edges:?}");
        };
        assert_eq!(ms(utterance).1, 700);
    }

    #[test]
    fn speech_without_end_is_cut_at_the_limit() {
        let edges = edges(&sound(3500, 4000), 640);
        let stops = edges.iter().filter(|edge| matches!(edge, Edge::Stopped(_)));
        assert_eq!(stops.count(), 3);
        for edge in &edges {
            if let Edge::Stopped(utterance) = edge {
                assert!(ms(utterance).0 <= 1000);
            }
        }
    }

    #[test]
    fn the_host_may_say_when_speech_begins_and_ends() {
        let mut ears = Ears::new();
        ears.begin();
        let audio = [sound(100, 0), sound(300, 4000), sound(900, 0)].concat();
        assert_eq!(ears.hear(&config(), &mut &audio[..]), None);
        let utterance = ears.finish(&config()).unwrap();
        assert_eq!(ms(&utterance), (1000, 400), "cut at the limit");
        assert_eq!(ears.finish(&config()), None);
    }
}
