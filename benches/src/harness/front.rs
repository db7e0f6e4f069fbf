//! A TLS proxy in front of the embedded DynamoDB. It counts requests and capacity, and can replay responses.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// What was consumed of DynamoDB.
#[derive(Clone, Copy, Default)]
pub struct Consumed {
    pub requests: f64,
    pub read_units: f64,
    pub write_units: f64,
}

pub struct Front {
    pub url: String,
    /// The PEM file with the certificate to trust.
    pub ca_bundle: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    consumed: Consumed,
    /// The last response to each operation.
    answers: HashMap<String, Response<Bytes>>,
    /// Whether they are replayed instead of a request to DynamoDB.
    replays: bool,
}

impl Front {
    pub async fn before(upstream: &str) -> Self {
        let mut ca = CertificateParams::default();
        // OpenSSL takes a certificate for self-signed when its issuer is named as it is.
        ca.distinguished_name.push(DnType::CommonName, "benchmark");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let ca_bundle = crate::target().join("benchmark-ca.pem");
        std::fs::write(&ca_bundle, ca.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let state = Arc::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
        tokio::spawn(serve(listener, acceptor, http, upstream.to_owned(), Arc::clone(&state)));
        Self { url, ca_bundle, state }
    }

    /// What was consumed since the last time.
    pub fn take_consumed(&self) -> Consumed {
        std::mem::take(&mut self.state.lock().unwrap().consumed)
    }

    /// Whether to respond to each operation, from now on, with its last response.
    pub fn replay(&self, replays: bool) {
        self.state.lock().unwrap().replays = replays;
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    http: reqwest::Client,
    upstream: String,
    state: Arc<Mutex<State>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (acceptor, http) = (acceptor.clone(), http.clone());
        let (upstream, state) = (upstream.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            // A function may be ended in the middle of the handshake.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request| forward(&http, &upstream, &state, request));
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn forward(
    http: &reqwest::Client,
    upstream: &str,
    state: &Mutex<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = head.headers["x-amz-target"].to_str().unwrap().to_owned();
    {
        let state = state.lock().unwrap();
        if let Some(answer) = state.answers.get(&target).filter(|_| state.replays) {
            return Ok(answer.clone().map(Full::from));
        }
    }
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["ReturnConsumedCapacity"] = json!("TOTAL");
    head.headers.remove(HOST);
    head.headers.remove(CONTENT_LENGTH);
    let answer = http.post(upstream).headers(head.headers).body(body.to_string()).send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    let answer = answer.bytes().await.unwrap();
    let consumed: Value = serde_json::from_slice(&answer).unwrap();
    let consumed = &consumed["ConsumedCapacity"];
    let units = consumed["CapacityUnits"].as_f64().or_else(|| consumed[0]["CapacityUnits"].as_f64());
    let mut response = Response::new(answer);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);

    let mut state = state.lock().unwrap();
    state.consumed.requests += 1.0;
    let is_read = target.ends_with("GetItem") || target.ends_with("Query");
    let sum = if is_read { &mut state.consumed.read_units } else { &mut state.consumed.write_units };
    *sum += units.unwrap_or_default();
    state.answers.insert(target, response.clone());
    Ok(response.map(Full::from))
}
