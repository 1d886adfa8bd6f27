//! Which web pages may connect (contract X3).

use http::{HeaderMap, Uri, header};
use roomkit_core::error::ConfigError;

/// The origins that are let in.
#[derive(Debug)]
pub(crate) struct OriginPolicy {
    any: bool,
    same_origin: bool,
    listed: Vec<String>,
    /// The server speaks https and nothing else.
    https: bool,
}

impl OriginPolicy {
    /// Reads the setting `allowed_origins` of a server that may be known to speak https alone.
    pub(crate) fn parse(entries: &[String], https: bool) -> Result<Self, ConfigError> {
        let mut policy = Self {
            any: false,
            same_origin: false,
            listed: Vec::new(),
            https,
        };
        for entry in entries {
            match entry.as_str() {
                "*" => policy.any = true,
                "same-origin" => policy.same_origin = true,
                other => policy.listed.push(normalized(other).ok_or_else(|| {
                    ConfigError::field(
                        "allowed_origins",
                        format!(
                            "`{other}` is no origin; write `scheme://host[:port]` without a path, \
                             `same-origin` or `*`"
                        ),
                    )
                })?),
            }
        }
        Ok(policy)
    }

    /// Whether a request with these headers may pass. Only browsers send an `Origin`, and they
    /// always do; whatever comes without is not a web page and has no user to be misused.
    pub(crate) fn allows(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            self.any
                || origin
                    .to_str()
                    .ok()
                    .and_then(normalized)
                    .is_some_and(|origin| {
                        self.listed.contains(&origin)
                            || self.same_origin && self.is_same(&origin, headers, uri)
                    })
        })
    }

    /// Compares host and port, and the scheme where the server knows its own: behind a proxy that ends
    /// TLS it does not.
    fn is_same(&self, origin: &str, headers: &HeaderMap, uri: &Uri) -> bool {
        let host = match headers.get(header::HOST) {
            Some(host) => host.to_str().ok(),
            None => uri.authority().map(http::uri::Authority::as_str),
        };
        let (Some(host), Some((scheme, authority))) = (host, origin.split_once("://")) else {
            return false;
        };
        let host = host.to_ascii_lowercase();
        let same_place = host.strip_suffix(default_port(scheme)).unwrap_or(&host) == authority;
        same_place && (scheme == "https" || !self.https)
    }
}

/// Lower case, without the scheme's own port; `None` when it is not `scheme://host[:port]`.
fn normalized(origin: &str) -> Option<String> {
    let (scheme, authority) = origin.split_once("://")?;
    let uri = origin.parse::<Uri>().ok()?;
    if uri.scheme_str()?.is_empty() || uri.authority()?.as_str() != authority {
        return None;
    }
    let origin = origin.to_ascii_lowercase();
    let default_port = default_port(&scheme.to_ascii_lowercase());
    Some(origin.strip_suffix(default_port).unwrap_or(&origin).into())
}

fn default_port(scheme: &str) -> &'static str {
    match scheme {
        "https" => ":443",
        _ => ":80",
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn allows(entries: &[&str], host: &str, origins: &[&str]) -> bool {
        allows_by(false, entries, host, origins)
    }

    fn allows_by(https: bool, entries: &[&str], host: &str, origins: &[&str]) -> bool {
        let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
        let mut request = Request::get("/ws").header("host", host);
        for origin in origins {
            request = request.header("origin", *origin);
        }
        let request = request.body(()).unwrap();
        OriginPolicy::parse(&entries, https)
            .unwrap()
            .allows(request.headers(), request.uri())
    }

    #[test]
    fn x3_same_origin() {
        for (host, origin, allowed) in [
            ("a.example", "https://a.example", true),
            ("a.example", "http://a.example", true),
            ("A.example", "https://a.EXAMPLE", true),
            ("a.example:443", "https://a.example", true),
            ("a.example", "https://a.example:443", true),
            ("a.example:8080", "http://a.example:8080", true),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("a.example:8080", "http://a.example", false),
            ("a.example", "https://b.example", false),
            ("a.example", "https://a.example.evil.example", false),
            ("a.example", "https://a.example@evil.example", false),
            ("a.example", "https://evil.example/a.example", false),
            ("a.example", "null", false),
            ("a.example", "", false),
        ] {
            assert_eq!(
                allows(&["same-origin"], host, &[origin]),
                allowed,
                "{host} {origin}"
            );
        }
    }

    #[test]
    fn x3_a_page_over_http_is_of_another_origin_than_a_server_that_speaks_https() {
        for (host, origin, allowed) in [
            ("a.example", "https://a.example", true),
            ("a.example:8443", "https://a.example:8443", true),
            ("a.example", "http://a.example", false),
            ("a.example:8443", "http://a.example:8443", false),
        ] {
            let is_allowed = allows_by(true, &["same-origin"], host, &[origin]);
            assert_eq!(is_allowed, allowed, "{host} {origin}");
        }
        let list = ["http://localhost:3000"];
        assert!(allows_by(true, &list, "a.example", &list), "asked for");
    }

    #[test]
    fn x3_an_allow_list_replaces_the_default() {
        let list = ["https://app.example", "http://localhost:3000"];
        assert!(allows(&list, "api.example", &["https://app.example"]));
        assert!(allows(&list, "api.example", &["https://APP.example:443"]));
        assert!(allows(&list, "api.example", &["http://localhost:3000"]));
        assert!(!allows(&list, "api.example", &["http://app.example"]));
        assert!(!allows(&list, "api.example", &["https://api.example"]));
        assert!(allows(
            &["same-origin", "https://app.example"],
            "api.example",
            &["https://api.example"]
        ));
        assert!(allows(&["*"], "api.example", &["null"]));
    }

    #[test]
    fn x3_no_origin_passes_and_two_must_both_be_allowed() {
        assert!(allows(&["same-origin"], "a.example", &[]));
        assert!(allows(&[], "a.example", &[]));
        assert!(!allows(
            &["same-origin"],
            "a.example",
            &["https://a.example", "https://evil.example"]
        ));
    }

    #[test]
    fn x3_what_is_no_origin_is_a_typed_error() {
        for entry in [
            "app.example",
            "https://app.example/",
            "https://",
            "",
            "null",
        ] {
            let error = OriginPolicy::parse(&[entry.into()], false).unwrap_err();
            assert!(
                error.to_string().starts_with("allowed_origins: "),
                "{error}"
            );
        }
    }
}
