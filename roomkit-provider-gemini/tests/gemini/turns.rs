//! Turns that are derived from the wire, as scripts of frames. Speech and finals are in `words.rs`.

use roomkit_core::provider::ProviderEvent;
use serde_json::{Value, json};

use crate::support::{
    activity, audio, calls, complete, decode, decoder, hears, hears_all, interrupted, play, says,
    together, usage,
};

/// Plays the frames on a connection whose vendor finds out when the user speaks.
fn script(frames: &[Value]) -> Vec<String> {
    play(&mut decoder(json!({})), frames)
}

#[test]
fn t6_a_turn_of_speech_and_answer() {
    let frames = [
        hears("What"),
        hears(" time is it?"),
        audio(),
        says("It is"),
        says(" noon."),
        json!({ "serverContent": { "generationComplete": true } }),
        together(&[complete(), usage(812, 95)]),
        json!({ "sessionResumptionUpdate": { "newHandle": "h", "resumable": true } }),
    ];
    assert_eq!(
        script(&frames),
        [
            "speech",
            "user says \"What\"",
            "user says \" time is it?\"",
            "silence",
            "user said \"What time is it?\"",
            "response",
            "audio 8",
            "model says \"It is\"",
            "model says \" noon.\"",
            "model said \"It is noon.\"",
            "completed for 812+95",
            "resumable h",
        ]
    );
}

#[test]
fn t6_audio_comes_before_the_end_that_shares_its_frame() {
    let frame = together(&[audio(), says("Hi."), complete(), usage(1, 2)]);
    assert_eq!(
        script(&[frame]),
        [
            "response",
            "model says \"Hi.\"",
            "audio 8",
            "model said \"Hi.\"",
            "completed for 1+2",
        ]
    );
}

#[test]
fn t1_the_question_precedes_an_answer_in_the_same_frame() {
    let frame = together(&[hears("Hello."), says("Hi."), audio()]);
    assert_eq!(
        script(&[frame]),
        [
            "speech",
            "user says \"Hello.\"",
            "silence",
            "user said \"Hello.\"",
            "response",
            "model says \"Hi.\"",
            "audio 8",
        ]
    );
}

#[test]
fn t1_words_that_precede_their_answer_wait_for_it() {
    let frames = [
        hears("Hello."),
        says("Good "),
        hears(" You!"),
        says("day."),
        audio(),
        complete(),
    ];
    assert_eq!(
        script(&frames),
        [
            "speech",
            "user says \"Hello.\"",
            "user says \" You!\"",
            "silence",
            "user said \"Hello. You!\"",
            "response",
            "model says \"Good day.\"",
            "audio 8",
            "model said \"Good day.\"",
            "completed",
        ]
    );
}

#[test]
fn t1_words_after_the_end_of_their_turn_begin_no_response() {
    let answer = [audio(), says("How are"), complete(), says(" you?")];
    let told = |frames: &[Value]| {
        let mut decoder = decoder(json!({}));
        play(&mut decoder, &answer);
        play(&mut decoder, frames)
    };
    assert_eq!(
        told(&[hears("Fine."), audio(), says("Good."), complete()]),
        [
            "speech",
            "user says \"Fine.\"",
            "silence",
            "user said \"Fine.\"",
            "response",
            "audio 8",
            "model says \"Good.\"",
            "model said \"Good.\"",
            "completed",
        ]
    );
    assert_eq!(
        told(&[calls("look"), audio()]),
        ["call look", "response", "audio 8"]
    );
    assert_eq!(
        told(&[complete(), audio()]),
        ["passed", "response", "audio 8"]
    );
    assert_eq!(told(&[interrupted(), complete(), audio()])[0], "speech");
}

#[test]
fn a3_an_interruption_is_speech_first_and_ends_the_response_once() {
    let frames = [
        audio(),
        says("Once upon"),
        interrupted(),
        // Late, and of the old answer.
        audio(),
        says(" a time"),
        hears("Stop."),
        complete(),
        audio(),
        complete(),
    ];
    assert_eq!(
        script(&frames),
        [
            "response",
            "audio 8",
            "model says \"Once upon\"",
            "speech",
            "model said \"Once upon\"",
            "cancelled",
            "user says \"Stop.\"",
            "silence",
            "user said \"Stop.\"",
            "response",
            "audio 8",
            "completed",
        ]
    );
}

