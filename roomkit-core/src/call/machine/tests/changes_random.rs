//! Random changes of a session whose vendor takes and refuses as it likes: in the end the session is
//! what the vendor has it for, and the call goes on (contract S5).

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::{
    call::change::Change,
    event::EndReason,
    provider::{
        HistorySupport, ProviderError, ProviderErrorKind, SessionUpdate, UpdateSupport, UpdateWay,
    },
};

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    /// The value that the voice or the prompt is to have, and how it can be changed.
    Change(bool, u8, UpdateWay),
    /// A tool hands the caller to another agent.
    HandOff(u8, UpdateWay),
    Text,
    Answer,
    /// The vendor answers the oldest change it was sent.
    Answered(bool),
    /// What comes of a dial.
    Dialled(Option<ProviderErrorKind>),
    Lost,
}

fn step() -> impl Strategy<Value = Step> {
    let way = || {
        prop_oneof![
            3 => Just(UpdateWay::Live),
            2 => Just(UpdateWay::LiveUntilVoice),
            3 => Just(UpdateWay::NewConnection),
            1 => Just(UpdateWay::Never),
        ]
    };
    let outcome = prop_oneof![
        4 => Just(None),
        3 => Just(Some(ProviderErrorKind::InvalidConfig)),
        1 => Just(Some(ProviderErrorKind::Timeout)),
        1 => Just(Some(ProviderErrorKind::Network)),
    ];
    prop_oneof![
        4 => (0..8_000_u64).prop_map(Step::Pass),
        4 => (any::<bool>(), 0..4_u8, way()).prop_map(|(v, n, way)| Step::Change(v, n, way)),
        2 => (0..4_u8, way()).prop_map(|(n, way)| Step::HandOff(n, way)),
        2 => Just(Step::Text),
        2 => Just(Step::Answer),
        4 => any::<bool>().prop_map(Step::Answered),
        4 => outcome.prop_map(Step::Dialled),
        1 => Just(Step::Lost),
    ]
}

/// The call, and what its vendor has it for.
struct World {
    call: Scripted,
    capabilities: ProviderCapabilities,
    looked: usize,
    calls: u32,
    answers: u32,
    /// The dial that has no outcome yet.
    dial: Option<SessionSetup>,
    /// What the present connection is, if there is one.
    is: Option<SessionSetup>,
    unanswered: VecDeque<SessionUpdate>,
    ended: Option<EndReason>,
}

