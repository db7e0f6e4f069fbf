//! A proxy between the AWS SDK and the table service. It counts requests, and injects faults.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What the proxy does with one request.
pub enum Action {
    /// Forwards this body.
    Forward(String),
    /// Responds in place of the table service.
    Respond(u16, String),
    /// Forwards this body, and loses the response.
    Lose(String, Loss),
    /// Never responds.
    Stall,
    /// Resets the connection.
    Reset,
}

/// How a response is lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// An error is sent in its place, as DynamoDB does when it does not know the outcome.
    Failure,
    /// The connection is reset before the response.
    Reset,
    /// The connection is reset in the middle of the response.
    Cut,
    /// Half of the response is sent, then nothing.
    Stalled,
    /// The content does not match the checksum.
    Damaged,
}

type NextAction = Box<dyn FnOnce(String) -> Pin<Box<dyn Future<Output = Action> + Send>> + Send>;

/// The action for every request that `next` has no action for.
type Rule = Box<dyn Fn(String) -> Action + Send>;

pub struct Proxy {
    pub url: String,
    state: Arc<State>,
}

struct State {
    upstream: String,
    http: reqwest::Client,
    operations: Mutex<Vec<String>>,
    next: Mutex<VecDeque<NextAction>>,
    rule: Mutex<Option<Rule>>,
    /// How long a request and a response are on their way, each.
    latency: Mutex<Duration>,
}

impl Proxy {
    pub async fn before(upstream: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            upstream,
            http: reqwest::Client::new(),
            operations: Mutex::default(),
            next: Mutex::default(),
            rule: Mutex::default(),
            latency: Mutex::default(),
        });
        tokio::spawn(serve(listener, Arc::clone(&state)));
        Self { url, state }
    }

    /// The names of the operations since the last [`forget`](Self::forget).
    pub fn operations(&self) -> Vec<String> {
        self.state.operations.lock().unwrap().clone()
    }

    /// Clears the recorded operations and the remaining actions.
    pub fn forget(&self) {
        self.state.next.lock().unwrap().clear();
        self.state.operations.lock().unwrap().clear();
    }

    /// Sets the action for the next request that has none yet.
    pub fn on_next<F>(&self, action: impl FnOnce(String) -> F + Send + 'static)
    where
        F: Future<Output = Action> + Send + 'static,
    {
        self.state.next.lock().unwrap().push_back(Box::new(|body| Box::pin(action(body))));
    }

    /// Sets the action for every further request that [`on_next`](Self::on_next) sets none for.
    pub fn on_every(&self, rule: impl Fn(String) -> Action + Send + 'static) {
        *self.state.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Makes each request and each response take this long.
    pub fn delay_each_way(&self, latency: Duration) {
        *self.state.latency.lock().unwrap() = latency;
    }

    /// Responds to the next `times` requests with a DynamoDB error.
    pub fn respond(&self, times: usize, status: u16, error: &str) {
        for _ in 0..times {
            let (status, body) = dynamodb_error(status, error);
            self.on_next(async move |_| Action::Respond(status, body));
        }
    }
}

/// An error in DynamoDB's format.
fn dynamodb_error(status: u16, error: &str) -> (u16, String) {
    (status, format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{error}","message":"injected"}}"#))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_zero_linger().unwrap(); // dropping the connection resets it
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { forward(&state, request).await }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(state: &State, request: Request<Incoming>) -> Result<Response<Content>, Dropped> {
    let (head, body) = request.into_parts();
    let target = head.headers["x-amz-target"].to_str().unwrap();
    state.operations.lock().unwrap().push(target.rsplit('.').next().unwrap().to_owned());

    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let action = state.next.lock().unwrap().pop_front();
    let action = match action {
        Some(action) => action(body).await,
        None => match &*state.rule.lock().unwrap() {
            Some(rule) => rule(body),
            None => Action::Forward(body),
        },
    };
    let (body, loss) = match action {
        Action::Forward(body) => (body, None),
        Action::Lose(body, loss) => (body, Some(loss)),
        Action::Respond(status, body) => {
            return Ok(Response::builder().status(status).body(Content::whole(body.into())).unwrap());
        }
        Action::Stall => return std::future::pending().await,
        Action::Reset => return Err(Dropped),
    };

    let latency = *state.latency.lock().unwrap();
    tokio::time::sleep(latency).await;
    let mut headers = head.headers;
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    let upstream = state.http.post(&state.upstream).headers(headers).body(body).send().await.unwrap();
    let mut response = Response::builder().status(upstream.status());
    for (name, value) in upstream.headers().iter() {
        if ![TRANSFER_ENCODING.as_str(), CHECKSUM].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    let mut body = upstream.bytes().await.unwrap().to_vec();
    tokio::time::sleep(latency).await;
    // DynamoDB sends this header; some emulators do not.
    response = response.header(CHECKSUM, crc32fast::hash(&body).to_string());
    let end = match loss {
        None => Content::whole(body.into()),
        Some(Loss::Failure) => {
            let (status, error) = dynamodb_error(500, "InternalServerError");
            return Ok(Response::builder().status(status).body(Content::whole(error.into())).unwrap());
        }
        Some(Loss::Reset) => return Err(Dropped),
        Some(Loss::Cut) => Content { bytes: Some(body[..body.len() / 2].to_vec().into()), end: End::Dropped },
        Some(Loss::Stalled) => {
            Content { bytes: Some(body[..body.len() / 2].to_vec().into()), end: End::Never }
        }
        Some(Loss::Damaged) => {
            // Still valid JSON, with other content.
            body.iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|digit| *digit ^= 1);
            body.push(b' ');
            Content::whole(body.into())
        }
    };
    Ok(response.body(end).unwrap())
}

const CHECKSUM: &str = "x-amz-crc32";

/// The connection ends here.
#[derive(Debug, thiserror::Error)]
#[error("dropped on purpose")]
struct Dropped;

/// The body of a response, which may stop before its end.
struct Content {
    bytes: Option<Bytes>,
    end: End,
}

enum End {
    Regular,
    Dropped,
    Never,
}

impl Content {
    fn whole(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Regular }
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        match (self.bytes.take(), &self.end) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, End::Regular) => Poll::Ready(None),
            (None, End::Dropped) => Poll::Ready(Some(Err(Dropped))),
            (None, End::Never) => Poll::Pending,
        }
    }
}
