//! `POST /session/revoke`: ends the sessions of a subject, one of them by its name, or one session by its loggable ID.

use lambda_http::http::Method;
use lambda_http::{Body, Request, Response};
use service::request::{self, Revocation};
use service::{Failure, SessionService, response};

/// Responds with `204`, also if there was no such session.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer_signed(service, &request, Method::POST, revoke).await
}

async fn revoke(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    match request::revocation(request)? {
        Revocation::Subject(subject, except) => {
            service.sessions.revoke_all(&subject, except.as_ref()).await?;
        }
        Revocation::Named(subject, name) => {
            service.sessions.revoke_named(&subject, &name).await?;
        }
        Revocation::Session(id) => {
            service.sessions.revoke(&id).await?;
        }
    }
    Ok(response::revoked())
}
