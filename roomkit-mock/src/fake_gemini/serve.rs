//! One connection of the fake: the credentials' verdict, then its engine.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::access::{Service, check_credentials};
use super::engine::{Engine, violation};
use super::hub::Hub;
use crate::fake::handle::UpgradeRequest;
use crate::fake::serve;
use crate::fake::server::known_path;

/// Serves one TCP connection to its end.
pub(crate) async fn serve(stream: TcpStream, hub: Arc<Hub>) {
    let common = &hub.options.common;
    let check = |request: &UpgradeRequest| known_path(Service::of(&request.path).is_some());
    let Ok(accepted) = serve::accept(stream, &hub.registry, common, check).await else {
        return;
    };
    let handle = &accepted.handle;
    let Some(service) = Service::of(&handle.request.path) else {
        return;
    };
    let index = handle.index;
    if let Err(refusal) = check_credentials(service, &handle.request, &hub.options) {
        let violation = violation(&refusal);
        handle
            .record
            .change(|state| state.violations.push(violation));
        accepted
            .refuse(None, refusal.code, &refusal.reason, &hub.registry)
            .await;
    } else {
        let record = Arc::clone(&handle.record);
        let engine = Engine::new(Arc::clone(&hub), record, index, service);
        accepted.serve(engine, &hub.registry).await;
    }
    hub.connection_ended(index);
}
