//! `DELETE /session`: ends a session.

use lambda_http::http::Method;
use lambda_http::{Body, Request, Response};
use service::{Failure, SessionService, request, response};

/// Responds with `204`, even if there was no session, or `412` when a precondition does not hold.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, Method::DELETE, clear).await
}

async fn clear(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let preconditions = request::preconditions(request)?;
    match request::session_id(request.headers(), &service.settings) {
        Ok(id) => {
            service.sessions.clear_if(&id, &preconditions).await?;
        }
        // Without an ID there is nothing to clear, and the caller gets the same response.
        Err(failure) => failure.report(),
    }
    Ok(response::cleared(&service.settings))
}
