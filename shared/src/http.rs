//! Between HTTP and sessions: what is read from a request, and what an answer looks like. One place each.

use std::convert::Infallible;

use lambda_http::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HOST, HeaderMap, HeaderName, IF_MATCH, RETRY_AFTER, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceBuilder;
use lambda_http::{Adapter, Body, LambdaEvent, Request, Response, Service, lambda_runtime};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::browser;
use crate::client;
use crate::config::{Config, IdTransport};
use crate::error::{BoxError, ConfigError, Error};
use crate::etag::{ETag, IfMatch, MalformedIfMatch};
use crate::id::{LoggableId, SessionId};
use crate::life::{Outcome, Usage, report_outcome};
use crate::logging::name_request;
use crate::manager::SessionManager;
use crate::session::Session;

/// Not `Authorization`: a caller that signs for AWS IAM needs that one itself.
const ID_HEADER: HeaderName = HeaderName::from_static("x-session-id");

/// W3C, "Clear Site Data". Browsers act on it over HTTPS and on localhost.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// Starts a function: its log, and the sessions that its environment describes.
///
/// # Errors
/// The first setting that is not acceptable.
pub fn start() -> Result<SessionManager, ConfigError> {
    let config = Config::from_env()?;
    crate::logging::init(&config.table_name);
    SessionManager::new(client::from_environment(&config)?, config)
}

/// Serves API Gateway's events with `handle`.
///
/// # Errors
/// When Lambda's Runtime API is out of reach.
pub async fn run<'a, S>(handle: S) -> Result<(), lambda_http::Error>
where
    S: Service<Request, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'a,
{
    let service = ServiceBuilder::new().map_request(without_url).layer_fn(Adapter::from).service(handle);
    lambda_runtime::run(service).await
}

/// Takes out of an event what lambda_http makes a URL of, for it panics where that is none, as with a `<` in the query.
/// Which function is called says all that a URL could.
pub fn without_url(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV2(request) = &mut event.payload {
        request.raw_path = Some("/".to_owned());
        request.raw_query_string = None;
        request.request_context.stage = None;
        request.request_context.domain_name = None;
        request.headers.remove(HOST);
    }
    event
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request itself is wrong; the text says what it must be. It repeats nothing that the caller wrote.
    #[error("{0}")]
    BadRequest(&'static str),
    /// If-Match is malformed: to ignore it would overwrite what it protects.
    #[error(transparent)]
    IfMatch(#[from] MalformedIfMatch),
    /// There is a body, and its `Content-Type` is not `application/json`.
    #[error("the body must be sent as application/json")]
    NotJson,
    /// In cookie transport, a page of an origin that is not allowed may have sent it.
    #[error("the page that sent this is of another origin, and SESSION_ALLOWED_ORIGINS does not name it")]
    CrossSite,
    /// There is no such session, or the request names none.
    #[error("there is no such session")]
    NoSession,
    /// The session, or its table.
    #[error(transparent)]
    Session(#[from] Error),
    /// The answer cannot be written.
    #[error("the answer cannot be written")]
    Answer(#[source] BoxError),
}

/// The session ID in a request. `None`: there is none, there are several, or it is malformed. A caller learns
/// no more of these than of an ID that was never issued; the log does.
pub fn session_id(request: &Request, config: &Config) -> Option<SessionId> {
    let headers = request.headers();
    let mut given: Box<dyn Iterator<Item = &[u8]>> = match config.id_transport {
        IdTransport::Header => Box::new(headers.get_all(ID_HEADER).iter().map(HeaderValue::as_bytes)),
        IdTransport::Cookie => Box::new(browser::id_cookies(headers)),
    };
    let id = match (given.next(), given.next()) {
        (Some(text), None) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        (None, _) => {
            report_outcome(&Outcome::Missing, None, None, Usage::default());
            return None;
        }
        _ => None,
    };
    if id.is_none() {
        report_outcome(&Outcome::Malformed, None, None, Usage::default());
    }
    id
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
    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_none() && self.idle_timeout_seconds.is_none() && self.absolute_timeout_seconds.is_none()
    }
}

fn object<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?;
    if raw.get().starts_with('{') { Ok(Some(raw)) } else { Err(serde::de::Error::custom("not an object")) }
}

/// A whole number, however it is spelt (JSON has one kind of number: `60` is `60.0`); `null` is no way to leave
/// it out.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let of_float = || number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0);
    // A float beyond u64 becomes its greatest number, which is out of range as well.
    let whole = number.as_u64().or_else(|| of_float().map(|float| float as u64));
    whole.map(Some).ok_or_else(|| serde::de::Error::custom("not a whole number"))
}

/// Reads the body of a create or a save. A request without a body asks for nothing.
///
/// # Errors
/// [`Failure::NotJson`], and [`Failure::BadRequest`] for whatever else is wrong with it. In cookie transport the
/// caller is the user, who is not to choose how long a session lives.
pub fn session_body<'a>(request: &'a Request, config: &Config) -> Result<SessionBody<'a>, Failure> {
    let bytes: &[u8] = request.body().as_ref();
    if bytes.is_empty() {
        return Ok(SessionBody::default());
    }
    if !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    let body = parse(bytes)?;
    let has_timeouts = body.idle_timeout_seconds.is_some() || body.absolute_timeout_seconds.is_some();
    if has_timeouts && config.id_transport == IdTransport::Cookie {
        return Err(Failure::BadRequest("timeouts are not the browser's to choose: leave them out"));
    }
    Ok(body)
}

