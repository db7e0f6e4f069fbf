//! A small HTTP connector for the SDK: HTTP/1.1 over TCP or TLS, with a pool of connections.
//!
//! The SDK's own connector serves HTTP/2 and any TLS library. A Lambda function pays for that at each start
//! (`docs/performance.md`, ADR 9).

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::HttpError;
use aws_smithy_types::body::SdkBody;
use http::header::{HOST, HeaderMap};
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::early_timer::EarlyTimer;
use super::endpoint::Endpoint;
use super::proxies::{Proxies, Proxy};
use crate::error::{BoxError, ConfigError};

/// The AWS SDKs' own variable (AWS SDKs and Tools Reference Guide, "Environment variables").
const CA_BUNDLE: &str = "AWS_CA_BUNDLE";

/// How long a connection is kept unused. A NAT gateway forgets it after 350 seconds (VPC User Guide, "NAT gateway
/// timeout"), and a request on a forgotten one is lost until its timeout.
const MAX_IDLE: Duration = Duration::from_secs(60);

/// A pool of connections to any hosts.
#[derive(Clone)]
pub(crate) struct Connections {
    tls: TlsConnector,
    proxies: Option<Arc<Proxies>>,
    pool: Arc<Mutex<Pool>>,
    early_timer: Arc<EarlyTimer>,
}

/// Connections that are not in use.
#[derive(Default)]
struct Pool {
    idle: Vec<Idle>,
    /// Whether a task closes them in time. One connection needs none: it is closed or used by the next call.
    has_pruner: bool,
}

/// A connection that is not in use.
struct Idle {
    endpoint: Endpoint,
    since: Instant,
    sender: SendRequest<SdkBody>,
}

impl Connections {
    /// Trusts Mozilla's roots, or those in the PEM file that `AWS_CA_BUNDLE` names, and uses the proxies that the environment
    /// names.
    ///
    /// # Errors
    /// The file holds no certificate, or a variable for a proxy no URL of one.
    pub(crate) fn new() -> Result<Self, ConfigError> {
        let roots = match std::env::var_os(CA_BUNDLE).filter(|file| !file.is_empty()) {
            Some(file) => roots_in(Path::new(&file))?,
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        };
        #[expect(clippy::expect_used, reason = "it depends on nothing outside of this program")]
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let proxies = Proxies::from_env()?.map(Arc::new);
        Ok(Self { tls: Arc::new(config).into(), proxies, pool: Arc::default(), early_timer: Arc::default() })
    }

