//! How failures are told without secrets (contract X1).

use secrecy::{ExposeSecret, SecretString};

/// The longest vendor message passed on, in characters.
const MESSAGE_LIMIT: usize = 500;

/// Takes secrets out of what is told to people: the ones it knows, and whatever looks like a key.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    secrets: Vec<SecretString>,
}

impl Redactor {
    /// A redactor for these secrets.
    pub fn new(secrets: Vec<SecretString>) -> Self {
        let mut secrets = secrets;
        secrets.retain(|secret| !secret.expose_secret().is_empty());
        Self { secrets }
    }

    /// The text on one line, without secrets, cut to a length fit for a log.
    pub fn redact(&self, text: &str) -> String {
        let mut text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        for secret in &self.secrets {
            text = text.replace(secret.expose_secret(), "[redacted]");
        }
        let mut told: String = text
            .split(' ')
            .map(|word| {
                if self.is_suspect(word) {
                    "[redacted]"
                } else {
                    word
                }
            })
            .collect::<Vec<_>>()
            .join(" ");
        if let Some((cut, _)) = told.char_indices().nth(MESSAGE_LIMIT) {
            told.truncate(cut);
            told.push('…');
        }
        told
    }

    /// Vendors repeat a wrong key with its middle masked.
    fn is_suspect(&self, word: &str) -> bool {
        word.split(|c: char| !c.is_alphanumeric() && !"-_*.…".contains(c))
            .any(|piece| self.is_key(piece))
    }

    fn is_key(&self, word: &str) -> bool {
        let is_masked = ["**", "...", "…"].iter().any(|mask| word.contains(mask));
        let begins_like = |length: usize| {
            self.secrets.iter().any(|secret| {
                let start = secret.expose_secret().get(..length);
                start.is_some_and(|start| word.starts_with(start))
            })
        };
        ["sk-", "sk_", "ek_"]
            .iter()
            .any(|key| word.starts_with(key))
            || word.contains("**")
            || is_masked && begins_like(4)
            || begins_like(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_keys_do_not_survive_in_messages() {
        let redactor = Redactor::new(vec!["0123456789abcdef".to_owned().into()]);
        for told in [
            "Incorrect API key provided: sk-abc***********wxyz. You can find it elsewhere",
            "Incorrect API key provided: 0123456789abcdef.",
            "Incorrect API key provided: 0123...cdef.",
            "Incorrect API key provided: \"0123456789…\"",
            "Incorrect API key provided: xa***Z9",
            "url was wss://host/?key=0123456789abcdef&x",
        ] {
            let redacted = redactor.redact(told);
            assert!(redacted.contains("[redacted]"), "{redacted}");
            for part in ["0123", "cdef", "wxyz", "sk-", "Z9"] {
                assert!(!redacted.contains(part), "{redacted}");
            }
        }
        assert_eq!(redactor.redact("a plain\nmessage"), "a plain message");
        assert_eq!(redactor.redact(&"é".repeat(600)).chars().count(), 501);
    }
}
