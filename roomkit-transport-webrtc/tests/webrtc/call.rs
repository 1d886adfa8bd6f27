//! Calls with audio both ways, with real clients.

use std::{sync::Arc, time::Duration};

use roomkit_core::{
    audio::BYTES_PER_SAMPLE,
    provider::{ProviderCapabilities, ProviderCommand, Role},
};
use roomkit_mock::{EchoConfig, EchoProvider, MockProviderConnection, MockRealtimeProvider};
use serde_json::json;

use crate::{network::talks, support::*};

/// An AI with Gemini's rates.
fn ai() -> MockRealtimeProvider {
    let mut capabilities = ProviderCapabilities::new(16_000, 24_000);
    capabilities.interrupts_itself = true;
    capabilities.truncates = true;
    MockRealtimeProvider::new().with_capabilities(capabilities)
}

fn pcm(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|it| it.to_le_bytes()).collect()
}

fn samples(pcm: &[u8]) -> Vec<i16> {
    let (samples, _) = pcm.as_chunks::<BYTES_PER_SAMPLE>();
    samples.iter().copied().map(i16::from_le_bytes).collect()
}

/// What the AI was given, once it is that much.
pub(crate) async fn given(ai: &MockProviderConnection, bytes: usize) -> Vec<i16> {
    let mut count = 1;
    loop {
        ai.wait_for_commands(count, |it| matches!(it, ProviderCommand::Audio(_)))
            .await;
        let audio = ai.sent_audio();
        count = audio.len() + 1;
        let audio = audio.concat();
        if audio.len() >= bytes {
            return samples(&audio);
        }
    }
}

/// The AI says this, and no more.
pub(crate) fn says(ai: &MockProviderConnection, samples: &[i16]) {
    ai.simulate_response_start(Some("resp_2"));
    ai.simulate_item_audio("item_2", pcm(samples));
    ai.simulate_response_end(Some("resp_2"));
}

#[tokio::test]
async fn c3_a_call() {
    let ai = ai();
    let server = Server::start(&ai).await;
    let mut client = Client::connect_as(Kind::default(), &server.http).await;
    let started = client.message("session_started").await;
    assert_eq!(started["input_sample_rate"], 16_000);
    assert_eq!(started["output_sample_rate"], 24_000);
    assert_eq!(started["input_encoding"], "opus");
    assert_eq!(started["output_encoding"], "opus");
    let ai = ai.wait_for_connect().await;

    // The client's voice.
    client.say(&tone(24_000, 1_000.0, 1_000)).await;
    let heard = given(&ai, 2 * 16_000).await;
    let middle = &heard[4_000..15_000];
    let hz = frequency(middle, 16_000);
    assert!((hz - 1_000.0).abs() < 2.0, "{hz}");
    let loudness = level(middle) / level(&tone(16_000, 1_000.0, 1_000));
    assert!((0.8..1.25).contains(&loudness), "{loudness}");

    // The AI's.
    says(&ai, &tone(24_000, 440.0, 1_000));
    let spoken = speech(&mut client, 50).await;
    let decoded: Vec<i16> = spoken.iter().flat_map(|it| it.samples.clone()).collect();
    assert_eq!(decoded.len(), 52 * 480);
    let hz = frequency(&decoded[4_800..20_000], 24_000);
    assert!((hz - 440.0).abs() < 2.0, "{hz}");
    let loudness = level(&decoded[4_800..20_000]) / level(&tone(24_000, 440.0, 1_000));
    assert!((0.8..1.25).contains(&loudness), "{loudness}");
    let length = loud_span(&decoded).abs_diff(24_000);
    assert!(length < 240, "10 ms too long or too short: {length}");
    client.close().await;
}

/// The packets of the next speech, of which there are to be so many, and two of the silence behind.
async fn speech(client: &mut Client, packets: usize) -> Vec<Heard> {
    let begins = loop {
        match client.heard.iter().position(|it| it.header.marker) {
            Some(begins) => break begins,
            None => drop(client.hear(1).await.to_vec()),
        }
    };
    let there = client.heard.len() - begins;
    client.hear(packets + 2 - there).await;
    let spoken = client.heard.split_off(begins);
    let frame = client.codec().clock_rate() / 50;
    for (one, next) in spoken.iter().zip(&spoken[1..]) {
        // One frame, unless the machine stood still for longer than a jitter buffer hides.
        let passed = next.header.timestamp.wrapping_sub(one.header.timestamp);
        assert!(passed > 0 && passed.is_multiple_of(frame), "{passed}");
        let number = one.header.sequence_number.wrapping_add(1);
        assert_eq!(next.header.sequence_number, number, "in order");
        assert!(!next.header.marker || passed > frame);
    }
    spoken
}

