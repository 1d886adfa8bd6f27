//! The pace, the hold, and what is heard again.

use super::*;

const RATE: u32 = 16_000;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// 20 ms that can be told from every other.
fn piece(number: u16) -> Piece {
    let sample = number.to_le_bytes();
    Piece::Audio(sample.repeat(320).into())
}

fn provider() -> ProviderCapabilities {
    let mut provider = ProviderCapabilities::new(RATE, RATE);
    provider.pings = true;
    provider.manual_turns = true;
    provider
}

fn number(piece: &Piece) -> u16 {
    match piece {
        Piece::Audio(pcm) => u16::from_le_bytes([pcm[0], pcm[1]]),
        Piece::Begins => 10_001,
        Piece::Ends => 10_002,
    }
}

fn flow(uplink: &mut Uplink, now: Moment) -> Vec<u16> {
    std::iter::from_fn(|| uplink.poll(now))
        .map(|command| number(&command))
        .collect()
}

fn open() -> Uplink {
    let mut uplink = Uplink::new(RATE, ms(5_000));
    assert_eq!(uplink.open(ms(0), &provider()), 0);
    uplink
}

/// Sends these pieces in real time from piece 0 at 0 ms.
fn speak(uplink: &mut Uplink, pieces: std::ops::Range<u16>) {
    for n in pieces {
        assert_eq!(uplink.push(ms(0), piece(n)), Kept::Whole);
        assert_eq!(flow(uplink, ms(20 * u64::from(n))), [n]);
    }
}

fn replayed(uplink: &mut Uplink, at: Moment) -> Vec<u16> {
    uplink.shut();
    assert_eq!(uplink.open(at, &provider()), 0);
    let mut all = Vec::new();
    let mut now = at;
    while let Some(wake) = uplink.next_wake() {
        now = now.max(wake);
        all.extend(flow(uplink, now));
    }
    all
}

#[test]
fn a_live_connection_gets_audio_at_once_even_in_bursts() {
    let mut uplink = open();
    for n in 0..10 {
        uplink.push(ms(0), piece(n));
    }
    assert_eq!(flow(&mut uplink, ms(1000)), (0..10).collect::<Vec<_>>());
    assert!(uplink.is_clear());
    assert_eq!(uplink.next_wake(), None);
}

#[test]
fn h1_held_audio_goes_in_order_at_the_pace_the_provider_takes() {
    let mut uplink = open();
    uplink.shut();
    for n in 0..100 {
        assert_eq!(uplink.push(ms(0), piece(n)), Kept::Whole);
    }
    assert_eq!(uplink.held(), ms(2000));
    assert_eq!(
        flow(&mut uplink, ms(2000)),
        [0_u16; 0],
        "nothing while it is shut"
    );
    uplink.open(ms(2000), &provider());
    let (mut all, mut now, mut live) = (Vec::new(), ms(2000), 100);
    while let Some(wake) = uplink.next_wake() {
        now = now.max(wake);
        while ms(20 * u64::from(live)) <= now {
            uplink.push(ms(0), piece(live));
            live += 1;
        }
        all.extend(flow(&mut uplink, now));
        let sent = ms(20 * all.len() as u64);
        assert!(
            sent <= now.saturating_sub(ms(2000)) * 4 + BURST + ms(20),
            "too fast at {now:?}"
        );
    }
    assert_eq!(
        all,
        (0..live).collect::<Vec<_>>(),
        "nothing lost, nothing reordered"
    );
    assert!(
        now < ms(2800),
        "2 s are caught up after {:?}",
        now.saturating_sub(ms(2000))
    );
}

#[test]
fn h2_what_is_older_than_the_hold_is_dropped_oldest_first_and_counted() {
    let mut uplink = open();
    uplink.shut();
    let mut dropped = 0;
    for n in 0..300 {
        if let Kept::DroppedOldest(pieces) = uplink.push(ms(0), piece(n)) {
            dropped += pieces;
        }
    }
    assert_eq!(dropped, 50);
    assert_eq!(uplink.held(), ms(5000));
    assert_eq!(
        replayed(&mut uplink, ms(6000)),
        (50..300).collect::<Vec<_>>()
    );
}

