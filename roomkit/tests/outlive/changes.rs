//! Live sessions become others: a voice, another agent, and what a vendor refuses (contracts S5,
//! K7, H3).

use roomkit::{
    error::UpdateError,
    mock::fake_openai::{FakeOpenAiBuilder, Reply},
    provider::{Role, SessionUpdate},
    voice::{Agent, Updated},
};
use serde_json::{Value, json};

use crate::support::{House, Peer, Setup, Vendor, ms, with_both};

const NEWEST: &str = "gemini-3.8-live";

fn voice(name: &str) -> SessionUpdate {
    SessionUpdate {
        voice: Some(name.into()),
        ..SessionUpdate::default()
    }
}

/// A voice that the vendor has.
fn other_voice(vendor: Vendor) -> &'static str {
    match vendor {
        Vendor::OpenAi => "cedar",
        Vendor::Gemini => "Puck",
    }
}

fn voice_of(vendor: Vendor, peer: &Peer) -> Value {
    let session = peer.session();
    match vendor {
        Vendor::OpenAi => session["audio"]["output"]["voice"].clone(),
        Vendor::Gemini => {
            let speech = &session["generationConfig"]["speechConfig"];
            speech["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"].clone()
        }
    }
}

fn prompt_of(vendor: Vendor, peer: &Peer) -> Value {
    let session = peer.session();
    match vendor {
        Vendor::OpenAi => session["instructions"].clone(),
        Vendor::Gemini => session["systemInstruction"]["parts"][0]["text"].clone(),
    }
}

fn agents(vendor: Vendor) -> Setup {
    let triage = Agent::new("triage", "Find out what they need.").hands_off_to(["billing"]);
    let billing = Agent::new("billing", "Talk about invoices.").voice(other_voice(vendor));
    Setup::new(vendor)
        .channel(move |channel| channel.agents([triage, billing]).first_agent("triage"))
}

#[tokio::test]
async fn s5_h1_a_voice_that_was_heard_is_changed_by_a_hand_over() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        let update = voice(other_voice(vendor));
        let updated = call.update(&house, update).await;
        assert_eq!(updated, Ok(Updated::OnHandOver));
        house.wait_for_hand_overs(1).await;
        assert_eq!(house.hand_overs.all(), [("changed", vendor.outcome(), 1)]);
        call.turn(&house, "Still noon.").await;
        let peer = house.fake.peer(1).await;
        assert_eq!(voice_of(vendor, &peer), other_voice(vendor));
        assert_eq!(call.notices(), Vec::<String>::new());
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn s5_h3_a_change_that_the_vendor_refuses_costs_the_change_and_not_the_call() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        let update = voice("nobody");
        let updated = call.update(&house, update).await;
        assert_eq!(updated, Ok(Updated::OnHandOver));
        house.wait_for_hand_overs(1).await;
        assert_eq!(house.errors.all()[0], "update_refused");
        call.turn(&house, "Still noon.").await;
        // And a later connection is not asked for it again.
        house.voice.hand_over(&call.session).unwrap();
        house.wait_for_hand_overs(2).await;
        let errors = house.errors.all();
        let refused = errors.iter().filter(|code| *code == "update_refused");
        assert_eq!(refused.count(), 1);
        let outcome = house.hand_overs.all()[1].1;
        assert_eq!(outcome, vendor.outcome());
        call.asked(2);
        call.end_refused(house).await;
    })
    .await;
}

#[tokio::test]
async fn s5_an_update_that_openai_refuses_later_is_told_and_the_call_goes_on() {
    let named = Setup::new(Vendor::OpenAi);
    // The vendor need not say what it refuses.
    let anonymous = Setup::new(Vendor::OpenAi).openai(FakeOpenAiBuilder::anonymous_errors);
    for setup in [named, anonymous] {
        refused_later(setup.open().await).await;
    }
}

