//! The page at `/`. It shows a new user the life of a session. It is served locally and never deployed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use dynamodb_web_session::BoxError;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use serde_json::{Map, Value, json};

const PAGE: &str = include_str!("page.html");
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);
/// The first byte of sealed data (ADR 14).
const SEALED: u8 = 0x16;
const LINES_KEPT: usize = 256;
/// DynamoDB's limit on an item ("Quotas").
const MAX_ITEM_BYTES: usize = 400 * 1024;

/// The last lines of the log.
#[derive(Clone, Debug, Default)]
pub struct RecentLog(Arc<Mutex<VecDeque<String>>>);

impl RecentLog {
    /// Keeps a line.
    pub fn keep(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_KEPT {
            lines.pop_front();
        }
        lines.push_back(line.to_owned());
    }

    fn of_request(&self, id: &str) -> Option<Value> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .rev()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|line: &Value| line["request_id"] == id)
    }
}

/// The page, and what it shows in addition to the API: log lines, and records in DynamoDB's JSON.
#[derive(Debug)]
pub struct Page {
    dynamodb: Client,
    table: String,
    log: RecentLog,
}

impl Page {
    /// The page for the sessions in `table`.
    #[must_use]
    pub fn new(dynamodb: Client, table: String, log: RecentLog) -> Self {
        Self { dynamodb, table, log }
    }

    /// The response to a GET of one of the page's paths: `/`, and `/watch/REQUEST_ID/LOGGABLE_SESSION_ID`.
    pub(crate) async fn answer(&self, path: &str) -> Option<Response<Full<Bytes>>> {
        let (body, content_type) = match *path.split('/').skip(1).collect::<Vec<_>>() {
            [""] => (PAGE.to_owned(), "text/html; charset=utf-8"),
            ["watch", request, session] => match self.record(session).await {
                Ok(record) => (
                    json!({ "log": self.log.of_request(request), "record": record }).to_string(),
                    "application/json",
                ),
                Err(error) => {
                    let mut response = Response::new(Full::from(dynamodb_web_session::chain(error.as_ref())));
                    *response.status_mut() = StatusCode::BAD_GATEWAY;
                    return Some(response);
                }
            },
            _ => return None,
        };
        let mut response = Response::new(Full::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        Some(response)
    }

    /// The item of a session, in DynamoDB's JSON.
    async fn record(&self, loggable_id: &str) -> Result<Option<Value>, BoxError> {
        let key = AttributeValue::S(loggable_id.to_owned());
        let get = self.dynamodb.get_item().table_name(&self.table).key("id", key).consistent_read(true);
        let item = get.send().await?.item;
        Ok(item.map(|item| {
            let typed = |(name, value): (String, _)| (name.clone(), typed(&name, value));
            item.into_iter().map(typed).collect::<Map<_, _>>().into()
        }))
    }
}

fn typed(name: &str, value: AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(bytes) if name != "data" => json!({ "B": BASE64_STANDARD.encode(bytes) }),
        AttributeValue::B(bytes) if bytes.as_ref().first() == Some(&SEALED) => {
            json!({ "B, sealed": format!("{} bytes", bytes.as_ref().len()) })
        }
        AttributeValue::B(bytes) => json!({ "B, inflated": inflate(bytes.as_ref()) }),
        other => json!(format!("{other:?}")), // the service writes no other types
    }
}

/// Large data is stored deflated (ADR 10).
fn inflate(deflated: &[u8]) -> String {
    let data = decompress_to_vec_with_limit(deflated, MAX_ITEM_BYTES).unwrap_or_default();
    String::from_utf8(data).unwrap_or_else(|_| "not text".to_owned())
}
