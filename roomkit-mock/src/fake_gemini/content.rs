//! `clientContent` and `contextUpdate`: turns and settings that come as text.

use serde_json::Value;

use super::answer::Cause;
use super::engine::Engine;
use super::memory::{Speaker, Turn};
use super::models::Family;
use super::refusal::Refusal;
use super::setup::check_text;

impl Engine {
    pub(super) fn client_content(&mut self, content: &Value) -> Result<(), Refusal> {
        let turns = content["turns"].as_array().map_or(&[][..], Vec::as_slice);
        for (index, turn) in turns.iter().enumerate() {
            check_turn(turn, &format!("client_content.turns[{index}]"))?;
        }
        self.check_not_blocked("client_content")?;
        let complete = content["turnComplete"] == true;
        let family = self.setup.as_ref().map(|setup| setup.family);
        if !self.seeding && family == Some(Family::V31) {
            let detail =
                "this model takes clientContent as its first history only, with historyConfig";
            return Err(Refusal::invalid_argument(detail).at("client_content"));
        }
        let last = turns
            .iter()
            .rev()
            .map(text_of)
            .find(|text| !text.is_empty());
        if !self.seeding {
            self.interrupt();
        }
        for turn in turns {
            let speaker = if turn["role"] == "model" {
                Speaker::Model
            } else {
                Speaker::User
            };
            self.remember(Turn::new(speaker, text_of(turn)));
        }
        if self.seeding {
            // History is taken in, and the model is not asked.
            self.seeding = !complete;
        } else if complete {
            self.begin(Cause::Text(last.unwrap_or_default()));
            return Ok(());
        }
        if !turns.is_empty() && !self.seeding && self.generation.is_none() {
            self.issue_handle();
        }
        Ok(())
    }

    pub(super) fn context_update(&mut self, update: &Value) -> Result<(), Refusal> {
        let Some(setup) = &mut self.setup else {
            return Ok(());
        };
        if !setup.family.is_38() {
            let detail = "this model has no contextUpdate";
            return Err(Refusal::invalid_argument(detail).at("context_update"));
        }
        setup.update(update)?;
        let json = setup.json.clone();
        self.object_to_tools(&update["tools"]["tools"]);
        self.record.change(|state| state.session = json);
        Ok(())
    }
}

fn check_turn(turn: &Value, path: &str) -> Result<(), Refusal> {
    let role = turn["role"].as_str().unwrap_or("user");
    if !["user", "model"].contains(&role) {
        let detail = format!("role '{role}' is neither user nor model");
        return Err(Refusal::invalid_argument(detail).at(&format!("{path}.role")));
    }
    for part in turn["parts"].as_array().into_iter().flatten() {
        if part.get("functionCall").is_some() || part.get("functionResponse").is_some() {
            let detail = "tool calls cannot be given as history";
            return Err(Refusal::invalid_argument(detail).at(&format!("{path}.parts")));
        }
    }
    check_text(turn, path)
}

/// The texts of a turn, joined.
fn text_of(turn: &Value) -> String {
    let parts = turn["parts"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}
