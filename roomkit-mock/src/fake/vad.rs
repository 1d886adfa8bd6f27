//! The input audio buffer and the voice activity detector in front of it.
//!
//! All times are audio time: milliseconds of audio appended since the session began. The same
//! audio gives the same turns however fast it arrives.

use super::audio::AudioFormat;

/// The detector decides on windows of this length.
const WINDOW_MS: u64 = 10;
/// Consecutive loud windows that make speech, so that a click does not.
const ONSET_WINDOWS: u64 = 3;

/// How turns of the user are found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Detection {
    /// 0..=1, where 0.5 stands for the level the fake was built with.
    pub(crate) threshold: f64,
    /// Audio before the speech that belongs to the turn.
    pub(crate) prefix_ms: u64,
    /// Silence that ends the turn.
    pub(crate) silence_ms: u64,
}

/// A change the detector saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    /// Speech began; the time includes the prefix padding.
    Started { audio_start_ms: u64 },
    /// Speech was followed by enough silence; the time includes that silence.
    Stopped { audio_end_ms: u64 },
}

/// Audio appended and not yet committed.
#[derive(Debug)]
pub(crate) struct InputBuffer {
    format: AudioFormat,
    detection: Option<Detection>,
    /// Root mean square that counts as loud at `threshold` 0.5.
    speech_level: f64,
    /// Uncommitted audio, whole windows only while detection is on.
    audio: Vec<u8>,
    /// The tail of an append that fills no window yet.
    partial: Vec<u8>,
    /// Audio time before the last change of format.
    earlier_ms: u64,
    /// Bytes of the current format appended since.
    bytes: usize,
    loud_windows: u64,
    quiet_windows: u64,
    speaking: bool,
}

impl InputBuffer {
    pub(crate) fn new(
        format: AudioFormat,
        detection: Option<Detection>,
        speech_level: f64,
    ) -> Self {
        Self {
            format,
            detection,
            speech_level,
            audio: Vec::new(),
            partial: Vec::new(),
            earlier_ms: 0,
            bytes: 0,
            loud_windows: 0,
            quiet_windows: 0,
            speaking: false,
        }
    }

    /// Takes over a changed session configuration.
    pub(crate) fn configure(&mut self, format: AudioFormat, detection: Option<Detection>) {
        if format != self.format {
            self.audio = self.format.convert(&self.audio, format);
            self.partial.clear();
            self.earlier_ms = self.position_ms();
            self.bytes = 0;
            self.format = format;
        }
        if detection.is_none() {
            self.audio.append(&mut self.partial);
            self.reset_detector();
        }
        self.detection = detection;
    }

    /// Audio appended since the session began.
    pub(crate) fn position_ms(&self) -> u64 {
        self.earlier_ms + self.format.duration_ms(self.bytes)
    }

    /// Takes audio from the front of `rest` up to the next edge; call again until it is empty.
    pub(crate) fn feed(&mut self, rest: &mut &[u8]) -> Option<Edge> {
        if self.detection.is_none() {
            self.bytes += rest.len();
            self.audio.extend_from_slice(rest);
            *rest = &[];
            return None;
        }
        let window = self.format.bytes_in_ms(WINDOW_MS);
        while !rest.is_empty() {
            let take = (window - self.partial.len()).min(rest.len());
            let (now, later) = rest.split_at(take);
            self.partial.extend_from_slice(now);
            self.bytes += take;
            *rest = later;
            if self.partial.len() == window {
                let edge = self.close_window();
                if edge.is_some() {
                    return edge;
                }
            }
        }
        None
    }

    /// How much a client could commit now, in milliseconds. While detection is on the server takes
    /// turns by itself, and outside of speech a client finds nothing left.
    pub(crate) fn uncommitted_ms(&self) -> f64 {
        if self.detection.is_some() && !self.speaking {
            return 0.0;
        }
        self.format.exact_ms(self.audio.len() + self.partial.len())
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.audio.is_empty() && self.partial.is_empty()
    }

