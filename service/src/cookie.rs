//! The session cookie: its name, how it is read, issued and deleted (RFC 6265bis).

use dynamodb_web_session::{Session, Timeouts};
use lambda_http::http::header::{COOKIE, HeaderMap};

use crate::settings::{SameSite, Settings};

/// Generic, as OWASP asks ("Session ID Name Fingerprinting"), and bound to one host by its prefix
/// (RFC 6265bis, "The `__Host-` Prefix").
const ID_COOKIE: &str = "__Host-id";

/// The values of the cookies with our name. Other cookies may hold anything.
pub(crate) fn ids(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(ID_COOKIE.as_bytes())?.strip_prefix(b"="))
}

/// The `Set-Cookie` value that hands a session to its browser just after the session was used.
pub(crate) fn issue<T>(session: &Session<T>, settings: &Settings) -> String {
    let id = session.id().expose();
    let attributes = attributes(settings);
    match settings.cookie_persistent {
        true => format!("{ID_COOKIE}={id}; {attributes}; Max-Age={}", remaining_seconds(session)),
        false => format!("{ID_COOKIE}={id}; {attributes}"),
    }
}

/// Seconds from the session's last use to its absolute deadline.
fn remaining_seconds<T>(session: &Session<T>) -> u64 {
    let Timeouts { idle_seconds, .. } = session.timeouts;
    session.absolute_deadline().plus_seconds(idle_seconds).seconds_since(session.idle_deadline())
}

/// The `Set-Cookie` value that deletes the cookie.
pub(crate) fn delete(settings: &Settings) -> String {
    format!("{ID_COOKIE}=; {}; Max-Age=0", attributes(settings))
}

fn attributes(settings: &Settings) -> &'static str {
    match settings.cookie_same_site {
        SameSite::Strict => "Path=/; Secure; HttpOnly; SameSite=Strict",
        SameSite::Lax => "Path=/; Secure; HttpOnly; SameSite=Lax",
    }
}
