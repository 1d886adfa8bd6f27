//! The audio sections of an offer, and what is agreed on from them.
//!
//! Browsers have the microphone and the loudspeaker in one section. Programs often have a section for
//! each, in either order; a call has one codec all the same.

use super::BadOffer;
use crate::audio::Codec;

/// Which ways a section goes, as the caller has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Direction {
    pub(super) sends: bool,
    pub(super) hears: bool,
}

impl Direction {
    /// Of a section that says nothing of it (RFC 8866, section 6.7).
    pub(super) const DEFAULT: Self = Self {
        sends: true,
        hears: true,
    };

    pub(super) fn read(attribute: &str) -> Option<Self> {
        let (sends, hears) = match attribute {
            "sendrecv" => (true, true),
            "sendonly" => (true, false),
            "recvonly" => (false, true),
            "inactive" => (false, false),
            _ => return None,
        };
        Some(Self { sends, hears })
    }

    pub(super) fn word(self) -> &'static str {
        match (self.sends, self.hears) {
            (true, true) => "sendrecv",
            (true, false) => "sendonly",
            (false, true) => "recvonly",
            (false, false) => "inactive",
        }
    }
}

/// An audio section.
#[derive(Debug)]
pub(super) struct Audio {
    pub(super) formats: Vec<String>,
    /// Payload type and name with rate, as `rtpmap` has them.
    pub(super) maps: Vec<(String, String)>,
    pub(super) direction: Direction,
    pub(super) mid: String,
}

/// The sections that something goes through, with their names and directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AudioSections(Vec<(String, Direction)>);

impl AudioSections {
    pub(super) fn of(sections: Vec<Audio>) -> Self {
        let used = sections.into_iter().filter(|section| {
            let direction = section.direction;
            section.is_usable() && (direction.sends || direction.hears)
        });
        Self(used.map(|it| (it.mid, it.direction)).collect())
    }

    /// Whether these of a later offer go with what was begun. A microphone that is taken away may come
    /// back; what is inactive once is over for the library.
    pub(crate) fn admit(&self, later: &Self) -> bool {
        let without_microphone = Direction {
            sends: false,
            ..Direction::DEFAULT
        };
        let pairs = self.0.iter().zip(&later.0);
        self.0.len() == later.0.len()
            && pairs.into_iter().all(|((mid, first), (later_mid, later))| {
                let is_muted = *first == Direction::DEFAULT && *later == without_microphone;
                mid == later_mid && (first == later || is_muted)
            })
    }
}

impl Audio {
    /// Whether there is a codec in it that is known here.
    pub(super) fn is_usable(&self) -> bool {
        self.codecs().next().is_some()
    }

    /// What both sides know, the best first, each by the first number it has.
    fn codecs(&self) -> impl Iterator<Item = (Codec, u8)> {
        let known = [Codec::Opus, Codec::Pcmu, Codec::Pcma];
        known.into_iter().filter_map(|codec| {
            let format = self.formats.iter().find(|format| self.is(format, codec))?;
            let payload_type = format.parse().ok().filter(|number| *number < 128)?;
            Some((codec, payload_type))
        })
    }

    fn is(&self, format: &str, codec: Codec) -> bool {
        let name = self.name(format);
        names(codec).iter().any(|known| name == Some(*known))
    }

    /// Whether it has this codec by this number.
    fn has(&self, (codec, payload_type): (Codec, u8)) -> bool {
        let number = payload_type.to_string();
        self.formats.contains(&number) && self.is(&number, codec)
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

    /// Those that are known here, with their numbers.
    fn numbers(&self) -> String {
        let codecs = self.codecs();
        let numbers: Vec<String> = codecs
            .map(|(codec, number)| format!("{} as {number}", codec.name()))
            .collect();
        numbers.join(", ")
    }
}

/// What is agreed on.
#[derive(Debug)]
pub(super) struct Agreed {
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    pub(super) hears: bool,
}

impl Agreed {
    /// From the sections that are not rejected.
    pub(super) fn on(sections: &[Audio]) -> Result<Self, BadOffer> {
        let usable = || sections.iter().filter(|section| section.is_usable());
        let microphone = usable().find(|section| section.direction.sends);
        // The AI's voice goes to the first that hears.
        let loudspeaker = usable().find(|section| section.direction.hears);
        let Some(first) = microphone.or(loudspeaker).or(usable().next()) else {
            return Err(match sections.first() {
                Some(section) => BadOffer::NoCommonCodec(section.names()),
                None => BadOffer::NoAudio,
            });
        };
        let other = loudspeaker.unwrap_or(first);
        let Some((codec, payload_type)) = first.codecs().find(|codec| other.has(*codec)) else {
            let (one, other) = (first.numbers(), other.numbers());
            return Err(BadOffer::NoCommonCodec(format!(
                "{one} in the section that sends and {other} in the one that hears"
            )));
        };
        Ok(Self {
            codec,
            payload_type,
            hears: loudspeaker.is_some(),
        })
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
