//! The settings of the HTTP service: how IDs travel, cookies, the origins that may call, and the log.

use std::str::FromStr;

use dynamodb_web_session::{ConfigError, Variables};
use tracing::level_filters::LevelFilter;

const BOOLEAN: [(&str, bool); 2] = [("false", false), ("true", true)];

/// How a session ID travels between the caller and the service. One mechanism for each deployment
/// (OWASP Session Management Cheat Sheet, "Session ID Exchange Mechanisms").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdTransport {
    /// In the header `x-session-id`: the callers are back ends.
    #[default]
    Header,
    /// In the cookie `__Host-id`: the callers are browsers.
    Cookie,
}

/// The cookie's `SameSite` attribute (RFC 6265bis, "The SameSite Attribute"). A site is a registrable domain:
/// `app.example.com` and `api.example.com` are the same site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// No request of another site carries the cookie.
    #[default]
    Strict,
    /// Top-level navigations from other sites carry it: a user who follows a link to the site stays logged in.
    Lax,
}

/// An origin that may call from a browser: `https://app.example.com`, or `http://localhost:5173` for development. A
/// wildcard is not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedOrigin(String);

impl AllowedOrigin {
    /// As a browser writes it in the header `Origin` (RFC 6454, "ASCII Serialization of an Origin").
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not an origin that can be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is https://HOST or https://HOST:PORT in lower case; http:// only with localhost or 127.0.0.1"
)]
pub struct MalformedOrigin;

impl FromStr for AllowedOrigin {
    type Err = MalformedOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, authority) = text.split_once("://").ok_or(MalformedOrigin)?;
        let (host, port) = authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p)));
        let is_host = !host.is_empty()
            && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
        let is_port =
            port.is_none_or(|port| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok());
        let is_safe = scheme == "https" || (scheme == "http" && matches!(host, "localhost" | "127.0.0.1"));
        if is_host && is_port && is_safe { Ok(Self(text.to_owned())) } else { Err(MalformedOrigin) }
    }
}

/// The settings of the HTTP service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `SESSION_ID_TRANSPORT`: `header` or `cookie`. Default `header`.
    pub id_transport: IdTransport,
    /// `SESSION_COOKIE_SAME_SITE`: `strict` or `lax`. Default `strict`.
    pub cookie_same_site: SameSite,
    /// `SESSION_COOKIE_PERSISTENT`: `true` keeps the cookie when the browser is closed, until the session's absolute
    /// deadline. Default `false`, as OWASP advises ("Expire and Max-Age Attributes").
    pub cookie_persistent: bool,
    /// `SESSION_CLEAR_SITE_DATA`: in cookie transport, a clear makes the browser delete the site's cookies and stored
    /// data. The cookies of sibling hosts are deleted too (W3C, "Clear Site Data"). Default `false`.
    pub clear_site_data: bool,
    /// `SESSION_ALLOWED_ORIGINS`, separated by commas: pages of these origins may call, besides those of the service's
    /// own origin. Default: none.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// `SESSION_AUTHORIZER_OPTIONAL`: `true` makes the authorizer pass a request without a session, with an empty context.
    /// Default `false`.
    pub authorizer_optional: bool,
    /// `SESSION_AUTHORIZER_MAX_DATA_BYTES`: the authorizer passes data of at most this many bytes of JSON to the protected
    /// function, 0 to 262,144. Default 8,192.
    pub authorizer_max_data_bytes: usize,
    /// `SESSION_LOG_LEVEL`: the lowest level that is logged. Calls are counted at every level. Default `INFO`.
    pub log_level: LevelFilter,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            id_transport: IdTransport::default(),
            cookie_same_site: SameSite::default(),
            cookie_persistent: false,
            clear_site_data: false,
            allowed_origins: Vec::new(),
            authorizer_optional: false,
            authorizer_max_data_bytes: 8_192,
            log_level: LevelFilter::INFO,
        }
    }
}

impl Settings {
    /// The settings in the environment, and the defaults for unset variables.
    ///
    /// # Errors
    /// The first setting that is not accepted.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(&Variables::of_process())
    }

    /// The settings in `variables`, and the defaults for unset ones.
    ///
    /// # Errors
    /// The first setting that is not accepted.
    pub fn from_variables(variables: &Variables<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        Ok(Self {
            id_transport: variables.choice(
                "SESSION_ID_TRANSPORT",
                default.id_transport,
                [("header", IdTransport::Header), ("cookie", IdTransport::Cookie)],
            )?,
            cookie_same_site: variables.choice(
                "SESSION_COOKIE_SAME_SITE",
                default.cookie_same_site,
                [("strict", SameSite::Strict), ("lax", SameSite::Lax)],
            )?,
            cookie_persistent: variables.choice(
                "SESSION_COOKIE_PERSISTENT",
                default.cookie_persistent,
                BOOLEAN,
            )?,
            clear_site_data: variables.choice("SESSION_CLEAR_SITE_DATA", default.clear_site_data, BOOLEAN)?,
            allowed_origins: variables.parse(
                "SESSION_ALLOWED_ORIGINS",
                default.allowed_origins,
                &format!("a list of origins, separated by commas ({MalformedOrigin})"),
                origins,
            )?,
            authorizer_optional: variables.choice(
                "SESSION_AUTHORIZER_OPTIONAL",
                default.authorizer_optional,
                BOOLEAN,
            )?,
            authorizer_max_data_bytes: variables.parse(
                "SESSION_AUTHORIZER_MAX_DATA_BYTES",
                default.authorizer_max_data_bytes,
                "a whole number from 0 to 262144",
                |text| text.parse().ok().filter(|bytes| *bytes <= 262_144),
            )?,
            log_level: variables.parse(
                "SESSION_LOG_LEVEL",
                default.log_level,
                "`TRACE`, `DEBUG`, `INFO`, `WARN` or `ERROR`",
                log_level,
            )?,
        })
    }

    /// Whether the callers are browsers, which send the cookie by themselves.
    #[must_use]
    pub fn is_cookie_transport(&self) -> bool {
        self.id_transport == IdTransport::Cookie
    }

    /// Whether a request with this `Origin` header is of an allowed origin.
    #[must_use]
    pub fn allows_origin(&self, header: &[u8]) -> bool {
        self.allowed_origins.iter().any(|allowed| allowed.as_str().as_bytes() == header)
    }
}

