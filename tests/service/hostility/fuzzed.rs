//! What must hold for any bytes that a caller sends. cargo-fuzz (`fuzz/`) searches for bytes that violate it; the tests
//! replay its corpus.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use aws_sdk_dynamodb::config::BehaviorVersion;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dynamodb_web_session::{Config, ETags, SessionId, SessionManager};
use lambda_http::http::{HeaderName, HeaderValue, Method, StatusCode};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Context, LambdaEvent, Request, Response, Service, service_fn};
use serde_json::{Value, json};
use service::{IdTransport, SessionService, Settings};

/// A text is an ID or is refused.
pub fn session_id(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(id) = text.parse::<SessionId>() else { return };
    assert_eq!(id.expose(), text, "no ID has two spellings");
    assert!((22..=171).contains(&text.len()), "16 to 128 bytes");
    let loggable = id.loggable();
    assert_eq!(loggable, text.parse::<SessionId>().unwrap().loggable());
    assert!(!loggable.as_str().contains(text));
}

/// A text is an `If-Match` value or is refused.
pub fn if_match(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(ETags::OneOf(tags)) = text.parse() else { return };
    assert!((1..=100).contains(&tags.len()));
    let tags: Vec<_> = tags.iter().map(|tag| tag.as_str()).collect();
    for tag in &tags {
        assert!(tag.trim_start_matches("W/").starts_with('"') && tag.ends_with('"') && text.contains(tag));
    }
    let Ok(ETags::OneOf(again)) = tags.join(", ").parse() else {
        panic!("the tags joined by commas are not a list of tags")
    };
    assert_eq!(again.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), tags);
}

/// A method, header lines, an empty line, and a body: each function that reads a request accepts it or refuses it.
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
        read(&request, &Settings { id_transport, ..Settings::default() });
    }
}

fn read(request: &Request, settings: &Settings) {
    if let Ok(body) = service::request::session_body(request, settings) {
        if let Some(data) = body.data {
            assert!(data.get().starts_with('{') && data.get().ends_with('}'));
        }
        let has_timeouts = body.idle_timeout_seconds.is_some() || body.absolute_timeout_seconds.is_some();
        assert!(!has_timeouts || settings.id_transport == IdTransport::Header);
    }
    if let Ok(id) = service::request::session_id(request.headers(), settings) {
        let from = if settings.id_transport == IdTransport::Cookie { "cookie" } else { "x-session-id" };
        let mut values = request.headers().get_all(from).iter();
        assert!(values.any(|value| String::from_utf8_lossy(value.as_bytes()).contains(id.expose())));
    }
    if let Ok(preconditions) = service::request::preconditions(request) {
        for (tags, name) in
            [(preconditions.if_match, "if-match"), (preconditions.if_none_match, "if-none-match")]
        {
            assert_eq!(tags.is_some(), request.headers().contains_key(name));
            assert_ne!(tags, Some(ETags::OneOf(Vec::new())));
        }
    }
}

/// The same as an API Gateway event: any bytes get a response that is not a 5xx.
pub fn event(bytes: &[u8]) {
    thread_local! {
        static STARTED: OnceCell<(tokio::runtime::Runtime, [SessionService; 2])> = const { OnceCell::new() };
    }
    let Some(event) = event_of(bytes) else { return };
    STARTED.with(|started| {
        let (runtime, services) = started.get_or_init(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let services = [IdTransport::Header, IdTransport::Cookie].map(|id_transport| {
                let client = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest());
                let client = aws_sdk_dynamodb::Client::from_conf(client.build());
                let sessions = SessionManager::new(client, Config::default()).unwrap();
                SessionService { sessions, settings: Settings { id_transport, ..Settings::default() } }
            });
            (runtime, services)
        });
        let service = &services[bytes.len() % 2];
        let request: LambdaRequest = serde_json::from_str(&event).unwrap();
        let mut function = Adapter::from(service_fn(|request| answer(service, request)));
        let event = service::without_url(LambdaEvent::new(request, Context::default()));
        let response = runtime.block_on(function.call(event)).unwrap();
        let response = serde_json::to_value(response).unwrap();
        let status = response["statusCode"].as_u64().unwrap();
        assert!([200, 400, 403, 404, 413, 415].contains(&status), "{response}");
        assert_eq!(response["headers"]["cache-control"], "no-store");
    });
}

/// Everything that the service does with a request before it calls DynamoDB.
async fn answer(
    service: &SessionService,
    request: Request,
) -> Result<Response<Body>, std::convert::Infallible> {
    let read_all = async |service: &SessionService, request: &Request| {
        read(request, &service.settings);
        service::request::session_body(request, &service.settings)?;
        service::request::preconditions(request)?;
        service::request::session_id(request.headers(), &service.settings)?;
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::OK;
        Ok(response)
    };
    Ok(service::answer(service, &request, request.method().clone(), read_all).await)
}

fn event_of(bytes: &[u8]) -> Option<String> {
    let (method, headers, body) = split(bytes);
    let mut folded = BTreeMap::<String, String>::new();
    let mut cookies = Vec::new();
    for (name, value) in headers {
        // API Gateway refuses everything else.
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

    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;

    type Check = fn(&[u8]);

    #[test]
    fn the_corpus_of_the_fuzzer_passes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
        let targets: [(&str, Check); 4] = [
            ("session_id", super::session_id),
            ("if_match", super::if_match),
            ("request", super::request),
            ("event", super::event),
        ];
        for (target, check) in targets {
            let packed = std::fs::read_to_string(folder.join(format!("{target}.corpus"))).unwrap();
            let checked = packed.lines().map(|input| check(&BASE64_STANDARD.decode(input).unwrap())).count();
            assert!(checked > 50, "{target}: {checked}");
        }
    }
}
