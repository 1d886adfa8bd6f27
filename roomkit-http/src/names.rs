//! By which names a server may be asked (contract X3).
//!
//! Whoever has a name can let it lead to any address, also to one that only the visitors of his page
//! can reach, such as their own machine's (DNS rebinding). A browser then takes the server there for
//! the page's own origin: it sends no `Origin`, or the right one, and only the name it asks for tells.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header, uri::Authority};
use roomkit_core::error::ConfigError;

use crate::config::AdmissionConfig;

/// The names that are answered to.
#[derive(Debug)]
pub(crate) struct NamePolicy {
    any: bool,
    listed: Vec<String>,
}

impl NamePolicy {
    /// Reads the setting `allowed_hosts`, and those beside it that tell what it has to be.
    pub(crate) fn read(config: &AdmissionConfig) -> Result<Self, ConfigError> {
        let mut listed = Vec::new();
        let hosts = &config.allowed_hosts;
        for entry in hosts.iter().filter(|entry| *entry != "*") {
            let is_host = !entry.contains(['@', '*']) && !has_port(entry);
            let host = host_of(entry).filter(|_| is_host).ok_or_else(|| {
                let problem = format!(
                    "`{entry}` is no host; write a name such as `calls.example.com`, without scheme, \
                     port and path, or `*` for all"
                );
                ConfigError::field("allowed_hosts", problem)
            })?;
            listed.push(host);
        }
        let origins = &config.allowed_origins;
        let any_page = origins.iter().any(|origin| origin == "*");
        let is_restricted = !listed.is_empty() || config.local && !any_page;
        listed.extend(origins.iter().filter_map(|origin| {
            let (_scheme, authority) = origin.split_once("://")?;
            host_of(authority)
        }));
        Ok(Self {
            any: !is_restricted || hosts.iter().any(|host| host == "*"),
            listed,
        })
    }

    /// Whether a request is for a name that is answered to. All browsers send `Host`; what comes
    /// without is none.
    pub(crate) fn allows(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let asked = headers.get_all(header::HOST).iter();
        let asked = asked.map(|host| host.to_str().ok());
        let mut asked = asked.chain(uri.authority().map(|authority| Some(authority.as_str())));
        self.any
            || asked.all(|host| {
                host.and_then(host_of)
                    .is_some_and(|host| self.is_known(&host))
            })
    }

    /// An address is nobody's name, and leads nowhere else.
    fn is_known(&self, host: &str) -> bool {
        host == "localhost"
            || host.parse::<IpAddr>().is_ok()
            || self.listed.iter().any(|listed| listed == host)
    }
}

/// The host of `host[:port]`, in lower case, an IPv6 address without its brackets.
fn host_of(text: &str) -> Option<String> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    Some(bare.unwrap_or(host).to_ascii_lowercase())
}

fn has_port(text: &str) -> bool {
    let authority = text.parse::<Authority>();
    authority.is_ok_and(|authority| authority.port().is_some())
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn config(local: bool, hosts: &[&str], origins: &[&str]) -> AdmissionConfig {
        AdmissionConfig {
            local,
            allowed_hosts: hosts.iter().map(ToString::to_string).collect(),
            allowed_origins: origins.iter().map(ToString::to_string).collect(),
            ..AdmissionConfig::default()
        }
    }

    fn allows(config: &AdmissionConfig, uri: &str, hosts: &[&str]) -> bool {
        let mut request = Request::get(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        let request = request.body(()).unwrap();
        let policy = NamePolicy::read(config).unwrap();
        policy.allows(request.headers(), request.uri())
    }

    #[test]
    fn x3_a_local_server_is_asked_by_names_of_the_machine() {
        let local = config(true, &[], &["same-origin", "https://App.example:8443"]);
        for (host, allowed) in [
            ("localhost", true),
            ("localhost:8080", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:8080", true),
            ("[::1]", true),
            ("app.example", true),
            ("app.example:9", true),
            ("evil.example", false),
            ("evil.example:8080", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("localhost@evil.example", false),
            ("localhost:8080:evil", false),
            ("localhost, evil.example", false),
            ("", false),
        ] {
            assert_eq!(allows(&local, "/ws", &[host]), allowed, "{host}");
        }
        assert!(allows(&local, "/ws", &[]), "no browser");
        assert!(!allows(&local, "/ws", &["localhost", "evil.example"]));
        assert!(!allows(&local, "http://evil.example/ws", &["localhost"]));
        assert!(allows(&local, "http://localhost/ws", &["localhost"]));
    }

    #[test]
    fn x3_others_are_asked_by_any_name_unless_there_is_a_list() {
        let open = config(false, &[], &["same-origin"]);
        assert!(allows(&open, "/ws", &["evil.example"]));
        let any_page = config(true, &[], &["*"]);
        assert!(allows(&any_page, "/ws", &["evil.example"]));
        for local in [false, true] {
            let all = config(local, &["*"], &["same-origin"]);
            assert!(allows(&all, "/ws", &["evil.example"]));
            let listed = config(local, &["Calls.example"], &["*"]);
            for (host, allowed) in [
                ("calls.example", true),
                ("calls.EXAMPLE:443", true),
                ("localhost", true),
                ("192.0.2.1:8080", true),
                ("evil.example", false),
            ] {
                assert_eq!(allows(&listed, "/ws", &[host]), allowed, "{host}");
            }
        }
    }

    #[test]
    fn x3_what_is_no_host_is_a_typed_error() {
        for entry in [
            "https://calls.example",
            "calls.example:443",
            "calls.example/",
            "me@calls.example",
            "",
            "*.calls.example",
        ] {
            let error = NamePolicy::read(&config(false, &[entry], &[])).unwrap_err();
            assert!(error.to_string().starts_with("allowed_hosts: "), "{error}");
        }
    }
}
