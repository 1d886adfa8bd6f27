//! A call as a function of bytes.

use std::time::Duration;

use super::{capabilities, ms, settings, step::Step, world::World};
use crate::{
    call::machine::CallSettings,
    provider::{
        Continuation, HistorySupport, ProviderCapabilities, ProviderError, ProviderErrorKind,
        ResponseStatus, UpdateWay,
    },
    recording::{Consent, RecordingTerms},
    voice::DeliveryStrategy,
};

/// Of an input, so much is looked at: what a call forgets takes many steps, but no more than these.
const STEPS: usize = 3000;

/// The first bytes are what a call and its provider can do, the rest is what happens to them.
///
/// # Panics
///
/// When a promise is broken, with what happened until then.
pub(crate) fn fuzz(input: &[u8]) {
    let mut bytes = Reader(input);
    let mut world = world(&mut bytes);
    let mut script = Vec::new();
    while script.len() < STEPS
        && let Some((step, times)) = step(&mut bytes)
    {
        for _ in 0..times.min(STEPS - script.len()) {
            script.push(step.clone());
            world.run(&step);
            assert_kept(&world, &script);
        }
    }
    world.settle();
    assert_kept(&world, &script);
    world.end();
    assert_kept(&world, &script);
}

fn assert_kept(world: &World, script: &[Step]) {
    let broken = &world.promises.broken;
    assert!(broken.is_empty(), "{broken:#?} after {script:#?}");
}

fn world(bytes: &mut Reader<'_>) -> World {
    let has = |byte: u8, bit: u8| byte & (1 << bit) != 0;
    let (call, provider, more) = (bytes.next(), bytes.next(), bytes.next());
    let mut settings = CallSettings {
        interruptions: !has(call, 0),
        greeting_interruptions: !has(more, 7),
        idle_timeout: has(call, 1).then(|| ms(20_000)),
        max_duration: has(call, 2).then(|| ms(300_000)),
        max_connection_age: has(call, 3).then(|| ms(90_000)),
        ..settings()
    };
    if has(call, 4) {
        settings.lead = ms(20);
        settings.jitter_buffer = ms(60);
    }
    settings.recording = has(call, 5).then_some(RecordingTerms {
        consent: [Consent::Given, Consent::Ask][usize::from(has(call, 6))],
        client_decides: has(call, 7),
    });
    let capabilities = ProviderCapabilities {
        interrupts_itself: has(provider, 0),
        truncates: has(provider, 1),
        transcribes_user: has(provider, 2),
        text_during_tools: has(provider, 3),
        text_during_responses: has(provider, 4),
        resumes: has(provider, 5),
        overlaps: has(provider, 6),
        pings: has(provider, 7),
        continuation: [Continuation::Explicit, Continuation::Automatic][usize::from(has(more, 0))],
        history: [
            HistorySupport::None,
            HistorySupport::Text,
            HistorySupport::Full,
            HistorySupport::Full,
        ][usize::from(more >> 1 & 3)],
        resumes_changed: has(more, 3),
        manual_turns: !has(more, 7),
        ..capabilities()
    };
    let greeting = has(more, 4).then(|| "Welcome!".into());
    let mut world = World::new(settings, capabilities, has(more, 5), greeting);
    if !has(more, 6) {
        world.run(&Step::Dialled(Ok(None)));
    }
    world
}

