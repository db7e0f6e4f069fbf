//! What is read from a request: the session ID, the body, and the preconditions.

use std::borrow::Cow;

use dynamodb_web_session::{
    Device, ETags, LoggableId, MalformedDevice, MalformedETags, Preconditions, SessionId, Subject,
};
use lambda_http::Request;
use lambda_http::http::HeaderValue;
use lambda_http::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::cookie;
use crate::failure::Failure;
use crate::settings::{IdTransport, Settings};

/// Not `Authorization`: a caller that signs for AWS IAM needs that header itself.
const ID_HEADER: HeaderName = HeaderName::from_static("x-session-id");

/// The session ID in a request's headers.
///
/// # Errors
/// [`Failure::MissingId`], and [`Failure::MalformedId`] for several IDs or a malformed one. The caller gets the same
/// response as for an ID that was never issued; the log tells them apart.
pub fn session_id(headers: &HeaderMap, settings: &Settings) -> Result<SessionId, Failure> {
    let mut given: Box<dyn Iterator<Item = &[u8]>> = match settings.id_transport {
        IdTransport::Header => Box::new(headers.get_all(ID_HEADER).iter().map(HeaderValue::as_bytes)),
        IdTransport::Cookie => Box::new(cookie::ids(headers)),
    };
    match (given.next(), given.next()) {
        (None, _) => Err(Failure::MissingId),
        (Some(text), None) => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Failure::MalformedId)
        }
        _ => Err(Failure::MalformedId),
    }
}

/// What the body of a create, a save or a renewal may hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionBody<'a> {
    /// The new data: a JSON object, exactly as it was sent.
    #[serde(borrow, default, deserialize_with = "object")]
    pub data: Option<&'a RawValue>,
    /// Whose session it is.
    #[serde(default, deserialize_with = "subject")]
    pub subject: Option<Subject>,
    /// The session's own idle timeout.
    #[serde(default, deserialize_with = "whole_number")]
    pub idle_timeout_seconds: Option<u64>,
    /// The session's own absolute timeout.
    #[serde(default, deserialize_with = "whole_number")]
    pub absolute_timeout_seconds: Option<u64>,
    #[serde(default, deserialize_with = "text")]
    label: Option<String>,
    #[serde(borrow, default, deserialize_with = "value")]
    context: Option<&'a RawValue>,
    /// What its user recognises the session by: `label` and `context`. `""` and `null` remove them.
    #[serde(skip)]
    pub device: Device,
}

impl SessionBody<'_> {
    fn read_device(&mut self) -> Result<(), MalformedDevice> {
        if let Some(label) = self.label.take() {
            self.device = std::mem::take(&mut self.device).with_label(label)?;
        }
        if let Some(context) = self.context.map(RawValue::get) {
            let context = if context == "null" { "" } else { context };
            self.device = std::mem::take(&mut self.device).with_context(context)?;
        }
        Ok(())
    }

    /// Whether it sets a timeout.
    #[must_use]
    pub fn has_timeouts(&self) -> bool {
        self.idle_timeout_seconds.is_some() || self.absolute_timeout_seconds.is_some()
    }
}

/// What the body of a list holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListBody {
    #[serde(deserialize_with = "subject")]
    subject: Option<Subject>,
}

/// What the body of a revocation holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RevocationBody {
    #[serde(default, deserialize_with = "subject")]
    subject: Option<Subject>,
    #[serde(default, deserialize_with = "loggable_id")]
    except: Option<LoggableId>,
    #[serde(default, deserialize_with = "name")]
    name: Option<String>,
    #[serde(default, deserialize_with = "loggable_id")]
    loggable_session_id: Option<LoggableId>,
}

/// What a revocation ends.
#[derive(Debug)]
pub enum Revocation {
    /// All sessions of a subject, or all but one.
    Subject(Subject, Option<LoggableId>),
    /// One session in the list of a subject, by its name there.
    Named(Subject, String),
    /// One session.
    Session(LoggableId),
}

fn object<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    if raw.get().starts_with('{') { Ok(Some(raw)) } else { Err(serde::de::Error::custom("not an object")) }
}

/// Any value. `null` is one: it removes what there is.
fn value<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn subject<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Subject>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.try_into().map(Some).map_err(serde::de::Error::custom)
}

