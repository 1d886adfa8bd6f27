//! Tokens. The vendor reports those of a turn at its end, and on the way in ticks that know only
//! what was written; the ticks are part of the report, if one comes.

use roomkit_core::provider::Usage;
use roomkit_dial::Text;

use super::message::{ModalityTokens, WireUsage};

/// More than any turn can cost; keeps sums of what is nonsense from overflowing.
const MOST: u64 = 1 << 40;

/// What the vendor calls the modalities.
const TEXT: &[&str] = &["TEXT"];
const AUDIO: &[&str] = &["AUDIO"];
const IMAGES: &[&str] = &["IMAGE", "VIDEO"];

/// What a turn has cost so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Ticks that have not been told.
    ticks: Usage,
    /// Ticks of this turn that have: they are taken off the report that follows them.
    told: Usage,
}

impl Tally {
    /// Takes what a frame says. Gives the tokens to tell, unless it was a tick.
    pub(super) fn add(&mut self, wire: &WireUsage<'_>) -> Option<Usage> {
        let usage = tokens(wire);
        if usage.input_tokens == 0 {
            self.ticks = sum(self.ticks, usage);
            return None;
        }
        let ticks = std::mem::take(&mut self.ticks);
        let told = std::mem::take(&mut self.told);
        // A report before all ticks, or of a part of the turn, must not hide the rest.
        let whole = usage.combine(sum(ticks, told), u64::max);
        some(whole.combine(told, u64::saturating_sub))
    }

    /// The ticks so far, because no report is to be waited for.
    pub(super) fn take(&mut self) -> Option<Usage> {
        let ticks = std::mem::take(&mut self.ticks);
        self.told = sum(self.told, ticks);
        some(ticks)
    }

    /// A turn begins; what is said of tokens from now on is about it.
    pub(super) fn new_turn(&mut self) {
        self.told = Usage::default();
    }
}

fn tokens(wire: &WireUsage<'_>) -> Usage {
    let written = count(wire.response.as_ref().or(wire.candidates.as_ref()));
    let thoughts = count(wire.thoughts.as_ref());
    let prompt = wire.prompt_details.as_deref().unwrap_or_default();
    let tool_prompt = wire.tool_prompt_details.as_deref().unwrap_or_default();
    let read = |modalities: &[&str]| of(prompt, modalities) + of(tool_prompt, modalities);
    let cached = wire.cached_details.as_deref().unwrap_or_default();
    let response = wire.response_details.as_deref();
    let response = response
        .or(wire.candidates_details.as_deref())
        .unwrap_or_default();
    Usage {
        input_tokens: count(wire.prompt.as_ref()) + count(wire.tool_prompt.as_ref()),
        output_tokens: written + thoughts,
        input_text_tokens: read(TEXT),
        input_audio_tokens: read(AUDIO),
        input_image_tokens: read(IMAGES),
        cached_tokens: count(wire.cached.as_ref()),
        cached_text_tokens: of(cached, TEXT),
        cached_audio_tokens: of(cached, AUDIO),
        cached_image_tokens: of(cached, IMAGES),
        output_text_tokens: of(response, TEXT),
        output_audio_tokens: of(response, AUDIO),
        output_thinking_tokens: thoughts,
    }
}

fn of(details: &[ModalityTokens<'_>], modalities: &[&str]) -> u64 {
    let is_one = |entry: &&ModalityTokens<'_>| {
        let modality = entry.modality.as_ref().map(Text::as_str);
        modality.is_some_and(|modality| modalities.contains(&modality))
    };
    let entries = details.iter().filter(is_one);
    let counts = entries.map(|entry| count(entry.count.as_ref()));
    counts.fold(0, u64::saturating_add).min(MOST)
}

fn count(number: Option<&Text<'_>>) -> u64 {
    number.map_or(0, |number| number.count().min(MOST))
}

fn sum(one: Usage, other: Usage) -> Usage {
    one.combine(other, |one, other| (one + other).min(MOST))
}

fn some(usage: Usage) -> Option<Usage> {
    (usage != Usage::default()).then_some(usage)
}
