//! An emulator of an API Gateway HTTP API: HTTP in, a payload-2.0 event through `lambda_http`'s adapter, HTTP out.
//!
//! It converts requests as AWS documents ("Working with AWS Lambda proxy integrations for HTTP APIs"), but requires no
//! AWS signature.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use dynamodb_web_session::BoxError;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Context, LambdaEvent, Service};
use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use serde::Deserialize;
use serde_json::{Value, json};
use service::SessionService;
use service::authorizer::AuthorizerEvent;

use crate::event::{FunctionResponse, event};
use crate::page::Page;
use crate::protected::{ProtectedApi, ProtectedRoute};
use crate::template::{Cors, Template};

/// Lambda accepts events of 6 MB. API Gateway responds with 413 to a request that makes a larger one ("Lambda quotas").
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;
/// API Gateway's limit on the request line and the headers together ("Quotas for HTTP APIs").
pub(crate) const MAX_HEAD_BYTES: usize = 10_240;
/// The header in which API Gateway returns the ID of the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");

/// API Gateway gives a request 30 seconds; a client that takes longer to send its headers is not served.
pub(crate) const MAX_SECONDS: Duration = Duration::from_secs(30);

type Answer<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;
type Handler = for<'a> fn(&'a SessionService, lambda_http::Request) -> Answer<'a>;

/// The handler of a function of the template.
fn handler(function: &str) -> Option<Handler> {
    Some(match function {
        "CreateFunction" => |service, request| Box::pin(create::handle(service, request)),
        "LoadFunction" => |service, request| Box::pin(load::handle(service, request)),
        "RenewFunction" => |service, request| Box::pin(renew::handle(service, request)),
        "SaveFunction" => |service, request| Box::pin(save::handle(service, request)),
        "ClearFunction" => |service, request| Box::pin(clear::handle(service, request)),
        "ListFunction" => |service, request| Box::pin(list::handle(service, request)),
        "RevokeFunction" => |service, request| Box::pin(revoke::handle(service, request)),
        _ => return None,
    })
}

/// The API: its routes, and the service behind them.
pub struct Gateway {
    handlers: HashMap<(Method, String), Handler>,
    service: SessionService,
    cors: Cors,
    page: Option<Page>,
    protected: Option<ProtectedApi>,
}

impl Gateway {
    /// Assigns the handlers to the template's routes. In cookie transport the callers are browsers, which do not sign, so the
    /// routes for signed calls do not exist.
    ///
    /// # Errors
    /// When the template names a function that has no handler here.
    pub fn new(template: Template, service: SessionService) -> Result<Self, BoxError> {
        let mut handlers = HashMap::new();
        let is_signed = !service.settings.is_cookie_transport();
        for route in template.routes.iter().filter(|route| is_signed || !route.is_for_signed_calls) {
            let handler = handler(&route.function)
                .ok_or_else(|| format!("template.yaml routes to {}, which has no handler", route.function))?;
            handlers.insert((route.method.parse()?, route.path.clone()), handler);
        }
        Ok(Self { handlers, service, cors: template.cors, page: None, protected: None })
    }

    /// Serves a page in addition to the API.
    #[must_use]
    pub fn with_page(self, page: Page) -> Self {
        Self { page: Some(page), ..self }
    }

    /// Serves the routes of another API in addition, which the authorizer protects.
    #[must_use]
    pub fn with_protected(self, protected: Option<ProtectedApi>) -> Self {
        Self { protected, ..self }
    }

    pub(crate) async fn answer_local(
        &self,
        head: &Parts,
        body: Incoming,
        address: SocketAddr,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let settings = &self.service.settings;
        if let Some(preflight) = self.cors.preflight(head, settings) {
            return preflight;
        }
        if let (&Method::GET, Some(page)) = (&head.method, &self.page)
            && is_same_origin(&head.headers)
            && let Some(response) = page.answer(head.uri.path()).await
        {
            return response;
        }
        let Ok(id) = request_id() else {
            return message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        };
        let mut response = self.route(head, body, &id, address, peer).await;
        let headers = response.headers_mut();
        self.cors.add(&head.headers, settings, headers);
        if let Ok(id) = id.parse() {
            headers.insert(REQUEST_ID, id);
        }
        response
    }

