//! What a session has of the vendor's own settings besides the channel's: what it began with, and the
//! changes since.

use std::collections::VecDeque;

use serde_json::{Map, Value};

/// How many changes are kept that each say something no later one says. Vendors do not have as many
/// settings.
const CAPACITY: usize = 128;

/// What every new connection of the session is told, in order, so that it is what the last one was.
///
/// How settings go together only the provider knows: some are shorthands for others, some exclude
/// each other. So changes are not merged. But a change of which everything was set again later has
/// no effect any more and is forgotten: what is kept does not grow with the number of changes.
#[derive(Debug, Clone, Default)]
pub(super) struct VendorChanges(VecDeque<Map<String, Value>>);

impl VendorChanges {
    /// What a session begins with.
    pub(super) fn over_the_channels(layers: &[Map<String, Value>]) -> Self {
        let mut changes = Self::default();
        for layer in layers {
            changes.push(layer);
        }
        changes
    }

    /// Keeps a change. False: in place of the oldest one, which no new connection is told any more.
    pub(super) fn push(&mut self, change: &Map<String, Value>) -> bool {
        self.0.push_back(change.clone());
        let mut at = 0;
        while at < self.0.len() {
            if self.is_overwritten(at) {
                self.0.remove(at);
            } else {
                at += 1;
            }
        }
        let fits = self.0.len() <= CAPACITY;
        if !fits {
            self.0.pop_front();
        }
        fits
    }

    /// The changes that matter, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Map<String, Value>> {
        self.0.iter()
    }

    fn is_overwritten(&self, at: usize) -> bool {
        let Some(change) = self.0.get(at) else {
            return false;
        };
        change.iter().all(|(name, value)| {
            let later = self.0.iter().skip(at + 1);
            sets_again(
                value,
                &later
                    .filter_map(|other| other.get(name))
                    .collect::<Vec<_>>(),
            )
        })
    }
}

/// Whether later values of a setting leave nothing of an earlier one. Objects may be merged into
/// each other, so each field of one must be set again; anything else replaces what was there.
fn sets_again(earlier: &Value, later: &[&Value]) -> bool {
    if later.iter().any(|value| !value.is_object()) {
        return true;
    }
    match earlier {
        Value::Object(fields) => {
            !later.is_empty()
                && fields.iter().all(|(name, value)| {
                    let later = later.iter().filter_map(|other| other.get(name));
                    sets_again(value, &later.collect::<Vec<_>>())
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Of these changes, those are left.
    fn left(changes: &[&Value], expected: &[&Value]) {
        let mut kept = VendorChanges::default();
        for change in changes {
            assert!(kept.push(change.as_object().unwrap()));
        }
        let kept: Vec<Value> = kept.iter().map(|change| json!(change)).collect();
        assert!(kept.iter().eq(expected.iter().copied()), "{kept:?}");
    }

    #[test]
    fn s5_of_changes_of_one_setting_the_last_is_kept() {
        let changes: Vec<Value> = (0..5000)
            .map(|n| json!({"speed": n, "x": {"a": n}}))
            .collect();
        left(&changes.iter().collect::<Vec<_>>(), &[&changes[4999]]);
    }

    #[test]
    fn s5_a_change_that_still_says_something_stays_whole_and_in_its_place() {
        let both = json!({"speed": 1, "codec": "g711"});
        let speed = json!({"speed": 2});
        left(&[&both, &speed], &[&both, &speed]);
        let codec = json!({"codec": "pcm16"});
        left(&[&both, &speed, &codec], &[&speed, &codec]);
    }

    #[test]
    fn s5_settings_inside_a_setting_are_settings_too() {
        let kind = json!({"vad": {"type": "server", "threshold": 0.5}});
        let threshold = json!({"vad": {"threshold": 0.6}});
        let (off, on) = (json!({"vad": null}), json!({"vad": {}}));
        left(&[&kind, &threshold], &[&kind, &threshold]);
        left(&[&threshold, &kind], &[&kind]);
        left(&[&kind, &threshold, &off], &[&off]);
        left(&[&off, &threshold], &[&off, &threshold]);
        left(&[&off, &on], &[&off, &on]);
        left(&[&on, &threshold], &[&threshold]);
    }

    #[test]
    fn s5_a_host_that_invents_settings_loses_the_oldest() {
        let mut kept = VendorChanges::default();
        let fits = (0..200).map(|i| {
            let change = json!({ format!("setting {i}"): i });
            kept.push(change.as_object().unwrap())
        });
        assert_eq!(fits.filter(|fits| *fits).count(), CAPACITY);
        assert_eq!(kept.iter().count(), CAPACITY);
    }
}
