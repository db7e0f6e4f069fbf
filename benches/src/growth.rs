//! How the cost of a call grows: with the size of a session, and with the number of callers.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Runtime;

use crate::compare::{create_session, data, microseconds};
use crate::function::{cpu, event};
use crate::http::{OUR_HEADER, Server};
use crate::report::{self, figures};
use crate::table::{Table, median};

const BYTES: [usize; 8] = [100, 1000, 4000, 16_000, 64_000, 128_000, 192_000, 256_000];
const CALLERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const CALLS: usize = 300;
const SECONDS: f64 = 3.0;

pub fn run() {
    crate::build(&["create", "load", "save", "local"]);
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    let mut text = report::circumstances("cargo bench -p benches -- growth");
    text.push_str(
        "\n| data, bytes | load: CPU, µs | wall, µs | save: CPU, µs | wall, µs |\n| ---: | ---: | ---: | ---: | ---: |\n",
    );
    let (mut load, mut save) = (table.function("load"), table.function("save"));
    for bytes in BYTES {
        let id = create_session(&table, bytes);
        let body = json!({ "data": data(bytes) }).to_string();
        let calls = [
            (&mut load, event("GET", "/session", Some(&id), None)),
            (&mut save, event("PUT", "/session", Some(&id), Some(body))),
        ];
        let cells = calls.map(|(function, event)| {
            let before = cpu(function.id());
            let spans: Vec<Duration> = (0..CALLS)
                .map(|_| {
                    let (response, span) = function.call(&event);
                    assert!(response["statusCode"].as_u64().is_some_and(|status| status < 300), "{response}");
                    span
                })
                .collect();
            let spent = (cpu(function.id()) - before) / u32::try_from(CALLS).unwrap();
            format!("{} | {}", figures(microseconds(spent)), figures(microseconds(median(spans))))
        });
        writeln!(text, "| {bytes} | {} |", cells.join(" | ")).unwrap();
    }
    text.push_str(
        "\n| callers | requests per second | per second and core of its own | p50, µs | p99, µs |\n\
         | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let server = Server::ours(&table);
    let id = server.create(1000, OUR_HEADER);
    for callers in CALLERS {
        let rate = server.measure(OUR_HEADER, &id, callers, SECONDS);
        writeln!(
            text,
            "| {callers} | {} | {} | {} | {} |",
            figures(rate.per_second),
            figures(rate.per_core),
            figures(microseconds(rate.p50)),
            figures(microseconds(rate.p99))
        )
        .unwrap();
    }
    report::write("performance.md", "growth", &text);
}