    async fn route(
        &self,
        head: &Parts,
        body: Incoming,
        id: &str,
        address: SocketAddr,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let (method, path) = (&head.method, head.uri.path());
        let handler = self.handlers.get(&(method.clone(), path.to_owned()));
        let protected = self.protected.as_ref().and_then(|api| api.route(method, path));
        if handler.is_none() && protected.is_none() {
            return message(StatusCode::NOT_FOUND, "Not Found");
        }
        if head_bytes(head) > MAX_HEAD_BYTES {
            return message(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large");
        }
        let body = match tokio::time::timeout(MAX_SECONDS, Limited::new(body, MAX_BODY_BYTES).collect()).await
        {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
            }
            Ok(Err(_)) => return message(StatusCode::BAD_REQUEST, "Bad Request"),
            Err(_) => return message(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        };
        let event = event(head, &body, id, address, peer);
        // API Gateway turns any failure from here on into an internal server error.
        let response = match (handler, protected) {
            (Some(handler), _) => self.invoke(*handler, &event.to_string(), id).await,
            (None, Some(route)) => self.invoke_protected(route, event, id).await,
            (None, None) => return message(StatusCode::NOT_FOUND, "Not Found"),
        };
        response.unwrap_or_else(|error| {
            eprintln!("the function failed: {error}");
            message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
        })
    }

    /// Invokes the authorizer, and then the function behind it (API Gateway Developer Guide, "Control access to HTTP APIs with
    /// AWS Lambda authorizers").
    async fn invoke_protected(
        &self,
        route: &ProtectedRoute,
        mut event: Value,
        id: &str,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        if let Some(identity_headers) = &route.identity_headers {
            let identity = |header: &String| match header.as_str() {
                "cookie" => event["cookies"].as_array().map(|_| "cookie"),
                _ => event["headers"][header].as_str().filter(|value| !value.is_empty()),
            };
            if !identity_headers.iter().all(|header| identity(header).is_some()) {
                return Ok(message(StatusCode::UNAUTHORIZED, "Unauthorized"));
            }
            let mut context = Context::default();
            id.clone_into(&mut context.request_id);
            let request = LambdaEvent::new(AuthorizerEvent::deserialize(&event)?, context);
            let authorization = serde_json::to_value(authorize::handle(&self.service, request).await?)?;
            if authorization["isAuthorized"] != true {
                return Ok(message(StatusCode::FORBIDDEN, "Forbidden"));
            }
            event["requestContext"]["authorizer"] = json!({ "lambda": authorization["context"] });
        }
        FunctionResponse::parse(&route.invoke(&event).await?.to_string())
    }

    async fn invoke(
        &self,
        handler: Handler,
        event: &str,
        id: &str,
    ) -> Result<Response<Full<Bytes>>, BoxError> {
        let request: LambdaRequest = serde_json::from_str(event)?;
        let service = &self.service;
        let mut function = Adapter::from(lambda_http::service_fn(move |request| {
            let response = handler(service, request);
            async move { Ok::<_, Infallible>(response.await) }
        }));
        let mut context = Context::default();
        id.clone_into(&mut context.request_id);
        let response = function.call(service::without_url(LambdaEvent::new(request, context))).await?;
        FunctionResponse::parse(&serde_json::to_string(&response)?)
    }
}

/// Whether no page of another origin has sent the request.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    headers.get(ORIGIN).is_none_or(|origin| origin.as_bytes() == format!("http://{host}").as_bytes())
}

/// Random, so that a page that guesses IDs cannot find a log line.
fn request_id() -> Result<String, SysError> {
    let mut random = [0; 16];
    SysRng.try_fill_bytes(&mut random)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random))
}

fn head_bytes(head: &Parts) -> usize {
    let line = head.method.as_str().len() + head.uri.to_string().len() + "  HTTP/1.1\r\n".len();
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>()
}

/// A response of the gateway itself.
pub(crate) fn message(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json!({ "message": text }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
