//! `POST /session`: creates a session.

use dynamodb_web_session::{CreateOptions, Timeouts};
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::Map;
use service::{Failure, SessionService, request, response};

const CREATED: StatusCode = StatusCode::CREATED;

/// Responds with `201` and a new session, whichever session the request may name already.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, create).await
}

async fn create(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let SessionService { sessions, settings } = service;
    let body = request::session_body(request, settings)?;
    let default = sessions.config().default_timeouts();
    let timeouts = Timeouts {
        idle_seconds: body.idle_timeout_seconds.unwrap_or(default.idle_seconds),
        absolute_seconds: body.absolute_timeout_seconds.unwrap_or(default.absolute_seconds),
    };
    let options =
        CreateOptions { timeouts: Some(timeouts), subject: body.subject, ..CreateOptions::default() };
    Ok(match body.data {
        Some(data) => response::issued(CREATED, &sessions.create_with(data, options).await?, settings),
        None => response::issued(CREATED, &sessions.create_with(Map::new(), options).await?, settings),
    })
}
