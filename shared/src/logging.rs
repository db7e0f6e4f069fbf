//! What a function writes to its log: one line of JSON for each event, with CloudWatch metrics embedded in it.

use std::env;
use std::fmt::Debug;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use lambda_http::request::RequestContext;
use lambda_http::{Request, RequestExt};
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
pub use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::clock::{Clock, SystemClock};

/// The namespace of the metrics. Their one dimension is the table's name.
const NAMESPACE: &str = "dynamodb-web-session";

tokio::task_local! {
    static REQUEST: Named;
}

/// What names the present request.
struct Named {
    /// Lambda's ID.
    id: Option<String>,
    /// API Gateway's ID, which the caller has as `apigw-requestid`.
    api_id: Option<String>,
    /// Where API Gateway has it from.
    source_ip: Option<String>,
}

/// Writes the log of the sessions in `table` to the standard error output from now on, at INFO unless Lambda's logging
/// controls (`AWS_LAMBDA_LOG_LEVEL`) say otherwise.
///
/// Whatever the level, every call is counted, and of other crates only errors are logged: at TRACE some of them log whole
/// requests, and a request holds a session ID.
pub fn init(table: &str) {
    to(table, LevelFilter::INFO, |line| {
        // Nobody can be told of a log that takes no more.
        let _ = std::io::stderr().write_all(line.as_bytes());
    });
}

/// As [`init`], with another level than INFO, and each line, with its line break, handed to `write`.
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
    let wanted = env::var("AWS_LAMBDA_LOG_LEVEL").ok();
    let wanted = wanted.and_then(|wanted| wanted.replace("FATAL", "ERROR").parse().ok());
    Lines { level: wanted.unwrap_or(level), table: table.to_owned(), write }
}

/// Carries out `call` so that what it logs names the request that it is for.
pub(crate) async fn name_request<T>(request: &Request, call: impl Future<Output = T>) -> T {
    let id = request.lambda_context_ref().map(|context| context.request_id.clone());
    let named = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => {
            Named { id, api_id: context.request_id.clone(), source_ip: context.http.source_ip.clone() }
        }
        _ => Named { id, api_id: None, source_ip: None },
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
        metadata.is_event() && (is_life(metadata) || *metadata.level() == Level::ERROR)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG) // of a load, which is counted even when it is not logged
    }

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let mut line = Line::default();
        event.record(&mut line);
        if *metadata.level() <= self.level {
            line.0.insert("level".into(), metadata.level().as_str().into());
            line.0.insert("timestamp".into(), SystemClock.now().to_string().into());
            // Whoever uses the crate without the HTTP service has no request.
            let _ = REQUEST.try_with(|request| line.name(request));
        } else {
            line.0.remove("loggable_session_id");
        }
        if is_life(metadata) {
            line.embed_metrics(&self.table);
        }
        let mut text = Value::Object(line.0).to_string();
        text.push('\n');
        (self.write)(&text);
    }

    // There are no spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Whether it is how a call ended.
fn is_life(metadata: &Metadata<'_>) -> bool {
    metadata.target() == "dynamodb_web_session::life"
}

/// The members of a line, as they come from the fields of an event.
#[derive(Default)]
struct Line(Map<String, Value>);

impl Line {
    /// Makes CloudWatch count this call by its outcome, and add up what it consumed ("Specification: Embedded metric
    /// format").
    fn embed_metrics(&mut self, table: &str) {
        let Some(outcome) = self.outcome() else { return };
        let mut metrics = vec![json!({ "Name": outcome, "Unit": "Count" })];
        for units in ["read_units", "write_units"] {
            if self.0.get(units).and_then(Value::as_f64) > Some(0.0) {
                metrics.push(json!({ "Name": units, "Unit": "Count" }));
            }
        }
        self.0.insert(outcome, 1.into());
        self.0.insert("table".into(), table.into());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.insert(
            "_aws".into(),
            json!({
                "Timestamp": u64::try_from(now.as_millis()).unwrap_or_default(),
                "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [["table"]], "Metrics": metrics }],
            }),
        );
    }

    fn name(&mut self, request: &Named) {
        self.0.insert("request_id".into(), request.id.as_deref().into());
        self.0.insert("api_request_id".into(), request.api_id.as_deref().into());
        // Of users who do nothing amiss, nobody needs the address.
        if self.0.get("event").and_then(Value::as_str) == Some("refused") {
            self.0.insert("source_ip".into(), request.source_ip.as_deref().into());
        }
    }

    /// What became of the call: the event, or the reason why it was refused.
    fn outcome(&self) -> Option<String> {
        let member = |name| self.0.get(name).and_then(Value::as_str);
        let outcome = member("outcome").filter(|outcome| *outcome != "ok").or(member("event"));
        outcome.map(str::to_owned)
    }

    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.insert(field, format!("{value:?}"));
    }
}
