//! What every test here needs: a vendor that is a fake, a house with a channel in it, a caller.

mod call;
mod house;
mod log;
mod vendor;
mod voice;

use std::{fmt::Debug, time::Duration};

use roomkit::mock::fake_gemini::{TranscriptTiming, UserTranscript};

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
    side_by_side([Vendor::OpenAi, Vendor::Gemini], scenario).await;
}

/// Plays one scenario with each of these, side by side.
pub(crate) async fn side_by_side<C, F>(
    cases: impl IntoIterator<Item = C>,
    scenario: impl Fn(C) -> F,
) where
    C: Clone + Debug,
    F: Future<Output = ()> + Send + 'static,
{
    let cases = cases.into_iter();
    let running: Vec<_> = cases
        .map(|case| (case.clone(), tokio::spawn(scenario(case))))
        .collect();
    for (case, running) in running {
        if let Err(failure) = running.await {
            panic!("with {case:?}: {failure}");
        }
    }
}

/// Gemini tells of speech by its words only: these come while it lasts.
pub(crate) fn words_during_speech() -> UserTranscript {
    UserTranscript::completed(QUESTION).at(TranscriptTiming::DuringSpeech)
}
