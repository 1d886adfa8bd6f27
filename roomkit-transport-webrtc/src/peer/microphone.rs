//! A caller's microphone whose stream gets another id (SSRC) in the middle of a call.
//!
//! A gateway takes a new one after a hold or a transfer, and any sender does when somebody else has
//! the same. The library knows a track by the id it began with, and drops what comes by another: so a
//! stream that has taken the place of the first is given its id on the way through the library's chain
//! of interceptors.

use rtc::rtp::header::Header;

/// How many packets come by a new id, and none by the one before, until it is believed.
const BELIEVED: u8 = 3;

/// Keeps a caller's microphone under the id that the library knows it by.
pub(super) struct Microphone {
    payload_type: u8,
    /// The ids of the library's tracks; the first is the microphone's.
    known: Vec<u32>,
    /// The id that the microphone's packets come by.
    present: Option<u32>,
    /// Another one, and how many packets have come by it since the last by the present one.
    rival: Option<(u32, u8)>,
}

impl Microphone {
    /// `payload_type`: that of its codec.
    pub(super) fn new(payload_type: u8) -> Self {
        Self {
            payload_type,
            known: Vec::new(),
            present: None,
            rival: None,
        }
    }

    /// The library has a track of this id.
    pub(super) fn is_known(&mut self, ssrc: u32) {
        if !self.known.contains(&ssrc) {
            self.known.push(ssrc);
        }
        self.present.get_or_insert(ssrc);
    }

    /// Gives a packet of the microphone its id. False: it must not be taken for one.
    pub(super) fn place(&mut self, header: &mut Header) -> bool {
        let (Some(microphone), Some(present)) = (self.known.first().copied(), self.present) else {
            return true;
        };
        if header.ssrc == present {
            self.rival = None;
            header.ssrc = microphone;
            return true;
        }
        if self.known[1..].contains(&header.ssrc) {
            return true;
        }
        if header.payload_type != self.payload_type {
            return header.ssrc != microphone;
        }
        let came_before = match self.rival {
            Some((rival, packets)) if rival == header.ssrc => packets,
            _ => 0,
        };
        let packets = came_before + 1;
        self.rival = Some((header.ssrc, packets));
        if packets < BELIEVED {
            return false;
        }
        tracing::debug!("a client's audio goes on by another SSRC");
        self.present = Some(header.ssrc);
        self.rival = None;
        header.ssrc = microphone;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOICE: u8 = 111;
    const TONE: u8 = 126;

    /// A microphone that the library knows as 1.
    fn microphone() -> Microphone {
        let mut microphone = Microphone::new(VOICE);
        microphone.is_known(1);
        microphone
    }

    /// By which ids packets come out that come by these.
    fn ids(microphone: &mut Microphone, packets: &[(u32, u8)]) -> Vec<u32> {
        let placed = packets.iter().filter_map(|(ssrc, payload_type)| {
            let mut header = Header {
                ssrc: *ssrc,
                payload_type: *payload_type,
                ..Header::default()
            };
            microphone.place(&mut header).then_some(header.ssrc)
        });
        placed.collect()
    }

    #[test]
    fn c3_a_caller_whose_stream_gets_another_id_is_heard() {
        let mut microphone = microphone();
        assert_eq!(ids(&mut microphone, &[(1, VOICE); 3]), [1, 1, 1]);
        // From the third on, tones included; what comes late of the first is over.
        assert_eq!(ids(&mut microphone, &[(2, VOICE); 5]), [1, 1, 1]);
        let late = [(2, VOICE), (1, VOICE), (2, TONE), (1, TONE), (2, VOICE)];
        assert_eq!(ids(&mut microphone, &late), [1, 1, 1]);
        // And again, and back.
        assert_eq!(ids(&mut microphone, &[(3, VOICE); 3]), [1]);
        assert_eq!(ids(&mut microphone, &[(1, VOICE); 3]), [1]);
    }

    #[test]
    fn a_stream_beside_the_microphone_does_not_take_its_place() {
        let mut microphone = microphone();
        let mixed = [(1, VOICE), (2, VOICE), (2, VOICE)].repeat(10);
        assert_eq!(ids(&mut microphone, &mixed), [1; 10]);
        // Another kind is nothing to the library.
        assert_eq!(ids(&mut microphone, &[(3, TONE); 10]), [3; 10]);
        // A track of its own.
        microphone.is_known(4);
        assert_eq!(ids(&mut microphone, &[(4, VOICE); 10]), [4; 10]);
        assert_eq!(ids(&mut microphone, &[(1, VOICE)]), [1]);
    }

    #[test]
    fn before_there_is_a_track_all_pass() {
        let mut microphone = Microphone::new(VOICE);
        assert_eq!(ids(&mut microphone, &[(7, VOICE); 5]), [7; 5]);
        microphone.is_known(7);
        assert_eq!(ids(&mut microphone, &[(7, VOICE)]), [7]);
    }
}
