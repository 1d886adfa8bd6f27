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

/// The counters and gauges of one test, which runs on one thread, as `#[tokio::test]` does.
///
/// ```
/// let counters = roomkit_mock::Counters::default();
/// let _counting = counters.here();
/// metrics::counter!("roomkit_dropped_total", "reason" => "too_fast").increment(2);
/// assert_eq!(counters.get("roomkit_dropped_total", "too_fast"), 2);
/// ```
#[derive(Debug, Default)]
pub struct Counters {
    counters: Mutex<Values>,
    gauges: Mutex<Values>,
}

/// By name and first label; a gauge's are the bits of a float.
type Values = BTreeMap<(String, String), Arc<AtomicU64>>;

impl Counters {
    /// Counts what this thread does as long as the guard lives.
    pub fn here(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// How far the counter of this name has come whose first label has this value; 0 if there is none.
    pub fn get(&self, name: &str, label: &str) -> u64 {
        let counts = locked(&self.counters);
        let counter = counts.get(&(name.to_owned(), label.to_owned()));
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Where the gauge of this name stands whose first label has this value, if there is one.
    pub fn gauge(&self, name: &str, label: &str) -> Option<f64> {
        let gauges = locked(&self.gauges);
        let gauge = gauges.get(&(name.to_owned(), label.to_owned()))?;
        Some(f64::from_bits(gauge.load(Ordering::Relaxed)))
    }

    /// All counters of this name: the value of the first label, and how far they have come.
    pub fn all(&self, name: &str) -> BTreeMap<String, u64> {
        let counts = locked(&self.counters);
        let named = counts.iter().filter(|((of, _), _)| of == name);
        named
            .map(|((_, label), counter)| (label.clone(), counter.load(Ordering::Relaxed)))
            .collect()
    }
}

fn locked(values: &Mutex<Values>) -> MutexGuard<'_, Values> {
    values.lock().unwrap_or_else(PoisonError::into_inner)
}

fn value(values: &Mutex<Values>, key: &Key) -> Arc<AtomicU64> {
    let label = key.labels().next().map_or("", |label| label.value());
    let key = (key.name().to_owned(), label.to_owned());
    Arc::clone(locked(values).entry(key).or_default())
}

impl Recorder for Counters {
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(value(&self.counters, key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(value(&self.gauges, key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }

    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
}
