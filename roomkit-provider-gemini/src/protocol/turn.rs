//! Whose turn it is, as far as the vendor's wire tells.
//!
//! The vendor marks the end of a turn and interruptions, and nothing else for certain. A response
//! begins with the first output after a boundary; the transcript of it is none, for it may come before
//! the answer, or after the end. The user's speech begins, where the vendor does
//! not say so, with an interruption or with the first words between turns, **and never with words
//! that come while the model speaks**: they may be late, and a false beginning silences the model.

use roomkit_core::provider::{ProviderEvent, ResponseStatus, Usage};

use super::{
    decode::Events,
    ours::Ours,
    words::{Words, wordless},
};

/// What the model is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Model {
    /// Nothing.
    Idle,
    /// It has called tools and said nothing yet.
    Working,
    /// It answers.
    Answering,
    /// Its answer was interrupted; what still comes of it is nothing anybody should hear.
    Interrupted,
}

/// How the vendor says that a turn is over: in one way or the other, or in both, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// `waitingForInput`.
    Waits,
    /// `turnComplete`.
    Completes,
}

/// How much the model may say before its answer.
const MAX_EARLY_BYTES: usize = 16 * 1024;

/// Turns, speech and words of one connection.
#[derive(Debug)]
pub(super) struct Turns {
    model: Model,
    /// The user speaks, and the core was told.
    speaking: bool,
    /// The vendor tells of speech itself, so nothing is to be concluded.
    has_vad: bool,
    /// An interruption's `turnComplete` is due; it ends nobody's speech.
    completes_interruption: bool,
    /// How the last turn ended, while the other way to say so would be about the same turn: until somebody
    /// speaks. A turn that ends in the same way once more is the next.
    ended: Option<End>,
    /// The vendor has said that the model goes on after its last turn.
    goes_on: bool,
    /// The model began a turn, and nobody has asked yet.
    began: bool,
    /// The host tells when the user speaks; the core knows it from there.
    is_manual: bool,
    /// What the user says is written down.
    transcribes: bool,
    words: Words,
    /// The model's words between turns: the beginning of its next answer, or the end of its last, whose
    /// final was told without it. Whatever else begins a turn drops them.
    early: String,
    ours: Ours,
}

impl Turns {
    pub(super) fn new(is_manual: bool, transcribes: bool, ours: Ours) -> Self {
        Self {
            model: Model::Idle,
            speaking: false,
            has_vad: false,
            completes_interruption: false,
            ended: None,
            goes_on: false,
            began: false,
            is_manual,
            transcribes,
            words: Words::default(),
            early: String::new(),
            ours,
        }
    }

    /// Whether what the model says now belongs to an answer that was interrupted.
    pub(super) fn is_stale(&self) -> bool {
        self.model == Model::Interrupted
    }

    /// Whether a response is running.
    pub(super) fn is_answering(&self) -> bool {
        self.model == Model::Answering
    }

    /// Whether the model has begun a turn since this was last asked.
    pub(super) fn take_began(&mut self) -> bool {
        std::mem::take(&mut self.began)
    }

    // ----- the user

    /// The vendor says that the user begins to speak.
    pub(super) fn activity_started(&mut self, events: &mut Events) {
        if self.is_manual {
            return;
        }
        self.has_vad = true;
        self.begin_speech(events);
    }

    /// The vendor says that the user has finished. The words may be still to come.
    pub(super) fn activity_ended(&mut self, events: &mut Events) {
        if self.is_manual {
            return;
        }
        self.has_vad = true;
        // What the model says from now on is about this.
        self.forget_interrupted();
        self.ended = None;
        self.end_speech(events);
    }

    /// A piece of what the user says.
    pub(super) fn heard(&mut self, text: &str, events: &mut Events) {
        if self.is_late() {
            self.words.late_piece(text);
            return;
        }
        if text.is_empty() || text.trim().is_empty() && !self.words.is_user_open() {
            return;
        }
        if !self.words.is_user_open() {
            self.early.clear();
        }
        self.conclude_speech(events);
        self.begins_next();
        self.words.user_piece(text, events);
    }

    /// The utterance is complete.
    pub(super) fn heard_all(&mut self, events: &mut Events) {
        if self.is_late() {
            self.words.settle_late(events);
        } else {
            self.words.user_finished(events);
        }
    }

    /// The vendor guesses at what the user says; a guess is no piece, but a sign of speech.
    pub(super) fn guessed(&mut self, text: &str, events: &mut Events) {
        if !self.is_late() && !text.trim().is_empty() {
            self.conclude_speech(events);
        }
    }

