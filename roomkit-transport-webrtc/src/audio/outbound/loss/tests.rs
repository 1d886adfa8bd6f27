use proptest::{collection::vec, prelude::*};

use super::*;

const FRAME_MS: u32 = 20;

/// Chance that is the same in each run.
struct Chance(u32);

impl Chance {
    /// Less than `end`.
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % end
    }
}

/// A client at the far end of a network that loses and reorders, and what is expected of it.
struct Call {
    loss: Loss,
    chance: Chance,
    /// Each packet is delayed by less than so much, so they overtake each other.
    jitter_ms: u32,
    /// So many packets are sent from report to report.
    report_every: u32,
    first: u16,
    sent: u32,
    /// What is on its way: when it comes, and its place.
    underway: Vec<(u32, u32)>,
    /// How many came, and the last place of them.
    came: i32,
    latest: u32,
}

impl Call {
    fn new(seed: u32, jitter_ms: u32, report_every: u32) -> Self {
        let mut chance = Chance(seed);
        // Half of the calls see the numbers begin anew soon.
        let first = (chance.below(1000) as u16).wrapping_sub(500);
        Self {
            loss: Loss::new(first),
            chance,
            jitter_ms,
            report_every,
            first,
            sent: 0,
            underway: Vec::new(),
            came: 0,
            latest: 0,
        }
    }

    /// Sends a packet on a network that loses so many in a hundred. Gives what the encoder is told.
    fn send(&mut self, percent: u32) -> Option<u8> {
        let now = FRAME_MS * self.sent;
        if self.chance.below(100) >= percent {
            let delay = self.chance.below(self.jitter_ms.max(1));
            self.underway.push((now + delay, self.sent));
        }
        self.sent += 1;
        let now = now + self.chance.below(FRAME_MS);
        for (_, place) in self.underway.extract_if(.., |(at, _)| *at <= now) {
            self.came += 1;
            self.latest = self.latest.max(place);
        }
        if !self.sent.is_multiple_of(self.report_every) {
            return None;
        }
        self.loss.report(Reception {
            latest: self.first.wrapping_add(self.latest as u16),
            lost: (self.latest + 1).cast_signed() - self.came,
        })
    }

    /// Sends until the encoder is told of losses (or that there are none any more). Gives how many
    /// packets that took, 5000 at most.
    fn until(&mut self, expects: bool, percent: u32) -> u32 {
        let before = self.sent;
        while (self.loss.percent > 0) != expects && self.sent < before + 5000 {
            self.send(percent);
        }
        self.sent - before
    }
}

/// Every half second to every 5 s, the latter as browsers do.
const CADENCES: [u32; 5] = [25, 37, 50, 110, 250];

#[test]
fn c3_packets_that_come_late_are_no_losses() {
    for report_every in CADENCES {
        for jitter_ms in [0, 40, 60] {
            for seed in 0..50 {
                let mut call = Call::new(seed, jitter_ms, report_every);
                for _ in 0..3000 {
                    assert_eq!(call.send(0), None, "{jitter_ms} ms, {report_every}, {seed}");
                }
            }
        }
    }
}

#[test]
fn c3_losses_are_expected_within_seconds_and_forgotten_after_them() {
    for report_every in CADENCES {
        // A window is the reports of 100 packets; the losses begin within one.
        let window = 100_u32.next_multiple_of(report_every);
        for (percent, windows) in [(5, 4), (15, 2)] {
            for seed in 0..50 {
                let what = format!("{percent} %, {report_every}, {seed}");
                let mut call = Call::new(seed, 40, report_every);
                for _ in 0..seed {
                    call.send(0);
                }
                let took = call.until(true, percent);
                assert!(took <= windows * window, "{what}: {took} packets");
                for _ in 0..1000 {
                    call.send(percent);
                    assert!(call.loss.percent > 0, "{what}");
                }
                let told = u32::from(call.loss.percent);
                assert!(
                    (percent / 2..=3 * percent).contains(&told),
                    "{what}: {told}"
                );
                let took = call.until(false, 0);
                assert!((500..2500).contains(&took), "{what}: {took} packets");
            }
        }
    }
}

