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
    let result = clear(sessions, &request).await;
    Ok(http::answer(&request, result, sessions.config().id_transport))
}

async fn clear(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let transport = sessions.config().id_transport;
    if let Some(id) = http::session_id(request, transport) {
        sessions.clear(&id).await?;
    }
    Ok(http::cleared(transport))
}
