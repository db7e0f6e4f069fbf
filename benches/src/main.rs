//! `cargo bench -p benches -- budget [write]`: instructions of a warm call, and sizes, against `budget.json`.
//! `cargo bench -p benches -- compare`: our functions beside a hello world, one without an SDK, and the Python library.
//! `cargo bench -p benches -- growth`: how a call's cost grows with the session's size and the number of callers.
//! `cargo bench -p benches -- memory`: a function at each memory size of Lambda's.
//! `cargo bench -p benches -- soak [MINUTES]`: the functions at full speed, mixed calls over 100,000 sessions.
//! `cargo bench -p benches -- table`: calls with 1,000, 100,000 and 1,000,000 sessions in the table.
//!
//! The release build of the functions is made first, unless `SESSION_BOOTSTRAPS` names a folder that holds it.

// Whatever goes wrong here is to end the run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod budget;
mod compare;
mod front;
mod function;
mod growth;
mod http;
mod memory;
mod report;
mod soak;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;

const FUNCTIONS: [&str; 5] = ["create", "load", "save", "renew", "clear"];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["budget"] => budget::run(false),
        ["budget", "write"] => budget::run(true),
        ["compare"] => compare::run_all(),
        ["growth"] => growth::run(),
        ["memory"] => memory::run(),
        ["soak"] => soak::run(10),
        ["soak", minutes] => soak::run(minutes.parse().expect("MINUTES is a whole number")),
        ["table"] => table::run(),
        _ => panic!("one of: budget [write], compare, growth, memory, soak [MINUTES], table"),
    }
}

/// The built function `name`.
fn bootstrap(name: &str) -> PathBuf {
    match std::env::var_os("SESSION_BOOTSTRAPS") {
        // Cargo starts a benchmark in its package's folder; what the user wrote is meant from the workspace's.
        Some(folder) => {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join(name).join("bootstrap")
        }
        None => release(name),
    }
}

/// A program of the release build.
fn release(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// The target folder that this program was built in: it is TARGET/release/deps/lambda-HASH.
fn target() -> PathBuf {
    std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned()
}

/// Makes the release build of these programs; of the functions only where no other build is named.
fn build(programs: &[&str]) {
    let has_functions = std::env::var_os("SESSION_BOOTSTRAPS").is_some();
    let programs = programs.iter().filter(|program| !(has_functions && FUNCTIONS.contains(program)));
    let packages: Vec<_> = programs.flat_map(|program| ["--package", program]).collect();
    if packages.is_empty() {
        return;
    }
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--target-dir"])
        .arg(target())
        .args(packages)
        .status()
        .unwrap();
    assert!(built.success());
}
