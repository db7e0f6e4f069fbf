//! Our functions compared with a function that does nothing, with one that has no SDK, and with the Python library.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::bootstrap;
use crate::harness::{
    Consumed, Front, Function, Rates, Table, compare_servers, cpu, data, document, event, figures, issued,
    median, microseconds, milliseconds, percentiles, python,
};

const STARTS: usize = 61;
const ROUNDS: usize = 10;
const CALLS: usize = 200;

/// The call that a function handles.
#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Create,
    Load,
    Save,
    Clear,
    /// A load for another API.
    Authorize,
}

/// The implementation of a function.
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
    /// The program. `None` for the Python library.
    binary: Option<PathBuf>,
    measured: Measured,
}

#[derive(Default)]
struct Measured {
    init: Vec<Duration>,
    first: Vec<Duration>,
    warm: Vec<Duration>,
    /// For one call, a value for each round.
    cpu: Vec<Duration>,
    /// The same, while DynamoDB's last responses are replayed.
    replayed_cpu: Vec<Duration>,
    consumed: Consumed,
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
                let mut python = Command::new(python::environment().join("bin/python"));
                let handler = format!("sessions.{}", self.verb.name());
                python.args(["-m", "awslambdaric", &handler]).current_dir(python::sources());
                python
            }
        };
        let table = if self.kind == Kind::Python { python::TABLE } else { Table::NAME };
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
        let is_authorized = response["isAuthorized"] == true;
        let status = response["statusCode"].as_u64().unwrap_or_default();
        assert!(is_authorized || (200..300).contains(&status), "{}: {response}", self.name);
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

    /// The size of the program and of its zip.
    fn megabytes(&self) -> (f64, f64) {
        match &self.binary {
            Some(binary) => {
                (std::fs::metadata(binary).unwrap().len() as f64 / 1e6, python::zip_megabytes(binary))
            }
            None => python::package_megabytes(),
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
            Self::Authorize => "authorize",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Create => "POST",
            Self::Load | Self::Authorize => "GET",
            Self::Save => "PUT",
            Self::Clear => "DELETE",
        }
    }

    fn body(self) -> Option<String> {
        matches!(self, Self::Create | Self::Save).then(|| json!({ "data": data(1000) }).to_string())
    }
}

/// The IDs of the sessions that the calls are for, by implementation.
type Ids = [Vec<String>; 2];

pub fn run() {
    crate::build(&["create", "load", "save", "renew", "clear", "authorize", "hello", "by_hand", "local"]);
    python::install();
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    table.add(&runtime, python::TABLE);
    let front = runtime.block_on(Front::before(&table.endpoint));
    let mut peers = peers();
    let mut ids = first_sessions(&peers, &front);
    measure_starts(&mut peers, &mut ids, &front);
    measure_calls(&mut peers, &mut ids, &front);
    let rates = compare_servers(&table, python::TABLE);
    print(&peers, &rates);
}

fn peers() -> [Peer; 11] {
    let rust = |name, verb, binary| Peer::new(name, Kind::Rust, verb, Some(binary));
    [
        rust("create", Verb::Create, bootstrap("create")),
        rust("load", Verb::Load, bootstrap("load")),
        rust("authorize", Verb::Authorize, bootstrap("authorize")),
        rust("load by hand", Verb::Load, crate::release("by_hand")),
        rust("hello world", Verb::Load, crate::release("hello")),
        rust("save", Verb::Save, bootstrap("save")),
        rust("clear", Verb::Clear, bootstrap("clear")),
        Peer::new("Python create", Kind::Python, Verb::Create, None),
        Peer::new("Python load", Kind::Python, Verb::Load, None),
        Peer::new("Python save", Kind::Python, Verb::Save, None),
        Peer::new("Python clear", Kind::Python, Verb::Clear, None),
    ]
}

