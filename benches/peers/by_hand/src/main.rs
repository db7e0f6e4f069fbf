//! Close to the minimum: a `lambda_http` function that reads a session with hyper and aws-sigv4, without an SDK. It has
//! no retries, timeouts or logs, and checks no deadline: it is for measurements, not for use.

#![expect(clippy::unwrap_used, reason = "any error ends the run")]

use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use lambda_http::{Error, Request, Response, service_fn};
use miniz_oxide::inflate::decompress_to_vec;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

struct Reader {
    credentials: Credentials,
    region: String,
    table: String,
    url: String,
    tls: TlsConnector,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Reader {
    fn new() -> Self {
        let variable = |name| std::env::var(name).unwrap();
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(variable("AWS_CA_BUNDLE")).unwrap();
        roots.add_parsable_certificates(certificates.map(Result::unwrap));
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            credentials: Credentials::new(
                variable("AWS_ACCESS_KEY_ID"),
                variable("AWS_SECRET_ACCESS_KEY"),
                None,
                None,
                "environment",
            ),
            region: variable("AWS_REGION"),
            table: variable("SESSION_TABLE_NAME"),
            url: variable("AWS_ENDPOINT_URL_DYNAMODB"),
            tls: Arc::new(tls).into(),
            connection: Mutex::default(),
        }
    }

    async fn read(&self, request: Request) -> Result<Response<String>, Error> {
        let id = request.headers()["x-session-id"].as_bytes();
        let key: String = Sha512::digest(id).iter().map(|byte| format!("{byte:02x}")).collect();
        let get = json!({ "TableName": self.table, "Key": { "id": { "S": key } }, "ConsistentRead": true });
        let answer = self.send(get.to_string()).await;
        let answer: Value = serde_json::from_slice(&answer)?;
        let data = &answer["Item"]["data"];
        let body = match data["B"].as_str() {
            Some(deflated) => {
                let deflated = BASE64_STANDARD.decode(deflated)?;
                format!(r#"{{"data":{}}}"#, String::from_utf8(decompress_to_vec(&deflated).unwrap())?)
            }
            None => format!(r#"{{"data":{}}}"#, data["S"].as_str().unwrap()),
        };
        Ok(Response::builder().header("content-type", "application/json").body(body)?)
    }

    async fn send(&self, body: String) -> Bytes {
        let identity = self.credentials.clone().into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("dynamodb")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .unwrap()
            .into();
        let headers =
            [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", "DynamoDB_20120810.GetItem")];
        let signable = SignableRequest::new(
            "POST",
            &self.url,
            headers.into_iter(),
            SignableBody::Bytes(body.as_bytes()),
        );
        let (instructions, _) = sign(signable.unwrap(), &parameters).unwrap().into_parts();
        let authority = self.url.strip_prefix("https://").unwrap();
        let mut request = hyper::Request::post("/").header("host", authority);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in instructions.headers() {
            request = request.header(name, value);
        }
        let mut connection = self.connection.lock().await;
        let sender = match &mut *connection {
            Some(sender) => sender,
            none => none.insert(self.open(authority).await),
        };
        sender.ready().await.unwrap();
        let response = sender.send_request(request.body(Full::from(body)).unwrap()).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    }

    async fn open(&self, authority: &str) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(authority).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (host, _) = authority.split_once(':').unwrap();
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let stream = self.tls.connect(name, stream).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let reader = Reader::new();
    lambda_http::run(service_fn(|request| reader.read(request))).await
}
