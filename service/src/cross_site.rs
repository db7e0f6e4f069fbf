//! Cross-site rules, where the callers are browsers: which pages may have sent a request (W3C, "Fetch Metadata Request
//! Headers"; Fetch Standard, "Origin header").

use lambda_http::Request;
use lambda_http::http::Method;
use lambda_http::http::header::{HeaderMap, HeaderName, ORIGIN};

use crate::failure::Failure;
use crate::request::is_json;
use crate::settings::Settings;

/// Fetch Metadata Request Headers (W3C). A page cannot set it or leave it out.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Refuses, in cookie transport, what a page of another origin may have sent: a browser adds the cookie to each request,
/// whichever page makes it.
///
/// # Errors
/// [`Failure::CrossSite`]; and [`Failure::NotJson`] for a body of another type, since a page of another origin can send
/// such a body without a preflight (Fetch Standard, "CORS-safelisted request-header").
pub(crate) fn refuse_cross_site(request: &Request, settings: &Settings) -> Result<(), Failure> {
    if !settings.is_cookie_transport() {
        return Ok(());
    }
    refuse_other_origins(request.method(), request.headers(), settings)?;
    if !request.body().is_empty() && !request.method().is_safe() && !is_json(request.headers()) {
        return Err(Failure::NotJson);
    }
    Ok(())
}

/// Refuses, in cookie transport, what a page of another origin may have sent to an API that the authorizer protects.
///
/// A navigation passes: a user who follows a link from another site to a page of that API sees it. Whether the browser
/// sends the cookie with it is what `SESSION_COOKIE_SAME_SITE` says. A frame in a page of another site is no navigation here
/// (W3C, "Fetch Metadata Request Headers", section 5).
///
/// # Errors
/// [`Failure::CrossSite`].
pub fn refuse_cross_site_access(
    method: &Method,
    headers: &HeaderMap,
    settings: &Settings,
) -> Result<(), Failure> {
    if !settings.is_cookie_transport() || is_navigation(method, headers) {
        return Ok(());
    }
    refuse_other_origins(method, headers, settings)
}

fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name, value: &str| headers.get(name).is_some_and(|given| given == value);
    method.is_safe() && is(SEC_FETCH_MODE, "navigate") && is(SEC_FETCH_DEST, "document")
}

/// Refuses what a page of an origin that is not allowed may have sent.
///
/// A load is refused too, since it slides the session's deadline. Without `Sec-Fetch-Site` and `Origin` a load passes:
/// browsers from before 2023 send neither with a load of their own origin (ADR 7). Other calls must name an allowed origin
/// (OWASP Cross-Site Request Forgery Prevention Cheat Sheet, "Fetch Metadata headers").
fn refuse_other_origins(method: &Method, headers: &HeaderMap, settings: &Settings) -> Result<(), Failure> {
    const OTHER_ORIGIN: Failure = Failure::CrossSite(
        "the page that sent this is of another origin, and SESSION_ALLOWED_ORIGINS does not name it",
    );
    const NO_ORIGIN: Failure = Failure::CrossSite(
        "the header Sec-Fetch-Site is missing, and Origin names no allowed origin: browsers send \
         `sec-fetch-site: same-origin` from a page of the service's own origin, and other clients must too",
    );
    let origin = headers.get(ORIGIN);
    let is_allowed = origin.is_some_and(|origin| settings.allows_origin(origin.as_bytes()));
    if is_allowed {
        return Ok(());
    }
    let is_safe = method.is_safe();
    match headers.get(SEC_FETCH_SITE).map(|value| value.as_bytes()) {
        Some(b"same-origin") => Ok(()),
        Some(b"none") if is_safe => Ok(()), // the user's own action, such as a bookmark
        None if is_safe && origin.is_none() => Ok(()),
        None if origin.is_none() => Err(NO_ORIGIN),
        _ => Err(OTHER_ORIGIN),
    }
}
