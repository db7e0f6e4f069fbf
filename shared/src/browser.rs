//! What stands between a session and the pages of other sites, where the callers are browsers: the cookie's attributes,
//! and where a request comes from.

use lambda_http::Request;
use lambda_http::http::header::{COOKIE, HeaderMap, HeaderName, ORIGIN};

use crate::config::{Config, Origin, SameSite};
use crate::session::Session;

/// Generic, as OWASP asks ("Session ID Name Fingerprinting"), and bound to one host by its prefix
/// (RFC 6265bis, "The `__Host-` Prefix").
const ID_COOKIE: &str = "__Host-id";

/// Fetch Metadata Request Headers (W3C). No page can set it or leave it out.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The values of the cookies that have our name. The others may hold anything, and are none of our business.
pub(crate) fn id_cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(ID_COOKIE.as_bytes())?.strip_prefix(b"="))
}

/// The `Set-Cookie` that hands a session that was just used to its browser.
pub(crate) fn issue_cookie<T>(session: &Session<T>, config: &Config) -> String {
    let id = session.id().expose();
    match config.cookie_persistent {
        true => format!("{ID_COOKIE}={id}; {}; Max-Age={}", attributes(config), session.rest_seconds()),
        false => format!("{ID_COOKIE}={id}; {}", attributes(config)),
    }
}

/// The `Set-Cookie` that takes it back.
pub(crate) fn expire_cookie(config: &Config) -> String {
    format!("{ID_COOKIE}=; {}; Max-Age=0", attributes(config))
}

fn attributes(config: &Config) -> &'static str {
    match config.cookie_same_site {
        SameSite::Strict => "Path=/; Secure; HttpOnly; SameSite=Strict",
        SameSite::Lax => "Path=/; Secure; HttpOnly; SameSite=Lax",
    }
}

/// Whether a page of another origin may have sent the request, and none of those that are allowed.
///
/// A load is asked too, as it slides the session's deadline. Without the browser's word (old browsers, other clients) a
/// load may pass, since they send no `Origin` with their own, and all others must name an origin that is allowed.
/// (OWASP Cross-Site Request Forgery Prevention Cheat Sheet, "Fetch Metadata headers".)
pub(crate) fn is_cross_site(request: &Request, allowed_origins: &[Origin]) -> bool {
    let headers = request.headers();
    let origin = headers.get(ORIGIN);
    let is_allowed = origin.is_some_and(|origin| {
        allowed_origins.iter().any(|allowed| allowed.as_str().as_bytes() == origin.as_bytes())
    });
    let is_ours = match headers.get(SEC_FETCH_SITE).map(|value| value.as_bytes()) {
        Some(b"same-origin") => true,
        Some(b"none") => request.method().is_safe(), // the user's own doing, such as a bookmark
        Some(_) => false,
        None => request.method().is_safe() && origin.is_none(),
    };
    !(is_allowed || is_ours)
}
