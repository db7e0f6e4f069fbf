//! `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. The endpoint's name has no address, so only a proxy reaches it.

use std::process::Output;
use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::rustls::version::TLS13;

use super::tls::Endpoint;
use crate::harness::{LocalServer, program, table_service};

const HOST: &str = "dynamodb.invalid";

const TUNNEL: &str = "HTTP/1.1 200 OK\r\n\r\n";

struct Proxy {
    url: String,
    /// The head of the first request of each connection.
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that leads to `upstream`. Its answer to CONNECT is `answer`.
    async fn start(upstream: &str, answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://user:secret@{}", listener.local_addr().unwrap());
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let upstream = upstream.split_once("//").unwrap().1.trim_end_matches('/').to_owned();
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, upstream.clone(), answer, Arc::clone(&seen)));
            }
        });
        Self { url, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, upstream: String, answer: &str, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    heads.lock().unwrap().push(String::from_utf8(head.clone()).unwrap());
    let mut upstream = TcpStream::connect(upstream).await.unwrap();
    if head.starts_with(b"CONNECT ") {
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer != TUNNEL {
            return;
        }
    } else {
        upstream.write_all(&head).await.unwrap();
    }
    tokio::io::copy_bidirectional(&mut stream, &mut upstream).await.ok();
}

/// The error of a local server that does not reach its endpoint.
async fn error(endpoint: &str, environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(program("local").await);
    command.args(["--port", "0", "--endpoint", endpoint]).envs(environment.iter().copied());
    let Output { status, stderr, .. } = command.output().await.unwrap();
    assert!(!status.success());
    String::from_utf8(stderr).unwrap()
}

#[tokio::test]
async fn tls_goes_through_a_tunnel_of_the_proxy() {
    let table = Endpoint::start("proxy.pem", HOST, &TLS13).await;
    let proxy = Proxy::start(&table.url.replace("localhost", "127.0.0.1"), TUNNEL).await;
    let bundle = table.authority.to_str().unwrap();
    let server = LocalServer::start(
        &["--endpoint", &format!("https://{HOST}")],
        &[("AWS_CA_BUNDLE", bundle), ("HTTPS_PROXY", &proxy.url)],
    )
    .await;
    let id = server.create(json!({ "by": "proxy" })).await;
    assert_eq!(server.load(&id).await.status(), 200);
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "one connection");
    assert!(heads[0].starts_with("CONNECT dynamodb.invalid:443 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[0].contains("proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n"), "{heads:?}");
}

#[tokio::test]
async fn a_request_without_tls_names_its_host_to_the_proxy() {
    let proxy = Proxy::start(&table_service().await, TUNNEL).await;
    let endpoint = format!("http://{HOST}");
    let server = LocalServer::start(&["--endpoint", &endpoint], &[("http_proxy", &proxy.url)]).await;
    let id = server.create(json!({})).await;
    assert_eq!(server.load(&id).await.status(), 200);
    assert!(
        proxy.heads()[0].starts_with("POST http://dynamodb.invalid/ HTTP/1.1\r\n"),
        "{:?}",
        proxy.heads()
    );
}

#[tokio::test]
async fn a_proxy_that_refuses_is_named_without_its_password() {
    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let proxy = Proxy::start(&table_service().await, refusal).await;
    let error = error(&format!("https://{HOST}"), &[("HTTPS_PROXY", &proxy.url)]).await;
    let address = proxy.url.split_once('@').unwrap().1;
    assert!(error.contains(&format!("the proxy {address} answers 407")), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[tokio::test]
async fn no_proxy_and_this_machine_are_reached_without_one() {
    let table = table_service().await;
    let proxy = Proxy::start(&table, TUNNEL).await;
    let direct =
        error(&format!("http://{HOST}"), &[("HTTP_PROXY", &proxy.url), ("NO_PROXY", ".invalid")]).await;
    assert!(direct.contains("dns error") || direct.contains("lookup"), "{direct}");
    let server = LocalServer::start(&["--endpoint", &table], &[("ALL_PROXY", &proxy.url)]).await;
    server.create(json!({})).await;
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

/// Otherwise it would count as unset, and the traffic would go past the proxy.
#[tokio::test]
async fn a_variable_that_names_no_proxy_is_refused() {
    for url in ["http://user:secret@", "ftp://user:secret@proxy:3128", "user:secret@proxy:port"] {
        let error = error(&format!("https://{HOST}"), &[("https_proxy", url)]).await;
        assert!(error.contains("https_proxy must be the URL of a proxy"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
