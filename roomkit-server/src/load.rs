//! New calls are refused while the process has too much to do, so that those that are running keep
//! their time (contract C5). What is measured is what they feel: how busy the runtime's threads are,
//! and how late its timers wake.

use std::{collections::VecDeque, time::Duration};

use metrics::gauge;
use roomkit::http::Admission;
use tokio::{
    runtime::{Handle, RuntimeMetrics},
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::config::LimitsConfig;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(20);
/// Over how long it is judged.
const WINDOW: Duration = Duration::from_secs(2);
/// Of less than this nothing is concluded.
const ENOUGH: Duration = Duration::from_secs(1);
/// How many looks make a judgement.
const LOOKS: u32 = 10;
/// Of the lateness of timers, what one in so many looks is above: a hiccup is no overload.
const ONE_IN: usize = 20;
/// New calls are taken again once everything is below this share of its limit.
const RELIEF: f64 = 0.85;

/// Above which load new calls are refused; `None`: at none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LoadLimits {
    /// Share of the time of the runtime's threads.
    load: Option<f64>,
    lateness: Option<Duration>,
}

impl From<&LimitsConfig> for LoadLimits {
    fn from(config: &LimitsConfig) -> Self {
        let lateness = Duration::from_millis(config.max_timer_lateness_ms);
        Self {
            load: (config.max_load < 1.0).then_some(config.max_load),
            lateness: (!lateness.is_zero()).then_some(lateness),
        }
    }
}

/// What the process has had to do of late.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Load {
    /// The share of the time in which the runtime's threads were busy, from 0 to 1.
    busy: f64,
    lateness: Duration,
}

/// One look at the runtime.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// How long its threads have been busy since it began, on average.
    busy: Duration,
    /// How late this look comes.
    late: Duration,
}

/// What was seen in the last while.
#[derive(Debug, Default)]
struct Window(VecDeque<Look>);

impl Window {
    fn see(&mut self, look: Look) {
        self.0.push_back(look);
        let is_old = |first: &Look| look.at.duration_since(first.at) > WINDOW;
        // What came late may have the window to itself; the one before it says since when.
        while self.0.len() > 2 && self.0.get(1).is_some_and(is_old) {
            self.0.pop_front();
        }
    }

    /// The load, as soon as enough was seen.
    fn load(&self) -> Option<Load> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let passed = last.at.duration_since(first.at);
        if passed < ENOUGH {
            return None;
        }
        let busy = last.busy.saturating_sub(first.busy);
        let mut late: Vec<Duration> = self.0.iter().map(|look| look.late).collect();
        late.sort_unstable();
        let lateness = late[late.len() - 1 - late.len() / ONE_IN];
        Some(Load {
            busy: (busy.as_secs_f64() / passed.as_secs_f64()).min(1.0),
            lateness,
        })
    }
}

/// Whether it is too much, with some distance between yes and no, so that it does not flap.
#[derive(Debug)]
struct Judge {
    limits: LoadLimits,
    refuses: bool,
}

impl Judge {
    fn new(limits: LoadLimits) -> Self {
        let refuses = false;
        Self { limits, refuses }
    }

    /// Whether new calls are to be refused under this load.
    fn judge(&mut self, load: Load) -> bool {
        let share = if self.refuses { RELIEF } else { 1.0 };
        let too_busy = self.limits.load.map(|limit| load.busy > limit * share);
        let late = self.limits.lateness;
        let too_late = late.map(|limit| load.lateness > limit.mul_f64(share));
        self.refuses = too_busy.unwrap_or(false) || too_late.unwrap_or(false);
        self.refuses
    }
}

/// Shuts the door for new calls while it is too much.
#[derive(Debug)]
pub(crate) struct Doorkeeper {
    admission: Admission,
    /// What the configuration says now.
    limits: watch::Receiver<LoadLimits>,
    window: Window,
    judge: Judge,
    looks: u32,
}

impl Doorkeeper {
    pub(crate) fn new(admission: Admission, limits: watch::Receiver<LoadLimits>) -> Self {
        let judge = Judge::new(*limits.borrow());
        Self {
            admission,
            limits,
            window: Window::default(),
            judge,
            looks: 0,
        }
    }

    /// Watches the runtime it runs on. Never returns.
    pub(crate) async fn watch(mut self) {
        let runtime = Handle::current().metrics();
        loop {
            let due = Instant::now() + EVERY;
            sleep_until(due).await;
            let at = Instant::now();
            self.see(Look {
                at,
                busy: busy(&runtime),
                late: at.saturating_duration_since(due),
            });
        }
    }

    fn see(&mut self, look: Look) {
        self.window.see(look);
        self.looks += 1;
        if self.looks >= LOOKS
            && let Some(load) = self.window.load()
        {
            self.looks = 0;
            self.decide(load);
        }
    }

