//! Our place in the library's chain of interceptors, which all packets of a call come by.

use std::{collections::VecDeque, time::Instant};

use rtc::{
    interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket},
    sansio::Protocol,
    shared::error::Error,
};

use super::{microphone::Microphone, reports::ReportReader};

/// Reads what a caller reports, and keeps its microphone under one id. All else is passed on as it is.
pub(super) struct Tap {
    reports: ReportReader,
    microphone: Microphone,
    /// Emptied by the library after each packet.
    read: VecDeque<TaggedPacket>,
    written: VecDeque<TaggedPacket>,
}

impl Tap {
    pub(super) fn new(reports: ReportReader, microphone: Microphone) -> Self {
        Self {
            reports,
            microphone,
            read: VecDeque::new(),
            written: VecDeque::new(),
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut packet: TaggedPacket) -> Result<(), Error> {
        let passes = match &mut packet.message.packet {
            Packet::Rtp(rtp) => self.microphone.place(&mut rtp.header),
            Packet::Rtcp(packets) => {
                self.reports.inspect(packets);
                true
            }
            _ => true,
        };
        if passes {
            self.read.push_back(packet);
        }
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

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _: &StreamInfo) {}

    fn bind_remote_stream(&mut self, stream: &StreamInfo) {
        self.microphone.is_known(stream.ssrc);
    }

    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

#[cfg(test)]
mod tests {
    use rtc::{
        interceptor::AttributedPacket,
        rtcp::{receiver_report::ReceiverReport, reception_report::ReceptionReport},
        shared::TransportContext,
    };

    use super::{super::reports::LatestReport, *};

    const VOICE: u8 = 111;

    fn tap() -> (Tap, LatestReport) {
        let latest = LatestReport::default();
        let reports = ReportReader::new(7, latest.clone());
        (Tap::new(reports, Microphone::new(VOICE)), latest)
    }

    fn tagged(packet: Packet) -> TaggedPacket {
        TaggedPacket {
            now: Instant::now(),
            transport: TransportContext::default(),
            message: AttributedPacket::new(packet),
        }
    }

    fn media(ssrc: u32, sequence_number: u16) -> TaggedPacket {
        let mut packet = rtc::rtp::Packet::default();
        packet.header.ssrc = ssrc;
        packet.header.sequence_number = sequence_number;
        packet.header.payload_type = VOICE;
        tagged(Packet::Rtp(packet))
    }

    fn numbers(packets: impl Iterator<Item = TaggedPacket>) -> Vec<(u32, u16)> {
        let number = |packet: TaggedPacket| match packet.message.packet {
            Packet::Rtp(packet) => (packet.header.ssrc, packet.header.sequence_number),
            other => unreachable!("{other:?} was not sent"),
        };
        packets.map(number).collect()
    }

    #[test]
    fn media_passes_in_both_directions() {
        let (mut tap, _) = tap();
        tap.bind_remote_stream(&StreamInfo {
            ssrc: 1,
            ..StreamInfo::default()
        });
        for number in 1..=4 {
            tap.handle_read(media(2, number)).unwrap();
            tap.handle_write(media(7, number)).unwrap();
        }
        // From the third on it is the microphone's.
        let read = numbers(std::iter::from_fn(|| tap.poll_read()));
        assert_eq!(read, [(1, 3), (1, 4)]);
        let written = numbers(std::iter::from_fn(|| tap.poll_write()));
        assert_eq!(written, [(7, 1), (7, 2), (7, 3), (7, 4)]);
    }

    #[test]
    fn reports_are_read_and_passed_on() {
        let (mut tap, latest) = tap();
        let report = ReceiverReport {
            reports: vec![ReceptionReport {
                ssrc: 7,
                last_sequence_number: 64,
                ..ReceptionReport::default()
            }],
            ..ReceiverReport::default()
        };
        tap.handle_read(tagged(Packet::Rtcp(vec![Box::new(report)])))
            .unwrap();
        assert!(tap.poll_read().is_some(), "passed on");
        assert!(tap.poll_read().is_none(), "once");
        assert_eq!(latest.take().map(|it| it.latest), Some(64));
    }
}
