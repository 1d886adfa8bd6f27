//! Our answers: the library's, with the addresses that callers can reach.

use std::net::SocketAddr;

use super::candidate::CandidateLine;
use crate::net::Announced;

const MAX_MESSAGE: &str = "a=max-message-size:";
const END_OF_CANDIDATES: &str = "a=end-of-candidates";

/// The answer for callers. `real` gives the address behind one of the library's; public addresses
/// stand for the local ones of their family; `max_message_bytes` for what the library would take.
pub(crate) fn for_callers(
    answer: &str,
    real: impl Fn(SocketAddr) -> SocketAddr,
    announced: &[Announced],
    max_message_bytes: usize,
) -> String {
    let mut lines: Vec<String> = Vec::new();
    // The library has the candidates in the first section, even in one that is rejected, where
    // browsers leave them.
    let mut held: Vec<String> = Vec::new();
    let mut is_rejected = false;
    for line in answer.lines() {
        if line.starts_with("m=") {
            if !is_rejected {
                lines.append(&mut held);
            }
            is_rejected = line.split(' ').nth(1) == Some("0");
        }
        let candidates = if is_rejected { &mut held } else { &mut lines };
        match CandidateLine::read(line) {
            // All of RTCP goes with the media; nothing comes to a component of its own.
            Some(candidate) if candidate.is_rtcp() => {}
            Some(candidate) => candidates.extend(rewritten(&candidate, line, &real, announced)),
            None if line == END_OF_CANDIDATES => candidates.push(line.to_owned()),
            None if line.starts_with(MAX_MESSAGE) => {
                lines.push(format!("{MAX_MESSAGE}{max_message_bytes}"));
            }
            None => lines.push(line.to_owned()),
        }
    }
    lines.append(&mut held);
    lines.push(String::new());
    lines.join("\r\n")
}

/// The name and the password by which callers prove themselves to us.
pub(crate) fn credentials(answer: &str) -> Option<(String, String)> {
    let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name));
    let name = value("a=ice-ufrag:")?.trim();
    let password = value("a=ice-pwd:")?.trim();
    Some((name.to_owned(), password.to_owned()))
}

fn rewritten(
    candidate: &CandidateLine<'_>,
    line: &str,
    real: impl Fn(SocketAddr) -> SocketAddr,
    announced: &[Announced],
) -> Vec<String> {
    let Some(address) = candidate.address() else {
        return vec![line.to_owned()];
    };
    if !candidate.is_host() {
        return match candidate.related() {
            Some((place, related)) => vec![candidate.with_related(place, real(related))],
            None => vec![line.to_owned()],
        };
    }
    let local = real(address);
    let mut public: Vec<SocketAddr> = announced
        .iter()
        .filter_map(|announced| announced.instead_of(local))
        .collect();
    if public.is_empty() {
        public.push(local);
    }
    let lines = public.into_iter();
    lines
        .map(|address| candidate.with_address(address))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\n\
        a=ice-ufrag:name\r\n\
        a=ice-pwd:secret\r\n\
        a=max-message-size:4000\r\n\
        a=candidate:1 1 udp 2130706431 10.0.0.5 41000 typ host\r\n\
        a=candidate:2 1 udp 2130706431 2001:db8::5 41001 typ host ufrag name\r\n\
        a=candidate:3 1 udp 1694498815 203.0.113.1 3478 typ srflx raddr 10.0.0.5 rport 41000\r\n\
        a=end-of-candidates\r\n";

    fn candidates(announced: &[&str]) -> Vec<String> {
        let announced: Vec<Announced> = announced
            .iter()
            .map(|address| address.parse().unwrap())
            .collect();
        let shared = |address: SocketAddr| match address.port() {
            41_000..=41_001 => SocketAddr::new(address.ip(), 5000),
            _ => address,
        };
        for_callers(ANSWER, shared, &announced, 4000)
            .lines()
            .filter_map(|line| line.strip_prefix("a=candidate:"))
            .map(ToOwned::to_owned)
            .collect()
    }

    #[test]
    fn c3_callers_are_told_the_shared_port() {
        assert_eq!(
            candidates(&[]),
            [
                "1 1 udp 2130706431 10.0.0.5 5000 typ host",
                "2 1 udp 2130706431 2001:db8::5 5000 typ host ufrag name",
                "3 1 udp 1694498815 203.0.113.1 3478 typ srflx raddr 10.0.0.5 rport 5000",
            ]
        );
    }

    #[test]
    fn c3_callers_are_told_public_addresses() {
        assert_eq!(
            candidates(&["203.0.113.7", "203.0.113.8:6000"]),
            [
                "1 1 udp 2130706431 203.0.113.7 5000 typ host",
                "1 1 udp 2130706431 203.0.113.8 6000 typ host",
                "2 1 udp 2130706431 2001:db8::5 5000 typ host ufrag name",
                "3 1 udp 1694498815 203.0.113.1 3478 typ srflx raddr 10.0.0.5 rport 5000",
            ]
        );
    }

    #[test]
    fn c3_callers_are_told_of_no_component_for_rtcp() {
        let both = ANSWER.replace(
            "a=candidate:2 1",
            "a=candidate:1 2 udp 2130706431 10.0.0.5 41000 typ host\r\na=candidate:2 1",
        );
        assert_eq!(for_callers(&both, |address| address, &[], 4000), ANSWER);
    }

    #[test]
    fn c4_candidates_stand_in_a_section_that_is_not_rejected() {
        let candidates = "a=candidate:1 1 udp 1 10.0.0.5 41000 typ host\r\na=end-of-candidates\r\n";
        let sections = |first: &str, second: &str| {
            format!(
                "v=0\r\nm=audio 0 X 0\r\na=mid:0\r\n{first}m=audio 9 X 0\r\na=mid:1\r\n{second}"
            )
        };
        for end in ["", "m=application 9 X 1\r\n"] {
            let answer = sections(candidates, "") + end;
            let expected = sections("", candidates) + end;
            assert_eq!(for_callers(&answer, |it| it, &[], 4000), expected);
        }
    }

    #[test]
    fn c5_callers_are_told_how_long_a_message_may_be() {
        let answer = for_callers(ANSWER, |address| address, &[], 1000);
        assert_eq!(answer, ANSWER.replace("size:4000", "size:1000"));
    }

    #[test]
    fn the_rest_of_an_answer_stays() {
        let answer = for_callers(ANSWER, |address| address, &[], 4000);
        assert_eq!(answer, ANSWER);
        assert_eq!(credentials(&answer), Some(("name".into(), "secret".into())));
    }
}