    async fn send(
        self,
        request: HttpRequest,
        connect_timeout: Duration,
    ) -> Result<HttpResponse, ConnectorError> {
        self.early_timer.keep_set();
        let user = |error: BoxError| ConnectorError::user(error);
        let io = |error: BoxError| ConnectorError::io(error);
        let mut request = request.try_into_http1x().map_err(|error| user(error.into()))?;
        let endpoint = to_origin_form(&mut request).map_err(user)?;
        let proxy = self.proxies.as_ref().and_then(|proxies| proxies.of(&endpoint));
        if let Some(proxy) = proxy.as_ref().filter(|_| !endpoint.is_tls()) {
            proxy.to_absolute_form(&mut request, &endpoint).map_err(user)?;
        }

        let (mut sender, response) = loop {
            let (mut sender, is_used) = match self.take_idle(&endpoint).await {
                Some(sender) => (sender, true),
                None => match timeout(connect_timeout, self.open(&endpoint, proxy.as_ref())).await {
                    Ok(opened) => (opened.map_err(io)?, false),
                    Err(elapsed) => return Err(ConnectorError::timeout(elapsed.into())),
                },
            };
            match sender.try_send_request(request).await {
                Ok(response) => break (sender, response),
                // DynamoDB had closed the connection, as happens while a function sleeps: nothing was sent.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if is_used => request = unsent,
                    _ => return Err(io(error.into_error().into())),
                },
            }
        };
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| io(error.into()))?.to_bytes();
        verify_checksum(&parts.headers, &body).map_err(io)?;
        // Drop a connection after a 5xx: the host behind it may be failing.
        if !parts.status.is_server_error() && sender.ready().await.is_ok() {
            self.keep(Idle { endpoint, since: Instant::now(), sender });
        }
        Response::from_parts(parts, body.into()).try_into().map_err(|error: HttpError| user(error.into()))
    }

    fn keep(&self, connection: Idle) {
        let mut pool = lock(&self.pool);
        pool.idle.push(connection);
        if pool.idle.len() > 1 && !pool.has_pruner {
            pool.has_pruner = true;
            tokio::spawn(prune(Arc::downgrade(&self.pool)));
        }
    }

    async fn take_idle(&self, endpoint: &Endpoint) -> Option<SendRequest<SdkBody>> {
        loop {
            let mut sender = {
                let mut pool = lock(&self.pool);
                pool.prune(Instant::now());
                let newest = pool.idle.iter().rposition(|idle| idle.endpoint == *endpoint)?;
                pool.idle.remove(newest).sender
            };
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn open(
        &self,
        endpoint: &Endpoint,
        proxy: Option<&Proxy>,
    ) -> Result<SendRequest<SdkBody>, BoxError> {
        let Some(proxy) = proxy else { return self.speak(endpoint, endpoint.connect().await?).await };
        let entry = proxy.endpoint()?;
        let stream =
            entry.connect().await.map_err(|error| format!("the proxy {}: {error}", entry.authority))?;
        match (endpoint.is_tls(), entry.is_tls()) {
            (false, _) => self.speak(&entry, stream).await,
            (true, false) => {
                let tunnel = proxy.tunnel(stream, &endpoint.authority, endpoint.port()).await?;
                self.speak(endpoint, tunnel).await
            }
            (true, true) => {
                let stream = self.encrypted(&entry, stream).await?;
                let tunnel = proxy.tunnel(stream, &endpoint.authority, endpoint.port()).await?;
                self.speak(endpoint, tunnel).await
            }
        }
    }

    /// HTTP over this stream to an endpoint, with TLS where the endpoint wants it.
    async fn speak(
        &self,
        endpoint: &Endpoint,
        stream: impl Stream,
    ) -> Result<SendRequest<SdkBody>, BoxError> {
        match endpoint.is_tls() {
            true => handshake(self.encrypted(endpoint, stream).await?).await,
            false => handshake(stream).await,
        }
    }

    async fn encrypted<S: Stream>(&self, endpoint: &Endpoint, stream: S) -> Result<TlsStream<S>, BoxError> {
        let name = ServerName::try_from(endpoint.host().to_owned())?;
        Ok(self.tls.connect(name, stream).await?)
    }
}

/// What TLS and HTTP are spoken over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

impl Pool {
    /// Closes what has not been used for long.
    fn prune(&mut self, now: Instant) {
        self.idle.retain(|idle| now.duration_since(idle.since) < MAX_IDLE);
    }
}

/// Closes the connections of a burst, also if no call follows.
async fn prune(pool: Weak<Mutex<Pool>>) {
    loop {
        tokio::time::sleep(MAX_IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut pool = lock(&pool);
        pool.prune(Instant::now());
        if pool.idle.len() <= 1 {
            pool.has_pruner = false;
            return;
        }
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn handshake(stream: impl Stream) -> Result<SendRequest<SdkBody>, BoxError> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // An error of the connection also reaches the request that waits for its response.
    tokio::spawn(connection);
    Ok(sender)
}

/// Takes the origin out of the request's URI, and puts its authority into `Host` (RFC 9112, section 3.2).
fn to_origin_form(request: &mut Request<SdkBody>) -> Result<Endpoint, BoxError> {
    let uri = std::mem::take(request.uri_mut()).into_parts();
    let (Some(scheme), Some(authority), Some(path)) = (uri.scheme, uri.authority, uri.path_and_query) else {
        return Err("the endpoint is not a URL".into());
    };
    *request.uri_mut() = path.into();
    request.headers_mut().entry(HOST).or_insert(HeaderValue::from_str(authority.as_str())?);
    Ok(Endpoint { scheme, authority })
}

/// DynamoDB states the CRC32 of each response. This SDK does not verify it; those for Java and Go do.
fn verify_checksum(headers: &HeaderMap, body: &[u8]) -> Result<(), BoxError> {
    match headers.get("x-amz-crc32").and_then(|stated| stated.to_str().ok()?.parse::<u32>().ok()) {
        Some(stated) if crc32fast::hash(body) != stated => {
            Err("the response of DynamoDB is damaged: its CRC32 does not match".into())
        }
        _ => Ok(()),
    }
}

fn roots_in(file: &Path) -> Result<RootCertStore, ConfigError> {
    let refused = |reason: &dyn fmt::Display| ConfigError {
        variable: CA_BUNDLE.into(),
        accepted: "the path of a PEM file with the certificates to trust".into(),
        given: format!("{file:?}: {reason}"),
    };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| refused(&error))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates.filter_map(Result::ok));
    if roots.is_empty() { Err(refused(&"it holds no certificate")) } else { Ok(roots) }
}

impl HttpClient for Connections {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let connect_timeout = settings.connect_timeout().unwrap_or(Duration::MAX);
        SharedHttpConnector::new(Connector { connections: self.clone(), connect_timeout })
    }
}

