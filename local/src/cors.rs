//! What API Gateway does for pages of other origins ("Configure CORS for HTTP APIs"): it answers the browsers' preflight
//! requests, and adds headers to the functions' answers.

use dynamodb_web_session::Origin;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};

use crate::template::Cors;

impl Cors {
    /// The answer to a preflight request, where this is one and pages of any other origins may call.
    pub(crate) fn preflight(&self, head: &Parts, allowed: &[Origin]) -> Option<Response<Full<Bytes>>> {
        let is_preflight =
            head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || allowed.is_empty() {
            return None;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.add(&head.headers, allowed, response.headers_mut()) {
            let headers = response.headers_mut();
            set(headers, ACCESS_CONTROL_ALLOW_METHODS, &self.allow_methods.join(","));
            set(headers, ACCESS_CONTROL_ALLOW_HEADERS, &self.allow_headers.join(","));
            set(headers, ACCESS_CONTROL_MAX_AGE, &self.max_age.to_string());
        }
        Some(response)
    }

    /// Lets the page that sent `request` read the answer, if its origin is allowed.
    pub(crate) fn add(&self, request: &HeaderMap, allowed: &[Origin], answer: &mut HeaderMap) -> bool {
        let origin = request.get(ORIGIN);
        let origin =
            origin.filter(|o| allowed.iter().any(|allowed| allowed.as_str().as_bytes() == o.as_bytes()));
        if let Some(origin) = origin {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            answer.insert(VARY, HeaderValue::from_static("origin"));
            set(answer, ACCESS_CONTROL_ALLOW_CREDENTIALS, &self.allow_credentials.to_string());
            set(answer, ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose_headers.join(","));
        }
        origin.is_some()
    }
}

/// The template is ours: what stands in it can stand in a header.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
