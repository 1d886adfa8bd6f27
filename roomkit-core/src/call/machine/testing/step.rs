//! What can happen to a call.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::sound;
use crate::{
    call::{change::Change, io::Command},
    provider::{ProviderErrorKind, ResponseStatus, Role, SessionUpdate, UpdateSupport, UpdateWay},
    transport::{ClientEvent, DropReason},
    voice::DeliveryStrategy,
};

/// Something that happens. The small numbers are names of items, responses and calls.
#[derive(Debug, Clone)]
pub(in crate::call::machine) enum Step {
    Pass(Duration),

    // The provider, if there is a connection.
    Speech(bool, u8),
    Response(u8),
    /// Of this response and item, so long.
    Voice(u8, u8, Duration),
    /// Of the user or not, and whether they are final.
    Words(bool, u8, bool),
    NoWords(u8),
    EndResponse(u8, ResponseStatus),
    Refused,
    /// With these arguments.
    Call(u8, u8),
    CancelCall(u8),
    Hiccup(ProviderErrorKind),
    GoAway(Option<Duration>),
    Resumable,
    Pong,
    /// The oldest change that it was sent is made, or refused.
    Updated(bool),
    /// A change does not get out; so many are behind it.
    NotSent(u8),
    TurnPassed,
    MoreToCome,
    Spent,

    // Its connections.
    Lost(Option<ProviderErrorKind>),
    /// What comes of a dial: a connection, which may have a known end.
    Dialled(Result<Option<Duration>, ProviderErrorKind>),

    // Tools and those who are told of them.
    /// The publisher has come to the oldest call that it was told of.
    Cleared,
    Answer(u8),
    Progress(u8),
    HandOff(u8, UpdateWay),

    // The client.
    Microphone(Duration),
    Interrupt,
    Mute(bool),
    Playback(Duration),
    WantsRecording(bool),
    Types,
    Tells,
    Pings,
    Drops,
    Leaves(bool),

    // The host.
    Text(bool),
    Image(bool),
    Activity(bool),
    Change(u8, UpdateWay),
    Deliver(DeliveryStrategy),
    Raw,
    HandOver,
    Record(bool),
    EndWhenOver(Duration),
    RecordingFailed,
    Permissions(bool, bool),
}

/// A change of settings; of these it is another agent that speaks from then on.
pub(super) fn change(value: u8, way: UpdateWay) -> Change {
    let text = Some(format!("value {value}"));
    let mut update = SessionUpdate::default();
    if value.is_multiple_of(2) {
        update.voice = text;
    } else {
        update.system_prompt = text;
    }
    Change {
        agent: (value == u8::MAX).then(|| "another".into()),
        ..Change::new(update, UpdateSupport::all(way))
    }
}

/// What a client's step says.
pub(super) fn client_event(step: &Step) -> Option<ClientEvent> {
    let event = match step {
        Step::Microphone(length) => ClientEvent::Audio(sound(*length)),
        Step::Interrupt => ClientEvent::Interrupt,
        Step::Mute(muted) => ClientEvent::Mute(*muted),
        Step::Playback(played) => ClientEvent::Playback(*played),
        Step::WantsRecording(on) => ClientEvent::Recording(*on),
        Step::Types => ClientEvent::Text("typed".into()),
        Step::Tells => ClientEvent::Message(Map::new()),
        Step::Pings => ClientEvent::Ping(None),
        Step::Drops => ClientEvent::Dropped(DropReason::TooFast),
        _ => return None,
    };
    Some(event)
}

/// What a host's step asks for.
pub(super) fn command(step: &Step) -> Option<Command> {
    let command = match step {
        Step::Text(silent) => Command::Text {
            text: "note".into(),
            role: Role::System,
            silent: *silent,
            chain_depth: 0,
        },
        Step::Image(silent) => Command::Image {
            mime_type: "image/png".into(),
            data: Bytes::from_static(b"image"),
            prompt: None,
            silent: *silent,
        },
        Step::Activity(true) => Command::ActivityStart,
        Step::Activity(false) => Command::ActivityEnd,
        Step::Change(value, way) => Command::Update(Box::new(change(*value, *way))),
        Step::Deliver(strategy) => Command::Deliver {
            text: "news".into(),
            strategy: *strategy,
            taken: None,
        },
        Step::Raw => Command::Raw(Value::Null),
        Step::HandOver => Command::HandOver,
        Step::Record(on) => Command::Record(*on),
        Step::EndWhenOver(limit) => Command::EndWhenOver(*limit),
        _ => return None,
    };
    Some(command)
}
