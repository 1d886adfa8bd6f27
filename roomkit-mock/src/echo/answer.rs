//! An answer on its way out: chunks of audio, each with its share of the words.

use std::time::Duration;

use bytes::Bytes;
use roomkit_core::{
    audio::{bytes_for, duration_of},
    id::{ItemId, ResponseId},
    provider::{ProviderEvent, ResponseStatus, Role, Usage},
};

/// Audio per chunk.
const CHUNK: Duration = Duration::from_millis(100);
/// Length of one tone, and of a character's share of them.
const NOTE_MS: u32 = 180;
const MS_PER_CHARACTER: usize = 60;
const SHORTEST_MS: usize = 400;
const LONGEST_MS: usize = 5000;
/// Two octaves of a pentatonic scale, in Hz: any sequence of these sounds agreeable.
const SCALE: [f64; 10] = [
    261.6, 293.7, 329.6, 392.0, 440.0, 523.3, 587.3, 659.3, 784.0, 880.0,
];

/// A response that is being said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response_id: ResponseId,
    pub(super) item_id: ItemId,
    text: String,
    /// How much of the text, in bytes, has been said.
    said: usize,
    pcm: Bytes,
    rate: u32,
    /// How much of the audio, in bytes, has been sent.
    sent: usize,
    /// When the first chunk is due.
    begins: Duration,
    speed: f64,
    input: Usage,
    /// The audio of the next chunk has been announced by its words already.
    worded: bool,
}

impl Answer {
    pub(super) fn new(
        number: u64,
        text: String,
        pcm: Bytes,
        rate: u32,
        begins: Duration,
        speed: f64,
        input: Usage,
    ) -> Self {
        Self {
            response_id: format!("echo_resp_{number}").into(),
            item_id: format!("echo_item_{number}").into(),
            text,
            said: 0,
            pcm,
            rate,
            sent: 0,
            begins,
            speed,
            input,
            worded: false,
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn length(&self) -> Duration {
        duration_of(self.pcm.len(), self.rate)
    }

    /// How much of the audio has been sent.
    pub(super) fn sent(&self) -> Duration {
        duration_of(self.sent, self.rate)
    }

    /// When the next chunk is due. After the last one the end is due at once.
    pub(super) fn next_wake(&self) -> Duration {
        let sent = self.sent().as_secs_f64() / self.speed;
        self.begins.saturating_add(Duration::from_secs_f64(sent))
    }

    /// The next piece, or `None` when all is said.
    pub(super) fn next(&mut self) -> Option<ProviderEvent> {
        let left = self.pcm.len().saturating_sub(self.sent);
        if left == 0 {
            return None;
        }
        let chunk = bytes_for(CHUNK, self.rate).clamp(2, left.max(2)).min(left);
        if !std::mem::replace(&mut self.worded, true) {
            let text = self.words_until(self.sent + chunk);
            if !text.is_empty() {
                return Some(self.words(text, false));
            }
        }
        self.worded = false;
        let pcm = self.pcm.slice(self.sent..self.sent + chunk);
        self.sent += chunk;
        Some(ProviderEvent::Audio {
            response_id: Some(self.response_id.clone()),
            item_id: Some(self.item_id.clone()),
            content_index: 0,
            pcm,
        })
    }

    /// The final words.
    pub(super) fn final_words(&self) -> ProviderEvent {
        self.words(self.text.clone(), true)
    }

    /// The end; what it cost is what has been sent so far.
    pub(super) fn ended(&self, status: ResponseStatus) -> ProviderEvent {
        let audio = self.sent().as_millis() as u64 / 50;
        let text = self.said.div_ceil(4) as u64;
        ProviderEvent::ResponseEnded {
            response_id: Some(self.response_id.clone()),
            status,
            usage: Some(Box::new(Usage {
                output_tokens: audio + text,
                output_audio_tokens: audio,
                output_text_tokens: text,
                ..self.input
            })),
        }
    }

    fn words(&self, text: String, is_final: bool) -> ProviderEvent {
        ProviderEvent::Transcript {
            role: Role::Assistant,
            item_id: Some(self.item_id.clone()),
            text,
            is_final,
        }
    }

    /// The words that belong to the audio up to `byte` and have not been said, whole ones only.
    fn words_until(&mut self, byte: usize) -> String {
        let mut end = if byte >= self.pcm.len() {
            self.text.len()
        } else {
            self.text.len() * byte / self.pcm.len().max(1)
        };
        while end < self.text.len() && !self.text[..].is_char_boundary(end) {
            end += 1;
        }
        if let Some(space) = self.text[end..].find(' ') {
            end += space + 1;
        } else {
            end = self.text.len();
        }
        let end = end.max(self.said);
        let words = self.text[self.said..end].to_owned();
        self.said = end;
        words
    }
}

/// Tones about as long as the text would take to say; each text has its own melody.
pub(super) fn tones(text: &str, rate: u32) -> Bytes {
    let ms = (text.chars().count().saturating_mul(MS_PER_CHARACTER)).clamp(SHORTEST_MS, LONGEST_MS);
    let samples = bytes_for(Duration::from_millis(ms as u64), rate) / 2;
    let note = (rate * NOTE_MS / 1000).max(1) as usize;
    let mut characters = text.chars().cycle();
    let mut pcm = Vec::with_capacity(samples * 2);
    while pcm.len() < samples * 2 {
        let pitch = characters.next().map_or(0, |c| c as usize % SCALE.len());
        let length = note.min(samples - pcm.len() / 2);
        for n in 0..length {
            let time = n as f64 / f64::from(rate);
            // Rises and falls, so that no note begins or ends with a click.
            let swell = (std::f64::consts::PI * n as f64 / length as f64).sin();
            let wave = (std::f64::consts::TAU * SCALE[pitch] * time).sin();
            let sample = (wave * swell * 0.2 * f64::from(i16::MAX)) as i16;
            pcm.extend_from_slice(&sample.to_le_bytes());
        }
    }
    pcm.into()
}

#[cfg(test)]
mod tests {
    use roomkit_core::audio::level_dbfs;

    use super::*;

    #[test]
    fn tones_are_as_long_as_the_text_within_limits() {
        for (characters, ms) in [(0, 400), (5, 400), (20, 1200), (500, 5000)] {
            let pcm = tones(&"ä".repeat(characters), 8000);
            assert_eq!(duration_of(pcm.len(), 8000), Duration::from_millis(ms));
            assert!(level_dbfs(&pcm) > -30.0);
        }
    }

    #[test]
    fn words_come_before_their_audio_and_add_up() {
        let text = "ä b ccc dddd eeeee (ö)";
        let mut answer = Answer::new(
            1,
            text.into(),
            tones(text, 8000),
            8000,
            Duration::ZERO,
            8.0,
            Usage::default(),
        );
        let (mut words, mut audio) = (String::new(), 0);
        while let Some(event) = answer.next() {
            match event {
                ProviderEvent::Transcript { text, .. } => words += &text,
                ProviderEvent::Audio { pcm, .. } => {
                    audio += pcm.len();
                    assert!(!words.is_empty());
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(words, text);
        assert_eq!(audio, tones(text, 8000).len());
    }
}
