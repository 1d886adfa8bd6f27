//! Sessions of the fake Gemini server: handles, resuming, history, the life of a connection, and
//! what it records of the user's audio.

use std::time::{Duration, Instant};

use roomkit_mock::fake_gemini::{
    Closure, ConnectionLife, FakeGemini, FakeGeminiBuilder, HandleRefusal, Reply, Speaker, Turn,
};
use serde_json::{Value, json};

use crate::raw_client::Next;
use crate::raw_client::gemini::{
    Client, MODEL, MODEL_25, agent, contents, first, handle_of, kinds, shape, silence, text_of,
    tone, with,
};

const INVALID: &str = "Request contains an invalid argument.";

async fn quiet(builder: FakeGeminiBuilder) -> FakeGemini {
    builder.noise(false).start().await.unwrap()
}

fn resuming(handle: &str) -> Value {
    with(agent(MODEL), "sessionResumption", json!({"handle": handle}))
}

fn texts(turns: &[Turn]) -> Vec<&str> {
    turns.iter().map(|turn| turn.text.as_str()).collect()
}

#[tokio::test]
async fn a_resumed_session_knows_what_was_said() {
    let server = quiet(FakeGemini::builder()).await;
    let mut client = Client::connect(&server).await;
    client.say(300).await;
    let handle = handle_of(&client.until("sessionResumptionUpdate").await);
    client
        .realtime(json!({"text": "after the first handle"}))
        .await;
    let later = handle_of(&client.until("sessionResumptionUpdate").await);
    assert_ne!(handle, later);
    client.close().await;
    let mut resumed = Client::configured(&server, resuming(&handle)).await;
    let connection = server.wait_for_connection(1).await.unwrap();
    assert_eq!(connection.resumed_from(), Some(handle.clone()));
    let known = connection.conversation();
    let heard = "hello from the caller";
    assert_eq!(texts(&known), [heard, "You said: hello from the caller"]);
    assert_eq!(known[0].audio_ms, 1100);
    resumed.realtime(json!({"text": "and on"})).await;
    let newest = handle_of(&resumed.until("sessionResumptionUpdate").await);
    assert_eq!(connection.handles(), [newest]);
    assert_eq!(connection.conversation().len(), 4);
    assert_eq!(first(&server).await.handles(), [handle, later]);
    connection
        .wait_for_conversation(|turns| turns.iter().find(|turn| turn.text == "and on").cloned())
        .await
        .unwrap();
}

#[tokio::test]
async fn handles_come_only_when_asked_for_and_between_turns() {
    let reply = Reply::speech("a long story", 60_000).stalling_after_ms(200);
    let server = quiet(
        FakeGemini::builder()
            .announce_unresumable(true)
            .reply(reply),
    )
    .await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "tell me"})).await;
    let messages = client.until("modelTurn").await;
    assert_eq!(
        messages[0],
        json!({"sessionResumptionUpdate": {"resumable": false}})
    );
    assert!(first(&server).await.handles().is_empty());
    client.say(300).await;
    let messages = client.until("sessionResumptionUpdate").await;
    assert!(shape(&messages).contains(&"interrupted".to_owned()));
    assert_eq!(
        messages.last().unwrap()["sessionResumptionUpdate"]["resumable"],
        true
    );
    let mut bare = Client::configured(&server, json!({"model": MODEL})).await;
    bare.realtime(json!({"text": "hi"})).await;
    bare.until("turnComplete").await;
    bare.realtime(json!({"text": "hi"})).await;
    let messages = bare.until("turnComplete").await;
    assert!(!shape(&messages).contains(&"sessionResumptionUpdate".to_owned()));
}

#[tokio::test]
async fn bad_handles_are_refused_as_told() {
    for (refusal, close) in [
        (HandleRefusal::InvalidArgument, (1007, INVALID)),
        (
            HandleRefusal::NotFound,
            (1008, "Requested entity was not found."),
        ),
    ] {
        let server = quiet(FakeGemini::builder().handle_refusal(refusal)).await;
        let client = Client::dial(&server).await;
        let closed = client.refused(json!({"setup": resuming("unknown")})).await;
        assert_eq!((closed.0, closed.1.as_str()), close);
    }
    let server = quiet(FakeGemini::builder().handle_refusal(HandleRefusal::Silence)).await;
    let mut client = Client::dial(&server).await;
    client.send(json!({"setup": resuming("unknown")})).await;
    let connection = first(&server).await;
    connection.wait_for_event(|_| true).await.unwrap();
    connection.drop_connection();
    assert_eq!(client.next().await, Next::Dropped);
    assert_eq!(connection.sent("setupComplete"), 0);
}

