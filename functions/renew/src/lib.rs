//! `POST /session/renew`: gives a session a new ID.

use std::convert::Infallible;

use dynamodb_web_session::http::{self, Failure};
use dynamodb_web_session::{Error, SessionManager};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;

/// Answers `200` with the session and its new ID, or `404` when it is dead, was never issued, or was renewed already.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    let result = renew(sessions, &request).await;
    Ok(http::answer(&request, result, sessions.config().id_transport))
}

async fn renew(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let transport = sessions.config().id_transport;
    let id = http::session_id(request, transport).ok_or(Error::NotFound)?;
    let session = sessions.renew::<Box<RawValue>>(&id).await?.ok_or(Error::NotFound)?;
    http::issued(StatusCode::OK, &session, transport)
}