fn parse(json: &[u8]) -> Result<SessionBody<'_>, Failure> {
    const NOT_AN_OBJECT: Failure = Failure::BadRequest("the body must be one JSON object in UTF-8");
    // serde would take an array, too, for its members in their order.
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

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default();
    media_type.trim().eq_ignore_ascii_case("application/json")
}

/// What the request demands of the data that it overwrites; without the header, nothing.
///
/// # Errors
/// [`MalformedIfMatch`].
pub fn if_match(request: &Request) -> Result<IfMatch, MalformedIfMatch> {
    let mut values = request.headers().get_all(IF_MATCH).iter().peekable();
    if values.peek().is_none() {
        return Ok(IfMatch::Any);
    }
    let values: Result<Vec<_>, _> = values.map(HeaderValue::to_str).collect();
    values.map_err(|_| MalformedIfMatch)?.join(",").parse()
}

/// What a caller is shown of a session.
#[derive(Serialize)]
struct SessionDocument<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    loggable_session_id: &'a LoggableId,
    data: &'a T,
    created: String,
    expires: String,
    idle_timeout_seconds: u64,
    absolute_timeout_seconds: u64,
}

impl<'a, T: Serialize> SessionDocument<'a, T> {
    fn of(session: &'a Session<T>) -> Self {
        Self {
            session_id: None,
            loggable_session_id: session.loggable_id(),
            data: &session.data,
            created: session.created().to_string(),
            expires: session.expires().to_string(),
            idle_timeout_seconds: session.timeouts.idle_seconds,
            absolute_timeout_seconds: session.timeouts.absolute_seconds,
        }
    }

