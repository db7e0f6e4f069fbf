//! `POST /session`: creates a session.

use dynamodb_web_session::CreateOptions;
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde_json::Map;
use service::{Failure, SessionService, request, response};

const CREATED: StatusCode = StatusCode::CREATED;

/// Responds with `201` and a new session, whichever session the request may name already.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, Method::POST, create).await
}

async fn create(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let SessionService { sessions, settings } = service;
    let body = request::session_body(request, settings)?;
    let options = CreateOptions {
        subject: body.subject,
        idle_timeout_seconds: body.idle_timeout_seconds,
        absolute_timeout_seconds: body.absolute_timeout_seconds,
        device: body.device,
        ..CreateOptions::default()
    };
    Ok(match body.data {
        Some(data) => response::issued(CREATED, &sessions.create_with(data, options).await?, settings),
        None => response::issued(CREATED, &sessions.create_with(Map::new(), options).await?, settings),
    })
}
