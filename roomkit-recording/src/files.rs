//! Where files are and what they are called.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io,
    path::Path,
};

use roomkit_core::error::ConfigError;

/// Of an id, more would be too long for a file's name.
const LONGEST: usize = 100;
/// Recordings of one name.
const MOST: usize = 1000;

/// Makes the directory, and finds out whether files can be written there.
pub(crate) fn check_directory(directory: &Path) -> Result<(), ConfigError> {
    // A name that nobody can have put something under, and no more is overwritten than elsewhere.
    let name = RandomState::new().hash_one(std::process::id());
    let probe = directory.join(format!(".roomkit-{name:016x}"));
    fs::create_dir_all(directory)
        .and_then(|()| create(&probe))
        .and_then(|_| fs::remove_file(&probe))
        .map_err(|error| {
            let problem = format!(
                "`{}` cannot be written: {error}; name a directory that can be",
                directory.display()
            );
            ConfigError::field("directory", problem)
        })
}

/// A new sidecar, and the name that its recording's files share.
pub(crate) fn create_sidecar(directory: &Path, id: &str) -> io::Result<(String, File)> {
    let stem = stem(id);
    for number in 1..=MOST {
        let name = if number == 1 {
            stem.clone()
        } else {
            format!("{stem}-{number}")
        };
        match create(&directory.join(format!("{name}.jsonl"))) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => return created.map(|file| (name, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A new file, which nobody but its owner may read.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// An id as a file's name: nothing in it leads out of the directory.
fn stem(id: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let stem: String = id.chars().take(LONGEST).map(safe).collect();
    if stem.is_empty() { "_".into() } else { stem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x5_no_id_leads_out_of_the_directory() {
        for (id, expected) in [
            ("4f2a-B", "4f2a-B"),
            ("../../etc/passwd", "______etc_passwd"),
            ("a\\b:c\0d", "a_b_c_d"),
            ("", "_"),
            ("..", "__"),
            ("größe", "gr__e"),
        ] {
            assert_eq!(stem(id), expected);
        }
        assert_eq!(stem(&"x".repeat(1000)).len(), LONGEST);
    }
}
