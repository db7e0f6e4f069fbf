//! Nothing gets slower or larger by accident: the instructions of a warm call, counted by valgrind's callgrind, and the size of
//! each function, against `budget.json`.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::compare::{create_session, data, issued};
use crate::function::{Function, event};
use crate::table::Table;
use crate::{FUNCTIONS, bootstrap};

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.json");

/// Of the committed figure. Hash seeds and timers move the instructions by less than one in a hundred; another linker moves the bytes.
const TOLERANCE: f64 = 0.05;

const WARM_UP: usize = 20;
const CALLS: usize = 100;

/// Compares, or takes what is measured for the budget from now on.
pub fn run(is_to_be_written: bool) {
    crate::build(&FUNCTIONS);
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    let measured: BTreeMap<_, _> = FUNCTIONS
        .iter()
        .map(|name| {
            let bytes = std::fs::metadata(bootstrap(name)).unwrap().len();
            let instructions =
                (count(&table, name, WARM_UP + CALLS) - count(&table, name, WARM_UP)) / CALLS as u64;
            (*name, json!({ "bytes": bytes, "instructions": instructions }))
        })
        .collect();
    if is_to_be_written {
        std::fs::write(BUDGET, format!("{:#}\n", json!(measured))).unwrap();
        return;
    }
    let budget: Value = serde_json::from_str(&std::fs::read_to_string(BUDGET).unwrap()).unwrap();
    let mut has_grown = false;
    for (name, measured) in &measured {
        for (what, measured) in measured.as_object().unwrap() {
            let (measured, budget) = (measured.as_f64().unwrap(), budget[name][what].as_f64().unwrap());
            let change = measured / budget - 1.0;
            has_grown |= change > TOLERANCE;
            let verdict = match change {
                change if change > TOLERANCE => "MORE than the budget allows",
                change if change < -TOLERANCE => "less: lower the budget",
                _ => "as it was",
            };
            println!("{name:>6} {what:>12} {measured:>9} {:>+6.1} %  {verdict}", change * 100.0);
        }
    }
    assert!(!has_grown, "if it is worth it: cargo bench -p benches -- budget write");
}

/// The instructions of the function from its start to its end, after so many calls.
fn count(table: &Table, name: &str, calls: usize) -> u64 {
    let out = crate::target().join(format!("callgrind-{name}"));
    let mut program = Command::new("valgrind");
    program
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(bootstrap(name));
    table.configure(&mut program);
    let (mut function, _) = Function::start(program);
    let mut id = create_session(table, 1000);
    let body = || Some(json!({ "data": data(1000) }).to_string());
    for _ in 0..calls {
        let event = match name {
            "create" => event("POST", "/session", None, body()),
            "load" => event("GET", "/session", Some(&id), None),
            "save" => event("PUT", "/session", Some(&id), body()),
            "renew" => event("POST", "/session/renew", Some(&id), None),
            _ => event("DELETE", "/session", Some(&id), None),
        };
        let (response, _) = function.call(&event);
        // A clear finds its session the first time only: the request is the same.
        assert!(response["statusCode"].as_u64().is_some_and(|status| status < 300), "{name}: {response}");
        if name == "renew" {
            id = issued(&response);
        }
    }
    function.terminate();
    let profile = std::fs::read_to_string(out).unwrap();
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse().unwrap()
}
