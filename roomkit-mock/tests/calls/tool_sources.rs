//! Sources of tools whose list changes while sessions live (contracts K8, S5).

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use roomkit_core::{
    RealtimeSession, SessionOptions,
    provider::{
        HistorySupport, ProviderCommand, RealtimeVoiceProvider, SessionUpdate, UpdateSupport,
        UpdateWay,
    },
    tool::{
        Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput, ToolSearch,
        ToolSource,
    },
    voice::Agent,
};
use roomkit_mock::{Gate, MockConnection, MockRealtimeProvider, MockRealtimeTransport};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::support::{Call, House, ROOM, settle};

/// Tools that come and go.
pub(crate) struct Shelf {
    names: Mutex<Vec<&'static str>>,
    changed: watch::Sender<()>,
    /// Who asks for the list waits here.
    gate: Gate,
    listed: AtomicUsize,
}

impl Shelf {
    pub(crate) fn new(names: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            names: Mutex::new(names.to_vec()),
            changed: watch::Sender::new(()),
            gate: Gate::opened(),
            listed: AtomicUsize::new(0),
        })
    }

    pub(crate) fn put(&self, names: &[&'static str]) {
        *self.names.lock().unwrap() = names.to_vec();
        self.changed.send_replace(());
    }
}

#[async_trait]
impl ToolSource for Shelf {
    async fn tools(&self) -> Result<Vec<ToolDefinition>, ToolError> {
        self.listed.fetch_add(1, Ordering::Relaxed);
        self.gate.wait().await;
        let object = json!({"type": "object"});
        let names = self.names.lock().unwrap();
        let define = |name: &&str| ToolDefinition::new(*name, "", object.clone());
        Ok(names.iter().map(define).collect())
    }

    fn changes(&self) -> Option<BoxStream<'static, ()>> {
        let changes = stream::unfold(self.changed.subscribe(), |mut changed| async {
            changed.changed().await.ok()?;
            Some(((), changed))
        });
        Some(changes.boxed())
    }
}

#[async_trait]
impl ToolHandler for Shelf {
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        Ok(format!("shelf did {}", invocation.name).into())
    }
}

pub(crate) async fn update(call: &Call) -> Vec<String> {
    let command = call
        .ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Update(_)))
        .await;
    let ProviderCommand::Update(update) = command else {
        unreachable!()
    };
    let tools = update.tools.unwrap_or_default();
    tools.iter().map(|tool| tool.name.clone()).collect()
}

pub(crate) async fn result(call: &Call) -> String {
    let command = call
        .ai
        .wait_for_command(|command| matches!(command, ProviderCommand::ToolResult { .. }))
        .await;
    let ProviderCommand::ToolResult { output, .. } = command else {
        unreachable!()
    };
    output
}

#[tokio::test(start_paused = true)]
async fn k8_a_live_session_gets_the_tools_of_a_source_that_changed() {
    let shelf = Shelf::new(&["a"]);
    let house = House::with(|voice| voice.tool_source(shelf.clone())).await;
    let call = house.call().await;
    shelf.put(&["a", "b"]);
    assert_eq!(update(&call).await, ["a", "b"]);
    call.ai.simulate_tool_call("c1", "b", "{}");
    assert_eq!(result(&call).await, "shelf did b");

    let later = house.call().await;
    shelf.put(&["b"]);
    assert_eq!(update(&later).await, ["b"], "every session of the channel");
}

/// A tool of the host's own.
pub(crate) fn own(name: &str) -> Tool {
    let definition = ToolDefinition::new(name, "", json!({"type": "object"}));
    Tool::new(
        definition,
        |_: RealtimeSession, name: String, _: Map<String, Value>| async move {
            Ok(format!("host did {name}").into())
        },
    )
}