    /// Words that come now may belong to an utterance whose final was told.
    fn is_late(&self) -> bool {
        let is_busy = matches!(self.model, Model::Working | Model::Answering);
        is_busy && !(self.has_vad && self.words.is_user_open())
    }

    /// Whether signs other than the vendor's word count as speech.
    fn is_concluding(&self) -> bool {
        !self.has_vad && !self.is_manual
    }

    fn conclude_speech(&mut self, events: &mut Events) {
        if self.is_concluding() && !self.words.is_user_open() {
            self.begin_speech(events);
        }
    }

    fn begin_speech(&mut self, events: &mut Events) {
        if self.speaking {
            return;
        }
        self.speaking = true;
        self.begins_next();
        self.early.clear();
        self.words.user_ended(events);
        if self.transcribes {
            self.words.user_began();
        }
        events.push_back(ProviderEvent::SpeechStarted { item_id: None });
    }

    /// The user speaks after the end of a turn. That the model has chosen to wait for that is said before
    /// the turn is complete, and what completes it may come when the user goes on already.
    fn begins_next(&mut self) {
        self.ended.take_if(|end| *end == End::Completes);
    }

    fn end_speech(&mut self, events: &mut Events) {
        if std::mem::take(&mut self.speaking) {
            events.push_back(ProviderEvent::SpeechStopped { item_id: None });
        }
    }

    /// The model has taken the turn, or let it pass: the user's words are complete.
    fn settle_user(&mut self, events: &mut Events) {
        self.end_speech(events);
        let has_spoken = self.ours.take_spoke();
        if has_spoken && self.transcribes && !self.words.is_user_open() {
            events.push_back(wordless());
        }
        self.words.user_ended(events);
    }

    // ----- the model

    /// The model says something. Not to be called for what is stale.
    pub(super) fn answers(&mut self, events: &mut Events) {
        match self.model {
            Model::Answering => return,
            Model::Idle | Model::Interrupted => {
                self.began = true;
                self.settle_user(events);
            }
            Model::Working => {}
        }
        // Notes of what was sent before are about what came before.
        self.ours.take_interruption();
        self.completes_interruption = false;
        self.ended = None;
        self.model = Model::Answering;
        events.push_back(ProviderEvent::ResponseStarted { response_id: None });
        let early = std::mem::take(&mut self.early);
        if !early.trim().is_empty() {
            self.words.answer_piece(&early, events);
        }
    }

    /// Words of the model.
    pub(super) fn says(&mut self, text: &str, events: &mut Events) {
        if self.is_answering() {
            if !text.is_empty() {
                self.words.answer_piece(text, events);
            }
        } else if self.early.len() < MAX_EARLY_BYTES {
            self.early.push_str(text);
        }
    }

    /// The model calls tools. `ends` says that its turn ended with the same frame.
    pub(super) fn calls(&mut self, ends: bool, events: &mut Events) {
        self.forget_interrupted();
        self.early.clear();
        if self.model == Model::Idle {
            self.began = true;
            self.settle_user(events);
            self.completes_interruption = false;
            self.ended = None;
            if !ends {
                self.model = Model::Working;
            }
        }
    }

    /// The calls are not wanted any more: the user speaks.
    pub(super) fn calls_cancelled(&mut self, events: &mut Events) {
        if self.model != Model::Working {
            return;
        }
        self.model = Model::Idle;
        if self.is_concluding() && self.words.is_late_new() {
            self.begin_speech(events);
            self.words.late_was_speech(events);
        } else {
            self.words.settle_late(events);
        }
    }

    /// The running answer is cut off, mostly because the user speaks. Gives back the usage that no
    /// response took.
    pub(super) fn interrupted(
        &mut self,
        usage: Option<Usage>,
        events: &mut Events,
    ) -> Option<Usage> {
        self.early.clear();
        let is_ours = self.ours.take_interruption();
        let is_speech = !is_ours && self.is_concluding();
        if !self.words.is_late_new() {
            self.words.forget_late();
        }
        if is_speech {
            // Before anything else: the core silences the answer at this.
            self.begin_speech(events);
        }
        self.completes_interruption = true;
        self.ended = None;
        let rest = match self.model {
            Model::Answering => {
                self.words.answer_ended(events);
                end_response(ResponseStatus::Cancelled, usage, events);
                self.model = Model::Interrupted;
                None
            }
            Model::Working => {
                self.model = Model::Idle;
                usage
            }
            Model::Idle | Model::Interrupted => usage,
        };
        if is_speech {
            self.words.late_was_speech(events);
        } else {
            self.words.settle_late(events);
        }
        rest
    }

