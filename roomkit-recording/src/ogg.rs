//! Pages of an Ogg stream (RFC 3533), each of whole packets.

/// A page has at most so many segments, of 255 bytes at most.
const SEGMENTS: usize = 255;

/// Which page it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    First,
    Middle,
    Last,
}

/// Numbers the pages of one stream.
#[derive(Debug)]
pub(crate) struct Pages {
    serial: u32,
    sequence: u32,
}

impl Pages {
    pub(crate) fn new(serial: u32) -> Self {
        Self {
            serial,
            sequence: 0,
        }
    }

    /// How many packets of these go on one page.
    pub(crate) fn fitting(packets: &[Vec<u8>]) -> usize {
        let mut segments = 0;
        packets
            .iter()
            .take_while(|packet| {
                segments += packet.len() / 255 + 1;
                segments <= SEGMENTS
            })
            .count()
    }

    /// The next page: these packets, [as many as fit](Self::fitting), and the position at their end.
    pub(crate) fn page(&mut self, kind: Kind, position: u64, packets: &[Vec<u8>]) -> Vec<u8> {
        let mut lacing = Vec::new();
        for packet in packets {
            lacing.resize(lacing.len() + packet.len() / 255, 255);
            lacing.push((packet.len() % 255) as u8);
        }
        let mut page =
            Vec::with_capacity(27 + lacing.len() + packets.iter().map(Vec::len).sum::<usize>());
        page.extend_from_slice(b"OggS\0");
        page.push(match kind {
            Kind::First => 2,
            Kind::Middle => 0,
            Kind::Last => 4,
        });
        page.extend_from_slice(&position.to_le_bytes());
        page.extend_from_slice(&self.serial.to_le_bytes());
        page.extend_from_slice(&self.sequence.to_le_bytes());
        page.extend_from_slice(&[0; 4]);
        page.push(lacing.len() as u8);
        page.extend_from_slice(&lacing);
        for packet in packets {
            page.extend_from_slice(packet);
        }
        let sum = checksum(&page);
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        self.sequence += 1;
        page
    }
}

/// CRC-32 as Ogg has it: polynomial 0x04c11db7, not reflected, from zero.
fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |sum, byte| {
        sum << 8 ^ TABLE[(sum >> 24) as usize ^ usize::from(*byte)]
    })
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 0x8000_0000 == 0 {
                sum << 1
            } else {
                sum << 1 ^ 0x04c1_1db7
            };
            bit += 1;
        }
        table[byte] = sum;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v5_the_checksum_is_that_of_the_known_polynomial() {
        // CRC-32/MPEG-2 without its initial value: of one byte 1 it is the polynomial.
        assert_eq!(checksum(&[1]), 0x04c1_1db7);
        assert_eq!(checksum(&[0; 100]), 0);
    }

    #[test]
    fn v5_packets_of_every_length_are_laced_and_a_page_never_overflows() {
        let mut pages = Pages::new(7);
        let packets = [vec![1; 254], vec![2; 255], vec![3; 600], Vec::new()];
        let page = pages.page(Kind::Middle, 960, &packets);
        assert_eq!(page[26], 1 + 2 + 3 + 1);
        assert_eq!(page[27..34], [254, 255, 0, 255, 255, 90, 0]);
        assert_eq!(page.len(), 27 + 7 + 254 + 255 + 600);
        let many = vec![vec![0; 1275]; 100];
        assert_eq!(Pages::fitting(&many), 42);
    }
}
