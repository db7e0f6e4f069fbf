//! A hostile client against `cargo run`: the server stays up and serves other clients, and its memory does not grow.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::harness::LocalServer;

const CONNECTIONS: usize = 2000;

struct Victim {
    server: LocalServer,
    address: String,
}

impl Victim {
    async fn start() -> Self {
        // Both sides of the connections need file descriptors, and the server inherits the limit.
        let own_process = std::process::id().to_string();
        let raised = Command::new("prlimit").args(["--nofile=16384", "--pid", &own_process]).status().await;
        assert!(raised.unwrap().success());
        let server = LocalServer::start(&[], &[]).await;
        let address = server.url.trim_start_matches("http://localhost:").trim_end_matches("/session");
        Self { address: format!("127.0.0.1:{address}"), server }
    }

    /// Sends bytes over a new connection.
    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        // The server may close the connection before it has read everything.
        let _ = stream.write_all(bytes).await;
        stream
    }

    /// What the server sends until it closes the connection.
    async fn answers(&self, bytes: &[u8]) -> String {
        let mut stream = self.send(bytes).await;
        let mut answers = Vec::new();
        let _ = stream.read_to_end(&mut answers).await;
        String::from_utf8(answers).unwrap()
    }

    /// Asserts that other clients are served.
    async fn serves(&self) {
        let id = self.server.create(json!({ "a": 1 })).await;
        assert_eq!(self.server.load(&id).await.status(), 200);
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.process_id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Repeatedly opens many connections that send only `bytes`, and asserts that other clients are served and that the
    /// memory does not grow.
    async fn holds_out_against(&self, bytes: &[u8]) {
        let mut resident = Vec::new();
        for _ in 0..6 {
            let mut held = Vec::new();
            for _ in 0..CONNECTIONS {
                held.push(self.send(bytes).await);
            }
            self.serves().await;
            resident.push(self.resident_kib());
        }
        // The first rounds allocate memory that the later rounds reuse.
        let [_, _, third, .., last] = resident[..] else { unreachable!() };
        assert!(last < third + third / 5, "resident KiB: {resident:?}");
    }
}

#[tokio::test]
async fn thousands_of_half_open_connections_do_not_block_other_clients() {
    let victim = Victim::start().await;
    victim.holds_out_against(b"GET /session HTTP/1.1\r\nhost: local").await;
}

#[tokio::test]
async fn thousands_of_slow_bodies_do_not_block_other_clients() {
    let victim = Victim::start().await;
    let head = b"POST /session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 6000000\r\n\r\n{";
    victim.holds_out_against(head).await;
}

#[tokio::test]
async fn headers_and_bodies_without_end_are_cut_off() {
    let victim = Victim::start().await;
    let before = victim.resident_kib();
    let get = "GET /session HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    for hostile in [
        format!("{get}x: {}\r\n\r\n", "x".repeat(1 << 20)),
        format!("{get}{}\r\n", "x: y\r\n".repeat(100_000)),
        format!("{get}{}: y\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1 << 20)),
        "x".repeat(1 << 20),
    ] {
        let answer = victim.answers(hostile.as_bytes()).await;
        let refused = ["", "HTTP/1.1 400", "HTTP/1.1 414", "HTTP/1.1 431"];
        assert!(answer.is_empty() || refused.iter().any(|status| answer.starts_with(status)), "{answer}");
        victim.serves().await;
    }
    let post = "POST /session HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n";
    let chunk = format!("100000\r\n{}\r\n", " ".repeat(1 << 20)).repeat(16);
    for hostile in [
        format!("{post}content-length: 99999999999\r\n\r\n{}", " ".repeat(8 << 20)),
        format!("{post}transfer-encoding: chunked\r\n\r\n{chunk}"),
    ] {
        let answer = victim.answers(hostile.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
        victim.serves().await;
    }
    assert!(victim.resident_kib() < before + 64 * 1024, "{before} before, {} now", victim.resident_kib());
}

/// Two readers of one connection must see the same requests in it. A request inside a body is not one of them.
#[tokio::test]
async fn a_request_smuggled_in_a_body_is_not_handled() {
    let victim = Victim::start().await;
    let id = victim.server.create(json!({})).await;
    let inner =
        format!("DELETE /session HTTP/1.1\r\nhost: localhost\r\nx-session-id: {}\r\n\r\n", id.expose());
    let length = inner.len();
    for (headers, body) in [
        (format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"), format!("0\r\n\r\n{inner}")),
        (format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"), format!("0\r\n\r\n{inner}")),
        (format!("content-length: 0\r\ncontent-length: {length}\r\n"), inner.clone()),
        (format!("content-length: {length}\r\ncontent-length: 0\r\n"), inner.clone()),
        (format!("content-length: +0\r\nx: {length}\r\n"), inner.clone()),
        ("content-length: 0, 5\r\n".to_owned(), inner.clone()),
        ("content-length: -1\r\n".to_owned(), inner.clone()),
        ("transfer-encoding: identity\r\n".to_owned(), inner.clone()),
        ("transfer-encoding: chunked, identity\r\n".to_owned(), format!("0\r\n\r\n{inner}")),
        ("transfer-encoding: xchunked\r\n".to_owned(), format!("0\r\n\r\n{inner}")),
        ("transfer-encoding : chunked\r\n".to_owned(), format!("0\r\n\r\n{inner}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("0x0\r\n\r\n{inner}")),
        ("transfer-encoding: chunked\r\n".to_owned(), format!("fffffffffffffffff\r\n{inner}")),
        (format!("x: y\n\tcontent-length: {length}\r\n"), inner.clone()),
    ] {
        let hostile = format!("GET /session HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{body}");
        let mut stream = victim.send(hostile.as_bytes()).await;
        stream.shutdown().await.ok();
        let mut answers = Vec::new();
        let _ = stream.read_to_end(&mut answers).await;
        let answers = String::from_utf8(answers).unwrap();
        assert!(!answers.contains("HTTP/1.1 204"), "{headers:?}: {answers}");
        assert_eq!(victim.server.load(&id).await.status(), 200, "{headers:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let victim = Victim::start().await;
    let mut pipeline = String::new();
    for n in 0..100 {
        let body = format!("{{\"data\":{{\"n\":{n}}}}}");
        let connection = if n == 99 { "connection: close\r\n" } else { "" };
        pipeline += &format!(
            "POST /session HTTP/1.1\r\nhost: localhost\r\n{connection}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    let answers = victim.answers(pipeline.as_bytes()).await;
    let created: Vec<_> =
        answers.split("\"data\":{\"n\":").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
    assert_eq!(created, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}