/// The next step, and how often it happens.
fn step(bytes: &mut Reader<'_>) -> Option<(Step, usize)> {
    let mut code = bytes.try_next()?;
    let mut times = 1;
    if code == u8::MAX {
        times += usize::from(bytes.next()) * 8;
        code = bytes.next();
    }
    let step = match code % 47 {
        0..=3 => Step::Pass(bytes.time(4)),
        4 => Step::Pass(bytes.time(100)),
        5..=7 => Step::Speech(bytes.flag(), bytes.id()),
        8 | 9 => Step::Response(bytes.id()),
        10..=12 => Step::Voice(bytes.id(), bytes.id(), bytes.time(3)),
        13 | 14 => Step::Words(bytes.flag(), bytes.id(), bytes.flag()),
        15 => Step::NoWords(bytes.id()),
        16 | 17 => Step::EndResponse(bytes.id(), bytes.status()),
        18 => Step::Refused,
        19 | 20 => Step::Call(bytes.id(), bytes.next() % 2),
        21 => Step::CancelCall(bytes.id()),
        22 => Step::Hiccup(bytes.kind()),
        23 => Step::GoAway(bytes.flag().then(|| bytes.any_time())),
        24 => Step::Resumable,
        25 => Step::Pong,
        26 => Step::Updated(bytes.flag()),
        27 => Step::Spent,
        28 => Step::Lost(bytes.flag().then(|| bytes.kind())),
        29 | 30 => Step::Dialled(match bytes.next() {
            byte if byte < 160 => Ok(None),
            byte if byte < 200 => Ok(Some(bytes.any_time())),
            _ => Err(bytes.kind()),
        }),
        31 => Step::Cleared,
        32 => Step::Answer(bytes.id()),
        33 => Step::HandOff(bytes.id(), bytes.way()),
        34 => Step::Microphone(bytes.time(1)),
        35 => client(bytes),
        36 => Step::Playback(bytes.any_time()),
        37 => Step::Text(bytes.flag()),
        38 => Step::Activity(bytes.flag()),
        39 => Step::Change(bytes.id(), bytes.way()),
        40 => Step::Deliver(match bytes.next() {
            byte if byte < 80 => DeliveryStrategy::Immediate,
            byte if byte < 160 => DeliveryStrategy::Queued,
            _ => DeliveryStrategy::WaitForIdle(bytes.any_time()),
        }),
        41 => Step::HandOver,
        42 => Step::Permissions(bytes.flag(), bytes.flag()),
        43 => Step::NotSent(bytes.id()),
        44 => Step::TurnPassed,
        45 => Step::MoreToCome,
        _ => host(bytes),
    };
    Some((step, times))
}

fn client(bytes: &mut Reader<'_>) -> Step {
    match bytes.next() {
        byte if byte < 80 => Step::Interrupt,
        byte if byte < 140 => Step::Mute(byte % 2 == 0),
        byte if byte < 180 => Step::WantsRecording(byte % 2 == 0),
        byte if byte < 200 => Step::Types,
        byte if byte < 210 => Step::Tells,
        byte if byte < 230 => Step::Pings,
        byte if byte < 250 => Step::Drops,
        byte => Step::Leaves(byte % 2 == 0),
    }
}

fn host(bytes: &mut Reader<'_>) -> Step {
    match bytes.next() {
        byte if byte < 80 => Step::Image(byte % 2 == 0),
        byte if byte < 120 => Step::Raw,
        byte if byte < 180 => Step::Record(byte % 2 == 0),
        byte if byte < 240 => Step::Progress(bytes.id()),
        byte if byte < 248 => Step::EndWhenOver(bytes.any_time()),
        _ => Step::RecordingFailed,
    }
}

/// The input; after its end there is nothing but zeros.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn try_next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn next(&mut self) -> u8 {
        self.try_next().unwrap_or_default()
    }

    fn flag(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    fn id(&mut self) -> u8 {
        self.next() % 6
    }

    /// Up to 255 times this many ms.
    fn time(&mut self, unit: u64) -> Duration {
        ms(u64::from(self.next()) * unit)
    }

    /// The same in seconds, but for the greatest there is: others say how long these are.
    fn any_time(&mut self) -> Duration {
        match self.next() {
            u8::MAX => Duration::MAX,
            seconds => Duration::from_secs(seconds.into()),
        }
    }

    fn kind(&mut self) -> ProviderErrorKind {
        const KINDS: [ProviderErrorKind; 12] = [
            ProviderErrorKind::Network,
            ProviderErrorKind::Timeout,
            ProviderErrorKind::Server,
            ProviderErrorKind::SessionExpired,
            ProviderErrorKind::RateLimited,
            ProviderErrorKind::InvalidRequest,
            ProviderErrorKind::InvalidConfig,
            ProviderErrorKind::Protocol,
            ProviderErrorKind::Unsupported,
            ProviderErrorKind::Policy,
            ProviderErrorKind::Quota,
            ProviderErrorKind::Authentication,
        ];
        KINDS[usize::from(self.next()) % KINDS.len()]
    }

    fn status(&mut self) -> ResponseStatus {
        match self.next() % 8 {
            0..=4 => ResponseStatus::Completed,
            5 => ResponseStatus::Cancelled,
            6 => ResponseStatus::Incomplete("length".into()),
            _ => ResponseStatus::Failed(ProviderError::new(self.kind(), "failed")),
        }
    }

    fn way(&mut self) -> UpdateWay {
        [
            UpdateWay::Live,
            UpdateWay::LiveUntilVoice,
            UpdateWay::NewConnection,
            UpdateWay::Never,
        ][usize::from(self.next() % 4)]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn x5_whatever_happens_to_a_call_its_promises_hold(
            input in prop::collection::vec(any::<u8>(), 0..1500),
        ) {
            super::fuzz(&input);
        }
    }
}