#[tokio::test]
async fn c3_a_call_with_a_section_for_each_direction() {
    for audio in [Audio::MicrophoneFirst, Audio::LoudspeakerFirst] {
        let ai = ai();
        let server = Server::start(&ai).await;
        let kind = Kind {
            audio,
            ..Kind::default()
        };
        let mut client = Client::call_as(kind, &server.http).await;
        talks(&mut client, &ai.wait_for_connect().await).await;
        // A restart changes nothing of that.
        let answer = client.restart(&server.http).await.sdp();
        client.take(&answer).await;
        client.ping().await;
        talks(&mut client, &ai.last()).await;
    }
}

#[tokio::test]
async fn c4_a_call_behind_a_rejected_section() {
    const REJECTED: &str = "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:gone\r\n\
        a=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n";
    let ai = ai();
    let server = Server::start(&ai).await;
    let mut client = Client::new(Kind::default()).await;
    let mut offer = client.fast_rtc_from_nowhere();
    let sdp = offer["sdp"].as_str().unwrap();
    let (session, sections) = sdp.split_at(sdp.find("m=").unwrap());
    offer["sdp"] = format!("{session}{REJECTED}{sections}").into();
    let answer = server.http.offer(&offer).await.sdp();
    // The client of this test knows nothing of the section, as a browser takes nothing from it.
    let (session, sections) = answer.split_at(answer.find("m=").unwrap());
    assert!(sections.starts_with("m=audio 0 "), "{answer}");
    let sections = &sections[sections.find("m=audio 9 ").unwrap()..];
    client.take(&format!("{session}{sections}")).await;
    talks(&mut client, &ai.wait_for_connect().await).await;
}

#[tokio::test]
async fn c3_a_call_in_g711() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let ai = ai();
        let server = Server::start(&ai).await;
        let kind = Kind {
            codec,
            ..Kind::default()
        };
        let mut client = Client::connect_as(kind, &server.http).await;
        let started = client.message("session_started").await;
        assert_eq!(started["input_sample_rate"], 8_000);
        assert_eq!(started["output_sample_rate"], 8_000);
        let name = format!("{codec:?}").to_ascii_lowercase();
        assert_eq!(started["input_encoding"], name);
        assert_eq!(started["output_encoding"], name);
        let ai = ai.wait_for_connect().await;

        client.say(&tone(8_000, 1_000.0, 400)).await;
        let heard = given(&ai, 2 * 16_000 / 3).await;
        let hz = frequency(&heard[1_000..5_000], 16_000);
        assert!((hz - 1_000.0).abs() < 2.0, "{hz}");

        says(&ai, &tone(24_000, 440.0, 400));
        let spoken = speech(&mut client, 20).await;
        let decoded: Vec<i16> = spoken.iter().flat_map(|it| it.samples.clone()).collect();
        let hz = frequency(&decoded[400..3_000], 8_000);
        assert!((hz - 440.0).abs() < 2.0, "{hz}");
        assert!(loud_span(&decoded).abs_diff(3_200) < 40);
        client.close().await;
    }
}

#[tokio::test]
async fn c3_a_call_without_a_data_channel() {
    let ai = ai();
    let server = Server::start(&ai).await;
    let kind = Kind {
        channel: Channel::Absent,
        ..Kind::default()
    };
    let mut client = Client::call_as(kind, &server.http).await;
    assert!(!client.offer.contains("m=application"));
    let ai = ai.wait_for_connect().await;
    client.say(&tone(24_000, 1_000.0, 100)).await;
    given(&ai, 2 * 1_600).await;
    // More words than may wait for a channel: these wait for none.
    let words = "word ".repeat(1_000);
    for _ in 0..100 {
        ai.simulate_transcription(&words, Role::Assistant, true, None);
    }
    says(&ai, &tone(24_000, 440.0, 100));
    speech(&mut client, 5).await;
    let path = format!("/webrtc/offer/{}", client.id);
    let answer = server.http.send("DELETE", &path, "", "").await;
    assert_eq!(answer.status, 204);
    ai.wait_for_close().await;
    until(|| server.transport.clients() == 0).await;
}

#[tokio::test]
async fn c3_a_data_channel_that_was_only_agreed_on_is_made_by_the_server() {
    let ai = ai();
    let server = Server::start(&ai).await;
    let kind = Kind {
        channel: Channel::Agreed,
        ..Kind::default()
    };
    let mut client = Client::connect_as(kind, &server.http).await;
    assert_eq!(client.opened().await, "roomkit");
    client.message("session_started").await;
    client.ping().await;

    // One that is late with its own has it all the same.
    client.open_channel("late").await;
    assert_eq!(client.opened().await, "late");
    client.ping().await;
    assert_eq!(server.voice.sessions().len(), 1);
}

