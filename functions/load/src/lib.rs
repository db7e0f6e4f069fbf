//! `GET /session`: loads a session.

use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;
use service::{Failure, SessionService, request, response};

/// Responds with `200` and the session, or `404` when it is dead or was never issued.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, load).await
}

async fn load(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let id = request::session_id(request, &service.settings)?;
    let session = service.sessions.load::<Box<RawValue>>(&id).await?.ok_or(Failure::NoSession)?;
    Ok(response::loaded(&session))
}
