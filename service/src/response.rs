//! What is sent back: session documents, and problem details (RFC 9457).
//!
//! Writing a response cannot fail: what could make it fail is checked before.

use dynamodb_web_session::{Device, ETag, Error, ListedSession, LoggableId, Session, Subject};
use lambda_http::http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use lambda_http::http::{HeaderValue, StatusCode};
use lambda_http::{Body, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cookie;
use crate::failure::Failure;
use crate::settings::{IdTransport, Settings};

/// W3C, "Clear Site Data". Browsers act on it over HTTPS and on localhost.
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The session document.
#[derive(Serialize)]
struct SessionDocument<'a, T> {
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    loggable_session_id: &'a LoggableId,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    data: &'a T,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_at: Option<String>,
    expires: String,
    idle_timeout_seconds: u64,
    absolute_timeout_seconds: u64,
}

impl<'a, T: Serialize> SessionDocument<'a, T> {
    fn of(session: &'a Session<T>) -> Self {
        Self {
            session_id: None,
            loggable_session_id: session.loggable_id(),
            subject: session.subject().map(Subject::as_str),
            label: session.device().label(),
            context: context(session.device()),
            data: &session.data,
            created: session.created().to_string(),
            authenticated_at: session.authenticated_at().map(|at| at.to_string()),
            expires: session.expires().to_string(),
            idle_timeout_seconds: session.timeouts.idle_seconds,
            absolute_timeout_seconds: session.timeouts.absolute_seconds,
        }
    }

    fn into_response(self, status: StatusCode, etag: &ETag) -> Response<Body> {
        let mut response = json(status, "application/json", &self);
        set(&mut response, ETAG, etag.as_str());
        response
    }
}

/// A response that carries a new session ID: `201` to a create, `200` to a renewal.
pub fn issued<T: Serialize>(status: StatusCode, session: &Session<T>, settings: &Settings) -> Response<Body> {
    let mut document = SessionDocument::of(session);
    match settings.id_transport {
        IdTransport::Header => {
            document.session_id = Some(session.id().expose());
            document.into_response(status, session.etag())
        }
        IdTransport::Cookie => {
            let mut response = document.into_response(status, session.etag());
            set(&mut response, SET_COOKIE, &cookie::issue(session, settings));
            response
        }
    }
}

/// `200`, with the session document.
pub fn loaded<T: Serialize>(session: &Session<T>) -> Response<Body> {
    SessionDocument::of(session).into_response(StatusCode::OK, session.etag())
}

/// `304`: the caller has this data already.
pub fn not_modified(etag: &ETag) -> Response<Body> {
    with_etag(StatusCode::NOT_MODIFIED, etag)
}

/// `204`, with the tag of the stored data.
pub fn saved(etag: &ETag) -> Response<Body> {
    with_etag(StatusCode::NO_CONTENT, etag)
}

fn with_etag(status: StatusCode, etag: &ETag) -> Response<Body> {
    let mut response = empty(status);
    set(&mut response, ETAG, etag.as_str());
    response
}

/// `204`. A browser deletes its cookie, and what else the site has stored if a setting says so.
pub fn cleared(settings: &Settings) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    if settings.is_cookie_transport() {
        set(&mut response, SET_COOKIE, &cookie::delete(settings));
        if settings.clear_site_data {
            set(&mut response, CLEAR_SITE_DATA, r#""cookies", "storage""#);
        }
    }
    response
}

/// `204`: what was to be revoked has ended.
pub fn revoked() -> Response<Body> {
    empty(StatusCode::NO_CONTENT)
}

/// A context is JSON that was checked when it was stored.
fn context(device: &Device) -> Option<&RawValue> {
    device.context().and_then(|text| serde_json::from_str(text).ok())
}

/// The list of a subject's sessions.
#[derive(Serialize)]
struct SessionList<'a> {
    sessions: Vec<SessionSummary<'a>>,
}

#[derive(Serialize)]
struct SessionSummary<'a> {
    loggable_session_id: &'a LoggableId,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a RawValue>,
    created: String,
    last_used: String,
    expires: String,
}

