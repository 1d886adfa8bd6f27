//! A caller's offer: what of it matters here, and what of it the library is given.

use std::fmt::Write as _;

use super::candidate::{Candidate, Candidates};
use crate::audio::Codec;

/// How large an offer may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OfferLimits {
    pub(crate) bytes: usize,
    pub(crate) candidates: usize,
}

/// How many media sections an offer may have. Clients with cameras and screens have three or four.
const MAX_SECTIONS: usize = 16;

/// How many lines it may have; large ones of browsers have some hundred.
const MAX_LINES: usize = 2_000;

/// An offer that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The offer without candidates that are of no use.
    pub(crate) sdp: String,
    pub(crate) codec: Codec,
    /// The number the caller gives the codec.
    pub(crate) payload_type: u8,
    /// Whether the caller wants to hear something.
    pub(crate) hears: bool,
    pub(crate) has_data_channel: bool,
    /// Whether the caller insists on waiting for our DTLS handshake.
    pub(crate) is_dtls_passive: bool,
    /// The hash of the caller's certificate, by which it is known again.
    pub(crate) fingerprint: String,
    /// The name of the caller's ICE credentials: with another one its ICE restarts.
    pub(crate) ufrag: String,
}

/// Why an offer cannot be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadOffer {
    TooLarge {
        bytes: usize,
        limit: usize,
    },
    Invalid(String),
    NoAudio,
    /// With the names of those that are offered.
    NoCommonCodec(String),
}

impl Offer {
    /// Takes the candidates out of it.
    pub(crate) fn forget_candidates(&mut self) {
        let lines = self.sdp.split_inclusive('\n');
        let kept = lines.filter(|line| !line.starts_with("a=candidate:"));
        self.sdp = kept.collect();
    }

    /// Reads an offer.
    pub(crate) fn read(sdp: &str, limits: OfferLimits) -> Result<Self, BadOffer> {
        if sdp.len() > limits.bytes {
            return Err(BadOffer::TooLarge {
                bytes: sdp.len(),
                limit: limits.bytes,
            });
        }
        let mut reader = Reader::new(limits);
        for line in sdp.lines() {
            reader.line(line)?;
        }
        reader.finish()
    }
}

/// An audio section while it is read.
#[derive(Debug, Default)]
struct Audio {
    formats: Vec<String>,
    /// Payload type and name with rate, as `rtpmap` has them.
    maps: Vec<(String, String)>,
    is_rejected: bool,
    is_bundled: bool,
    hears: Option<bool>,
}

/// What the section being read is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    /// The audio section that counts, which is the first.
    Audio,
    DataChannel,
    Other,
}

struct Reader {
    candidates: Candidates,
    kept: String,
    lines: usize,
    sections: usize,
    audio: Option<Audio>,
    section: Section,
    hears: bool,
    has_data_channel: bool,
    is_dtls_passive: bool,
    fingerprint: Option<String>,
    ufrag: Option<String>,
    has_password: bool,
}

impl Reader {
    fn new(limits: OfferLimits) -> Self {
        Self {
            candidates: Candidates::new(limits.candidates),
            kept: String::new(),
            lines: 0,
            sections: 0,
            audio: None,
            section: Section::Other,
            hears: true,
            has_data_channel: false,
            is_dtls_passive: false,
            fingerprint: None,
            ufrag: None,
            has_password: false,
        }
    }

