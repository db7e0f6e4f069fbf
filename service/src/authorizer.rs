//! What a Lambda authorizer of an HTTP API gets and returns: payload 2.0, simple responses (API Gateway Developer Guide,
//! "Control access to HTTP APIs with AWS Lambda authorizers").

use std::collections::HashMap;

use dynamodb_web_session::{LoggableId, Session, Subject};
use lambda_http::http::Method;
use lambda_http::http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The parts of the event that are needed. The type of `aws_lambda_events` has all of them, and fails on values that are not
/// headers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizerEvent {
    #[serde(deserialize_with = "default_for_null")]
    headers: HashMap<String, String>,
    #[serde(deserialize_with = "default_for_null")]
    cookies: Vec<String>,
    #[serde(deserialize_with = "default_for_null")]
    request_context: RequestContext,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestContext {
    #[serde(deserialize_with = "default_for_null")]
    request_id: Option<String>,
    #[serde(deserialize_with = "default_for_null")]
    http: HttpContext,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpContext {
    #[serde(deserialize_with = "default_for_null")]
    method: Option<String>,
    #[serde(deserialize_with = "default_for_null")]
    source_ip: Option<String>,
}

/// `null` is as good as absent. The error does not quote the value, as serde's own does: lambda_runtime logs it.
fn default_for_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    match Option::deserialize(deserializer) {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(_) => Err(serde::de::Error::custom("a part of the event is not of its documented type")),
    }
}

impl AuthorizerEvent {
    /// The method of the request that is to be authorized. One that is not known counts as one that is not safe.
    pub fn method(&self) -> Method {
        let method = self.request_context.http.method.as_deref().and_then(|method| method.parse().ok());
        method.unwrap_or(Method::POST)
    }

    /// The headers of the request, with its cookies among them.
    pub fn headers(&self) -> HeaderMap {
        let header = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        let mut headers: HeaderMap = self.headers.iter().filter_map(header).collect();
        // The event has cookies in one place only; where is not documented for authorizers.
        if !self.cookies.is_empty() {
            headers.remove(COOKIE);
        }
        let cookies =
            self.cookies.iter().filter_map(|cookie| HeaderValue::from_bytes(cookie.as_bytes()).ok());
        headers.extend(cookies.map(|cookie| (COOKIE, cookie)));
        headers
    }

    pub(crate) fn request_id(&self) -> Option<&str> {
        self.request_context.request_id.as_deref()
    }

    pub(crate) fn source_ip(&self) -> Option<&str> {
        self.request_context.http.source_ip.as_deref()
    }
}

/// The authorizer's response.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorization {
    is_authorized: bool,
    context: AuthorizerContext,
}

/// What the protected function finds in its event under `requestContext.authorizer.lambda`. Access logs can print it, so it
/// holds no session ID.
#[derive(Debug, Default, Serialize)]
struct AuthorizerContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    loggable_session_id: Option<LoggableId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    data_omitted: bool,
}

impl Authorization {
    /// The request has this session. Data of more than `max_data_bytes` is left out.
    pub fn granted(session: Session<Box<RawValue>>, max_data_bytes: usize) -> Self {
        let is_small = session.data.get().len() <= max_data_bytes;
        let context = AuthorizerContext {
            loggable_session_id: Some(session.loggable_id().clone()),
            subject: session.subject().map(Subject::as_str).map(str::to_owned),
            created: Some(session.created().to_string()),
            expires: Some(session.expires().to_string()),
            data: is_small.then_some(session.data),
            data_omitted: !is_small,
        };
        Self { is_authorized: true, context }
    }

    /// The request has no session. The context is empty.
    #[must_use]
    pub fn without_session(is_authorized: bool) -> Self {
        Self { is_authorized, context: AuthorizerContext::default() }
    }
}
