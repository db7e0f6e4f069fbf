//! TLS to DynamoDB: which certificates are trusted, and that a connection is reused.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::StatusCode;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ServerConfig, SupportedProtocolVersion};

use crate::harness::{LocalServer, program, table_service};

/// The table service behind TLS.
pub(super) struct Endpoint {
    pub(super) url: String,
    /// The file with the certificate of the authority that signed its certificate.
    pub(super) authority: PathBuf,
    connections: Arc<AtomicUsize>,
}

impl Endpoint {
    /// `file` gets the authority's certificate. No other test may use this name.
    pub(super) async fn start(file: &str, host: &str, version: &'static SupportedProtocolVersion) -> Self {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new([host.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        std::fs::write(&path, authority.pem()).unwrap();

        let upstream = table_service().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let connections = Arc::<AtomicUsize>::default();
        tokio::spawn(serve(listener, Arc::new(config).into(), upstream, Arc::clone(&connections)));
        Self { url, authority: path, connections }
    }

    /// The error of a local server that cannot use this endpoint.
    async fn refused(&self, bundle: &str) -> String {
        let mut command = Command::new(program("local").await);
        command.args(["--port", "0", "--endpoint", &self.url]).env("AWS_CA_BUNDLE", bundle);
        let Output { status, stderr, .. } = command.output().await.unwrap();
        assert!(!status.success());
        String::from_utf8(stderr).unwrap()
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    upstream: String,
    connections: Arc<AtomicUsize>,
) {
    let upstream = upstream.trim_start_matches("http://").trim_end_matches('/').to_owned();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::Relaxed);
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        tokio::spawn(async move {
            // A client that does not trust the certificate fails here.
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut upstream = TcpStream::connect(upstream).await.unwrap();
            tokio::io::copy_bidirectional(&mut stream, &mut upstream).await.ok();
        });
    }
}

#[tokio::test]
async fn the_bundle_is_trusted_over_tls_1_2_and_1_3_on_one_connection() {
    for (file, version) in [("tls12.pem", &TLS12), ("tls13.pem", &TLS13)] {
        let endpoint = Endpoint::start(file, "localhost", version).await;
        let bundle = endpoint.authority.to_str().unwrap();
        let server = LocalServer::start(&["--endpoint", &endpoint.url], &[("AWS_CA_BUNDLE", bundle)]).await;
        let id = server.create(json!({})).await;
        for _ in 0..10 {
            assert_eq!(server.load(&id).await.status(), StatusCode::OK);
        }
        assert_eq!(endpoint.connections.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn no_other_authority_is_trusted() {
    let endpoint = Endpoint::start("untrusted.pem", "localhost", &TLS13).await;
    let other = Endpoint::start("other.pem", "another.example", &TLS13).await;
    // Mozilla's roots, an authority that did not sign the certificate, and a certificate of another host.
    let errors = [
        endpoint.refused("").await,
        endpoint.refused(other.authority.to_str().unwrap()).await,
        other.refused(other.authority.to_str().unwrap()).await,
    ];
    assert!(errors.iter().all(|error| error.contains("invalid peer certificate")), "{errors:#?}");
}

#[tokio::test]
async fn a_bundle_without_certificates_stops_the_start_and_is_named() {
    let endpoint = Endpoint::start("unused.pem", "localhost", &TLS13).await;
    for bundle in ["/nowhere", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
        let error = endpoint.refused(bundle).await;
        assert!(error.contains("AWS_CA_BUNDLE") && error.contains(bundle), "{error}");
    }
    assert_eq!(endpoint.connections.load(Ordering::Relaxed), 0);
}
