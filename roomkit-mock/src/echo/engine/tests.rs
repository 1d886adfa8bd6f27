//! Conversations on virtual time.

use roomkit_core::tool::ToolDefinition;
use serde_json::{Map, json};

use super::*;

struct Talk {
    engine: Engine,
    now: Duration,
}

impl Talk {
    fn new() -> Self {
        Self::with(EchoConfig::default())
    }

    fn with(config: EchoConfig) -> Self {
        let tools = ["get_time", "weather"].map(String::from).into();
        Self {
            engine: Engine::new(config, tools, true),
            now: Duration::ZERO,
        }
    }

    fn tell(&mut self, command: ProviderCommand) -> &mut Self {
        self.engine.handle(self.now, command);
        self
    }

    fn text(&mut self, role: Role, text: &str) -> &mut Self {
        let (text, respond) = (text.to_owned(), false);
        self.tell(ProviderCommand::Text {
            role,
            text,
            respond,
        })
    }

    fn speak(&mut self, ms: u32, amplitude: i16) -> &mut Self {
        let samples = self.engine.config.bytes(ms) / 2;
        let samples = (0..samples).map(|n| if n % 20 < 10 { amplitude } else { -amplitude });
        let pcm: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
        for frame in pcm.chunks(960) {
            self.tell(ProviderCommand::Audio(Bytes::copy_from_slice(frame)));
        }
        self
    }

    /// What comes at this moment.
    fn now(&mut self) -> Vec<ProviderEvent> {
        std::iter::from_fn(|| self.engine.poll(self.now)).collect()
    }

    /// What comes until nothing more does, and how long that took.
    fn all(&mut self) -> (Vec<ProviderEvent>, Duration) {
        let (mut events, began) = (self.now(), self.now);
        while let Some(wake) = self.engine.next_wake() {
            assert!(wake >= self.now);
            self.now = wake;
            events.extend(self.now());
        }
        (events, self.now.saturating_sub(began))
    }

    /// The words of the answer to what was told.
    fn answer(&mut self) -> String {
        let (events, _) = self.tell(ProviderCommand::Respond).all();
        final_words(&events, Role::Assistant)
    }
}

fn final_words(events: &[ProviderEvent], wanted: Role) -> String {
    let mut finals = events.iter().filter_map(|event| match event {
        ProviderEvent::Transcript {
            role,
            text,
            is_final: true,
            ..
        } if *role == wanted => Some(text.clone()),
        _ => None,
    });
    let words = finals
        .next()
        .unwrap_or_else(|| panic!("no final in {events:?}"));
    assert_eq!(finals.next(), None);
    words
}

fn audio(events: &[ProviderEvent]) -> Duration {
    let audio = events.iter().map(|event| match event {
        ProviderEvent::Audio { pcm, .. } => pcm.len(),
        _ => 0,
    });
    roomkit_core::audio::duration_of(audio.sum(), 24_000)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn kinds(events: &[ProviderEvent]) -> Vec<&'static str> {
    let mut kinds: Vec<_> = events
        .iter()
        .map(|event| match event {
            ProviderEvent::SpeechStarted { .. } => "speech started",
            ProviderEvent::SpeechStopped { .. } => "speech stopped",
            ProviderEvent::ResponseStarted { .. } => "response started",
            ProviderEvent::ResponseEnded {
                status: ResponseStatus::Completed,
                ..
            } => "completed",
            ProviderEvent::ResponseEnded {
                status: ResponseStatus::Cancelled,
                ..
            } => "cancelled",
            ProviderEvent::ResponseRefused => "refused",
            ProviderEvent::Audio { .. } => "audio",
            ProviderEvent::Transcript {
                is_final: false, ..
            } => "partial",
            ProviderEvent::Transcript {
                role: Role::User, ..
            } => "question",
            ProviderEvent::Transcript { .. } => "answer",
            ProviderEvent::ToolCall { .. } => "tool call",
            ProviderEvent::Updated => "updated",
            ProviderEvent::UpdateRefused(_) => "update refused",
            ProviderEvent::Error(_) => "error",
            ProviderEvent::Closed(_) => "closed",
            _ => "other",
        })
        .collect();
    kinds.dedup();
    kinds
}

