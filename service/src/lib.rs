//! The HTTP service: what turns API Gateway's events into calls of the session crate, and their results into responses.
//!
//! A request passes from [`run`] to a function's handler, which reads it ([`request`]), calls the session crate, and
//! makes the response ([`response`]) within [`answer`].

pub mod authorizer;
mod cookie;
mod cross_site;
mod failure;
pub mod log;
mod metrics;
pub mod request;
pub mod response;
mod settings;

use std::convert::Infallible;
use std::fmt;

use dynamodb_web_session::{BoxError, Config, ConfigError, Error, SessionManager, lambda_client};
use lambda_http::http::Method;
use lambda_http::http::header::HOST;
use lambda_http::request::LambdaRequest;
use lambda_http::tower::ServiceBuilder;
use lambda_http::{Adapter, Body, LambdaEvent, Request, Response, lambda_runtime, service_fn};

use authorizer::{Answer, AuthorizerEvent};
pub use cross_site::refuse_cross_site_access;
pub use failure::Failure;
pub use settings::{AllowedOrigin, IdTransport, MalformedOrigin, SameSite, Settings};

/// Sessions, and how they are served over HTTP.
#[derive(Clone, Debug)]
pub struct SessionService {
    /// The sessions.
    pub sessions: SessionManager,
    /// How they are served.
    pub settings: Settings,
}

/// Starts a function: its log, and the sessions that its environment describes.
///
/// # Errors
/// The first setting that is not accepted.
pub fn start() -> Result<SessionService, ConfigError> {
    let config = Config::from_env()?;
    let settings = Settings::from_env()?;
    log::init(&config.table_name, settings.log_level);
    Ok(SessionService { sessions: SessionManager::new(lambda_client()?, config)?, settings })
}

/// Serves API Gateway's events with `handle`.
///
/// # Errors
/// When Lambda's Runtime API is unreachable.
pub async fn run<R>(handle: impl Fn(Request) -> R) -> Result<(), lambda_http::Error>
where
    R: Future<Output = Response<Body>> + Send,
{
    let handle = service_fn(|request| {
        // In a box, because a future of this size is expensive to move, and the layers above move it several times.
        let response = Box::pin(handle(request));
        async move { Ok::<_, Infallible>(response.await) }
    });
    let service = ServiceBuilder::new().map_request(without_url).layer_fn(Adapter::from).service(handle);
    lambda_runtime::run(service).await
}

/// Serves API Gateway's requests for authorization with `handle`. Its error is an error of the function: the caller of the
/// protected API gets a `500`.
///
/// # Errors
/// When Lambda's Runtime API is unreachable.
pub async fn run_authorizer<R>(
    handle: impl Fn(LambdaEvent<AuthorizerEvent>) -> R,
) -> Result<(), lambda_http::Error>
where
    R: Future<Output = Result<Answer, Error>>,
{
    let handle = service_fn(|event| {
        let authorization = Box::pin(handle(event));
        async move { authorization.await.map_err(|error| BoxError::from(Reported(error))) }
    });
    lambda_runtime::run(handle).await
}

/// The error of a call, which has reported itself. lambda_runtime logs the `Debug` text of an error; [`log`] drops this one.
#[derive(thiserror::Error)]
#[error("{0}")]
struct Reported(Error);

impl fmt::Debug for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(log::REPORTED)
    }
}

/// Removes path, query and host from an event: lambda_http panics if they are not a valid URL, as with a `<` in the
/// query. No function needs the URL.
pub fn without_url(mut event: LambdaEvent<LambdaRequest>) -> LambdaEvent<LambdaRequest> {
    if let LambdaRequest::ApiGatewayV2(request) = &mut event.payload {
        request.raw_path = Some("/".to_owned());
        request.raw_query_string = None;
        request.request_context.stage = None;
        request.request_context.domain_name = None;
        request.headers.remove(HOST);
    }
    event
}

/// Handles a request of this method: refuses others and cross-site requests, makes the response of a failure, and adds the headers that every
/// response carries.
pub async fn answer(
    service: &SessionService,
    request: &Request,
    method: Method,
    handle: impl AsyncFnOnce(&SessionService, &Request) -> Result<Response<Body>, Failure>,
) -> Response<Body> {
    answer_signed(service, request, method, async |service: &SessionService, request: &Request| {
        cross_site::refuse_cross_site(request, &service.settings)?;
        handle(service, request).await
    })
    .await
}

/// As [`answer`], for a route that accepts signed calls only. A page of another site cannot sign.
pub async fn answer_signed(
    service: &SessionService,
    request: &Request,
    method: Method,
    handle: impl AsyncFnOnce(&SessionService, &Request) -> Result<Response<Body>, Failure>,
) -> Response<Body> {
    log::name_request(request, async {
        // The routes name the method too, but a function can be reached without them: by a function URL, for example.
        let result = match *request.method() == method {
            true => handle(service, request).await,
            false => Err(Failure::MethodNotAllowed(method)),
        };
        response::with_common_headers(result.unwrap_or_else(|failure| {
            failure.report();
            response::refusal(&failure)
        }))
    })
    .await
}
