//! What is read from a request: the session ID, the body, and the preconditions.

use dynamodb_web_session::{ETags, MalformedETags, Preconditions, SessionId};
use lambda_http::Request;
use lambda_http::http::HeaderValue;
use lambda_http::http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::failure::Failure;
use crate::settings::{IdTransport, Settings};

/// Not `Authorization`: a caller that signs for AWS IAM needs that header itself.
const ID_HEADER: HeaderName = HeaderName::from_static("x-session-id");

/// Generic, as OWASP asks ("Session ID Name Fingerprinting"), and bound to one host by its prefix
/// (RFC 6265bis, "The `__Host-` Prefix").
pub(crate) const ID_COOKIE: &str = "__Host-id";

/// The session ID in a request.
///
/// # Errors
/// [`Failure::MissingId`], and [`Failure::MalformedId`] for several IDs or a malformed one. The caller gets the same
/// response as for an ID that was never issued; the log tells them apart.
pub fn session_id(request: &Request, settings: &Settings) -> Result<SessionId, Failure> {
    let headers = request.headers();
    let mut given: Box<dyn Iterator<Item = &[u8]>> = match settings.id_transport {
        IdTransport::Header => Box::new(headers.get_all(ID_HEADER).iter().map(HeaderValue::as_bytes)),
        IdTransport::Cookie => Box::new(id_cookies(headers)),
    };
    match (given.next(), given.next()) {
        (None, _) => Err(Failure::MissingId),
        (Some(text), None) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Failure::MalformedId)
        }
        _ => Err(Failure::MalformedId),
    }
}

/// The values of the cookies with our name. Other cookies may hold anything.
fn id_cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(ID_COOKIE.as_bytes())?.strip_prefix(b"="))
}

/// What the body of a create or a save may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionBody<'a> {
    /// The new data: a JSON object, exactly as it was sent.
    #[serde(borrow, default, deserialize_with = "object")]
    pub data: Option<&'a RawValue>,
    /// The session's own idle timeout.
    #[serde(default, deserialize_with = "whole_number")]
    pub idle_timeout_seconds: Option<u64>,
    /// The session's own absolute timeout.
    #[serde(default, deserialize_with = "whole_number")]
    pub absolute_timeout_seconds: Option<u64>,
}

impl SessionBody<'_> {
    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_none() && !self.has_timeouts()
    }

    fn has_timeouts(&self) -> bool {
        self.idle_timeout_seconds.is_some() || self.absolute_timeout_seconds.is_some()
    }
}

fn object<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    if raw.get().starts_with('{') { Ok(Some(raw)) } else { Err(serde::de::Error::custom("not an object")) }
}

/// A whole number in any spelling: JSON has one kind of number, and `60` is `60.0`. `null` is refused.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let of_float = || number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0);
    // A float beyond u64 becomes its greatest number, which is out of range as well.
    let whole = number.as_u64().or_else(|| of_float().map(|float| float as u64));
    whole.map(Some).ok_or_else(|| serde::de::Error::custom("not a whole number"))
}

/// Reads the body of a create or a save. A request without a body has no members.
///
/// # Errors
/// [`Failure::NotJson`], and [`Failure::BadRequest`] for anything else that is wrong with it. In cookie transport the
/// caller is the user, who must not choose how long a session lives.
pub fn session_body<'a>(request: &'a Request, settings: &Settings) -> Result<SessionBody<'a>, Failure> {
    let bytes: &[u8] = request.body().as_ref();
    if bytes.is_empty() {
        return Ok(SessionBody::default());
    }
    if !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    let body = parse(bytes)?;
    if body.has_timeouts() && settings.is_cookie_transport() {
        return Err(Failure::BadRequest("in cookie transport the body must not set timeouts"));
    }
    Ok(body)
}

/// Refuses a body of a renewal, which takes no parameters.
///
/// # Errors
/// [`Failure::NotJson`] and [`Failure::BadRequest`].
pub fn no_body(request: &Request, settings: &Settings) -> Result<(), Failure> {
    if session_body(request, settings)?.is_empty() {
        Ok(())
    } else {
        Err(Failure::BadRequest("a renewal has no body"))
    }
}

fn parse(json: &[u8]) -> Result<SessionBody<'_>, Failure> {
    const NOT_AN_OBJECT: Failure = Failure::BadRequest("the body must be one JSON object in UTF-8");
    // serde would also accept an array of the members in their order.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(NOT_AN_OBJECT);
    }
    serde_json::from_slice(json).map_err(|error| match error.classify() {
        Category::Data => Failure::BadRequest(
            "the body must have no members but `data` (an object), `idle_timeout_seconds` and \
             `absolute_timeout_seconds` (whole numbers), none of them twice",
        ),
        Category::Io | Category::Syntax | Category::Eof => NOT_AN_OBJECT,
    })
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// The request's `If-Match` and `If-None-Match`.
///
/// # Errors
/// [`MalformedETags`].
pub fn preconditions(request: &Request) -> Result<Preconditions, MalformedETags> {
    let headers = request.headers();
    Ok(Preconditions { if_match: etags(headers, IF_MATCH)?, if_none_match: etags(headers, IF_NONE_MATCH)? })
}

fn etags(headers: &HeaderMap, name: HeaderName) -> Result<Option<ETags>, MalformedETags> {
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let values: Result<Vec<_>, _> = values.map(HeaderValue::to_str).collect();
    values.map_err(|_| MalformedETags)?.join(",").parse().map(Some)
}
