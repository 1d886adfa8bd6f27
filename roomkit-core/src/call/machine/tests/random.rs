//! Random conversations: whatever comes in whatever order, the promises hold.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{
    event::EndReason,
    provider::{ProviderError, ProviderErrorKind},
    recording::{Consent, RecordingTerms, Side},
};

#[derive(Debug, Clone)]
enum Step {
    Pass(u64),
    Speech(bool, u8),
    Response(u8),
    Voice(u8, u8, u64),
    Words(bool, u8, bool),
    EndResponse(u8, bool),
    Call(u8),
    Cleared(u8),
    Answer(u8),
    CancelCall(u8),
    Text(bool),
    Refused,
    Microphone,
    Interrupt,
    Mute(bool),
    Playback(u64),
    Record(bool),
    Hiccup,
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0..6_u8;
    prop_oneof![
        4 => (0..900_u64).prop_map(Step::Pass),
        3 => (any::<bool>(), id.clone()).prop_map(|(on, id)| Step::Speech(on, id)),
        3 => id.clone().prop_map(Step::Response),
        5 => (id.clone(), id.clone(), 1..700_u64).prop_map(|(r, i, ms)| Step::Voice(r, i, ms)),
        5 => (any::<bool>(), id.clone(), any::<bool>()).prop_map(|(u, i, f)| Step::Words(u, i, f)),
        3 => (id.clone(), any::<bool>()).prop_map(|(id, ok)| Step::EndResponse(id, ok)),
        2 => id.clone().prop_map(Step::Call),
        3 => id.clone().prop_map(Step::Cleared),
        2 => id.clone().prop_map(Step::Answer),
        1 => id.prop_map(Step::CancelCall),
        1 => any::<bool>().prop_map(Step::Text),
        1 => Just(Step::Refused),
        2 => Just(Step::Microphone),
        1 => Just(Step::Interrupt),
        1 => any::<bool>().prop_map(Step::Mute),
        1 => (0..5000_u64).prop_map(Step::Playback),
        1 => any::<bool>().prop_map(Step::Record),
        1 => Just(Step::Hiccup),
    ]
}