#[test]
fn t1_a_tool_call_does_not_overtake_the_words_that_caused_it() {
    let frames = [
        hears("Weather?"),
        calls("get_weather"),
        // Sent again while the tool runs.
        hears("Weather?"),
        together(&[audio(), says("Sunny.")]),
        complete(),
    ];
    assert_eq!(
        script(&frames),
        [
            "speech",
            "user says \"Weather?\"",
            "silence",
            "user said \"Weather?\"",
            "call get_weather",
            "response",
            "model says \"Sunny.\"",
            "audio 8",
            "model said \"Sunny.\"",
            "completed",
        ]
    );
}

#[test]
fn t6_a_turn_may_end_between_a_call_and_its_answer() {
    let frames = [calls("f"), complete(), audio(), complete()];
    assert_eq!(
        script(&frames),
        ["call f", "passed", "response", "audio 8", "completed"]
    );
    // Also in the frame of the call: what the user says next is speech.
    let frames = [together(&[calls("f"), complete()]), hears("And?")];
    assert_eq!(
        script(&frames),
        ["passed", "call f", "speech", "user says \"And?\""]
    );
}

#[test]
fn k4_a_cancelled_call_gives_the_turn_back_to_the_user() {
    let cancellation = json!({ "toolCallCancellation": { "ids": ["id-f", "id-g"] } });
    let frames = [calls("f"), hears("Never mind."), cancellation, audio()];
    assert_eq!(
        script(&frames),
        [
            "call f",
            "cancelled 2",
            "speech",
            "user says \"Never mind.\"",
            "silence",
            "user said \"Never mind.\"",
            "response",
            "audio 8",
        ]
    );
}

#[test]
fn an_interrupted_answer_is_over_at_the_first_proof_of_it() {
    let proofs = [
        complete(),
        json!({ "sessionResumptionUpdate": { "newHandle": "", "resumable": true } }),
        json!({ "serverContent": { "interactionStatus": "IDLE" } }),
        json!({ "serverContent": { "waitingForInput": true } }),
        activity(false),
        calls("f"),
    ];
    for proof in proofs {
        let mut decoder = decoder(json!({}));
        play(&mut decoder, &[audio(), interrupted()]);
        assert_eq!(play(&mut decoder, &[audio()]), Vec::<String>::new());
        play(&mut decoder, std::slice::from_ref(&proof));
        let told = play(&mut decoder, &[audio()]);
        assert_eq!(told[told.len() - 2..], ["response", "audio 8"], "{proof}");
    }
}

#[test]
fn a8_a_turn_after_which_the_model_goes_on_says_so() {
    let end = |status: &str| json!({ "serverContent": { "turnComplete": true, "interactionStatus": status } });
    let idle = json!({ "serverContent": { "interactionStatus": "IDLE" } });
    let (goes_on, ends) = (end("IN_PROGRESS"), end("IDLE"));
    let said = ["response", "audio 8", "completed"];
    let goes_on_after = ["response", "audio 8", "more", "completed"];
    let first = script(&[audio(), goes_on.clone()]);
    assert_eq!(first[first.len() - 4..], goes_on_after);
    let whole = script(&[audio(), goes_on.clone(), audio(), ends.clone()]);
    let whole = whole[whole.len() - 7..].to_vec();
    assert_eq!(whole, [&goes_on_after[..], &said].concat());
    // Thinking that comes to nothing, told with a turn or without one.
    assert_eq!(script(&[goes_on.clone(), ends]), ["more", "passed"]);
    assert_eq!(script(&[goes_on, idle.clone(), idle]), ["more", "passed"]);
}

