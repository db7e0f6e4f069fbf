//! A proxy between the AWS SDK and the table service: it counts requests, and meddles with them when told to.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Frame, Incoming};
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
    /// This body is passed on and carried out, and the caller does not learn it.
    Lose(String, Loss),
    /// No answer is ever given.
    Stall,
    /// The connection is reset.
    Reset,
}

/// How an answer is lost.
#[derive(Clone, Copy, Debug)]
pub enum Loss {
    /// A failure is sent in its place: DynamoDB, too, says no more when it does not know.
    Failure,
    /// The connection is reset before it.
    Reset,
    /// The connection is reset in the middle of it.
    Cut,
    /// Half of it is sent, and no more.
    Stalled,
    /// It says something else than its checksum is of.
    Damaged,
}

type Meddler = Box<dyn FnOnce(String) -> Pin<Box<dyn Future<Output = Meddling> + Send>> + Send>;

/// Meddles with whatever nobody else does.
type Rule = Box<dyn Fn(String) -> Meddling + Send>;

pub struct Proxy {
    pub url: String,
    state: Arc<State>,
}

struct State {
    upstream: String,
    http: reqwest::Client,
    operations: Mutex<Vec<String>>,
    meddlers: Mutex<VecDeque<Meddler>>,
    rule: Mutex<Option<Rule>>,
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
            rule: Mutex::default(),
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

    /// Meddles with every request from now on that no meddler waits for.
    pub fn meddle_always(&self, rule: impl Fn(String) -> Meddling + Send + 'static) {
        *self.state.rule.lock().unwrap() = Some(Box::new(rule));
    }

    /// Answers the next `times` requests in the service's place.
    pub fn answer(&self, times: usize, status: u16, error: &str) {
        for _ in 0..times {
            let (status, body) = dynamodb_error(status, error);
            self.meddle(async move |_| Meddling::Answer(status, body));
        }
    }
}

/// An error, as DynamoDB words it.
fn dynamodb_error(status: u16, error: &str) -> (u16, String) {
    (status, format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{error}","message":"meddled"}}"#))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_zero_linger().unwrap(); // a connection that is dropped is reset
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { forward(&state, request).await }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(state: &State, request: Request<Incoming>) -> Result<Response<Answer>, Dropped> {
    let (head, body) = request.into_parts();
    let target = head.headers["x-amz-target"].to_str().unwrap();
    state.operations.lock().unwrap().push(target.rsplit('.').next().unwrap().to_owned());

    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let meddler = state.meddlers.lock().unwrap().pop_front();
    let meddling = match meddler {
        Some(meddler) => meddler(body).await,
        None => match &*state.rule.lock().unwrap() {
            Some(rule) => rule(body),
            None => Meddling::PassOn(body),
        },
    };
    let (body, loss) = match meddling {
        Meddling::PassOn(body) => (body, None),
        Meddling::Lose(body, loss) => (body, Some(loss)),
        Meddling::Answer(status, answer) => {
            return Ok(Response::builder().status(status).body(Answer::whole(answer.into())).unwrap());
        }
        Meddling::Stall => return std::future::pending().await,
        Meddling::Reset => return Err(Dropped),
    };

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
    // As DynamoDB does, and some of its emulators do not.
    response = response.header(CHECKSUM, crc32fast::hash(&body).to_string());
    let end = match loss {
        None => Answer::whole(body.into()),
        Some(Loss::Failure) => {
            let (status, error) = dynamodb_error(500, "InternalServerError");
            return Ok(Response::builder().status(status).body(Answer::whole(error.into())).unwrap());
        }
        Some(Loss::Reset) => return Err(Dropped),
        Some(Loss::Cut) => Answer { bytes: Some(body[..body.len() / 2].to_vec().into()), end: End::Dropped },
        Some(Loss::Stalled) => {
            Answer { bytes: Some(body[..body.len() / 2].to_vec().into()), end: End::Never }
        }
        Some(Loss::Damaged) => {
            // What is still valid JSON, and says something else.
            body.iter_mut().filter(|byte| byte.is_ascii_digit()).for_each(|digit| *digit ^= 1);
            body.push(b' ');
            Answer::whole(body.into())
        }
    };
    Ok(response.body(end).unwrap())
}

const CHECKSUM: &str = "x-amz-crc32";

/// The connection ends here.
#[derive(Debug, thiserror::Error)]
#[error("dropped on purpose")]
struct Dropped;

/// The body of an answer, which need not come to its end.
struct Answer {
    bytes: Option<Bytes>,
    end: End,
}

enum End {
    Regular,
    Dropped,
    Never,
}

impl Answer {
    fn whole(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes), end: End::Regular }
    }
}

impl Body for Answer {
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