impl<'a> SessionSummary<'a> {
    fn of(session: &'a ListedSession) -> Self {
        Self {
            loggable_session_id: &session.loggable_id,
            name: &session.name,
            label: session.device.label(),
            context: context(&session.device),
            created: session.created.to_string(),
            last_used: session.last_used.to_string(),
            expires: session.expires.to_string(),
        }
    }
}

/// `200`, with the live sessions of a subject.
pub fn listed(sessions: &[ListedSession]) -> Response<Body> {
    let list = SessionList { sessions: sessions.iter().map(SessionSummary::of).collect() };
    json(StatusCode::OK, "application/json", &list)
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

/// The error response of a failure. The body of a 5xx is constant: it has no internal details.
pub(crate) fn refusal(failure: &Failure) -> Response<Body> {
    let detail = Some(failure.to_string());
    match failure {
        Failure::BadRequest(_) | Failure::Precondition(_) => bad_request(detail),
        Failure::NotJson => {
            problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON", detail)
        }
        Failure::MethodNotAllowed(method) => {
            let title = "The method is not allowed";
            let mut response = problem(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title, detail);
            set(&mut response, ALLOW, method.as_str());
            response
        }
        Failure::CrossSite(_) => problem(StatusCode::FORBIDDEN, "cross-site", "Cross-site request", detail),
        Failure::MissingId | Failure::MalformedId | Failure::NoSession => no_such_session(),
        Failure::PreconditionFailed => session_changed(detail),
        Failure::Invalid(error) | Failure::Session(error) => match error {
            Error::DataTooDeep { .. } | Error::DataNotPortable { .. } | Error::TimeoutOutOfRange { .. } => {
                bad_request(detail)
            }
            Error::RenewedTooOften { seconds } => {
                let title = "The session is renewed too often";
                let mut response = problem(StatusCode::TOO_MANY_REQUESTS, "renewed-too-often", title, detail);
                set(&mut response, RETRY_AFTER, &seconds.to_string());
                response
            }
            Error::NotFound(_) => no_such_session(),
            Error::Changed => session_changed(detail),
            Error::DataTooLarge { .. } => {
                problem(StatusCode::PAYLOAD_TOO_LARGE, "data-too-large", "The data is too large", detail)
            }
            Error::TooManySessions { .. } => problem(
                StatusCode::CONFLICT,
                "too-many-sessions",
                "The subject has too many sessions",
                detail,
            ),
            Error::Unavailable(_) => unavailable(),
            // `Error` is non-exhaustive; an error that has no response of its own is an internal one.
            _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", None),
        },
    }
}

fn bad_request(detail: Option<String>) -> Response<Body> {
    problem(StatusCode::BAD_REQUEST, "bad-request", "The request is malformed", detail)
}

fn session_changed(detail: Option<String>) -> Response<Body> {
    problem(StatusCode::PRECONDITION_FAILED, "session-changed", "The session has changed", detail)
}

/// The same bytes for every reason why there is no session. The cookie stays: by now it may be that of a renewal which ran
/// at the same time.
fn no_such_session() -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "no-such-session", "There is no such session", None)
}

fn unavailable() -> Response<Body> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let mut response = problem(status, "unavailable", "The service is temporarily unavailable", None);
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

fn problem(status: StatusCode, name: &str, title: &str, detail: Option<String>) -> Response<Body> {
    let r#type = format!("urn:problem-type:dynamodb-web-session:{name}");
    let problem = Problem { r#type: &r#type, title, status: status.as_u16(), detail };
    json(status, "application/problem+json", &problem)
}

/// Adds the headers that every response carries.
pub(crate) fn with_common_headers(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Texts, numbers, and data that was read from JSON can always be written as JSON.
fn json(status: StatusCode, content_type: &'static str, document: &impl Serialize) -> Response<Body> {
    let mut response = empty(status);
    *response.body_mut() = Body::Text(serde_json::to_string(document).unwrap_or_default());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// Session IDs, entity tags and our constants are always header values.
fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
