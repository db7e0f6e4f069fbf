//! `POST /session/renew`: gives a session a new ID; with a subject, logs a user in.

use dynamodb_web_session::{LogIn, Renewal, SessionId, Subject};
use lambda_http::http::{Method, StatusCode};
use lambda_http::{Body, Request, Response};
use serde_json::value::RawValue;
use service::request::SessionBody;
use service::{Failure, SessionService, request, response};

/// Responds with `200`, the session and its new ID. A login whose session has ended, or that has none, gets `201` and a new
/// session; a renewal `404`. `409`: the subject has its maximum of sessions; `412`: a precondition does not hold; `429`: the
/// session is renewed too often.
pub async fn handle(service: &SessionService, request: Request) -> Response<Body> {
    service::answer(service, &request, Method::POST, renew).await
}

async fn renew(service: &SessionService, request: &Request) -> Result<Response<Body>, Failure> {
    let mut body = request::session_body(request, &service.settings)?;
    match body.subject.take() {
        Some(subject) => log_in(service, request, subject, body).await,
        None => renew_id(service, request, body).await,
    }
}

async fn renew_id(
    service: &SessionService,
    request: &Request,
    body: SessionBody<'_>,
) -> Result<Response<Body>, Failure> {
    let SessionService { sessions, settings } = service;
    if body.has_timeouts() || !body.device.is_empty() {
        return Err(Failure::BadRequest(
            "a renewal takes `data` only; with `subject`, it takes timeouts, `label` and `context` too",
        ));
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
    let renewal = Renewal { data: body.data.map(RawValue::to_owned), preconditions };
    let session = sessions.renew_with(&id, renewal).await?.ok_or(Failure::NoSession)?;
    Ok(response::issued(StatusCode::OK, &session, settings))
}

async fn log_in(
    service: &SessionService,
    request: &Request,
    subject: Subject,
    body: SessionBody<'_>,
) -> Result<Response<Body>, Failure> {
    let SessionService { sessions, settings } = service;
    // Without an ID, or with one that is malformed, the user gets a new session.
    let id: Option<SessionId> = request::session_id(request.headers(), settings).ok();
    let options = LogIn {
        data: body.data.map(RawValue::to_owned),
        data_if_new: None,
        idle_timeout_seconds: body.idle_timeout_seconds,
        absolute_timeout_seconds: body.absolute_timeout_seconds,
        absolute_deadline: None,
        device: body.device,
        preconditions: request::preconditions(request)?,
    };
    let logged_in = sessions.log_in(&id, subject, options).await?;
    let status = if logged_in.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(response::issued(status, &logged_in.session, settings))
}
