//! Our functions beside a function that does nothing, one that does the same without an SDK, and the Python library.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::front::{Front, Usage};
use crate::function::{Function, cpu, event};
use crate::report::{self, figures};
use crate::table::{Table, median};
use crate::{bootstrap, http};

const STARTS: usize = 61;
const ROUNDS: usize = 10;
const CALLS: usize = 200;

/// What one of the functions is called for.
#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Create,
    Load,
    Save,
    Clear,
}

/// Whose sessions a function works on.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rust,
    Python,
}

/// One of the functions that are compared.
struct Peer {
    name: &'static str,
    kind: Kind,
    verb: Verb,
    /// What there is to start, or nothing for the Python library.
    binary: Option<PathBuf>,
    measured: Measured,
}

#[derive(Default)]
struct Measured {
    init: Vec<Duration>,
    first: Vec<Duration>,
    warm: Vec<Duration>,
    /// Of a call, one for each round.
    cpu: Vec<Duration>,
    /// The same while DynamoDB's last answers are given again, at once.
    replayed_cpu: Vec<Duration>,
    usage: Usage,
    peak_kib: u64,
}

impl Peer {
    fn new(name: &'static str, kind: Kind, verb: Verb, binary: Option<PathBuf>) -> Self {
        Self { name, kind, verb, binary, measured: Measured::default() }
    }

    fn start(&self, front: &Front) -> (Function, Duration) {
        let mut program = match &self.binary {
            Some(binary) => Command::new(binary),
            None => {
                let mut python = Command::new(python_environment().join("bin/python"));
                let handler = format!("sessions.{}", self.verb.name());
                python.args(["-m", "awslambdaric", &handler]).current_dir(python_sources());
                python
            }
        };
        let table = if self.kind == Kind::Python { PYTHON_TABLE } else { Table::NAME };
        program
            .env_clear()
            .env("AWS_CA_BUNDLE", &front.ca_bundle)
            .env("AWS_ENDPOINT_URL_DYNAMODB", &front.url)
            .env("SESSION_TABLE_NAME", table);
        Function::start(program)
    }

    fn call(&self, function: &mut Function, ids: &mut Vec<String>) -> (Value, Duration) {
        let id = if self.verb == Verb::Clear { ids.pop() } else { ids.last().cloned() };
        let event = event(self.verb.method(), "/session", id.as_deref(), self.verb.body());
        let (response, span) = function.call(&event);
        let status = response["statusCode"].as_u64().unwrap();
        assert!((200..300).contains(&status), "{}: {response}", self.name);
        (response, span)
    }

    fn init(&self) -> f64 {
        milliseconds(median(self.measured.init.clone()))
    }

    fn start_to_answer(&self) -> f64 {
        self.init() + milliseconds(median(self.measured.first.clone()))
    }

    fn warm_cpu(&self) -> f64 {
        microseconds(median(self.measured.replayed_cpu.clone()))
    }

    fn peak_mib(&self) -> f64 {
        self.measured.peak_kib as f64 / 1024.0
    }

    /// Of what is deployed, and of its zip.
    fn megabytes(&self) -> (f64, f64) {
        match &self.binary {
            Some(binary) => (std::fs::metadata(binary).unwrap().len() as f64 / 1e6, zipped(binary)),
            None => packages(),
        }
    }
}

impl Verb {
    fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Load => "load",
            Self::Save => "save",
            Self::Clear => "clear",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Create => "POST",
            Self::Load => "GET",
            Self::Save => "PUT",
            Self::Clear => "DELETE",
        }
    }

    fn body(self) -> Option<String> {
        matches!(self, Self::Create | Self::Save).then(|| json!({ "data": data(1000) }).to_string())
    }
}

/// Data of about this many bytes.
pub fn data(bytes: usize) -> Value {
    json!({ "fruit": "apple ".repeat(bytes / 6) })
}

const PYTHON_TABLE: &str = "python_session";

fn python_sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/python")
}

/// The Python library and what it needs, installed into the target folder.
pub fn python_environment() -> PathBuf {
    crate::target().join("benchmark-python")
}

