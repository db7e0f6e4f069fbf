//! The log of a function: one line of JSON for each call, with CloudWatch metrics embedded in it.

use std::borrow::Cow;
use std::fmt::Debug;
use std::io::Write;

use dynamodb_web_session::report::{LOAD_TARGET, TARGET};
use dynamodb_web_session::{Clock, SystemClock};
use lambda_http::request::RequestContext;
use lambda_http::{LambdaEvent, Request, RequestExt};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
pub use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::authorizer::AuthorizerEvent;
use crate::metrics::EmbeddedMetrics;

/// The message of a line that would repeat the report of a call.
pub(crate) const REPORTED: &str = "this error has been reported";

tokio::task_local! {
    static REQUEST: RequestNames;
}

/// What identifies the current request in the log.
struct RequestNames {
    /// Lambda's ID.
    id: Option<String>,
    /// API Gateway's ID, which the caller receives as `apigw-requestid`.
    api_id: Option<String>,
    /// The client's address, as API Gateway saw it.
    source_ip: Option<String>,
}

/// Writes the log of the sessions in `table` to the standard error output from now on.
///
/// At every level, each call is counted: below `level`, its line has the metrics only. Of other crates only errors are
/// logged: at TRACE some of them log whole requests, and a request holds a session ID.
pub fn init(table: &str, level: LevelFilter) {
    to(table, level, |line| {
        // A failure to write the log cannot be logged.
        let _ = std::io::stderr().write_all(line.as_bytes());
    });
}

/// As [`init`], with each line, including its line break, passed to `write`.
pub fn to(table: &str, level: LevelFilter, write: impl Fn(&str) + Send + Sync + 'static) {
    // A second start in one process keeps the log of the first.
    let _ = tracing::subscriber::set_global_default(lines(table, level, write));
}

/// The subscriber that [`to`] installs.
pub fn lines(
    table: &str,
    level: LevelFilter,
    write: impl Fn(&str) + Send + Sync + 'static,
) -> impl Subscriber + Send + Sync {
    Lines { level, table: table.to_owned(), write }
}

/// Runs `call` so that its log line names the request.
pub(crate) async fn name_request<T>(request: &Request, call: impl Future<Output = T>) -> T {
    let id = request.lambda_context_ref().map(|context| context.request_id.clone());
    let named = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => {
            RequestNames { id, api_id: context.request_id.clone(), source_ip: context.http.source_ip.clone() }
        }
        _ => RequestNames { id, api_id: None, source_ip: None },
    };
    REQUEST.scope(named, call).await
}

/// Runs the `call` of an authorizer so that its log line names the request.
pub async fn name_authorization<T>(event: &LambdaEvent<AuthorizerEvent>, call: impl Future<Output = T>) -> T {
    let named = RequestNames {
        id: Some(event.context.request_id.clone()),
        api_id: event.payload.request_id().map(str::to_owned),
        source_ip: event.payload.source_ip().map(str::to_owned),
    };
    REQUEST.scope(named, call).await
}

struct Lines<W> {
    level: LevelFilter,
    table: String,
    write: W,
}

impl<W: Fn(&str) + Send + Sync + 'static> Subscriber for Lines<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && (is_report(metadata) || *metadata.level() == Level::ERROR)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::INFO)
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        let level = level(metadata);
        line.add("level", level.as_str());
        if level <= self.level {
            line.add("timestamp", SystemClock.now().to_string());
            event.record(&mut line);
            // An event outside of a request has no names.
            let _ = REQUEST.try_with(|request| line.name(request));
        } else {
            event.record(&mut line);
            line.members.retain(|(name, _)| !name.contains("loggable_"));
        }
        if is_report(metadata) {
            line.embed_metrics(&self.table);
        } else if line.member("message").and_then(Value::as_str) == Some(REPORTED) {
            return;
        }
        // Texts and numbers can always be written.
        if let Ok(mut text) = serde_json::to_string(&line) {
            text.push('\n');
            (self.write)(&text);
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

/// Whether the event is the report of a call.
fn is_report(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with(TARGET)
}

/// The level of a line. A load is logged at DEBUG, though its event is at INFO: it is counted even where it is not
/// logged, and a release build has no events below INFO.
fn level(metadata: &Metadata<'_>) -> Level {
    if metadata.target() == LOAD_TARGET { Level::DEBUG } else { *metadata.level() }
}

/// A line, built up from the fields of an event.
#[derive(Default)]
struct Line {
    /// In order. There are few, so a linear search finds a name fastest.
    members: Vec<(Cow<'static, str>, Value)>,
    metrics: Option<EmbeddedMetrics>,
}

impl Line {
    /// Adds a member. If the name exists, its value is kept, so that a field of another crate cannot replace
    /// the level of the line.
    fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let name = name.into();
        if self.member(&name).is_none() {
            self.members.push((name, value.into()));
        }
    }

    fn member(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(given, _)| given == name).map(|(_, value)| value)
    }

    /// Makes CloudWatch count this call by its outcome, and sum up what it consumed.
    fn embed_metrics(&mut self, table: &str) {
        let Some(outcome) = self.outcome() else { return };
        let consumed = |units: &&str| self.member(units).and_then(Value::as_f64) > Some(0.0);
        let units = ["read_units", "write_units"].into_iter().filter(consumed);
        let counted = std::iter::once(Cow::Owned(outcome.clone())).chain(units.map(Cow::Borrowed));
        let metrics = EmbeddedMetrics::counting(counted);
        self.add(outcome, 1);
        self.add("table", table);
        self.metrics = Some(metrics);
    }

    fn name(&mut self, request: &RequestNames) {
        self.add("request_id", request.id.as_deref());
        self.add("api_request_id", request.api_id.as_deref());
        // The address is personal data: it is logged for refused requests only.
        if self.member("event").and_then(Value::as_str) == Some("refused") {
            self.add("source_ip", request.source_ip.as_deref());
        }
    }

    /// The outcome of the call: the event, or the reason for a refusal.
    fn outcome(&self) -> Option<String> {
        let text = |name| self.member(name).and_then(Value::as_str);
        let outcome = text("outcome").filter(|outcome| *outcome != "ok").or(text("event"));
        outcome.map(str::to_owned)
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_map(None)?;
        for (name, value) in &self.members {
            line.serialize_entry(name, value)?;
        }
        if let Some(metrics) = &self.metrics {
            line.serialize_entry("_aws", metrics)?;
        }
        line.end()
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field.name(), format!("{value:?}"));
    }
}
