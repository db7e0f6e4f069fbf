//! What a Lambda authorizer gets and returns. For an HTTP API: payload 2.0, simple responses (API Gateway Developer Guide,
//! "Control access to HTTP APIs with AWS Lambda authorizers"). For a REST API, the `$connect` route of a WebSocket API, and payload 1.0:
//! an event of the type `REQUEST`, and an IAM policy ("Use API Gateway Lambda authorizers").

use std::collections::HashMap;

use dynamodb_web_session::{LoggableId, Session, Subject};
use lambda_http::http::Method;
use lambda_http::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, COOKIE, HeaderMap, HeaderName, HeaderValue, ORIGIN,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The parts of the event that are needed. The type of `aws_lambda_events` has all of them, and fails on values that are not
/// headers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthorizerEvent {
    #[serde(deserialize_with = "default_for_null")]
    headers: HashMap<String, String>,
    /// Of a REST API: all values of each header, of which `headers` has the last.
    #[serde(deserialize_with = "default_for_null")]
    multi_value_headers: HashMap<String, Vec<String>>,
    #[serde(deserialize_with = "default_for_null")]
    cookies: Vec<String>,
    /// Of a REST API.
    #[serde(deserialize_with = "default_for_null")]
    http_method: Option<String>,
    /// What is to be invoked. Only events that are answered with a policy have it.
    #[serde(deserialize_with = "default_for_null")]
    method_arn: Option<String>,
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
    /// Of a REST or WebSocket API.
    #[serde(deserialize_with = "default_for_null")]
    identity: Identity,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Identity {
    #[serde(deserialize_with = "default_for_null")]
    source_ip: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HttpContext {
    #[serde(deserialize_with = "default_for_null")]
    method: Option<String>,
    #[serde(deserialize_with = "default_for_null")]
    source_ip: Option<String>,
}

/// `null` counts as absent. The error does not quote the value, as serde's own does: lambda_runtime logs it.
fn default_for_null<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    match Option::deserialize(deserializer) {
        Ok(value) => Ok(value.unwrap_or_default()),
        Err(_) => Err(serde::de::Error::custom("a part of the event is not of its documented type")),
    }
}

impl AuthorizerEvent {
    /// The method of the request that is to be authorized. One that is not known counts as one that is not safe: the handshake of a
    /// WebSocket, for example, after which the page that opened it can do anything.
    pub fn method(&self) -> Method {
        let method = self.request_context.http.method.as_deref().or(self.http_method.as_deref());
        method.and_then(|method| method.parse().ok()).unwrap_or(Method::POST)
    }

    /// Whether a browser asks if it may send a request to another origin, which it does without cookies (Fetch Standard, "CORS-preflight
    /// fetch").
    pub fn is_preflight(&self, headers: &HeaderMap) -> bool {
        self.method() == Method::OPTIONS
            && headers.contains_key(ORIGIN)
            && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// The answer that API Gateway expects for this event.
    pub fn answer(&self, authorization: Authorization) -> Answer {
        match &self.method_arn {
            Some(arn) => Answer::Policy(authorization.into_policy(arn)),
            None => Answer::Simple(authorization),
        }
    }

    /// The headers of the request, with its cookies among them.
    pub fn headers(&self) -> HeaderMap {
        let header = |(name, value): (&String, &String)| {
            Some((HeaderName::try_from(name).ok()?, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        };
        let mut headers: HeaderMap = match self.multi_value_headers.is_empty() {
            true => self.headers.iter().filter_map(header).collect(),
            false => {
                let all = |(name, values): (&String, &Vec<String>)| {
                    values.iter().filter_map(|value| header((name, value))).collect::<Vec<_>>()
                };
                self.multi_value_headers.iter().flat_map(all).collect()
            }
        };
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
        let RequestContext { http, identity, .. } = &self.request_context;
        http.source_ip.as_deref().or(identity.source_ip.as_deref())
    }
}

/// The authorizer's response, in one of API Gateway's two forms.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// For an HTTP API with simple responses.
    Simple(Authorization),
    /// For a REST or WebSocket API.
    Policy(Policy),
}

/// An IAM policy for the caller.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    principal_id: String,
    policy_document: Value,
    context: Value,
}

/// What the authorizer decides.
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

    /// The policy for the stage to which `method_arn` belongs. It is for all of its methods: API Gateway asks it for others too, if it is
    /// told to keep results.
    ///
    /// The values of a policy's context are texts, numbers and booleans, so the data is its JSON text.
    fn into_policy(self, method_arn: &str) -> Policy {
        let Self { is_authorized, mut context } = self;
        let stage: Vec<_> = method_arn.splitn(3, '/').take(2).collect();
        let effect = if is_authorized { "Allow" } else { "Deny" };
        let principal =
            context.subject.as_deref().or(context.loggable_session_id.as_ref().map(LoggableId::as_str));
        let principal_id = principal.unwrap_or("anonymous").to_owned();
        let data = context.data.take();
        let mut context = json!(context);
        if let Some(data) = data {
            context["data"] = data.get().into();
        }
        let statement = json!({ "Action": "execute-api:Invoke", "Effect": effect, "Resource": format!("{}/*", stage.join("/")) });
        Policy {
            principal_id,
            policy_document: json!({ "Version": "2012-10-17", "Statement": [statement] }),
            context,
        }
    }

    /// The request has no session. The context is empty.
    #[must_use]
    pub fn without_session(is_authorized: bool) -> Self {
        Self { is_authorized, context: AuthorizerContext::default() }
    }
}
