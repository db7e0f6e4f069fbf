//! A proxy between the AWS SDK and the table service: it counts requests, and meddles with them when told to.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What is done to one request.
pub enum Meddling {
    /// This body is passed on.
    PassOn(String),
    /// This answer is given in the service's place.
    Answer(u16, String),
    /// The request is carried out, and its answer lost.
    LoseAnswer,
    /// No answer is ever given.
    Stall,
}

type Meddler = Box<dyn FnOnce(String) -> Pin<Box<dyn Future<Output = Meddling> + Send>> + Send>;

pub struct Proxy {
    pub url: String,
    state: Arc<State>,
}

struct State {
    upstream: String,
    http: reqwest::Client,
    operations: Mutex<Vec<String>>,
    meddlers: Mutex<VecDeque<Meddler>>,
}

impl Proxy {
    pub async fn before(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            upstream,
            http: reqwest::Client::new(),
            operations: Mutex::default(),
            meddlers: Mutex::default(),
        });
        tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { url, state }
    }

    /// The names of the operations since the last [`forget`](Self::forget).
    pub fn operations(&self) -> Vec<String> {
        self.state.operations.lock().unwrap().clone()
    }

    /// Starts anew: no operations counted, nobody waiting to meddle.
    pub fn forget(&self) {
        self.state.meddlers.lock().unwrap().clear();
        self.state.operations.lock().unwrap().clear();
    }

    /// Meddles with the next request that no meddler waits for yet.
    pub fn meddle<F>(&self, meddler: impl FnOnce(String) -> F + Send + 'static)
    where
        F: Future<Output = Meddling> + Send + 'static,
    {
        self.state.meddlers.lock().unwrap().push_back(Box::new(|body| Box::pin(meddler(body))));
    }

    /// Answers the next `times` requests in the service's place.
    pub fn answer(&self, times: usize, status: u16, error: &str) {
        for _ in 0..times {
            let body =
                format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{error}","message":"meddled"}}"#);
            self.meddle(async move |_| Meddling::Answer(status, body));
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, Infallible>(forward(&state, request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(state: &State, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let target = head.headers["x-amz-target"].to_str().unwrap();
    state.operations.lock().unwrap().push(target.rsplit('.').next().unwrap().to_owned());

    let mut body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let meddler = state.meddlers.lock().unwrap().pop_front();
    let mut lose_answer = false;
    if let Some(meddler) = meddler {
        let original = body.clone();
        match meddler(body).await {
            Meddling::PassOn(other) => body = other,
            Meddling::Answer(status, answer) => {
                return Response::builder().status(status).body(Full::from(answer)).unwrap();
            }
            Meddling::LoseAnswer => (body, lose_answer) = (original, true),
            Meddling::Stall => return std::future::pending().await,
        }
    }
    let mut headers = head.headers;
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    let upstream = state.http.post(&state.upstream).headers(headers).body(body).send().await.unwrap();
    if lose_answer {
        // "Occurs when there's a failure on the server": DynamoDB, too, says no more when it does not know.
        let error =
            r#"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"meddled"}"#;
        return Response::builder().status(500).body(Full::from(error)).unwrap();
    }
    let mut response = Response::builder().status(upstream.status());
    for (name, value) in upstream.headers().iter().filter(|(name, _)| **name != TRANSFER_ENCODING) {
        response = response.header(name, value);
    }
    response.body(Full::from(upstream.bytes().await.unwrap())).unwrap()
}
