//! `cargo run`: its options, output and shutdown.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::harness::{Ended, LocalServer, cargo, program, table_service};

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
        let readme = include_str!("../../../README.md").replace("localhost:3000", "localhost:PORT");
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
    assert_eq!(mode & 0o777, 0o600, "other users may not read it");

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
    let endpoint = table_service().await;
    let name = format!("sessions-endpoint-{}", std::process::id());
    let environment = [("SESSION_TABLE_NAME", name.as_str())];
    let server = LocalServer::start(&["--endpoint", &endpoint], &environment).await;
    let id = server.create(json!({})).await;
    server.stop("-INT").await;
    let server = LocalServer::start(&["--endpoint", &endpoint], &environment).await;
    assert_eq!(server.load(&id).await.status(), 200, "the session and the table were kept");
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
async fn an_endpoint_that_is_not_a_url_or_is_unreachable_is_named() {
    for (endpoint, expected) in [
        ("", "error: endpoint_url must be a URL that begins with http:// or https://; it is \"\""),
        (
            "http://127.0.0.1:1",
            "error: cannot create table app_session at http://127.0.0.1:1: the session table is unreachable or throttled: \
             dispatch failure: ",
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
async fn no_log_level_prints_session_ids_or_data() {
    for (level, format) in [("TRACE", "JSON"), ("TRACE", "Text"), ("ERROR", "JSON")] {
        let environment =
            [("SESSION_LOG_LEVEL", level), ("AWS_LAMBDA_LOG_FORMAT", format), ("RUST_LOG", "trace")];
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

/// The README's first command: one package is the default, and it has one program. (A run would build all dependencies
/// again, with the features of this package alone.)
#[tokio::test]
async fn cargo_run_needs_no_program_name() {
    let output = cargo()
        .args(["metadata", "--offline", "--format-version=1", "--no-deps"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")) // its default members, and not this package
        .output();
    let metadata: Value = serde_json::from_slice(&output.await.unwrap().stdout).unwrap();
    let [default] = metadata["workspace_default_members"].as_array().unwrap().as_slice() else {
        panic!("cargo run needs --package")
    };
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let local = packages.find(|package| package["id"] == *default).unwrap();
    assert_eq!(local["name"], "local");
    let programs = local["targets"].as_array().unwrap().iter();
    assert_eq!(programs.filter(|target| target["kind"] == json!(["bin"])).count(), 1);
}

/// By DNS rebinding a web page could otherwise send requests here under its own name, and read the responses.
#[tokio::test]
async fn requests_under_the_name_of_another_host_are_refused() {
    let server = LocalServer::start(&[], &[]).await;
    let id = server.create(json!({ "a": 1 })).await;
    let http = reqwest::Client::new();
    let page = server.url.replace("/session", "/");
    let watch = format!("{page}watch/-/{}", id.loggable());
    for url in [&server.url, &page, &watch] {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example:3000",
            "localhostx",
            "",
            "[::2]",
        ] {
            let answer =
                http.get(url).header("host", host).header("x-session-id", id.expose()).send().await.unwrap();
            assert_eq!(answer.status(), 421, "{url} {host}");
            assert!(!answer.text().await.unwrap().contains(id.loggable().as_str()));
        }
        for host in ["localhost", "LOCALHOST:3000", "127.0.0.1:80", "[::1]:3000"] {
            let answer =
                http.get(url).header("host", host).header("x-session-id", id.expose()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{url} {host}");
        }
    }
    let foreign = http.get(&watch).header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), 404, "the page's own paths are for the page only");
}

#[tokio::test]
async fn every_response_of_the_local_server_forbids_caching_and_sniffing() {
    let server = LocalServer::start(&[], &[("SESSION_ALLOWED_ORIGINS", "https://app.example.com")]).await;
    let http = reqwest::Client::new();
    let page = server.url.replace("/session", "/");
    let preflight = http
        .request(reqwest::Method::OPTIONS, &server.url)
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "PUT");
    let compressed = http.post(&server.url).header("content-encoding", "gzip").body("x");
    let requests = [
        (http.get(&page), 200),
        (http.get(format!("{page}watch/-/-")), 200),
        (http.get(format!("{page}unknown")), 404),
        (http.get(&page).header("host", "evil.example"), 421),
        (http.get(&server.url), 404),
        (preflight, 204),
        (compressed, 415),
    ];
    for (request, status) in requests {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{answer:?}");
        assert_eq!(answer.headers()["cache-control"], "no-store", "{answer:?}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff", "{answer:?}");
    }
}

/// RFC 9112, section 3.2.
#[tokio::test]
async fn a_request_without_a_host_is_400() {
    let server = LocalServer::start(&[], &[]).await;
    let address = server.url.trim_start_matches("http://localhost:").trim_end_matches("/session");
    let mut stream = TcpStream::connect(format!("127.0.0.1:{address}")).await.unwrap();
    stream.write_all(b"GET /session HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 400 "), "{response}");
}

/// The embedded DynamoDB itself would let any page read it.
#[tokio::test]
async fn web_pages_cannot_reach_the_embedded_dynamodb() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = LocalServer::start(&["--dynamodb-port", &port.to_string()], &[]).await;
    server.create(json!({ "a": 1 })).await;
    let url = format!("http://127.0.0.1:{port}/");
    let scan = |headers: &[(&str, &str)]| {
        let request = reqwest::Client::new()
            .post(&url)
            .header("x-amz-target", "DynamoDB_20120810.Scan")
            .header("content-type", "application/x-amz-json-1.0")
            .header("authorization", "AWS4-x Credential=,Signature=,SignedHeaders=")
            .header("x-amz-date", "x")
            .body(r#"{"TableName":"app_session"}"#);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send()
    };
    for marks in [
        [("origin", "https://evil.example")],
        [("origin", "null")],
        [("sec-fetch-site", "same-origin")],
        [("host", "evil.example")],
    ] {
        let answer = scan(&marks).await.unwrap();
        assert_eq!(answer.status(), 403, "{marks:?}");
        assert!(answer.headers().get("access-control-allow-origin").is_none());
        assert_eq!(answer.text().await.unwrap(), "");
    }
    for _ in 0..2 {
        let answer = scan(&[]).await.unwrap();
        assert_eq!(answer.status(), 200, "programs can use it");
        assert!(answer.text().await.unwrap().contains("idle_timeout"));
    }
    if cfg!(target_os = "linux") {
        let endpoint = embedded::start(None).await.unwrap();
        assert!(!endpoint.starts_with("http://127.0.0.1:"), "a page would find it: {endpoint}");
    }
}
