//! Speech and finals that are derived from the wire, as scripts of frames.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::support::{
    activity, audio, complete, decoder, hears, hears_all, interrupted, play, together, told, usage,
};

/// Plays the frames on a connection whose vendor finds out when the user speaks.
fn script(frames: &[Value]) -> Vec<String> {
    play(&mut decoder(json!({})), frames)
}

#[test]
fn a3_words_that_precede_an_interruption_belong_to_it() {
    let frames = [
        hears("Tell me a story."),
        audio(),
        hears(" No,"),
        interrupted(),
        hears(" wait."),
        complete(),
        audio(),
        complete(),
    ];
    let told = script(&frames);
    assert_eq!(
        told[6..12],
        [
            "speech",
            "cancelled",
            "user says \" No,\"",
            "user says \" wait.\"",
            "silence",
            "user said \"No, wait.\"",
        ]
    );
}

#[test]
fn a3_late_words_while_the_model_speaks_are_no_barge_in() {
    let late = [hears("What time"), audio(), hears(" is it?"), audio()];
    let told = script(&late);
    assert_eq!(told.iter().filter(|word| *word == "speech").count(), 1);
    // They are told as words of their own when the answer is over.
    let mut frames = late.to_vec();
    frames.push(complete());
    let told = script(&frames);
    assert_eq!(
        told[told.len() - 2..],
        ["user said \"is it?\"", "completed"]
    );
}

#[test]
fn a3_an_interruption_without_words_is_one_all_the_same() {
    let frames = [audio(), interrupted(), complete(), audio(), complete()];
    assert_eq!(
        script(&frames),
        [
            "response",
            "audio 8",
            "speech",
            "cancelled",
            "silence",
            "wordless",
            "response",
            "audio 8",
            "completed",
        ]
    );
}

#[test]
fn t3_a_finished_utterance_that_is_sent_again_is_told_once() {
    let frames = [
        hears("Hello."),
        hears_all(),
        hears("Hello."),
        hears_all(),
        audio(),
        hears("Hello."),
        complete(),
    ];
    let told = script(&frames);
    let finals = told.iter().filter(|word| word.starts_with("user said"));
    assert_eq!(finals.count(), 1, "{told:?}");
    assert_eq!(told.last().unwrap(), "completed");
}

#[test]
fn t3_who_says_the_same_twice_has_said_it_twice() {
    for session in [json!({}), json!({ "server_vad": false })] {
        let turn = [hears("Yes."), audio(), complete()];
        let frames = [turn.clone(), turn].concat();
        let told = play(&mut decoder(session), &frames);
        let finals = told.iter().filter(|word| *word == "user said \"Yes.\"");
        assert_eq!(finals.count(), 2, "{told:?}");
    }
    let with_vad = [
        activity(true),
        hears("Yes."),
        activity(false),
        audio(),
        complete(),
    ];
    let told = script(&[with_vad.clone(), with_vad].concat());
    let finals = told.iter().filter(|word| *word == "user said \"Yes.\"");
    assert_eq!(finals.count(), 2, "{told:?}");
}

#[test]
fn t6_a_turn_without_an_answer_ends_the_speech() {
    let expected = [
        "speech",
        "user says \"Mhm.\"",
        "silence",
        "user said \"Mhm.\"",
        "passed",
    ];
    for end in [
        complete(),
        json!({ "serverContent": { "waitingForInput": true } }),
    ] {
        assert_eq!(script(&[hears("Mhm."), end]), expected);
    }
}

#[test]
fn speech_that_the_vendor_tells_of_is_not_concluded_too() {
    let frames = [
        activity(true),
        hears("Tell me"),
        activity(false),
        // The words lag behind.
        hears(" more."),
        audio(),
        // A barge-in: the vendor says so before and after.
        activity(true),
        hears("Stop"),
        interrupted(),
        audio(),
        activity(false),
        complete(),
        audio(),
        complete(),
        hears("Stop"),
    ];
    assert_eq!(
        script(&frames),
        [
            "speech",
            "user says \"Tell me\"",
            "silence",
            "user says \" more.\"",
            "user said \"Tell me more.\"",
            "response",
            "audio 8",
            "speech",
            "user says \"Stop\"",
            "cancelled",
            "silence",
            "user said \"Stop\"",
            "response",
            "audio 8",
            "completed",
            "user says \"Stop\"",
        ]
    );
}

