//! A reply laid out as the steps it is sent in.

use std::collections::VecDeque;
use std::time::Duration;

use super::audio::AudioFormat;
use super::input::UserTurn;
use super::script::{Ending, Part, Reply, Sound};
use super::wire::Random;

/// One thing a response does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    OpenMessage,
    Transcript(String),
    Audio(Vec<u8>),
    CloseMessage,
    OpenCall {
        name: String,
        call_id: Option<String>,
    },
    Arguments(String),
    CloseCall,
    Wait(Duration),
    /// Nothing more until the response is cancelled.
    Stall,
    Finish(Ending),
}

/// How a response is spoken.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    /// Text output: transcripts become text and there is no audio.
    pub(crate) text_only: bool,
    pub(crate) format: AudioFormat,
    /// How many times faster than real time audio is sent; infinite means at once.
    pub(crate) speed: f64,
    pub(crate) user: &'a UserTurn,
}

/// Lays out the steps of a reply.
pub(crate) fn plan(reply: Reply, delivery: &Delivery<'_>, random: &mut Random) -> VecDeque<Step> {
    let mut steps = VecDeque::new();
    let mut stall_after_ms = reply.stall_after_ms;
    if !reply.delay.is_zero() {
        steps.push_back(Step::Wait(reply.delay));
    }
    if stall_after_ms == Some(0) {
        steps.push_back(Step::Stall);
        return steps;
    }
    for part in reply.parts {
        match part {
            Part::Speech { text, audio } => {
                steps.push_back(Step::OpenMessage);
                if delivery.text_only {
                    steps.extend(words(&text).map(Step::Transcript));
                } else {
                    let audio = sound(audio, delivery);
                    let stalled = speak(
                        &mut steps,
                        &text,
                        &audio,
                        delivery,
                        &mut stall_after_ms,
                        random,
                    );
                    if stalled {
                        return steps;
                    }
                }
                steps.push_back(Step::CloseMessage);
            }
            Part::ToolCall {
                name,
                arguments,
                call_id,
            } => {
                steps.push_back(Step::OpenCall { name, call_id });
                steps.extend(pieces(&arguments, 12).map(Step::Arguments));
                steps.push_back(Step::CloseCall);
            }
        }
    }
    steps.push_back(Step::Finish(reply.ending));
    steps
}

/// Interleaves words and chunks of 100 to 400 ms. True if the reply stalls on the way.
fn speak(
    steps: &mut VecDeque<Step>,
    text: &str,
    audio: &[u8],
    delivery: &Delivery<'_>,
    stall_after_ms: &mut Option<u64>,
    random: &mut Random,
) -> bool {
    let bytes_per_ms = delivery.format.bytes_per_ms();
    let total_ms = delivery.format.duration_ms(audio.len()).max(1);
    let mut words = words(text).peekable();
    let word_count = text.split_inclusive(' ').count() as u64;
    let (mut sent_ms, mut spoken) = (0, 0);
    let mut rest = audio;
    while !rest.is_empty() {
        let mut chunk_ms = 100 + 20 * random.below(16);
        if let Some(left) = stall_after_ms {
            chunk_ms = chunk_ms.min(*left);
        }
        let (chunk, later) = rest.split_at(rest.len().min(chunk_ms as usize * bytes_per_ms));
        rest = later;
        sent_ms += chunk_ms;
        // Words run a little ahead of their audio, as they do on the real service.
        while spoken * total_ms < word_count * sent_ms && words.peek().is_some() {
            steps.extend(words.next().map(Step::Transcript));
            spoken += 1;
        }
        steps.push_back(Step::Audio(chunk.to_vec()));
        let wait = chunk_ms as f64 / 1000.0 / delivery.speed;
        if let Ok(wait) = Duration::try_from_secs_f64(wait)
            && !wait.is_zero()
        {
            steps.push_back(Step::Wait(wait));
        }
        if let Some(left) = stall_after_ms {
            *left -= chunk_ms;
            if *left == 0 {
                steps.push_back(Step::Stall);
                return true;
            }
        }
    }
    steps.extend(words.map(Step::Transcript));
    false
}

fn sound(audio: Sound, delivery: &Delivery<'_>) -> Vec<u8> {
    match audio {
        Sound::Tone { duration_ms } => delivery.format.tone(duration_ms),
        Sound::Pcm24k(pcm) => AudioFormat::PCM_24K.convert(&pcm, delivery.format),
        Sound::UserAudio => match delivery.user.format {
            Some(format) => format.convert(&delivery.user.audio, delivery.format),
            None => Vec::new(),
        },
    }
}

/// Words with the space that follows them, so that joined deltas give the text back.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split_inclusive(' ').map(str::to_owned)
}

fn pieces(text: &str, characters: usize) -> impl Iterator<Item = String> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest
            .char_indices()
            .nth(characters)
            .map_or(rest.len(), |(index, _)| index);
        let (piece, later) = rest.split_at(end);
        rest = later;
        (!piece.is_empty()).then(|| piece.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_openai::wire::EventWriter;

    fn steps(reply: Reply, speed: f64) -> Vec<Step> {
        let delivery = Delivery {
            text_only: false,
            format: AudioFormat::PCM_24K,
            speed,
            user: &UserTurn::default(),
        };
        plan(reply, &delivery, EventWriter::new(0, false).random()).into()
    }

    #[test]
    fn speech_keeps_every_word_and_every_byte() {
        let steps = steps(Reply::speech("one two three four", 1000), f64::INFINITY);
        let text: String = steps
            .iter()
            .filter_map(|step| match step {
                Step::Transcript(word) => Some(word.as_str()),
                _ => None,
            })
            .collect();
        let chunks: Vec<usize> = steps
            .iter()
            .filter_map(|step| match step {
                Step::Audio(chunk) => Some(chunk.len()),
                _ => None,
            })
            .collect();
        assert_eq!(text, "one two three four");
        assert_eq!(chunks.iter().sum::<usize>(), 48_000);
        assert!(chunks.iter().all(|bytes| *bytes <= 400 * 48));
        assert!(!steps.iter().any(|step| matches!(step, Step::Wait(_))));
    }

    #[test]
    fn a_stalling_reply_ends_in_its_stall() {
        let steps = steps(Reply::speech("hello", 5000).stalling_after_ms(250), 8.0);
        let sent: usize = steps
            .iter()
            .map(|step| match step {
                Step::Audio(chunk) => chunk.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(sent, 250 * 48);
        assert_eq!(steps.last(), Some(&Step::Stall));
    }

    #[test]
    fn arguments_come_in_pieces() {
        let joined: String = pieces(r#"{"city":"Tromsø","days":3}"#, 4).collect();
        assert_eq!(joined, r#"{"city":"Tromsø","days":3}"#);
    }
}
