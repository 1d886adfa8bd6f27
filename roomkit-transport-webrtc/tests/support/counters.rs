//! The metrics of one test, which runs on one thread.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, Recorder, SharedString,
    Unit,
};

/// All counters, by name and first label.
#[derive(Default)]
pub(crate) struct Counters(Mutex<BTreeMap<(String, String), Arc<AtomicU64>>>);

impl Counters {
    /// Counts what this thread does as long as the guard lives.
    pub(crate) fn here(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    pub(crate) fn get(&self, name: &str, label: &str) -> u64 {
        let all = self.0.lock().unwrap();
        let counter = all.get(&(name.to_owned(), label.to_owned()));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl Recorder for Counters {
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let label = key.labels().next().map_or("", |label| label.value());
        let key = (key.name().to_owned(), label.to_owned());
        let counter = Arc::clone(self.0.lock().unwrap().entry(key).or_default());
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
