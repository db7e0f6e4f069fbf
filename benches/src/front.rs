//! TLS before the embedded DynamoDB, by a certificate authority of its own; and a count of what passes.

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

/// What has passed.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    pub requests: f64,
    pub read_units: f64,
    pub write_units: f64,
}

pub struct Front {
    pub url: String,
    /// The PEM file with the certificate to trust.
    pub ca_bundle: PathBuf,
    passed: Arc<Mutex<Passed>>,
}

#[derive(Default)]
struct Passed {
    usage: Usage,
    /// The last answer to each operation.
    answers: HashMap<String, Response<Bytes>>,
    /// Whether these are given again, at once, rather than DynamoDB asked.
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
        let passed = Arc::default();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let http = reqwest::Client::builder().tcp_nodelay(true).build().unwrap();
        tokio::spawn(serve(listener, acceptor, http, upstream.to_owned(), Arc::clone(&passed)));
        Self { url, ca_bundle, passed }
    }

    /// What has passed since the last time.
    pub fn take_usage(&self) -> Usage {
        std::mem::take(&mut self.passed.lock().unwrap().usage)
    }

    /// Whether to answer each operation, from now on, as it was answered last.
    pub fn replay(&self, replays: bool) {
        self.passed.lock().unwrap().replays = replays;
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    http: reqwest::Client,
    upstream: String,
    passed: Arc<Mutex<Passed>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (acceptor, http) = (acceptor.clone(), http.clone());
        let (upstream, passed) = (upstream.clone(), Arc::clone(&passed));
        tokio::spawn(async move {
            // A function that is ended in the middle of it is no fault.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request| forward(&http, &upstream, &passed, request));
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

async fn forward(
    http: &reqwest::Client,
    upstream: &str,
    passed: &Mutex<Passed>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let target = head.headers["x-amz-target"].to_str().unwrap().to_owned();
    {
        let passed = passed.lock().unwrap();
        if let Some(answer) = passed.answers.get(&target).filter(|_| passed.replays) {
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

    let mut passed = passed.lock().unwrap();
    passed.usage.requests += 1.0;
    let is_read = target.ends_with("GetItem") || target.ends_with("Query");
    let sum = if is_read { &mut passed.usage.read_units } else { &mut passed.usage.write_units };
    *sum += units.unwrap_or_default();
    passed.answers.insert(target, response.clone());
    Ok(response.map(Full::from))
}
