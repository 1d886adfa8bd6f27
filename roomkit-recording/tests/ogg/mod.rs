//! A strict reader of Ogg Opus, written from RFC 3533 and RFC 7845.

use std::time::Duration;

use ropus::{Channels, DecodeMode, Decoder};

/// A decoded stream.
pub(crate) struct Stream {
    pub(crate) left: Vec<i16>,
    pub(crate) right: Vec<i16>,
    /// The rate of what was encoded; the samples here are at 48 kHz.
    pub(crate) input_rate: u32,
    /// Samples that were left out at the beginning.
    pub(crate) skip: usize,
    /// There is a last page.
    pub(crate) is_ended: bool,
    pub(crate) longest_page: Duration,
}

struct Page<'a> {
    flags: u8,
    position: u64,
    packets: Vec<&'a [u8]>,
}

pub(crate) fn read(bytes: &[u8]) -> Stream {
    let pages = pages(bytes);
    assert_eq!(pages[0].flags, 2, "the first page begins the stream");
    assert!(pages[1..].iter().all(|page| matches!(page.flags, 0 | 4)));
    let head = pages[0].packets[0];
    assert_eq!(&head[..8], b"OpusHead");
    assert_eq!((head.len(), head[8], head[9], head[18]), (19, 1, 2, 0));
    let skip = usize::from(u16::from_le_bytes([head[10], head[11]]));
    let input_rate = u32::from_le_bytes(head[12..16].try_into().unwrap());
    let tags = pages[1].packets[0];
    assert_eq!(&tags[..8], b"OpusTags");
    let vendor = u32::from_le_bytes(tags[8..12].try_into().unwrap()) as usize;
    assert!(tags[12..12 + vendor].starts_with(b"roomkit"));
    assert_eq!(tags[12 + vendor..], [0; 4], "no comments");
    assert_eq!((pages[0].position, pages[1].position), (0, 0));

    let mut decoder = Decoder::new(48_000, Channels::Stereo).unwrap();
    let mut pcm = Vec::new();
    let mut samples = vec![0; 2 * 5760];
    let (mut last, mut longest, mut is_ended) = (0, 0, false);
    for page in &pages[2..] {
        assert!(!is_ended, "nothing follows the last page");
        is_ended = page.flags & 4 != 0;
        for packet in &page.packets {
            let count = decoder
                .decode(packet, &mut samples, DecodeMode::Normal)
                .unwrap();
            pcm.extend_from_slice(&samples[..2 * count]);
        }
        let there = (pcm.len() / 2) as u64;
        assert!(page.position >= last);
        if is_ended {
            assert!(page.position <= there && page.position + 960 > there);
        } else {
            assert_eq!(page.position, there);
        }
        longest = longest.max(page.position - last);
        last = page.position;
    }
    let kept = &pcm[(2 * skip).min(pcm.len())..2 * last as usize];
    Stream {
        left: kept.iter().step_by(2).copied().collect(),
        right: kept.iter().skip(1).step_by(2).copied().collect(),
        input_rate,
        skip,
        is_ended,
        longest_page: Duration::from_micros(longest * 1_000_000 / 48_000),
    }
}

fn pages(mut bytes: &[u8]) -> Vec<Page<'_>> {
    let mut pages = Vec::new();
    let mut serial = None;
    while !bytes.is_empty() {
        assert_eq!(&bytes[..5], b"OggS\0");
        let segments = usize::from(bytes[26]);
        let lacing = &bytes[27..27 + segments];
        let length = lacing.iter().map(|byte| usize::from(*byte)).sum::<usize>();
        let (page, rest) = bytes.split_at(27 + segments + length);
        bytes = rest;
        let stream = &page[14..18];
        assert_eq!(*serial.get_or_insert(stream), stream);
        assert_eq!(page[18..22], (pages.len() as u32).to_le_bytes());
        assert_eq!(page[22..26], checksum(page).to_le_bytes());
        assert!(
            lacing.last().is_none_or(|last| *last < 255),
            "packets are whole"
        );
        let mut packets = Vec::new();
        let (mut start, mut end) = (27 + segments, 27 + segments);
        for byte in lacing {
            end += usize::from(*byte);
            if *byte < 255 {
                packets.push(&page[start..end]);
                start = end;
            }
        }
        pages.push(Page {
            flags: page[5],
            position: u64::from_le_bytes(page[6..14].try_into().unwrap()),
            packets,
        });
    }
    pages
}

/// Bit by bit, with the checksum's own place as zeros.
fn checksum(page: &[u8]) -> u32 {
    let mut sum = 0_u32;
    for (place, byte) in page.iter().enumerate() {
        let byte = if (22..26).contains(&place) { 0 } else { *byte };
        for bit in (0..8).rev() {
            let carry = (sum >> 31) ^ u32::from(byte >> bit & 1);
            sum <<= 1;
            if carry == 1 {
                sum ^= 0x04c1_1db7;
            }
        }
    }
    sum
}
