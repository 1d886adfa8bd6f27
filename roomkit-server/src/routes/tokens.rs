//! Tokens for pages: a backend that may mint asks for one, and gives it to its page.

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode, http::header, response::IntoResponse};
use jiff::Timestamp;
use roomkit::{
    http::{Identity, Rejection, Scope, Scopes, is_id},
    id::ParticipantId,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::input::{Body, Mint, Visitor};
use crate::{
    app::App,
    first_agent::{self, AgentNames, FIRST_AGENT},
    host::{USABLE_ID, is_usable_id},
    minted::{Grant, MAX_LIFE},
};

/// How long a token lives unless it is said, in seconds.
const DEFAULT_LIFE_S: u64 = 60;
/// Largest metadata of a token, in bytes of JSON: it travels in a header.
const MAX_METADATA_BYTES: usize = 2048;

// ----- POST /tokens

/// What the token is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    scopes: Scopes,
    #[serde(default = "default_life")]
    expires_in_s: u64,
    room: Option<String>,
    participant: Option<String>,
    agent: Option<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

fn default_life() -> u64 {
    DEFAULT_LIFE_S
}

pub(super) async fn mint(
    visitor: Visitor<Mint>,
    State(app): State<App>,
    Body(wish): Body<Wish>,
) -> Result<impl IntoResponse, Rejection> {
    let Some(minted) = &app.minted else {
        let message = "this server asks nobody for a token; see `[auth]` in its configuration";
        return Err(Rejection::new(StatusCode::NOT_FOUND, "not_found", message));
    };
    wish.check(&app.agents)?;
    // Nobody gets more by minting than they have.
    for scope in wish.scopes.iter() {
        visitor.identity.scopes.require(scope)?;
    }
    let wish = wish.held_to(&visitor.identity)?;
    let life = Duration::from_secs(wish.expires_in_s);
    let token = minted.mint(wish.grant(), life, Timestamp::now())?;
    let headers = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, headers, Json(token)))
}

impl Wish {
    fn check(&self, agents: &AgentNames) -> Result<(), Rejection> {
        if self.scopes.is_empty() {
            return Err(Rejection::bad_request("scopes", "must name at least one"));
        }
        if self.scopes.contains(Scope::Mint) {
            let problem = "`mint` is for the tokens of the configuration only";
            return Err(Rejection::bad_request("scopes", problem));
        }
        let longest = MAX_LIFE.as_secs();
        if !(1..=longest).contains(&self.expires_in_s) {
            let problem = format!("must be from 1 to {longest}");
            return Err(Rejection::bad_request("expires_in_s", problem));
        }
        if self.room.as_deref().is_some_and(|id| !is_usable_id(id)) {
            return Err(Rejection::bad_request("room", USABLE_ID));
        }
        if self.participant.as_deref().is_some_and(|id| !is_id(id)) {
            let problem = "must be 1 to 256 bytes without control characters";
            return Err(Rejection::bad_request("participant", problem));
        }
        if let Some(agent) = &self.agent {
            let known = agents.check(agent);
            known.map_err(|problem| Rejection::bad_request("agent", problem))?;
        }
        if self.metadata.contains_key(FIRST_AGENT) {
            let problem = format!("must have no `{FIRST_AGENT}`; name the agent as `agent`");
            return Err(Rejection::bad_request("metadata", problem));
        }
        let metadata = Value::Object(self.metadata.clone()).to_string();
        if metadata.len() > MAX_METADATA_BYTES {
            let problem = format!("must be at most {MAX_METADATA_BYTES} bytes of JSON");
            return Err(Rejection::bad_request("metadata", problem));
        }
        Ok(())
    }

    /// The same for the participant and the agent alone that the client itself is held to. (One that is
    /// held to a room does not come here.)
    fn held_to(mut self, identity: &Identity) -> Result<Self, Rejection> {
        let participant = identity.participant.as_ref().map(ParticipantId::as_str);
        let agent = first_agent::of(identity);
        for (field, asked, own) in [
            ("participant", &mut self.participant, participant),
            ("agent", &mut self.agent, agent),
        ] {
            let Some(own) = own else { continue };
            if asked.get_or_insert_with(|| own.to_owned()) != own {
                let message = format!("{field}: the client is held to another one");
                return Err(Rejection::new(StatusCode::FORBIDDEN, "forbidden", message));
            }
        }
        Ok(self)
    }

    fn grant(self) -> Grant {
        Grant {
            scopes: self.scopes,
            room: self.room,
            participant: self.participant,
            agent: self.agent,
            metadata: self.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use roomkit::http::Purpose;
    use serde_json::json;
    use tokio_tungstenite::{connect_async, tungstenite::client::IntoClientRequest};

    use super::*;
    use crate::Server;

    #[test]
    fn x2_who_is_held_to_a_participant_mints_for_no_other() {
        let wish = |participant: Option<&str>| -> Wish {
            let wish = json!({"scopes": ["call"], "participant": participant});
            serde_json::from_value(wish).unwrap()
        };
        let ann = Identity::default().participant("ann");
        for asked in [None, Some("ann")] {
            let held = wish(asked).held_to(&ann).unwrap();
            assert_eq!(held.participant.as_deref(), Some("ann"));
        }
        assert!(wish(Some("bob")).held_to(&ann).is_err());
        assert!(wish(Some("bob")).held_to(&Identity::default()).is_ok());
    }

    #[tokio::test]
    async fn x2_what_a_token_says_of_its_holder_reaches_the_session() {
        let settings = "listen = '127.0.0.1:0'\n[auth]\ntokens = ['key']";
        let server = Server::bind(toml::from_str(settings).unwrap())
            .await
            .unwrap();
        let (address, app) = (server.address(), server.app.clone());
        let running = tokio::spawn(server.run(std::future::pending()));

        let wish = json!({"scopes": ["call"], "metadata": {"customer": 4711}});
        let wish: Wish = serde_json::from_value(wish).unwrap();
        let life = Duration::from_secs(wish.expires_in_s);
        assert_eq!(life.as_secs(), 60, "the default");
        let minted = app.minted.unwrap();
        let new = minted.mint(wish.grant(), life, Timestamp::now()).unwrap();
        let new = serde_json::to_value(new).unwrap();
        let token = new["token"].as_str().unwrap();

        let url = format!("ws://{address}/ws?token={token}");
        let request = url.into_client_request().unwrap();
        let (mut socket, _) = connect_async(request).await.unwrap();
        let first = socket.next().await.unwrap().unwrap();
        let metadata = app.voice.sessions()[0].metadata().clone();
        assert_eq!(metadata["customer"], 4711, "{first}");
        assert_eq!(metadata["token_id"], new["id"]);
        let again = minted.admit(token, Purpose::Session, Timestamp::now());
        assert!(again.is_err(), "it was used");
        running.abort();
    }
}
