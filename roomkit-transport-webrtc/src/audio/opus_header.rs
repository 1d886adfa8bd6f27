//! What the first bytes of an Opus packet say (RFC 6716, section 3).

/// How much audio before this packet it carries a copy of (in-band forward error correction), in
/// samples at 48 kHz; `None` if it carries none.
pub(super) fn copy_of_the_past(packet: &[u8]) -> Option<u32> {
    let (toc, rest) = packet.split_first()?;
    let configuration = toc >> 3;
    // Only SILK has such copies; from 16 on it is CELT alone.
    let samples: u32 = match configuration {
        0..=11 => [480, 960, 1920, 2880][usize::from(configuration & 3)],
        12..=15 => [480, 960][usize::from(configuration & 1)],
        _ => return None,
    };
    let first = first_frame(toc & 3, rest)?.first()?;
    // A frame begins with one bit of voice activity for each 20 ms, then the bit that tells of a
    // copy; in stereo the same again for the second channel.
    let bits = (samples / 960).max(1);
    let stereo = toc & 4 != 0;
    let copy = first >> (7 - bits) & 1 == 1;
    let second_copy = stereo
        && first
            .checked_shr(6_u32.saturating_sub(2 * bits))
            .unwrap_or(0)
            & 1
            == 1;
    (copy || second_copy).then_some(samples)
}

/// Where the first frame begins, given how frames are packed and what follows that.
fn first_frame(packing: u8, rest: &[u8]) -> Option<&[u8]> {
    match packing {
        0 | 1 => Some(rest),
        2 => skip_length(rest),
        _ => {
            let (count, mut rest) = rest.split_first()?;
            if count & 0x40 != 0 {
                // The length of the padding: 255 means 254 and another byte.
                loop {
                    let (length, after) = rest.split_first()?;
                    rest = after;
                    if *length != 255 {
                        break;
                    }
                }
            }
            if count & 0x80 != 0 {
                for _ in 1..count & 0x3F {
                    rest = skip_length(rest)?;
                }
            }
            Some(rest)
        }
    }
}

/// What follows the length of a frame, which is one byte or two.
fn skip_length(rest: &[u8]) -> Option<&[u8]> {
    let (first, after) = rest.split_first()?;
    if *first < 252 {
        Some(after)
    } else {
        after.get(1..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_by_its_bit() {
        // SILK, wide band, 20 ms, mono, one frame: activity, then the copy.
        assert_eq!(copy_of_the_past(&[9 << 3, 0b1100_0000]), Some(960));
        assert_eq!(copy_of_the_past(&[9 << 3, 0b1000_0000]), None);
        // 60 ms: three bits of activity.
        assert_eq!(copy_of_the_past(&[11 << 3, 0b0001_0000]), Some(2880));
        assert_eq!(copy_of_the_past(&[11 << 3, 0b1110_0000]), None);
        // Hybrid, 20 ms, stereo: the second channel's bits come after the first one's.
        assert_eq!(copy_of_the_past(&[15 << 3 | 4, 0b0001_0000]), Some(960));
        // 60 ms in stereo.
        assert_eq!(copy_of_the_past(&[11 << 3 | 4, 0b0000_0001]), Some(2880));
        assert_eq!(copy_of_the_past(&[11 << 3, 0b0000_0001]), None);
        // CELT has none.
        assert_eq!(copy_of_the_past(&[31 << 3, 0xFF]), None);
    }

    #[test]
    fn the_first_frame_is_found_in_every_packing() {
        // Two frames of one length, two of different ones, and many with padding and lengths.
        assert_eq!(copy_of_the_past(&[9 << 3 | 1, 0x40, 0]), Some(960));
        assert_eq!(copy_of_the_past(&[9 << 3 | 2, 1, 0x40, 0]), Some(960));
        assert_eq!(
            copy_of_the_past(&[9 << 3 | 3, 0xC2, 255, 3, 1, 0x40, 0]),
            Some(960)
        );
    }

    #[test]
    fn x5_a_cut_packet_has_no_copy() {
        for packet in [
            &[][..],
            &[9 << 3],
            &[9 << 3 | 2, 252],
            &[9 << 3 | 2, 252, 0],
            &[9 << 3 | 3],
            &[9 << 3 | 3, 0x7F, 255, 255],
            &[9 << 3 | 3, 0xBF, 255, 255, 0],
        ] {
            assert_eq!(copy_of_the_past(packet), None, "{packet:?}");
        }
    }
}
