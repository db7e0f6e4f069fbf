//! `POST /session`: creates a session.

use std::convert::Infallible;

use dynamodb_web_session::http::{self, Failure};
use dynamodb_web_session::{SessionManager, Timeouts};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::Map;

/// Answers `201` with a new session, whatever session the request may name already.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    let result = create(sessions, &request).await;
    Ok(http::answer(&request, result, sessions.config().id_transport))
}

async fn create(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let config = sessions.config();
    let body = http::session_body(request, config.id_transport)?;
    let timeouts = Timeouts {
        idle_seconds: body.idle_timeout_seconds.unwrap_or(config.timeouts.idle_seconds),
        absolute_seconds: body.absolute_timeout_seconds.unwrap_or(config.timeouts.absolute_seconds),
    };
    let (status, transport) = (StatusCode::CREATED, config.id_transport);
    match body.data {
        Some(data) => http::issued(status, &sessions.create_with(data, timeouts).await?, transport),
        None => http::issued(status, &sessions.create_with(Map::new(), timeouts).await?, transport),
    }
}