#[test]
fn h2_the_sentence_that_a_lost_connection_broke_off_is_heard_from_its_beginning() {
    let mut uplink = open();
    speak(&mut uplink, 0..100);
    uplink.received(uplink.sent());
    uplink.speech_began(ms(90_000), 1);
    speak(&mut uplink, 100..180);
    uplink.received(uplink.sent());
    assert!(uplink.holds_speech());
    let whole: Vec<u16> = (65..180).collect();
    let again = replayed(&mut uplink, ms(3600));
    assert_eq!(again, whole, "with what came right before");
    let again = replayed(&mut uplink, ms(5000));
    assert_eq!(again, whole, "and once more, if that connection breaks too");
}

#[test]
fn h2_a_settled_utterance_is_not_heard_twice() {
    let mut uplink = open();
    speak(&mut uplink, 0..100);
    uplink.speech_began(ms(90_000), 1);
    speak(&mut uplink, 100..180);
    uplink.speech_ended(ms(90_000));
    assert!(uplink.holds_speech(), "its words may still be missing");
    uplink.speech_settled(1);
    speak(&mut uplink, 180..190);
    assert_eq!(
        replayed(&mut uplink, ms(3800)),
        (170..190).collect::<Vec<_>>()
    );
}

#[test]
fn h2_the_next_utterance_is_kept_when_the_one_before_is_settled() {
    let mut uplink = open();
    speak(&mut uplink, 0..100);
    uplink.speech_began(ms(90_000), 1);
    speak(&mut uplink, 100..150);
    uplink.speech_ended(ms(90_000));
    speak(&mut uplink, 150..160);
    uplink.speech_began(ms(90_000), 2);
    speak(&mut uplink, 160..300);
    uplink.speech_settled(1);
    uplink.received(uplink.sent());
    speak(&mut uplink, 300..301);
    let again = replayed(&mut uplink, ms(6100));
    assert_eq!(again, (140..301).collect::<Vec<_>>());
}

#[test]
fn h2_of_two_utterances_only_the_one_that_is_not_settled_is_heard_again() {
    let mut uplink = open();
    speak(&mut uplink, 0..60);
    uplink.speech_began(ms(90_000), 1);
    speak(&mut uplink, 60..100);
    uplink.speech_ended(ms(90_000));
    speak(&mut uplink, 100..110);
    uplink.speech_began(ms(90_000), 2);
    speak(&mut uplink, 110..150);
    uplink.speech_ended(ms(90_000));
    speak(&mut uplink, 150..160);
    uplink.received(uplink.sent());
    uplink.speech_settled(2);
    let again: Vec<u16> = (25..90).chain(140..160).collect();
    assert_eq!(replayed(&mut uplink, ms(3200)), again);
    assert_eq!(replayed(&mut uplink, ms(9000)), again, "nor the time after");
    uplink.speech_began(ms(90_000), 1);
    uplink.speech_ended(ms(90_000));
    uplink.speech_settled(1);
    assert!(!uplink.holds_speech());
}

#[test]
fn h5_what_a_dead_connection_swallowed_is_kept_since_the_last_sign_of_life() {
    let mut uplink = open();
    speak(&mut uplink, 0..100);
    uplink.received(uplink.sent());
    speak(&mut uplink, 100..300);
    let again: Vec<u16> = (65..300).collect();
    assert_eq!(
        replayed(&mut uplink, ms(6000)),
        again,
        "and what came right before"
    );
}

#[test]
fn in_silence_little_is_kept() {
    let mut uplink = open();
    for n in 0..1000 {
        uplink.push(ms(0), piece(n));
        flow(&mut uplink, ms(20 * u64::from(n)));
        if n % 100 == 0 {
            uplink.received(uplink.sent());
        }
        let kept = audio::duration_of(uplink.kept.bytes(), RATE);
        assert!(kept <= ms(2740), "{kept:?} of silence");
    }
}

#[test]
fn a_manual_turn_is_repeated_with_its_marks_and_forgotten_with_them() {
    let mut uplink = open();
    uplink.speech_began(ms(90_000), 1);
    uplink.push(ms(0), Piece::Begins);
    assert_eq!(flow(&mut uplink, ms(0)), [10_001]);
    speak(&mut uplink, 1..100);
    uplink.push(ms(0), Piece::Ends);
    flow(&mut uplink, ms(2000));
    uplink.speech_ended(ms(90_000));
    let again = replayed(&mut uplink, ms(2000));
    let whole: Vec<u16> = [10_001].into_iter().chain(1..100).chain([10_002]).collect();
    assert_eq!(again, whole);
    uplink.speech_settled(1);
    assert_eq!(replayed(&mut uplink, ms(9000)), [0_u16; 0]);
}

