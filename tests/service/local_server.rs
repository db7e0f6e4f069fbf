//! `cargo run`, as a process.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use dynamodb_web_session::SessionId;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

/// A program of this workspace, built if it is not.
pub async fn program(path: &str) -> PathBuf {
    static BUILT: OnceCell<()> = OnceCell::const_new();
    BUILT.get_or_init(build).await;
    let tests = std::env::current_exe().unwrap(); // target/PROFILE/deps/service-HASH
    tests.ancestors().nth(2).unwrap().join(path)
}

async fn build() {
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--offline", "--workspace", "--bins", "--examples"])
        .status()
        .await
        .unwrap();
    assert!(build.success());
}

pub struct LocalServer {
    process: Child,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
    pub url: String,
}

/// How a server ended, and all that it printed but for its first line.
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
        // Read all the while: a full pipe would stop the server.
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

#[tokio::test]
async fn it_serves_and_ends_cleanly_at_an_interrupt() {
    for signal in ["-INT", "-TERM"] {
        let server = LocalServer::start(&[], &[]).await;
        let id = server.create(json!({ "fruit": "apple" })).await;
        let loaded: Value = server.load(&id).await.json().await.unwrap();
        assert_eq!(loaded["data"], json!({ "fruit": "apple" }));
        let port = server.url.trim_start_matches("http://localhost").replace("session", "");
        let Ended { status, printed, errors } = server.stop(signal).await;
        assert!(status.success(), "{errors}");
        let readme = include_str!("../../README.md").replace("localhost:3000", "localhost:PORT");
        let examples = printed.lines().filter(|line| line.starts_with("curl "));
        let in_readme = examples.filter(|line| readme.contains(&line.replace(&port, ":PORT/")));
        assert_eq!(in_readme.count(), 3, "{printed}");
        assert!(printed.ends_with("stopped\n"), "{printed}");
    }
}

#[tokio::test]
async fn a_data_file_keeps_the_sessions() {
    let file = std::env::temp_dir().join(format!("sessions-{}.db", std::process::id()));
    let path = file.to_str().unwrap();
    let server = LocalServer::start(&["--data", path], &[]).await;
    let id = server.create(json!({ "kept": true })).await;
    server.stop("-KILL").await;
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "others may not read it");

    let server = LocalServer::start(&["--data", path], &[]).await;
    let loaded: Value = server.load(&id).await.json().await.unwrap();
    assert_eq!(loaded["data"], json!({ "kept": true }));
    server.stop("-INT").await;
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{path}{suffix}"));
    }
}

#[tokio::test]
async fn another_dynamodb_can_be_used() {
    let endpoint = crate::fixture::table_service().await;
    let name = format!("sessions-endpoint-{}", std::process::id());
    let environment = [("SESSION_TABLE_NAME", name.as_str())];
    let server = LocalServer::start(&["--endpoint", &endpoint], &environment).await;
    let id = server.create(json!({})).await;
    server.stop("-INT").await;
    let server = LocalServer::start(&["--endpoint", &endpoint], &environment).await;
    assert_eq!(server.load(&id).await.status(), 200, "the session, and the table, were there");
}

#[tokio::test]
async fn a_bad_setting_stops_the_start_and_is_named() {
    for (program_name, expected) in [
        ("local", "error: SESSION_ID_BYTES must be a whole number from 16 to 128; it is 12\n"),
        ("create", "Error: SESSION_ID_BYTES must be a whole number from 16 to 128; it is 12\n"),
    ] {
        let mut command = Command::new(program(program_name).await);
        let output = command.env("SESSION_ID_BYTES", "12").output().await.unwrap();
        assert!(!output.status.success());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), expected);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_no_url_or_leads_nowhere_is_named() {
    for (endpoint, expected) in [
        ("", "error: endpoint_url must be a URL that begins with http:// or https://; it is \"\""),
        (
            "http://127.0.0.1:1",
            "error: cannot create table app_session at http://127.0.0.1:1: dispatch failure: ",
        ),
    ] {
        let arguments = ["--port", "0", "--endpoint", endpoint];
        let output = Command::new(program("local").await).args(arguments).output().await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let output = Command::new(program("local").await).args(["--port", &port]).output().await.unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with(&format!("error: cannot serve on port {port}")), "{error}");
}

#[tokio::test]
async fn at_no_log_level_do_session_ids_and_data_get_into_the_output() {
    for (level, format) in [("TRACE", "JSON"), ("TRACE", "Text"), ("ERROR", "JSON")] {
        let environment =
            [("AWS_LAMBDA_LOG_LEVEL", level), ("AWS_LAMBDA_LOG_FORMAT", format), ("RUST_LOG", "trace")];
        let server = LocalServer::start(&[], &environment).await;
        let id = server.create(json!({ "a": "what the caller wrote" })).await;
        let http = reqwest::Client::new();
        assert_eq!(server.load(&id).await.status(), 200);
        for body in ["{\"data\":{}}", "{", id.expose()] {
            let put = http.put(&server.url).header("x-session-id", id.expose()).body(body.to_owned());
            put.header("content-type", "application/json").send().await.unwrap();
        }
        let url = server.url.clone();
        http.delete(&url).header("x-session-id", id.expose()).send().await.unwrap();
        assert_eq!(server.load(&id).await.status(), 404);
        let Ended { printed, errors, .. } = server.stop("-INT").await;
        assert!(printed.contains("stopped"), "the output was captured");
        for secret in [id.expose(), "what the caller wrote"] {
            assert!(!printed.contains(secret) && !errors.contains(secret), "{level} {format}");
        }
    }
}

/// The README's first command.
#[tokio::test]
async fn cargo_run_needs_no_choice_of_a_program() {
    program("local").await; // built
    let output = Command::new(env!("CARGO"))
        .args(["run", "--offline", "--quiet", "--", "--help"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .await
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("--data"), "{help}{}", String::from_utf8_lossy(&output.stderr));
}
