//! `POST /session/renew`: gives a session a new ID, and at a login its subject and data.

use dynamodb_web_session::Renewal;
use lambda_http::http::StatusCode;
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;
use service::{Failure, SessionService, request, response};

/// Responds with `200`, the session and its new ID, `409` when its subject has too many sessions, `412` when a precondition does not hold, or `404` when the session is
/// dead, was never issued, or was renewed already.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, renew).await
}

async fn renew(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let SessionService { sessions, settings } = service;
    let body = request::session_body(request, settings)?;
    if body.has_timeouts() {
        return Err(Failure::BadRequest("a renewal takes `subject` and `data` only"));
    }
    let preconditions = request::preconditions(request)?;
    let id = match request::session_id(request.headers(), settings) {
        Ok(id) => id,
        // Bad data comes first, as it does for an ID that was never issued: the two must not differ.
        Err(no_id) => {
            let refused = body.data.and_then(|data| sessions.validate_data(&data).err());
            return Err(refused.map_or(no_id, Failure::Invalid));
        }
    };
    let renewal = Renewal { data: body.data.map(RawValue::to_owned), subject: body.subject, preconditions };
    let session = sessions.renew_with(&id, renewal).await?.ok_or(Failure::NoSession)?;
    Ok(response::issued(StatusCode::OK, &session, settings))
}