fn run(call: &mut Scripted, step: &Step) {
    match step {
        Step::Pass(time) => call.pass(ms(*time)),
        Step::Speech(true, id) => call.user_starts(&format!("u{id}")),
        Step::Speech(false, id) => call.user_stops(&format!("u{id}")),
        Step::Response(id) => call.response(&format!("r{id}")),
        Step::Voice(r, i, time) => call.voice(&format!("r{r}"), &format!("a{i}"), ms(*time)),
        Step::Words(true, id, is_final) => {
            call.words(Role::User, &format!("u{id}"), "some words", *is_final)
        }
        Step::Words(false, id, is_final) => {
            call.words(Role::Assistant, &format!("a{id}"), "other words", *is_final)
        }
        Step::EndResponse(id, true) => {
            call.response_ends(&format!("r{id}"), ResponseStatus::Completed)
        }
        Step::EndResponse(id, false) => {
            call.response_ends(&format!("r{id}"), ResponseStatus::Cancelled)
        }
        Step::Call(id) => call.tool_call(&format!("c{id}")),
        Step::Cleared(id) => {
            // The publisher clears what it was told of, once.
            let id = format!("c{id}");
            let told = |news: &News| matches!(news, News::ToolCall(r) if r.call_id == *id);
            if call.news().iter().any(told) && call.cleared.insert(id.clone()) {
                call.tool_cleared(&id);
            }
            call
        }
        Step::Answer(id) => call.tool_answers(&format!("c{id}")),
        Step::CancelCall(id) => {
            let call_ids = vec![format!("c{id}").into()];
            call.provider(ProviderEvent::ToolCallsCancelled { call_ids })
        }
        Step::Text(silent) => call.text("note", *silent),
        Step::Refused => call.provider(ProviderEvent::ResponseRefused),
        Step::Microphone => call.client(ClientEvent::Audio(sound(ms(20)))),
        Step::Interrupt => call.client(ClientEvent::Interrupt),
        Step::Mute(muted) => call.client(ClientEvent::Mute(*muted)),
        Step::Playback(played) => call.client(ClientEvent::Playback(ms(*played))),
        Step::Record(on) => call.command(Command::Record(*on)),
        Step::Hiccup => {
            let error = ProviderError::new(ProviderErrorKind::Server, "hiccup");
            call.provider(ProviderEvent::Error(error))
        }
    };
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold(
        steps in prop::collection::vec(step(), 1..80),
        has_jitter_buffer: bool,
    ) {
        let mut settings = settings();
        if has_jitter_buffer {
            settings.lead = ms(20);
            settings.jitter_buffer = ms(60);
        }
        settings.recording = Some(RecordingTerms {
            consent: Consent::Given,
            client_decides: false,
        });
        let (lead, jitter_buffer) = (settings.lead, settings.jitter_buffer);
        let mut call = Scripted::with(settings, capabilities());
        for step in &steps {
            run(&mut call, step);
        }
        call.command(Command::End(EndReason::Host));

        // K1: a call runs at most once. K2: it is answered at most once.
        let mut runs: HashMap<String, usize> = HashMap::new();
        let mut answers: HashMap<String, usize> = HashMap::new();
        for (_, action) in &call.log {
            match action {
                Action::StartTool(request) => {
                    *runs.entry(request.call_id.to_string()).or_default() += 1;
                }
                Action::ToProvider(ProviderCommand::ToolResult { call_id, .. }) => {
                    *answers.entry(call_id.to_string()).or_default() += 1;
                }
                _ => {}
            }
        }
        prop_assert!(runs.values().chain(answers.values()).all(|n| *n == 1));

        // T6: starts and ends balance and alternate.
        let (mut speaking, mut responding, mut audible) = (false, false, false);
        for news in call.news() {
            match news {
                News::UserSpeaking(on) => {
                    prop_assert_ne!(std::mem::replace(&mut speaking, on), on);
                }
                News::AssistantSpeaking(on) => {
                    prop_assert_ne!(std::mem::replace(&mut audible, on), on);
                }
                News::Response { phase, .. } => {
                    let on = phase == ResponsePhase::Started;
                    prop_assert_ne!(std::mem::replace(&mut responding, on), on);
                }
                _ => {}
            }
        }
        prop_assert!(!speaking && !responding && !audible, "something is left open");

        // T3: one final for each utterance, and no partial after it.
        let mut done: Vec<(Role, String)> = Vec::new();
        for news in call.news() {
            match news {
                News::Final { role, item_id: Some(id), .. } => {
                    let this = (role, id.to_string());
                    prop_assert!(!done.contains(&this), "two finals of {:?}", this);
                    done.push(this);
                }
                News::Partial { role, item_id: Some(id), .. } => {
                    let this = (role, id.to_string());
                    prop_assert!(!done.contains(&this), "a partial after the final of {:?}", this);
                }
                _ => {}
            }
        }

        // A5: between two clears never more than the lead is ahead of real time.
        let mut play_end = Duration::ZERO;
        let mut has_sent = false;
        for (at, action) in &call.log {
            match action {
                Action::ToClient(ClientCommand::Audio(audio)) => {
                    let length = pcm::duration_of(audio.len(), RATE);
                    let goes_on = has_sent && *at <= play_end + jitter_buffer;
                    play_end = if goes_on { play_end } else { play_end.max(*at) } + length;
                    prop_assert!(play_end <= *at + lead);
                    has_sent = true;
                }
                Action::ToClient(ClientCommand::Clear) => {
                    play_end = *at;
                    has_sent = false;
                }
                _ => {}
            }
        }

        // V3: of the AI that much is recorded as was heard, by the clock; or less, where the client
        // says so or recording was off.
        let mut is_less = false;
        for step in &steps {
            is_less |= matches!(step, Step::Playback(_) | Step::Record(_));
        }
        let (mut sent, mut recorded, mut play_end) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        for (at, action) in &call.log {
            match action {
                Action::ToClient(ClientCommand::Audio(audio)) => {
                    let length = pcm::duration_of(audio.len(), RATE);
                    let goes_on = sent > Duration::ZERO && *at <= play_end + jitter_buffer;
                    play_end = if goes_on { play_end } else { play_end.max(*at) } + length;
                    sent += length;
                }
                Action::Record(sound) if sound.side == Side::Ai => {
                    let length = pcm::duration_of(sound.pcm.len(), RATE);
                    prop_assert!(sound.begins + length <= *at, "recorded before it was heard");
                    recorded += length;
                }
                Action::ToClient(ClientCommand::Clear) | Action::End(_) => {
                    let heard = sent.saturating_sub(play_end.saturating_sub(*at));
                    prop_assert!(recorded <= heard, "{recorded:?} of {heard:?}");
                    prop_assert!(is_less || recorded + ms(1) >= heard, "{recorded:?} of {heard:?}");
                    (sent, recorded, play_end) = (Duration::ZERO, Duration::ZERO, *at);
                }
                _ => {}
            }
        }

        // S3: one end, and nothing after it.
        prop_assert!(matches!(call.log.last(), Some((_, Action::End(_)))));
        let ends = call.log.iter().filter(|(_, action)| matches!(action, Action::End(_))).count();
        prop_assert_eq!(ends, 1);
        prop_assert!(call.call.tools.is_empty());
    }
}
