//! The steps from an open socket to a session that is ready.

use std::collections::VecDeque;

use roomkit_core::provider::{ProviderError, ProviderEvent, SessionSetup};
use roomkit_dial::{Deadline, Socket};

use crate::{
    error,
    protocol::{Decoder, Encoder},
};

/// What was said while the session was set up.
pub(crate) struct Ready {
    /// The vendor's name for the session, if it gives one.
    pub(crate) session_id: Option<String>,
    /// What came along with the acceptance, which is the first of the connection's events.
    pub(crate) events: VecDeque<ProviderEvent>,
}

/// Sets the session up. Accepted is only who was told so: a refused key, model or setting closes
/// the open socket, and some settings are answered with silence.
pub(crate) async fn establish(
    socket: &mut Socket,
    deadline: &Deadline,
    encoder: &Encoder,
    decoder: &mut Decoder,
    setup: &SessionSetup,
    frame: String,
) -> Result<Ready, ProviderError> {
    let sent = socket.send(frame);
    deadline
        .within("room to send `setup`", sent)
        .await
        .map_err(|error| error::before_setup(socket.explain(error, decoder)))?;
    let accepted = accepted(socket, decoder);
    let ready = deadline
        .within(
            "`setupComplete` (does the model take every setting?)",
            accepted,
        )
        .await
        .map_err(error::before_setup)?;
    if let Some(history) = encoder.history(setup)? {
        let sent = socket.send(history);
        deadline
            .within("room to send the history", sent)
            .await
            .map_err(|error| socket.explain(error, decoder))?;
    }
    Ok(ready)
}

async fn accepted(socket: &mut Socket, decoder: &mut Decoder) -> Result<Ready, ProviderError> {
    let mut events = VecDeque::new();
    loop {
        let frame = socket.receive().await?;
        let greeting = decoder.greet(frame.as_str().as_bytes(), &mut events);
        if let Some(error) = greeting.error {
            return Err(error);
        }
        if greeting.is_complete {
            return Ok(Ready {
                session_id: greeting.session_id,
                events,
            });
        }
    }
}
