//! How an answer is spoken: words and chunks of audio, interleaved and paced.

use std::time::Duration;

use super::audio::AudioFormat;
use super::random::Random;

/// What an answer sounds like.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sound {
    Tone {
        duration_ms: u64,
    },
    Pcm24k(Vec<u8>),
    /// The audio of the user's last turn.
    UserAudio,
}

impl Sound {
    /// The bytes of it in `format`; `user` is the user's last turn, if there was one.
    pub(crate) fn render(self, format: AudioFormat, user: Option<(AudioFormat, &[u8])>) -> Vec<u8> {
        match (self, user) {
            (Self::Tone { duration_ms }, _) => format.tone(duration_ms),
            (Self::Pcm24k(pcm), _) => AudioFormat::PCM_24K.convert(&pcm, format),
            (Self::UserAudio, Some((heard, audio))) => heard.convert(audio, format),
            (Self::UserAudio, None) => Vec::new(),
        }
    }
}

/// How audio is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) format: AudioFormat,
    /// How many times faster than real time; infinite means at once.
    pub(crate) speed: f64,
}

/// One step of speaking.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Beat {
    Words(String),
    Audio(Vec<u8>),
    Wait(Duration),
    /// Nothing more until the answer is cancelled.
    Stall,
}

/// Interleaves words and chunks of 100 to 400 ms. Ends in [`Beat::Stall`] where the audio reaches
/// `stall_after_ms`, which is counted down over several calls.
pub(crate) fn speak<'t>(
    words: impl Iterator<Item = &'t str>,
    audio: &[u8],
    pace: Pace,
    stall_after_ms: &mut Option<u64>,
    random: &mut Random,
) -> Vec<Beat> {
    let total_ms = pace.format.duration_ms(audio.len()).max(1);
    let words: Vec<&str> = words.collect();
    let word_count = words.len() as u64;
    let mut words = words.into_iter().map(|word| Beat::Words(word.to_owned()));
    let mut beats = Vec::new();
    let (mut sent_ms, mut spoken) = (0, 0);
    let mut rest = audio;
    while !rest.is_empty() {
        let mut chunk_ms = 100 + 20 * random.below(16);
        if let Some(left) = stall_after_ms {
            chunk_ms = chunk_ms.min(*left);
        }
        let (chunk, later) = rest.split_at(rest.len().min(pace.format.bytes_in_ms(chunk_ms)));
        rest = later;
        sent_ms += chunk_ms;
        // Words run a little ahead of their audio, as they do on the real services.
        while spoken * total_ms < word_count * sent_ms
            && let Some(word) = words.next()
        {
            beats.push(word);
            spoken += 1;
        }
        beats.push(Beat::Audio(chunk.to_vec()));
        let wait = chunk_ms as f64 / 1000.0 / pace.speed;
        if let Ok(wait) = Duration::try_from_secs_f64(wait)
            && !wait.is_zero()
        {
            beats.push(Beat::Wait(wait));
        }
        if let Some(left) = stall_after_ms {
            *left -= chunk_ms;
            if *left == 0 {
                beats.push(Beat::Stall);
                return beats;
            }
        }
    }
    beats.extend(words);
    beats
}

/// How long a tone stands for this text: about as long as it would take to say.
pub(crate) fn spoken_ms(text: &str) -> u64 {
    (text.chars().count() as u64 * 60).clamp(400, 8000)
}
