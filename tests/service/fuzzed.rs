//! What must hold of any bytes that a caller sends. cargo-fuzz looks for bytes of which it does not hold (`fuzz/`), and
//! the tests try what it has kept.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use aws_sdk_dynamodb::config::BehaviorVersion;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dynamodb_web_session::http::{self, Failure};
use dynamodb_web_session::{Config, IdTransport, IfMatch, SessionId, SessionManager};
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Context, LambdaEvent, Request, Response, Service, service_fn};
use serde_json::{Value, json};

/// A text is an ID, or is none.
pub fn session_id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(id) = text.parse::<SessionId>() else { return };
    assert_eq!(id.expose(), text, "no ID has two spellings");
    assert!((22..=171).contains(&text.len()), "16 to 128 bytes");
    let loggable = id.loggable();
    assert_eq!(loggable, text.parse::<SessionId>().unwrap().loggable());
    assert!(!loggable.as_str().contains(text));
}

/// A text is an `If-Match`, or is none.
pub fn if_match(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(IfMatch::OneOf(tags)) = text.parse() else { return };
    assert!((1..=100).contains(&tags.len()));
    let tags: Vec<_> = tags.iter().map(|tag| tag.as_str()).collect();
    for tag in &tags {
        assert!(tag.trim_start_matches("W/").starts_with('"') && tag.ends_with('"') && text.contains(tag));
    }
    let Ok(IfMatch::OneOf(again)) = tags.join(", ").parse() else {
        panic!("a list of tags is a list of tags")
    };
    assert_eq!(again.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), tags);
}

/// A method, header lines, an empty line, and a body: each of the reading functions takes it or refuses it.
pub fn request(bytes: &[u8]) {
    let (method, headers, body) = split(bytes);
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = method;
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes()))
        {
            request.headers_mut().append(name, value);
        }
    }
    for id_transport in [IdTransport::Header, IdTransport::Cookie] {
        read(&request, &Config { id_transport, ..Config::default() });
    }
}

fn read(request: &Request, config: &Config) {
    if let Ok(body) = http::session_body(request, config) {
        if let Some(data) = body.data {
            assert!(data.get().starts_with('{') && data.get().ends_with('}'));
        }
        let has_timeouts = body.idle_timeout_seconds.is_some() || body.absolute_timeout_seconds.is_some();
        assert!(!has_timeouts || config.id_transport == IdTransport::Header);
    }
    if let Some(id) = http::session_id(request, config) {
        let from = if config.id_transport == IdTransport::Cookie { "cookie" } else { "x-session-id" };
        let mut values = request.headers().get_all(from).iter();
        assert!(values.any(|value| String::from_utf8_lossy(value.as_bytes()).contains(id.expose())));
    }
    if let Ok(IfMatch::OneOf(tags)) = http::if_match(request) {
        assert!(request.headers().contains_key("if-match") && !tags.is_empty());
    }
}

/// The same, as API Gateway makes an event of it: whatever a caller writes, there is an answer, and it blames the caller.
pub fn event(bytes: &[u8]) {
    thread_local! {
        static STARTED: OnceCell<(tokio::runtime::Runtime, [SessionManager; 2])> = const { OnceCell::new() };
    }
    let Some(event) = event_of(bytes) else { return };
    STARTED.with(|started| {
        let (runtime, managers) = started.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let managers = [IdTransport::Header, IdTransport::Cookie].map(|id_transport| {
                let client = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest());
                let client = aws_sdk_dynamodb::Client::from_conf(client.build());
                SessionManager::new(client, Config { id_transport, ..Config::default() }).unwrap()
            });
            (runtime, managers)
        });
        let sessions = &managers[bytes.len() % 2];
        let request: LambdaRequest = serde_json::from_str(&event).unwrap();
        let mut function = Adapter::from(service_fn(|request| answer(sessions, request)));
        let event = http::without_url(LambdaEvent::new(request, Context::default()));
        let response = runtime.block_on(function.call(event)).unwrap();
        let response = serde_json::to_value(response).unwrap();
        let status = response["statusCode"].as_u64().unwrap();
        assert!([200, 400, 403, 404, 413, 415].contains(&status), "{response}");
        assert_eq!(response["headers"]["cache-control"], "no-store");
    });
}

/// All that is done with a request before DynamoDB is asked.
async fn answer(
    sessions: &SessionManager,
    request: Request,
) -> Result<Response<Body>, std::convert::Infallible> {
    let read_all = async |sessions: &SessionManager, request: &Request| {
        read(request, sessions.config());
        http::session_body(request, sessions.config())?;
        http::if_match(request)?;
        http::session_id(request, sessions.config()).ok_or(Failure::NoSession)?;
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::OK;
        Ok(response)
    };
    Ok(http::answer(sessions, &request, read_all).await)
}

fn event_of(bytes: &[u8]) -> Option<String> {
    let (method, headers, body) = split(bytes);
    let mut folded = BTreeMap::<String, String>::new();
    let mut cookies = Vec::new();
    for (name, value) in headers {
        // API Gateway lets nothing else through.
        let name = HeaderName::try_from(name).ok()?;
        if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return None;
        }
        if name == "cookie" {
            cookies.extend(value.split("; ").map(str::to_owned));
        } else {
            let folded = folded.entry(name.to_string()).or_default();
            *folded = if folded.is_empty() { value } else { format!("{folded},{value}") };
        }
    }
    let text = std::str::from_utf8(&body);
    let encoded = text.map_or_else(|_| BASE64_STANDARD.encode(&body), str::to_owned);
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/session",
        "rawQueryString": folded.get("query").cloned().unwrap_or_default(),
        "headers": folded,
        "requestContext": {
            "http": { "method": method.as_str(), "path": "/session", "sourceIp": "192.0.2.1" },
            "requestId": "request",
            "stage": "$default",
        },
        "body": encoded,
        "isBase64Encoded": text.is_err(),
    });
    if !cookies.is_empty() {
        event["cookies"] = Value::from(cookies);
    }
    Some(event.to_string())
}

fn split(bytes: &[u8]) -> (Method, Vec<(String, String)>, Vec<u8>) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((bytes, &[][..]), |end| (&bytes[..end], &bytes[end + 2..]));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split('\n');
    let method = lines.next().unwrap_or_default().parse().unwrap_or(Method::PUT);
    let headers = lines.filter_map(|line| line.split_once(": "));
    (method, headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(), body.to_vec())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    type Check = fn(&[u8]);

    #[test]
    fn what_fuzzing_has_kept_is_answered() {
        let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
        let targets: [(&str, Check); 4] = [
            ("session_id", super::session_id),
            ("if_match", super::if_match),
            ("request", super::request),
            ("event", super::event),
        ];
        for (target, check) in targets {
            let inputs = std::fs::read_dir(corpora.join(target)).unwrap();
            let checked = inputs.map(|input| check(&std::fs::read(input.unwrap().path()).unwrap())).count();
            assert!(checked > 0, "{target}");
        }
    }
}
