//! Hosts that start sessions themselves, as `on_client_connected` and `mount_fastrtc_realtime` let
//! them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use roomkit_core::{
    RealtimeVoiceChannel,
    provider::{ProviderCapabilities, ProviderCommand, Role},
};
use roomkit_http::{Admission, AdmissionConfig, AuthRequest, Identity, routes};
use roomkit_mock::MockRealtimeProvider;
use roomkit_transport_webrtc::{
    ClientOffer, SignallingError, WebRtcId, WebRtcRealtimeTransport, WebRtcTransportConfig,
    mount_fastrtc_realtime,
};
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use crate::{
    call::{given, says},
    support::*,
};

fn transport(config: WebRtcTransportConfig) -> WebRtcRealtimeTransport {
    WebRtcRealtimeTransport::new(config).unwrap()
}

/// Mounted under `/rtc-realtime`, as on the API page.
async fn mounted(transport: &WebRtcRealtimeTransport) -> Http {
    let app = mount_fastrtc_realtime(Router::new(), transport, "/rtc-realtime", open_door());
    let (address, _) = serve(app.unwrap()).await;
    Http::new(address, "/rtc-realtime")
}

#[tokio::test]
async fn c4_the_api_pages_flow() {
    let config = WebRtcTransportConfig {
        input_sample_rate: Some(16_000),
        output_sample_rate: Some(24_000),
        ..config()
    };
    let transport = transport(config);
    let ai =
        MockRealtimeProvider::new().with_capabilities(ProviderCapabilities::new(24_000, 24_000));
    let (_kit, channel) = host(&transport, Arc::new(ai.clone())).await;
    let starting = channel.clone();
    transport.on_client_connected(move |client| {
        let channel = starting.clone();
        async move {
            let name = client.id.as_str().to_owned();
            let started = channel.start_session(LOBBY, name, client.id).await;
            started.unwrap();
        }
    });
    let http = mounted(&transport).await;
    let mut client = Client::connect_as(Kind::default(), &http).await;
    let started = client.message("session_started").await;
    assert_eq!(started["participant_id"], client.id);
    assert_eq!(started["input_sample_rate"], 16_000);
    assert_eq!(started["output_sample_rate"], 24_000);
    client.ping().await;
    assert!(transport.clone().clients() == 1, "a clone is the same one");
    client.send(&json!({"type": "end"})).await;
    client.message("session_ended").await;
    until(|| transport.clients() == 0).await;
}

