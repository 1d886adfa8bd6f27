//! A reply laid out as the steps it is sent in.

use std::collections::VecDeque;
use std::time::Duration;

use super::input::UserTurn;
use super::script::{Ending, Part, Reply};
use crate::fake::random::Random;
use crate::fake::speech::{Beat, Pace, speak};

/// One thing a response does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    OpenMessage,
    /// The message goes on in another content part.
    NextPart,
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
    pub(crate) pace: Pace,
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
            Part::Speech {
                text,
                audio,
                continues,
            } => {
                match steps.back_mut() {
                    Some(last @ Step::CloseMessage) if continues => *last = Step::NextPart,
                    _ => steps.push_back(Step::OpenMessage),
                }
                if delivery.text_only {
                    steps.extend(words(&text).map(|word| Step::Transcript(word.to_owned())));
                } else {
                    let user = delivery.user.heard();
                    let audio = audio.render(delivery.pace.format, user);
                    let pace = delivery.pace;
                    let beats = speak(words(&text), &audio, pace, &mut stall_after_ms, random);
                    steps.extend(beats.into_iter().map(Step::from));
                    if steps.back() == Some(&Step::Stall) {
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

impl From<Beat> for Step {
    fn from(beat: Beat) -> Self {
        match beat {
            Beat::Words(words) => Self::Transcript(words),
            Beat::Audio(audio) => Self::Audio(audio),
            Beat::Wait(time) => Self::Wait(time),
            Beat::Stall => Self::Stall,
        }
    }
}

/// Words with the space that follows them, so that joined deltas give the text back.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
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
    use crate::fake::audio::AudioFormat;

    fn steps(reply: Reply, speed: f64) -> Vec<Step> {
        let delivery = Delivery {
            text_only: false,
            pace: Pace {
                format: AudioFormat::PCM_24K,
                speed,
            },
            user: &UserTurn::default(),
        };
        plan(reply, &delivery, &mut Random::seeded(0)).into()
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
