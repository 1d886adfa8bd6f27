//! What was counted.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, Recorder, SharedString,
    Unit,
};

/// The counters of one test, which runs on one thread, as `#[tokio::test]` does.
///
/// ```
/// let counters = roomkit_mock::Counters::default();
/// let _counting = counters.here();
/// metrics::counter!("roomkit_dropped_total", "reason" => "too_fast").increment(2);
/// assert_eq!(counters.get("roomkit_dropped_total", "too_fast"), 2);
/// ```
#[derive(Debug, Default)]
pub struct Counters(Mutex<Counts>);

/// By name and first label.
type Counts = BTreeMap<(String, String), Arc<AtomicU64>>;

impl Counters {
    /// Counts what this thread does as long as the guard lives.
    pub fn here(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// How far the counter of this name has come whose first label has this value; 0 if there is none.
    pub fn get(&self, name: &str, label: &str) -> u64 {
        let counts = self.counts();
        let counter = counts.get(&(name.to_owned(), label.to_owned()));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// All counters of this name: the value of the first label, and how far they have come.
    pub fn all(&self, name: &str) -> BTreeMap<String, u64> {
        let counts = self.counts();
        let named = counts.iter().filter(|((of, _), _)| of == name);
        named
            .map(|((_, label), counter)| (label.clone(), counter.load(Ordering::Relaxed)))
            .collect()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder for Counters {
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let label = key.labels().next().map_or("", |label| label.value());
        let key = (key.name().to_owned(), label.to_owned());
        let counter = Arc::clone(self.counts().entry(key).or_default());
        Counter::from_arc(counter)
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }

    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
}
