//! The messages of the signalling: FastRTC's JSON, and the fragments of WHIP.

use serde::Deserialize;

use super::WebRtcId;

/// The longest id of a caller, in bytes.
const MAX_ID_BYTES: usize = 128;

/// What a client posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// It wants to talk, or, with `restart`, to find a new way to go on.
    Offer {
        id: WebRtcId,
        sdp: String,
        restart: bool,
    },
    /// It may be reached there as well; empty when there are no more.
    Candidate { id: WebRtcId, candidate: String },
}

/// A request that cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadRequest {
    /// It is not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// A field is missing or cannot be used.
    #[error("{field}: {problem}")]
    Field {
        field: &'static str,
        problem: String,
    },
}

#[derive(Deserialize)]
struct Body {
    r#type: Option<String>,
    webrtc_id: Option<String>,
    sdp: Option<String>,
    candidate: Option<CandidateBody>,
    #[serde(default)]
    restart: bool,
}

/// A browser's `RTCIceCandidate`; null stands for the end, in some clients.
#[derive(Deserialize)]
#[serde(untagged)]
enum CandidateBody {
    Object {
        candidate: String,
    },
    Text(String),
    /// No candidate in any case, which is the reader's of candidates to say.
    Other(serde_json::Value),
}

impl Request {
    /// Reads a body.
    pub(crate) fn read(body: &[u8]) -> Result<Self, BadRequest> {
        let body: Body = serde_json::from_slice(body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => BadRequest::Field {
                field: "body",
                problem: error.to_string(),
            },
            _ => BadRequest::NotJson(error.to_string()),
        })?;
        let kind = required("type", body.r#type)?;
        let id = id(required("webrtc_id", body.webrtc_id)?)?;
        match kind.as_str() {
            "offer" => Ok(Self::Offer {
                id,
                sdp: required("sdp", body.sdp)?,
                restart: body.restart,
            }),
            "ice-candidate" => Ok(Self::Candidate {
                id,
                candidate: match body.candidate {
                    Some(CandidateBody::Object { candidate } | CandidateBody::Text(candidate)) => {
                        candidate
                    }
                    Some(CandidateBody::Other(other)) => other.to_string(),
                    None => String::new(),
                },
            }),
            other => Err(BadRequest::Field {
                field: "type",
                problem: format!("`{other}`; must be `offer` or `ice-candidate`"),
            }),
        }
    }
}

fn required(field: &'static str, value: Option<String>) -> Result<String, BadRequest> {
    value.ok_or_else(|| BadRequest::Field {
        field,
        problem: "is missing".into(),
    })
}

fn id(id: String) -> Result<WebRtcId, BadRequest> {
    if id.is_empty() || id.len() > MAX_ID_BYTES || id.chars().any(char::is_control) {
        return Err(BadRequest::Field {
            field: "webrtc_id",
            problem: format!("must be 1 to {MAX_ID_BYTES} bytes without control characters"),
        });
    }
    Ok(id.into())
}

/// The candidates of an `application/trickle-ice-sdpfrag` (RFC 8840).
pub(crate) fn candidates_of_fragment(fragment: &str) -> impl Iterator<Item = &str> {
    let lines = fragment.lines().map(str::trim_end);
    lines.filter(|line| line.starts_with("a=candidate:"))
}

/// Of whose ICE credentials its candidates are.
pub(crate) fn ufrag_of_fragment(fragment: &str) -> Option<&str> {
    let mut lines = fragment.lines();
    let ufrag = lines.find_map(|line| line.strip_prefix("a=ice-ufrag:"));
    ufrag.map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Request, BadRequest> {
        Request::read(body.as_bytes())
    }

    #[test]
    fn c4_fast_rtcs_messages() {
        assert_eq!(
            read(r#"{"sdp":"v=0","type":"offer","webrtc_id":"abc"}"#),
            Ok(Request::Offer {
                id: "abc".into(),
                sdp: "v=0".into(),
                restart: false
            })
        );
        for (candidate, text) in [
            (
                r#"{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}"#,
                "candidate:1",
            ),
            (r#"{"candidate":""}"#, ""),
            (r#""candidate:1""#, "candidate:1"),
            ("null", ""),
            (r#"{"candidate":7}"#, r#"{"candidate":7}"#),
        ] {
            let body =
                format!(r#"{{"type":"ice-candidate","candidate":{candidate},"webrtc_id":"abc"}}"#);
            let expected = Request::Candidate {
                id: "abc".into(),
                candidate: text.into(),
            };
            assert_eq!(read(&body), Ok(expected));
        }
    }

    #[test]
    fn c4_a_wrong_message_names_its_field() {
        for (body, field) in [
            (r"{}", "type"),
            (r#"{"type":"offer"}"#, "webrtc_id"),
            (r#"{"type":"offer","webrtc_id":"a"}"#, "sdp"),
            (r#"{"type":"dance","webrtc_id":"a"}"#, "type"),
            (r#"{"type":"offer","webrtc_id":"","sdp":""}"#, "webrtc_id"),
            (
                r#"{"type":"offer","webrtc_id":"a\nb","sdp":""}"#,
                "webrtc_id",
            ),
            (r#"{"type":7}"#, "body"),
        ] {
            let error = read(body).unwrap_err();
            let BadRequest::Field { field: named, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(named, field, "{body}");
        }
        for body in ["", "nonsense", "{\"type\":"] {
            assert!(matches!(read(body), Err(BadRequest::NotJson(_))), "{body}");
        }
    }

    #[test]
    fn c4_candidates_of_a_fragment() {
        let fragment = "a=ice-ufrag:x\r\na=ice-pwd:y\r\nm=audio 9 X 0\r\na=mid:0\r\n\
            a=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\na=end-of-candidates\r\n";
        let candidates: Vec<&str> = candidates_of_fragment(fragment).collect();
        assert_eq!(
            candidates,
            ["a=candidate:1 1 udp 1 192.0.2.1 5000 typ host"]
        );
        assert_eq!(ufrag_of_fragment(fragment), Some("x"));
    }
}