    fn decide(&mut self, load: Load) {
        gauge!("roomkit_server_load").set(load.busy);
        gauge!("roomkit_server_timer_lateness_seconds").set(load.lateness.as_secs_f64());
        self.judge.limits = *self.limits.borrow();
        let before = self.judge.refuses;
        let now = self.judge.judge(load);
        let Load { busy, lateness } = load;
        match (before, now) {
            (false, true) => {
                tracing::warn!(busy, ?lateness, "overloaded: new calls are refused");
                let message = "the server has too much to do for one more call (`limits.max_load`, \
                               `limits.max_timer_lateness_ms`)";
                self.admission.pause("overloaded", message);
            }
            (true, false) => {
                tracing::info!(busy, ?lateness, "new calls are taken again");
                self.admission.resume();
            }
            _ => {}
        }
    }
}

/// How long the runtime's threads have been busy since it began, on average.
fn busy(runtime: &RuntimeMetrics) -> Duration {
    let workers = runtime.num_workers();
    let busy: Duration = (0..workers)
        .map(|worker| runtime.worker_total_busy_duration(worker))
        .sum();
    busy / u32::try_from(workers).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::{Server, config::Config};

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn load(busy: f64, late: u64) -> Load {
        let lateness = ms(late);
        Load { busy, lateness }
    }

    fn limits(max_load: f64, max_timer_lateness_ms: u64) -> LoadLimits {
        LoadLimits::from(&LimitsConfig {
            max_load,
            max_timer_lateness_ms,
            ..LimitsConfig::default()
        })
    }

    #[test]
    fn c5_it_is_too_much_above_a_limit_and_enough_well_below_it() {
        let mut judge = Judge::new(limits(0.9, 100));
        for (busy, late, refuses) in [
            (0.5, 3, false),
            (0.9, 100, false),
            (0.91, 3, true),
            (0.85, 3, true),
            (0.76, 3, false),
            (0.85, 3, false),
            (0.2, 101, true),
            (0.2, 90, true),
            (0.2, 85, false),
            (0.95, 200, true),
            (0.1, 90, true),
            (0.1, 10, false),
        ] {
            assert_eq!(judge.judge(load(busy, late)), refuses, "{busy} {late}");
        }
    }

    #[test]
    fn c5_each_limit_can_be_switched_off() {
        let mut judge = Judge::new(limits(1.0, 100));
        assert!(!judge.judge(load(1.0, 3)));
        assert!(judge.judge(load(0.1, 500)));
        let mut judge = Judge::new(limits(0.5, 0));
        assert!(!judge.judge(load(0.1, 5000)));
        assert!(judge.judge(load(0.6, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn c5_the_load_is_that_of_the_last_two_seconds() {
        let begin = Instant::now();
        let mut window = Window::default();
        let mut busy = Duration::ZERO;
        let mut at = begin;
        let mut pass = |window: &mut Window, looks: u32, share: f64, late: Duration| {
            for _ in 0..looks {
                at += ms(20) + late;
                busy += (ms(20) + late).mul_f64(share);
                window.see(Look { at, busy, late });
            }
        };
        pass(&mut window, 40, 0.2, ms(1));
        assert_eq!(window.load(), None, "too early to say");
        pass(&mut window, 100, 0.2, ms(1));
        let calm = window.load().unwrap();
        assert!((calm.busy - 0.2).abs() < 0.01, "{calm:?}");
        assert_eq!(calm.lateness, ms(1));

        pass(&mut window, 1, 1.0, ms(60));
        assert_eq!(window.load().unwrap().lateness, ms(1), "one hiccup");
        pass(&mut window, 100, 0.95, ms(5));
        let busy_now = window.load().unwrap();
        assert!((busy_now.busy - 0.95).abs() < 0.01, "{busy_now:?}");

        pass(&mut window, 1, 1.0, ms(10_000));
        let stuck = window.load().unwrap();
        assert_eq!(
            stuck.lateness,
            ms(10_000),
            "nothing else happened meanwhile"
        );
    }

    #[tokio::test]
    async fn c5_a_server_with_too_much_to_do_is_not_ready_and_takes_no_call() {
        let config = Config {
            listen: "127.0.0.1:0".into(),
            ..Config::default()
        };
        let server = Server::bind(config).await.unwrap();
        let admission = server.app.admission.clone();
        let router = TowerToHyperService::new(server.router);
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            router.call(request).await.unwrap()
        };
        let mut keeper = Doorkeeper::new(
            admission.clone(),
            watch::Sender::new(limits(0.9, 100)).subscribe(),
        );
        keeper.decide(load(0.5, 1));
        assert_eq!(ask("/readyz").await.status(), 200);
        keeper.decide(load(0.99, 1));
        let ready = ask("/readyz").await;
        assert_eq!(ready.status(), 503);
        assert_eq!(ready.headers()["retry-after"], "10");
        assert_eq!(admission.ready().unwrap_err().code(), "overloaded");
        assert_eq!(ask("/healthz").await.status(), 200, "it lives");
        keeper.decide(load(0.1, 1));
        assert_eq!(ask("/readyz").await.status(), 200);
    }

    #[tokio::test]
    async fn c5_what_the_runtime_does_is_seen() {
        let runtime = Handle::current().metrics();
        let before = busy(&runtime);
        std::thread::sleep(ms(20));
        tokio::task::yield_now().await;
        let until = Instant::now() + Duration::from_secs(10);
        while busy(&runtime) < before + ms(20) {
            assert!(Instant::now() < until, "no busy time is counted");
            tokio::time::sleep(ms(1)).await;
        }
    }
}
