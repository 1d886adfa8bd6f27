//! How deep in a chain of automatic answers the running code is (contract R4).

tokio::task_local! {
    static HANDLED: u32;
}

/// Runs host code that is being handed an event of this depth.
pub(crate) async fn handling<T>(depth: u32, host: impl Future<Output = T>) -> T {
    HANDLED.scope(depth, host).await
}

/// The least depth of an event written here and now: 0, or one more than the event being handled.
pub(crate) fn least_depth() -> u32 {
    HANDLED
        .try_with(|depth| depth.saturating_add(1))
        .unwrap_or(0)
}
