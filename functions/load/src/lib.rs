//! `GET /session`: loads a session.

use lambda_http::http::Method;
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;
use service::{Failure, SessionService, request, response};

/// Responds with `200` and the session, `304` when `If-None-Match` has its tag, `412` when `If-Match` has not, or `404` when
/// it is dead or was never issued.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, Method::GET, load).await
}

async fn load(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let preconditions = request::preconditions(request)?;
    let id = request::session_id(request.headers(), &service.settings)?;
    let session = service.sessions.load::<Box<RawValue>>(&id).await?.ok_or(Failure::NoSession)?;
    if !preconditions.is_match(session.etag()) {
        return Err(Failure::PreconditionFailed);
    }
    if !preconditions.is_none_match(session.etag()) {
        return Ok(response::not_modified(session.etag()));
    }
    Ok(response::loaded(&session))
}
