//! What a function writes to its log.

use std::env;
use std::error::Error;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt, registry};

/// Logs to the standard error output, in the format and at the level that Lambda's logging controls set
/// (`AWS_LAMBDA_LOG_FORMAT`, `AWS_LAMBDA_LOG_LEVEL`); text at INFO without them.
///
/// Whatever the level, of other crates only errors are logged: at TRACE some of them log whole requests, and
/// a request holds a session ID.
pub fn init() {
    let level = env::var("AWS_LAMBDA_LOG_LEVEL").unwrap_or_default().replace("FATAL", "ERROR");
    let targets = Targets::new()
        .with_target("dynamodb_web_session", level.parse().unwrap_or(LevelFilter::INFO))
        .with_default(LevelFilter::ERROR);
    let lines = fmt::layer().with_writer(std::io::stderr).without_time().with_ansi(false);
    let is_json = env::var("AWS_LAMBDA_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let lines = if is_json { lines.json().flatten_event(true).boxed() } else { lines.boxed() };
    // A second start in one process keeps the log of the first.
    let _ = registry().with(lines.with_filter(targets)).try_init();
}

/// An error with all its sources, on one line: what goes into a log.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}
