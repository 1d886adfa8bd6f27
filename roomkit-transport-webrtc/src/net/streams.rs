//! How many RTP streams a caller may have.
//!
//! The library keeps something for every stream it has seen, for good, and goes by the id (SSRC) that
//! stands in the clear, before it has checked who sent the packet. So streams are counted before it
//! sees them, or whoever writes another id into each packet could fill the memory (contract X5).

use std::{
    borrow::Cow,
    sync::{Mutex, PoisonError},
};

use rtc::{
    shared::util::is_rtcp,
    stun::{attributes::ATTR_DATA, message::Message},
};

/// How many a caller may have in a call, those that only report included. A browser has one or two,
/// and a gateway may take a new one after each hold.
const MAX_STREAMS: usize = 64;

/// Why a datagram of one more is dropped.
pub(super) const TOO_MANY: &str = "too_many_streams";

/// The streams of a caller.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<Vec<u32>>);

impl Streams {
    /// False: it is of one stream too many.
    pub(super) fn admit(&self, datagram: &[u8]) -> bool {
        let Some(ssrc) = stream_of(datagram) else {
            return true;
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&ssrc) {
            return true;
        }
        let has_room = known.len() < MAX_STREAMS;
        if has_room {
            known.push(ssrc);
        }
        has_room
    }
}

/// The stream that a datagram is of, directly or by a relay; none of what is no media.
pub(super) fn stream_of(datagram: &[u8]) -> Option<u32> {
    ssrc(&relayed(datagram).unwrap_or(datagram.into()))
}

/// The stream of a packet of media, which by RFC 7983 begins with 128 to 191.
fn ssrc(datagram: &[u8]) -> Option<u32> {
    if !matches!(datagram.first()?, 128..=191) {
        return None;
    }
    let at = if is_rtcp(datagram) { 4..8 } else { 8..12 };
    Some(u32::from_be_bytes(datagram.get(at)?.try_into().ok()?))
}

/// What a relay passes on (RFC 8656, sections 11 and 12).
fn relayed(datagram: &[u8]) -> Option<Cow<'_, [u8]>> {
    const DATA_INDICATION: [u8; 2] = [0x00, 0x17];
    const CHANNEL_HEADER: usize = 4;

    if datagram.starts_with(&DATA_INDICATION) {
        let mut indication = Message::new();
        indication.unmarshal_binary(datagram).ok()?;
        Some(indication.get(ATTR_DATA).ok()?.into())
    } else if matches!(datagram.first()?, 64..=127) {
        Some(datagram.get(CHANNEL_HEADER..)?.into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rtc::stun::{
        attributes::RawAttribute,
        message::{CLASS_INDICATION, METHOD_DATA, MessageType, Setter},
    };

    use super::*;

    fn rtp(ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 2];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([7; 20]);
        packet
    }

    fn rtcp(ssrc: u32) -> Vec<u8> {
        let mut packet = vec![0x80, 200, 0, 6];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([7; 20]);
        packet
    }

    fn on_a_channel(packet: &[u8]) -> Vec<u8> {
        let mut datagram = vec![0x40, 0];
        datagram.extend((packet.len() as u16).to_be_bytes());
        datagram.extend(packet);
        datagram
    }

    fn in_an_indication(packet: &[u8]) -> Vec<u8> {
        let mut message = Message::new();
        message.set_type(MessageType::new(METHOD_DATA, CLASS_INDICATION));
        message.write_header();
        let data = RawAttribute {
            typ: ATTR_DATA,
            length: packet.len() as u16,
            value: packet.to_vec(),
        };
        data.add_to(&mut message).unwrap();
        message.raw
    }

    #[test]
    fn x5_a_caller_has_so_many_streams_however_its_packets_come() {
        let ways: [fn(u32) -> Vec<u8>; 5] = [
            rtp,
            rtcp,
            |ssrc| on_a_channel(&rtp(ssrc)),
            |ssrc| in_an_indication(&rtp(ssrc)),
            |ssrc| in_an_indication(&rtcp(ssrc)),
        ];
        for way in ways {
            let streams = Streams::default();
            let admitted = (0..1_000).filter(|ssrc| streams.admit(&way(*ssrc)));
            assert_eq!(admitted.count(), MAX_STREAMS);
            assert!(streams.admit(&way(0)), "those that are known go on");
            assert!(!streams.admit(&way(1_000)));
        }
    }

    #[test]
    fn what_is_no_media_has_no_stream() {
        let streams = Streams::default();
        for number in 0..1_000_u32 {
            for first in [0, 1, 20, 63, 64, 192, 255] {
                let mut datagram = rtp(number);
                datagram[0] = first;
                assert!(streams.admit(&datagram));
            }
        }
        for datagram in [&[][..], &[0x80], &rtp(1)[..11], &rtcp(1)[..7], &[0x40, 0]] {
            assert!(streams.admit(datagram));
        }
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
