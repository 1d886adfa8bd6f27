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

/// The new files of a recording.
pub(crate) struct Pair {
    pub(crate) audio_name: String,
    pub(crate) audio: File,
    pub(crate) sidecar: File,
}

/// Makes the files of a recording, called after the first name of which neither is there, and begins
/// them. What cannot be begun is not left behind.
pub(crate) fn create_pair<T>(
    directory: &Path,
    id: &str,
    extension: &str,
    begin: impl FnOnce(Pair) -> io::Result<T>,
) -> io::Result<T> {
    let stem = stem(id);
    for number in 1..=MOST {
        let name = if number == 1 {
            stem.clone()
        } else {
            format!("{stem}-{number}")
        };
        let audio_name = format!("{name}.{extension}");
        let sidecar = directory.join(format!("{name}.jsonl"));
        let audio = directory.join(&audio_name);
        match create_both(&sidecar, &audio) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok((sidecar_file, audio_file)) => {
                let pair = Pair {
                    audio_name,
                    audio: audio_file,
                    sidecar: sidecar_file,
                };
                return begin(pair).inspect_err(|_| {
                    remove(&sidecar);
                    remove(&audio);
                });
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Both of these files, or none.
fn create_both(one: &Path, other: &Path) -> io::Result<(File, File)> {
    let first = create(one)?;
    let second = create(other).inspect_err(|_| remove(one))?;
    Ok((first, second))
}

/// Removes what was just made. If that fails, what made it superfluous is what is told.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
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

    #[test]
    fn v5_what_cannot_be_begun_is_not_left_behind() {
        let name = format!("roomkit-recording-{}-begun", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let full = |pair: Pair| {
            assert_eq!(pair.audio_name, "a.wav");
            Err::<(), _>(io::Error::from(io::ErrorKind::StorageFull))
        };
        let error = create_pair(&directory, "a", "wav", full).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir(&directory).unwrap();
    }
}