async fn refused_later(house: House) {
    let call = house.call().await;
    // Before the AI has spoken its voice can still be changed, but not to this one.
    let update = voice("nobody");
    let updated = call.update(&house, update).await;
    assert_eq!(updated, Ok(Updated::Live));
    house.errors.wait_for_count("the refusal", 1).await;
    assert_eq!(house.errors.all(), ["update_refused"]);
    call.turn(&house, "It is noon.").await;
    let prompt = SessionUpdate {
        system_prompt: Some("Be kind.".into()),
        ..SessionUpdate::default()
    };
    let updated = call.update(&house, prompt).await;
    assert_eq!(updated, Ok(Updated::Live));
    house.voice.hand_over(&call.session).unwrap();
    house.wait_for_hand_overs(1).await;
    let peer = house.fake.peer(1).await;
    assert_eq!(prompt_of(Vendor::OpenAi, &peer), "Be kind.");
    assert_ne!(voice_of(Vendor::OpenAi, &peer), "nobody");
    assert_eq!(call.notices(), Vec::<String>::new());
    call.end_refused(house).await;
}

#[tokio::test]
async fn s5_what_cannot_be_is_refused_before_anything_is_sent() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        let bad = json!({"silence_duration_ms": "long"});
        let update = SessionUpdate {
            provider_config: bad.as_object().cloned(),
            ..SessionUpdate::default()
        };
        let refused = call.update(&house, update).await;
        let Err(UpdateError::Invalid(error)) = refused else {
            panic!("{refused:?}");
        };
        assert!(error.to_string().contains("provider_config"), "{error}");
        if vendor == Vendor::OpenAi {
            let update = SessionUpdate {
                temperature: Some(0.8),
                ..SessionUpdate::default()
            };
            let refused = call.update(&house, update).await;
            let field = "temperature";
            assert_eq!(refused, Err(UpdateError::Unsupported { field }));
        }
        call.turn(&house, "It is noon.").await;
        assert_eq!(house.errors.all(), Vec::<String>::new());
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn s5_turn_detection_of_a_live_session_is_changed() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        let slower = json!({"silence_duration_ms": 400});
        let update = SessionUpdate {
            provider_config: slower.as_object().cloned(),
            ..SessionUpdate::default()
        };
        let updated = call.update(&house, update).await;
        let (expected, index) = match vendor {
            Vendor::OpenAi => (Updated::Live, 0),
            Vendor::Gemini => (Updated::OnHandOver, 1),
        };
        assert_eq!(updated, Ok(expected));
        call.turn(&house, "Still noon.").await;
        let session = house.fake.peer(index).await.session();
        let detection = match vendor {
            Vendor::OpenAi => &session["audio"]["input"]["turn_detection"]["silence_duration_ms"],
            Vendor::Gemini => {
                let input = &session["realtimeInputConfig"];
                &input["automaticActivityDetection"]["silenceDurationMs"]
            }
        };
        assert_eq!(*detection, 400);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn k7_the_model_hands_the_caller_to_another_agent_who_answers() {
    with_both(|vendor| async move {
        let house = agents(vendor).open().await;
        let call = house.call().await;
        call.turn(&house, "What do you need?").await;
        house
            .fake
            .will_call("hand_off", &json!({"agent": "billing"}));
        house.fake.will_say("This is billing.", 200);
        call.voice.say(ms(400)).await;
        call.hears("This is billing.").await;
        assert_eq!(call.session.agent().as_deref(), Some("billing"));
        // Its voice was heard, so both take another connection for another one.
        let peer = house.fake.peer(1).await;
        assert_eq!(prompt_of(vendor, &peer), "Talk about invoices.");
        assert_eq!(voice_of(vendor, &peer), other_voice(vendor));
        call.turn(&house, "You owe nothing.").await;
        let said = ["What do you need?", "This is billing.", "You owe nothing."];
        assert_eq!(call.finals(Role::Assistant), said);
        call.asked(3);
        assert_eq!(call.notices(), Vec::<String>::new());
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn k7_where_the_vendor_allows_it_the_agent_changes_on_the_same_connection() {
    with_both(|vendor| async move {
        let triage = Agent::new("triage", "Find out what they need.").hands_off_to(["billing"]);
        let billing = Agent::new("billing", "Talk about invoices.");
        let mut setup = Setup::new(vendor)
            .channel(move |channel| channel.agents([triage, billing]).first_agent("triage"));
        if vendor == Vendor::Gemini {
            setup = setup.provider("model", NEWEST);
        }
        let house = setup.open().await;
        let call = house.call().await;
        call.turn(&house, "What do you need?").await;
        house
            .fake
            .will_call("hand_off", &json!({"agent": "billing"}));
        house.fake.will_say("This is billing.", 200);
        call.voice.say(ms(400)).await;
        call.hears("This is billing.").await;
        let peer = house.fake.peer(0).await;
        assert_eq!(prompt_of(vendor, &peer), "Talk about invoices.");
        assert_eq!(house.fake.peers().len(), 1);
        let said = ["What do you need?", "This is billing."];
        assert_eq!(call.finals(Role::Assistant), said);
        call.end(house).await;
    })
    .await;
}

/// OpenAI changes the speed only between turns, and a call is answered before the turn ends that makes it.
#[tokio::test]
async fn s5_k7_an_agent_that_speaks_faster_takes_over_while_the_model_still_speaks() {
    // The second speed may be that of the channel, and is another all the same.
    for (first, second) in [(1.0, 1.2), (1.2, 1.0)] {
        faster_agent(first, second).await;
    }
}

async fn faster_agent(first: f64, second: f64) {
    let triage = Agent::new("triage", "Find out what they need.")
        .provider_config("speed", first)
        .hands_off_to(["billing"]);
    let billing = Agent::new("billing", "Talk about invoices.").provider_config("speed", second);
    let calls =
        Reply::tool_call("hand_off", r#"{"agent":"billing"}"#).then_speech("One moment.", 400);
    let house = Setup::new(Vendor::OpenAi)
        .openai(|fake| {
            fake.reply(Reply::speech("What do you need?", 200))
                .reply(calls)
        })
        .provider("session", json!({"speed": 1.0}))
        .channel(move |channel| channel.agents([triage, billing]).first_agent("triage"))
        .open()
        .await;
    let call = house.call().await;
    call.voice.say(ms(400)).await;
    call.hears("What do you need?").await;
    house.fake.will_say("This is billing.", 200);
    call.voice.say(ms(400)).await;
    call.hears("This is billing.").await;
    assert_eq!(call.session.agent().as_deref(), Some("billing"));
    let peer = house.fake.peer(1).await;
    assert_eq!(prompt_of(Vendor::OpenAi, &peer), "Talk about invoices.");
    assert_eq!(peer.session()["audio"]["output"]["speed"], second);
    assert_eq!(house.errors.all(), Vec::<String>::new());
    call.end(house).await;
}

#[tokio::test]
async fn k2_h3_an_agent_that_the_vendor_refuses_leaves_the_caller_with_the_one_before() {
    with_both(|vendor| async move {
        let triage = Agent::new("triage", "Find out what they need.").hands_off_to(["billing"]);
        let billing = Agent::new("billing", "Talk about invoices.").voice("nobody");
        let house = Setup::new(vendor)
            .channel(move |channel| channel.agents([triage, billing]).first_agent("triage"))
            .open()
            .await;
        let call = house.call().await;
        call.turn(&house, "What do you need?").await;
        house
            .fake
            .will_call("hand_off", &json!({"agent": "billing"}));
        house.fake.will_say("I will help you myself.", 200);
        call.voice.say(ms(400)).await;
        call.hears("I will help you myself.").await;
        assert_eq!(call.session.agent().as_deref(), Some("triage"));
        assert!(house.errors.all().contains(&"update_refused".to_owned()));
        call.turn(&house, "What is it?").await;
        let said = [
            "What do you need?",
            "I will help you myself.",
            "What is it?",
        ];
        assert_eq!(call.finals(Role::Assistant), said);
        call.end_refused(house).await;
    })
    .await;
}

#[tokio::test]
async fn s9_the_ai_speaks_first_and_once() {
    with_both(|vendor| async move {
        let house = Setup::new(vendor)
            .channel(|channel| channel.greeting("Welcome to Acme."))
            .open()
            .await;
        house.fake.will_say("Welcome to Acme.", 200);
        let call = house.call().await;
        call.hears("Welcome to Acme.").await;
        house.voice.hand_over(&call.session).unwrap();
        house.wait_for_hand_overs(1).await;
        call.turn(&house, "It is noon.").await;
        let said = ["Welcome to Acme.", "It is noon."];
        assert_eq!(call.finals(Role::Assistant), said);
        call.end(house).await;
    })
    .await;
}
