//! What no error and no log may show (contract X1).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use roomkit_dial::Redactor;
use secrecy::{ExposeSecret, SecretString};

/// How many of the latest tokens of a source are known: an error may speak of one that another has
/// replaced meanwhile.
const LATEST: usize = 8;
/// How the names of options and headers end whose value is a secret, in lower case.
const NAMES: [&str; 8] = [
    "key",
    "token",
    "secret",
    "password",
    "authorization",
    "auth",
    "bearer",
    "basic",
];
/// A word of this length with so many digits is a key.
const KEY: (usize, usize) = (20, 4);

/// Takes a server's secrets out of what is told: those of its settings, and the tokens it was sent last.
#[derive(Clone)]
pub(crate) struct Secrets {
    settings: Redactor,
    tokens: Tokens,
}

impl Secrets {
    pub(crate) fn new(settings: Vec<SecretString>, tokens: Tokens) -> Self {
        Self {
            settings: Redactor::new(settings),
            tokens,
        }
    }

    /// The text on one line, without secrets, cut to a length fit for a log.
    pub(crate) fn redact(&self, text: &str) -> String {
        let text = self.settings.redact(text);
        match self.tokens.latest() {
            tokens if tokens.is_empty() => text,
            tokens => Redactor::new(tokens).redact(&text),
        }
    }
}

/// The latest tokens of a source.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<Mutex<VecDeque<SecretString>>>);

impl Tokens {
    pub(crate) fn add(&self, token: &SecretString) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = |known: &SecretString| known.expose_secret() == token.expose_secret();
        if tokens.iter().any(is_known) {
            return;
        }
        if tokens.len() >= LATEST {
            tokens.pop_front();
        }
        tokens.push_back(token.clone());
    }

    fn latest(&self) -> Vec<SecretString> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().cloned().collect()
    }
}

/// The secrets in a program's arguments: what an option such as `--api-key` or a field such as
/// `Authorization:` is given, the password in an address, and what looks like a key. Paths and names of
/// packages stay, which explain an error.
pub(crate) fn in_arguments(args: &[String]) -> Vec<SecretString> {
    let mut secrets = Vec::new();
    let mut is_named = false;
    for arg in args {
        let is_option = arg.starts_with("--") || arg.len() <= 2 && arg.starts_with('-');
        if std::mem::take(&mut is_named) && !is_option {
            push_value(&mut secrets, arg);
            continue;
        }
        let address = arg.split_once("://").map(|(_, address)| address);
        let user = address.and_then(|address| Some(address.rsplit_once('@')?.0));
        secrets.extend(user.map(|user| user.split_once(':').map_or(user, |(_, word)| word)));
        for field in arg.split(['?', '&']) {
            match field.split_once(['=', ':', ' ']) {
                Some((name, value)) if is_name(name) => push_value(&mut secrets, value.trim()),
                None if is_name(field) && field.starts_with('-') => is_named = true,
                _ => secrets.extend(field.split(['=', ':', ' ']).filter(|word| is_key(word))),
            }
        }
    }
    secrets.into_iter().map(SecretString::from).collect()
}

/// The secrets in a header's value.
pub(crate) fn in_header(value: &SecretString) -> Vec<SecretString> {
    let mut secrets = Vec::new();
    push_value(&mut secrets, value.expose_secret().trim());
    secrets.into_iter().map(SecretString::from).collect()
}

/// The secrets in the query of a URL: all of it, and each value, as a server quotes it alone.
pub(crate) fn in_query(url: &str) -> Vec<SecretString> {
    let Some((_, query)) = url.split_once('?') else {
        return Vec::new();
    };
    let query = query.split('#').next().unwrap_or(query);
    let values = url::form_urlencoded::parse(query.as_bytes()).map(|(_, value)| value);
    std::iter::once(query.into())
        .chain(values)
        .map(|secret| SecretString::from(secret.into_owned()))
        .collect()
}

/// A secret whole, and without the scheme before it: `Bearer ...`.
fn push_value<'a>(secrets: &mut Vec<&'a str>, value: &'a str) {
    secrets.extend((!value.is_empty()).then_some(value));
    secrets.extend(value.rsplit_once(' ').map(|(_, word)| word));
}

fn is_name(word: &str) -> bool {
    let name = word.to_ascii_lowercase();
    NAMES.iter().any(|end| name.ends_with(end))
}

fn is_key(word: &str) -> bool {
    let (length, digits) = KEY;
    word.len() >= length
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && word.bytes().filter(u8::is_ascii_digit).count() >= digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x1_keys_in_arguments_are_secrets_and_what_explains_is_not() {
        let args = [
            "-y",
            "@modelcontextprotocol/server-postgres@0.6.2",
            "postgresql://ann:hunter2@db.example/crm",
            "--api-key",
            "hunter3",
            "--token=hunter4",
            "--header",
            "Authorization: Bearer hunter5",
            "X-Api-Key:hunter6",
            "--auth",
            "ann:hunter7",
            "--password=a1:hunter8",
            "--secret",
            "-my-hunter9-secret",
            "https://mcp.example/sse?api_key=hunter10&x=1",
            "mcp-auth",
            "/srv/auth",
            "ghp0a1b2c3d4e5f6a7b8c9d0",
            "--log-level=debug",
            "--no-auth",
            "--dir",
            "/srv/files",
        ];
        let args = args.map(str::to_owned);
        let found = in_arguments(&args);
        let found: Vec<&str> = found.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(
            found,
            [
                "hunter2",
                "hunter3",
                "hunter4",
                "Bearer hunter5",
                "hunter5",
                "hunter6",
                "ann:hunter7",
                "a1:hunter8",
                "-my-hunter9-secret",
                "hunter10",
                "ghp0a1b2c3d4e5f6a7b8c9d0"
            ]
        );
    }

    #[test]
    fn x1_the_latest_tokens_are_known() {
        let tokens = Tokens::default();
        let secrets = Secrets::new(Vec::new(), tokens.clone());
        for number in 0..20 {
            tokens.add(&format!("hunter-{number}").into());
        }
        let told = secrets.redact("neither hunter-18 nor hunter-19");
        assert!(!told.contains("hunter"), "{told}");
        assert_eq!(tokens.latest().len(), LATEST);
    }
}
