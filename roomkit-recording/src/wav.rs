//! WAV, valid at any moment: sizes are written with each block, after it.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom, Write},
};

/// Bytes of the header.
const HEADER: usize = 80;
/// The header but for `RIFF` and the size itself, which counts what follows.
const COUNTED: u64 = HEADER as u64 - 8;
/// Bytes of one sample of both sides.
const FRAME: u32 = 4;

/// A WAV file that grows.
pub(crate) struct Wav {
    file: File,
    rate: u32,
    /// Bytes of audio.
    length: u64,
}

impl Wav {
    pub(crate) fn new(mut file: File, rate: u32) -> io::Result<Self> {
        file.write_all(&header(rate, 0))?;
        Ok(Self {
            file,
            rate,
            length: 0,
        })
    }

    pub(crate) fn write(&mut self, stereo: &[u8]) -> io::Result<()> {
        self.file.write_all(stereo)?;
        self.length += stereo.len() as u64;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(self.rate, self.length))?;
        self.file.seek(SeekFrom::End(0))?;
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// The header of a file with so many bytes of audio. Where they are too many for a WAV it is one of
/// RF64 (EBU Tech 3306), for whose sizes there is room from the beginning.
fn header(rate: u32, length: u64) -> [u8; HEADER] {
    let is_large = length + COUNTED > u64::from(u32::MAX);
    let short = |size: u64| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let (riff, data) = if is_large {
        (u32::MAX.to_le_bytes(), u32::MAX.to_le_bytes())
    } else {
        (short(length + COUNTED), short(length))
    };
    let mut header = [0; HEADER];
    let mut rest = &mut header[..];
    let mut put = |bytes: &[u8]| {
        let (place, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        place.copy_from_slice(bytes);
        rest = behind;
    };
    put(if is_large { b"RF64" } else { b"RIFF" });
    put(&riff);
    put(b"WAVE");
    put(if is_large { b"ds64" } else { b"JUNK" });
    put(&28_u32.to_le_bytes());
    if is_large {
        put(&(length + COUNTED).to_le_bytes());
        put(&length.to_le_bytes());
        put(&(length / u64::from(FRAME)).to_le_bytes());
        put(&[0; 4]);
    } else {
        put(&[0; 28]);
    }
    put(b"fmt ");
    put(&16_u32.to_le_bytes());
    // PCM, two sides.
    put(&1_u16.to_le_bytes());
    put(&2_u16.to_le_bytes());
    put(&rate.to_le_bytes());
    put(&(rate * FRAME).to_le_bytes());
    put(&(FRAME as u16).to_le_bytes());
    put(&16_u16.to_le_bytes());
    put(b"data");
    put(&data);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(header: &[u8], place: usize, bytes: usize) -> u64 {
        let digits = header[place..place + bytes].iter().rev();
        digits.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    #[test]
    fn v5_beyond_4_gib_the_header_is_that_of_rf64() {
        let most = u64::from(u32::MAX) - COUNTED;
        let small = header(24_000, most / 4 * 4);
        assert_eq!((&small[..4], &small[12..16]), (&b"RIFF"[..], &b"JUNK"[..]));
        assert_eq!(number(&small, 76, 4), most / 4 * 4);
        let length = 5_000_000_000;
        let large = header(24_000, length);
        assert_eq!((&large[..4], &large[12..16]), (&b"RF64"[..], &b"ds64"[..]));
        assert_eq!(number(&large, 4, 4), u64::from(u32::MAX));
        assert_eq!(number(&large, 20, 8), length + 72);
        assert_eq!(number(&large, 28, 8), length);
        assert_eq!(number(&large, 36, 8), length / 4);
        assert_eq!(number(&large, 76, 4), u64::from(u32::MAX));
    }
}
