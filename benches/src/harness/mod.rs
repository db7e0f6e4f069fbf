//! What the benchmarks are written with.

use std::time::Duration;

pub mod document;
mod front;
mod function;
pub mod python;
mod server;
mod session;
mod table;

pub use document::figures;
pub use front::{Consumed, Front};
pub use function::{Function, cpu, event};
pub use server::{OUR_HEADER, Rates, Server, compare_servers};
pub use session::{create_session, data, issued};
pub use table::Table;

pub fn median(mut spans: Vec<Duration>) -> Duration {
    spans.sort_unstable();
    spans[spans.len() / 2]
}

/// The median and the 99th percentile.
pub fn percentiles(mut spans: Vec<Duration>) -> (Duration, Duration) {
    spans.sort_unstable();
    (spans[spans.len() / 2], spans[spans.len() * 99 / 100])
}

pub fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

pub fn microseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}