#[test]
fn the_older_signals_of_speech_mean_the_same() {
    let signal = |kind: &str| json!({ "voiceActivityDetectionSignal": { "vadSignalType": kind } });
    let frames = [
        signal("VAD_SIGNAL_TYPE_SOS"),
        signal("VAD_SIGNAL_TYPE_SOS"),
        signal("VAD_SIGNAL_TYPE_EOS"),
        signal("SOMETHING_NEW"),
    ];
    assert_eq!(script(&frames), ["speech", "silence"]);
}

#[test]
fn t6_two_utterances_without_an_answer_have_each_their_final() {
    let frames = [
        activity(true),
        hears("One."),
        activity(false),
        activity(true),
        activity(false),
        activity(true),
    ];
    assert_eq!(
        script(&frames),
        [
            "speech",
            "user says \"One.\"",
            "silence",
            "user said \"One.\"",
            "speech",
            "silence",
            "wordless",
            "speech",
        ]
    );
}

#[test]
fn a_guess_at_words_is_a_sign_of_speech_and_no_piece_of_them() {
    let guess =
        |text: &str| json!({ "serverContent": { "interimInputTranscription": { "text": text } } });
    let frames = [
        guess(" "),
        guess("hel"),
        guess("hello"),
        hears("Hello."),
        audio(),
        guess("x"),
    ];
    assert_eq!(
        script(&frames),
        [
            "speech",
            "user says \"Hello.\"",
            "silence",
            "user said \"Hello.\"",
            "response",
            "audio 8",
        ]
    );
}

#[test]
fn with_manual_turns_the_host_knows_who_speaks() {
    let mut decoder = decoder(json!({ "server_vad": false }));
    let frames = [
        hears("Hello."),
        audio(),
        activity(true),
        interrupted(),
        complete(),
        audio(),
    ];
    assert_eq!(
        play(&mut decoder, &frames),
        [
            "user says \"Hello.\"",
            "user said \"Hello.\"",
            "response",
            "audio 8",
            "cancelled",
            "response",
            "audio 8",
        ]
    );
}

#[test]
fn without_transcription_nobody_is_wordless() {
    let mut decoder = decoder(json!({ "input_transcription": false }));
    let frames = [audio(), interrupted(), complete(), audio(), complete()];
    assert_eq!(
        play(&mut decoder, &frames),
        [
            "response",
            "audio 8",
            "speech",
            "cancelled",
            "silence",
            "response",
            "audio 8",
            "completed",
        ]
    );
}

/// What this means when the connection breaks after these frames.
fn breaks_after(session: Value, frames: &[Value]) -> Vec<String> {
    let mut decoder = decoder(session);
    play(&mut decoder, frames);
    let mut events = VecDeque::new();
    decoder.finish(&mut events);
    events.iter().map(told).collect()
}

#[test]
fn h1_what_was_said_before_a_connection_broke_is_told() {
    let finish = |frames: &[Value]| breaks_after(json!({}), frames);
    let answering = [
        hears("Hi."),
        together(&[audio(), usage(0, 9)]),
        hears("Wait."),
    ];
    assert_eq!(finish(&answering), ["user said \"Wait.\"", "usage 0+9"]);
    assert_eq!(finish(&[audio(), complete()]), [] as [&str; 0]);
    let finished = [activity(true), hears("Hi."), activity(false)];
    assert_eq!(finish(&finished), ["user said \"Hi.\""]);
}

#[test]
fn h2_a_sentence_that_may_still_go_on_when_its_connection_breaks_is_not_ended() {
    let nothing = [] as [&str; 0];
    let finish = |frames: &[Value]| breaks_after(json!({}), frames);
    assert_eq!(finish(&[hears("I would"), hears(" like")]), nothing);
    assert_eq!(finish(&[audio(), interrupted()]), nothing);
    assert_eq!(finish(&[activity(true), hears("I would")]), nothing);
    let manual = json!({ "server_vad": false });
    assert_eq!(breaks_after(manual, &[hears("I would")]), nothing);
}