#[test]
fn a_connection_that_was_only_shut_goes_on_where_it_stopped() {
    let mut uplink = open();
    speak(&mut uplink, 0..50);
    uplink.shut();
    uplink.push(ms(0), piece(50));
    uplink.reopen();
    assert_eq!(flow(&mut uplink, ms(1100)), [50], "and hears nothing twice");
}

#[test]
fn s4_early_audio_is_kept_and_the_newest_is_dropped() {
    let mut uplink = Uplink::new(RATE, ms(5_000));
    let mut dropped = 0;
    for n in 0..1700 {
        dropped += usize::from(uplink.push(ms(0), piece(n)) == Kept::DroppedNewest);
    }
    assert_eq!(dropped, 1700 - EARLY_BYTES / 640);
    uplink.open(ms(0), &provider());
    assert_eq!(flow(&mut uplink, ms(60_000)).first(), Some(&0));
}

#[test]
fn h2_an_utterance_is_known_again_by_its_place_and_settles_once() {
    let mut uplink = open();
    speak(&mut uplink, 0..60);
    uplink.speech_began(ms(90_000), 1);
    speak(&mut uplink, 60..100);
    uplink.speech_ended(ms(90_000));
    assert!(!replayed(&mut uplink, ms(2000)).is_empty());
    // Nobody waits for number 1 any more.
    uplink.speech_began(ms(90_000), 7);
    uplink.speech_ended(ms(90_000));
    uplink.speech_settled(7);
    assert!(!uplink.holds_speech());
}

#[test]
fn h2_two_losses_in_a_row_repeat_nothing_of_an_utterance_that_had_ended() {
    let mut uplink = open();
    speak(&mut uplink, 0..60);
    uplink.speech_began(ms(90_000), 1);
    speak(&mut uplink, 60..100);
    uplink.speech_ended(ms(90_000));
    uplink.received(uplink.sent());
    let first = replayed(&mut uplink, ms(2000));
    assert_eq!(first, (25..100).collect::<Vec<_>>());
    // The next connection is sent four times as fast, and notices the end when all of it is on its way.
    let now = ms(2400);
    uplink.speech_began(now, 1);
    uplink.speech_ended(now);
    uplink.speech_settled(1);
    let again = replayed(&mut uplink, ms(2500));
    assert_eq!(
        again,
        (90..100).collect::<Vec<_>>(),
        "what came after its end"
    );
}

#[test]
fn h2_a_pause_before_the_end_that_was_known_is_no_end_of_what_follows() {
    let mut uplink = open();
    speak(&mut uplink, 0..60);
    uplink.speech_began(ms(90_000), 1);
    speak(&mut uplink, 60..200);
    uplink.speech_ended(ms(90_000));
    uplink.received(uplink.sent());
    uplink.shut();
    assert_eq!(uplink.open(ms(4000), &provider()), 0);
    let (mut now, mut heard) = (ms(4000), Vec::new());
    while heard.len() < 100 {
        now = now.max(uplink.next_wake().unwrap());
        heard.extend(flow(&mut uplink, now));
    }
    // It takes a pause in the middle for the end.
    uplink.speech_began(now, 1);
    uplink.speech_ended(now);
    uplink.speech_settled(1);
    let last = *heard.last().unwrap();
    assert_eq!(
        replayed(&mut uplink, now),
        (last - 19..200).collect::<Vec<_>>()
    );
}

#[test]
fn x5_utterances_that_are_never_understood_are_bounded() {
    let mut uplink = open();
    for number in 0..1_000 {
        uplink.speech_began(ms(number), number);
        uplink.speech_ended(ms(number));
    }
    assert_eq!(uplink.utterances.len(), MAX_UTTERANCES);
    assert!(!uplink.holds(0) && uplink.holds(999));
}

#[test]
fn s4_early_audio_is_not_cut_to_the_hold_while_it_catches_up() {
    let mut uplink = Uplink::new(RATE, ms(5_000));
    for n in 0..400 {
        uplink.push(ms(0), piece(n));
    }
    uplink.open(ms(0), &provider());
    assert_eq!(uplink.push(ms(0), piece(400)), Kept::Whole);
    assert_eq!(flow(&mut uplink, ms(0)).first(), Some(&0));
    while let Some(wake) = uplink.next_wake() {
        flow(&mut uplink, wake);
    }
    uplink.shut();
    let dropped = (0..400).filter(|n| uplink.push(ms(0), piece(*n)) != Kept::Whole);
    assert!(dropped.count() > 0, "afterwards it is the hold that counts");
}
