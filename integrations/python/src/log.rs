//! The reports of calls, as records of Python's `logging`: the logger `dynamodb_web_session`.
//!
//! A call reports in a thread that may not be attached to the interpreter. So its record waits until the call is over.

use std::fmt::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dynamodb_web_session::report::TARGET;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::ending::is_imported;

/// Python's levels.
const DEBUG: u8 = 10;
const INFO: u8 = 20;
const WARNING: u8 = 30;

/// At most so many records wait: more are not expected, since each call takes its own.
const MAX_WAITING: usize = 10_000;

/// Never waited for: a fork during a report would leave it locked in the child.
static WAITING: Mutex<Vec<(u8, String)>> = Mutex::new(Vec::new());
/// Whether the logger takes records of successful loads and saves, which are most.
static WANTS_DEBUG: AtomicBool = AtomicBool::new(false);

/// Begins to take reports.
pub(crate) fn begin() {
    // Fails if another module of this process has one.
    let _ = tracing::subscriber::set_global_default(Reports);
}

/// Hands the records that wait to Python.
pub(crate) fn flush(py: Python<'_>) {
    static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let Ok(mut waiting) = WAITING.try_lock() else { return };
    let records = std::mem::take(&mut *waiting);
    drop(waiting);
    // Without a handler, Python prints warnings and nothing below.
    let is_wanted =
        || records.iter().any(|(level, _)| *level >= WARNING) || is_imported(py, "logging").unwrap_or(true);
    if LOGGER.get(py).is_none() && !is_wanted() {
        return;
    }
    let logger = LOGGER.get_or_try_init(py, || {
        let logger = py.import("logging")?.call_method1("getLogger", ("dynamodb_web_session",))?;
        Ok::<_, PyErr>(logger.unbind())
    });
    let Ok(logger) = logger.map(|logger| logger.bind(py)) else { return };
    let logs = || -> PyResult<()> {
        for (level, text) in records {
            logger.call_method1("log", (level, "%s", text))?;
        }
        WANTS_DEBUG.store(logger.call_method1("isEnabledFor", (DEBUG,))?.extract()?, Ordering::Relaxed);
        Ok(())
    };
    // An error of a handler is the program's own, and must not make the call fail.
    if let Err(error) = logs() {
        error.write_unraisable(py, None);
    }
}

/// Takes the report of each call.
struct Reports;

impl Subscriber for Reports {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with(TARGET)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let level = match line.event.as_str() {
            "failed" => WARNING,
            "loaded" | "used" | "saved" | "listed" => DEBUG,
            _ => INFO,
        };
        if level == DEBUG && !WANTS_DEBUG.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut waiting) = WAITING.try_lock() else { return };
        if waiting.len() < MAX_WAITING {
            waiting.push((level, format!("{}{}", line.event, line.rest)));
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

/// The text of a record: `created loggable_session_id=… requests=1`.
#[derive(Default)]
struct Line {
    event: String,
    rest: String,
}

impl Line {
    fn add(&mut self, field: &Field, value: impl fmt::Display) {
        let value = value.to_string();
        match field.name() {
            "event" => self.event = value,
            "outcome" if value == "ok" => {}
            "read_units" | "write_units" => {}
            name => drop(write!(self.rest, " {name}={value}")),
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}