#[tokio::test(start_paused = true)]
async fn k8_an_agent_may_have_some_of_the_tools_of_channel_and_sources() {
    let shelf = Shelf::new(&["billing_pay", "crm_find"]);
    let house = House::with(|voice| {
        let clerk = Agent::new("clerk", "you know the bills");
        let clerk = clerk.channel_tools_named(["billing_*", "hang_up"]);
        let voice = voice.tools([own("hang_up"), own("wait")]);
        voice.agents([clerk]).tool_source(shelf.clone())
    })
    .await;
    let options = SessionOptions::new().agent("clerk");
    let call = house.call_with(options).await;
    let declared = house.provider.connects().pop().unwrap().tools;
    let declared = declared.iter().map(|tool| tool.name.as_str());
    assert_eq!(declared.collect::<Vec<_>>(), ["hang_up", "billing_pay"]);

    shelf.put(&["billing_pay", "crm_find", "crm_forget"]);
    settle().await;
    let updates = |command: &ProviderCommand| matches!(command, ProviderCommand::Update(_));
    assert!(
        !call.ai.commands().iter().any(updates),
        "it has none of them"
    );
    shelf.put(&["billing_pay", "billing_return", "crm_find"]);
    let changed = update(&call).await;
    assert_eq!(changed, ["hang_up", "billing_pay", "billing_return"]);
    call.ai.simulate_tool_call("c1", "billing_return", "{}");
    assert_eq!(result(&call).await, "shelf did billing_return");
}

#[tokio::test(start_paused = true)]
async fn k8_sources_are_asked_once_for_each_start_and_each_change() {
    let shelf = Shelf::new(&["a"]);
    let house = House::with(|voice| voice.tool_source(shelf.clone())).await;
    house.call().await;
    shelf.gate.close();
    let start = || {
        let voice = house.voice.clone();
        tokio::spawn(async move {
            let start = voice.start_session(ROOM, "ann", MockConnection::new());
            start.await.unwrap()
        })
    };
    // While the list changes, and each while the one before has not begun yet.
    let mut starts = vec![start()];
    settle().await;
    shelf.put(&["b"]);
    for _ in 0..3 {
        settle().await;
        starts.push(start());
        settle().await;
        shelf.gate.open();
        shelf.gate.close();
    }
    shelf.gate.open();
    for start in starts {
        let session = start.await.unwrap();
        settle().await;
        let ai = house.provider.session(session.id());
        ai.simulate_tool_call("c1", "b", "{}");
        settle().await;
        assert_eq!(ai.tool_results()[0].output, "shelf did b");
    }
    assert_eq!(shelf.listed.load(Ordering::Relaxed), 5 + 1);
}

