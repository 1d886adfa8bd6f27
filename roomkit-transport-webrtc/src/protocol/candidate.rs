//! ICE candidates of callers (RFC 8839, section 5.1).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A candidate we can send to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    text: String,
    ufrag: Option<String>,
}

/// The longest name of credentials (RFC 8839, section 5.4).
const LONGEST_UFRAG: usize = 256;

/// Why a candidate is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is not the text of a candidate.
    Malformed,
    /// It is one, and of no use to us: TCP, a name instead of an address (browsers hide theirs so
    /// from pages without a microphone), or nowhere one can send to. The caller will be known by
    /// the address its own checks come from.
    Elsewhere,
}

impl Candidate {
    /// Reads a candidate as the browser gives it, with or without `candidate:` or `a=` before it.
    pub(crate) fn read(text: &str) -> Result<Self, Unusable> {
        let text = text.trim();
        let text = text.strip_prefix("a=").unwrap_or(text);
        let text = text.strip_prefix("candidate:").unwrap_or(text);
        let mut fields = text.split_ascii_whitespace();
        let mut next = || fields.next().ok_or(Unusable::Malformed);
        let foundation = next()?;
        let component: u16 = number(next()?)?;
        let transport = next()?;
        let priority: u32 = number(next()?)?;
        let address = next()?;
        let port: u16 = number(next()?)?;
        let (typ, kind) = (next()?, next()?);
        let is_kind = ["host", "srflx", "prflx", "relay"].contains(&kind);
        // RFC 8839: 1 to 32 of these characters.
        let is_foundation = (1..=32).contains(&foundation.len())
            && foundation
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/');
        if typ != "typ" || !is_kind || !is_foundation || text.contains(['\r', '\n']) {
            return Err(Unusable::Malformed);
        }
        let Ok(ip) = address.parse::<IpAddr>() else {
            return Err(Unusable::Elsewhere);
        };
        let usable = component == 1 && transport.eq_ignore_ascii_case("udp") && port != 0;
        if !usable || !is_single(ip) {
            return Err(Unusable::Elsewhere);
        }
        // Names and values follow. But for the credentials it belongs to they are of no use to us, and
        // not worth the trust.
        let mut ufrag = None;
        while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
            if name == "ufrag" && value.len() <= LONGEST_UFRAG {
                ufrag = Some(value.to_owned());
            }
        }
        let text =
            format!("candidate:{foundation} {component} udp {priority} {ip} {port} typ {kind}");
        Ok(Self { text, ufrag })
    }

    /// As the library takes it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the credentials that it belongs to, where it says so.
    pub(crate) fn ufrag(&self) -> Option<&str> {
        self.ufrag.as_deref()
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Unusable> {
    text.parse().map_err(|_| Unusable::Malformed)
}

/// Whether it is the address of one machine.
fn is_single(ip: IpAddr) -> bool {
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    !(ip.is_unspecified() || ip.is_multicast() || broadcast)
}

/// The candidates of one caller, counted.
#[derive(Debug)]
pub(crate) struct Candidates {
    most: usize,
    left: usize,
}

impl Candidates {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, left: most }
    }

    /// Those of before are forgotten: it may have as many again.
    pub(crate) fn renew(&mut self) {
        self.left = self.most;
    }

    /// Whether one more may be looked at.
    pub(crate) fn take(&mut self) -> bool {
        let some_left = self.left > 0;
        self.left -= usize::from(some_left);
        some_left
    }
}

/// A candidate's address, and the line with another in its place.
pub(super) struct CandidateLine<'a>(Vec<&'a str>);