#[tokio::test]
async fn handles_expire() {
    let server = quiet(FakeGemini::builder().handle_with_setup(true)).await;
    let mut client = Client::dial(&server).await;
    client.send(json!({"setup": agent(MODEL)})).await;
    let handle = handle_of(&[client.message().await]);
    client.close().await;
    Client::configured(&server, resuming(&handle)).await;
    server.expire_handles();
    let late = Client::dial(&server).await;
    let closed = late.refused(json!({"setup": resuming(&handle)})).await;
    assert_eq!(closed, (1007, INVALID.to_owned()));
    let short = FakeGemini::builder()
        .handle_with_setup(true)
        .handle_lifetime(Duration::ZERO);
    let server = quiet(short).await;
    let mut client = Client::dial(&server).await;
    client.send(json!({"setup": agent(MODEL)})).await;
    let handle = handle_of(&[client.message().await]);
    client.close().await;
    let late = Client::dial(&server).await;
    let closed = late.refused(json!({"setup": resuming(&handle)})).await;
    assert_eq!(closed, (1007, INVALID.to_owned()));
}

#[tokio::test]
async fn everything_but_the_model_may_change() {
    let server = quiet(FakeGemini::builder()).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "hi"})).await;
    let handle = handle_of(&client.until("sessionResumptionUpdate").await);
    client.close().await;
    let mut changed = resuming(&handle);
    changed["model"] = json!(MODEL_25);
    let refused = Client::dial(&server)
        .await
        .refused(json!({"setup": changed}))
        .await;
    assert_eq!(refused, (1007, INVALID.to_owned()));
    let changed = with(resuming(&handle), "tools", json!([]));
    Client::configured(&server, changed).await;
}

#[tokio::test]
async fn a_session_is_on_one_connection_at_a_time() {
    let builder = FakeGemini::builder().resume_grace(Duration::from_millis(20));
    let server = quiet(builder).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "hi"})).await;
    let handle = handle_of(&client.until("sessionResumptionUpdate").await);
    let second = Client::dial(&server).await;
    let closed = second.refused(json!({"setup": resuming(&handle)})).await;
    assert_eq!(closed, (1011, "Internal error encountered.".to_owned()));
    let lenient = FakeGemini::builder().refuse_resume_while_open(false);
    let server = quiet(lenient).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "hi"})).await;
    let handle = handle_of(&client.until("sessionResumptionUpdate").await);
    Client::configured(&server, resuming(&handle)).await;
}

#[tokio::test]
async fn a_session_can_be_resumed_at_once_when_the_server_has_closed() {
    let server = quiet(FakeGemini::builder().resume_grace(Duration::ZERO)).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "hi"})).await;
    let handle = handle_of(&client.until("sessionResumptionUpdate").await);
    let old = first(&server).await;
    old.go_away(Duration::ZERO);
    client.until("goAway").await;
    // The old TCP connection is still there, and does not count.
    client.closed().await;
    Client::configured(&server, resuming(&handle)).await;
    assert_eq!(server.violations(), []);
}

#[cfg(feature = "fault-proxy")]
#[tokio::test]
async fn a_half_open_connection_holds_its_session() {
    use crate::raw_client::gemini::KEY;
    use roomkit_mock::fault_proxy::{Cut, Direction, FaultProxy, Stall};

    let builder = FakeGemini::builder().resume_grace(Duration::from_millis(20));
    let server = quiet(builder).await;
    let proxy = FaultProxy::start(server.address()).await.unwrap();
    let authority = server.address().to_string();
    let url = server
        .url()
        .replace(&authority, &proxy.address().to_string());
    let mut client = Client::dial_at(url.clone(), &[KEY]).await;
    client.set_up(agent(MODEL)).await;
    client.realtime(json!({"text": "hi"})).await;
    let handle = handle_of(&client.until("sessionResumptionUpdate").await);
    proxy.stall(Direction::ToServer, Stall::Swallow);
    drop(client);
    let second = Client::dial_at(url.clone(), &[KEY]).await;
    let closed = second.refused(json!({"setup": resuming(&handle)})).await;
    assert_eq!(closed.0, 1011);
    proxy.wait_for_connection(0).await.cut(Cut::Reset);
    first(&server).await.wait_for_close().await.unwrap();
    let mut third = Client::dial_at(url, &[KEY]).await;
    third.set_up(resuming(&handle)).await;
}

#[tokio::test]
async fn a_resume_waits_for_the_old_connection_to_end() {
    let server = quiet(FakeGemini::builder().resume_grace(Duration::from_secs(60))).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "hi"})).await;
    let handle = handle_of(&client.until("sessionResumptionUpdate").await);
    let mut second = Client::dial(&server).await;
    second.send(json!({"setup": resuming(&handle)})).await;
    let connection = server.wait_for_connection(1).await.unwrap();
    connection.wait_for_event(|_| true).await.unwrap();
    assert_eq!(connection.sent("setupComplete"), 0);
    client.close().await;
    assert!(second.message().await.get("setupComplete").is_some());
}