#[tokio::test(start_paused = true)]
async fn k8_what_the_model_has_found_stays_declared_when_a_source_changes() {
    let shelf = Shelf::new(&["cancel_order", "report"]);
    let house = House::with(|voice| {
        let search = ToolSearch::new().more_than(1);
        voice.tool_source(shelf.clone()).tool_search(search)
    })
    .await;
    let call = house.call().await;
    call.ai
        .simulate_tool_call("c1", "find_tools", r#"{"query":"cancel"}"#);
    assert_eq!(update(&call).await, ["find_tools", "cancel_order"]);
    shelf.put(&["cancel_order", "invoice"]);
    settle().await;
    call.ai.simulate_tool_call("c2", "invoice", "{}");
    settle().await;
    assert_eq!(call.ai.tool_results()[1].output, "shelf did invoice");
    let updates = call
        .ai
        .wait_for_commands(1, |command| matches!(command, ProviderCommand::Update(_)))
        .await;
    assert_eq!(updates.len(), 1, "it was told nothing else: {updates:?}");
}

#[tokio::test(start_paused = true)]
async fn s5_a_session_with_tools_of_its_own_keeps_them() {
    let shelf = Shelf::new(&["a"]);
    let house = House::with(|voice| voice.tool_source(shelf.clone())).await;
    let none: [ToolDefinition; 0] = [];
    let chosen = house.call_with(SessionOptions::new().tools(none)).await;
    let changed = house.call().await;
    let own = SessionUpdate {
        tools: Some(
            [ToolDefinition::new(
                "a",
                "the session's own",
                json!({"type": "object"}),
            )]
            .into(),
        ),
        ..SessionUpdate::default()
    };
    house
        .voice
        .update_session(&changed.session, own)
        .await
        .unwrap();
    assert_eq!(update(&changed).await, ["a"]);
    let watched = house.call().await;
    shelf.put(&["c"]);
    assert_eq!(update(&watched).await, ["c"]);
    settle().await;
    for call in [&chosen, &changed] {
        let updates = call.ai.commands();
        let updates = updates
            .iter()
            .filter(|command| matches!(command, ProviderCommand::Update(update) if update.tools.as_ref().is_some_and(|tools| tools.iter().any(|tool| tool.name == "c"))));
        assert_eq!(updates.count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn k8_an_agent_that_has_the_channels_tools_gets_those_of_a_source_that_changed() {
    let shelf = Shelf::new(&["a"]);
    let house = House::with(|voice| {
        let clerk = Agent::new("clerk", "you know the shelf").channel_tools(true);
        let guest = Agent::new("guest", "you know nothing");
        voice.tool_source(shelf.clone()).agents([clerk, guest])
    })
    .await;
    let began = house.call_with(SessionOptions::new().agent("clerk")).await;
    let became = house.call_with(SessionOptions::new().agent("guest")).await;
    let guest = house.call_with(SessionOptions::new().agent("guest")).await;
    let visitor = Agent::new("visitor", "no agent of the channel").channel_tools(true);
    house
        .voice
        .hand_off(&became.session, &visitor)
        .await
        .unwrap();
    assert_eq!(update(&became).await, ["a"]);
    shelf.put(&["b"]);
    assert_eq!(update(&began).await, ["b"]);
    became
        .ai
        .wait_for_commands(2, |command| matches!(command, ProviderCommand::Update(_)))
        .await;
    for call in [&began, &became] {
        call.ai.simulate_tool_call("c1", "b", "{}");
        assert_eq!(result(call).await, "shelf did b");
    }
    settle().await;
    let updates = guest.ai.commands();
    let updates = updates
        .iter()
        .filter(|command| matches!(command, ProviderCommand::Update(_)));
    assert_eq!(updates.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn k8_h1_a_provider_that_takes_no_changes_gets_another_connection() {
    let shelf = Shelf::new(&["a"]);
    let mut rigid = MockRealtimeProvider::new().capabilities();
    rigid.updates = UpdateSupport::all(UpdateWay::NewConnection);
    rigid.history = HistorySupport::Text;
    let provider = MockRealtimeProvider::new().with_capabilities(rigid);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        voice.tool_source(shelf.clone())
    })
    .await;
    let call = house.call().await;
    shelf.put(&["b"]);
    house.provider.wait_for_attempts(2).await;
    let setup = house.provider.connects().pop().unwrap();
    let names: Vec<_> = setup.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["b"]);
    settle().await;
    let call = Call {
        ai: house.provider.session(call.session.id()),
        ..call
    };
    call.ai.simulate_tool_call("c1", "b", "{}");
    assert_eq!(result(&call).await, "shelf did b");
}

#[tokio::test(start_paused = true)]
async fn k8_a_provider_that_can_neither_change_nor_be_told_keeps_its_tools() {
    let shelf = Shelf::new(&["a"]);
    let mut plain = MockRealtimeProvider::new().capabilities();
    plain.updates = UpdateSupport::all(UpdateWay::NewConnection);
    let provider = MockRealtimeProvider::new().with_capabilities(plain);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        voice.tool_source(shelf.clone())
    })
    .await;
    let call = house.call().await;
    shelf.put(&["b"]);
    settle().await;
    call.ai.simulate_tool_call("c1", "a", "{}");
    assert_eq!(result(&call).await, "shelf did a");
}

/// Panics where it is told to, and has the tools of a shelf.
struct Crumbling {
    shelf: Arc<Shelf>,
    breaks: Mutex<Option<Break>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Break {
    List,
    Changes,
    NextChange,
}

impl Crumbling {
    fn new(breaks: Option<Break>) -> Arc<Self> {
        Arc::new(Self {
            shelf: Shelf::new(&["a"]),
            breaks: Mutex::new(breaks),
        })
    }

    fn breaks(&self, at: Option<Break>) {
        *self.breaks.lock().unwrap() = at;
    }

    fn breaks_at(&self, at: Break) -> bool {
        *self.breaks.lock().unwrap() == Some(at)
    }
}

#[async_trait]
impl ToolSource for Crumbling {
    async fn tools(&self) -> Result<Vec<ToolDefinition>, ToolError> {
        assert!(!self.breaks_at(Break::List), "the list crumbles");
        self.shelf.tools().await
    }

    fn changes(&self) -> Option<BoxStream<'static, ()>> {
        assert!(!self.breaks_at(Break::Changes), "the changes crumble");
        if self.breaks_at(Break::NextChange) {
            let crumbles = stream::poll_fn(|_| panic!("the next change crumbles"));
            return Some(crumbles.boxed());
        }
        self.shelf.changes()
    }
}

#[async_trait]
impl ToolHandler for Crumbling {
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        self.shelf.call(invocation).await
    }
}

