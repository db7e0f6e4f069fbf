//! `PUT /session`: saves a session's data, its timeouts, its label or its context.

use dynamodb_web_session::{SubjectChange, Update};
use lambda_http::http::Method;
use lambda_http::{Body, Request, Response};
use service::{Failure, SessionService, request, response};

/// Responds with `204`, `412` when a precondition does not hold, or `404` when the session is dead or was never issued.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, Method::PUT, save).await
}

async fn save(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let SessionService { sessions, settings } = service;
    let body = request::session_body(request, settings)?;
    if body.subject.is_some() {
        return Err(Failure::BadRequest("a save cannot change the subject; a login can"));
    }
    if body.data.is_none() && !body.has_timeouts() && body.device.is_empty() {
        return Err(Failure::BadRequest("a save needs `data`, a timeout, `label` or `context`"));
    }
    let update = Update {
        data: body.data,
        idle_timeout_seconds: body.idle_timeout_seconds,
        absolute_timeout_seconds: body.absolute_timeout_seconds,
        subject: SubjectChange::Keep,
        device: body.device,
        preconditions: request::preconditions(request)?,
    };
    let id = match request::session_id(request.headers(), settings) {
        Ok(id) => id,
        // A bad update comes first, as it does for an ID that was never issued: the two must not differ.
        Err(no_id) => return Err(sessions.validate(update).err().map_or(no_id, Failure::Invalid)),
    };
    Ok(response::saved(&sessions.update(&id, update).await?))
}