    fn line(&mut self, line: &str) -> Result<(), BadOffer> {
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(());
        }
        self.lines += 1;
        if self.lines == 1 && line != "v=0" {
            return Err(invalid("does not begin with `v=0`"));
        }
        if self.lines > MAX_LINES {
            return Err(invalid(format!("has more than {MAX_LINES} lines")));
        }
        let is_line = line.as_bytes().get(1) == Some(&b'=') && !line.chars().any(char::is_control);
        if !is_line {
            return Err(invalid(format!(
                "line {} is not of the form `x=...`",
                self.lines
            )));
        }
        if let Some(candidate) = line.strip_prefix("a=candidate:") {
            return self.candidate(candidate);
        }
        if let Some(media) = line.strip_prefix("m=") {
            self.section(media)?;
        } else if let Some(attribute) = line.strip_prefix("a=") {
            self.attribute(attribute);
        }
        self.keep(line);
        Ok(())
    }

    fn candidate(&mut self, candidate: &str) -> Result<(), BadOffer> {
        if !self.candidates.take() {
            return Ok(());
        }
        if let Ok(candidate) = Candidate::read(candidate) {
            if self.sections == 0 {
                return Err(invalid("a candidate stands before the first media section"));
            }
            self.keep(&format!("a={}", candidate.as_str()));
        }
        Ok(())
    }

    fn section(&mut self, media: &str) -> Result<(), BadOffer> {
        self.sections += 1;
        if self.sections > MAX_SECTIONS {
            return Err(invalid(format!(
                "has more than {MAX_SECTIONS} media sections"
            )));
        }
        let fields: Vec<&str> = media.split_ascii_whitespace().collect();
        let [kind, port, _protocol, formats @ ..] = fields.as_slice() else {
            return Err(invalid(format!("`m={media}` is not a media section")));
        };
        let is_rejected = *port == "0";
        self.section = match *kind {
            "audio" if self.audio.is_none() => {
                self.audio = Some(Audio {
                    formats: formats.iter().map(ToString::to_string).collect(),
                    is_rejected,
                    ..Audio::default()
                });
                Section::Audio
            }
            "application" => {
                self.has_data_channel |= !is_rejected;
                Section::DataChannel
            }
            _ => Section::Other,
        };
        Ok(())
    }

    fn attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        match name {
            "setup" => self.is_dtls_passive = value == "passive",
            "fingerprint" if self.fingerprint.is_none() => {
                self.fingerprint = Some(value.to_ascii_lowercase());
            }
            "ice-ufrag" if self.ufrag.is_none() => self.ufrag = Some(value.to_owned()),
            "ice-pwd" => self.has_password = true,
            // Its port is 0 and it is not rejected (RFC 8843, section 6).
            "bundle-only" if self.section == Section::DataChannel => self.has_data_channel = true,
            _ => {}
        }
        let hears = match name {
            "sendrecv" | "recvonly" => Some(true),
            "sendonly" | "inactive" => Some(false),
            _ => None,
        };
        if self.section != Section::Audio {
            if self.sections == 0 {
                self.hears = hears.unwrap_or(self.hears);
            }
            return;
        }
        let Some(audio) = &mut self.audio else {
            return;
        };
        audio.hears = hears.or(audio.hears);
        match name {
            "rtpmap" => {
                if let Some((payload_type, codec)) = value.split_once(' ') {
                    let codec = codec.to_ascii_lowercase();
                    audio.maps.push((payload_type.to_owned(), codec));
                }
            }
            "bundle-only" => audio.is_bundled = true,
            _ => {}
        }
    }

    fn keep(&mut self, line: &str) {
        let _ = write!(self.kept, "{line}\r\n");
    }

    fn finish(self) -> Result<Offer, BadOffer> {
        if self.sections == 0 {
            return Err(invalid("has no media section"));
        }
        let audio = self
            .audio
            .filter(|audio| !audio.is_rejected || audio.is_bundled)
            .ok_or(BadOffer::NoAudio)?;
        let Some((codec, payload_type)) = audio.codec() else {
            return Err(BadOffer::NoCommonCodec(audio.names()));
        };
        let ufrag = self.ufrag.filter(|_| self.has_password);
        let ufrag = ufrag.ok_or_else(|| invalid("`a=ice-ufrag` and `a=ice-pwd` are missing"))?;
        let fingerprint = self
            .fingerprint
            .ok_or_else(|| invalid("`a=fingerprint` is missing"))?;
        Ok(Offer {
            sdp: self.kept,
            codec,
            payload_type,
            hears: audio.hears.unwrap_or(self.hears),
            has_data_channel: self.has_data_channel,
            is_dtls_passive: self.is_dtls_passive,
            fingerprint,
            ufrag,
        })
    }
}

impl Audio {
    /// The best codec that both sides know.
    fn codec(&self) -> Option<(Codec, u8)> {
        [Codec::Opus, Codec::Pcmu, Codec::Pcma]
            .into_iter()
            .find_map(|codec| {
                let names = names(codec);
                let format = self.formats.iter().find(|format| {
                    let name = self.name(format);
                    names.iter().any(|known| name == Some(*known))
                })?;
                let payload_type = format.parse().ok().filter(|number| *number < 128)?;
                Some((codec, payload_type))
            })
    }

    /// The name of a payload type: as the offer says, or as RFC 3551 has it.
    fn name<'a>(&'a self, format: &str) -> Option<&'a str> {
        let mapped = self.maps.iter().find(|(number, _)| number == format);
        match (mapped, format) {
            (Some((_, name)), _) => Some(name),
            (None, "0") => Some("pcmu/8000"),
            (None, "8") => Some("pcma/8000"),
            (None, _) => None,
        }
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self
            .formats
            .iter()
            .take(8)
            .map(|format| self.name(format).unwrap_or(format))
            .collect();
        names.join(", ")
    }
}

/// How offers call a codec.
fn names(codec: Codec) -> &'static [&'static str] {
    match codec {
        Codec::Opus => &["opus/48000/2"],
        Codec::Pcmu => &["pcmu/8000", "pcmu/8000/1"],
        Codec::Pcma => &["pcma/8000", "pcma/8000/1"],
    }
}

fn invalid(problem: impl Into<String>) -> BadOffer {
    BadOffer::Invalid(problem.into())
}

#[cfg(test)]
mod tests;
