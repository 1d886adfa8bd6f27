//! What was said in a room, in pages that are bounded in events and in bytes (contract X5).

use axum::{Json, extract::State, http::StatusCode};
use roomkit::{
    RoomKit,
    http::Rejection,
    id::RoomId,
    room::{RoomEvent, TimelineQuery},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::{RawValue, to_raw_value};

use super::input::{Fields, RoomPath, Visitor, Watch, page_size};
use crate::{app::App, error::room_rejection};

/// Most bytes of events in one answer, as JSON. One event is shown however large it is.
const MAX_BYTES: usize = 1024 * 1024;
/// Events read at a time, so that a page of large ones is not read far beyond its end.
const STEP: usize = 64;

/// Which part of a timeline; the latest events unless a place is named.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// The first events after this index; −1 for the first of all.
    after: Option<i64>,
    before: Option<u64>,
    limit: Option<usize>,
    #[serde(rename = "token")]
    _token: Option<IgnoredAny>,
}

/// A page of a timeline, in the order of the timeline.
#[derive(Debug, Serialize)]
pub(super) struct TimelinePage {
    events: Vec<Box<RawValue>>,
}

/// `GET /rooms/{room}/timeline`
pub(super) async fn show(
    _visitor: Visitor<Watch>,
    State(app): State<App>,
    RoomPath(room): RoomPath,
    Fields(query): Fields<PageQuery>,
) -> Result<Json<TimelinePage>, Rejection> {
    let limit = page_size(query.limit, 50)?;
    let events = match query.after {
        Some(after) => {
            let after = u64::try_from(after).ok();
            forwards(&app.kit, &room, after, query.before, limit).await?
        }
        None => backwards(&app.kit, &room, query.before, limit).await?,
    };
    Ok(Json(TimelinePage { events }))
}

/// The first events after a place, or of all.
async fn forwards(
    kit: &RoomKit,
    room: &RoomId,
    mut after: Option<u64>,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<Box<RawValue>>, Rejection> {
    let mut page = Page::new(limit);
    loop {
        let step = page.step();
        let mut query = TimelineQuery::new().limit(step);
        if let Some(after) = after {
            query = query.after(after);
        }
        if let Some(before) = before {
            query = query.before(before);
        }
        let events = read(kit, room, query).await?;
        for event in &events {
            if !page.takes(event)? {
                return Ok(page.events);
            }
            after = Some(event.index);
        }
        if events.len() < step || page.step() == 0 {
            return Ok(page.events);
        }
    }
}

/// The last events before a place, or of all.
async fn backwards(
    kit: &RoomKit,
    room: &RoomId,
    mut before: Option<u64>,
    limit: usize,
) -> Result<Vec<Box<RawValue>>, Rejection> {
    let mut page = Page::new(limit);
    'pages: loop {
        let step = page.step();
        let query = TimelineQuery::latest(step);
        let query = before.map_or(query.clone(), |before| query.before(before));
        let events = read(kit, room, query).await?;
        for event in events.iter().rev() {
            if !page.takes(event)? {
                break 'pages;
            }
            before = Some(event.index);
        }
        if events.len() < step || page.step() == 0 {
            break;
        }
    }
    page.events.reverse();
    Ok(page.events)
}

async fn read(
    kit: &RoomKit,
    room: &RoomId,
    query: TimelineQuery,
) -> Result<Vec<RoomEvent>, Rejection> {
    let events = kit.timeline(room, query).await;
    events.map_err(|error| room_rejection(&error))
}

/// The events of an answer, in the order in which they were read.
#[derive(Debug)]
struct Page {
    events: Vec<Box<RawValue>>,
    limit: usize,
    bytes: usize,
}

impl Page {
    fn new(limit: usize) -> Self {
        Self {
            events: Vec::new(),
            limit,
            bytes: 0,
        }
    }

    /// How many events to read next; none when there are as many as there may be.
    fn step(&self) -> usize {
        STEP.min(self.limit - self.events.len())
    }

    /// Takes one more event, unless it would be too much for the answer.
    fn takes(&mut self, event: &RoomEvent) -> Result<bool, Rejection> {
        let event = to_raw_value(event).map_err(|error| {
            tracing::error!(%error, "something in a room cannot be written as JSON");
            let message = "the timeline could not be written";
            Rejection::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", message)
        })?;
        self.bytes += event.get().len();
        let fits = self.bytes <= MAX_BYTES || self.events.is_empty();
        if fits {
            self.events.push(event);
        }
        Ok(fits)
    }
}
