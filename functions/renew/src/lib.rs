//! `POST /session/renew`: gives a session a new ID.

use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;
use service::{Failure, SessionService, request, response};

/// Responds with `200`, the session and its new ID, `412` when a precondition does not hold, or `404` when the session is
/// dead, was never issued, or was renewed already.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, renew).await
}

async fn renew(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let SessionService { sessions, settings } = service;
    request::no_body(request, settings)?;
    let preconditions = request::preconditions(request)?;
    let id = request::session_id(request, settings)?;
    let session = sessions.renew_if::<Box<RawValue>>(&id, &preconditions).await?.ok_or(Failure::NoSession)?;
    Ok(response::issued(StatusCode::OK, &session, settings))
}
