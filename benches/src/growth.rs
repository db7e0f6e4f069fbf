//! How the cost of a call grows with the size of a session, and with the number of callers.

use std::fmt::Write;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{
    Function, OUR_HEADER, Server, Table, cpu, create_session, data, document, event, figures, median,
    microseconds,
};

const BYTES: [usize; 8] = [100, 1000, 4000, 16_000, 64_000, 128_000, 192_000, 256_000];
const CALLERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const CALLS: usize = 300;
const SECONDS: f64 = 3.0;

pub fn run() {
    crate::build(&["create", "load", "save", "local"]);
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    let mut text = document::circumstances("cargo bench -p benches -- growth");
    text += &by_size(&table);
    text += &by_callers(&table);
    document::write("performance.md", "growth", &text);
}

fn by_size(table: &Table) -> String {
    let mut text = "\n| data, bytes | load: CPU, µs | wall, µs | save: CPU, µs | wall, µs |\n\
                    | ---: | ---: | ---: | ---: | ---: |\n"
        .to_owned();
    let (mut load, mut save) = (table.function("load"), table.function("save"));
    for bytes in BYTES {
        let id = create_session(table, bytes);
        let body = json!({ "data": data(bytes) }).to_string();
        let load = measure(&mut load, &event("GET", "/session", Some(&id), None));
        let save = measure(&mut save, &event("PUT", "/session", Some(&id), Some(body)));
        let cells = [load, save].as_flattened().iter().copied().map(figures).collect::<Vec<_>>();
        writeln!(text, "| {bytes} | {} |", cells.join(" | ")).unwrap();
    }
    text
}

/// The CPU time of a call and its median duration, in microseconds.
fn measure(function: &mut Function, event: &Value) -> [f64; 2] {
    let before = cpu(function.id());
    let spans = (0..CALLS).map(|_| {
        let (response, span) = function.call(event);
        assert!(response["statusCode"].as_u64().is_some_and(|status| status < 300), "{response}");
        span
    });
    let median = microseconds(median(spans.collect()));
    [microseconds(cpu(function.id()) - before) / CALLS as f64, median]
}

fn by_callers(table: &Table) -> String {
    let mut text =
        "\n| callers | requests per second | per second and core of its own | p50, µs | p99, µs |\n\
                    | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
    let server = Server::ours(table);
    let id = server.create(1000, OUR_HEADER);
    for callers in CALLERS {
        let rate = server.measure(OUR_HEADER, &id, callers, SECONDS);
        let cells = [rate.per_second, rate.per_core, microseconds(rate.p50), microseconds(rate.p99)];
        writeln!(text, "| {callers} | {} |", cells.map(figures).join(" | ")).unwrap();
    }
    text
}
