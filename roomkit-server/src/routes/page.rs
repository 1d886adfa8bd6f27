//! The page, embedded.

use axum::{
    extract::Path,
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use roomkit::http::Rejection;

/// Everything the page uses comes from here, and nobody may show it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal: $content_type:ident,)+) => {
        /// Name, content type and content of every file under `page/` but the page itself.
        const FILES: &[(&str, &str, &str)] = &[
            $(($name, $content_type, include_str!(concat!("../../page/", $name))),)+
        ];
    };
}

files! {
    "app.js": SCRIPT,
    "audio.js": SCRIPT,
    "call.js": SCRIPT,
    "capture-worklet.js": SCRIPT,
    "clock.js": SCRIPT,
    "connection-panel.js": SCRIPT,
    "devices.js": SCRIPT,
    "focus.js": SCRIPT,
    "format.js": SCRIPT,
    "icon.svg": IMAGE,
    "latency.js": SCRIPT,
    "ledger.js": SCRIPT,
    "level-worklet.js": SCRIPT,
    "level.js": SCRIPT,
    "playback-worklet.js": SCRIPT,
    "pulse.js": SCRIPT,
    "random-id.js": SCRIPT,
    "recording.js": SCRIPT,
    "remote-audio.js": SCRIPT,
    "resampler.js": SCRIPT,
    "ring.js": SCRIPT,
    "room-panel.js": SCRIPT,
    "room.js": SCRIPT,
    "signalling.js": SCRIPT,
    "socket.js": SCRIPT,
    "sound.js": SCRIPT,
    "state.js": SCRIPT,
    "stats.js": SCRIPT,
    "status.js": SCRIPT,
    "storage.js": SCRIPT,
    "style.css": STYLE,
    "timeline.js": SCRIPT,
    "tool-calls.js": SCRIPT,
    "totals.js": SCRIPT,
    "transcript.js": SCRIPT,
    "transports.js": SCRIPT,
    "turns.js": SCRIPT,
    "webrtc-call.js": SCRIPT,
    "websocket-call.js": SCRIPT,
}

/// `GET /`
pub(super) async fn index() -> Response {
    embedded(HTML, include_str!("../../page/index.html"))
}

/// `GET /page/{file}`
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, Rejection> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    let (_, content_type, content) = found.ok_or_else(|| {
        let message = "the page has no such file";
        Rejection::new(StatusCode::NOT_FOUND, "not_found", message)
    })?;
    Ok(embedded(content_type, content))
}

fn embedded(content_type: &'static str, content: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // An update of the program is an update of the page.
        (header::CACHE_CONTROL, "no-cache"),
        (
            HeaderName::from_static("permissions-policy"),
            "microphone=(self)",
        ),
    ];
    (headers, content).into_response()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs};

    use super::*;

    #[test]
    fn every_file_of_the_page_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let there: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        let embedded: BTreeSet<String> =
            FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(embedded, there);
    }
}
