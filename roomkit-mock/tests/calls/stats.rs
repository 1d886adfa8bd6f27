//! What a session has come to, as its host sees it: on the session, as events, at the end.

use roomkit_core::{
    client_protocol::ServerMessage,
    framework::FrameworkEventKind,
    provider::{ProviderEvent, ResponseStatus, Usage},
};

use crate::support::{House, Notes, ms, pcm};

#[tokio::test(start_paused = true)]
async fn a_host_sees_how_long_a_turn_took_and_what_it_cost() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house.voice.on_turn(move |event| {
        log.add(format!("{:?}", event.latency.sent));
        async {}
    });
    let call = house.call().await;

    let speech = |item_id: &str| Some(item_id.into());
    call.ai.simulate(ProviderEvent::SpeechStarted {
        item_id: speech("u1"),
    });
    call.ai.simulate(ProviderEvent::SpeechStopped {
        item_id: speech("u1"),
    });
    tokio::time::sleep(ms(700)).await;
    call.ai.simulate(ProviderEvent::ResponseStarted {
        response_id: Some("r1".into()),
    });
    call.ai.simulate(ProviderEvent::Audio {
        response_id: Some("r1".into()),
        item_id: Some("a1".into()),
        content_index: 0,
        pcm: pcm(ms(200)),
    });
    call.ai.simulate(ProviderEvent::ResponseEnded {
        response_id: Some("r1".into()),
        status: ResponseStatus::Completed,
        usage: Some(Box::new(Usage {
            output_tokens: 42,
            output_audio_tokens: 40,
            ..Usage::default()
        })),
    });
    tokio::time::sleep(ms(1_000)).await;

    assert_eq!(notes.all(), ["700ms"]);
    let stats = call.session.stats();
    assert_eq!((stats.turns, stats.responses), (1, 1));
    assert_eq!(stats.usage.output_audio_tokens, 40);

    house.voice.end_session(&call.session).await;
    let ended = house.close(FrameworkEventKind::SessionEnded).await;
    let told = &ended[0].data["stats"];
    assert_eq!(told["turns"], 1);
    assert_eq!(told["last_turn"]["sent_ms"], 700);
    assert_eq!(told["usage"]["output_tokens"], 42);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_where_the_host_wants_it() {
    for wanted in [true, false] {
        let house = House::with(|voice| voice.client_stats(wanted)).await;
        let call = house.call().await;
        let usage = Usage {
            input_tokens: 7,
            ..Usage::default()
        };
        call.ai.simulate(ProviderEvent::Usage(Box::new(usage)));
        tokio::time::sleep(ms(10)).await;
        let told = call.client.messages().into_iter().rev();
        let mut told = told.filter(|message| matches!(message, ServerMessage::Stats(_)));
        let last = told.next().map(|message| message.to_json());
        assert_eq!(last.is_some(), wanted);
        if let Some(last) = last {
            assert!(
                last.starts_with(r#"{"type":"stats","ready_after_ms":"#),
                "{last}"
            );
            assert!(
                last.contains(r#""last_turn":null"#) && last.contains(r#""input_tokens":7"#),
                "{last}"
            );
        }
    }
}
