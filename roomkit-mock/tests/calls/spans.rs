//! A subscriber that keeps every span it is shown.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Debug,
    sync::{Arc, Mutex, MutexGuard, Once},
};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    filter::dynamic_filter_fn,
    layer::{Context, SubscriberExt},
    registry::LookupSpan,
};

/// To be called before anything makes a span. `tracing` keeps for all threads whether the first one that came
/// by wanted a span, unless that one wants to be asked each time; and tests that listen run beside others.
pub(crate) fn ask_every_thread() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let deaf = tracing_subscriber::registry().with(dynamic_filter_fn(|_, _| false));
        tracing::subscriber::set_global_default(deaf).unwrap();
    });
}

/// The spans of this thread, in the order in which they were opened.
#[derive(Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    spans: Vec<Seen>,
    /// Where the open ones are in the list.
    open: HashMap<Id, usize>,
    warnings: Vec<String>,
}

/// A span and what was recorded of it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    pub(crate) level: Level,
    /// Its parent's place in the list.
    pub(crate) parent: Option<usize>,
    /// The fields it may have.
    pub(crate) fields: BTreeSet<String>,
    pub(crate) values: BTreeMap<&'static str, String>,
    /// How often.
    pub(crate) entered: usize,
    pub(crate) is_closed: bool,
}

impl Seen {
    pub(crate) fn value(&self, field: &str) -> Option<&str> {
        self.values.get(field).map(String::as_str)
    }
}

impl Traces {
    /// Listens as long as the guard lives.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        Self::listen_from(Level::TRACE)
    }

    /// The same, to what is at least of this level.
    pub(crate) fn listen_from(level: Level) -> (Self, DefaultGuard) {
        let traces = Self::default();
        let layer = traces.clone().with_filter(LevelFilter::from_level(level));
        let subscriber = tracing_subscriber::registry().with(layer);
        (traces, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn all(&self) -> Vec<Seen> {
        self.kept().spans.clone()
    }

    /// The warnings that were logged.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.kept().warnings.clone()
    }

    /// Those of roomkit. Their parents' places are those in this list where nobody else made any.
    pub(crate) fn roomkit(&self) -> Vec<Seen> {
        let mut places = HashMap::new();
        let mut found = Vec::new();
        for (place, mut span) in self.all().into_iter().enumerate() {
            if span.target == "roomkit" {
                places.insert(place, found.len());
                span.parent = span.parent.map(|parent| places[&parent]);
                found.push(span);
            }
        }
        found
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let parent = context.span(id).and_then(|span| Some(span.parent()?.id()));
        let metadata = attributes.metadata();
        let mut kept = self.kept();
        let mut seen = Seen {
            name: metadata.name(),
            target: metadata.target(),
            level: *metadata.level(),
            parent: parent.and_then(|parent| kept.open.get(&parent).copied()),
            fields: metadata.fields().iter().map(|it| it.to_string()).collect(),
            values: BTreeMap::new(),
            entered: 0,
            is_closed: false,
        };
        attributes.record(&mut Values(&mut seen.values));
        let place = kept.spans.len();
        kept.open.insert(id.clone(), place);
        kept.spans.push(seen);
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::WARN {
            let mut values = BTreeMap::new();
            event.record(&mut Values(&mut values));
            let message = values.remove("message").unwrap_or_default();
            self.kept().warnings.push(message);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, _: Context<'_, S>) {
        let mut kept = self.kept();
        let place = kept.open[id];
        record.record(&mut Values(&mut kept.spans[place].values));
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        let mut kept = self.kept();
        let place = kept.open[id];
        kept.spans[place].entered += 1;
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        let mut kept = self.kept();
        if let Some(place) = kept.open.remove(&id) {
            kept.spans[place].is_closed = true;
        }
    }
}

struct Values<'a>(&'a mut BTreeMap<&'static str, String>);

impl Visit for Values<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }

    /// To exporters of OpenTelemetry a number that has no sign is none.
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), format!("\"{value}\""));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}