/// The pool with the SDK's settings of one request.
#[derive(Debug)]
struct Connector {
    connections: Connections,
    connect_timeout: Duration,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.connections.clone().send(request, self.connect_timeout))
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    /// Sends these responses on each of these connections, and returns the requests.
    async fn server(connections: &'static [&'static [&'static str]]) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        let serve = async move {
            let mut requests = Vec::new();
            for answers in connections {
                let (mut stream, _) = listener.accept().await.unwrap();
                for answer in *answers {
                    let mut request = [0; 1000];
                    let length = stream.read(&mut request).await.unwrap();
                    requests.push(String::from_utf8(request[..length].to_vec()).unwrap());
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
            requests
        };
        (url, tokio::spawn(serve))
    }

    async fn get(connections: &Connections, url: &str) -> Result<HttpResponse, ConnectorError> {
        let request = Request::get(url).body(SdkBody::empty()).unwrap().try_into().unwrap();
        connections.clone().send(request, Duration::from_secs(1)).await
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    #[tokio::test]
    async fn a_connection_is_reused_and_the_host_header_is_set() {
        let (url, server) = server(&[&[OK, OK]]).await;
        let connections = Connections::new().unwrap();
        for _ in 0..2 {
            assert_eq!(get(&connections, &url).await.unwrap().body().bytes(), Some(&b"ok"[..]));
        }
        let host = url.strip_prefix("http://").unwrap().strip_suffix("/path").unwrap();
        let request = format!("GET /path HTTP/1.1\r\nhost: {host}\r\n\r\n");
        assert_eq!(server.await.unwrap(), [request.clone(), request]);
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_is_replaced_without_an_error() {
        let (url, server) = server(&[&[OK], &[OK]]).await;
        let connections = Connections::new().unwrap();
        for _ in 0..2 {
            get(&connections, &url).await.unwrap();
        }
        assert_eq!(server.await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn the_connections_of_a_burst_are_closed_without_another_call() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/path", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut open = Vec::new();
            for _ in 0..3 {
                let (mut stream, _) = listener.accept().await.unwrap();
                assert_ne!(stream.read(&mut [0; 1000]).await.unwrap(), 0);
                open.push(stream);
            }
            for stream in &mut open {
                stream.write_all(OK.as_bytes()).await.unwrap(); // all at once: each call has a connection of its own
            }
            open
        });
        let connections = Connections::new().unwrap();
        let calls: Vec<_> = (0..3)
            .map(|_| {
                let (connections, url) = (connections.clone(), url.clone());
                tokio::spawn(async move { get(&connections, &url).await.map(drop) })
            })
            .collect();
        let _open = server.await.unwrap();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        let mut pool = lock(&connections.pool);
        assert_eq!(pool.idle.len(), 3);
        assert!(pool.has_pruner, "a task closes them");
        let now = Instant::now();
        pool.prune(now + MAX_IDLE - Duration::from_secs(1));
        assert_eq!(pool.idle.len(), 3);
        pool.prune(now + MAX_IDLE);
        assert_eq!(pool.idle.len(), 0);
    }

    #[tokio::test]
    async fn a_connection_is_dropped_after_a_5xx() {
        let (url, server) = server(&[&["HTTP/1.1 500 \r\ncontent-length: 0\r\n\r\n"], &[OK]]).await;
        let connections = Connections::new().unwrap();
        assert_eq!(get(&connections, &url).await.unwrap().status().as_u16(), 500);
        assert_eq!(get(&connections, &url).await.unwrap().status().as_u16(), 200);
        assert_eq!(server.await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn a_damaged_or_cut_response_is_a_retryable_failure() {
        const BROKEN: [&[&[&str]]; 4] = [
            &[&["HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-amz-crc32: 1\r\n\r\nok"]],
            &[&["HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"]],
            &[&["HTTP/1.1 200 OK\r\ncont"]],
            &[&[""]],
        ];
        for answer in BROKEN {
            let (url, _server) = server(answer).await;
            let error = get(&Connections::new().unwrap(), &url).await.unwrap_err();
            assert!(error.is_io(), "{answer:?}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_malformed_url_is_the_callers_fault() {
        let error = get(&Connections::new().unwrap(), "/path").await.unwrap_err();
        assert!(error.is_user(), "{error:?}");
    }
}