#[tokio::test]
async fn connections_are_told_to_go_and_closed() {
    let life = ConnectionLife::with_notice(Duration::from_millis(80), Duration::from_millis(30));
    let server = quiet(FakeGemini::builder().connection_life(life)).await;
    let mut client = Client::connect(&server).await;
    let begun = Instant::now();
    assert_eq!(
        client.message().await,
        json!({"goAway": {"timeLeft": "0.030s"}})
    );
    assert_eq!(client.closed().await, (1001, String::new()));
    assert!(begun.elapsed() >= Duration::from_millis(25));
    let life = ConnectionLife::until_deadline(Duration::from_millis(30));
    let server = quiet(FakeGemini::builder().connection_life(life)).await;
    let mut client = Client::connect(&server).await;
    let deadline = "Deadline expired before operation could complete.".to_owned();
    assert_eq!(client.closed().await, (1011, deadline));
    let life = ConnectionLife::until_deadline(Duration::from_millis(30)).ending(1012, "bye");
    let server = quiet(FakeGemini::builder().connection_life(life)).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.closed().await, (1012, "bye".to_owned()));
}

#[tokio::test]
async fn a_test_can_send_one_connection_away() {
    let server = quiet(FakeGemini::builder()).await;
    let mut client = Client::connect(&server).await;
    let connection = first(&server).await;
    connection.go_away(Duration::from_millis(20));
    assert_eq!(
        client.message().await,
        json!({"goAway": {"timeLeft": "0.020s"}})
    );
    assert_eq!(client.closed().await, (1001, String::new()));
    let closure = connection.wait_for_close().await.unwrap();
    assert!(matches!(closure, Closure::ByServer { code: 1001, .. }));
}

#[tokio::test]
async fn history_is_taken_in_without_an_answer() {
    let server = quiet(FakeGemini::builder()).await;
    let history = json!({"initialHistoryInClientContent": true});
    let mut client =
        Client::configured(&server, with(agent(MODEL), "historyConfig", history)).await;
    let turn = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    client
        .send(json!({"clientContent": {"turns": [turn("user", "I am Ann.")]}}))
        .await;
    client
        .send(json!({"clientContent": {"turns": [turn("model", "Hi Ann.")], "turnComplete": true}}))
        .await;
    let messages = client.until("sessionResumptionUpdate").await;
    assert_eq!(messages.len(), 1);
    client.realtime(json!({"text": "who am I?"})).await;
    client.until("turnComplete").await;
    let turns = first(&server).await.conversation();
    assert_eq!(texts(&turns)[..3], ["I am Ann.", "Hi Ann.", "who am I?"]);
    assert_eq!(turns[1].speaker, Speaker::Model);
}

#[tokio::test]
async fn content_without_history_config_is_answered_when_complete() {
    let server = quiet(FakeGemini::builder()).await;
    let mut client = Client::connect(&server).await;
    let turns = json!([{"role": "user", "parts": [{"text": "Say "}, {"text": "hello."}]}]);
    client
        .send(json!({"clientContent": {"turns": turns, "turnComplete": false}}))
        .await;
    client.until("sessionResumptionUpdate").await;
    client
        .send(json!({"clientContent": {"turns": turns, "turnComplete": true}}))
        .await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "You wrote: Say hello."
    );
    server.queue_reply(Reply::speech("a long story", 60_000).stalling_after_ms(200));
    client.realtime(json!({"text": "tell me"})).await;
    client.until("modelTurn").await;
    client
        .send(json!({"client_content": {"turns": turns, "turn_complete": true}}))
        .await;
    let messages = client.until("turnComplete").await;
    assert_eq!(contents(&messages, "interrupted").len(), 1);
    assert_eq!(kinds(messages.last().unwrap()).len(), 3);
    client.until("turnComplete").await;
}

#[tokio::test]
async fn the_users_audio_is_there_with_its_arrival_times() {
    let server = quiet(FakeGemini::builder()).await;
    let mut client = Client::connect(&server).await;
    let connection = first(&server).await;
    client.audio(&tone(60)).await;
    connection.wait_for_audio(60 * 32).await.unwrap();
    let between = Instant::now();
    client.audio(&silence(40)).await;
    connection.wait_for_audio(100 * 32).await.unwrap();
    let audio = connection.received_audio();
    assert_eq!(audio.pcm, [tone(60), silence(40)].concat());
    assert_eq!(audio.chunks.len(), 5);
    assert!(
        audio
            .chunks
            .iter()
            .all(|chunk| chunk.bytes == 640 && chunk.rate == 16_000)
    );
    assert!(audio.chunks.windows(2).all(|two| two[0].at <= two[1].at));
    assert!(audio.chunks[2].at <= between && between <= audio.chunks[3].at);
    assert_eq!(audio.bytes_of(&audio.chunks[1]), &tone(60)[640..1280]);
    assert_eq!((connection.appends(), connection.audio_bytes()), (5, 3200));
    client.realtime(json!({"text": "hi"})).await;
    let text = connection
        .wait_for_event(|event| event["realtimeInput"].get("text").is_some())
        .await
        .unwrap();
    assert_eq!(text.audio_bytes_before, 3200);
    assert!(text.at >= audio.chunks[4].at);
}
