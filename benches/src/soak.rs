//! The functions at full speed for minutes: no error, no growing memory, no slower calls.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::FUNCTIONS;
use crate::harness::{Function, Table, document, event, issued, percentiles};

const SESSIONS: usize = 100_000;
/// Each calls one function after the other, as one user does. Two users keep two cores busy.
const USERS: usize = 2;

/// The measurements of one function of one user.
#[derive(Default)]
struct Measured {
    spans: Vec<(Duration, Duration)>,
    resident_kib: Vec<u64>,
}

struct User {
    functions: BTreeMap<&'static str, Function>,
    measured: ByFunction,
    started: Instant,
    ids: Vec<String>,
}

impl User {
    fn call(&mut self, name: &'static str, id: Option<usize>, body: Option<String>) -> Value {
        let (method, path) = match name {
            "create" => ("POST", "/session"),
            "load" => ("GET", "/session"),
            "save" => ("PUT", "/session"),
            "renew" => ("POST", "/session/renew"),
            _ => ("DELETE", "/session"),
        };
        let event = event(method, path, id.map(|place| self.ids[place].as_str()), body);
        let at = self.started.elapsed();
        let (response, span) = self.functions.get_mut(name).unwrap().call(&event);
        let expected = match name {
            "create" => 201,
            "load" | "renew" => 200,
            _ => 204,
        };
        assert_eq!(response["statusCode"], expected, "{name}: {response}");
        self.measured.entry(name).or_default().spans.push((at, span));
        response
    }

    fn create(&mut self) {
        let body = json!({ "data": { "fruit": "apple ".repeat(40) }, "idle_timeout_seconds": 86_400 });
        let response = self.call("create", None, Some(body.to_string()));
        self.ids.push(issued(&response));
    }

    /// Twenty calls: fourteen loads, three saves, a renewal, a clear and a create.
    fn round(&mut self, n: usize) {
        let place = |k: usize, ids: &[String]| (n * 20 + k).wrapping_mul(7919) % ids.len();
        for k in 0..14 {
            self.call("load", Some(place(k, &self.ids)), None);
        }
        for k in 14..17 {
            let body = json!({ "data": { "fruit": "apple ".repeat(40), "n": n } }).to_string();
            self.call("save", Some(place(k, &self.ids)), Some(body));
        }
        let renewed = place(17, &self.ids);
        let response = self.call("renew", Some(renewed), None);
        self.ids[renewed] = issued(&response);
        let cleared = place(18, &self.ids);
        self.call("clear", Some(cleared), None);
        self.ids.swap_remove(cleared);
        self.create();
    }

    /// Fills the table, and then makes calls for so many minutes.
    fn measure(&mut self, minutes: u64) {
        while self.ids.len() < SESSIONS / USERS {
            self.create();
        }
        self.measured.clear();
        self.started = Instant::now();
        let mut n = 0;
        for minute in 1..=minutes {
            while self.started.elapsed() < Duration::from_secs(60 * minute) {
                self.round(n);
                n += 1;
            }
            self.note_memory();
        }
    }

    fn note_memory(&mut self) {
        for (name, function) in &self.functions {
            self.measured.entry(name).or_default().resident_kib.push(function.resident_kib());
        }
    }
}

type ByFunction = BTreeMap<&'static str, Measured>;

pub fn run(minutes: u64) {
    crate::build(&FUNCTIONS);
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    let users: Vec<_> = (0..USERS)
        .map(|_| {
            let functions = FUNCTIONS.map(|name| (name, table.function(name)));
            let mut user = User {
                functions: functions.into(),
                measured: BTreeMap::new(),
                started: Instant::now(),
                ids: Vec::new(),
            };
            std::thread::spawn(move || {
                user.measure(minutes);
                user.measured
            })
        })
        .collect();
    let measured: Vec<_> = users.into_iter().map(|user| user.join().unwrap()).collect();
    print(minutes, &measured);
}

fn print(minutes: u64, measured: &[ByFunction]) {
    let mut text = document::circumstances(&format!("cargo bench -p benches -- soak {minutes}"));
    text.push_str(
        "\n| function | calls | p50, µs: first minute | last | p99: first | last | resident KiB after the first minute | last |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let last = Duration::from_secs(60 * (minutes - 1));
    for name in FUNCTIONS {
        let of_users = measured.iter().map(|functions| &functions[name]);
        let spans: Vec<_> = of_users.clone().flat_map(|measured| &measured.spans).collect();
        let within = |of: &dyn Fn(Duration) -> bool| {
            let (p50, p99) =
                percentiles(spans.iter().filter(|(at, _)| of(*at)).map(|(_, span)| *span).collect());
            (p50.as_micros(), p99.as_micros())
        };
        let (p50, p99) = within(&|at| at < Duration::from_secs(60));
        let (p50_last, p99_last) = within(&|at| at >= last);
        let resident = |of: fn(&[u64]) -> Option<&u64>| {
            of_users.clone().filter_map(|measured| of(&measured.resident_kib)).max().unwrap()
        };
        let (first_kib, last_kib) = (resident(<[u64]>::first), resident(<[u64]>::last));
        let calls = spans.len();
        writeln!(
            text,
            "| {name} | {calls} | {p50} | {p50_last} | {p99} | {p99_last} | {first_kib} | {last_kib} |"
        )
        .unwrap();
    }
    document::write("reliability.md", "soak", &text);
}