#[test]
fn h5_the_end_of_a_turn_that_waits_for_the_user_is_told_once() {
    let waits = json!({ "serverContent": { "waitingForInput": true } });
    let ends = together(&[complete(), waits.clone()]);
    let said = ["response", "audio 8", "completed"];
    assert_eq!(script(&[audio(), ends.clone()]), said);
    assert_eq!(script(&[ends]), ["passed"]);
    // In two frames, in either order.
    assert_eq!(script(&[audio(), complete(), waits.clone()]), said);
    assert_eq!(script(&[complete(), waits.clone()]), ["passed"]);
    assert_eq!(script(&[waits.clone(), complete()]), ["passed"]);
    // What ends in the same way once more is the next turn, and so is what comes after speech.
    assert_eq!(script(&[waits.clone(), waits.clone()]), ["passed"; 2]);
    assert_eq!(script(&[complete(), complete()]), ["passed"; 2]);
    let turns = [waits.clone(), complete(), waits.clone(), complete()];
    assert_eq!(script(&turns), ["passed"; 2]);
    let spoken = script(&[complete(), hears("Well"), waits]);
    assert_eq!(spoken.iter().filter(|told| *told == "passed").count(), 2);
}

#[test]
fn h2_a_sentence_that_goes_on_is_not_cut_by_the_end_of_the_turn_before() {
    let frames = [
        hears("I would like"),
        json!({ "serverContent": { "waitingForInput": true } }),
        hears(" a pizza"),
        complete(),
        hears(" with cheese"),
        audio(),
    ];
    assert_eq!(
        script(&frames),
        [
            "speech",
            "user says \"I would like\"",
            "silence",
            "user said \"I would like\"",
            "passed",
            "speech",
            "user says \" a pizza\"",
            "user says \" with cheese\"",
            "silence",
            "user said \"a pizza with cheese\"",
            "response",
            "audio 8",
        ]
    );
}

#[test]
fn t6_reasons_for_the_end_of_a_turn() {
    let end = |reason: &str| json!({ "serverContent": { "turnComplete": true, "turnCompleteReason": reason } });
    let table = [
        ("TURN_COMPLETE_REASON_UNSPECIFIED", "completed"),
        ("NEED_MORE_INPUT", "completed"),
        (
            "MALFORMED_FUNCTION_CALL",
            "incomplete MALFORMED_FUNCTION_CALL",
        ),
        ("RESPONSE_REJECTED", "incomplete RESPONSE_REJECTED"),
        (
            "MAX_REGENERATION_REACHED",
            "incomplete MAX_REGENERATION_REACHED",
        ),
        ("SOMETHING_NEW", "incomplete SOMETHING_NEW"),
        (
            "PROHIBITED_INPUT_CONTENT",
            "failed PROHIBITED_INPUT_CONTENT",
        ),
        ("GENERATED_AUDIO_SAFETY", "failed GENERATED_AUDIO_SAFETY"),
        ("BLOCKLIST", "failed BLOCKLIST"),
        ("INPUT_IMAGE_CELEBRITY", "failed INPUT_IMAGE_CELEBRITY"),
        ("GENERATED_IMAGE_MINORS", "failed GENERATED_IMAGE_MINORS"),
        (
            "INPUT_TEXT_NCII_PROHIBITED",
            "failed INPUT_TEXT_NCII_PROHIBITED",
        ),
    ];
    for (reason, expected) in table {
        assert_eq!(script(&[audio(), end(reason)])[2..], [expected]);
        // Without a word or a sound it was an answer too, unless nothing is wrong.
        let silent: &[&str] = match expected {
            "completed" => &["passed"],
            expected => &["response", expected],
        };
        assert_eq!(script(&[end(reason)]), silent, "{reason}");
    }
}

