//! Which tools of a server are offered, and under which names.

use std::collections::BTreeMap;

use roomkit_core::{registry::ConfigError, tool::is_named};

/// The longest name that all vendors take.
pub(crate) const LONGEST_NAME: usize = 64;
/// What is a name, for who gave another.
const NAME: &str =
    "a name begins with a letter or `_` and holds letters, digits, `_` and `-`, at most 64 in all";

/// A server's include, exclude, prefix and renames.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    pub(crate) include: Vec<String>,
    pub(crate) exclude: Vec<String>,
    pub(crate) prefix: String,
    pub(crate) renames: BTreeMap<String, String>,
}

impl Filter {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !self.prefix.is_empty() && fitting(&self.prefix) != self.prefix {
            let problem = format!("is `{}`; {NAME}", self.prefix);
            return Err(ConfigError::field("prefix", problem));
        }
        for (from, to) in &self.renames {
            if to.is_empty() || fitting(to) != *to {
                let problem = format!("is `{to}`; {NAME}");
                return Err(ConfigError::field(format!("renames.{from}"), problem));
            }
        }
        Ok(())
    }

    /// The name under which a tool is offered; `None`: it is not. A rename is the whole name, others
    /// get the prefix. What no vendor would take in a name becomes `_`.
    pub(crate) fn offered(&self, name: &str) -> Option<String> {
        let is_in = |globs: &[String]| globs.iter().any(|glob| is_named(name, glob));
        if !self.include.is_empty() && !is_in(&self.include) || is_in(&self.exclude) {
            return None;
        }
        let offered = match self.renames.get(name) {
            Some(other) => other.clone(),
            None => fitting(&format!("{}{name}", self.prefix)),
        };
        Some(offered).filter(|offered| !offered.is_empty())
    }
}

/// The text as a name that OpenAI and Gemini take; Gemini wants a letter or `_` first.
fn fitting(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let begins_badly = name.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let before = if begins_badly { "_" } else { "" };
    let whole = before.chars().chain(name.chars()).take(LONGEST_NAME);
    whole.map(|c| if fits(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k8_names_are_filtered_prefixed_and_renamed() {
        let filter = Filter {
            include: vec!["get_*".into(), "files/read".into()],
            exclude: vec!["*_secret".into()],
            prefix: "crm_".into(),
            renames: [("get_x".to_owned(), "look_up".to_owned())].into(),
        };
        assert_eq!(filter.offered("get_a").as_deref(), Some("crm_get_a"));
        assert_eq!(filter.offered("get_x").as_deref(), Some("look_up"));
        assert_eq!(filter.offered("get_secret"), None);
        assert_eq!(filter.offered("delete"), None);
        assert_eq!(
            filter.offered("files/read").as_deref(),
            Some("crm_files_read"),
            "no vendor takes a slash"
        );
    }

    #[test]
    fn k8_a_name_begins_as_every_vendor_takes_it() {
        let plain = Filter::default();
        let offered = |name: &str| plain.offered(name).unwrap();
        assert_eq!(offered("3d_render"), "_3d_render");
        assert_eq!(offered("-x"), "_-x");
        assert_eq!(offered("/x"), "_x");
        assert_eq!(offered(&"3".repeat(80)).len(), LONGEST_NAME);
        let prefixed = Filter {
            prefix: "cad_".into(),
            ..Filter::default()
        };
        assert_eq!(
            prefixed.offered("3d_render").as_deref(),
            Some("cad_3d_render")
        );
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let filter = Filter {
            prefix: "a b".into(),
            ..Filter::default()
        };
        assert!(filter.check().unwrap_err().to_string().contains("`a b`"));
        let filter = Filter {
            renames: [("a".to_owned(), String::new())].into(),
            ..Filter::default()
        };
        let error = filter.check().unwrap_err().to_string();
        assert!(error.starts_with("renames.a"), "{error}");
        let filter = Filter {
            renames: [("a".to_owned(), "3d".to_owned())].into(),
            ..Filter::default()
        };
        let error = filter.check().unwrap_err().to_string();
        assert!(error.contains("begins with a letter"), "{error}");
    }
}
