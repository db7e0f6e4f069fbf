//! CORS as API Gateway does it ("Configure CORS for HTTP APIs"): responses to preflight requests, and headers on the
//! functions' responses.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use service::Settings;

use crate::template::Cors;

impl Cors {
    /// The response to a preflight request. `None`: the request is not one, or no origin is allowed.
    pub(crate) fn preflight(&self, head: &Parts, settings: &Settings) -> Option<Response<Full<Bytes>>> {
        let is_preflight =
            head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight || settings.allowed_origins.is_empty() {
            return None;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        if self.add(&head.headers, settings, response.headers_mut()) {
            let headers = response.headers_mut();
            set(headers, ACCESS_CONTROL_ALLOW_METHODS, &self.allow_methods.join(","));
            set(headers, ACCESS_CONTROL_ALLOW_HEADERS, &self.allow_headers.join(","));
            set(headers, ACCESS_CONTROL_MAX_AGE, &self.max_age.to_string());
        }
        Some(response)
    }

    /// Lets the page that sent `request` read the response, if its origin is allowed.
    pub(crate) fn add(&self, request: &HeaderMap, settings: &Settings, response: &mut HeaderMap) -> bool {
        let origin = request.get(ORIGIN).filter(|origin| settings.allows_origin(origin.as_bytes()));
        if let Some(origin) = origin {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            response.insert(VARY, HeaderValue::from_static("origin"));
            set(response, ACCESS_CONTROL_ALLOW_CREDENTIALS, &self.allow_credentials.to_string());
            set(response, ACCESS_CONTROL_EXPOSE_HEADERS, &self.expose_headers.join(","));
        }
        origin.is_some()
    }
}

/// The values come from the template, and are valid header values there.
fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
