//! A caller's offer: what of it matters here, and what of it the library is given.

mod audio;

use std::fmt::Write as _;

pub(crate) use self::audio::AudioSections;
use self::audio::{Agreed, Audio, Direction};
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
    /// The offer without candidates that are of no use, and with the direction of each audio section.
    pub(crate) sdp: String,
    pub(crate) codec: Codec,
    /// The number the caller gives the codec.
    pub(crate) payload_type: u8,
    /// Whether the caller wants to hear something.
    pub(crate) hears: bool,
    pub(crate) audio: AudioSections,
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

/// A media section while it is read.
struct Section {
    kind: Kind,
    /// Where it begins in what is kept.
    begins: usize,
    is_rejected: bool,
}

enum Kind {
    Audio(Audio),
    DataChannel,
    Other,
}

struct Reader {
    candidates: Candidates,
    kept: String,
    lines: usize,
    sections: usize,
    section: Option<Section>,
    /// The audio sections that are not rejected.
    audio: Vec<Audio>,
    /// Of sections that say nothing of it.
    direction: Direction,
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
            section: None,
            audio: Vec::new(),
            direction: Direction::DEFAULT,
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
        self.end_section();
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
        let kind = match *kind {
            "audio" => Kind::Audio(Audio {
                formats: formats.iter().map(ToString::to_string).collect(),
                maps: Vec::new(),
                direction: self.direction,
                mid: String::new(),
            }),
            "application" => Kind::DataChannel,
            _ => Kind::Other,
        };
        self.section = Some(Section {
            kind,
            begins: self.kept.len(),
            is_rejected: *port == "0",
        });
        Ok(())
    }

    fn end_section(&mut self) {
        let Some(section) = self.section.take() else {
            return;
        };
        match section.kind {
            Kind::Audio(audio) => {
                let is_usable = !section.is_rejected && audio.is_usable();
                let word = if is_usable {
                    audio.direction.word()
                } else {
                    "inactive"
                };
                self.restate_direction(section.begins, word);
                if !section.is_rejected {
                    self.audio.push(audio);
                }
            }
            Kind::DataChannel => self.has_data_channel |= !section.is_rejected,
            Kind::Other => {}
        }
    }

    /// The library looks at neither a section's port nor its codecs where it looks for one to speak
    /// in, and leaves one without a word of its direction out of the answer.
    fn restate_direction(&mut self, begins: usize, word: &str) {
        let section = self.kept.split_off(begins);
        let is_direction = |line: &str| {
            let attribute = line.trim_end().strip_prefix("a=");
            attribute.and_then(Direction::read).is_some()
        };
        let lines = section.split_inclusive('\n');
        self.kept.extend(lines.filter(|line| !is_direction(line)));
        self.keep(&format!("a={word}"));
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
            _ => {}
        }
        let direction = Direction::read(name);
        let Some(section) = &mut self.section else {
            self.direction = direction.unwrap_or(self.direction);
            return;
        };
        if name == "bundle-only" {
            // Its port is 0 and it is not rejected (RFC 8843, section 6).
            section.is_rejected = false;
        }
        let Kind::Audio(audio) = &mut section.kind else {
            return;
        };
        audio.direction = direction.unwrap_or(audio.direction);
        if name == "mid" {
            value.clone_into(&mut audio.mid);
        }
        if name == "rtpmap"
            && let Some((payload_type, codec)) = value.split_once(' ')
        {
            let codec = codec.to_ascii_lowercase();
            audio.maps.push((payload_type.to_owned(), codec));
        }
    }

    fn keep(&mut self, line: &str) {
        let _ = write!(self.kept, "{line}\r\n");
    }

    fn finish(mut self) -> Result<Offer, BadOffer> {
        self.end_section();
        if self.sections == 0 {
            return Err(invalid("has no media section"));
        }
        let agreed = Agreed::on(&self.audio)?;
        let ufrag = self.ufrag.filter(|_| self.has_password);
        let ufrag = ufrag.ok_or_else(|| invalid("`a=ice-ufrag` and `a=ice-pwd` are missing"))?;
        let fingerprint = self
            .fingerprint
            .ok_or_else(|| invalid("`a=fingerprint` is missing"))?;
        Ok(Offer {
            sdp: self.kept,
            codec: agreed.codec,
            payload_type: agreed.payload_type,
            hears: agreed.hears,
            audio: AudioSections::of(self.audio),
            has_data_channel: self.has_data_channel,
            is_dtls_passive: self.is_dtls_passive,
            fingerprint,
            ufrag,
        })
    }
}

fn invalid(problem: impl Into<String>) -> BadOffer {
    BadOffer::Invalid(problem.into())
}

#[cfg(test)]
mod tests;