/// The names of Lambda's log levels (Lambda Developer Guide, "Log-level filtering").
fn log_level(name: &str) -> Option<LevelFilter> {
    Some(match name {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "INFO" => LevelFilter::INFO,
        "WARN" => LevelFilter::WARN,
        "ERROR" => LevelFilter::ERROR,
        _ => return None,
    })
}

fn origins(list: &str) -> Option<Vec<AllowedOrigin>> {
    list.split(',')
        .map(str::trim)
        .filter(|origin| !origin.is_empty())
        .map(|origin| origin.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env::VarError;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, ConfigError> {
        Settings::from_variables(&Variables::read_by(&|name| {
            let set = variables.iter().find(|(variable, _)| *variable == name);
            set.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        }))
    }

    #[test]
    fn an_unset_variable_has_its_default() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings, Settings::default());
        assert_eq!(settings.id_transport, IdTransport::Header);
        assert_eq!(settings.cookie_same_site, SameSite::Strict);
        assert!(!settings.cookie_persistent && !settings.clear_site_data);
        assert!(settings.allowed_origins.is_empty());
        assert_eq!(settings.log_level, LevelFilter::INFO);
        assert!(!settings.authorizer_optional);
        assert_eq!(settings.authorizer_max_data_bytes, 8_192);
    }

    #[test]
    fn every_variable_is_read() {
        let settings = settings(&[
            ("SESSION_ID_TRANSPORT", "cookie"),
            ("SESSION_COOKIE_SAME_SITE", "lax"),
            ("SESSION_COOKIE_PERSISTENT", "true"),
            ("SESSION_CLEAR_SITE_DATA", "true"),
            ("SESSION_LOG_LEVEL", "WARN"),
            ("SESSION_AUTHORIZER_OPTIONAL", "true"),
            ("SESSION_AUTHORIZER_MAX_DATA_BYTES", "0"),
            ("SESSION_ALLOWED_ORIGINS", "https://app.example.com, http://localhost:5173"),
        ]);
        let expected = Settings {
            id_transport: IdTransport::Cookie,
            cookie_same_site: SameSite::Lax,
            cookie_persistent: true,
            clear_site_data: true,
            log_level: LevelFilter::WARN,
            authorizer_optional: true,
            authorizer_max_data_bytes: 0,
            allowed_origins: vec![
                AllowedOrigin("https://app.example.com".into()),
                AllowedOrigin("http://localhost:5173".into()),
            ],
        };
        assert_eq!(settings.unwrap(), expected);
    }

    #[test]
    fn a_bad_setting_is_named_with_what_it_accepts() {
        for (variable, value, accepted) in [
            ("SESSION_ID_TRANSPORT", "Cookie", "`header` or `cookie`"),
            ("SESSION_COOKIE_SAME_SITE", "none", "`strict` or `lax`"),
            ("SESSION_COOKIE_PERSISTENT", "1", "`false` or `true`"),
            ("SESSION_CLEAR_SITE_DATA", "", "`false` or `true`"),
            ("SESSION_LOG_LEVEL", "info", "`TRACE`, `DEBUG`"),
            ("SESSION_AUTHORIZER_OPTIONAL", "yes", "`false` or `true`"),
            ("SESSION_AUTHORIZER_MAX_DATA_BYTES", "262145", "from 0 to 262144"),
            ("SESSION_AUTHORIZER_MAX_DATA_BYTES", "-1", "from 0 to 262144"),
            ("SESSION_ALLOWED_ORIGINS", "*", "a list of origins"),
            ("SESSION_ALLOWED_ORIGINS", "https://a.example,*", "a list of origins"),
        ] {
            let error = settings(&[(variable, value)]).unwrap_err();
            assert_eq!(error.variable, variable, "{value:?}");
            let message = error.to_string();
            assert!(message.contains(accepted) && message.contains(&format!("{value:?}")), "{message}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for origin in
            ["https://a.example", "https://a-b.example:8443", "http://localhost:3000", "http://127.0.0.1"]
        {
            assert_eq!(origin.parse::<AllowedOrigin>().unwrap().as_str(), origin);
        }
        for text in [
            "",
            "*",
            "null",
            "a.example",
            "https://",
            "https://*.example",
            "https://A.example",
            "https://a.example/",
            "http://a.example",
            "http://localhost.example",
            "https://a.example:",
            "https://a.example:+1",
            "https://a.example:65536",
            "https://u@a.example",
            "https://a.example,https://b.example",
        ] {
            assert_eq!(text.parse::<AllowedOrigin>(), Err(MalformedOrigin), "{text}");
        }
    }
}
