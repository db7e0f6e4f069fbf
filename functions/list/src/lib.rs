//! `POST /session/list`: lists the sessions of a subject.

use lambda_http::http::Method;
use lambda_http::{Body, Request, Response};
use service::{Failure, SessionService, request, response};

/// Responds with `200` and the live sessions of the subject, without their IDs.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer_signed(service, &request, Method::POST, list).await
}

async fn list(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let subject = request::listed_subject(request)?;
    Ok(response::listed(&service.sessions.sessions_of(&subject).await?))
}
