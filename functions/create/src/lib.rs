//! `POST /session`: creates a session.

use std::convert::Infallible;

use dynamodb_web_session::http::{self, Failure};
use dynamodb_web_session::{SessionManager, Timeouts};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::Map;

const CREATED: StatusCode = StatusCode::CREATED;

/// Answers `201` with a new session, whatever session the request may name already.
///
/// # Errors
/// None: a failure is an answer too.
pub async fn handle(sessions: &SessionManager, request: Request) -> Result<Response<Body>, Infallible> {
    Ok(http::answer(sessions, &request, create).await)
}

async fn create(sessions: &SessionManager, request: &Request) -> Result<Response<Body>, Failure> {
    let config = sessions.config();
    let body = http::session_body(request, config)?;
    let timeouts = Timeouts {
        idle_seconds: body.idle_timeout_seconds.unwrap_or(config.timeouts.idle_seconds),
        absolute_seconds: body.absolute_timeout_seconds.unwrap_or(config.timeouts.absolute_seconds),
    };
    match body.data {
        Some(data) => http::issued(CREATED, &sessions.create_with(data, timeouts).await?, config),
        None => http::issued(CREATED, &sessions.create_with(Map::new(), timeouts).await?, config),
    }
}