fn loggable_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LoggableId>, D::Error> {
    let text = <Cow<'_, str>>::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// A name of a session in a list: 16 characters of base64url.
fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = text(deserializer)?;
    let is_name = |name: &String| {
        name.len() == 16
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.as_ref().is_some_and(is_name) {
        return Ok(name);
    }
    Err(serde::de::Error::custom("not a name of a list"))
}

/// A text. `null` is refused.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// A whole number in any spelling: JSON has one kind of number, and `60` is `60.0`. `null` is refused.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let of_float = || number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0);
    // A float beyond u64 becomes its greatest number, which is out of range as well.
    let whole = number.as_u64().or_else(|| of_float().map(|float| float as u64));
    whole.map(Some).ok_or_else(|| serde::de::Error::custom("not a whole number"))
}

/// Reads the body of a create, a save or a renewal. A request without a body has no members.
///
/// # Errors
/// [`Failure::NotJson`], and [`Failure::BadRequest`] for anything else that is wrong with it. In cookie transport the
/// caller is the user, who must not choose how long a session lives, or whose it is.
pub fn session_body<'a>(request: &'a Request, settings: &Settings) -> Result<SessionBody<'a>, Failure> {
    if request.body().is_empty() {
        return Ok(SessionBody::default());
    }
    let mut body: SessionBody<'_> = parse(
        request,
        "the body must have no members but `data` (an object), `subject` (a text of 1 to 256 bytes), `label` (a text), \
         `context`, `idle_timeout_seconds` and `absolute_timeout_seconds` (whole numbers), none of them twice",
    )?;
    if settings.is_cookie_transport() && body.has_timeouts() {
        return Err(Failure::BadRequest("in cookie transport the body must not set timeouts"));
    }
    if settings.is_cookie_transport() && body.subject.is_some() {
        return Err(Failure::BadRequest("in cookie transport the body must not set the subject"));
    }
    if settings.is_cookie_transport() && (body.label.is_some() || body.context.is_some()) {
        return Err(Failure::BadRequest(
            "in cookie transport the body must not set the label or the context",
        ));
    }
    body.read_device().map_err(|malformed| {
        Failure::BadRequest(match malformed {
            MalformedDevice::Label => "`label` must be a text of at most 64 bytes",
            MalformedDevice::Context => "`context` must be JSON of at most 128 bytes",
        })
    })?;
    Ok(body)
}

/// Reads the body of a list.
///
/// # Errors
/// [`Failure::NotJson`] and [`Failure::BadRequest`].
pub fn listed_subject(request: &Request) -> Result<Subject, Failure> {
    const SUBJECT: &str = "the body must have one member, `subject`: a text of 1 to 256 bytes";
    let ListBody { subject } = parse(request, SUBJECT)?;
    subject.ok_or(Failure::BadRequest(SUBJECT))
}

/// Reads the body of a revocation.
///
/// # Errors
/// [`Failure::NotJson`] and [`Failure::BadRequest`].
pub fn revocation(request: &Request) -> Result<Revocation, Failure> {
    const MEMBERS: &str = "the body must have `subject` (a text of 1 to 256 bytes), with or without `except` (a loggable \
                           session ID) or `name` (one of the list), or only `loggable_session_id` (128 hexadecimal digits in lower case)";
    match parse(request, MEMBERS)? {
        RevocationBody { subject: Some(subject), except, name: None, loggable_session_id: None } => {
            Ok(Revocation::Subject(subject, except))
        }
        RevocationBody {
            subject: Some(subject),
            except: None,
            name: Some(name),
            loggable_session_id: None,
        } => Ok(Revocation::Named(subject, name)),
        RevocationBody { subject: None, except: None, name: None, loggable_session_id: Some(id) } => {
            Ok(Revocation::Session(id))
        }
        _ => Err(Failure::BadRequest(MEMBERS)),
    }
}

/// Reads a body of JSON. `members` says which members it must have.
fn parse<'a, B: Deserialize<'a>>(request: &'a Request, members: &'static str) -> Result<B, Failure> {
    const NOT_AN_OBJECT: Failure = Failure::BadRequest("the body must be one JSON object in UTF-8");
    let json: &[u8] = request.body().as_ref();
    if json.is_empty() {
        return Err(Failure::BadRequest(members));
    }
    if !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    // serde would also accept an array of the members in their order.
    if !json.trim_ascii_start().starts_with(b"{") {
        return Err(NOT_AN_OBJECT);
    }
    serde_json::from_slice(json).map_err(|error| match error.classify() {
        Category::Data => Failure::BadRequest(members),
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
