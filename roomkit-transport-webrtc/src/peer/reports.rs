//! What a caller reports of the AI's voice (RFC 3550, section 6.4).
//!
//! The library has statistics for this and never fills them, and its callers are shown no reports
//! otherwise: so they are read on their way through its chain of interceptors, where they end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rtc::rtcp::{
    self, receiver_report::ReceiverReport, reception_report::ReceptionReport,
    sender_report::SenderReport,
};

use crate::audio::Reception;

/// The latest report of the AI's voice that was not asked for yet. Each one says all that those
/// before it did.
#[derive(Debug, Clone, Default)]
pub(super) struct LatestReport(Arc<Mutex<Option<Reception>>>);

impl LatestReport {
    /// None if nothing was reported since this was last asked.
    pub(super) fn take(&self) -> Option<Reception> {
        self.slot().take()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Reception>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads reports as they come by.
pub(super) struct ReportReader {
    /// Of the AI's voice. What is reported of other streams, which there are none of, is nothing
    /// to us.
    ssrc: u32,
    latest: LatestReport,
}

impl ReportReader {
    pub(super) fn new(ssrc: u32, latest: LatestReport) -> Self {
        Self { ssrc, latest }
    }

    pub(super) fn inspect(&self, packets: &[Box<dyn rtcp::Packet>]) {
        let mut reports = packets.iter().flat_map(|packet| reports(&**packet));
        if let Some(report) = reports.rfind(|report| report.ssrc == self.ssrc) {
            *self.latest.slot() = Some(reception(report));
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

fn reception(report: &ReceptionReport) -> Reception {
    Reception {
        latest: report.last_sequence_number as u16,
        // Signed, of 24 bits, which the library does not know.
        lost: (report.total_lost << 8).cast_signed() >> 8,
    }
}

/// Reads what the library makes of these bytes, for a voice of SSRC 1.
pub(crate) fn fuzz(rtcp: &[u8]) {
    if let Ok(packets) = rtcp::packet::unmarshal(&mut &rtcp[..]) {
        let latest = LatestReport::default();
        ReportReader::new(1, latest.clone()).inspect(&packets);
        let lost = latest.take().map_or(0, |it| it.lost);
        assert!((-0x80_0000..0x80_0000).contains(&lost));
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use rtc::rtcp::{
        goodbye::Goodbye, payload_feedbacks::picture_loss_indication::PictureLossIndication,
    };

    use super::*;

    const VOICE: u32 = 0xa1;

    /// Whose, the latest packet and what is lost, as it is on the wire.
    type Block = (u32, u32, u32);

    fn block((ssrc, last_sequence_number, total_lost): Block) -> ReceptionReport {
        ReceptionReport {
            ssrc,
            last_sequence_number,
            total_lost,
            ..ReceptionReport::default()
        }
    }

    fn from_listener(blocks: &[Block]) -> Box<dyn rtcp::Packet> {
        Box::new(ReceiverReport {
            reports: blocks.iter().copied().map(block).collect(),
            ..ReceiverReport::default()
        })
    }

    fn from_speaker(blocks: &[Block]) -> Box<dyn rtcp::Packet> {
        Box::new(SenderReport {
            reports: blocks.iter().copied().map(block).collect(),
            ..SenderReport::default()
        })
    }

    /// A reader, and what it has read.
    fn reader() -> (ReportReader, LatestReport) {
        let latest = LatestReport::default();
        (ReportReader::new(VOICE, latest.clone()), latest)
    }

    #[test]
    fn both_kinds_of_reports_are_read() {
        for report in [from_listener, from_speaker] {
            let (reader, reported) = reader();
            assert_eq!(reported.take(), None);
            reader.inspect(&[report(&[(VOICE, 64, 3)])]);
            let reception = Reception {
                latest: 64,
                lost: 3,
            };
            assert_eq!(reported.take(), Some(reception));
            assert_eq!(reported.take(), None, "asked for already");
            reader.inspect(&[report(&[(VOICE, 64, 3)])]);
            assert_eq!(reported.take(), Some(reception), "said again");
        }
    }

    #[test]
    fn the_latest_is_kept_until_it_is_asked_for() {
        let (reader, reported) = reader();
        let said = |latest| from_speaker(&[(VOICE, latest, 0)]);
        reader.inspect(&[said(9)]);
        reader.inspect(&[said(7), said(8)]);
        assert_eq!(reported.take().map(|it| it.latest), Some(8));
    }

    #[test]
    fn numbers_are_what_they_are_on_the_wire() {
        for (total_lost, lost) in [
            (0x00_0000, 0),
            (0x7f_ffff, 0x7f_ffff),
            (0xff_ffff, -1),
            (0x80_0000, -0x80_0000),
        ] {
            let (reader, reported) = reader();
            let said = from_listener(&[(VOICE, 0x0003_ffff, total_lost)]);
            reader.inspect(&[said]);
            let latest = 0xffff;
            assert_eq!(reported.take(), Some(Reception { latest, lost }));
        }
    }

    #[test]
    fn what_is_no_report_of_the_voice_is_let_by() {
        let (reader, reported) = reader();
        reader.inspect(&[]);
        let goodbye = Goodbye {
            sources: vec![VOICE],
            ..Goodbye::default()
        };
        let lost_picture = PictureLossIndication {
            media_ssrc: VOICE,
            ..PictureLossIndication::default()
        };
        reader.inspect(&[Box::new(goodbye), Box::new(lost_picture)]);
        let nothing = [from_listener(&[]), from_speaker(&[(VOICE + 1, 100, 20)])];
        reader.inspect(&nothing);
        assert_eq!(reported.take(), None);
    }

    proptest! {
        /// As many as fit into a packet (31), in as many packets as one likes, about anything.
        #[test]
        fn x5_any_reports_come_to_the_latest_of_the_voice(
            packets in vec((any::<bool>(), vec((VOICE..VOICE + 3, any::<u32>(), any::<u32>()), 0..=31)), 0..50),
        ) {
            let (reader, reported) = reader();
            let mut blocks = packets.iter().flat_map(|(_, blocks)| blocks);
            let latest = blocks.rfind(|(ssrc, ..)| *ssrc == VOICE);
            let latest = latest.map(|it| reception(&block(*it)));
            let packets = packets.iter().map(|(speaks, blocks)| {
                if *speaks { from_speaker(blocks) } else { from_listener(blocks) }
            });
            reader.inspect(&packets.collect::<Vec<_>>());
            prop_assert_eq!(reported.take(), latest);
        }

        /// What the library makes of any bytes that begin like RTCP.
        #[test]
        fn x5_any_bytes_are_survived(kind in 200_u8..=207, first in 128_u8..192, rest in vec(any::<u8>(), 0..200)) {
            let words = (rest.len() / 4) as u16;
            let length = words.to_be_bytes();
            let mut bytes = vec![first, kind, length[0], length[1]];
            bytes.extend(&rest[..usize::from(words) * 4]);
            if let Ok(packets) = rtcp::packet::unmarshal(&mut &bytes[..]) {
                let (reader, reported) = reader();
                reader.inspect(&packets);
                let lost = reported.take().map_or(0, |it| it.lost);
                prop_assert!((-0x80_0000..0x80_0000).contains(&lost));
            }
        }
    }
}
