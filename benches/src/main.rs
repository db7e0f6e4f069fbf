//! `cargo bench -p benches -- budget [write]`: instructions of a warm call, and sizes, against `budget.json`.
//! `cargo bench -p benches -- compare`: our functions compared with a hello world, one without an SDK, and Python.
//! `cargo bench -p benches -- subjects`: what the sessions of a subject cost.
//! `cargo bench -p benches -- growth`: how a call's cost grows with the session's size and the number of callers.
//! `cargo bench -p benches -- memory`: a function at each memory size of Lambda's.
//! `cargo bench -p benches -- soak [MINUTES]`: the functions at full speed, mixed calls over 100,000 sessions.
//! `cargo bench -p benches -- table`: calls with 1,000, 100,000 and 1,000,000 sessions in the table.
//!
//! The release build of the functions is made first, unless `SESSION_BOOTSTRAPS` names a folder that holds it.

// A benchmark ends at the first error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod budget;
mod compare;
mod growth;
mod harness;
mod memory;
mod soak;
mod subjects;
mod table_size;

use std::path::{Path, PathBuf};
use std::process::Command;

const FUNCTIONS: [&str; 8] = ["create", "load", "save", "renew", "clear", "list", "revoke", "authorize"];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["budget"] => budget::run(false),
        ["budget", "write"] => budget::run(true),
        ["compare"] => compare::run(),
        ["growth"] => growth::run(),
        ["memory"] => memory::run(),
        ["soak"] => soak::run(10),
        ["soak", minutes] => soak::run(minutes.parse().expect("MINUTES is a whole number")),
        ["subjects"] => subjects::run(),
        ["table"] => table_size::run(),
        _ => panic!("one of: budget [write], compare, growth, memory, soak [MINUTES], subjects, table"),
    }
}

/// The built function `name`.
fn bootstrap(name: &str) -> PathBuf {
    match std::env::var_os("SESSION_BOOTSTRAPS") {
        // Cargo starts a benchmark in its package's folder; the user's path is relative to the workspace's.
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

/// Makes the release build of these programs, without the functions when another build of them is named.
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
