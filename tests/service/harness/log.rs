//! The log of one test.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use service::log::{self, LevelFilter};
use tracing::subscriber::DefaultGuard;

/// The log of this thread, on which the whole test runs.
pub struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Log {
    pub fn at(level: LevelFilter) -> Self {
        // While the process has only one subscriber, tracing asks the thread that first meets an event on behalf of all
        // threads. A global subscriber gives the threads of the other tests one, too.
        log::to("no_table", LevelFilter::INFO, |_| {});
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let subscriber =
            log::lines("the_table", level, move |line| kept.lock().unwrap().push(line.to_owned()));
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines since the last time.
    pub fn take(&self) -> Vec<Value> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        let parse = |line: String| {
            assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "one line: {line:?}");
            serde_json::from_str(&line).unwrap()
        };
        lines.into_iter().map(parse).collect()
    }

    /// The one line since the last time, which says `event` and `outcome`.
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
        assert_eq!(lines[0][metric], 1, "it is counted");
        assert_eq!(lines[0]["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"], metric);
        lines[0].clone()
    }
}
