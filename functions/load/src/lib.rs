//! `GET /session`: loads a session.

use std::convert::Infallible;

use dynamodb_web_session::http::{self, Failure};
use dynamodb_web_session::{Error, SessionManager};
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;

/// Answers `200` with the session, or `404` when it is dead or was never issued.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    let result = load(sessions, &request).await;
    Ok(http::answer(&request, result, sessions.config().id_transport))
}

async fn load(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let id = http::session_id(request, sessions.config().id_transport).ok_or(Error::NotFound)?;
    let session = sessions.load::<Box<RawValue>>(&id).await?.ok_or(Error::NotFound)?;
    http::loaded(&session)
}
