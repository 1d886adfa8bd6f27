//! Ogg Opus (RFC 7845) in stereo. Whatever the encoder's rate is, its positions count 48 kHz.

use std::{
    fs::File,
    io::{self, Write},
};

use ropus::{Application, Bitrate, Channels, Encoder, ForceChannels};

use crate::{
    config::OggOpusConfig,
    ogg::{Kind, Pages},
};

/// Positions in a second.
const POSITIONS: u32 = 48_000;
/// Packets of 20 ms in a second.
const PACKETS: u32 = 50;
/// The longest packet Opus makes.
const LONGEST: usize = 1275;

/// An Ogg Opus file that grows page by page.
pub(crate) struct OggOpus {
    file: File,
    pages: Pages,
    encoder: Encoder,
    /// Samples of each side in a packet.
    packet: usize,
    /// Positions of a sample.
    scale: u64,
    /// Samples of each side that a decoder is to leave out: the encoder's delay.
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
        let rate = config.sample_rate;
        // Told that it is speech, it would take twice the time for it, and the more for silence.
        let encoder = Encoder::builder(rate, Channels::Stereo, Application::Audio)
            .bitrate(Bitrate::Bits(config.bitrate))
            .complexity(config.complexity)
            // The sides are two people: they must not be mixed, however low the bit rate.
            .force_channels(ForceChannels::Stereo)
            .vbr(true)
            .build()
            .map_err(io::Error::other)?;
        let (skip, scale) = (encoder.lookahead(), POSITIONS / rate);
        let mut pages = Pages::new(serial);
        file.write_all(&pages.page(Kind::First, 0, &[head(skip * scale, rate)]))?;
        file.write_all(&pages.page(Kind::Middle, 0, &[tags()]))?;
        Ok(Self {
            file,
            pages,
            encoder,
            packet: (rate / PACKETS) as usize,
            scale: u64::from(scale),
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
        let missing = (end - self.paged).next_multiple_of(self.packet as u64) as usize;
        self.rest.resize(2 * missing, 0);
        let mut packets = self.encode()?;
        let last = packets.split_off(packets.len().saturating_sub(1));
        self.put(&packets)?;
        self.file
            .write_all(&self.pages.page(Kind::Last, end * self.scale, &last))?;
        self.file.sync_all()
    }

    fn encode(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let mut packets = Vec::with_capacity(self.rest.len() / (2 * self.packet));
        let mut buffer = [0; LONGEST];
        let mut whole = self.rest.chunks_exact(2 * self.packet);
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
            self.paged += (fitting.len() * self.packet) as u64;
            let page = self
                .pages
                .page(Kind::Middle, self.paged * self.scale, fitting);
            self.file.write_all(&page)?;
            packets = others;
        }
        Ok(())
    }
}

/// The first packet. What is to be skipped is counted in positions.
fn head(skip: u32, rate: u32) -> Vec<u8> {
    let mut head = b"OpusHead".to_vec();
    // Version 1, two channels.
    head.extend_from_slice(&[1, 2]);
    head.extend_from_slice(&(skip as u16).to_le_bytes());
    head.extend_from_slice(&rate.to_le_bytes());
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
