//! One call of a tool over one connection.

use std::{sync::Arc, time::Duration};

use rmcp::{
    model::{
        CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam,
        ClientRequest, ProgressToken, RequestId, ServerResult,
    },
    service::{Peer, PeerRequestOptions, RequestHandle, RoleClient, ServiceError},
};
use roomkit_core::tool::ToolInvocation;

use crate::{
    check::Checked,
    explain,
    http_client::{is_expired_session, is_of_the_answer, is_of_the_server, is_of_the_session},
    progress::{McpProgress, ProgressBook, Running},
};

/// How long after its result progress of a call is still told.
const LAST_PROGRESS: Duration = Duration::from_millis(200);

/// Why a call has no result.
pub(crate) enum Failure {
    /// The server answered, and refuses it; the connection goes on.
    Refused(String),
    /// What came back is no answer of the server's that could be used, and no sign that it is well.
    Unusable(String),
    /// The server failed, and nobody knows how far it came; the connection goes on.
    Unclear(String),
    /// Its connection is gone, and nobody knows how far the server came. Over HTTP that is the way of
    /// this request alone, as far as one knows.
    Lost(String),
    /// The server is another process now, and has not looked at the call.
    Expired,
}

/// Calls a tool by the server's own name. Dropped, it tells the server (contract K4).
pub(crate) async fn call(
    server: &Checked,
    peer: &Peer<RoleClient>,
    book: &Arc<ProgressBook>,
    own_name: &str,
    invocation: &ToolInvocation,
) -> Result<CallToolResult, Failure> {
    let mut params = CallToolRequestParams::new(own_name.to_owned());
    params.arguments = Some(invocation.arguments.clone());
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    let failed = |error: &ServiceError| failure(server, error);

    let (response, mut open) = {
        let mut running = book.open().await;
        let options = PeerRequestOptions::no_options();
        let sent = peer.send_request_with_option(request, options).await;
        let RequestHandle {
            rx,
            id,
            progress_token,
            ..
        } = sent.map_err(|error| failed(&error))?;
        let progress = McpProgress {
            server: server.name.clone(),
            tool: invocation.name.clone(),
            session_id: invocation.session.id().clone(),
            call_id: invocation.call_id.clone(),
            progress: f64::NEG_INFINITY,
            total: None,
            message: None,
        };
        let told = server.tell_progress.then(|| invocation.clone());
        let call = Running {
            progress,
            invocation: told,
        };
        running.insert(progress_token.clone(), call);
        let open = OpenCall {
            peer: peer.clone(),
            book: Arc::clone(book),
            id: Some(id),
            token: progress_token,
        };
        (rx, open)
    };
    let answer = response.await.unwrap_or(Err(ServiceError::TransportClosed));
    // It is answered: there is nothing left to cancel.
    open.id = None;
    match answer {
        Ok(ServerResult::CallToolResult(result)) => Ok(result),
        Ok(ServerResult::EmptyResult(_)) => Ok(CallToolResult::success(Vec::new())),
        Ok(ServerResult::InputRequiredResult(_)) => Err(Failure::Refused(
            "the server wants to ask the user something, which it cannot do here".into(),
        )),
        Ok(_) => Err(Failure::Refused(
            "the server's answer is no result of a tool".into(),
        )),
        Err(error) => Err(failed(&error)),
    }
}

/// What the failure of a request means.
pub(crate) fn failure(server: &Checked, error: &ServiceError) -> Failure {
    let told = || explain::request(server, error);
    match error {
        ServiceError::TransportSend(error) => match explain::http_error(error) {
            Some(http) if is_expired_session(http) => Failure::Expired,
            Some(http) if is_of_the_answer(http) => Failure::Unusable(told()),
            Some(http) if is_of_the_server(http) => Failure::Unclear(told()),
            _ => Failure::Lost(told()),
        },
        ServiceError::TransportClosed => Failure::Lost(told()),
        ServiceError::McpError(error) if is_of_the_session(&error.message) => {
            Failure::Unusable(told())
        }
        _ => Failure::Refused(told()),
    }
}

/// A call that the server works on.
struct OpenCall {
    peer: Peer<RoleClient>,
    book: Arc<ProgressBook>,
    /// Set until it is answered.
    id: Option<RequestId>,
    token: ProgressToken,
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let (peer, book) = (self.peer.clone(), Arc::clone(&self.book));
        let (id, token) = (self.id.take(), self.token.clone());
        runtime.spawn(async move {
            if id.is_none() {
                // The last progress may have come right before the result, and is told by another
                // task.
                tokio::time::sleep(LAST_PROGRESS).await;
            }
            book.open().await.remove(&token);
            if let Some(id) = id {
                let reason = "nobody waits for the result any more".to_owned();
                let cancelled = CancelledNotificationParam::new(Some(id), Some(reason));
                // A connection that is gone has nothing to cancel.
                let _ = peer.notify_cancelled(cancelled).await;
            }
        });
    }
}
