//! A function as a process, and an emulator of the Lambda Runtime API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longer than any start or call takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request of a function to the Runtime API.
struct Asked {
    path: String,
    body: Vec<u8>,
    answer: Sender<String>,
}

/// A function that is waiting for its next event.
pub struct Function {
    process: Child,
    asked: Receiver<Asked>,
    waiting: Asked,
}

impl Function {
    /// Starts `program`, and returns when it asks for its first event, with the time until then.
    pub fn start(mut program: Command) -> (Self, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &sender));
            }
        });
        program
            .envs([
                ("AWS_ACCESS_KEY_ID", "local"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_LAMBDA_FUNCTION_NAME", "function"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_LOG_LEVEL", "ERROR"),
                ("AWS_LAMBDA_RUNTIME_API", &api),
                ("AWS_DEFAULT_REGION", "us-east-1"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_SECRET_ACCESS_KEY", "local"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = Instant::now();
        let process = program.spawn().unwrap();
        let waiting = asked.recv_timeout(PATIENCE).expect("the function asks for an event");
        (Self { process, asked, waiting }, started.elapsed())
    }

    /// Gives the function an event, and returns its response and the time from one to the other.
    pub fn call(&mut self, event: &Value) -> (Value, Duration) {
        let event = event.to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
             lambda-runtime-deadline-ms: 4102444800000\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:123456789012:function:function\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{event}",
            event.len()
        );
        let started = Instant::now();
        self.waiting.answer.send(answer).unwrap();
        let response = self.asked.recv_timeout(PATIENCE).expect("the function answers");
        let span = started.elapsed();
        assert!(response.path.ends_with("/response"), "{}", String::from_utf8_lossy(&response.body));
        response.answer.send("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()).unwrap();
        self.waiting = self.asked.recv().unwrap();
        (serde_json::from_slice(&response.body).unwrap(), span)
    }

    /// Ends the function, and returns when it has ended.
    pub fn terminate(mut self) {
        Command::new("kill").arg(self.id().to_string()).status().unwrap();
        self.process.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.kib("VmRSS:")
    }

    /// The peak of its resident memory, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.kib("VmHWM:")
    }

    fn kib(&self, of: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(of)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// The CPU time of a process.
pub fn cpu(process: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let nanoseconds = tasks.map(|task| {
        // A thread may end in between.
        let schedstat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
        schedstat.split(' ').next().unwrap().parse().unwrap_or(0)
    });
    Duration::from_nanos(nanoseconds.sum())
}

impl Drop for Function {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Passes on the requests of one connection, and sends the responses.
fn serve(mut stream: TcpStream, asked: &Sender<Asked>) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut path, mut length, mut line) = (String::new(), 0, String::new());
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            match line.to_ascii_lowercase().split_once(": ") {
                Some(("content-length", value)) => length = value.trim().parse().unwrap(),
                Some(_) => {}
                None => path = line.split(' ').nth(1).unwrap().to_owned(),
            }
            line.clear();
        }
        let mut body = vec![0; length];
        let (answer, answers) = channel();
        if path.is_empty()
            || reader.read_exact(&mut body).is_err()
            || asked.send(Asked { path, body, answer }).is_err()
        {
            return;
        }
        // Without an answer the benchmark is over.
        let Ok(answer) = answers.recv() else { return };
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The event of a call.
pub fn event(method: &str, path: &str, id: Option<&str>, body: Option<String>) -> Value {
    let mut headers = json!({ "accept": "*/*", "host": "example.com" });
    if let Some(id) = id {
        headers["x-session-id"] = id.into();
    }
    if body.is_some() {
        headers["content-type"] = "application/json".into();
    }
    json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": "",
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "example.com",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench" },
            "requestId": "request",
            "routeKey": format!("{method} {path}"),
            "stage": "$default",
            "timeEpoch": 0,
        },
        "body": body,
        "isBase64Encoded": false,
    })
}