#[tokio::test]
async fn a3_barge_in() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = ai();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let ai = ai.wait_for_connect().await;

    ai.simulate_response_start(Some("resp_1"));
    ai.simulate_audio(pcm(&tone(24_000, 440.0, 5_000)));
    speech(&mut client, 48).await;
    client.heard.clear();
    ai.simulate_speech_start(None);
    client.message("clear_audio").await;
    let before = client.heard.len();
    // Late audio of the same answer goes nowhere.
    ai.simulate_audio(pcm(&tone(24_000, 440.0, 1_000)));
    ai.simulate_response_end(Some("resp_1"));
    client.hear(8).await;
    let loud: Vec<bool> = client
        .heard
        .iter()
        .map(|it| level(&it.samples) > 1_000.0)
        .collect();
    let spoken = loud.iter().take_while(|is_loud| **is_loud).count();
    // In the first packet of silence, the codec's delay, the last of the speech comes to its end.
    assert!(spoken <= before + 2, "{spoken} of {before}");
    assert!(loud[spoken..].iter().all(|is_loud| !is_loud), "{loud:?}");

    ai.wait_for_command(|it| matches!(it, ProviderCommand::Truncate { .. }))
        .await;
    let truncations = ai.truncations();
    assert_eq!(truncations.len(), 1);
    assert_eq!(truncations[0].item_id.as_str(), "item_1");

    // The next answer is heard from its start.
    ai.simulate_speech_end(None);
    client.heard.clear();
    says(&ai, &tone(24_000, 440.0, 200));
    speech(&mut client, 10).await;
    client.close().await;
    ai.wait_for_close().await;
    until(|| server.transport.clients() == 0).await;
    let sent = counters.get("roomkit_webrtc_outbound_frames_total", "speech") - 10;
    let sent = Duration::from_millis(20) * sent as u32;
    // A4: heard is what was sent, but for the packet that was just being played.
    let heard = truncations[0].heard;
    assert!(
        heard <= sent && sent.abs_diff(heard) <= Duration::from_millis(20),
        "{heard:?} {sent:?}"
    );
    // And what was sent came: fifty packets before, and those after.
    let received = Duration::from_millis(20) * (50 + spoken as u32);
    assert!(
        received.abs_diff(sent) <= Duration::from_millis(20),
        "{received:?} {sent:?}"
    );
}

#[tokio::test]
async fn c3_speech_ends_in_silence_at_once_though_the_client_sends_nothing() {
    let ai = ai();
    let server = Server::start(&ai).await;
    // Not even that it has a message.
    let kind = Kind {
        channel: Channel::Absent,
        ..Kind::default()
    };
    let mut client = Client::call_as(kind, &server.http).await;
    let ai = ai.wait_for_connect().await;
    // Nothing is due for 400 ms when the answer comes.
    client.hear(3).await;
    says(&ai, &tone(24_000, 440.0, 40));
    let spoken = speech(&mut client, 2).await;
    let pause = spoken[2]
        .header
        .timestamp
        .wrapping_sub(spoken[1].header.timestamp);
    assert!(pause < 300 * 48, "{pause}");
}

#[tokio::test]
async fn c3_a_whole_call_with_the_echo() {
    let echo = EchoProvider::new(EchoConfig::default()).unwrap();
    let server = Server::with(config(), open_door(), Arc::new(echo)).await;
    let mut client = Client::call(&server).await;
    client.say(&tone(24_000, 500.0, 800)).await;
    // It ends in silence, which nobody sends.
    let spoken = speech(&mut client, 40).await;
    let decoded: Vec<i16> = spoken.iter().flat_map(|it| it.samples.clone()).collect();
    let loud = &decoded[decoded.len() / 2..decoded.len() * 3 / 4];
    let hz = frequency(loud, 24_000);
    assert!((hz - 500.0).abs() < 3.0, "{hz}");
    client.send(&json!({"type": "end"})).await;
    let ended = client.message("session_ended").await;
    assert_eq!(ended["reason"], "client_ended");
    let told: Vec<&str> = client
        .messages
        .iter()
        .filter(|it| it["type"] == "transcription" && it["is_final"] == true)
        .filter_map(|it| it["role"].as_str())
        .collect();
    assert_eq!(told, ["user", "assistant"]);
    client.sent_away().await;
    until(|| server.transport.clients() == 0).await;
}

#[tokio::test]
async fn c5_audio_faster_than_twice_real_time_is_dropped() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = ai();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let ai = ai.wait_for_connect().await;
    for _ in 0..10 {
        client.say(&tone(24_000, 1_000.0, 800)).await;
        client.ping().await;
    }
    let dropped = || counters.get("roomkit_dropped_total", "too_fast");
    until(|| dropped() > 0).await;
    // What was within the limit came through, and the call goes on.
    given(&ai, 2 * 2 * 16_000).await;
    client.ping().await;
    let given = ai.sent_audio().concat().len();
    assert!(given < 2 * 8 * 16_000, "{given}");
}
