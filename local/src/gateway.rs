//! An emulator of an API Gateway HTTP API: HTTP in, a payload-2.0 event through `lambda_http`'s adapter, HTTP out.
//!
//! It converts requests as AWS documents ("Working with AWS Lambda proxy integrations for HTTP APIs"), but requires no
//! AWS signature.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use dynamodb_web_session::{BoxError, Clock, SystemClock};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap,
    HeaderName, HeaderValue, ORIGIN, TRANSFER_ENCODING, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use lambda_http::request::LambdaRequest;
use lambda_http::{Adapter, Body, Context, LambdaEvent, Service};
use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use serde::Deserialize;
use serde_json::{Value, json};
use service::SessionService;
use service::authorizer::AuthorizerEvent;
use tokio::net::TcpListener;

use crate::page::Page;
use crate::protected::{ProtectedApi, ProtectedRoute};
use crate::template::{Cors, Template};

/// Lambda accepts events of 6 MB. API Gateway responds with 413 to a request that makes a larger one ("Lambda quotas").
const MAX_BODY_BYTES: usize = 6 * 1024 * 1024;
/// API Gateway's limit on the request line and the headers together ("Quotas for HTTP APIs").
const MAX_HEAD_BYTES: usize = 10_240;
/// API Gateway gives a request 30 seconds; a client that takes longer to send its headers is not served.
const MAX_SECONDS: Duration = Duration::from_secs(30);
const DRAIN_SECONDS: Duration = Duration::from_secs(5);

