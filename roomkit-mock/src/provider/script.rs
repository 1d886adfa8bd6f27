//! What a mock says by itself, so that whole conversations run without a hand.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use roomkit_core::{
    audio,
    id::{ItemId, ResponseId},
    provider::{ProviderCommand, ProviderEvent, ResponseStatus, Role},
};

type Matcher = Arc<dyn Fn(&ProviderCommand) -> bool + Send + Sync>;

/// Steps that a connection takes one after the other: when it is told *this*, it says *that*.
/// Every connection begins at the first step.
///
/// ```
/// use std::time::Duration;
/// use roomkit_core::provider::ProviderCommand;
/// use roomkit_mock::{MockRealtimeProvider, provider::{Script, answer}};
///
/// let script = Script::new()
///     .on(
///         |command| matches!(command, ProviderCommand::Respond),
///         answer("1", "Good morning!", Duration::from_millis(900)),
///     )
///     .on(
///         |command| matches!(command, ProviderCommand::Respond),
///         answer("2", "Good bye!", Duration::from_millis(400)),
///     );
/// let provider = MockRealtimeProvider::new().with_script(script);
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Script {
    greeting: Vec<ProviderEvent>,
    steps: VecDeque<(Matcher, Vec<ProviderEvent>)>,
}

impl Script {
    /// Says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says this as soon as the connection is open.
    pub fn at_connect(mut self, events: impl IntoIterator<Item = ProviderEvent>) -> Self {
        self.greeting.extend(events);
        self
    }

    /// The next step: says this at the first command that matches and comes after the step before.
    pub fn on(
        mut self,
        matches: impl Fn(&ProviderCommand) -> bool + Send + Sync + 'static,
        events: impl IntoIterator<Item = ProviderEvent>,
    ) -> Self {
        let events = events.into_iter().collect();
        self.steps.push_back((Arc::new(matches), events));
        self
    }

    pub(super) fn start(self) -> (Runner, Vec<ProviderEvent>) {
        (Runner(self.steps), self.greeting)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Script({} steps)", self.steps.len())
    }
}

/// A script on its way; what is left of it.
pub(super) struct Runner(VecDeque<(Matcher, Vec<ProviderEvent>)>);

impl Runner {
    pub(super) fn react(&mut self, command: &ProviderCommand) -> Vec<ProviderEvent> {
        match self.0.front() {
            Some((matches, _)) if matches(command) => self
                .0
                .pop_front()
                .map_or_else(Vec::new, |(_, events)| events),
            _ => Vec::new(),
        }
    }
}

/// A whole spoken answer at 24 kHz, of response `resp_{id}` and item `item_{id}`: a partial for
/// each word, each with its share of the audio, then the final and the end.
pub fn answer(id: &str, text: &str, length: Duration) -> Vec<ProviderEvent> {
    let response_id = Some(ResponseId::from(format!("resp_{id}")));
    let item_id = Some(ItemId::from(format!("item_{id}")));
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    let mut events = vec![ProviderEvent::ResponseStarted {
        response_id: response_id.clone(),
    }];
    for word in &words {
        events.push(ProviderEvent::Transcript {
            role: Role::Assistant,
            item_id: item_id.clone(),
            text: (*word).into(),
            is_final: false,
        });
        events.push(ProviderEvent::Audio {
            response_id: response_id.clone(),
            item_id: item_id.clone(),
            content_index: 0,
            pcm: Bytes::from(vec![
                1;
                audio::bytes_for(length / words.len() as u32, 24_000)
            ]),
        });
    }
    events.push(ProviderEvent::Transcript {
        role: Role::Assistant,
        item_id,
        text: text.into(),
        is_final: true,
    });
    events.push(ProviderEvent::ResponseEnded {
        response_id,
        status: ResponseStatus::Completed,
        usage: None,
    });
    events
}

/// A whole utterance of the user, of item `user_{id}`: the start, the end and the final.
pub fn question(id: &str, text: &str) -> Vec<ProviderEvent> {
    let item_id = Some(ItemId::from(format!("user_{id}")));
    vec![
        ProviderEvent::SpeechStarted {
            item_id: item_id.clone(),
        },
        ProviderEvent::SpeechStopped {
            item_id: item_id.clone(),
        },
        ProviderEvent::Transcript {
            role: Role::User,
            item_id,
            text: text.into(),
            is_final: true,
        },
    ]
}
