//! Tool calls whose connection is gone (contracts K1, K2).

use std::time::Duration;

use roomkit::{
    mock::{
        Gate,
        fake_gemini::{Fault, FaultAction, FaultPoint},
        fake_openai::Reply,
        fault_proxy::Cut,
    },
    provider::Role,
    tool::{Tool, ToolDefinition, ToolRules},
};
use serde_json::{Value, json};

use crate::support::{House, Log, Peer, Setup, Vendor, ms, with_both};

/// A tool that books a table, once it is allowed to.
pub(crate) struct Booking {
    pub(crate) calls: Log<String>,
    pub(crate) allowed: Gate,
}

impl Booking {
    pub(crate) fn new() -> Self {
        Self {
            calls: Log::new(),
            allowed: Gate::closed(),
        }
    }

    pub(crate) fn tool(&self) -> Tool {
        let parameters = json!({"type": "object", "required": ["city"],
            "properties": {"city": {"type": "string"}}});
        let definition = ToolDefinition::new("book", "Books a table.", parameters);
        let (calls, allowed) = (self.calls.clone(), self.allowed.clone());
        Tool::new(definition, move |_, _, arguments| {
            calls.add(Value::Object(arguments).to_string());
            let allowed = allowed.clone();
            async move {
                allowed.wait().await;
                Ok("table 4".into())
            }
        })
    }

    pub(crate) async fn open(&self, setup: Setup) -> House {
        let tool = self.tool();
        setup
            .channel(move |channel| channel.tool(tool))
            .open()
            .await
    }

