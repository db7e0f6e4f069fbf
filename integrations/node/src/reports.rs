//! The reports of calls, for `diagnostics_channel` and loggers.
//!
//! A call reports in a thread of the runtime. So its report waits until the call is over, and JavaScript takes it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use dynamodb_web_session::report::TARGET;
use napi_derive::napi;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

/// At most so many reports wait: more are not expected, since each call takes its own.
const MAX_WAITING: usize = 10_000;

/// How many threads of JavaScript take reports: the main one, and workers.
static LISTENERS: AtomicUsize = AtomicUsize::new(0);
static WAITING: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Says that this thread takes reports from now on, or that it does not any more.
#[napi]
pub fn listen(begins: bool) {
    static BEGIN: Once = Once::new();
    // Fails if another addon of this process has one.
    BEGIN.call_once(|| drop(tracing::subscriber::set_global_default(Reports)));
    match begins {
        true => LISTENERS.fetch_add(1, Ordering::Relaxed),
        false => LISTENERS.fetch_sub(1, Ordering::Relaxed),
    };
}

/// The reports that wait, as JSON.
#[napi]
pub fn take_reports() -> Vec<String> {
    std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner))
}

struct Reports;

impl Subscriber for Reports {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with(TARGET) && LISTENERS.load(Ordering::Relaxed) > 0
    }

    /// It changes, so tracing must ask each time.
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push(Value::Object(fields.0).to_string());
        }
    }

    // Spans are not used.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    /// `loggable_session_id` is `loggableSessionId` in JavaScript.
    fn add(&mut self, field: &Field, value: Value) {
        let mut parts = field.name().split('_');
        let mut name = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            name.extend(part.chars().take(1).map(|first| first.to_ascii_uppercase()));
            name.push_str(part.get(1..).unwrap_or_default());
        }
        self.0.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }
}
