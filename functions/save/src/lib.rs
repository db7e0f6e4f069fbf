//! `PUT /session`: saves a session's data, its timeouts, or both.

use std::convert::Infallible;

use dynamodb_web_session::http::{self, Failure};
use dynamodb_web_session::{SessionManager, Update};
use lambda_http::{Body, Request, Response};

/// Answers `204`, `412` when `If-Match` does not hold, or `404` when the session is dead or was never issued.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(http::answer(sessions, &request, save).await)
}

async fn save(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let config = sessions.config();
    let body = http::session_body(request, config)?;
    if body.is_empty() {
        return Err(Failure::BadRequest("a save needs `data`, a timeout, or both"));
    }
    let update = Update {
        data: body.data,
        idle_timeout_seconds: body.idle_timeout_seconds,
        absolute_timeout_seconds: body.absolute_timeout_seconds,
        if_match: http::if_match(request)?,
    };
    let Some(id) = http::session_id(request, config) else {
        // What is wrong with the update is said first, as it is to those who send an ID that was never issued.
        sessions.check(&update)?;
        return Err(Failure::NoSession);
    };
    http::saved(&sessions.update(&id, update).await?)
}