    /// Empties the buffer; what it held is the user's turn.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let mut audio = std::mem::take(&mut self.audio);
        audio.append(&mut self.partial);
        self.reset_detector();
        audio
    }

    fn close_window(&mut self) -> Option<Edge> {
        let detection = self.detection?;
        let needed = self.speech_level * detection.threshold / 0.5;
        let loud = self.format.level(&self.partial) >= needed;
        self.audio.append(&mut self.partial);
        if self.speaking {
            self.quiet_windows = if loud { 0 } else { self.quiet_windows + 1 };
            if self.quiet_windows * WINDOW_MS < detection.silence_ms.max(WINDOW_MS) {
                return None;
            }
            self.reset_detector();
            return Some(Edge::Stopped {
                audio_end_ms: self.position_ms(),
            });
        }
        self.loud_windows = if loud { self.loud_windows + 1 } else { 0 };
        let keep_ms = detection.prefix_ms + ONSET_WINDOWS * WINDOW_MS;
        if self.loud_windows < ONSET_WINDOWS {
            // Trimming only now and then keeps long silences cheap.
            if self.format.duration_ms(self.audio.len()) > 2 * keep_ms + 1000 {
                self.keep_last(keep_ms);
            }
            return None;
        }
        self.keep_last(keep_ms);
        self.speaking = true;
        self.quiet_windows = 0;
        Some(Edge::Started {
            audio_start_ms: self
                .position_ms()
                .saturating_sub(self.format.duration_ms(self.audio.len())),
        })
    }

    fn keep_last(&mut self, milliseconds: u64) {
        let keep = self.format.bytes_in_ms(milliseconds);
        let excess = self.audio.len().saturating_sub(keep);
        self.audio.drain(..excess);
    }

    fn reset_detector(&mut self) {
        self.speaking = false;
        self.loud_windows = 0;
        self.quiet_windows = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DETECTION: Detection = Detection {
        threshold: 0.5,
        prefix_ms: 300,
        silence_ms: 200,
    };

    fn edges(format: AudioFormat, chunk: usize) -> (Vec<Edge>, usize) {
        let mut buffer = InputBuffer::new(format, Some(DETECTION), 500.0);
        let silence = AudioFormat::PCM_24K.convert(&vec![0; 48_000], format);
        let audio = [silence.clone(), format.tone(600), silence].concat();
        let mut found = Vec::new();
        let mut turn = 0;
        for piece in audio.chunks(chunk) {
            let mut rest = piece;
            while !rest.is_empty() {
                if let Some(edge) = buffer.feed(&mut rest) {
                    if matches!(edge, Edge::Stopped { .. }) {
                        turn = buffer.take().len();
                    }
                    found.push(edge);
                }
            }
        }
        (found, turn)
    }

    #[test]
    fn turns_depend_on_audio_time_only() {
        for format in [
            AudioFormat::PCM_24K,
            AudioFormat::Pcm(16_000),
            AudioFormat::Mulaw,
            AudioFormat::Alaw,
        ] {
            for chunk in [160, 333, 4800, 1_000_000] {
                let (found, turn) = edges(format, chunk);
                let expected = [
                    Edge::Started {
                        audio_start_ms: 700,
                    },
                    Edge::Stopped { audio_end_ms: 1800 },
                ];
                assert_eq!(found, expected, "{format:?} in chunks of {chunk}");
                assert_eq!(format.duration_ms(turn), 1100);
            }
        }
    }

    #[test]
    fn without_detection_everything_is_kept() {
        let mut buffer = InputBuffer::new(AudioFormat::Mulaw, None, 500.0);
        let audio = AudioFormat::Mulaw.tone(100);
        let mut rest = audio.as_slice();
        assert_eq!(buffer.feed(&mut rest), None);
        assert!((buffer.uncommitted_ms() - 100.0).abs() < f64::EPSILON);
        assert_eq!(buffer.take(), audio);
    }
}