    /// The turn is over; the model may go on with another. Gives back the usage that no response took.
    pub(super) fn completed(
        &mut self,
        status: ResponseStatus,
        usage: Option<Usage>,
        goes_on: bool,
        events: &mut Events,
    ) -> Option<Usage> {
        self.goes_on = goes_on;
        let rest = self.end_turn(status, usage, events);
        if goes_on {
            // Before the end, which the core would take for that of the whole answer.
            let is_end = matches!(events.back(), Some(ProviderEvent::ResponseEnded { .. }));
            events.insert(
                events.len() - usize::from(is_end),
                ProviderEvent::MoreToCome,
            );
        }
        rest
    }

    fn end_turn(
        &mut self,
        status: ResponseStatus,
        usage: Option<Usage>,
        events: &mut Events,
    ) -> Option<Usage> {
        self.early.clear();
        let is_of_interruption = std::mem::take(&mut self.completes_interruption);
        let model = std::mem::replace(&mut self.model, Model::Idle);
        let was_told = self.has_ended(End::Waits);
        self.ended = None;
        if !self.goes_on && model != Model::Interrupted && !is_of_interruption {
            self.end_with(End::Completes);
        }
        match model {
            Model::Answering => {
                self.words.answer_ended(events);
                self.words.settle_late(events);
                if !self.has_vad {
                    // What comes now is said anew, even if it is the same.
                    self.words.forget_said();
                }
                end_response(status, usage, events);
                return None;
            }
            Model::Interrupted => return usage,
            Model::Working => self.words.settle_late(events),
            Model::Idle if is_of_interruption => return usage,
            // It was told when the model chose to wait.
            Model::Idle if was_told && status == ResponseStatus::Completed => {
                self.ended = None;
                return usage;
            }
            Model::Idle => {
                self.let_pass(events);
            }
        }
        if status == ResponseStatus::Completed {
            if !self.goes_on {
                events.push_back(ProviderEvent::TurnPassed);
            }
            return usage;
        }
        // A turn that failed before it said anything was a response too.
        events.push_back(ProviderEvent::ResponseStarted { response_id: None });
        end_response(status, usage, events);
        None
    }

    /// The model has nothing to say to what it heard.
    pub(super) fn pass(&mut self, events: &mut Events) {
        if self.has_ended(End::Completes) {
            self.ended = None;
        } else if self.let_pass(events) {
            events.push_back(ProviderEvent::TurnPassed);
            self.end_with(End::Waits);
        }
    }

    /// Whether the last turn was told to be over in this way, and nothing was given since that a new one
    /// would answer.
    fn has_ended(&self, end: End) -> bool {
        self.ended == Some(end) && !self.ours.has_given()
    }

    fn end_with(&mut self, end: End) {
        self.ours.forget_given();
        self.ended = Some(end);
    }

    fn let_pass(&mut self, events: &mut Events) -> bool {
        self.forget_interrupted();
        let passes = self.model == Model::Idle && !(self.has_vad && self.speaking);
        if passes {
            self.settle_user(events);
        }
        passes
    }

    /// The connection is gone: what was said to its end is told. A sentence that may still go on is
    /// not, for the next connection hears it again, from its beginning (contract H2). The core
    /// knows of the response by itself.
    pub(super) fn lost(&mut self, events: &mut Events) {
        let is_over = if self.is_manual {
            self.ours.has_spoken()
        } else {
            !self.speaking
        };
        if is_over {
            self.settle_user(events);
        }
        self.words.settle_late(events);
    }

    /// The model has nothing left to do.
    pub(super) fn is_idle(&mut self, events: &mut Events) {
        self.forget_interrupted();
        if std::mem::take(&mut self.goes_on) && self.model == Model::Idle {
            events.push_back(ProviderEvent::TurnPassed);
        }
    }

    /// Nothing more can come of an interrupted answer.
    pub(super) fn forget_interrupted(&mut self) {
        if self.model == Model::Interrupted {
            self.model = Model::Idle;
        }
    }
}

fn end_response(status: ResponseStatus, usage: Option<Usage>, events: &mut Events) {
    events.push_back(ProviderEvent::ResponseEnded {
        response_id: None,
        status,
        usage: usage.map(Box::new),
    });
}