#[tokio::test(start_paused = true)]
async fn s8_a_source_that_panics_while_it_lists_costs_that_list_and_no_later_one() {
    let source = Crumbling::new(Some(Break::List));
    let house = House::with(|voice| voice.tool_source(source.clone())).await;
    let start = house
        .voice
        .start_session(ROOM, "ann", MockConnection::new());
    let error = start.await.unwrap_err().to_string();
    assert!(error.contains("the list crumbles"), "{error}");

    source.breaks(None);
    let call = house.call().await;
    source.breaks(Some(Break::List));
    source.shelf.put(&["b"]);
    settle().await;
    assert_eq!(call.ai.commands(), [], "it keeps what it has");
    source.breaks(None);
    source.shelf.put(&["c"]);
    assert_eq!(
        update(&call).await,
        ["c"],
        "changes are followed all the same"
    );
}

#[tokio::test(start_paused = true)]
async fn k8_a_source_that_cannot_be_listed_keeps_back_no_other_and_is_asked_again() {
    let (source, other) = (Crumbling::new(None), Shelf::new(&["b"]));
    let house =
        House::with(|voice| voice.tool_source(source.clone()).tool_source(other.clone())).await;
    let call = house.call().await;
    source.breaks(Some(Break::List));
    other.put(&["c"]);
    assert_eq!(update(&call).await, ["a", "c"], "it has what it had");
    source.shelf.put(&["d"]);
    settle().await;
    // It tells of its change once, and nobody else does again.
    source.breaks(None);
    let is_update = |command: &ProviderCommand| matches!(command, ProviderCommand::Update(_));
    let told = call.ai.wait_for_commands(2, is_update).await.pop();
    let Some(ProviderCommand::Update(update)) = told else {
        unreachable!()
    };
    let told = update.tools.unwrap_or_default();
    let told: Vec<&str> = told.iter().map(|tool| &*tool.name).collect();
    assert_eq!(told, ["d", "c"]);
}

#[tokio::test(start_paused = true)]
async fn s8_a_source_that_panics_while_it_tells_changes_keeps_no_other_from_it() {
    for at in [Break::Changes, Break::NextChange] {
        let (source, other) = (Crumbling::new(Some(at)), Shelf::new(&["b"]));
        let house =
            House::with(|voice| voice.tool_source(source.clone()).tool_source(other.clone())).await;
        let call = house.call().await;
        settle().await;
        other.put(&["c"]);
        assert_eq!(update(&call).await, ["a", "c"]);
    }
}