/// The header in which API Gateway returns the ID of the request.
const REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");

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

    /// Serves until `shutdown` completes. Requests in progress may still finish.
    ///
    /// # Errors
    /// When the listener has no address.
    pub async fn serve(
        self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), std::io::Error> {
        let gateway = Arc::new(self);
        let address = listener.local_addr()?;
        let mut http = http1::Builder::new();
        // hyper limits the head to its buffer. This limit is above ours, so that ours applies first.
        http.timer(TokioTimer::new()).header_read_timeout(MAX_SECONDS).max_buf_size(MAX_HEAD_BYTES * 2);
        let connections = GracefulShutdown::new();
        tokio::pin!(shutdown);
        loop {
            let (stream, peer) = tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Most likely there are no free file descriptors until connections end.
                        eprintln!("cannot accept a connection: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = &mut shutdown => break,
            };
            let gateway = Arc::clone(&gateway);
            let service = service_fn(move |request| {
                let gateway = Arc::clone(&gateway);
                async move { Ok::<_, Infallible>(gateway.answer(request, address, peer).await) }
            });
            let connection = connections.watch(http.serve_connection(TokioIo::new(stream), service));
            // A broken connection affects only its client.
            tokio::spawn(async move { connection.await.ok() });
        }
        tokio::time::timeout(DRAIN_SECONDS, connections.shutdown()).await.ok();
        Ok(())
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        address: SocketAddr,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let mut response = match refuse_foreign(&head.headers, head.version) {
            Some(refusal) => refusal,
            None => self.answer_local(&head, body, address, peer).await,
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }

    async fn answer_local(
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

/// What a function returns to API Gateway.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FunctionResponse {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    cookies: Vec<String>,
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

impl FunctionResponse {
    fn parse(json: &str) -> Result<Response<Full<Bytes>>, BoxError> {
        let answer: Self = serde_json::from_str(json)?;
        let body = answer.body.unwrap_or_default();
        let body = if answer.is_base64_encoded { BASE64_STANDARD.decode(body)? } else { body.into_bytes() };
        let mut response = Response::builder().status(answer.status_code);
        for (name, value) in answer.headers {
            response = response.header(name, value);
        }
        for cookie in answer.cookies {
            response = response.header("set-cookie", cookie);
        }
        Ok(response.body(Full::from(body))?)
    }
}

/// Refuses requests that are not meant for this machine: by DNS rebinding a web page can send requests here under the name
/// of its own host, and read the responses.
pub(crate) fn refuse_foreign(headers: &HeaderMap, version: Version) -> Option<Response<Full<Bytes>>> {
    match headers.get(HOST).map(|host| host.to_str().unwrap_or_default()) {
        None if version == Version::HTTP_11 => Some(message(StatusCode::BAD_REQUEST, "Bad Request")),
        Some(host) if !is_this_machine(host) => Some(message(
            StatusCode::MISDIRECTED_REQUEST,
            "This server answers requests for localhost, 127.0.0.1 and [::1] only",
        )),
        _ if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") => {
            Some(message(StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body must not be encoded"))
        }
        _ => None,
    }
}

/// Whether a `Host` (RFC 9110, section 7.2) names this machine, with any port.
fn is_this_machine(host: &str) -> bool {
    let has_name = |name: &str| {
        let port = host
            .get(..name.len())
            .filter(|start| start.eq_ignore_ascii_case(name))
            .and(host.get(name.len()..));
        port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    };
    ["localhost", "127.0.0.1", "[::1]"].into_iter().any(has_name)
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

/// The payload-2.0 event of a request. An authorizer's has the same parts, without the body.
fn event(head: &Parts, body: &[u8], id: &str, address: SocketAddr, peer: SocketAddr) -> Value {
    let method = head.method.as_str();
    let path = head.uri.path();
    let (body, is_base64_encoded) = encode_body(&head.headers, body);
    let mut event = json!({
        "version": "2.0",
        "routeKey": format!("{method} {path}"),
        "rawPath": path,
        "rawQueryString": head.uri.query().unwrap_or_default(),
        "headers": fold_headers(&head.headers, address, peer),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": address.to_string(),
            "domainPrefix": "local",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": peer.ip().to_string(),
                "userAgent": text(head.headers.get_all("user-agent")),
            },
            "requestId": id,
            "routeKey": format!("{method} {path}"),
            "stage": "$default",
            "timeEpoch": SystemClock.now().epoch_seconds() * 1000,
        },
        "isBase64Encoded": is_base64_encoded,
    });
    let cookies: Vec<_> = head
        .headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| lossy(value.as_bytes()).split("; ").map(str::to_owned).collect::<Vec<_>>())
        .collect();
    if let Some(event) = event.as_object_mut() {
        if !cookies.is_empty() {
            event.insert("cookies".into(), cookies.into());
        }
        if let Some(body) = body {
            event.insert("body".into(), body.into());
        }
    }
    event
}

/// Lower-case names, repeated headers joined with commas, no cookies, and the gateway's own headers in place of the
/// client's.
fn fold_headers(headers: &HeaderMap, address: SocketAddr, peer: SocketAddr) -> BTreeMap<String, String> {
    let mut folded: BTreeMap<_, _> = headers
        .keys()
        .filter(|name| **name != COOKIE && **name != CONNECTION && **name != TRANSFER_ENCODING)
        .map(|name| (name.to_string(), text(headers.get_all(name))))
        .collect();
    folded.insert(HOST.to_string(), address.to_string());
    folded.insert("x-forwarded-for".into(), peer.ip().to_string());
    folded.insert("x-forwarded-port".into(), address.port().to_string());
    folded.insert("x-forwarded-proto".into(), "https".into());
    folded
}

fn text(values: hyper::header::GetAll<'_, HeaderValue>) -> String {
    values.iter().map(|value| lossy(value.as_bytes())).collect::<Vec<_>>().join(",")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A body of a media type that API Gateway treats as text stays text; any other body becomes base64.
fn encode_body(headers: &HeaderMap, body: &[u8]) -> (Option<String>, bool) {
    if body.is_empty() && headers.get(CONTENT_LENGTH).is_none_or(|length| length == "0") {
        return (None, false);
    }
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_text = media_type.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"]
            .iter()
            .any(|known| media_type.starts_with(known));
    match std::str::from_utf8(body) {
        Ok(text) if is_text => (Some(text.to_owned()), false),
        _ => (Some(BASE64_STANDARD.encode(body)), true),
    }
}

fn head_bytes(head: &Parts) -> usize {
    let line = head.method.as_str().len() + head.uri.to_string().len() + "  HTTP/1.1\r\n".len();
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>()
}

/// A response of the gateway itself.
fn message(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(json!({ "message": text }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
