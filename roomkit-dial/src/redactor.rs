//! How failures are told without secrets (contract X1).

use std::cmp::Reverse;

use secrecy::{ExposeSecret, SecretString};

/// The longest vendor message passed on, in characters.
const MESSAGE_LIMIT: usize = 500;

/// What replaces a secret.
const REDACTED: &str = "[redacted]";

/// How the keys and tokens of vendors begin.
const KEY_BEGINNINGS: [&str; 7] = ["sk-", "sk_", "ek_", "xai-", "AIza", "ya29.", "auth_tokens/"];

/// What is shorter is no secret, and would be found in every text.
const SHORTEST_SECRET: usize = 4;

/// The same for a line of several: what is shorter is a bracket or a word of everyday use.
const SHORTEST_LINE: usize = 8;

/// Names of parameters whose value is a secret, in lower case. A name counts by its end, so that
/// `api_key` and `x-goog-api-key` are among them.
const SECRET_PARAMETERS: [&str; 8] = [
    "key",
    "token",
    "secret",
    "password",
    "authorization",
    "bearer",
    "signature",
    "sig",
];

/// Takes secrets out of what is told to people: the ones it knows, and whatever looks like one.
#[derive(Debug, Clone, Default)]
pub struct Redactor {
    /// The longest first: one may be a part of another, of which the rest would stay.
    secrets: Vec<SecretString>,
}

impl Redactor {
    /// A redactor for these secrets. Those of less than four bytes are not looked for: they would be
    /// found in words and numbers that have nothing to do with them. Of those with several lines, such
    /// as keys in PEM, each line of eight bytes and more is a secret.
    pub fn new(secrets: Vec<SecretString>) -> Self {
        let mut secrets: Vec<SecretString> = secrets
            .into_iter()
            .flat_map(|secret| lines(&secret))
            .collect();
        secrets.sort_by_key(|secret| Reverse(secret.expose_secret().len()));
        Self { secrets }
    }

    /// The text on one line, without secrets, cut to a length fit for a log.
    pub fn redact(&self, text: &str) -> String {
        let mut text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        for secret in &self.secrets {
            let secret = secret.expose_secret();
            text = text.replace(secret, REDACTED);
            // As it stands in a URL.
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            if encoded != secret {
                text = text.replace(&encoded, REDACTED);
            }
        }
        let mut after_bearer = false;
        let mut told: String = text
            .split(' ')
            .map(|word| {
                let is_credential = after_bearer
                    && word.len() >= 8
                    && word.bytes().any(|byte| byte.is_ascii_digit());
                after_bearer = word.eq_ignore_ascii_case("bearer");
                if is_credential || self.is_suspect(word) {
                    REDACTED.to_owned()
                } else {
                    without_parameters(word)
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
        word.contains("auth_tokens/")
            || word
                .split(|c: char| !c.is_alphanumeric() && !"-_*.…".contains(c))
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
        KEY_BEGINNINGS.iter().any(|key| word.starts_with(key))
            || word.contains("**")
            || is_masked && begins_like(4)
            || begins_like(10)
    }
}

/// The lines of a secret that are looked for; of most, that is all of it.
fn lines(secret: &SecretString) -> Vec<SecretString> {
    let secret = secret.expose_secret();
    let lines = secret.split(char::is_control).map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    let shortest = if lines.len() > 1 {
        SHORTEST_LINE
    } else {
        SHORTEST_SECRET
    };
    let long = lines.into_iter().filter(|line| line.len() >= shortest);
    long.map(SecretString::from).collect()
}

/// A word without the values of its secret parameters: `?key=...`, `&access_token=...`.
fn without_parameters(word: &str) -> String {
    if !word.contains('=') {
        return word.to_owned();
    }
    let mut told = String::with_capacity(word.len());
    for piece in word.split_inclusive(['?', '&', ';']) {
        let Some((name, rest)) = piece.split_once('=') else {
            told.push_str(piece);
            continue;
        };
        told.push_str(name);
        told.push('=');
        let name = name.to_lowercase();
        if SECRET_PARAMETERS
            .iter()
            .any(|secret| name.ends_with(secret))
        {
            told.push_str(REDACTED);
            // What ends the value stays.
            told.extend(rest.chars().next_back().filter(|c| "?&;".contains(*c)));
        } else {
            told.push_str(rest);
        }
    }
    told
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
        let short = Redactor::new(vec!["e".to_owned().into(), "7".to_owned().into()]);
        assert_eq!(short.redact("the answer 7"), "the answer 7");
        assert_eq!(redactor.redact("a plain\nmessage"), "a plain message");
        assert_eq!(redactor.redact(&"é".repeat(600)).chars().count(), 501);
    }

    #[test]
    fn x1_of_a_secret_that_begins_with_another_nothing_stays() {
        let redactor = Redactor::new(vec!["hunter2".to_owned().into(), "hunter2-4711".into()]);
        let told = redactor.redact("it is (hunter2-4711), not (hunter2)");
        assert_eq!(told, "it is ([redacted]), not ([redacted])");
    }

    #[test]
    fn x1_a_secret_of_several_lines_is_found_line_by_line() {
        let pem = "-----BEGIN PRIVATE KEY-----\r\nMIIEvQIBADANBgkq\r\nhkiG9w0BAQEFAASC\r\nBw==\r\n";
        let redactor = Redactor::new(vec![pem.into(), "hun ter2\n".into()]);
        for told in [
            pem,
            "key: MIIEvQIBADANBgkq",
            "\\nhkiG9w0BAQEFAASC\\n",
            "hun ter2",
        ] {
            let redacted = redactor.redact(told);
            assert!(redacted.contains("[redacted]"), "{redacted}");
            for part in ["MIIE", "hkiG", "ter2"] {
                assert!(!redacted.contains(part), "{redacted}");
            }
        }
    }

    #[test]
    fn x1_urls_and_tokens_of_any_vendor_are_scrubbed() {
        let redactor = Redactor::default();
        let table = [
            (
                "GET wss://host/ws?key=hunter2&alt=json failed",
                "GET wss://host/ws?key=[redacted]&alt=json failed",
            ),
            (
                "wss://host/ws?alt=json&access_token=hunter2",
                "wss://host/ws?alt=json&access_token=[redacted]",
            ),
            ("API_KEY=hunter2;x=1", "API_KEY=[redacted];x=1"),
            ("key AIzaSyHunter2 is wrong", "key [redacted] is wrong"),
            ("token 'ya29.a0hunter2'", "token [redacted]"),
            ("name: auth_tokens/hunter2", "name: [redacted]"),
            ("xai-hunter2 is unknown", "[redacted] is unknown"),
            (
                "header Authorization: Bearer hunter2hunter2",
                "header Authorization: Bearer [redacted]",
            ),
            (
                "Missing Bearer authentication",
                "Missing Bearer authentication",
            ),
            ("model=gpt-realtime&x=1", "model=gpt-realtime&x=1"),
        ];
        for (told, expected) in table {
            assert_eq!(redactor.redact(told), expected);
        }
        let spaced = Redactor::new(vec!["hun ter/2".to_owned().into()]);
        assert_eq!(
            spaced.redact("wss://h/?q=hun+ter%2F2"),
            "wss://h/?q=[redacted]"
        );
    }
}
