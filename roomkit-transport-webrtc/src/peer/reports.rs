//! What a caller reports of the AI's voice (RFC 3550, section 6.4).
//!
//! The library has statistics for this and never fills them, and its callers are shown no reports
//! otherwise: so they are read on their way through its chain of interceptors, where they end.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use rtc::{
    interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket},
    rtcp::{
        self, receiver_report::ReceiverReport, reception_report::ReceptionReport,
        sender_report::SenderReport,
    },
    sansio::Protocol,
    shared::error::Error,
};

/// How much of the AI's voice was lost on the way, by the reports that were not asked for yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses {
    /// In 1/256, as reports have it.
    worst: Arc<Mutex<Option<u8>>>,
}

impl Losses {
    /// The most that was reported since this was last asked, 0 to 1; none if nothing was.
    pub(super) fn take(&self) -> Option<f32> {
        let worst = self
            .worst
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        worst.map(|fraction| f32::from(fraction) / 256.0)
    }

    fn reported(&self, fraction: u8) {
        let mut worst = self.worst.lock().unwrap_or_else(PoisonError::into_inner);
        *worst = (*worst).max(Some(fraction));
    }
}

/// Reads reports, and passes on all that comes by as it is.
pub(super) struct ReportReader {
    /// Of the AI's voice. What is reported of other streams, which there are none of, is nothing
    /// to us.
    ssrc: u32,
    losses: Losses,
    /// Emptied by the library after each packet.
    read: VecDeque<TaggedPacket>,
    written: VecDeque<TaggedPacket>,
}

impl ReportReader {
    pub(super) fn new(ssrc: u32, losses: Losses) -> Self {
        Self {
            ssrc,
            losses,
            read: VecDeque::new(),
            written: VecDeque::new(),
        }
    }

    fn inspect(&self, packets: &[Box<dyn rtcp::Packet>]) {
        let reports = packets.iter().flat_map(|packet| reports(&**packet));
        for report in reports.filter(|report| report.ssrc == self.ssrc) {
            self.losses.reported(report.fraction_lost);
        }
    }
}

/// Who sends audio, as most callers do, puts what it has to report into its sender reports.
fn reports(packet: &dyn rtcp::Packet) -> &[ReceptionReport] {
    let packet = packet.as_any();
    if let Some(report) = packet.downcast_ref::<SenderReport>() {
        &report.reports
    } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
        &report.reports
    } else {
        &[]
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for ReportReader {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            self.inspect(packets);
        }
        self.read.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.read.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        self.written.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.written.pop_front()
    }
}

impl Interceptor for ReportReader {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, _: &StreamInfo) {}

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