impl<'a> CandidateLine<'a> {
    /// A line of an answer.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let fields: Vec<&str> = line
            .strip_prefix("a=candidate:")?
            .split_ascii_whitespace()
            .collect();
        (fields.len() >= 8).then_some(Self(fields))
    }

    pub(super) fn is_rtcp(&self) -> bool {
        self.0[1] == "2"
    }

    pub(super) fn is_host(&self) -> bool {
        self.0[7] == "host"
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        socket_address(self.0[4], self.0[5])
    }

    /// The address behind a reflexive or relayed one, and the place of its fields.
    pub(super) fn related(&self) -> Option<(usize, SocketAddr)> {
        let place = self.0.iter().position(|field| *field == "raddr")? + 1;
        let address = socket_address(self.0.get(place)?, self.0.get(place + 2)?)?;
        Some((place, address))
    }

    pub(super) fn with_address(&self, address: SocketAddr) -> String {
        self.with(4, 5, address)
    }

    pub(super) fn with_related(&self, place: usize, address: SocketAddr) -> String {
        self.with(place, place + 2, address)
    }

    fn with(&self, ip: usize, port: usize, address: SocketAddr) -> String {
        let mut fields: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        fields[ip] = address.ip().to_string();
        fields[port] = address.port().to_string();
        format!("a=candidate:{}", fields.join(" "))
    }
}

fn socket_address(ip: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c4_candidates_as_browsers_write_them() {
        for (text, read) in [
            (
                "candidate:842163049 1 udp 1677729535 203.0.113.9 50000 typ srflx raddr 0.0.0.0 rport 0 generation 0 ufrag ab network-cost 999",
                "candidate:842163049 1 udp 1677729535 203.0.113.9 50000 typ srflx",
            ),
            // Safari writes the eight fields and nothing more.
            (
                "candidate:1 1 UDP 2130706431 192.0.2.1 5000 typ host",
                "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host",
            ),
            (
                "a=candidate:0 1 UDP 2122252543 2001:db8::1 5000 typ host",
                "candidate:0 1 udp 2122252543 2001:db8::1 5000 typ host",
            ),
        ] {
            assert_eq!(Candidate::read(text).unwrap().as_str(), read);
        }
    }

    #[test]
    fn c4_a_candidate_says_which_credentials_it_belongs_to() {
        let ufrag = |more: &str| {
            let text = format!("candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host{more}");
            let read = Candidate::read(&text).unwrap();
            read.ufrag().map(ToOwned::to_owned)
        };
        assert_eq!(
            ufrag(" generation 0 ufrag ab network-cost 999"),
            Some("ab".into())
        );
        assert_eq!(ufrag(" ufrag ab"), Some("ab".into()));
        assert_eq!(ufrag(""), None);
        assert_eq!(ufrag(" ufrag"), None);
        assert_eq!(ufrag(" generation ufrag ab 0"), None);
        assert_eq!(ufrag(&format!(" ufrag {}", "x".repeat(257))), None);
    }

    #[test]
    fn c4_candidates_of_no_use() {
        for text in [
            // mDNS, TCP, RTCP, nowhere.
            "candidate:1 1 udp 2113937151 7c5e7d2a-1111-2222-3333-444455556666.local 5000 typ host",
            "candidate:1 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active",
            "candidate:1 2 udp 2113937150 192.0.2.1 5001 typ host",
            "candidate:1 1 udp 2113937151 0.0.0.0 5000 typ host",
            "candidate:1 1 udp 2113937151 224.0.0.251 5353 typ host",
            "candidate:1 1 udp 2113937151 255.255.255.255 67 typ host",
            "candidate:1 1 udp 2113937151 ff02::1 5000 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.1 0 typ host",
        ] {
            assert_eq!(Candidate::read(text), Err(Unusable::Elsewhere), "{text}");
        }
        for text in [
            "",
            "candidate:",
            "nonsense",
            "candidate:1 1 udp 2113937151 192.0.2.1 5000 typ",
            "candidate:1 1 udp x 192.0.2.1 5000 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.1 99999 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.1 5000 typ friend",
            "candidate:! 1 udp 2113937151 192.0.2.1 5000 typ host",
            "candidate:1 1 udp 2113937151 192.0.2.1 5000 typ host\r\na=evil",
        ] {
            assert_eq!(Candidate::read(text), Err(Unusable::Malformed), "{text}");
        }
    }
}