fn install_python() {
    let environment = python_environment();
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    let requirements = python_sources().join("requirements.txt");
    run(Command::new(environment.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(requirements));
}

fn run(command: &mut Command) {
    assert!(command.status().unwrap().success(), "{command:?}");
}

pub fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

pub fn microseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// The size of a zip with this file or folder in it, in MB.
fn zipped(path: &Path) -> f64 {
    let zip = crate::target().join("benchmark.zip");
    run(Command::new("python3").args(["-m", "zipfile", "-c"]).arg(&zip).arg(path));
    std::fs::metadata(zip).unwrap().len() as f64 / 1e6
}

/// The Python packages that a function's zip has to hold, without those that are for Flask alone.
fn packages() -> (f64, f64) {
    let folder = crate::target().join("benchmark-packages");
    std::fs::remove_dir_all(&folder).ok();
    run(Command::new(python_environment().join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--target"])
        .arg(&folder)
        .args(["awslambdaric==4.2.2", "boto3==1.44.5", "dynamodb-session-web==0.2.9"]));
    let size = Command::new("du").args(["-sb"]).arg(&folder).output().unwrap().stdout;
    let size = String::from_utf8(size).unwrap();
    (size.split('\t').next().unwrap().parse::<f64>().unwrap() / 1e6, zipped(&folder))
}

pub fn run_all() {
    crate::build(&["create", "load", "save", "renew", "clear", "hello", "by_hand", "local"]);
    install_python();
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    table.add(&runtime, PYTHON_TABLE);
    let front = runtime.block_on(Front::before(&table.endpoint));

    let rust = |name, verb, binary| Peer::new(name, Kind::Rust, verb, Some(binary));
    let mut peers = [
        rust("create", Verb::Create, bootstrap("create")),
        rust("load", Verb::Load, bootstrap("load")),
        rust("load by hand", Verb::Load, crate::release("by_hand")),
        rust("hello world", Verb::Load, crate::release("hello")),
        rust("save", Verb::Save, bootstrap("save")),
        rust("clear", Verb::Clear, bootstrap("clear")),
        Peer::new("Python create", Kind::Python, Verb::Create, None),
        Peer::new("Python load", Kind::Python, Verb::Load, None),
        Peer::new("Python save", Kind::Python, Verb::Save, None),
        Peer::new("Python clear", Kind::Python, Verb::Clear, None),
    ];

    // In any order, each finds a session that the clears have left.
    let mut ids = [Vec::new(), Vec::new()];
    for peer in peers.iter().filter(|peer| peer.verb == Verb::Create) {
        let (mut function, _) = peer.start(&front);
        for _ in 0..2 {
            let (response, _) = peer.call(&mut function, &mut Vec::new());
            ids[peer.kind as usize].push(issued(&response));
        }
    }
    let mut order: Vec<_> = (0..peers.len()).collect();
    for _ in 0..STARTS {
        // Whoever comes after a Python function finds the processor's caches cold.
        let round = RandomState::new();
        order.sort_by_cached_key(|index| round.hash_one(index));
        for &index in &order {
            let peer = &mut peers[index];
            let (mut function, init) = peer.start(&front);
            let ids = &mut ids[peer.kind as usize];
            let (response, first) = peer.call(&mut function, ids);
            if peer.verb == Verb::Create {
                ids.push(issued(&response));
            }
            peer.measured.init.push(init);
            peer.measured.first.push(first);
        }
    }

    let mut functions: Vec<_> = peers.iter().map(|peer| peer.start(&front).0).collect();
    for _ in 0..ROUNDS {
        for (peer, function) in peers.iter_mut().zip(&mut functions) {
            let ids = &mut ids[peer.kind as usize];
            let any: Vec<_> = ids.last().cloned().into_iter().collect();
            front.take_usage();
            let before = cpu(function.id());
            for _ in 0..CALLS {
                let (response, span) = peer.call(function, ids);
                peer.measured.warm.push(span);
                if peer.verb == Verb::Create {
                    ids.push(issued(&response));
                }
            }
            let spent = cpu(function.id()) - before;
            peer.measured.cpu.push(spent / u32::try_from(CALLS).unwrap());
            peer.measured.usage = front.take_usage();
            front.replay(true);
            let before = cpu(function.id());
            for _ in 0..CALLS {
                peer.call(function, &mut any.clone());
            }
            let spent = cpu(function.id()) - before;
            front.replay(false);
            peer.measured.replayed_cpu.push(spent / u32::try_from(CALLS).unwrap());
            peer.measured.peak_kib = function.peak_kib();
        }
    }
    drop(functions);
    let rates = http::compare(&table, PYTHON_TABLE);
    write(&peers, &rates);
}

/// Creates a session with this much data, and returns its ID.
pub fn create_session(table: &Table, bytes: usize) -> String {
    let body = json!({ "data": data(bytes), "idle_timeout_seconds": 86_400 }).to_string();
    issued(&table.function("create").call(&event("POST", "/session", None, Some(body))).0)
}

/// The ID in the answer to a create or a renewal.
pub fn issued(response: &Value) -> String {
    let session: Value = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
    session["session_id"].as_str().unwrap().to_owned()
}

fn write(peers: &[Peer], rates: &http::Rates) {
    let mut table = report::circumstances("cargo bench -p benches -- compare");
    table.push_str(
        "\n| function | init, ms | first call, ms | warm call: p50, µs | p99, µs | CPU, µs | CPU, answers replayed, µs | peak memory, MiB | binary, MB | zip, MB | \
         requests | read units | write units |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for peer in peers {
        let Measured { first, warm, usage, .. } = &peer.measured;
        let mut warm = warm.clone();
        warm.sort_unstable();
        let (binary, zip) = peer.megabytes();
        let of_call = |sum: f64| figures(sum / CALLS as f64);
        let cells = [
            figures(peer.init()),
            figures(milliseconds(median(first.clone()))),
            figures(microseconds(warm[warm.len() / 2])),
            figures(microseconds(warm[warm.len() * 99 / 100])),
            figures(microseconds(median(peer.measured.cpu.clone()))),
            figures(peer.warm_cpu()),
            figures(peer.peak_mib()),
            figures(binary),
            figures(zip),
            of_call(usage.requests),
            of_call(usage.read_units),
            of_call(usage.write_units),
        ];
        writeln!(table, "| {} | {} |", peer.name, cells.join(" | ")).unwrap();
    }
    let peer = |name: &str| peers.iter().find(|peer| peer.name == name).unwrap();
    let (load, hand, python) = (peer("load"), peer("load by hand"), peer("Python load"));
    let at_most = |what: &str, value: f64, must: f64, aim: Option<f64>| {
        let is_met = if value <= must { "yes" } else { "**no**" };
        let aim = aim.map_or_else(String::new, |aim| format!("≤ {aim}"));
        format!("| {what} | {} | ≤ {must} | {is_met} | {aim} |\n", figures(value))
    };
    let at_least = |what: &str, value: f64, must: f64, aim: f64| {
        let is_met = if value >= must { "yes" } else { "**no**" };
        format!("| {what} | {} | ≥ {must} | {is_met} | ≥ {aim} |\n", figures(value))
    };
    let zip = ["create", "load", "save", "clear"].map(|name| peer(name).megabytes().1);
    let peak = ["create", "load", "save", "clear"].map(|name| peer(name).peak_mib());
    let largest = |of: [f64; 4]| of.into_iter().fold(0.0, f64::max);
    table.push_str("\n| ratio | measured | must | met | aim |\n| --- | ---: | ---: | --- | ---: |\n");
    table += &at_most("init, load to hello world", load.init() / peer("hello world").init(), 1.3, Some(0.65));
    let start = load.start_to_answer();
    table += &at_most("init and first call, load to by hand", start / hand.start_to_answer(), 1.3, Some(1.0));
    table += &at_least("init and first call, Python to ours", python.start_to_answer() / start, 60.0, 80.0);
    table += &at_most("warm load, CPU, to by hand", load.warm_cpu() / hand.warm_cpu(), 2.1, Some(1.6));
    table += &at_least("warm load, CPU, Python to ours", python.warm_cpu() / load.warm_cpu(), 10.0, 13.0);
    for name in ["create", "save", "clear"] {
        let python = peer(&format!("Python {name}")).warm_cpu();
        let what = format!("warm {name}, CPU, Python to ours");
        table += &at_least(&what, python / peer(name).warm_cpu(), 5.0, 7.0);
    }
    table += &at_most("largest zip, MB", largest(zip), 2.4, Some(1.6));
    table += &at_most("most memory after thousands of calls, MiB", largest(peak), 8.0, Some(4.0));
    let requests = load.measured.usage.requests / CALLS as f64;
    table += &at_most("DynamoDB requests of a load that slides nothing", requests, 1.0, None);
    table +=
        &at_least("local server, requests per second and core, ours to Flask", rates.per_core(), 10.0, 25.0);
    table.push_str(&rates.table());
    report::write("performance.md", "compare", &table);

    let names = [
        ("hello world", "hello world"),
        ("by hand", "load by hand"),
        ("ours", "load"),
        ("Python", "Python load"),
    ];
    let bars = |of: &dyn Fn(&Peer) -> f64| names.map(|(label, name)| (label, of(peer(name)))).to_vec();
    report::plot(
        "performance.svg",
        &[
            ("a load: start and first answer, ms", bars(&Peer::start_to_answer)),
            ("a warm load: CPU, µs", bars(&Peer::warm_cpu)),
            ("memory, MiB", bars(&Peer::peak_mib)),
            ("zip, MB", bars(&|peer| peer.megabytes().1)),
        ],
    );
}
