//! A call on a virtual clock, and what watches that it keeps its promises: what the tests and the
//! project's own fuzzing and benchmarks share.

mod frames;
mod fuzz;
mod promises;
mod step;
mod world;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

pub(crate) use self::frames::Frames;
#[cfg(feature = "fuzzing")]
pub(crate) use self::fuzz::fuzz;
#[cfg(test)]
pub(super) use self::{promises::Balance, step::Step, world::World};
use super::{Call, CallSettings, Opening, given::DELIVERIES};
use crate::{
    audio,
    call::{
        gate::Toolbox,
        io::{Action, Input, Moment, Permissions},
        setup::{Setup, ToolsOf},
    },
    provider::{ProviderCapabilities, SessionSetup},
};

pub(super) const RATE: u32 = 24_000;

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) fn sound(length: Duration) -> Bytes {
    vec![7; audio::bytes_for(length, RATE)].into()
}

pub(super) fn settings() -> CallSettings {
    CallSettings {
        tool_limit: 2,
        tool_result_cap: 100,
        input_rate: RATE,
        seed: 1,
        ..CallSettings::default()
    }
}

/// A session without tools, and nothing said before.
pub(super) fn opening() -> Opening {
    let Ok(toolbox) = Toolbox::new(Vec::new(), None) else {
        panic!("no tools are refused");
    };
    let setup = SessionSetup::new("s".into());
    Opening {
        setup: Setup::new(setup, Arc::new(toolbox), ToolsOf::Channel, None),
        history: Vec::new(),
        greeting: None,
    }
}

pub(super) fn capabilities() -> ProviderCapabilities {
    let mut capabilities = ProviderCapabilities::new(RATE, RATE);
    capabilities.interrupts_itself = true;
    capabilities.truncates = true;
    capabilities.manual_turns = true;
    capabilities.transcribes_user = true;
    capabilities
}

/// A call, its clock, and everything that came out of it.
pub(super) struct Scripted {
    pub(super) call: Call,
    pub(super) now: Moment,
    pub(super) log: Vec<(Moment, Action)>,
    /// So much of it has been looked at.
    pub(super) taken: usize,
}

impl Scripted {
    pub(super) fn opened(settings: CallSettings, opening: Opening) -> Self {
        let permissions = Permissions {
            microphone: true,
            voice: true,
        };
        let call = Call::new(settings, permissions, opening);
        Self {
            call,
            now: Moment::ZERO,
            log: Vec::new(),
            taken: 0,
        }
    }

    pub(super) fn feed(&mut self, input: Input) -> &mut Self {
        self.call.handle(self.now, input);
        while let Some(action) = self.call.poll() {
            self.log.push((self.now, action));
        }
        self
    }

    /// Lets time pass, waking the machine exactly when it asks for it.
    pub(super) fn pass(&mut self, time: Duration) -> &mut Self {
        let until = self.now + time;
        let mut at_once = 0;
        for _ in 0..100_000 {
            let wake = self.call.next_wake(self.now).filter(|wake| *wake <= until);
            let Some(wake) = wake else {
                self.now = until;
                return self;
            };
            // It may do one thing each time, such as to give one of the texts that are due.
            at_once = if wake > self.now { 0 } else { at_once + 1 };
            assert!(
                at_once <= DELIVERIES,
                "the machine wants to be woken again and again"
            );
            self.now = self.now.max(wake);
            self.feed(Input::Tick);
        }
        panic!("the machine does not come to rest");
    }
}
