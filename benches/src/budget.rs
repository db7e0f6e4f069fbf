//! The instructions of a warm call, counted by valgrind's callgrind, and the size of each function, against
//! `budget.json`: nothing gets slower or larger by accident.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{Function, Table, create_session, data, event, issued};
use crate::{FUNCTIONS, bootstrap};

const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budget.json");

/// Relative to the committed figure. Hash seeds and timers change the instructions by less than 1 %; another linker
/// changes the bytes.
const TOLERANCE: f64 = 0.05;

/// The functions once more: for a login, and with sealed data.
const VARIANTS: [(&str, &str); 7] = [
    ("create for a subject", "create"),
    ("renew for a subject", "renew"),
    ("sealed create", "create"),
    ("sealed load", "load"),
    ("sealed save", "save"),
    // Data of this size is never deflated.
    ("load of 500 bytes", "load"),
    ("sealed load of 500 bytes", "load"),
];

/// The subject whose sessions are listed and revoked.
const LISTED: &str = "alice";

const WARM_UP: usize = 20;
const CALLS: usize = 100;

/// Compares with the budget, or writes a new one.
pub fn run(is_to_be_written: bool) {
    crate::build(&FUNCTIONS);
    let measured = measure();
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
            println!("{name:>24} {what:>12} {measured:>9} {:>+6.1} %  {}", change * 100.0, verdict(change));
        }
    }
    assert!(!has_grown, "if it is worth it: cargo bench -p benches -- budget write");
}

fn measure() -> BTreeMap<&'static str, Value> {
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    let measure = |name| {
        let bytes = std::fs::metadata(bootstrap(name)).unwrap().len();
        let instructions =
            (count(&table, name, WARM_UP + CALLS) - count(&table, name, WARM_UP)) / CALLS as u64;
        (name, json!({ "bytes": bytes, "instructions": instructions }))
    };
    let mut measured: BTreeMap<_, _> = FUNCTIONS.map(measure).into();
    for (name, binary) in VARIANTS {
        let instructions =
            (count(&table, name, WARM_UP + CALLS) - count(&table, name, WARM_UP)) / CALLS as u64;
        let bytes = std::fs::metadata(bootstrap(binary)).unwrap().len();
        measured.insert(name, json!({ "bytes": bytes, "instructions": instructions }));
    }
    measured
}

/// The function that a measurement is of.
fn binary(name: &str) -> &str {
    VARIANTS.iter().find(|(variant, _)| *variant == name).map_or(name, |(_, binary)| binary)
}

fn verdict(change: f64) -> &'static str {
    match change {
        change if change > TOLERANCE => "MORE than the budget allows",
        change if change < -TOLERANCE => "less: lower the budget",
        _ => "within the budget",
    }
}

/// The instructions of the function from its start to its end, with this many calls.
fn count(table: &Table, name: &str, calls: usize) -> u64 {
    let out = crate::target().join(format!("callgrind-{name}"));
    let mut program = Command::new("valgrind");
    program
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(bootstrap(binary(name)));
    table.configure(&mut program);
    program.env("SESSION_SEAL", name.starts_with("sealed").to_string());
    let (mut function, _) = Function::start(program);
    let bytes = if name.ends_with("500 bytes") { 500 } else { 1000 };
    let mut id = create_session(table, bytes);
    if name.starts_with("sealed") {
        let mut save = Command::new(bootstrap("save"));
        table.configure(&mut save);
        save.env("SESSION_SEAL", "true");
        let body = json!({ "data": data(bytes) }).to_string();
        Function::start(save).0.call(&event("PUT", "/session", Some(&id), Some(body)));
    }
    if name == "list" {
        let body = Some(json!({ "subject": LISTED }).to_string());
        table.function("create").call(&event("POST", "/session", None, body));
    }
    let body = || Some(json!({ "data": data(1000) }).to_string());
    for call in 0..calls {
        // A session is renewed at most ten times a minute.
        if name == "renew" && call % 10 == 0 {
            id = create_session(table, bytes);
        }
        // Lists of one session each.
        let subject = format!("{calls} {call}");
        let event = match name {
            "create" | "sealed create" => event("POST", "/session", None, body()),
            "load" | "sealed load" | "load of 500 bytes" | "sealed load of 500 bytes" => {
                event("GET", "/session", Some(&id), None)
            }
            "save" | "sealed save" => event("PUT", "/session", Some(&id), body()),
            "renew" => event("POST", "/session/renew", Some(&id), None),
            "create for a subject" => event(
                "POST",
                "/session",
                None,
                Some(json!({ "data": data(1000), "subject": subject }).to_string()),
            ),
            "renew for a subject" => {
                event("POST", "/session/renew", Some(&id), Some(json!({ "subject": subject }).to_string()))
            }
            "list" => event("POST", "/session/list", None, Some(json!({ "subject": LISTED }).to_string())),
            "revoke" => {
                event("POST", "/session/revoke", None, Some(json!({ "subject": LISTED }).to_string()))
            }
            "authorize" => event("GET", "/orders", Some(&id), None),
            _ => event("DELETE", "/session", Some(&id), None),
        };
        let (response, _) = function.call(&event);
        // Only the first clear finds its session, and the first revocation. Further requests are the same, or the first ones.
        let is_done = response["statusCode"].as_u64().is_some_and(|status| status < 300)
            || response["isAuthorized"] == true;
        assert!(is_done, "{name}: {response}");
        if name.starts_with("renew") {
            id = issued(&response);
        }
    }
    function.terminate();
    let profile = std::fs::read_to_string(out).unwrap();
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ")).unwrap();
    total.trim().parse().unwrap()
}