#[tokio::test]
async fn x2_a_host_is_told_whose_a_client_is_and_where_it_may_be() {
    let hook = async |request: AuthRequest| match request.bearer_token() {
        Some("bound") => Ok(Identity::new([("user", "ann")])
            .room("vault")
            .participant("ann")),
        _ => Ok(Identity::new([("user", "anybody")])),
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let transport = transport(config());
    let (tell, mut told) = mpsc::unbounded_channel();
    transport.on_client_connected(move |client| {
        tell.send(client).unwrap();
        std::future::ready(())
    });
    let app = mount_fastrtc_realtime(Router::new(), &transport, "/rtc", admission).unwrap();
    let (address, _) = serve(app).await;
    let anybody = Http::new(address, "/rtc");
    let ann = anybody.with_header("Authorization: Bearer bound");
    let asks = "room=cellar&participant=bob";
    for (http, user, room, participant) in [
        (ann.clone(), "ann", Some("vault"), Some("ann")),
        (anybody.clone(), "anybody", None, None),
        (
            anybody.with_query(asks),
            "anybody",
            Some("cellar"),
            Some("bob"),
        ),
    ] {
        let client = Client::connect_as(Kind::default(), &http).await;
        let connected = soon(told.recv()).await.unwrap();
        assert_eq!(connected.id.as_str(), client.id);
        assert_eq!(connected.identity["user"], user);
        assert_eq!(connected.room, room.map(Into::into));
        assert_eq!(connected.participant, participant.map(Into::into));
        assert!(connected.address.unwrap().is_loopback());
        assert!(!format!("{connected:?}").contains("user"));
    }
    let client = Client::new(Kind::default()).await;
    let refused = ann.with_query(asks).offer(&client.fast_rtc()).await;
    assert_eq!(refused.refusal(), (403, "forbidden".into()));
}

#[tokio::test]
async fn c4_the_routes_are_nested_anywhere() {
    let transport = transport(config());
    let ai = MockRealtimeProvider::new();
    let (_kit, channel) = host(&transport, Arc::new(ai)).await;
    transport.on_client_connected(move |client| {
        let channel = channel.clone();
        async move { drop(channel.start_session(LOBBY, "ann", client.id).await) }
    });
    let inner = Router::new().nest("/b", transport.router(open_door()));
    let app = Router::new().nest("/a", inner);
    let (address, _) = serve(app).await;
    let http = Http::new(address, "/a/b");
    Client::call_as(Kind::default(), &http).await;
    let client = Client::new(Kind::default()).await;
    let created = http
        .send("POST", "/whip", "application/sdp", &client.offer)
        .await;
    let location = created.header("location").unwrap();
    assert!(location.starts_with("/a/b/whip/"), "{location}");
    let answer = http.send("DELETE", &location["/a/b".len()..], "", "").await;
    assert_eq!(answer.status, 200);

    for path in ["rtc", "/rtc/{id}", "/r tc"] {
        let mounted = mount_fastrtc_realtime(Router::new(), &transport, path, open_door());
        let error = mounted.unwrap_err().to_string();
        assert!(error.starts_with("path: "), "{error}");
    }
}

#[tokio::test]
async fn s8_a_panic_of_the_observer_harms_nobody() {
    let config = WebRtcTransportConfig {
        session_timeout_ms: 300,
        ..config()
    };
    let transport = transport(config);
    let (_kit, channel) = host(&transport, Arc::new(MockRealtimeProvider::new())).await;
    let panics = Arc::new(AtomicBool::new(true));
    transport.on_client_connected(move |client| {
        let channel = channel.clone();
        let panics = panics.swap(false, Ordering::SeqCst);
        async move {
            assert!(!panics, "host code");
            drop(channel.start_session(LOBBY, "ann", client.id).await);
        }
    });
    let http = mounted(&transport).await;
    let first = Client::connect_as(Kind::default(), &http).await;
    soon(first.channel()).await;
    let mut second = Client::call_as(Kind::default(), &http).await;
    // The first is one nobody has made a session of.
    until(|| transport.clients() == 1).await;
    second.ping().await;
}

#[tokio::test]
async fn s8_a_panic_before_there_is_a_future() {
    let config = WebRtcTransportConfig {
        session_timeout_ms: 100,
        ..config()
    };
    let transport = transport(config);
    transport.on_client_connected(|_| -> std::future::Ready<()> { panic!("host code") });
    let http = mounted(&transport).await;
    let mut client = Client::connect_as(Kind::default(), &http).await;
    client.sent_away().await;
    until(|| transport.clients() == 0).await;
}

#[tokio::test]
async fn s1_a_client_nobody_starts_a_session_for_is_sent_away() {
    let config = WebRtcTransportConfig {
        session_timeout_ms: 100,
        ..config()
    };
    for has_observer in [false, true] {
        let transport = transport(config.clone());
        if has_observer {
            transport.on_client_connected(|_| std::future::pending());
        }
        let http = mounted(&transport).await;
        let mut client = Client::connect_as(Kind::default(), &http).await;
        client.sent_away().await;
        until(|| transport.clients() == 0).await;
        let ended = http.offer(&client.candidate("")).await;
        assert_eq!(ended.refusal(), (410, "connection_closed".into()));
    }
}

#[tokio::test]
async fn s1_who_has_made_a_session_may_take_its_time() {
    let transport = transport(WebRtcTransportConfig {
        session_timeout_ms: 50,
        ..config()
    });
    let (_kit, channel) = host(&transport, Arc::new(MockRealtimeProvider::new())).await;
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    transport.on_client_connected(move |client| {
        let (channel, told) = (channel.clone(), Arc::clone(&told));
        async move {
            let session = channel
                .start_session(LOBBY, "ann", client.id)
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            channel
                .inject_text(&session, "Say hello.", Role::User, false)
                .unwrap();
            told.store(true, Ordering::SeqCst);
        }
    });
    let http = mounted(&transport).await;
    let mut client = Client::call_as(Kind::default(), &http).await;
    until(|| done.load(Ordering::SeqCst)).await;
    client.ping().await;
}

#[tokio::test]
async fn c3_a_call_begins_with_what_is_said_then() {
    let counters = Counters::default();
    let _counting = counters.here();
    let transport = transport(config());
    let ai =
        MockRealtimeProvider::new().with_capabilities(ProviderCapabilities::new(16_000, 24_000));
    let (_kit, channel) = host(&transport, Arc::new(ai.clone())).await;
    let told = Arc::new(Notify::new());
    let looked_up = Arc::new(Notify::new());
    let (tell, wait) = (Arc::clone(&told), Arc::clone(&looked_up));
    transport.on_client_connected(move |client| {
        let (channel, tell, wait) = (channel.clone(), Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            channel
                .start_session(LOBBY, "ann", client.id)
                .await
                .unwrap();
        }
    });
    let http = mounted(&transport).await;
    let mut client = Client::connect_as(Kind::default(), &http).await;
    soon(told.notified()).await;
    for _ in 0..5 {
        client.say(&tone(24_000, 500.0, 800)).await;
        client.send(&json!({"type": "ping"})).await;
        client.delivered().await;
    }
    looked_up.notify_one();
    client.message("session_started").await;
    let ai = ai.wait_for_connect().await;
    client.say(&tone(24_000, 1_000.0, 1_000)).await;
    let heard = given(&ai, 2 * 15_000).await;
    let hz = frequency(&heard[1_000..14_000], 16_000);
    assert!((hz - 1_000.0).abs() < 10.0, "{hz}");
    assert_eq!(counters.get("roomkit_dropped_total", "too_fast"), 0);
}

#[tokio::test]
async fn s7_a_transport_that_is_closed_lets_go_of_its_observer() {
    let transport = transport(config());
    let (_kit, channel) = host(&transport, Arc::new(MockRealtimeProvider::new())).await;
    let owned = Arc::new(channel);
    let left = Arc::downgrade(&owned);
    transport.on_client_connected(move |client| {
        let channel = Arc::clone(&owned);
        async move {
            channel
                .start_session(LOBBY, "ann", client.id)
                .await
                .unwrap();
        }
    });
    let http = mounted(&transport).await;
    let mut client = Client::call_as(Kind::default(), &http).await;
    transport.close().await;
    client.sent_away().await;
    until(|| left.upgrade().is_none()).await;
}

#[tokio::test]
async fn s1_a_session_may_start_before_the_client_is_connected() {
    let transport = transport(config());
    let (_kit, channel) = host(&transport, Arc::new(MockRealtimeProvider::new())).await;
    let http = mounted(&transport).await;
    let mut client = Client::new(Kind::default()).await;
    let answer = http.offer(&client.fast_rtc()).await.sdp();
    let id = WebRtcId::from(client.id.as_str());
    let starting = channel.start_session(LOBBY, "ann", id);
    let connecting = async {
        client.take(&answer).await;
        client.message("session_started").await;
    };
    let (started, ()) = tokio::join!(starting, connecting);
    started.unwrap();
    client.ping().await;
}

#[tokio::test]
async fn s9_a_greeting_is_heard_by_a_client_that_connects_late() {
    let transport = transport(config());
    let ai =
        MockRealtimeProvider::new().with_capabilities(ProviderCapabilities::new(24_000, 24_000));
    let voice =
        RealtimeVoiceChannel::builder("voice", Arc::new(ai.clone()), Arc::new(transport.clone()))
            .greeting("Welcome!");
    let (_kit, channel) = kit_with(voice.build().unwrap()).await;
    let mut client = Client::new(Kind::default()).await;
    let id = WebRtcId::from(client.id.as_str());
    let offer = ClientOffer::new(id.clone(), client.offer.clone());
    let answer = transport.answer(offer).await.unwrap();
    let greeting = async {
        let ai = ai.wait_for_connect().await;
        ai.wait_for_command(
            |it| matches!(it, ProviderCommand::Text { text, .. } if text.contains("Welcome!")),
        )
        .await;
        says(&ai, &tone(24_000, 440.0, 400));
    };
    let hearing = async {
        client.take(&answer).await;
        // That it speaks, and that it has spoken.
        for speaks in [true, false] {
            assert_eq!(client.message("speaking").await["speaking"], speaks);
        }
        client.hear(2).await;
    };
    let starting = channel.start_session(LOBBY, "ann", id);
    let all = async { tokio::join!(starting, greeting, hearing) };
    let (started, (), ()) = soon(all).await;
    started.unwrap();
    let heard = client.heard.iter().flat_map(|it| it.samples.clone());
    let length = loud_span(&heard.collect::<Vec<_>>());
    assert!(length.abs_diff(9_600) < 240, "{length}");
}

#[tokio::test]
async fn s1_a_start_that_breaks_off_before_the_client_is_connected_leaves_nothing() {
    for hangs_up in [false, true] {
        let transport = transport(config());
        let ai = MockRealtimeProvider::new();
        let (_kit, channel) = host(&transport, Arc::new(ai.clone())).await;
        let client = Client::new(Kind::default()).await;
        let id = WebRtcId::from(client.id.as_str());
        let offer = ClientOffer::new(id.clone(), client.offer.clone());
        transport.answer(offer).await.unwrap();
        let mut starting = Box::pin(channel.start_session(LOBBY, "ann", id.clone()));
        // It waits for the client, which is its own by then.
        let another = tokio::select! {
            biased;
            started = &mut starting => panic!("{started:?}"),
            another = channel.start_session(LOBBY, "bob", id.clone()) => another.unwrap_err(),
        };
        let problem = another.to_string();
        assert!(problem.contains("has a session already"), "{problem}");
        if hangs_up {
            transport.hang_up(&id).await.unwrap();
            let error = soon(starting).await.unwrap_err();
            assert!(error.to_string().contains("hung up"), "{error}");
        } else {
            drop(starting);
        }
        until(|| transport.clients() == 0 && channel.sessions().is_empty()).await;
        assert!(ai.connects().is_empty());
    }
}

#[tokio::test]
async fn c4_a_signalling_of_the_hosts_own() {
    let transport = transport(config());
    let (_kit, channel) = host(&transport, Arc::new(MockRealtimeProvider::new())).await;
    let starting = channel.clone();
    transport.on_client_connected(move |client| {
        let channel = starting.clone();
        async move {
            let (room, participant) = (client.room.unwrap(), client.participant.unwrap());
            let started = channel.start_session(room, participant, client.id).await;
            started.unwrap();
        }
    });
    let mut client = Client::new(Kind::default()).await;
    let id = WebRtcId::from(client.id.as_str());
    let kept = Arc::new(());
    let offer = ClientOffer::new(id.clone(), client.offer.clone())
        .identity(json!({"user": "ann"}).as_object().unwrap().clone())
        .room(LOBBY)
        .participant("ann-1")
        .keep(Arc::clone(&kept));
    let answer = transport.answer(offer).await.unwrap();
    assert_eq!(Arc::strong_count(&kept), 2);
    assert_eq!(transport.add_candidate(&id, "").await, Ok(true));
    client.take(&answer).await;
    client.message("session_started").await;
    let session = &channel.sessions()[0];
    assert_eq!(session.metadata()["user"], "ann");
    assert_eq!(session.participant_id().as_str(), "ann-1");
    transport.hang_up(&id).await.unwrap();
    client.message("session_ended").await;
    until(|| Arc::strong_count(&kept) == 1).await;
    assert_eq!(transport.hang_up(&id).await, Err(SignallingError::Ended));
    let again = transport.restart(&id, &client.offer).await;
    assert_eq!(again, Err(SignallingError::Ended));
}

#[tokio::test]
async fn s3_who_hangs_up_while_its_offer_is_answered_is_gone() {
    let transport = transport(config());
    let client = Client::new(Kind::default()).await;
    let id = WebRtcId::from(client.id.as_str());
    let kept = Arc::new(());
    let offer = ClientOffer::new(id.clone(), client.offer.clone()).keep(Arc::clone(&kept));
    // In this order: the answer is under way when the end comes.
    let (answer, hung_up) = tokio::join!(transport.answer(offer), transport.hang_up(&id));
    assert_eq!(hung_up, Ok(()));
    assert_eq!(answer, Err(SignallingError::Ended));
    assert_eq!(transport.clients(), 0);
    assert_eq!(Arc::strong_count(&kept), 1, "what counts it is let go");
}

#[tokio::test]
async fn the_transport_is_found_by_name() {
    let config = json!({"interfaces": ["127.0.0.1"], "udp_port": 0});
    let mountable = (routes("webrtc").unwrap().build)(config).unwrap();
    assert_eq!(mountable.transport().name(), "webrtc");
    let wrong = (routes("webrtc").unwrap().build)(json!({"interfaces": ["10.255.255.1"]}));
    assert!(wrong.unwrap_err().to_string().starts_with("interfaces: "));
}
