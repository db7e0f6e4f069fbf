//! `GET /session`: loads a session.

use std::convert::Infallible;

use dynamodb_web_session::SessionManager;
use dynamodb_web_session::http::{self, Failure};
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;

/// Answers `200` with the session, or `404` when it is dead or was never issued.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(http::answer(sessions, &request, load).await)
}

async fn load(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let id = http::session_id(request, sessions.config()).ok_or(Failure::NoSession)?;
    let session = sessions.load::<Box<RawValue>>(&id).await?.ok_or(Failure::NoSession)?;
    http::loaded(&session)
}
