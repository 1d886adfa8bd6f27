//! Where an issuer's keys are read.

use std::{error::Error, fs, io::Read, path::PathBuf, time::Duration};

use reqwest::{Client, Url, redirect::Policy};
use roomkit::error::ConfigError;
use roomkit_dial::Roots;

use super::{
    JwtConfig,
    keys::{self, Key},
};

/// Largest JWK set that is read, in bytes.
const MAX_BYTES: usize = 256 * 1024;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A file, or an address.
#[derive(Debug)]
pub(super) enum Source {
    File(PathBuf),
    Url(Url, Client),
}

impl Source {
    pub(super) fn new(jwks: &str, config: &JwtConfig) -> Result<Self, ConfigError> {
        let refused = |problem: String| ConfigError::field("auth.jwt.jwks", problem);
        let url = match Url::parse(jwks) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url,
            _ if config.ca_file.is_some() => {
                let problem = format!(
                    "is for an `https` address, and `jwks` is the file `{jwks}`; leave it out"
                );
                return Err(ConfigError::field("auth.jwt.ca_file", problem));
            }
            _ => return Ok(Self::File(jwks.into())),
        };
        if url.scheme() == "http" && !is_here(&url) {
            let problem = "is read without TLS, so anybody on the way could sign; write https";
            return Err(refused(problem.into()));
        }
        let mut roots = Roots::public();
        if let Some(path) = &config.ca_file {
            roots = roots.with_file("auth.jwt.ca_file", path)?;
        }
        let tls = roots.client_config()?;
        let client = Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .build()
            .map_err(|error| refused(format!("cannot be asked: {error}")))?;
        Ok(Self::Url(url, client))
    }

    /// The keys as they are now; the error says what is wrong with them.
    pub(super) async fn read(&self) -> Result<Vec<Key>, String> {
        match self {
            // A small file, read rarely.
            Self::File(_) => self.read_file(),
            Self::Url(url, client) => {
                let set = fetch(client, url.clone()).await;
                let set = set.map_err(|error| format!("cannot be fetched: {error}"))?;
                keys::read(&set).map_err(str::to_owned)
            }
        }
    }

    /// The same where it need not be waited for: nothing of an address.
    pub(super) fn read_file(&self) -> Result<Vec<Key>, String> {
        let Self::File(path) = self else {
            return Ok(Vec::new());
        };
        let mut set = Vec::new();
        let file = fs::File::open(path);
        let read = file.and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut set));
        read.map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
        if set.len() > MAX_BYTES {
            return Err(format!(
                "`{}` is larger than {MAX_BYTES} bytes",
                path.display()
            ));
        }
        keys::read(&set).map_err(|problem| format!("`{}` {problem}", path.display()))
    }
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    matches!(host, "localhost" | "127.0.0.1" | "[::1]")
}

/// An error and what is behind it: that no name was found or no certificate taken stands there.
fn explain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The body of the answer, as far as it is not too large.
async fn fetch(client: &Client, url: Url) -> Result<Vec<u8>, String> {
    // Without the address, which may have a secret in its query.
    let failed = |error: reqwest::Error| explain(&error.without_url());
    let mut answer = client.get(url).send().await.map_err(failed)?;
    if !answer.status().is_success() {
        return Err(format!("the answer is {}", answer.status()));
    }
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        if body.len() + piece.len() > MAX_BYTES {
            return Err(format!("it is larger than {MAX_BYTES} bytes"));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}
