//! What a caller reports of the AI's voice changes how it is coded (decision 11).

use roomkit_core::provider::ProviderCapabilities;
use roomkit_mock::MockRealtimeProvider;
use rtc::rtcp::{
    self, receiver_report::ReceiverReport, reception_report::ReceptionReport,
    sender_report::SenderReport,
};

use crate::support::*;

/// Makes a packet of RTCP of what is to be reported.
type Form = fn(ReceptionReport) -> Box<dyn rtcp::Packet>;

/// Of a caller that only listens.
fn receiver_report(report: ReceptionReport) -> Box<dyn rtcp::Packet> {
    Box::new(ReceiverReport {
        ssrc: SSRC,
        reports: vec![report],
        ..ReceiverReport::default()
    })
}

/// Of a caller that speaks, such as any browser.
fn sender_report(report: ReceptionReport) -> Box<dyn rtcp::Packet> {
    Box::new(SenderReport {
        ssrc: SSRC,
        reports: vec![report],
        ..SenderReport::default()
    })
}

#[tokio::test]
async fn c3_the_voice_carries_copies_while_receiver_reports_tell_of_losses() {
    copies_come_and_go(receiver_report).await;
}

#[tokio::test]
async fn c3_the_voice_carries_copies_while_sender_reports_tell_of_losses() {
    copies_come_and_go(sender_report).await;
}

async fn copies_come_and_go(form: Form) {
    let ai =
        MockRealtimeProvider::new().with_capabilities(ProviderCapabilities::new(16_000, 24_000));
    let server = Server::start(&ai).await;
    let mut listener = Listener::call(&server, form).await;
    let ai = ai.wait_for_connect().await;
    ai.simulate_response_start(Some("resp_2"));
    ai.simulate_item_audio("item_2", pcm(&vowel(24_000, 60_000)));

    for overtaken in [2, 0, 1, 0] {
        let copies = listener.copies_when_lost(overtaken).await;
        assert_eq!(copies, 0, "copies take bits from the voice");
    }
    let mut lost = 0;
    soon(async {
        while listener.copies_when_lost(lost).await < SOME / 2 {
            lost += 5;
        }
    })
    .await;
    // It is over once nothing has been lost for a while.
    soon(async { while listener.copies_when_lost(lost).await > 0 {} }).await;
    listener.client.close().await;
}

/// A client that reports what the test wants.
struct Listener {
    client: Client,
    form: Form,
    said: ReceptionReport,
}

impl Listener {
    async fn call(server: &Server, form: Form) -> Self {
        let silent = Kind {
            reports: false,
            ..Kind::default()
        };
        let mut client = Client::call_as(silent, &server.http).await;
        let first = &client.hear(1).await[0].header;
        let said = ReceptionReport {
            ssrc: first.ssrc,
            last_sequence_number: first.sequence_number.into(),
            ..ReceptionReport::default()
        };
        Self { client, form, said }
    }

    /// Reports that so many were lost in all, and counts the copies in what comes then. Each report
    /// is of 100 packets more, which have not all been sent: so this is over sooner.
    async fn copies_when_lost(&mut self, total: u32) -> usize {
        self.said.last_sequence_number += 100;
        self.said.total_lost = total;
        self.client.report((self.form)(self.said.clone())).await;
        copies(self.client.hear(SOME).await)
    }
}

/// As many packets as tell whether there are copies, where not each packet is worth one.
const SOME: usize = 25;

/// How many of these carry a copy of the packet before them.
fn copies(packets: &[Heard]) -> usize {
    packets.iter().filter(|it| it.has_copy).count()
}

fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|it| it.to_le_bytes()).collect()
}