/// Reports that come after `packets` more each, of which this many were lost.
struct Client {
    loss: Loss,
    said: Reception,
}

impl Client {
    fn new() -> Self {
        Self {
            loss: Loss::new(1),
            said: Reception { latest: 0, lost: 0 },
        }
    }

    fn says(&mut self, packets: u16, lost: i32) -> Option<u8> {
        self.said.latest = self.said.latest.wrapping_add(packets);
        self.said.lost += lost;
        self.loss.report(self.said)
    }
}

#[test]
fn on_at_once_and_off_slowly() {
    let mut client = Client::new();
    assert_eq!(client.says(400, 3), None, "not worth it");
    assert_eq!(client.says(100, 5), Some(5));
    let mut windows = 0;
    while client.loss.percent > 0 {
        client.says(100, 0);
        windows += 1;
    }
    assert!((5..20).contains(&windows), "{windows} windows");
    let little = client.says(500, 4);
    assert_eq!(little, None, "what keeps it on does not turn it on");
}

#[test]
fn a_window_is_as_many_reports_as_it_takes() {
    let mut client = Client::new();
    assert_eq!(client.says(50, 6), None);
    assert_eq!(client.says(49, 0), None);
    assert_eq!(client.says(1, 0), Some(6), "from the first packet on");
    assert_eq!(client.says(99, 30), None);
}

#[test]
fn seldom_reports_are_forgotten_no_slower() {
    let packets_until_off = |report_every: u16| {
        let mut client = Client::new();
        client.says(report_every, i32::from(report_every) / 10);
        let mut packets = 0;
        while client.loss.percent > 0 {
            client.says(report_every, 0);
            packets += u32::from(report_every);
        }
        packets
    };
    let (often, seldom) = (packets_until_off(100), packets_until_off(250));
    assert!(seldom.abs_diff(often) <= 250, "{often} and {seldom}");
}

#[test]
fn what_comes_late_is_taken_back() {
    let mut client = Client::new();
    assert_eq!(client.says(60, 20), None);
    assert_eq!(client.says(60, -20), None);
    // More came than was missing, as where packets come twice.
    assert_eq!(client.says(100, -50), None);
    assert_eq!(client.says(100, 10), Some(10));
}

#[test]
fn a_report_that_is_overtaken_changes_nothing() {
    let mut client = Client::new();
    client.says(100, 0);
    let overtaken = client.said;
    client.says(200, 20);
    assert_eq!(client.loss.percent, 10);
    assert_eq!(client.loss.report(overtaken), None);
    assert_eq!(client.loss.percent, 10);
    client.says(100, 0);
    assert!(client.loss.percent > 5);
}

#[test]
fn a_client_may_count_anew() {
    let mut client = Client::new();
    client.says(100, 10);
    client.said.lost = 0;
    client.says(100, 0);
    assert!(
        client.loss.percent > 5,
        "it has nothing to say of that window"
    );
    client.says(100, 12);
    assert_eq!(client.loss.percent, 12);
}

fn reception() -> impl Strategy<Value = Reception> {
    (any::<u16>(), any::<i32>()).prop_map(|(latest, lost)| Reception { latest, lost })
}

proptest! {
    /// And whatever was said before, an honest client is understood.
    #[test]
    fn x5_reports_may_be_nonsense(
        nonsense in vec(reception(), 0..50),
        honest in (any::<u16>(), -0x0080_0000..0x007f_0000_i32),
        step in 20_u16..400,
    ) {
        let mut loss = Loss::new(0);
        for reception in nonsense {
            prop_assert!(loss.report(reception).is_none_or(|percent| percent <= MOST));
        }
        let mut client = Client { loss, said: Reception { latest: honest.0, lost: honest.1 } };
        for _ in 0..=(4_000 / step) {
            client.says(step, 0);
        }
        prop_assert_eq!(client.loss.percent, 0, "nothing is lost");
        for _ in 0..=(200 / step) {
            client.says(step, i32::from(step) / 10);
        }
        prop_assert!(client.loss.percent > 5, "a tenth is lost: {}", client.loss.percent);
    }
}
