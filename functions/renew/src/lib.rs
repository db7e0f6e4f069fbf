//! `POST /session/renew`: gives a session a new ID.

use std::convert::Infallible;

use dynamodb_web_session::SessionManager;
use dynamodb_web_session::http::{self, Failure};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;

/// Answers `200` with the session and its new ID, or `404` when it is dead, was never issued, or was renewed already.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(http::answer(sessions, &request, renew).await)
}

async fn renew(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let config = sessions.config();
    let id = http::session_id(request, config).ok_or(Failure::NoSession)?;
    let session = sessions.renew::<Box<RawValue>>(&id).await?.ok_or(Failure::NoSession)?;
    http::issued(StatusCode::OK, &session, config)
}