/// Two sessions of each kind, so that in any order each call finds a session that the clears have left.
fn first_sessions(peers: &[Peer], front: &Front) -> Ids {
    let mut ids = [Vec::new(), Vec::new()];
    for peer in peers.iter().filter(|peer| peer.verb == Verb::Create) {
        let (mut function, _) = peer.start(front);
        for _ in 0..2 {
            let (response, _) = peer.call(&mut function, &mut Vec::new());
            ids[peer.kind as usize].push(issued(&response));
        }
    }
    ids
}

fn measure_starts(peers: &mut [Peer], ids: &mut Ids, front: &Front) {
    let mut order: Vec<_> = (0..peers.len()).collect();
    for _ in 0..STARTS {
        // A function that starts after a Python function finds cold caches: the order changes in each round.
        let round = RandomState::new();
        order.sort_by_cached_key(|index| round.hash_one(index));
        for &index in &order {
            let peer = &mut peers[index];
            let (mut function, init) = peer.start(front);
            let ids = &mut ids[peer.kind as usize];
            let (response, first) = peer.call(&mut function, ids);
            if peer.verb == Verb::Create {
                ids.push(issued(&response));
            }
            peer.measured.init.push(init);
            peer.measured.first.push(first);
        }
    }
}

fn measure_calls(peers: &mut [Peer], ids: &mut Ids, front: &Front) {
    let mut functions: Vec<_> = peers.iter().map(|peer| peer.start(front).0).collect();
    for _ in 0..ROUNDS {
        for (peer, function) in peers.iter_mut().zip(&mut functions) {
            measure_round(peer, function, &mut ids[peer.kind as usize], front);
        }
    }
}

fn measure_round(peer: &mut Peer, function: &mut Function, ids: &mut Vec<String>, front: &Front) {
    let calls = u32::try_from(CALLS).unwrap();
    let any: Vec<_> = ids.last().cloned().into_iter().collect();
    front.take_consumed();
    let before = cpu(function.id());
    for _ in 0..CALLS {
        let (response, span) = peer.call(function, ids);
        peer.measured.warm.push(span);
        if peer.verb == Verb::Create {
            ids.push(issued(&response));
        }
    }
    peer.measured.cpu.push((cpu(function.id()) - before) / calls);
    peer.measured.consumed = front.take_consumed();
    front.replay(true);
    let before = cpu(function.id());
    for _ in 0..CALLS {
        peer.call(function, &mut any.clone());
    }
    peer.measured.replayed_cpu.push((cpu(function.id()) - before) / calls);
    front.replay(false);
    peer.measured.peak_kib = function.peak_kib();
}

/// A measured ratio or figure, and its goals.
struct Goal {
    what: String,
    value: f64,
    /// Whether larger values are better.
    is_minimum: bool,
    must: f64,
    aim: Option<f64>,
}

fn at_most(what: &str, value: f64, must: f64, aim: impl Into<Option<f64>>) -> Goal {
    Goal { what: what.to_owned(), value, is_minimum: false, must, aim: aim.into() }
}

fn at_least(what: &str, value: f64, must: f64, aim: impl Into<Option<f64>>) -> Goal {
    Goal { is_minimum: true, ..at_most(what, value, must, aim) }
}

impl Goal {
    fn row(&self) -> String {
        let is_met = if self.is_minimum { self.value >= self.must } else { self.value <= self.must };
        let sign = if self.is_minimum { '≥' } else { '≤' };
        let met = if is_met { "yes" } else { "**no**" };
        let aim = self.aim.map_or_else(String::new, |aim| format!("{sign} {aim}"));
        format!("| {} | {} | {sign} {} | {met} | {aim} |\n", self.what, figures(self.value), self.must)
    }
}

