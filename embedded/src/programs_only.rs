//! A port of the embedded DynamoDB for programs, and not for web pages.

use std::net::Ipv4Addr;
use std::time::Duration;

use dynamodb_web_session::BoxError;
use http_body_util::{Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HOST, ORIGIN};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::loopback::{is_this_machine, listen};

/// Most likely there are no free file descriptors until connections end.
const PAUSE_AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Serves the DynamoDB at `url` on this port of 127.0.0.1 too, for other programs but not for web pages, and returns that
/// URL.
///
/// # Errors
/// When the port cannot be bound.
pub async fn serve_programs_only(url: &str, port: u16) -> Result<String, BoxError> {
    let listener = listen(Ipv4Addr::LOCALHOST, port)
        .map_err(|error| format!("cannot serve DynamoDB on port {port}: {error}"))?;
    let guarded = format!("http://{}", listener.local_addr()?);
    let upstream = url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
                continue;
            };
            let upstream = upstream.clone();
            // A broken connection concerns its client only.
            tokio::spawn(async move { forward(stream, &upstream).await.ok() });
        }
    });
    Ok(guarded)
}

/// Forwards the requests of one connection.
async fn forward(stream: TcpStream, upstream: &str) -> Result<(), BoxError> {
    let onward = TcpStream::connect(upstream).await?;
    // A client may send the head and the body of a request one after the other: together with delayed acknowledgements,
    // Nagle's algorithm would make each of its requests 40 ms longer.
    stream.set_nodelay(true)?;
    onward.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(onward)).await?;
    tokio::spawn(connection);
    let sender = Mutex::new(sender);
    let service = service_fn(|request: Request<Incoming>| async {
        if is_of_a_page(&request) {
            let mut refusal = Response::new(Either::Left(Empty::<Bytes>::new()));
            *refusal.status_mut() = StatusCode::FORBIDDEN;
            return Ok::<_, hyper::Error>(refusal);
        }
        Ok(sender.lock().await.send_request(request).await?.map(Either::Right))
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?;
    Ok(())
}

/// Browsers send `Origin` or `Sec-Fetch-Site` with each request, and cannot be made to leave both out; programs send neither.
/// A page that reaches this port under another host's name is refused for its `Host`.
fn is_of_a_page(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    let host = headers.get(HOST).map(|host| host.to_str().unwrap_or_default());
    headers.contains_key(ORIGIN)
        || headers.contains_key("sec-fetch-site")
        || host.map_or(request.version() == Version::HTTP_11, |host| !is_this_machine(host))
}
