//! A reply laid out as the steps it is sent in.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::Value;

use super::script::{Ending, Part, Reply, ToolCall};
use crate::fake::audio::AudioFormat;
use crate::fake::random::Random;
use crate::fake::speech::{Beat, Pace, speak};

/// One thing a generation does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Step {
    Words(String),
    Audio(Vec<u8>),
    Thought(String),
    Calls(Vec<ToolCall>),
    /// Nothing until every blocking call has its result.
    AwaitResults,
    /// As [`Step::AwaitResults`], and then the next reply speaks in the same turn.
    Continue,
    Message(Value),
    Wait(Duration),
    /// Nothing more until it is interrupted.
    Stall,
    GenerationComplete,
    /// `turnComplete`, with a reason if it ended abnormally.
    Finish(Option<String>),
}

/// How a generation is spoken.
pub(crate) struct Delivery<'a> {
    pub(crate) text_only: bool,
    pub(crate) speed: f64,
    /// The user's last spoken turn.
    pub(crate) user: Option<(AudioFormat, &'a [u8])>,
    /// Whether a tool holds the conversation up.
    pub(crate) blocks: &'a dyn Fn(&str) -> bool,
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
    let mut late = Vec::new();
    for part in reply.parts {
        match part {
            Part::Speech { text, .. } if delivery.text_only => {
                steps.extend(words(&text).map(|word| Step::Words(word.to_owned())));
            }
            Part::Speech { text, audio } => {
                let audio = audio.render(AudioFormat::PCM_24K, delivery.user);
                let pace = Pace {
                    format: AudioFormat::PCM_24K,
                    speed: delivery.speed,
                };
                for beat in speak(words(&text), &audio, pace, &mut stall_after_ms, random) {
                    match beat {
                        Beat::Words(words) if reply.late_transcript => {
                            late.push(Step::Words(words));
                        }
                        Beat::Words(words) => steps.push_back(Step::Words(words)),
                        Beat::Audio(audio) => steps.push_back(Step::Audio(audio)),
                        Beat::Wait(time) => steps.push_back(Step::Wait(time)),
                        Beat::Stall => {
                            steps.push_back(Step::Stall);
                            return steps;
                        }
                    }
                }
            }
            Part::Thought(text) => steps.push_back(Step::Thought(text)),
            Part::Message(message) => steps.push_back(Step::Message(message)),
            Part::ToolCalls(calls) => {
                steps.push_back(Step::Calls(calls));
            }
        }
    }
    settle_calls(&mut steps, delivery, reply.completes_before_result);
    let continues = steps.back() == Some(&Step::Continue);
    steps.extend(late);
    if continues {
        return steps;
    }
    match reply.ending {
        Ending::Completed => {
            steps.push_back(Step::GenerationComplete);
            steps.push_back(Step::Finish(None));
        }
        Ending::Abnormal { reason } => steps.push_back(Step::Finish(Some(reason))),
        Ending::Untold => {}
        Ending::Abrupt | Ending::Unanswered => steps.push_back(Step::Finish(None)),
    }
    steps
}

/// Puts a wait for results behind the last of each run of blocking calls.
fn settle_calls(steps: &mut VecDeque<Step>, delivery: &Delivery<'_>, completes_first: bool) {
    if completes_first {
        return;
    }
    let is_blocking = |step: &Step| match step {
        Step::Calls(calls) => calls.iter().any(|call| (delivery.blocks)(&call.name)),
        _ => false,
    };
    let planned = std::mem::take(steps);
    let mut rest = planned.into_iter().peekable();
    let mut waits = false;
    while let Some(step) = rest.next() {
        waits |= is_blocking(&step);
        steps.push_back(step);
        match rest.peek() {
            Some(Step::Calls(_)) => {}
            Some(_) if waits => {
                steps.push_back(Step::AwaitResults);
                waits = false;
            }
            None if waits => steps.push_back(Step::Continue),
            _ => {}
        }
    }
}

/// Words with the space before them, as the vendor's deltas have it.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.len_utf8();
        let end = rest[first..].find(' ').map_or(rest.len(), |at| at + first);
        let (word, later) = rest.split_at(end);
        rest = later;
        Some(word)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn steps(reply: Reply, blocking: bool) -> Vec<Step> {
        let delivery = Delivery {
            text_only: false,
            speed: f64::INFINITY,
            user: None,
            blocks: &|_| blocking,
        };
        plan(reply, &delivery, &mut Random::seeded(0)).into()
    }

    #[test]
    fn words_carry_their_leading_space() {
        let split: Vec<&str> = words("one two  three").collect();
        assert_eq!(split, ["one", " two", " ", " three"]);
        assert_eq!(words("").count(), 0);
    }

    #[test]
    fn blocking_calls_hold_the_turn_up() {
        let last = steps(Reply::tool_call("a", json!({})), true);
        assert!(matches!(last.as_slice(), [Step::Calls(_), Step::Continue]));
        let reply = Reply::tool_call("a", json!({}))
            .then_tool_call("b", json!({}))
            .then_speech("x", 100);
        let waits = steps(reply.clone(), true);
        assert!(matches!(
            waits.as_slice(),
            [
                Step::Calls(_),
                Step::Calls(_),
                Step::AwaitResults,
                Step::Words(_),
                ..
            ]
        ));
        let goes_on = steps(reply, false);
        assert!(!goes_on.contains(&Step::AwaitResults));
        let early = steps(
            Reply::tool_call("a", json!({})).completing_before_result(),
            true,
        );
        assert_eq!(early.last(), Some(&Step::Finish(None)));
    }

    #[test]
    fn late_transcripts_follow_the_audio() {
        let steps = steps(Reply::speech("one two", 600).with_late_transcript(), false);
        let last_audio = steps
            .iter()
            .rposition(|step| matches!(step, Step::Audio(_)));
        let first_word = steps.iter().position(|step| matches!(step, Step::Words(_)));
        assert!(last_audio < first_word);
    }
}
