//! `cargo run` as a process, and the other programs of this workspace.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use dynamodb_web_session::SessionId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

/// A program of this workspace. The first use builds all of them.
pub async fn program(path: &str) -> PathBuf {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT.get_or_init(build).await;
    let tests = std::env::current_exe().unwrap(); // target/PROFILE/deps/service-HASH
    tests.ancestors().nth(2).unwrap().join(path)
}

async fn build() {
    let built = cargo()
        // With the tests: without them the dependencies have other features, and all are built again.
        .args(["build", "--quiet", "--offline", "--workspace", "--bins", "--examples", "--tests"])
        .status()
        .await
        .unwrap();
    assert!(built.success());
}

/// Cargo, as a shell would start it. `cargo test` tells this process about this package, and the build scripts of dependencies
/// look at it: all of them would be built again.
pub fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "OUT_DIR"].iter().any(|told| name.starts_with(told)) {
            cargo.env_remove(&variable);
        }
    }
    cargo
}

pub struct LocalServer {
    process: Child,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
    pub url: String,
}

/// How a server ended, and what it printed after its first line.
pub struct Ended {
    pub status: ExitStatus,
    pub printed: String,
    pub errors: String,
}

impl LocalServer {
    pub async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program("local").await);
        command.args(["--port", "0"]).args(arguments).envs(environment.iter().copied());
        Self::spawn(command).await
    }

    pub async fn spawn(mut command: Command) -> Self {
        let mut process =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        // Read continuously: a full pipe would stop the server.
        let mut errors = process.stderr.take().unwrap();
        let stderr = tokio::spawn(async move {
            let mut text = String::new();
            errors.read_to_string(&mut text).await.unwrap();
            text
        });
        let mut line = String::new();
        stdout.read_line(&mut line).await.unwrap();
        let url = line.split(' ').next().unwrap().to_owned();
        assert!(url.starts_with("http://localhost:"), "{line}");
        Self { process, stdout, stderr, url }
    }

    pub async fn stop(mut self, signal: &str) -> Ended {
        let id = self.process.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
        let mut printed = String::new();
        self.stdout.read_to_string(&mut printed).await.unwrap();
        Ended { status: self.process.wait().await.unwrap(), printed, errors: self.stderr.await.unwrap() }
    }

    pub fn process_id(&self) -> u32 {
        self.process.id().unwrap()
    }

    pub async fn create(&self, data: Value) -> SessionId {
        let create = reqwest::Client::new().post(&self.url).json(&json!({ "data": data })).send();
        let document: Value = create.await.unwrap().json().await.unwrap();
        document["session_id"].as_str().unwrap().parse().unwrap()
    }

    pub async fn load(&self, id: &SessionId) -> reqwest::Response {
        reqwest::Client::new().get(&self.url).header("x-session-id", id.expose()).send().await.unwrap()
    }
}
