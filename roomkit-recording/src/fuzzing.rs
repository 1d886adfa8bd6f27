//! What is written as functions of bytes, for the project's own fuzzing. No part of the API.

use crate::ogg::{Kind, Pages};

/// Pages of an Ogg stream: the input as packets, each after its length in pairs of bytes.
///
/// # Panics
///
/// When a page is not what its header says.
pub fn pages(input: &[u8]) {
    let mut packets = Vec::new();
    let mut rest = input;
    while let [length, tail @ ..] = rest {
        let (packet, tail) = tail.split_at(usize::from(*length).min(tail.len()));
        // Some of them need more than one segment.
        packets.push(packet.repeat(1 + packet.len() % 3));
        rest = tail;
    }
    let mut pages = Pages::new(1);
    let mut left = &packets[..];
    while !left.is_empty() {
        let (fit, later) = left.split_at(Pages::fitting(left));
        assert!(!fit.is_empty(), "a packet of less than a page fits on one");
        let page = pages.page(Kind::Middle, 0, fit);
        let segments = &page[27..27 + usize::from(page[26])];
        let length: usize = segments.iter().map(|length| usize::from(*length)).sum();
        assert_eq!(page.len(), 27 + segments.len() + length);
        left = later;
    }
}
