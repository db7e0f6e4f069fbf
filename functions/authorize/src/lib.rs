//! A Lambda authorizer: lets requests with a session pass to any other API.

use dynamodb_web_session::Error;
use lambda_http::LambdaEvent;
use serde_json::value::RawValue;
use service::authorizer::{Answer, Authorization, AuthorizerEvent};
use service::{SessionService, log, refuse_cross_site_access, request};

/// Authorizes a request that has a live session, which counts as a use of it, and passes the session on.
///
/// # Errors
/// The table failed. API Gateway responds with `500`, and not with the `403` of a request without a session.
pub async fn handle(service: &SessionService, event: LambdaEvent<AuthorizerEvent>) -> Result<Answer, Error> {
    let authorization = log::name_authorization(&event, authorize(service, &event.payload)).await?;
    Ok(event.payload.answer(authorization))
}

async fn authorize(service: &SessionService, event: &AuthorizerEvent) -> Result<Authorization, Error> {
    let SessionService { sessions, settings } = service;
    let headers = event.headers();
    if event.is_preflight(&headers) {
        return Ok(Authorization::without_session(true));
    }
    if let Err(failure) = refuse_cross_site_access(&event.method(), &headers, settings) {
        failure.report();
        return Ok(Authorization::without_session(false));
    }
    let loaded = match request::session_id(&headers, settings) {
        Ok(id) => sessions.load::<Box<RawValue>>(&id).await?,
        Err(failure) => {
            failure.report();
            None
        }
    };
    Ok(match loaded {
        Some(session) => Authorization::granted(session, settings.authorizer_max_data_bytes),
        None => Authorization::without_session(settings.authorizer_optional),
    })
}
