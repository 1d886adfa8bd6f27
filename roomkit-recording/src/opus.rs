//! Ogg Opus (RFC 7845) in stereo at 48 kHz.

use std::{
    fs::File,
    io::{self, Write},
};

use ropus::{Application, Bitrate, Channels, Encoder, ForceChannels, Signal};

use crate::{
    config::OggOpusConfig,
    ogg::{Kind, Pages},
};

pub(crate) const RATE: u32 = 48_000;
/// Samples of each side in a packet of 20 ms.
const PACKET: usize = 960;
/// The longest packet Opus makes.
const LONGEST: usize = 1275;

/// An Ogg Opus file that grows page by page.
pub(crate) struct OggOpus {
    file: File,
    pages: Pages,
    encoder: Encoder,
    /// What the decoder is to leave out: the encoder's delay.
    skip: u64,
    /// Samples, left and right in turn, that do not fill a packet yet.
    rest: Vec<i16>,
    /// Samples of each side that were given.
    given: u64,
    /// Samples of each side in all pages.
    paged: u64,
}

impl OggOpus {
    pub(crate) fn new(mut file: File, serial: u32, config: &OggOpusConfig) -> io::Result<Self> {
        let encoder = Encoder::builder(RATE, Channels::Stereo, Application::Audio)
            .bitrate(Bitrate::Bits(config.bitrate))
            .complexity(config.complexity)
            .signal(Signal::Voice)
            // The sides are two people: they must not be mixed, however low the bit rate.
            .force_channels(ForceChannels::Stereo)
            .vbr(true)
            .build()
            .map_err(io::Error::other)?;
        let skip = encoder.lookahead();
        let mut pages = Pages::new(serial);
        file.write_all(&pages.page(Kind::First, 0, &[head(skip as u16)]))?;
        file.write_all(&pages.page(Kind::Middle, 0, &[tags()]))?;
        Ok(Self {
            file,
            pages,
            encoder,
            skip: u64::from(skip),
            rest: Vec::new(),
            given: 0,
            paged: 0,
        })
    }

    /// Writes what fills packets, as pages that are whole.
    pub(crate) fn write(&mut self, stereo: &[u8]) -> io::Result<()> {
        let samples = stereo.chunks_exact(2);
        self.rest
            .extend(samples.map(|sample| i16::from_le_bytes([sample[0], sample[1]])));
        self.given += (stereo.len() / 4) as u64;
        let packets = self.encode()?;
        self.put(&packets)
    }

    /// Writes the rest, and as much silence as brings the last of it out of the encoder. The last
    /// page says where the audio ends.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        let end = self.given + self.skip;
        let missing = (end - self.paged).next_multiple_of(PACKET as u64) as usize;
        self.rest.resize(2 * missing, 0);
        let mut packets = self.encode()?;
        let last = packets.split_off(packets.len().saturating_sub(1));
        self.put(&packets)?;
        self.file
            .write_all(&self.pages.page(Kind::Last, end, &last))?;
        self.file.sync_all()
    }

    fn encode(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut packets = Vec::with_capacity(self.rest.len() / (2 * PACKET));
        let mut buffer = [0; LONGEST];
        let mut whole = self.rest.chunks_exact(2 * PACKET);
        for samples in &mut whole {
            let length = self
                .encoder
                .encode(samples, &mut buffer)
                .map_err(io::Error::other)?;
            packets.push(buffer[..length].to_vec());
        }
        self.rest = whole.remainder().to_vec();
        Ok(packets)
    }

    fn put(&mut self, mut packets: &[Vec<u8>]) -> io::Result<()> {
        while !packets.is_empty() {
            let (fitting, others) = packets.split_at(Pages::fitting(packets));
            self.paged += (fitting.len() * PACKET) as u64;
            let page = self.pages.page(Kind::Middle, self.paged, fitting);
            self.file.write_all(&page)?;
            packets = others;
        }
        Ok(())
    }
}

fn head(skip: u16) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    // Version 1, two channels.
    head.extend_from_slice(&[1, 2]);
    head.extend_from_slice(&skip.to_le_bytes());
    head.extend_from_slice(&RATE.to_le_bytes());
    // No gain, and left and right as everybody has them.
    head.extend_from_slice(&[0, 0, 0]);
    head
}

fn tags() -> Vec<u8> {
    let vendor = concat!("roomkit ", env!("CARGO_PKG_VERSION"));
    let mut tags = b"OpusTags".to_vec();
    tags.extend_from_slice(&(vendor.len() as u32).to_le_bytes());
    tags.extend_from_slice(vendor.as_bytes());
    tags.extend_from_slice(&0_u32.to_le_bytes());
    tags
}
