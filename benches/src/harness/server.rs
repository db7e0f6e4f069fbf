//! Servers over HTTP: our local server, and Flask with dynamodb-session-flask, on the same DynamoDB.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Table, cpu, data, figures, percentiles, python};

const CALLERS: usize = 8;
const ROUNDS: usize = 3;
const SECONDS: f64 = 5.0;

/// A server as a process, and its child processes.
pub struct Server {
    process: Child,
    port: u16,
}

/// What a server achieved.
pub struct Rate {
    pub per_second: f64,
    /// Requests for each second of CPU that the server's processes have used.
    pub per_core: f64,
    pub p50: Duration,
    pub p99: Duration,
}

pub struct Rates {
    ours: Rate,
    flask: Rate,
}

impl Rates {
    pub fn per_core(&self) -> f64 {
        self.ours.per_core / self.flask.per_core
    }

    pub fn table(&self) -> String {
        let mut table = format!(
            "\n`GET /session` over HTTP, 1 KB, {CALLERS} callers, all on the same two cores with DynamoDB:\n\n\
             | server | requests per second | per second and core of its own | p50, µs | p99, µs |\n\
             | --- | ---: | ---: | ---: | ---: |\n"
        );
        for (name, rate) in [("ours", &self.ours), ("Flask in gunicorn, two workers", &self.flask)] {
            table += &format!(
                "| {name} | {} | {} | {} | {} |\n",
                figures(rate.per_second),
                figures(rate.per_core),
                rate.p50.as_micros(),
                rate.p99.as_micros()
            );
        }
        table
    }
}

impl Server {
    /// Our local server, on this DynamoDB.
    pub fn ours(table: &Table) -> Self {
        let mut program = Command::new(crate::release("local"));
        program
            .args(["--port", "0", "--endpoint", &table.endpoint])
            .env("SESSION_TABLE_NAME", Table::NAME)
            .env("RUST_LOG", "off");
        let mut process = program.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.strip_prefix("http://localhost:").unwrap();
        let port = address.split('/').next().unwrap().parse().unwrap();
        Self { process, port }
    }

    fn flask(table: &Table, name: &str) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut program = Command::new(python::environment().join("bin/gunicorn"));
        program
            .args(["--bind", &format!("127.0.0.1:{port}"), "--workers", "2"])
            .args(["--worker-class", "gthread", "--threads", "4", "--keep-alive", "60", "app:app"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/python"))
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL_DYNAMODB", &table.endpoint)
            .env("SESSION_TABLE_NAME", name);
        let process = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { process, port }
    }

    /// Creates a session, and returns its ID from this header of the response or else from the body.
    pub fn create(&self, bytes: usize, header: &str) -> String {
        let body = json!({ "data": data(bytes) }).to_string();
        let request = format!(
            "POST /session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let (head, body) = Connection::to(self.port).exchange(&request);
        assert!(head.contains(" 201 "), "{head}");
        match head.lines().find_map(|line| line.strip_prefix(header)) {
            Some(id) => id.to_owned(),
            None => {
                let session: serde_json::Value = serde_json::from_slice(&body).unwrap();
                session["session_id"].as_str().unwrap().to_owned()
            }
        }
    }

    /// Sends loads from this many callers for this many seconds.
    pub fn measure(&self, header: &str, id: &str, callers: usize, seconds: f64) -> Rate {
        let request = format!("GET /session HTTP/1.1\r\nhost: localhost\r\n{header}{id}\r\n\r\n");
        let stop = Arc::new(AtomicBool::new(false));
        let (started, before) = (Instant::now(), self.cpu());
        let callers: Vec<_> = (0..callers)
            .map(|_| {
                let (port, request, stop) = (self.port, request.clone(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let mut connection = Connection::to(port);
                    let mut spans = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let started = Instant::now();
                        let (head, _) = connection.exchange(&request);
                        assert!(head.contains(" 200 "), "{head}");
                        spans.push(started.elapsed());
                    }
                    spans
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        stop.store(true, Ordering::Relaxed);
        let spans: Vec<_> = callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect();
        let (elapsed, spent) = (started.elapsed(), self.cpu() - before);
        let (per_second, per_core) =
            (spans.len() as f64 / elapsed.as_secs_f64(), spans.len() as f64 / spent.as_secs_f64());
        let (p50, p99) = percentiles(spans);
        Rate { per_second, per_core, p50, p99 }
    }

    fn cpu(&self) -> Duration {
        let id = self.process.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        let children = children.split_whitespace().map(|child| cpu(child.parse().unwrap()));
        children.sum::<Duration>() + cpu(id)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // With a signal, so that gunicorn ends its workers.
        Command::new("kill").arg(self.process.id().to_string()).status().ok();
        self.process.wait().ok();
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    fn exchange(&mut self, request: &str) -> (String, Vec<u8>) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let mut head = String::new();
        while self.0.read_line(&mut head).unwrap() > 2 {}
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (lower.lines().zip(head.lines()).map(|(lower, line)| with_lower_name(lower, line)).collect(), body)
    }
}

/// The line with the header's name in lower case.
fn with_lower_name(lower: &str, line: &str) -> String {
    let name = line.find(':').unwrap_or(0);
    format!("{}{}\n", &lower[..name], &line[name..])
}

pub const OUR_HEADER: &str = "x-session-id: ";
const FLASK_HEADER: &str = "x-id: ";

pub fn compare_servers(table: &Table, python_table: &str) -> Rates {
    let (ours, flask) = (Server::ours(table), Server::flask(table, python_table));
    let (our_id, flask_id) = (ours.create(1000, OUR_HEADER), flask.create(1000, FLASK_HEADER));
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push((
            ours.measure(OUR_HEADER, &our_id, CALLERS, SECONDS),
            flask.measure(FLASK_HEADER, &flask_id, CALLERS, SECONDS),
        ));
    }
    // The round with the median of our rate.
    rates.sort_by(|(one, _), (other, _)| one.per_core.total_cmp(&other.per_core));
    let (ours, flask) = rates.swap_remove(ROUNDS / 2);
    Rates { ours, flask }
}
