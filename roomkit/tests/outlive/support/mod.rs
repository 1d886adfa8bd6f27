//! What every test here needs: a vendor that is a fake, a house with a channel in it, a caller.

mod call;
mod house;
mod log;
mod vendor;
mod voice;

use std::time::Duration;

pub(crate) use call::Call;
pub(crate) use house::{House, Setup};
pub(crate) use log::Log;
pub(crate) use vendor::{Peer, Vendor};

/// The transcript of everything the caller says, unless a test says otherwise.
pub(crate) const QUESTION: &str = "What time is it?";

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Waits for what must come; the limit is there only to fail.
pub(crate) async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(40);
    let happens = tokio::time::timeout(limit, happens).await;
    happens.unwrap_or_else(|_| panic!("not within {limit:?}: {what}"))
}

/// Plays one scenario with both vendors, side by side.
pub(crate) async fn with_both<F>(scenario: impl Fn(Vendor) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let both = [Vendor::OpenAi, Vendor::Gemini];
    let running = both.map(|vendor| (vendor, tokio::spawn(scenario(vendor))));
    for (vendor, running) in running {
        if let Err(failure) = running.await {
            panic!("with {vendor:?}: {failure}");
        }
    }
}