/// Reads what the library makes of these bytes, for a voice of SSRC 1.
pub(crate) fn fuzz(rtcp: &[u8]) {
    if let Ok(packets) = rtcp::packet::unmarshal(&mut &rtcp[..]) {
        let losses = Losses::default();
        ReportReader::new(1, losses.clone()).inspect(&packets);
        let lost = losses.take();
        assert!(lost.is_none_or(|lost| (0.0..1.0).contains(&lost)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use rtc::{
        interceptor::AttributedPacket,
        rtcp::{
            goodbye::Goodbye, payload_feedbacks::picture_loss_indication::PictureLossIndication,
        },
        shared::TransportContext,
    };

    use super::*;

    const VOICE: u32 = 0xa1;

    fn block((ssrc, fraction_lost): (u32, u8)) -> ReceptionReport {
        ReceptionReport {
            ssrc,
            fraction_lost,
            ..ReceptionReport::default()
        }
    }

    fn from_listener(blocks: &[(u32, u8)]) -> Box<dyn rtcp::Packet> {
        Box::new(ReceiverReport {
            reports: blocks.iter().copied().map(block).collect(),
            ..ReceiverReport::default()
        })
    }

    fn from_speaker(blocks: &[(u32, u8)]) -> Box<dyn rtcp::Packet> {
        Box::new(SenderReport {
            reports: blocks.iter().copied().map(block).collect(),
            ..SenderReport::default()
        })
    }

    fn tagged(packet: Packet) -> TaggedPacket {
        TaggedPacket {
            now: Instant::now(),
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        }
    }

    /// A reader, and what it has read.
    fn reader() -> (ReportReader, Losses) {
        let losses = Losses::default();
        (ReportReader::new(VOICE, losses.clone()), losses)
    }

    /// What comes off the wire as one datagram.
    fn comes(reader: &mut ReportReader, packets: Vec<Box<dyn rtcp::Packet>>) {
        reader.handle_read(tagged(Packet::Rtcp(packets))).unwrap();
        assert!(reader.poll_read().is_some(), "passed on");
        assert!(reader.poll_read().is_none(), "once");
    }

    #[test]
    fn both_kinds_of_reports_are_read() {
        for report in [from_listener, from_speaker] {
            let (mut reader, losses) = reader();
            assert_eq!(losses.take(), None);
            comes(&mut reader, vec![report(&[(VOICE, 64)])]);
            assert_eq!(losses.take(), Some(0.25));
            assert_eq!(losses.take(), None, "asked for already");
            comes(&mut reader, vec![report(&[(VOICE, 0)])]);
            assert_eq!(losses.take(), Some(0.0), "that nothing is lost is news too");
        }
    }

    #[test]
    fn the_worst_is_kept_until_it_is_asked_for() {
        let (mut reader, losses) = reader();
        for fraction in [16, 128, 0] {
            comes(&mut reader, vec![from_speaker(&[(VOICE, fraction)])]);
        }
        assert_eq!(losses.take(), Some(0.5));
    }

    #[test]
    fn what_is_no_report_of_the_voice_is_let_by() {
        let (mut reader, losses) = reader();
        comes(&mut reader, vec![]);
        let goodbye = Goodbye {
            sources: vec![VOICE],
            ..Goodbye::default()
        };
        let lost_picture = PictureLossIndication {
            media_ssrc: VOICE,
            ..PictureLossIndication::default()
        };
        comes(&mut reader, vec![Box::new(goodbye), Box::new(lost_picture)]);
        let nothing = [from_listener(&[]), from_speaker(&[(VOICE + 1, 255)])];
        comes(&mut reader, nothing.into());
        assert_eq!(losses.take(), None);
    }

    #[test]
    fn media_passes_in_both_directions() {
        let (mut reader, _) = reader();
        let numbered = |sequence_number| {
            let mut packet = rtc::rtp::Packet::default();
            packet.header.sequence_number = sequence_number;
            tagged(Packet::Rtp(packet))
        };
        let number = |packet: TaggedPacket| match packet.message.packet {
            Packet::Rtp(packet) => packet.header.sequence_number,
            other => unreachable!("{other:?} was not sent"),
        };
        for n in [1, 2] {
            reader.handle_read(numbered(n)).unwrap();
            reader.handle_write(numbered(n + 10)).unwrap();
        }
        let read = std::iter::from_fn(|| reader.poll_read());
        assert_eq!(read.map(number).collect::<Vec<_>>(), [1, 2]);
        let written = std::iter::from_fn(|| reader.poll_write());
        assert_eq!(written.map(number).collect::<Vec<_>>(), [11, 12]);
    }

    proptest! {
        /// As many as fit into a packet (31), in as many packets as one likes, about anything.
        #[test]
        fn x5_any_reports_come_to_the_worst_of_the_voice(
            packets in vec((any::<bool>(), vec((VOICE..VOICE + 3, any::<u8>()), 0..=31)), 0..50),
        ) {
            let (mut reader, losses) = reader();
            let ours = packets.iter().flat_map(|(_, blocks)| blocks);
            let worst = ours.filter(|(ssrc, _)| *ssrc == VOICE).map(|(_, lost)| *lost).max();
            let packets = packets.iter().map(|(speaks, blocks)| {
                if *speaks { from_speaker(blocks) } else { from_listener(blocks) }
            });
            comes(&mut reader, packets.collect());
            prop_assert_eq!(losses.take(), worst.map(|it| f32::from(it) / 256.0));
        }

        /// What the library makes of any bytes that begin like RTCP.
        #[test]
        fn x5_any_bytes_are_survived(kind in 200_u8..=207, first in 128_u8..192, rest in vec(any::<u8>(), 0..200)) {
            let words = (rest.len() / 4) as u16;
            let length = words.to_be_bytes();
            let mut bytes = vec![first, kind, length[0], length[1]];
            bytes.extend(&rest[..usize::from(words) * 4]);
            if let Ok(packets) = rtcp::packet::unmarshal(&mut &bytes[..]) {
                let (mut reader, losses) = reader();
                comes(&mut reader, packets);
                prop_assert!(losses.take().is_none_or(|lost| (0.0..1.0).contains(&lost)));
            }
        }
    }
}