impl World {
    fn new(overlaps: bool, resumes: bool) -> Self {
        let mut capabilities = capabilities();
        capabilities.history = HistorySupport::Full;
        capabilities.confirms_updates = true;
        capabilities.overlaps = overlaps;
        capabilities.resumes = resumes;
        Self {
            call: Scripted::with(settings(), capabilities.clone()),
            capabilities,
            looked: 0,
            calls: 0,
            answers: 0,
            dial: None,
            is: Some(SessionSetup::new("s".into())),
            unanswered: VecDeque::new(),
            ended: None,
        }
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Pass(time) => {
                self.call.pass(ms(*time));
            }
            Step::Change(is_voice, value, way) => {
                let value = Some(format!("value {value}"));
                let mut update = SessionUpdate::default();
                if *is_voice {
                    update.voice = value;
                } else {
                    update.system_prompt = value;
                }
                let change = Change::new(update, UpdateSupport::all(*way));
                self.call.command(Command::Update(Box::new(change)));
            }
            Step::HandOff(value, way) if self.is.is_some() && self.dial.is_none() => {
                self.calls += 1;
                let id = format!("c{}", self.calls);
                let update = SessionUpdate {
                    system_prompt: Some(format!("value {value}")),
                    ..SessionUpdate::default()
                };
                let change = Change {
                    agent: Some(format!("agent {value}").into()),
                    ..Change::new(update, UpdateSupport::all(*way))
                };
                self.call.tool_call(&id).tool_cleared(&id);
                let answer = ToolAnswer {
                    output: "done".into(),
                    is_error: false,
                };
                self.call.feed(Input::ToolChanges(
                    id.as_str().into(),
                    answer,
                    Box::new(change),
                ));
            }
            Step::Text => {
                self.call.text("hello", false);
            }
            Step::Answer if self.is.is_some() => {
                self.answers += 1;
                self.call
                    .answer(&format!("r{}", self.answers), "well", ms(60));
            }
            Step::Answered(is_taken) if self.is.is_some() => {
                if let Some(update) = self.unanswered.pop_front() {
                    self.answer(&update, *is_taken);
                }
            }
            Step::Dialled(outcome) => self.dialled(*outcome),
            Step::Lost if self.is.take().is_some() => {
                self.unanswered.clear();
                self.call.provider(ProviderEvent::Closed(None));
            }
            _ => {}
        }
        self.look();
    }

    fn answer(&mut self, update: &SessionUpdate, is_taken: bool) {
        if is_taken {
            if let Some(setup) = &mut self.is {
                setup.update(update);
            }
            self.call.provider(ProviderEvent::Updated);
        } else {
            let error = ProviderError::new(ProviderErrorKind::InvalidRequest, "no");
            self.call.provider(ProviderEvent::UpdateRefused(error));
        }
    }

    fn dialled(&mut self, outcome: Option<ProviderErrorKind>) {
        let Some(setup) = self.dial.take() else {
            return;
        };
        match outcome {
            None => {
                self.is = Some(setup);
                self.unanswered.clear();
                let info = ConnectionInfo::new(self.capabilities.clone());
                self.call.feed(Input::Connected(info));
            }
            Some(kind) => {
                // Only what was changed is wrong; as it was the vendor takes the session.
                let was_changed = setup.voice.is_some() || setup.system_prompt.is_some();
                let kind = match kind {
                    ProviderErrorKind::InvalidConfig if !was_changed => ProviderErrorKind::Network,
                    kind => kind,
                };
                let error = ProviderError::new(kind, "no");
                self.call.feed(Input::DialFailed(error));
            }
        }
    }

    /// Takes notice of what the call did.
    fn look(&mut self) {
        let new: Vec<Action> = self.call.log[self.looked..]
            .iter()
            .map(|(_, action)| clone(action))
            .collect();
        self.looked = self.call.log.len();
        for action in new {
            match action {
                Action::Dial(dial) => {
                    // Another one takes its place while the old connection is there.
                    assert!(
                        self.dial.is_none() || self.is.is_some(),
                        "one dial at a time"
                    );
                    self.dial = Some(dial.setup);
                }
                Action::HangUp => {
                    self.is = None;
                    self.unanswered.clear();
                }
                Action::ToProvider(ProviderCommand::Update(update)) => {
                    assert!(self.is.is_some(), "to whom?");
                    self.unanswered.push_back(update);
                }
                Action::End(reason) => self.ended = Some(reason),
                _ => {}
            }
        }
    }

    /// From now on the vendor takes everything, and time passes.
    fn settle(&mut self) {
        for _ in 0..40 {
            while let Some(update) = self.unanswered.pop_front() {
                self.answer(&update, true);
                self.look();
            }
            self.dialled(None);
            self.look();
            // It has been asked for, or nobody minds.
            self.run(&Step::Answer);
            self.run(&Step::Pass(25_000));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s5_the_session_is_what_the_vendor_has_it_for(
        overlaps in any::<bool>(),
        resumes in any::<bool>(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut world = World::new(overlaps, resumes);
        for step in &steps {
            world.run(step);
            if world.ended.is_some() {
                break;
            }
        }
        if world.ended.is_none() {
            world.settle();
        }
        if let Some(reason) = world.ended {
            // A vendor that takes the session neither as changed nor as it was.
            prop_assert!(matches!(reason, EndReason::Provider(_)), "{reason:?}");
            return Ok(());
        }
        let is = world.is.expect("there is a connection");
        let wanted = world.call.call.setup();
        prop_assert_eq!(is.voice, wanted.voice);
        prop_assert_eq!(is.system_prompt, wanted.system_prompt);
        prop_assert!(!world.call.call.setup.awaits_answer() && !world.call.call.setup.has_waiting());
    }
}
