//! On a virtual clock: what goes out when, and how much of it was heard.

use super::*;

const RATE: u32 = 24_000;
const LEAD: Duration = Duration::from_millis(200);
/// A WebSocket client: whoever comes late leaves a gap.
const AHEAD: Pace = Pace {
    lead: LEAD,
    jitter_buffer: Duration::ZERO,
};
/// A WebRTC client.
const STEADY: Pace = Pace {
    lead: FRAME,
    jitter_buffer: Duration::from_millis(60),
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn pcm(length: Duration) -> Bytes {
    vec![1; audio::bytes_for(length, RATE)].into()
}

fn item(id: &str) -> AudioItem {
    AudioItem {
        response: 0,
        connection: 1,
        item_id: Some(id.into()),
        content_index: 0,
    }
}

fn playout() -> Playout {
    Playout::new(RATE, AHEAD, ms(10_000))
}

fn steady(audio: Duration) -> Playout {
    let mut playout = Playout::new(RATE, STEADY, ms(120_000));
    playout.push(&item("a"), pcm(audio));
    playout
}

/// Wake-ups as a busy machine makes them: each when it is asked for, and up to 15 ms later.
fn busy_wake_ups(
    playout: &mut Playout,
    until: Moment,
    mut each: impl FnMut(&Playout, Moment, Duration),
) {
    let mut now = ms(0);
    let mut round = 0;
    while now < until {
        let sent = send_due(playout, now);
        each(playout, now, sent);
        round += 1;
        let late = ms(round * 7 % 16);
        now = playout.next_frame(now).unwrap_or(now + FRAME) + late;
    }
}

fn send_due(playout: &mut Playout, now: Moment) -> Duration {
    let mut sent = Duration::ZERO;
    while let Some(due) = playout.poll(now) {
        if let Due::Audio(pcm) = due {
            sent += audio::duration_of(pcm.len(), RATE);
        }
    }
    sent
}

#[test]
fn a5_at_most_the_lead_is_beyond_recall() {
    let mut playout = playout();
    playout.push(&item("a"), pcm(ms(1000)));
    let mut sent = Duration::ZERO;
    for now in (0..2000).step_by(5).map(ms) {
        sent += send_due(&mut playout, now);
        assert!(sent <= now + LEAD, "{sent:?} sent at {now:?}");
        assert!(
            sent + FRAME > (now + LEAD).min(ms(1000)),
            "{sent:?} starves at {now:?}"
        );
    }
    assert_eq!(sent, ms(1000));
}

#[test]
fn a5_the_wake_up_is_when_the_next_frame_is_due() {
    let mut playout = playout();
    playout.push(&item("a"), pcm(ms(260)));
    playout.push_end_of_response();
    let mut now = ms(0);
    let mut last = None;
    for _ in 0..100 {
        while let Some(due) = playout.poll(now) {
            last = Some(due);
        }
        match playout.next_frame(now).or_else(|| playout.silent_at(now)) {
            Some(wake) => {
                assert!(wake > now, "woken at once at {now:?}");
                now = wake;
            }
            None => break,
        }
    }
    assert_eq!(last, Some(Due::EndOfResponse), "the mark comes last");
    assert_eq!(
        now,
        ms(260),
        "silent exactly when the last sample was played"
    );
}

#[test]
fn a4_heard_follows_the_pacing_clock() {
    let mut playout = playout();
    playout.push(&item("a"), pcm(ms(100)));
    playout.push(&item("b"), pcm(ms(1000)));
    for now in (0..=300).step_by(10).map(ms) {
        send_due(&mut playout, now);
    }
    assert_eq!(
        playout.heard_of(ms(300), Said::Item(1, &"a".into())),
        ms(100)
    );
    assert_eq!(
        playout.heard_of(ms(300), Said::Item(1, &"b".into())),
        ms(200)
    );
    let cut = playout.clear(ms(300));
    assert_eq!(
        cut,
        [Heard {
            item: item("b"),
            played: ms(200),
            of: ms(1000)
        }]
    );
    assert!(playout.is_silent(ms(300)));
}

#[test]
fn a4_a_client_that_reports_is_believed_within_the_clock() {
    let mut playout = playout();
    playout.push(&item("a"), pcm(ms(1000)));
    for now in (0..=500).step_by(10).map(ms) {
        send_due(&mut playout, now);
    }
    playout.report(ms(500), ms(380));
    assert_eq!(
        playout.heard_of(ms(500), Said::Item(1, &"a".into())),
        ms(380)
    );
    assert_eq!(
        playout.heard_of(ms(520), Said::Item(1, &"a".into())),
        ms(400)
    );
    playout.report(ms(520), ms(99_000));
    assert_eq!(
        playout.heard_of(ms(520), Said::Item(1, &"a".into())),
        ms(520),
        "no faster than time"
    );
}

#[test]
fn a5_a_gap_in_the_audio_starts_the_clock_anew() {
    let mut playout = playout();
    playout.push(&item("a"), pcm(ms(40)));
    send_due(&mut playout, ms(0));
    assert!(playout.is_silent(ms(40)));
    playout.push(&item("a"), pcm(ms(40)));
    assert_eq!(send_due(&mut playout, ms(1000)), ms(40));
    assert!(!playout.is_silent(ms(1039)));
    assert_eq!(
        playout.heard_of(ms(1020), Said::Item(1, &"a".into())),
        ms(60)
    );
}

#[test]
fn a5_the_backlog_is_bounded_in_seconds_of_speech() {
    let mut playout = playout();
    assert!(playout.push(&item("a"), pcm(ms(9_990))));
    assert!(!playout.push(&item("a"), pcm(ms(20))));
    playout.push_end_of_response();
    playout.clear(ms(0));
    assert!(playout.push(&item("a"), pcm(ms(20))));
}

#[test]
fn a5_late_wake_ups_do_not_slow_speech_down() {
    let mut playout = steady(ms(61_000));
    let mut sent = ms(0);
    busy_wake_ups(&mut playout, ms(60_000), |playout, now, piece| {
        sent += piece;
        assert!(sent >= now, "{sent:?} sent at {now:?}: the client starves");
        assert!(
            sent <= now + FRAME,
            "{sent:?} sent at {now:?}: more than a frame ahead"
        );
        let heard = playout.heard_of(now, Said::Item(1, &"a".into()));
        assert_eq!(heard, now, "the grid began with the call");
    });
}

#[test]
fn a5_a_client_without_a_jitter_buffer_hears_the_gap_and_then_no_burst() {
    let pace = Pace {
        jitter_buffer: ms(0),
        ..STEADY
    };
    let mut playout = Playout::new(RATE, pace, ms(10_000));
    playout.push(&item("a"), pcm(ms(1000)));
    assert_eq!(send_due(&mut playout, ms(0)), FRAME);
    assert_eq!(send_due(&mut playout, ms(22)), FRAME);
    assert_eq!(playout.heard_of(ms(30), Said::Item(1, &"a".into())), ms(28));
    assert_eq!(playout.next_frame(ms(30)), Some(ms(42)));
}

#[test]
fn a5_what_the_jitter_buffer_hid_is_caught_up_at_once() {
    let mut playout = steady(ms(1000));
    assert_eq!(send_due(&mut playout, ms(0)), FRAME);
    assert_eq!(playout.next_frame(ms(80)), Some(ms(80)), "it is overdue");
    assert_eq!(send_due(&mut playout, ms(80)), ms(80));
    assert_eq!(playout.heard_of(ms(80), Said::Item(1, &"a".into())), ms(80));
    assert_eq!(playout.next_frame(ms(80)), Some(ms(100)));
}

#[test]
fn a5_a_stall_starts_anew_and_does_not_burst() {
    let mut playout = steady(ms(1000));
    assert_eq!(send_due(&mut playout, ms(0)), FRAME);
    assert_eq!(send_due(&mut playout, ms(220)), FRAME);
    let heard = |now| playout.heard_of(now, Said::Item(1, &"a".into()));
    assert_eq!(heard(ms(220)), FRAME, "nothing was played meanwhile");
    assert_eq!(heard(ms(230)), ms(30));
    assert_eq!(playout.next_frame(ms(230)), Some(ms(240)));
}

#[test]
fn a5_an_answer_soon_after_another_goes_on_with_the_same_stream() {
    let mut playout = steady(ms(20));
    playout.push_end_of_response();
    assert_eq!(send_due(&mut playout, ms(0)), FRAME);
    assert!(playout.is_silent(ms(20)));
    playout.push(&item("b"), pcm(ms(1000)));
    assert_eq!(send_due(&mut playout, ms(50)), ms(40));
    assert_eq!(playout.heard_of(ms(50), Said::Item(1, &"b".into())), ms(30));

    playout.clear(ms(55));
    playout.push(&item("c"), pcm(ms(1000)));
    let sent = send_due(&mut playout, ms(75));
    assert_eq!(
        sent, FRAME,
        "a client that was cleared has nothing in its buffer"
    );
    assert_eq!(playout.heard_of(ms(75), Said::Item(1, &"c".into())), ms(0));
    let cut = playout.clear(ms(80));
    assert_eq!(cut[0].played, ms(5));
}

#[test]
fn a5_the_first_audio_of_a_call_is_never_late() {
    let mut playout = Playout::new(RATE, STEADY, ms(10_000));
    playout.push(&item("a"), pcm(ms(1000)));
    assert_eq!(send_due(&mut playout, ms(40)), FRAME);
    assert_eq!(playout.heard_of(ms(50), Said::Item(1, &"a".into())), ms(10));
}

#[test]
fn a5_the_end_is_exact_however_late_the_wake_ups_were() {
    let mut playout = steady(ms(250));
    let mut sent = ms(0);
    busy_wake_ups(&mut playout, ms(245), |_, _, piece| sent += piece);
    assert_eq!(sent, ms(250));
    assert_eq!(playout.silent_at(ms(245)), Some(ms(250)));
    assert!(!playout.is_silent(ms(249)));
    assert!(playout.is_silent(ms(250)));
    assert_eq!(playout.silent_at(ms(260)), None);
}

#[test]
fn a5_a_host_may_give_such_a_client_more_of_a_lead() {
    let pace = Pace {
        lead: LEAD,
        ..STEADY
    };
    let mut playout = Playout::new(RATE, pace, ms(10_000));
    playout.push(&item("a"), pcm(ms(1000)));
    assert_eq!(send_due(&mut playout, ms(0)), LEAD);
    assert_eq!(
        send_due(&mut playout, ms(230)),
        ms(220),
        "30 ms were hidden"
    );
    assert_eq!(
        playout.heard_of(ms(230), Said::Item(1, &"a".into())),
        ms(230)
    );
}

#[test]
fn a5_a_lead_below_a_frame_is_a_frame() {
    let pace = Pace {
        lead: ms(0),
        jitter_buffer: Duration::MAX,
    };
    let mut playout = Playout::new(RATE, pace, ms(10_000));
    playout.push(&item("a"), pcm(ms(1000)));
    assert_eq!(send_due(&mut playout, ms(0)), FRAME);
    assert_eq!(playout.next_frame(ms(1)), Some(ms(20)));
}

/// The lengths of what goes out, in ms; 0 for the end of a response.
fn pieces(playout: &mut Playout, now: Moment) -> Vec<u128> {
    std::iter::from_fn(|| playout.poll(now))
        .map(|due| match due {
            Due::Audio(pcm) => audio::duration_of(pcm.len(), RATE).as_millis(),
            Due::EndOfResponse => 0,
        })
        .collect()
}

#[test]
fn a5_frames_are_whole_wherever_the_provider_cuts_its_audio() {
    let mut playout = playout();
    for length in [30, 5, 3, 50, 7] {
        playout.push(&item("a"), pcm(ms(length)));
    }
    playout.push_end_of_response();
    playout.push(&item("b"), pcm(ms(25)));
    assert_eq!(
        pieces(&mut playout, ms(0)),
        [20, 20, 20, 20, 15, 0, 20, 5],
        "short only where a response ends, or where nothing follows"
    );
    playout.push(&item("b"), pcm(ms(30)));
    assert_eq!(pieces(&mut playout, ms(0)), [20, 10]);
    let (a, b): (ItemId, ItemId) = ("a".into(), "b".into());
    let (a, b) = (Said::Item(1, &a), Said::Item(1, &b));
    assert_eq!(playout.heard_of(ms(100), a), ms(95));
    assert_eq!(playout.heard_of(ms(100), b), ms(5));
    assert!(playout.has_played(ms(95), a));
    assert!(!playout.has_played(ms(149), b));
    assert!(playout.has_played(ms(150), b));
}

#[test]
fn a5_a_frame_may_be_of_two_items_and_each_is_heard_for_itself() {
    let mut playout = steady(ms(30));
    playout.push(&item("b"), pcm(ms(30)));
    for now in [0, 20, 40].map(ms) {
        assert_eq!(send_due(&mut playout, now), FRAME);
    }
    assert_eq!(playout.heard_of(ms(35), Said::Item(1, &"a".into())), ms(30));
    let cut = playout.clear(ms(35));
    let heard: Vec<_> = cut.iter().map(|part| (part.played, part.of)).collect();
    assert_eq!(heard, [(ms(5), ms(30))], "of `b`; `a` was heard whole");
}

#[test]
fn a5_joined_audio_is_the_same_audio() {
    let mut playout = playout();
    let samples: Vec<u8> = (0..audio::bytes_for(ms(200), RATE))
        .map(|i| i as u8)
        .collect();
    let whole = Bytes::from(samples);
    let mut rest = whole.clone();
    for samples in (1..).map(|n| n * 37) {
        let chunk = rest.split_to((samples * BYTES_PER_SAMPLE).min(rest.len()));
        if chunk.is_empty() {
            break;
        }
        playout.push(&item("a"), chunk);
    }
    let mut out = Vec::new();
    while let Some(Due::Audio(pcm)) = playout.poll(ms(0)) {
        out.extend_from_slice(&pcm);
    }
    assert_eq!(out, whole);
}

#[test]
fn a2_what_waits_is_brought_to_the_rate_of_the_new_connection() {
    let mut playout = playout();
    playout.push(&item("a"), pcm(ms(105)));
    playout.push_end_of_response();
    playout.set_rate(16_000);
    playout.push(&item("b"), vec![1; audio::bytes_for(ms(40), 16_000)].into());
    let bytes: Vec<usize> = std::iter::from_fn(|| playout.poll(ms(0)))
        .map(|due| match due {
            Due::Audio(pcm) => pcm.len(),
            Due::EndOfResponse => 0,
        })
        .collect();
    assert_eq!(bytes, [640, 640, 640, 640, 640, 160, 0, 640, 640]);
    assert_eq!(playout.silent_at(ms(0)), Some(ms(145)));
    assert!(playout.has_played(ms(145), Said::Item(1, &"b".into())));
}
