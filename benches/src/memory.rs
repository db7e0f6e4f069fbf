//! The cost of a call at each memory size.
//!
//! Lambda gives a function a share of the processor in proportion to its memory (1,769 MB is one core; Lambda Developer
//! Guide, "Configure function memory"), and all of it during init. Here a function is put into a cgroup with that share
//! when it asks for its first event. The sandbox's own start, the network to AWS, and DynamoDB's response time are not
//! included; they do not depend on the memory.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::bootstrap;
use crate::harness::{
    Front, Function, Table, create_session, document, event, figures, median, milliseconds, percentiles,
};

const MEGABYTES: [u64; 5] = [128, 256, 512, 1024, 1769];
const STARTS: usize = 11;
const CALLS: usize = 300;

/// The period of Lambda's scheduler. At 128 MB a call can use up its share within one period.
const PERIOD_MICROSECONDS: u64 = 20_000;

/// x86_64, us-east-1, aws.amazon.com/lambda/pricing, 2025.
const DOLLARS_PER_GB_SECOND: f64 = 0.000_016_666_7;

/// A share of the processor.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(megabytes: u64) -> Self {
        let quota = PERIOD_MICROSECONDS * megabytes / 1769;
        let v1 = Path::new("/sys/fs/cgroup/cpu");
        let root = if v1.is_dir() { v1 } else { Path::new("/sys/fs/cgroup") };
        let path = root.join(format!("sessions-{}-{megabytes}", std::process::id()));
        std::fs::create_dir(&path).expect("this benchmark needs root, and cgroups");
        if v1.is_dir() {
            std::fs::write(path.join("cpu.cfs_period_us"), PERIOD_MICROSECONDS.to_string()).unwrap();
            std::fs::write(path.join("cpu.cfs_quota_us"), quota.to_string()).unwrap();
        } else {
            std::fs::write(path.join("cpu.max"), format!("{quota} {PERIOD_MICROSECONDS}")).unwrap();
        }
        Self(path)
    }

    fn add(&self, function: &Function) {
        std::fs::write(self.0.join("cgroup.procs"), function.id().to_string()).unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        std::fs::remove_dir(&self.0).ok();
    }
}

#[derive(Default)]
struct Measured {
    inits: Vec<Duration>,
    firsts: Vec<Duration>,
    warm: Vec<Duration>,
}

pub fn run() {
    crate::build(&["create", "load", "connected"]);
    let runtime = Runtime::new().unwrap();
    let table = Table::new(&runtime);
    let front = runtime.block_on(Front::before(&table.endpoint));
    let id = create_session(&table, 1000);
    let call = event("GET", "/session", Some(&id), None);
    let programs = [("no", bootstrap("load")), ("yes", crate::release("connected"))];
    let mut text = document::circumstances("cargo bench -p benches -- memory");
    text.push_str(
        "\n| memory, MB | connection opened at init | init, ms | first call, ms | init and first call | warm call: p50, ms | p99, ms | \
         charge for a million warm calls |\n| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for megabytes in MEGABYTES {
        let mut measured = programs.each_ref().map(|_| Measured::default());
        for _ in 0..STARTS {
            for ((_, program), measured) in programs.iter().zip(&mut measured) {
                measure(program, megabytes, &front, &call, measured);
            }
        }
        for ((connected, _), measured) in programs.iter().zip(measured) {
            writeln!(text, "| {megabytes} | {connected} | {} |", cells(megabytes, measured)).unwrap();
        }
    }
    document::write("performance.md", "memory", &text);
}

fn measure(program: &Path, megabytes: u64, front: &Front, call: &Value, measured: &mut Measured) {
    let mut program = Command::new(program);
    program
        .env_clear()
        .env("AWS_CA_BUNDLE", &front.ca_bundle)
        .env("AWS_ENDPOINT_URL_DYNAMODB", &front.url)
        .env("SESSION_TABLE_NAME", Table::NAME);
    let (mut function, init) = Function::start(program);
    let cgroup = Cgroup::new(megabytes);
    cgroup.add(&function);
    let mut span = || {
        let (response, span) = function.call(call);
        assert_eq!(response["statusCode"], 200, "{response}");
        span
    };
    measured.inits.push(init);
    measured.firsts.push(span());
    measured.warm.extend((0..CALLS).map(|_| span()));
    drop(function); // before its cgroup
}

fn cells(megabytes: u64, Measured { inits, firsts, warm }: Measured) -> String {
    let mean = warm.iter().sum::<Duration>() / u32::try_from(warm.len()).unwrap();
    // Lambda bills each millisecond that has begun.
    let billed = milliseconds(mean).ceil() / 1e3 * megabytes as f64 / 1024.0;
    let (init, first) = (milliseconds(median(inits)), milliseconds(median(firsts)));
    let (p50, p99) = percentiles(warm);
    let times = [init, first, init + first, milliseconds(p50), milliseconds(p99)].map(figures).join(" | ");
    format!("{times} | ${:.4}", billed * DOLLARS_PER_GB_SECOND * 1e6)
}
