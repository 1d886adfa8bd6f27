//! What a caller reports of the AI's voice changes how it is coded (decision 11).
#![cfg(feature = "axum")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are tests"
)]

mod support;

use roomkit_core::provider::ProviderCapabilities;
use roomkit_mock::MockRealtimeProvider;
use rtc::rtcp::{
    self, receiver_report::ReceiverReport, reception_report::ReceptionReport,
    sender_report::SenderReport,
};
use support::*;

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
    let mut client = Client::call(&server).await;
    let ai = ai.wait_for_connect().await;
    ai.simulate_response_start(Some("resp_2"));
    ai.simulate_item_audio("item_2", pcm(&vowel(24_000, 60_000)));

    // The client's own reports say meanwhile that nothing is lost.
    let spoken = client.hear(150).await;
    assert_eq!(copies(spoken), 0, "copies take bits from the voice");

    let voice = spoken[0].header.ssrc;
    let lost = |fraction_lost| ReceptionReport {
        ssrc: voice,
        fraction_lost,
        ..ReceptionReport::default()
    };
    client.report(form(lost(LITTLE))).await;
    soon(async { while copies(client.hear(SOME).await) < SOME / 2 {} }).await;

    // It is over once nothing has been lost for a while.
    soon(async { while copies(client.hear(SOME).await) > 0 {} }).await;
    client.close().await;
}

/// 1.2 %: just what is worth copies, and soon forgotten.
const LITTLE: u8 = 3;

/// As many packets as tell whether there are copies, where not each packet is worth one.
const SOME: usize = 25;

/// How many of these carry a copy of the packet before them.
fn copies(packets: &[Heard]) -> usize {
    packets.iter().filter(|it| it.has_copy).count()
}

fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|it| it.to_le_bytes()).collect()
}
