//! Calls host code so that neither a panic nor a standstill in it reaches further (contract S8).

use std::{any::Any, fmt, panic::AssertUnwindSafe, pin::pin, time::Duration};

use futures_util::{FutureExt, Stream, StreamExt, future::OptionFuture};

/// How a call of host code failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It said so.
    Error(String),
    /// It panicked, with this message.
    Panic(String),
    /// It took longer than this.
    Timeout(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(message) => f.write_str(message),
            Self::Panic(message) => write!(f, "it panicked: {message}"),
            Self::Timeout(after) => write!(f, "it did not return within {after:?}"),
        }
    }
}

/// Awaits host code; `Err` when it panics or takes longer than `limit`, in which case it is dropped.
pub(crate) async fn call<T>(
    limit: Duration,
    host: impl Future<Output = T> + Send,
) -> Result<T, Failure> {
    let mut host = pin!(OptionFuture::from(Some(host)));
    let caught = AssertUnwindSafe(host.as_mut()).catch_unwind();
    let failure = match tokio::time::timeout(limit, caught).await {
        Ok(Ok(Some(output))) => return Ok(output),
        Ok(Err(payload)) => Failure::Panic(panic_message(&*payload)),
        Ok(Ok(None)) | Err(_) => Failure::Timeout(limit),
    };
    // What it holds is the host's as well, and may panic when it is dropped.
    if let Err(again) = call_sync(|| host.set(None.into())) {
        tracing::error!("host code that failed was dropped: {again}");
    }
    Err(failure)
}

/// What a stream of host code gives; a panic in it is the last item.
pub(crate) fn stream<S: Stream>(host: S) -> impl Stream<Item = Result<S::Item, Failure>> {
    let caught = AssertUnwindSafe(host).catch_unwind();
    caught.map(|item| item.map_err(|payload| Failure::Panic(panic_message(&*payload))))
}

/// Runs host code that does not wait; `Err` when it panics.
pub(crate) fn call_sync<T>(host: impl FnOnce() -> T) -> Result<T, Failure> {
    std::panic::catch_unwind(AssertUnwindSafe(host))
        .map_err(|payload| Failure::Panic(panic_message(&*payload)))
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
