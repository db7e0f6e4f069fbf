//! The form of events and responses: an HTTP request as an event of payload 2.0, and a function's response as HTTP
//! (API Gateway Developer Guide, "Working with AWS Lambda proxy integrations for HTTP APIs").

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use dynamodb_web_session::{BoxError, Clock, SystemClock};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, GetAll, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use hyper::http::request::Parts;
use serde::Deserialize;
use serde_json::{Value, json};

/// The payload-2.0 event of a request. An authorizer's has the same parts, without the body.
pub(crate) fn event(head: &Parts, body: &[u8], id: &str, address: SocketAddr, peer: SocketAddr) -> Value {
    let method = head.method.as_str();
    let path = head.uri.path();
    let (body, is_base64_encoded) = encode_body(&head.headers, body);
    let mut event = json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": head.uri.query().unwrap_or_default(),
        "headers": fold_headers(&head.headers, address, peer),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": address.to_string(),
            "domainPrefix": "local",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": peer.ip().to_string(),
                "userAgent": text(head.headers.get_all("user-agent")),
            },
            "requestId": id,
            "routeKey": format!("{method} {path}"),
            "stage": "$default",
            "timeEpoch": SystemClock.now().epoch_seconds() * 1000,
        },
        "isBase64Encoded": is_base64_encoded,
    });
    let cookies: Vec<_> = head
        .headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| lossy(value.as_bytes()).split("; ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    if let Some(event) = event.as_object_mut() {
        if !cookies.is_empty() {
            event.insert("cookies".into(), cookies.into());
        }
        if let Some(body) = body {
            event.insert("body".into(), body.into());
        }
    }
    event
}

/// Lower-case names, repeated headers joined with commas, no cookies, and the gateway's own headers in place of the
/// client's.
fn fold_headers(headers: &HeaderMap, address: SocketAddr, peer: SocketAddr) -> BTreeMap<String, String> {
    let mut folded: BTreeMap<_, _> = headers
        .keys()
        .filter(|name| **name != COOKIE && **name != CONNECTION && **name != TRANSFER_ENCODING)
        .map(|name| (name.to_string(), text(headers.get_all(name))))
        .collect();
    folded.insert(HOST.to_string(), address.to_string());
    folded.insert("x-forwarded-for".into(), peer.ip().to_string());
    folded.insert("x-forwarded-port".into(), address.port().to_string());
    folded.insert("x-forwarded-proto".into(), "https".into());
    folded
}

fn text(values: GetAll<'_, HeaderValue>) -> String {
    values.iter().map(|value| lossy(value.as_bytes())).collect::<Vec<_>>().join(",")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A body of a media type that API Gateway treats as text stays text; any other body becomes base64.
fn encode_body(headers: &HeaderMap, body: &[u8]) -> (Option<String>, bool) {
    if body.is_empty() && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0") {
        return (None, false);
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_text = media_type.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"]
            .iter()
            .any(|known| media_type.starts_with(known));
    match std::str::from_utf8(body) {
        Ok(text) if is_text => (Some(text.to_owned()), false),
        _ => (Some(BASE64_STANDARD.encode(body)), true),
    }
}

/// What a function returns to API Gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FunctionResponse {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

impl FunctionResponse {
    pub(crate) fn parse(json: &str) -> Result<Response<Full<Bytes>>, BoxError> {
        let answer: Self = serde_json::from_str(json)?;
        let body = answer.body.unwrap_or_default();
        let body = if answer.is_base64_encoded { BASE64_STANDARD.decode(body)? } else { body.into_bytes() };
        let mut response = Response::builder().status(answer.status_code);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        for cookie in answer.cookies {
            response = response.header("set-cookie", cookie);
        }
        Ok(response.body(Full::from(body))?)
    }
}