#[test]
fn speech_is_played_back_with_words_and_audio_interleaved() {
    let mut talk = Talk::new();
    talk.speak(1000, 0).speak(2100, 4000).speak(600, 0);
    let (events, took) = talk.all();
    assert_eq!(final_words(&events, Role::User), "(you spoke for 2.1 s)");
    assert_eq!(final_words(&events, Role::Assistant), "(echo of 2.1 s)");
    assert_eq!(
        kinds(&events)[..7],
        [
            "speech started",
            "speech stopped",
            "question",
            "response started",
            "partial",
            "audio",
            "partial"
        ]
    );
    assert_eq!(
        kinds(&events)[kinds(&events).len() - 3..],
        ["audio", "answer", "completed"]
    );
    assert_eq!(audio(&events), ms(300 + 2100 + 100));
    assert_eq!(took, ms(2500) / 8, "eight times faster than real time");
    let Some(ProviderEvent::ResponseEnded {
        usage: Some(usage), ..
    }) = events.last()
    else {
        panic!("{:?}", events.last());
    };
    assert_eq!(
        (usage.input_audio_tokens, usage.output_audio_tokens),
        (21, 50)
    );
}

#[test]
fn speech_during_an_answer_interrupts_it() {
    let mut talk = Talk::with(EchoConfig {
        speed: 1.0,
        ..EchoConfig::default()
    });
    talk.speak(1000, 4000).speak(600, 0).now();
    talk.now += ms(450);
    assert_eq!(audio(&talk.now()), ms(400), "the rest of half a second");
    talk.speak(100, 4000);
    let (events, took) = talk.all();
    assert_eq!(kinds(&events), ["speech started", "cancelled"]);
    assert_eq!(took, Duration::ZERO);
}

#[test]
fn a3_where_interruptions_are_off_an_answer_goes_on_and_the_next_has_what_was_said_into_it() {
    let mut talk = Talk::with(EchoConfig {
        speed: 1.0,
        ..EchoConfig::default()
    });
    talk.engine.interruptions = false;
    talk.speak(1000, 4000).speak(600, 0).now();
    talk.now += ms(450);
    assert_eq!(audio(&talk.now()), ms(400), "the rest of half a second");
    talk.speak(300, 4000).speak(600, 0);
    let (events, _) = talk.all();
    let mut kinds = kinds(&events);
    kinds.retain(|kind| !matches!(*kind, "audio" | "partial"));
    let all = [
        "speech started",
        "speech stopped",
        "question",
        "answer",
        "completed",
    ];
    assert_eq!(kinds, all);
    let words = talk.text(Role::User, "hello").answer();
    assert_eq!(words, "(echo of 0.3 s) You said: hello");
}

#[test]
fn text_is_answered_when_asked_and_mentioned_otherwise() {
    let mut talk = Talk::new();
    talk.text(Role::System, "she is a member")
        .text(Role::User, "hello");
    assert_eq!(talk.now(), []);
    let (events, _) = talk.tell(ProviderCommand::Respond).all();
    let words = final_words(&events, Role::Assistant);
    assert_eq!(words, "Noted: she is a member You said: hello");
    assert!(audio(&events) > ms(1500) && audio(&events) < ms(3000));
    assert_eq!(talk.answer(), "(there is nothing to answer)");

    talk.text(Role::System, "quiet note")
        .speak(500, 4000)
        .speak(600, 0);
    let (events, _) = talk.all();
    let words = final_words(&events, Role::Assistant);
    assert_eq!(words, "Noted: quiet note (echo of 0.5 s)");
}

#[test]
fn one_response_at_a_time() {
    let mut talk = Talk::new();
    talk.text(Role::User, "hello")
        .tell(ProviderCommand::Respond)
        .now();
    talk.text(Role::User, "and more")
        .tell(ProviderCommand::Respond);
    assert_eq!(kinds(&talk.now()), ["refused"]);
    talk.tell(ProviderCommand::CancelResponse);
    assert_eq!(kinds(&talk.all().0), ["cancelled"]);
    assert_eq!(talk.answer(), "You said: and more");
}

