//! `DELETE /session`: ends a session.

use std::convert::Infallible;

use dynamodb_web_session::SessionManager;
use dynamodb_web_session::http::{self, Failure};
use lambda_http::{Body, Request, Response};

/// Answers `204`, whether or not there was a session.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(http::answer(sessions, &request, clear).await)
}

async fn clear(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let config = sessions.config();
    if let Some(id) = http::session_id(request, config) {
        sessions.clear(&id).await?;
    }
    http::cleared(config)
}
