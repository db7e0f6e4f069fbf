//! The HTTP server of `cargo run`: connections, and requests that are not meant for this machine.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use embedded::is_this_machine;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_ENCODING, HOST, HeaderMap, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::gateway::{Gateway, MAX_HEAD_BYTES, MAX_SECONDS, message};

const DRAIN_SECONDS: Duration = Duration::from_secs(5);

impl Gateway {
    /// Serves until `shutdown` completes. Requests in progress may still finish.
    ///
    /// # Errors
    /// When the listener has no address.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), std::io::Error> {
        let gateway = Arc::new(self);
        let address = listener.local_addr()?;
        let mut http = http1::Builder::new();
        // hyper limits the head to its buffer. This limit is above ours, so that ours applies first.
        http.timer(TokioTimer::new()).header_read_timeout(MAX_SECONDS).max_buf_size(MAX_HEAD_BYTES * 2);
        let connections = GracefulShutdown::new();
        tokio::pin!(shutdown);
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Most likely there are no free file descriptors until connections end.
                        eprintln!("cannot accept a connection: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = &mut shutdown => break,
            };
            let gateway = Arc::clone(&gateway);
            let service = service_fn(move |request| {
                let gateway = Arc::clone(&gateway);
                async move { Ok::<_, Infallible>(gateway.answer(request, address, peer).await) }
            });
            let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
            // A broken connection affects only its client.
            tokio::spawn(async move { connection.await.ok() });
        }
        tokio::time::timeout(DRAIN_SECONDS, connections.shutdown()).await.ok();
        Ok(())
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut response = match refuse_foreign(&head.headers, head.version) {
            Some(refusal) => refusal,
            None => self.answer_local(&head, body, address, peer).await,
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// Refuses requests that are not meant for this machine: by DNS rebinding a web page can send requests here under the name
/// of its own host, and read the responses.
fn refuse_foreign(headers: &HeaderMap, version: Version) -> Option<Response<Full<Bytes>>> {
    match headers.get(HOST).map(|host| host.to_str().unwrap_or_default()) {
        None if version == Version::HTTP_11 => Some(message(StatusCode::BAD_REQUEST, "Bad Request")),
        Some(host) if !is_this_machine(host) => Some(message(
            StatusCode::MISDIRECTED_REQUEST,
            "This server answers requests for localhost, 127.0.0.1 and [::1] only",
        )),
        _ if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") => {
            Some(message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must not be encoded"))
        }
        _ => None,
    }
}
