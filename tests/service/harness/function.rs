//! A function's binary under an emulator of the Lambda Runtime API.
//!
//! `SESSION_BOOTSTRAPS=target/lambda` uses the build of `cargo lambda build --release`; without it, the binaries of
//! this build are used.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use dynamodb_web_session::{Clock, SystemClock};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::{Service, program};

/// A function, and the Runtime API that it gets its events from.
pub struct Function {
    pub process: Child,
    events: mpsc::Sender<Event>,
}

struct Event {
    payload: String,
    outcome: oneshot::Sender<Outcome>,
}

/// What the function posted for an event.
#[derive(Debug)]
pub enum Outcome {
    Response(Value),
    Error(Value),
    /// The process ended. Lambda starts it again for the next event.
    Exit,
}

impl Function {
    pub async fn start(name: &str, service: &Service) -> Self {
        Self::start_with(name, service, &[]).await
    }

    pub async fn start_with(name: &str, service: &Service, settings: &[(&str, &str)]) -> Self {
        Self::run_with(bootstrap(name).await, name, service, settings).await
    }

    /// Starts another program as a function.
    pub async fn run(program: PathBuf, service: &Service) -> Self {
        Self::run_with(program, "function", service, &[]).await
    }

    async fn run_with(program: PathBuf, name: &str, service: &Service, settings: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = listener.local_addr().unwrap().to_string();
        let (events, received) = mpsc::channel(1);
        // The function reads the system's clock, which has gone on while its program was built.
        service.clock.advance(SystemClock.now().seconds_since(service.clock.now()));
        tokio::spawn(serve(listener, received));
        let mut command = Command::new(program);
        // Lambda Developer Guide, "Defined runtime environment variables".
        command.env_clear().envs([
            ("_HANDLER", "bootstrap"),
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_FUNCTION_NAME", name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "group"),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "stream"),
            ("AWS_LAMBDA_RUNTIME_API", &api),
            ("AWS_REGION", "us-east-1"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
            ("AWS_SESSION_TOKEN", "token"),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("LANG", "en_US.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
            ("TZ", ":UTC"),
        ]);
        command
            .env("SESSION_TABLE_NAME", &service.table)
            .env("AWS_ENDPOINT_URL_DYNAMODB", &service.proxy.url);
        command.envs(settings.iter().copied());
        let process = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        Self { process, events }
    }

    /// Ends the function, and returns its log.
    pub async fn log(mut self) -> String {
        self.process.start_kill().unwrap();
        String::from_utf8(self.process.wait_with_output().await.unwrap().stderr).unwrap()
    }

    /// Invokes the function with any payload.
    pub async fn invoke(&self, payload: impl Into<String>) -> Outcome {
        let (outcome, posted) = oneshot::channel();
        self.events.send(Event { payload: payload.into(), outcome }).await.ok().unwrap();
        let posted =
            tokio::time::timeout(Duration::from_secs(60), posted).await.expect("the function responds");
        posted.unwrap_or(Outcome::Exit)
    }

    /// Invokes the function with an event, and returns its response.
    pub async fn call(&self, event: &Value) -> Value {
        match self.invoke(event.to_string()).await {
            Outcome::Response(response) => response,
            Outcome::Error(error) => panic!("{error}"),
            Outcome::Exit => panic!("the function ended"),
        }
    }
}

/// An event that the crate `aws_lambda_events` publishes: `example-apigw-NAME.json`.
pub fn published(name: &str) -> Value {
    static FIXTURES: LazyLock<PathBuf> = LazyLock::new(|| {
        let metadata = std::process::Command::new(env!("CARGO"))
            .args(["metadata", "--locked", "--format-version", "1"])
            .output()
            .unwrap();
        let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let package = packages.iter().find(|package| package["name"] == "aws_lambda_events").unwrap();
        Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().join("src/fixtures")
    });
    let event = std::fs::read(FIXTURES.join(format!("example-apigw-{name}.json"))).unwrap();
    serde_json::from_slice(&event).unwrap()
}

async fn bootstrap(name: &str) -> PathBuf {
    match std::env::var("SESSION_BOOTSTRAPS") {
        Ok(folder) => {
            Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder).join(name).join("bootstrap")
        }
        Err(_) => program(name).await,
    }
}

/// The Runtime API, as far as a function needs it (Lambda Developer Guide, "Using the Lambda runtime API").
async fn serve(listener: TcpListener, events: mpsc::Receiver<Event>) {
    let events = Arc::new(Mutex::new(events));
    let pending: Arc<Mutex<HashMap<String, oneshot::Sender<Outcome>>>> = Arc::default();
    // The function's. It may open a second one while the first is busy, and close either.
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (events, pending) = (Arc::clone(&events), Arc::clone(&pending));
        let (abandoned, connections) = (Arc::clone(&pending), Arc::clone(&connections));
        connections.fetch_add(1, Ordering::SeqCst);
        let service = service_fn(move |request: Request<Incoming>| {
            let (events, pending) = (Arc::clone(&events), Arc::clone(&pending));
            async move {
                let path =
                    request.uri().path().trim_start_matches("/2018-06-01/runtime/invocation/").to_owned();
                if path == "next" {
                    let Some(event) = events.lock().await.recv().await else {
                        return std::future::pending().await; // the test is over
                    };
                    let mut pending = pending.lock().await;
                    let id = format!("8476a536-e9f4-11e8-9739-{:012}", pending.len());
                    pending.insert(id.clone(), event.outcome);
                    return Ok(next_event(&id, event.payload));
                }
                let (id, kind) = path.split_once('/').unwrap();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap();
                let outcome = match kind {
                    "response" => Outcome::Response(body),
                    "error" => Outcome::Error(body),
                    other => panic!("the function posted to {other}"),
                };
                pending.lock().await.remove(id).unwrap().send(outcome).unwrap();
                Ok::<_, Infallible>(Response::builder().status(202).body(Full::default()).unwrap())
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            connection.await.ok();
            if connections.fetch_sub(1, Ordering::SeqCst) == 1 {
                abandoned.lock().await.clear(); // the function has ended: no response follows
            }
        });
    }
}

fn next_event(id: &str, payload: String) -> Response<Full<Bytes>> {
    let arn = "arn:aws:lambda:us-east-1:123456789012:function:function";
    let deadline = std::time::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(10);
    Response::builder()
        .header("lambda-runtime-aws-request-id", id)
        .header("lambda-runtime-deadline-ms", deadline.as_millis().to_string())
        .header("lambda-runtime-invoked-function-arn", arn)
        .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0")
        .body(Full::from(payload))
        .unwrap()
}