#[test]
fn tools_are_called_by_keyword_and_their_results_said() {
    let mut talk = Talk::new();
    talk.text(Role::User, r#"use weather {"city": "Oslo"}"#);
    let (events, _) = talk.tell(ProviderCommand::Respond).all();
    assert_eq!(
        kinds(&events),
        ["response started", "tool call", "completed"]
    );
    let ProviderEvent::ToolCall {
        call_id,
        name,
        arguments,
    } = &events[1]
    else {
        panic!("{events:?}");
    };
    assert_eq!(
        (name.as_str(), arguments.as_str()),
        ("weather", r#"{"city": "Oslo"}"#)
    );
    talk.tell(ProviderCommand::ToolResult {
        call_id: call_id.clone(),
        name: name.clone(),
        output: "rain".into(),
        is_error: false,
    });
    assert_eq!(talk.answer(), "weather answered: rain");

    let (events, _) = talk
        .text(Role::User, "What time is it?")
        .tell(ProviderCommand::Respond)
        .all();
    assert!(matches!(&events[1], ProviderEvent::ToolCall { name, .. } if name == "get_time"));
    assert_eq!(
        talk.text(Role::User, "use magic {}").answer(),
        "You said: use magic {}",
        "not declared"
    );
}

#[test]
fn images_are_seen() {
    let mut talk = Talk::new();
    talk.tell(ProviderCommand::Image {
        mime_type: "image/png".into(),
        data: vec![0; 1234].into(),
        prompt: Some("what is it?".into()),
        respond: false,
    });
    assert_eq!(
        talk.answer(),
        "(an image of 1234 bytes) You asked: what is it?"
    );
}

#[test]
fn what_was_truncated_is_forgotten() {
    let mut talk = Talk::new();
    talk.text(Role::User, "one two three four");
    let (events, _) = talk.tell(ProviderCommand::Respond).all();
    let Some(ProviderEvent::Audio {
        item_id: Some(item_id),
        ..
    }) = events
        .iter()
        .find(|event| matches!(event, ProviderEvent::Audio { .. }))
    else {
        panic!("{events:?}");
    };
    let truncate = |heard| ProviderCommand::Truncate {
        item_id: item_id.clone(),
        content_index: 0,
        heard,
    };
    talk.tell(truncate(audio(&events) * 2));
    assert_eq!(kinds(&talk.now()), ["error"], "longer than it was");
    talk.tell(truncate(audio(&events) / 2));
    assert_eq!(talk.now(), []);
    assert_eq!(
        talk.text(Role::User, "what did you say?").answer(),
        "I said: You said: one"
    );
}

#[test]
fn manual_turns_wait_for_the_request() {
    let mut talk = Talk::new();
    talk.tell(ProviderCommand::ActivityStart).speak(700, 4000);
    assert_eq!(talk.now(), []);
    talk.tell(ProviderCommand::ActivityEnd);
    assert_eq!(kinds(&talk.now()), ["question"]);
    assert_eq!(talk.answer(), "(echo of 0.7 s)");
}

#[test]
fn s5_updates_change_tools_and_settings_and_bad_ones_nothing() {
    let mut talk = Talk::new();
    let update = |field: &str, value: serde_json::Value| {
        ProviderCommand::Update(SessionUpdate {
            tools: Some([ToolDefinition::new("dance", "", json!({}))].into()),
            provider_config: Some(Map::from_iter([(field.to_owned(), value)])),
            ..SessionUpdate::default()
        })
    };
    talk.tell(update("silence_ms", json!(9)))
        .tell(update("sample_rate", json!(8000)));
    assert_eq!(kinds(&talk.now()), ["update refused"]);
    assert!(talk.engine.tools.contains("weather"));
    talk.tell(update("silence_ms", json!(100)));
    assert_eq!(kinds(&talk.now()), ["updated"]);
    assert_eq!(talk.engine.tools, BTreeSet::from(["dance".to_owned()]));
    talk.speak(500, 4000).speak(120, 0);
    assert!(kinds(&talk.now()).contains(&"speech stopped"));
}

#[test]
fn the_goodbye_is_the_last_word() {
    let mut talk = Talk::new();
    talk.text(Role::User, "hello")
        .tell(ProviderCommand::Respond)
        .now();
    talk.engine.close();
    talk.engine.close();
    talk.tell(ProviderCommand::Respond);
    assert_eq!(talk.all().0, [ProviderEvent::Closed(None)]);
    assert!(talk.engine.is_over());
}

#[test]
fn x5_an_echo_that_nobody_reads_stays_small() {
    let mut talk = Talk::new();
    for _ in 0..3000 {
        talk.tell(ProviderCommand::Raw(json!({})));
    }
    assert_eq!(talk.now().len(), UNREAD);
    talk.tell(ProviderCommand::Audio(vec![255; 3].into()));
    talk.tell(ProviderCommand::Audio(Bytes::new()));
    talk.text(Role::User, "")
        .text(Role::User, "us")
        .text(Role::User, "äöüß")
        .answer();
}