    /// The handler ran once.
    pub(crate) fn ran_once(&self) {
        assert_eq!(self.calls.all(), [r#"{"city":"Oslo"}"#]);
    }

    pub(crate) async fn runs(&self) {
        self.calls.wait_for_count("the tool's run", 1).await;
    }
}

pub(crate) fn oslo() -> Value {
    json!({"city": "Oslo"})
}

/// Whether this brings the result, in whatever form.
pub(crate) fn has_result(event: &Value) -> bool {
    event.to_string().contains("table 4")
}

/// How often this connection was given the result, but for the recap in Gemini's instructions.
pub(crate) fn results(peer: &Peer) -> usize {
    let events = peer.events();
    events
        .iter()
        .filter(|event| event.json.get("setup").is_none() && has_result(&event.json))
        .count()
}

/// The result came in the form that a vendor takes whose connection did not make the call.
fn is_in_due_form(vendor: Vendor, event: &Value) -> bool {
    match vendor {
        Vendor::OpenAi => event["item"]["type"] == "function_call_output",
        Vendor::Gemini => event.get("toolResponse").is_none(),
    }
}

#[tokio::test]
async fn k2_a_result_finds_the_next_connection() {
    with_both(|vendor| async move {
        let booking = Booking::new();
        let house = booking.open(Setup::new(vendor)).await;
        let call = house.call().await;
        call.turn(&house, "Hello.").await;
        house.fake.will_call("book", &oslo());
        call.voice.say(ms(400)).await;
        booking.runs().await;
        house.proxy.cut(Cut::Reset);
        call.is_reconnected().await;
        house.fake.will_say("It is booked.", 200);
        booking.allowed.open();
        call.hears("It is booked.").await;
        let next = house.fake.peer(1).await;
        let event = next.wait_for_event(has_result).await.unwrap();
        assert!(is_in_due_form(vendor, &event.json), "{:?}", event.json);
        assert_eq!((results(&house.fake.peer(0).await), results(&next)), (0, 1));
        call.turn(&house, "Anything else?").await;
        let said = ["Hello.", "It is booked.", "Anything else?"];
        assert_eq!(call.finals(Role::Assistant), said);
        booking.ran_once();
        call.asked(3);
        assert_eq!(results(&next), 1);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn k2_a_result_that_comes_between_two_connections_is_given_once() {
    with_both(|vendor| async move {
        let booking = Booking::new();
        let house = booking.open(Setup::new(vendor)).await;
        let call = house.call().await;
        house.fake.will_call("book", &oslo());
        house.fake.will_say("It is booked.", 200);
        call.voice.say(ms(400)).await;
        booking.runs().await;
        house.proxy.delay_connect(ms(300));
        house.proxy.cut(Cut::Finish);
        house.proxy.wait_for_connection(1).await;
        booking.allowed.open();
        call.hears("It is booked.").await;
        call.turn(&house, "Anything else?").await;
        let said = ["It is booked.", "Anything else?"];
        assert_eq!(call.finals(Role::Assistant), said);
        assert_eq!(results(&house.fake.peer(1).await), 1);
        booking.ran_once();
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn k2_a_result_that_is_lost_with_its_connection_is_told_to_the_next_one() {
    with_both(|vendor| async move {
        let booking = Booking::new();
        let taken = FaultPoint::AfterReceiving("toolResponse".into());
        let setup = Setup::new(vendor)
            .gemini(|fake| fake.fault(Fault::new(taken, FaultAction::Drop)))
            .openai(|fake| {
                let call = Reply::tool_call("book", oslo().to_string());
                // The answer to the result begins, and that is all.
                fake.reply(call)
                    .reply(Reply::speech("", 500).stalling_after_ms(0))
            });
        let house = booking.open(setup).await;
        let call = house.call().await;
        if vendor == Vendor::Gemini {
            house.fake.will_call("book", &oslo());
        }
        house.fake.will_say("It is booked.", 200);
        booking.allowed.open();
        call.voice.say(ms(400)).await;
        let first = house.fake.peer(0).await;
        if vendor == Vendor::OpenAi {
            first.wait_for_sent("response.created", 2).await.unwrap();
            first.drop_connection();
        }
        call.hears("It is booked.").await;
        call.turn(&house, "Anything else?").await;
        let said = ["It is booked.", "Anything else?"];
        assert_eq!(call.finals(Role::Assistant), said);
        let next = house.fake.peer(1).await;
        assert_eq!((results(&first), results(&next)), (1, 1));
        booking.ran_once();
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

/// The conversation goes on while it runs, and its result is spoken of when it is there.
#[tokio::test]
async fn k7_a_tool_during_which_the_model_may_speak_is_not_waited_for() {
    with_both(|vendor| async move {
        let booking = Booking::new();
        let rules = ToolRules::new().speak_while_running(true);
        let tool = booking.tool().rules(rules);
        let setup = Setup::new(vendor).channel(move |channel| channel.tool(tool));
        let house = setup.open().await;
        let call = house.call().await;
        house.fake.will_call("book", &oslo());
        call.voice.say(ms(400)).await;
        booking.runs().await;
        call.turn(&house, "It is noon.").await;
        house.fake.will_say("It is booked.", 200);
        booking.allowed.open();
        call.hears("It is booked.").await;
        assert_eq!(results(&house.fake.peer(0).await), 1);
        call.turn(&house, "Anything else?").await;
        let said = ["It is noon.", "It is booked.", "Anything else?"];
        assert_eq!(call.finals(Role::Assistant), said);
        booking.ran_once();
        call.end(house).await;
    })
    .await;
}

/// A tool that takes longer than its connection lives.
#[tokio::test]
async fn k2_a_tool_outlives_a_planned_hand_over() {
    with_both(|vendor| async move {
        let booking = Booking::new();
        let age = Duration::from_secs(3);
        let setup = Setup::new(vendor).channel(move |channel| channel.max_connection_age(age));
        let house = booking.open(setup).await;
        let call = house.call().await;
        house.fake.will_call("book", &oslo());
        call.voice.say(ms(400)).await;
        booking.runs().await;
        house.wait_for_hand_overs(1).await;
        house.fake.will_say("It is booked.", 200);
        booking.allowed.open();
        call.hears("It is booked.").await;
        let peers = [house.fake.peer(0).await, house.fake.peer(1).await];
        let event = peers[1].wait_for_event(has_result).await.unwrap();
        assert!(is_in_due_form(vendor, &event.json), "{:?}", event.json);
        assert_eq!((results(&peers[0]), results(&peers[1])), (0, 1));
        call.all_heard(&house).await;
        booking.ran_once();
        call.asked(1);
        assert_eq!(call.notices(), Vec::<String>::new());
        call.end(house).await;
    })
    .await;
}
