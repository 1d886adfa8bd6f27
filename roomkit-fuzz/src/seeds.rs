//! What libFuzzer begins with: the messages that this package makes its inputs of.

use std::{collections::BTreeSet, fmt::Write as _, fs, io, path::Path};

use crate::corpus::{BINARY, MESSAGES, TOKENS};

/// Writes each message into a file of the folder, and a dictionary of their words beside it, named
/// as the folder is with `.dict` behind.
///
/// # Errors
///
/// When something cannot be written.
pub fn write_seeds(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let text = MESSAGES.iter().map(|message| message.as_bytes());
    for (number, message) in text.chain(BINARY.iter().copied()).enumerate() {
        fs::write(folder.join(format!("{number:03}")), message)?;
    }
    fs::write(folder.with_extension("dict"), dictionary())
}

/// A word a line, as libFuzzer reads them.
fn dictionary() -> String {
    let is_apart = |c: char| !(c.is_ascii_alphanumeric() || "_-.:/=".contains(c));
    let words = MESSAGES.iter().flat_map(|text| text.split(is_apart));
    // What is no name is found by chance, or is one message's own.
    let names = words.filter(|word| {
        (2..=64).contains(&word.len()) && word.contains(|c: char| c.is_ascii_alphabetic())
    });
    let words: BTreeSet<&str> = names.chain(TOKENS.iter().copied()).collect();
    words.iter().fold(String::new(), |mut lines, word| {
        let escaped = word.replace('\\', "\\\\").replace('"', "\\\"");
        let _ = writeln!(lines, "\"{escaped}\"");
        lines
    })
}

#[cfg(test)]
mod tests {
    use roomkit_server::config::Config;

    use super::*;

    #[test]
    fn the_configurations_are_ones_that_are_read() {
        let files = MESSAGES.iter().filter(|text| text.contains("[provider]"));
        let problems: Vec<_> = files
            .map(|text| toml::from_str::<Config>(text).err())
            .collect();
        assert!(problems.len() > 1);
        assert!(problems.iter().all(Option::is_none), "{problems:?}");
    }

    #[test]
    fn the_dictionary_has_the_names_of_the_wires_and_is_as_lib_fuzzer_reads_it() {
        let dictionary = dictionary();
        let lines: BTreeSet<&str> = dictionary.lines().collect();
        for name in ["toolCall", "response.done", "a=ice-ufrag:pWvM", "null"] {
            assert!(lines.contains(format!("\"{name}\"").as_str()), "{name}");
        }
        assert!(lines.contains(r#""\"""#) && lines.contains(r#""\\ud800""#));
        assert!(lines.iter().all(|line| line.is_ascii()));
    }
}
