//! The log of one test.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use service::log::{self, LevelFilter};
use tracing::subscriber::DefaultGuard;

/// The log of this thread. The whole test runs on it.
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Log {
    pub fn at(level: LevelFilter) -> Self {
        // While the process has only one subscriber, tracing lets the thread that first reaches an event decide for all
        // threads. With a global subscriber, the threads of the other tests have one too.
        log::to("no_table", LevelFilter::INFO, |_| {});
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let subscriber =
            log::lines("the_table", level, move |line| kept.lock().unwrap().push(line.to_owned()));
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines since the last call.
    pub fn take(&self) -> Vec<Value> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        let parse = |line: String| {
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "one line: {line:?}");
            serde_json::from_str(&line).unwrap()
        };
        lines.into_iter().map(parse).collect()
    }

    /// The only line since the last call. It must have this `event` and `outcome`.
    #[track_caller]
    pub fn one(&self, event: &str, outcome: &str) -> Value {
        let lines = self.take();
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert_eq!(
            (&lines[0]["event"], &lines[0]["outcome"]),
            (&json!(event), &json!(outcome)),
            "{lines:#?}"
        );
        let metric = if outcome == "ok" { event } else { outcome };
        assert_eq!(lines[0][metric], 1, "its metric is 1");
        assert_eq!(lines[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"], metric);
        lines[0].clone()
    }
}
