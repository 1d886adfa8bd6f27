//! Words and turns, as client, observers and room see them (contracts T1–T6).

use std::time::Duration;

use roomkit_core::{
    client_protocol::ServerMessage,
    ephemeral::EphemeralKind,
    error::{ProviderError, ProviderErrorKind},
    event::ResponsePhase,
    hook::{Decision, Hook},
    provider::{ProviderEvent, RealtimeVoiceProvider, ResponseStatus, Role},
    subscriber::{RoomUpdate, SubscribeOptions},
    voice::RealtimeVoiceChannelBuilder,
};
use roomkit_mock::{
    MockRealtimeProvider, MockRealtimeTransport,
    provider::{answer, question},
};

use crate::support::{Call, House, Notes, ROOM, VOICE, ms, pcm, settle};

fn say(call: &Call, events: Vec<ProviderEvent>) {
    for event in events {
        call.ai.simulate(event);
    }
}

fn finals(call: &Call) -> Vec<String> {
    let words = call
        .words()
        .into_iter()
        .filter(|(_, _, is_final)| *is_final);
    words.map(|(_, text, _)| text).collect()
}

/// A house whose provider promises transcripts of the user.
async fn transcribing_house(
    settings: impl FnOnce(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder,
) -> House {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.transcribes_user = true;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    House::of(provider, MockRealtimeTransport::new(), settings).await
}

#[tokio::test(start_paused = true)]
async fn t1_client_observers_and_room_see_the_same_order() {
    let house = transcribing_house(|voice| voice).await;
    let notes = Notes::default();
    let log = notes.clone();
    house.voice.on_transcription(move |event| {
        if event.is_final {
            log.add(event.text);
        }
        async {}
    });
    let call = house.call().await;
    for round in ["1", "2", "3"] {
        say(&call, question(round, &format!("question {round}")));
        say(&call, answer(round, &format!("answer {round}"), ms(600)));
        call.wait_for_final(&format!("answer {round}")).await;
    }
    settle().await;
    let expected = [
        "question 1",
        "answer 1",
        "question 2",
        "answer 2",
        "question 3",
        "answer 3",
    ];
    assert_eq!(finals(&call), expected);
    assert_eq!(notes.all(), expected);
    assert_eq!(house.texts().await, expected);
    let words = call.words();
    let place = |text: &str| {
        words
            .iter()
            .position(|(_, words, _)| words == text)
            .unwrap()
    };
    assert!(
        place("answer ") < place("answer 1"),
        "no final overtakes its partials"
    );
}

#[tokio::test(start_paused = true)]
async fn t1_a_late_question_precedes_its_answer_within_a_bounded_wait() {
    let patient = transcribing_house(|voice| voice.transcript_wait(ms(5000))).await;
    for (house, late_by) in [
        (transcribing_house(|voice| voice).await, ms(1000)),
        (patient, ms(4000)),
    ] {
        let call = house.call().await;
        let late = ProviderEvent::Transcript {
            role: Role::User,
            item_id: Some("u1".into()),
            text: "the question".into(),
            is_final: true,
        };
        call.ai.simulate_speech_start(Some("u1"));
        call.ai.simulate_speech_end(Some("u1"));
        say(&call, answer("1", "the answer", ms(300)));
        tokio::time::sleep(late_by).await;
        assert!(call.words().is_empty(), "{:?}", call.words());
        assert_ne!(call.client.audio().len(), 0, "the voice does not wait");
        call.ai.simulate(late);
        call.wait_for_final("the answer").await;
        assert_eq!(finals(&call), ["the question", "the answer"]);

        call.ai.simulate_speech_start(Some("u2"));
        call.ai.simulate_speech_end(Some("u2"));
        say(&call, answer("2", "unasked", ms(300)));
        call.wait_for_final("unasked").await;
    }
}

#[tokio::test(start_paused = true)]
async fn t1_a_tool_call_does_not_overtake_the_words_before_it() {
    let house = House::new().await;
    let call = house.call().await;
    say(&call, question("1", "how is the weather"));
    call.ai.simulate_response_start(None);
    call.ai
        .simulate_transcription("One moment.", Role::Assistant, true, Some("i"));
    call.ai.simulate_tool_call("c", "weather", "{}");
    call.client
        .wait_for_message(|m| matches!(m, ServerMessage::ToolCall { .. }))
        .await;
    assert_eq!(finals(&call), ["how is the weather", "One moment."]);
}

#[tokio::test(start_paused = true)]
async fn t2_partials_are_shown_and_only_finals_are_stored() {
    let house = House::new().await;
    let mut updates = house
        .kit
        .subscribe(ROOM, SubscribeOptions::new())
        .await
        .unwrap();
    let call = house.call().await;
    say(&call, question("1", "good morning"));
    say(&call, answer("1", "good morning to you", ms(800)));
    call.wait_for_final("good morning to you").await;
    settle().await;

    let events = house.messages().await;
    assert_eq!(events.len(), 2);
    let (asked, said) = (&events[0], &events[1]);
    assert_eq!(asked.source.channel_id, VOICE);
    assert_eq!(asked.source.channel_type, "realtime_voice");
    assert_eq!(asked.source.provider.as_deref(), Some("mock"));
    assert_eq!(asked.source.participant_id, Some("ann".into()));
    assert_eq!(said.source.participant_id, None);
    assert_eq!(asked.metadata["role"], "user");
    assert_eq!(said.metadata["role"], "assistant");
    assert_eq!(said.metadata["source"], "realtime_voice");
    assert_eq!(said.metadata["item_id"], "item_1");
    assert_eq!(
        said.metadata["voice_session_id"],
        call.session.id().as_str()
    );
    assert!(!said.metadata.contains_key("interrupted"));

    let (mut shown, mut kinds) = (Vec::new(), Vec::new());
    while let Some(update) = updates.try_recv() {
        let RoomUpdate::Ephemeral(event) = update else {
            continue;
        };
        assert_eq!(event.data["session_id"], call.session.id().as_str());
        let caller = (event.data["role"] == "user").then(|| "ann".into());
        assert_eq!(event.participant_id, caller, "{event:?}");
        if event.kind == EphemeralKind::Transcription && caller.is_none() {
            shown.push(event.data["text"].as_str().unwrap().to_owned());
        }
        kinds.push(event.kind.clone());
    }
    assert_eq!(shown.concat(), "good morning to you");
    for kind in [EphemeralKind::Speech, EphemeralKind::Typing] {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn t2_partials_and_room_events_can_be_switched_off() {
    let house =
        House::with(|voice| voice.emit_partials(false).emit_transcription_events(false)).await;
    let call = house.call().await;
    say(&call, answer("1", "for your ears only", ms(300)));
    call.wait_for_final("for your ears only").await;
    settle().await;
    assert_eq!(call.words().len(), 1);
    assert!(house.texts().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn t3_one_utterance_gives_one_final() {
    let house = House::new().await;
    let call = house.call().await;
    for _ in 0..3 {
        call.ai
            .simulate_transcription("yes", Role::User, true, Some("u1"));
    }
    call.ai
        .simulate_transcription("yes", Role::User, true, Some("u2"));
    for _ in 0..2 {
        say(&call, answer("1", "well", ms(100)));
    }
    call.wait_for_final("well").await;
    settle().await;
    assert_eq!(finals(&call), ["yes", "yes", "well"]);
    assert_eq!(house.texts().await, ["yes", "yes", "well"]);
}

#[tokio::test(start_paused = true)]
async fn t4_an_interrupted_answer_is_stored_as_it_was_heard() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house.kit.add_hook(Hook::barge_in(move |event| {
        log.add(format!(
            "{} ms: {}",
            event.heard.as_millis(),
            event.heard_text
        ));
        async {}
    }));
    let call = house.call().await;
    say(&call, answer("1", "one two three four", ms(4000)));
    tokio::time::sleep(ms(2500)).await;
    say(&call, question("1", "stop"));
    call.wait_for_final("stop").await;
    settle().await;
    let events = house.messages().await;
    let texts: Vec<_> = events.iter().filter_map(|e| e.content.as_text()).collect();
    assert_eq!(texts, ["one two", "stop"]);
    assert_eq!(events[0].metadata["interrupted"], true);
    assert_eq!(events[1].metadata["was_barge_in"], true);
    let told = call.client.wait_for_message(|m| {
        matches!(
            m,
            ServerMessage::Transcription {
                interrupted: true,
                ..
            }
        )
    });
    let ServerMessage::Transcription { text, .. } = told.await else {
        unreachable!()
    };
    assert_eq!(text, "one two");
    assert_eq!(notes.all(), ["2500 ms: one two"]);
}

#[tokio::test(start_paused = true)]
async fn t4_what_was_shown_of_an_answer_nobody_heard_is_taken_back() {
    let house = House::new().await;
    let call = house.call().await;
    call.ai.simulate_response_start(Some("1"));
    call.ai
        .simulate_transcription("One moment", Role::Assistant, false, None);
    call.ai.simulate_speech_start(None);
    call.ai
        .simulate_response_end_with(Some("1"), ResponseStatus::Cancelled);
    say(&call, answer("2", "hello", ms(100)));
    call.wait_for_final("hello").await;
    let words: Vec<_> = call.words().into_iter().map(|(_, text, _)| text).collect();
    assert_eq!(words[..2], ["One moment", ""]);
}

/// A final that meets this hook goes nowhere.
async fn goes_nowhere(hook: Hook) {
    let house = House::new().await;
    house.kit.add_hook(hook.timeout(ms(1000)));
    let notes = Notes::default();
    let log = notes.clone();
    house.voice.on_transcription(move |event| {
        log.add(event.text);
        async {}
    });
    let call = house.call().await;
    call.ai
        .simulate_transcription("secret", Role::User, true, Some("u1"));
    tokio::time::sleep(ms(3000)).await;
    assert_eq!(call.words(), []);
    assert!(notes.all().is_empty());
    assert!(house.texts().await.is_empty());
    house.kit.remove_hook("transcription");
    call.ai
        .simulate_transcription("hello", Role::User, true, Some("u2"));
    call.wait_for_final("hello").await;
}

#[tokio::test(start_paused = true)]
async fn t5_a_hook_that_fails_keeps_the_final_from_everybody() {
    goes_nowhere(Hook::transcription(|_| async {
        Decision::block("private")
    }))
    .await;
    goes_nowhere(Hook::transcription(|_| async {
        Err::<Decision<_>, _>("no connection")
    }))
    .await;
    goes_nowhere(Hook::transcription(|_| async {
        panic!("a defect of the host") as Decision<_>
    }))
    .await;
    goes_nowhere(Hook::transcription(|_| async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        Decision::Allow
    }))
    .await;
}

/// What the client has been shown and is not told to be void: with the partials of an utterance that
/// gets no final an empty one, and without partials nothing.
#[tokio::test(start_paused = true)]
async fn t5_what_was_shown_of_a_blocked_utterance_is_taken_back() {
    let house = House::new().await;
    house.kit.add_hook(Hook::transcription(|event| async move {
        if event.text.contains("1234") {
            Decision::block("private")
        } else {
            Decision::Allow
        }
    }));
    let mut updates = house
        .kit
        .subscribe(ROOM, SubscribeOptions::new())
        .await
        .unwrap();
    let call = house.call().await;
    let say = |text: &str, is_final, item| {
        call.ai
            .simulate_transcription(text, Role::User, is_final, item);
    };
    for item in [None, Some("u1")] {
        say("my pin ", false, item);
        say("my pin is 1234", true, item);
    }
    say("only 1234", true, Some("u2"));
    say("never heard", false, Some("u3"));
    call.ai.simulate(ProviderEvent::TranscriptFailed {
        item_id: Some("u3".into()),
        message: "inaudible".into(),
    });
    say("a cough", false, Some("u4"));
    say("", true, Some("u4"));
    say("hello", true, Some("u5"));
    call.wait_for_final("hello").await;
    let words: Vec<_> = call
        .words()
        .into_iter()
        .map(|(_, text, is_final)| (text, is_final))
        .collect();
    let words: Vec<_> = words.iter().map(|(text, end)| (&**text, *end)).collect();
    let taken_back = ("", true);
    assert_eq!(
        words,
        [
            ("my pin ", false),
            taken_back,
            ("my pin ", false),
            taken_back,
            ("never heard", false),
            taken_back,
            ("a cough", false),
            taken_back,
            ("hello", true),
        ]
    );
    assert_eq!(house.texts().await, ["hello"]);
    let mut withdrawn = Vec::new();
    while let Some(update) = updates.try_recv() {
        if let RoomUpdate::Ephemeral(event) = update
            && event.data.get("withdrawn").is_some()
        {
            withdrawn.push(event.data.get("item_id").cloned());
        }
    }
    let items = [None, Some("u1"), Some("u3"), Some("u4")];
    assert_eq!(withdrawn, items.map(|item| item.map(Into::into)));
}

#[tokio::test(start_paused = true)]
async fn t5_a_hook_can_replace_the_words_for_everybody() {
    let house = House::new().await;
    house
        .kit
        .add_hook(Hook::transcription(|mut event| async move {
            event.text = event.text.replace("1234", "****");
            Decision::Replace(event)
        }));
    let call = house.call().await;
    call.ai
        .simulate_transcription("my pin is 1234", Role::User, true, None);
    call.wait_for_final("my pin is ****").await;
    settle().await;
    assert_eq!(house.texts().await, ["my pin is ****"]);
}

/// The phases that observers see while `talk` happens and the session ends.
async fn phases(talk: impl AsyncFnOnce(&Call)) -> Vec<String> {
    let house = House::new().await;
    let notes = Notes::default();
    for start in [true, false] {
        let log = notes.clone();
        let observer = move |event: roomkit_core::event::RealtimeResponseEvent| {
            log.add(match event.phase {
                ResponsePhase::Failed(reason) => format!("failed: {reason}"),
                phase => format!("{phase:?}").to_lowercase(),
            });
            async {}
        };
        if start {
            house.voice.on_response_start(observer);
        } else {
            house.voice.on_response_end(observer);
        }
    }
    let call = house.call().await;
    talk(&call).await;
    settle().await;
    house.voice.end_session(&call.session).await;
    notes.all()
}

#[tokio::test(start_paused = true)]
async fn t6_every_response_that_starts_ends_once() {
    let completed = phases(async |call| say(call, answer("1", "hello", ms(100)))).await;
    assert_eq!(completed, ["started", "completed"]);

    let interrupted = phases(async |call| {
        call.ai.simulate_response_start(Some("1"));
        call.ai.simulate_audio(pcm(ms(2000)));
        tokio::time::sleep(ms(300)).await;
        call.ai.simulate_speech_start(None);
        call.ai
            .simulate_response_end_with(Some("1"), ResponseStatus::Cancelled);
        call.ai
            .simulate_response_end_with(Some("1"), ResponseStatus::Cancelled);
    })
    .await;
    assert_eq!(interrupted, ["started", "interrupted"]);

    let cut = phases(async |call| {
        call.ai.simulate_response_start(None);
        let status = ResponseStatus::Incomplete("max_output_tokens".into());
        call.ai.simulate_response_end_with(None, status);
    })
    .await;
    assert_eq!(cut, ["started", "failed: max_output_tokens"]);

    let failed = phases(async |call| {
        call.ai.simulate_response_start(None);
        let error = ProviderError::new(ProviderErrorKind::Server, "").with_code("oops");
        call.ai
            .simulate_response_end_with(None, ResponseStatus::Failed(error));
    })
    .await;
    assert_eq!(failed, ["started", "failed: oops"]);

    let unfinished = phases(async |call| call.ai.simulate_response_start(None)).await;
    assert_eq!(unfinished, ["started", "interrupted"]);

    let forgotten = phases(async |call| {
        call.ai.simulate_response_start(Some("1"));
        call.ai.simulate_response_start(Some("2"));
        call.ai.simulate_response_end(Some("1"));
        call.ai.simulate_response_end(Some("2"));
        call.ai.simulate_response_end(Some("2"));
    })
    .await;
    assert_eq!(forgotten, ["started", "completed", "started", "completed"]);
}

#[tokio::test(start_paused = true)]
async fn t6_a_response_whose_connection_is_gone_for_good_is_lost() {
    let lost = phases(async |call| {
        call.ai.simulate_response_start(None);
        call.ai
            .simulate_error(ProviderErrorKind::Quota, "quota", "no money");
        call.client.wait_for_close().await;
    })
    .await;
    assert_eq!(lost, ["started", "lost"]);
}

#[tokio::test(start_paused = true)]
async fn t6_every_speech_that_starts_ends_once() {
    let house = House::new().await;
    let notes = Notes::default();
    let (starts, ends) = (notes.clone(), notes.clone());
    house.kit.add_hook(Hook::speech_start(move |_| {
        starts.add("start");
        async {}
    }));
    house.kit.add_hook(Hook::speech_end(move |_| {
        ends.add("end");
        async {}
    }));
    let call = house.call().await;
    call.ai.simulate_speech_end(None);
    call.ai.simulate_speech_start(None);
    call.ai.simulate_speech_start(None);
    call.ai.simulate_speech_end(None);
    call.ai.simulate_speech_end(None);
    call.ai.simulate_speech_start(None);
    settle().await;
    house.voice.end_session(&call.session).await;
    assert_eq!(notes.all(), ["start", "end", "start", "end"]);
    let said = call.client.messages().into_iter().filter_map(|m| match m {
        ServerMessage::Speaking {
            speaking,
            who: Role::User,
        } => Some(speaking),
        _ => None,
    });
    assert_eq!(said.collect::<Vec<_>>(), [true, false, true, false]);
}