#[test]
fn usage_is_told_once_and_with_its_response_where_there_is_one() {
    // Ticks along the way are part of the report at the end.
    let frames = [
        together(&[audio(), usage(0, 25)]),
        together(&[audio(), usage(0, 25)]),
        together(&[complete(), usage(800, 60)]),
    ];
    assert_eq!(script(&frames).last().unwrap(), "completed for 800+60");
    // Without a report they are all there is; a report that comes later is told without them.
    let frames = [
        together(&[audio(), usage(0, 25)]),
        together(&[complete(), usage(0, 25)]),
        usage(800, 60),
    ];
    assert_eq!(script(&frames)[2..], ["completed for 0+50", "usage 800+10"]);
    // A report before the ticks, and one in the middle of a response.
    let frames = [
        together(&[audio(), usage(800, 0)]),
        together(&[audio(), usage(0, 25)]),
        complete(),
    ];
    assert_eq!(
        script(&frames)[2..],
        ["usage 800+0", "audio 8", "completed for 0+25"]
    );
    // After an interruption there is no response to tell it with.
    let frames = [
        audio(),
        interrupted(),
        together(&[complete(), usage(9, 9)]),
        usage(0, 3),
    ];
    assert_eq!(
        script(&frames)[3..],
        ["cancelled", "usage 9+9", "usage 0+3"]
    );
    // A turn of tools only.
    let frames = [calls("f"), together(&[complete(), usage(5, 6)])];
    assert_eq!(script(&frames), ["call f", "passed", "usage 5+6"]);
}

#[test]
fn thoughts_are_neither_spoken_nor_written() {
    let parts = json!([
        { "text": "I should be brief.", "thought": true },
        { "text": "aside" },
        { "inlineData": { "mimeType": "audio/pcm", "data": "AAA=" } },
    ]);
    let frame = json!({ "serverContent": { "modelTurn": { "parts": parts } } });
    assert_eq!(
        script(std::slice::from_ref(&frame)),
        ["response", "audio 2"]
    );
    let mut written = decoder(json!({ "response_modalities": "text" }));
    assert_eq!(
        play(&mut written, &[frame, complete()]),
        [
            "response",
            "model says \"aside\"",
            "audio 2",
            "model said \"aside\"",
            "completed",
        ]
    );
}

#[test]
fn everything_in_a_frame_is_told_and_the_go_away_last() {
    let frame = together(&[
        json!({ "goAway": { "timeLeft": "17.250s" } }),
        usage(3, 4),
        json!({ "toolCallCancellation": { "ids": ["id-old"] } }),
        calls("f"),
        audio(),
        hears("Go."),
        activity(true),
        json!({ "sessionResumptionUpdate": { "newHandle": "h", "resumable": true } }),
    ]);
    assert_eq!(
        script(&[frame]),
        [
            "resumable h",
            "speech",
            "user says \"Go.\"",
            "silence",
            "user said \"Go.\"",
            "response",
            "audio 8",
            "call f",
            "cancelled 1",
            "usage 3+4",
            "go away Some(17.25s)",
        ]
    );
}

/// Whatever comes in whatever order: starts and ends balance.
#[test]
fn t6_starts_and_ends_balance_in_every_order() {
    let frames = [
        hears("a"),
        hears_all(),
        audio(),
        interrupted(),
        complete(),
        calls("f"),
        activity(true),
        activity(false),
        json!({ "toolCallCancellation": { "ids": ["x"] } }),
        json!({ "sessionResumptionUpdate": { "newHandle": "h", "resumable": true } }),
    ];
    let mut seed = 1_u64;
    for _ in 0..300 {
        let mut decoder = decoder(json!({}));
        let (mut speaking, mut answering) = (false, false);
        for _ in 0..40 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let frame = &frames[(seed >> 33) as usize % frames.len()];
            for event in decode(&mut decoder, frame) {
                let (state, is) = match event {
                    ProviderEvent::SpeechStarted { .. } => (&mut speaking, true),
                    ProviderEvent::SpeechStopped { .. } => (&mut speaking, false),
                    ProviderEvent::ResponseStarted { .. } => (&mut answering, true),
                    ProviderEvent::ResponseEnded { .. } => (&mut answering, false),
                    ProviderEvent::Audio { .. } => {
                        assert!(answering);
                        continue;
                    }
                    _ => continue,
                };
                assert_eq!(*state, !is, "{frame}");
                *state = is;
            }
        }
    }
}