    fn into_response(self, status: StatusCode, etag: &ETag) -> Result<Response<Body>, Failure> {
        let json = serde_json::to_string(&self).map_err(|error| Failure::Answer(error.into()))?;
        let mut response = with_etag(status, Body::Text(json), etag)?;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

/// An answer that carries a session's ID, which only the one that issues it does: `201` to a create, `200` to a
/// renewal.
///
/// # Errors
/// [`Failure::Answer`].
pub fn issued<T: Serialize>(
    status: StatusCode,
    session: &Session<T>,
    config: &Config,
) -> Result<Response<Body>, Failure> {
    let mut document = SessionDocument::of(session);
    match config.id_transport {
        IdTransport::Header => {
            document.session_id = Some(session.id().expose());
            document.into_response(status, session.etag())
        }
        IdTransport::Cookie => {
            let mut response = document.into_response(status, session.etag())?;
            set_cookie(&mut response, &browser::issue_cookie(session, config))?;
            Ok(response)
        }
    }
}

/// `200`, with the session document.
///
/// # Errors
/// [`Failure::Answer`].
pub fn loaded<T: Serialize>(session: &Session<T>) -> Result<Response<Body>, Failure> {
    SessionDocument::of(session).into_response(StatusCode::OK, session.etag())
}

/// `204`, with the tag of what is stored now.
///
/// # Errors
/// [`Failure::Answer`] when the stored tag cannot stand in a header.
pub fn saved(etag: &ETag) -> Result<Response<Body>, Failure> {
    with_etag(StatusCode::NO_CONTENT, Body::Empty, etag)
}

/// `204`; a browser forgets its cookie, and what else the site has stored with it.
///
/// # Errors
/// None that can happen: the cookie is a constant.
pub fn cleared(config: &Config) -> Result<Response<Body>, Failure> {
    let mut response = plain(StatusCode::NO_CONTENT, Body::Empty);
    if config.id_transport == IdTransport::Cookie {
        set_cookie(&mut response, &browser::expire_cookie(config))?;
        if config.clear_site_data {
            const EVERYTHING: HeaderValue = HeaderValue::from_static(r#""cookies", "storage""#);
            response.headers_mut().insert(CLEAR_SITE_DATA, EVERYTHING);
        }
    }
    Ok(response)
}

/// Carries out `call`, and answers: what every request must be, and what every answer carries, stands here, and a
/// failure becomes an answer here.
pub async fn answer(
    sessions: &SessionManager,
    request: &Request,
    call: impl AsyncFnOnce(&SessionManager, &Request) -> Result<Response<Body>, Failure>,
) -> Response<Body> {
    name_request(request, async {
        let result = match check_origin(request, sessions.config()) {
            Ok(()) => call(sessions, request).await,
            Err(failure) => Err(failure),
        };
        let mut response = result.unwrap_or_else(|failure| {
            report(&failure);
            refuse(&failure, sessions.config())
        });
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    })
    .await
}

/// In cookie transport the browser sends the ID by itself, whichever page has told it to call. No page of another origin
/// can have it send JSON without asking first (Fetch Standard, "CORS-safelisted request-header").
fn check_origin(request: &Request, config: &Config) -> Result<(), Failure> {
    if config.id_transport == IdTransport::Header {
        return Ok(());
    }
    if browser::is_cross_site(request, &config.allowed_origins) {
        return Err(Failure::CrossSite);
    }
    if !request.body().is_empty() && !request.method().is_safe() && !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    Ok(())
}

/// What the sessions themselves have refused, they have reported.
fn report(failure: &Failure) {
    let outcome = match failure {
        Failure::BadRequest(_) | Failure::IfMatch(_) | Failure::NotJson => Outcome::Invalid,
        Failure::CrossSite => Outcome::CrossSite,
        Failure::Answer(_) => Outcome::Failed,
        Failure::NoSession | Failure::Session(_) => return,
    };
    report_outcome(&outcome, None, Some(failure), Usage::default());
}

/// Problem details (RFC 9457).
#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

fn refuse(failure: &Failure, config: &Config) -> Response<Body> {
    let detail = Some(failure.to_string());
    match failure {
        Failure::BadRequest(_)
        | Failure::IfMatch(_)
        | Failure::Session(Error::DataTooDeep { .. } | Error::TimeoutOutOfRange { .. }) => {
            problem(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
        }
        Failure::NotJson => {
            problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail)
        }
        // The cookie stays: no other site is to log the user out.
        Failure::CrossSite => problem(StatusCode::FORBIDDEN, "cross-site", "Not from this page", detail),
        // The same bytes for every way in which a session can be absent.
        Failure::NoSession | Failure::Session(Error::NotFound(_)) => {
            let mut response =
                problem(StatusCode::NOT_FOUND, "no-such-session", "There is no such session", None);
            if config.id_transport == IdTransport::Cookie {
                // A cookie that cannot be set is one that the browser keeps: no harm.
                let _ = set_cookie(&mut response, &browser::expire_cookie(config));
            }
            response
        }
        Failure::Session(Error::Changed) => {
            problem(StatusCode::PRECONDITION_FAILED, "session-changed", "The session has changed", detail)
        }
        Failure::Session(Error::DataTooLarge { .. }) => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, "data-too-large", "The data is too large", detail)
        }
        Failure::Session(Error::Unavailable(_)) => {
            let mut response = problem(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The service is unavailable for the moment",
                None,
            );
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
            response
        }
        Failure::Answer(_)
        | Failure::Session(
            Error::Serialize(_)
            | Error::Deserialize(_)
            | Error::Refused(_)
            | Error::CorruptRecord(_)
            | Error::Randomness(_)
            | Error::NoFreeId,
        ) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The service failed", None),
    }
}

fn problem(status: StatusCode, name: &str, title: &str, detail: Option<String>) -> Response<Body> {
    let r#type = format!("urn:problem-type:dynamodb-web-session:{name}");
    let problem = Problem { r#type: &r#type, title, status: status.as_u16(), detail };
    // Strings and a number always serialise; the status says the same should they ever not.
    let mut response = plain(status, Body::Text(serde_json::to_string(&problem).unwrap_or_default()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

fn set_cookie(response: &mut Response<Body>, cookie: &str) -> Result<(), Failure> {
    response.headers_mut().insert(SET_COOKIE, header_value(cookie)?);
    Ok(())
}

fn with_etag(status: StatusCode, body: Body, etag: &ETag) -> Result<Response<Body>, Failure> {
    let mut response = plain(status, body);
    response.headers_mut().insert(ETAG, header_value(etag.as_str())?);
    Ok(response)
}

/// Only an `etag` that somebody has altered is no header value; an ID always is.
fn header_value(text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_str(text).map_err(|error| Failure::Answer(error.into()))
}

fn plain(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