fn judge(peers: &[Peer], rates: &Rates) -> Vec<Goal> {
    let peer = |name: &str| named(peers, name);
    let (load, hand, python) = (peer("load"), peer("load by hand"), peer("Python load"));
    let largest = |of: &dyn Fn(&Peer) -> f64| {
        ["create", "load", "save", "clear", "authorize"].iter().map(|name| of(peer(name))).fold(0.0, f64::max)
    };
    let start = load.start_to_answer();
    let mut goals = vec![
        at_most("init, load to hello world", load.init() / peer("hello world").init(), 1.3, 0.65),
        at_most("init and first call, load to by hand", start / hand.start_to_answer(), 1.3, 1.0),
        at_least("init and first call, Python to ours", python.start_to_answer() / start, 60.0, 80.0),
        at_most("warm load, CPU, to by hand", load.warm_cpu() / hand.warm_cpu(), 2.1, 1.6),
        at_least("warm load, CPU, Python to ours", python.warm_cpu() / load.warm_cpu(), 10.0, 13.0),
    ];
    let authorize = peer("authorize").warm_cpu() / load.warm_cpu();
    goals.push(at_most("warm authorization, CPU, to load", authorize, 1.1, 0.9));
    for name in ["create", "save", "clear"] {
        let python = peer(&format!("Python {name}")).warm_cpu();
        let what = format!("warm {name}, CPU, Python to ours");
        goals.push(at_least(&what, python / peer(name).warm_cpu(), 5.0, 7.0));
    }
    let requests = load.measured.consumed.requests / CALLS as f64;
    goals.extend([
        at_most("largest zip, MB", largest(&|peer| peer.megabytes().1), 2.4, 1.6),
        at_most("most memory after thousands of calls, MiB", largest(&Peer::peak_mib), 8.0, 4.0),
        at_most("DynamoDB requests of a load that slides nothing", requests, 1.0, None),
        at_least("local server, requests per second and core, ours to Flask", rates.per_core(), 10.0, 25.0),
    ]);
    goals
}

fn named<'a>(peers: &'a [Peer], name: &str) -> &'a Peer {
    peers.iter().find(|peer| peer.name == name).unwrap()
}

fn print(peers: &[Peer], rates: &Rates) {
    let mut table = document::circumstances("cargo bench -p benches -- compare");
    table.push_str(
        "\n| function | init, ms | first call, ms | warm call: p50, µs | p99, µs | CPU, µs | CPU, answers replayed, µs | peak memory, MiB | binary, MB | zip, MB | \
         requests | read units | write units |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for peer in peers {
        writeln!(table, "| {} | {} |", peer.name, cells(peer).join(" | ")).unwrap();
    }
    table.push_str("\n| ratio | measured | must | met | aim |\n| --- | ---: | ---: | --- | ---: |\n");
    table.extend(judge(peers, rates).iter().map(Goal::row));
    table.push_str(&rates.table());
    document::write("performance.md", "compare", &table);
    plot(peers);
}

fn cells(peer: &Peer) -> [String; 12] {
    let Measured { first, warm, consumed, cpu, .. } = &peer.measured;
    let (p50, p99) = percentiles(warm.clone());
    let (binary, zip) = peer.megabytes();
    [
        peer.init(),
        milliseconds(median(first.clone())),
        microseconds(p50),
        microseconds(p99),
        microseconds(median(cpu.clone())),
        peer.warm_cpu(),
        peer.peak_mib(),
        binary,
        zip,
        consumed.requests / CALLS as f64,
        consumed.read_units / CALLS as f64,
        consumed.write_units / CALLS as f64,
    ]
    .map(figures)
}

fn plot(peers: &[Peer]) {
    let names = [
        ("hello world", "hello world"),
        ("by hand", "load by hand"),
        ("ours", "load"),
        ("Python", "Python load"),
    ];
    let bars =
        |of: &dyn Fn(&Peer) -> f64| names.map(|(label, name)| (label, of(named(peers, name)))).to_vec();
    document::plot(
        "performance.svg",
        &[
            ("a load: start and first answer, ms", bars(&Peer::start_to_answer)),
            ("a warm load: CPU, µs", bars(&Peer::warm_cpu)),
            ("memory, MiB", bars(&Peer::peak_mib)),
            ("zip, MB", bars(&|peer| peer.megabytes().1)),
        ],
    );
}
