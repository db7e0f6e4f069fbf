//! The cost of a call with few and with many sessions in the table.

use std::fmt::Write;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{Function, Table, cpu, document, event, median, microseconds};

const CALLS: usize = 4000;
const SESSIONS: [usize; 3] = [1000, 100_000, 1_000_000];

/// A function, and the event that it is called with.
struct Subject {
    name: &'static str,
    event: Value,
    function: Function,
}

pub fn run() {
    crate::build(&crate::FUNCTIONS);
    let runtime = Runtime::new().unwrap();
    let mut table = Table::new(&runtime);
    let body = json!({ "data": { "fruit": "apple ".repeat(40) } }).to_string();
    let (created, _) = table.function("create").call(&event("POST", "/session", None, Some(body.clone())));
    let session: Value = serde_json::from_str(created["body"].as_str().unwrap()).unwrap();
    let id = session["session_id"].as_str().unwrap();
    let subject = |name, event| Subject { name, event, function: table.function(name) };
    let mut subjects = [
        subject("load", event("GET", "/session", Some(id), None)),
        subject("save", event("PUT", "/session", Some(id), Some(body.clone()))),
        subject("create", event("POST", "/session", None, Some(body))),
    ];
    let measured = SESSIONS.map(|sessions| {
        table.fill(&runtime, session["loggable_session_id"].as_str().unwrap(), sessions);
        subjects.each_mut().map(measure)
    });
    print(&measured);
}

/// The median duration of a call and its CPU time, in microseconds.
fn measure(subject: &mut Subject) -> [f64; 2] {
    let Subject { name, event, function } = subject;
    let before = cpu(function.id());
    let spans = (0..CALLS).map(|_| {
        let (response, span) = function.call(event);
        let status = response["statusCode"].as_u64().unwrap();
        assert!((200..300).contains(&status), "{name}: {response}");
        span
    });
    let median = microseconds(median(spans.collect()));
    [median, microseconds(cpu(function.id()) - before) / CALLS as f64]
}

fn print(measured: &[[[f64; 2]; 3]]) {
    let mut text = document::circumstances("cargo bench -p benches -- table");
    text.push_str(
        "\n| sessions in the table | load: median, µs | CPU, µs | save: median | CPU | create: median | CPU |\n\
         | ---: | --- | --- | --- | --- | --- | --- |\n",
    );
    for (sessions, costs) in SESSIONS.iter().zip(measured) {
        let first = measured[0].as_flattened();
        let cells = costs.as_flattened().iter().zip(first);
        let cells = cells.map(|(now, first)| format!("{now:.0} ({:.2} times)", now / first));
        writeln!(text, "| {sessions} | {} |", cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
    document::write("reliability.md", "table", &text);
}
