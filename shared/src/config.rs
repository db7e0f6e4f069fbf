//! The settings: read once, checked once.

use std::env::VarError;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::error::ConfigError;
use crate::id::ID_BYTES;
use crate::timeouts::Timeouts;

/// Ten years: a session longer than that is a mistake.
const TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=315_360_000;

/// An item of a table holds 400 KiB (DynamoDB's "Quotas"); the other attributes take less than 1 KiB.
pub(crate) const MAX_DATA_BYTES: usize = (400 - 1) * 1024;
const DATA_BYTES: RangeInclusive<usize> = 2..=MAX_DATA_BYTES;

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

/// Which requests of other sites a browser adds the cookie to (RFC 6265bis, "The SameSite Attribute"): the callers'
/// site is the registrable domain, so `app.example.com` and `api.example.com` are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// To none.
    #[default]
    Strict,
    /// To navigations that only read: whoever follows a link to the site is still logged in.
    Lax,
}

/// An origin that may call from a browser: `https://app.example.com`, or `http://localhost:5173` while developing. A
/// wildcard is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl Origin {
    /// As a browser writes it in the header `Origin` (RFC 6454, "ASCII Serialization of an Origin").
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is no origin that may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is https://HOST or https://HOST:PORT in lower case; http:// only with localhost or 127.0.0.1"
)]
pub struct MalformedOrigin;

impl FromStr for Origin {
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

/// What a [`SessionManager`](crate::SessionManager) goes by.
///
/// ```
/// use dynamodb_web_session::{Config, Timeouts};
///
/// let config = Config {
///     id_bytes: 128,
///     table_name: "my-dynamodb-table".into(),
///     endpoint_url: Some("http://localhost:8000".into()),
///     timeouts: Timeouts { idle_seconds: 900, absolute_seconds: 14_400 },
///     ..Config::default()
/// };
/// # assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `SESSION_TABLE_NAME`: the table's name or ARN. Default `app_session`.
    pub table_name: String,
    /// `SESSION_ID_BYTES`: random bytes of a new session ID, 16 to 128. Default 32.
    pub id_bytes: usize,
    /// `SESSION_IDLE_TIMEOUT_SECONDS` and `SESSION_ABSOLUTE_TIMEOUT_SECONDS`: for sessions that ask for no
    /// others. Defaults 7,200 and 43,200.
    pub timeouts: Timeouts,
    /// `SESSION_MAX_TIMEOUT_SECONDS`: the most that a session may ask for, either timeout. Default 2,592,000.
    pub max_timeout_seconds: u64,
    /// `SESSION_TOUCH_INTERVAL_SECONDS`: a load slides the idle deadline only when the last slide is at least
    /// this old, or a tenth of the idle timeout where that is less. 0 slides on every load. Default 60.
    pub touch_interval_seconds: u64,
    /// `SESSION_MAX_DATA_BYTES`: the most bytes of data, as JSON, that a session may hold. Default 262,144.
    pub max_data_bytes: usize,
    /// `SESSION_ID_TRANSPORT`: `header` or `cookie`. Only the HTTP service uses it. Default `header`.
    pub id_transport: IdTransport,
    /// `SESSION_COOKIE_SAME_SITE`: `strict` or `lax`. Default `strict`.
    pub cookie_same_site: SameSite,
    /// `SESSION_COOKIE_PERSISTENT`: `true` makes the cookie outlive the browser's window, until the session's absolute
    /// deadline. Default `false`, as OWASP advises ("Expire and Max-Age Attributes").
    pub cookie_persistent: bool,
    /// `SESSION_CLEAR_SITE_DATA`: in cookie transport, a clear has the browser delete the site's cookies and stored
    /// data. Default `true`.
    pub clear_site_data: bool,
    /// `SESSION_ALLOWED_ORIGINS`, separated by commas: pages of these origins may call, besides those of the service's
    /// own. Default: none.
    pub allowed_origins: Vec<Origin>,
    /// `SESSION_NOT_BEFORE`: every session that was created earlier is dead. It logs everybody out in an emergency, and
    /// keeps dead what a restored backup brings back. Default: the epoch.
    pub not_before: Timestamp,
    /// Another DynamoDB than that of the AWS SDK's own settings (`AWS_ENDPOINT_URL_DYNAMODB`).
    pub endpoint_url: Option<String>,
    /// Another Region than that of the AWS SDK's own settings (`AWS_REGION`).
    pub region: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            table_name: "app_session".into(),
            id_bytes: 32,
            timeouts: Timeouts::default(),
            max_timeout_seconds: 2_592_000,
            touch_interval_seconds: 60,
            max_data_bytes: 262_144,
            id_transport: IdTransport::default(),
            cookie_same_site: SameSite::default(),
            cookie_persistent: false,
            clear_site_data: true,
            allowed_origins: Vec::new(),
            not_before: Timestamp::EPOCH,
            endpoint_url: None,
            region: None,
        }
    }
}

impl Config {
    /// The settings in the environment, with the defaults for those that are not there.
    ///
    /// # Errors
    /// The first setting that is not acceptable.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_variables(std::env::var)
    }

    fn from_variables(read: impl Fn(&'static str) -> Result<String, VarError>) -> Result<Self, ConfigError> {
        let variables = Variables(read);
        let default = Self::default();
        let config = Self {
            table_name: variables.text("SESSION_TABLE_NAME")?.unwrap_or(default.table_name),
            id_bytes: variables.number("SESSION_ID_BYTES")?.unwrap_or(default.id_bytes),
            timeouts: Timeouts {
                idle_seconds: variables
                    .number("SESSION_IDLE_TIMEOUT_SECONDS")?
                    .unwrap_or(default.timeouts.idle_seconds),
                absolute_seconds: variables
                    .number("SESSION_ABSOLUTE_TIMEOUT_SECONDS")?
                    .unwrap_or(default.timeouts.absolute_seconds),
            },
            max_timeout_seconds: variables
                .number("SESSION_MAX_TIMEOUT_SECONDS")?
                .unwrap_or(default.max_timeout_seconds),
            touch_interval_seconds: variables
                .number("SESSION_TOUCH_INTERVAL_SECONDS")?
                .unwrap_or(default.touch_interval_seconds),
            max_data_bytes: variables.number("SESSION_MAX_DATA_BYTES")?.unwrap_or(default.max_data_bytes),
            id_transport: variables
                .one_of(
                    "SESSION_ID_TRANSPORT",
                    &[("header", IdTransport::Header), ("cookie", IdTransport::Cookie)],
                )?
                .unwrap_or(default.id_transport),
            cookie_same_site: variables
                .one_of("SESSION_COOKIE_SAME_SITE", &[("strict", SameSite::Strict), ("lax", SameSite::Lax)])?
                .unwrap_or(default.cookie_same_site),
            cookie_persistent: variables
                .one_of("SESSION_COOKIE_PERSISTENT", &BOOLEAN)?
                .unwrap_or(default.cookie_persistent),
            clear_site_data: variables
                .one_of("SESSION_CLEAR_SITE_DATA", &BOOLEAN)?
                .unwrap_or(default.clear_site_data),
            allowed_origins: variables.origins("SESSION_ALLOWED_ORIGINS")?,
            not_before: variables.timestamp("SESSION_NOT_BEFORE")?.unwrap_or(default.not_before),
            endpoint_url: None,
            region: None,
        };
        config.validate()?;
        Ok(config)
    }

    /// Checks every setting against its range.
    ///
    /// # Errors
    /// The first setting that is not acceptable.
    pub fn validate(&self) -> Result<(), ConfigError> {
        table_name("SESSION_TABLE_NAME", &self.table_name)?;
        in_range("SESSION_ID_BYTES", self.id_bytes, &ID_BYTES)?;
        in_range("SESSION_MAX_TIMEOUT_SECONDS", self.max_timeout_seconds, &TIMEOUT_SECONDS)?;
        let timeout = 1..=self.max_timeout_seconds;
        in_range("SESSION_IDLE_TIMEOUT_SECONDS", self.timeouts.idle_seconds, &timeout)?;
        in_range("SESSION_ABSOLUTE_TIMEOUT_SECONDS", self.timeouts.absolute_seconds, &timeout)?;
        in_range(
            "SESSION_TOUCH_INTERVAL_SECONDS",
            self.touch_interval_seconds,
            &(0..=self.max_timeout_seconds),
        )?;
        in_range("SESSION_MAX_DATA_BYTES", self.max_data_bytes, &DATA_BYTES)?;
        self.endpoint_url.as_deref().map_or(Ok(()), endpoint_url)
    }
}

/// The environment, or what a test puts in its place.
struct Variables<F>(F);

impl<F: Fn(&'static str) -> Result<String, VarError>> Variables<F> {
    fn text(&self, variable: &'static str) -> Result<Option<String>, ConfigError> {
        match self.0(variable) {
            Ok(text) => Ok(Some(text)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(given)) => {
                Err(ConfigError { variable, accepted: "text in UTF-8".into(), given: format!("{given:?}") })
            }
        }
    }

    fn number<N: FromStr>(&self, variable: &'static str) -> Result<Option<N>, ConfigError> {
        let parse = |given: String| {
            given.parse().map_err(|_| ConfigError {
                variable,
                accepted: "a whole number".into(),
                given: format!("{given:?}"),
            })
        };
        self.text(variable)?.map(parse).transpose()
    }

    /// Empty is as good as not set: a template can leave no variable out.
    fn timestamp(&self, variable: &'static str) -> Result<Option<Timestamp>, ConfigError> {
        let parse = |given: String| {
            given.parse().map_err(|_| ConfigError {
                variable,
                accepted: "a moment in RFC 3339, such as 2026-11-22T22:04:14Z".into(),
                given: format!("{given:?}"),
            })
        };
        self.text(variable)?.filter(|text| !text.is_empty()).map(parse).transpose()
    }

    fn one_of<T: Copy>(
        &self,
        variable: &'static str,
        choices: &[(&str, T); 2],
    ) -> Result<Option<T>, ConfigError> {
        let parse = |given: String| {
            let chosen = choices.iter().find(|(name, _)| *name == given);
            chosen.map(|(_, choice)| *choice).ok_or_else(|| ConfigError {
                variable,
                accepted: format!("`{}` or `{}`", choices[0].0, choices[1].0),
                given: format!("{given:?}"),
            })
        };
        self.text(variable)?.map(parse).transpose()
    }

    fn origins(&self, variable: &'static str) -> Result<Vec<Origin>, ConfigError> {
        let text = self.text(variable)?.unwrap_or_default();
        let origins = text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).map(str::parse);
        origins.collect::<Result<_, _>>().map_err(|error: MalformedOrigin| ConfigError {
            variable,
            accepted: format!("a list of origins, separated by commas ({error})"),
            given: format!("{text:?}"),
        })
    }
}

fn in_range<N: PartialOrd + std::fmt::Display>(
    variable: &'static str,
    given: N,
    range: &RangeInclusive<N>,
) -> Result<(), ConfigError> {
    if range.contains(&given) {
        return Ok(());
    }
    let accepted = format!("a whole number from {} to {}", range.start(), range.end());
    Err(ConfigError { variable, accepted, given: given.to_string() })
}

/// The AWS SDK panics at a URL that it cannot send requests to.
fn endpoint_url(given: &str) -> Result<(), ConfigError> {
    let authority = given.strip_prefix("http://").or_else(|| given.strip_prefix("https://"));
    if authority
        .is_some_and(|authority| authority.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
        && !given.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Ok(());
    }
    let accepted = "a URL that begins with http:// or https://".into();
    Err(ConfigError { variable: "endpoint_url", accepted, given: format!("{given:?}") })
}

/// DynamoDB's rule (API reference, `TableName`): 3 to 255 of these characters, or a table's ARN.
fn table_name(variable: &'static str, given: &str) -> Result<(), ConfigError> {
    let is_name = (3..=255).contains(&given.len())
        && given.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if is_name || (given.starts_with("arn:") && given.len() <= 1024) {
        return Ok(());
    }
    let accepted = "3 to 255 of the characters a-z, A-Z, 0-9, _, - and ., or the ARN of a table".into();
    Err(ConfigError { variable, accepted, given: format!("{given:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(|name| {
            let set = variables.iter().find(|(variable, _)| *variable == name);
            set.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        })
    }

    #[test]
    fn what_is_not_set_has_its_default() {
        let config = config(&[]).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.table_name, "app_session");
        assert_eq!(config.id_bytes, 32);
        assert_eq!(config.timeouts, Timeouts { idle_seconds: 7200, absolute_seconds: 43_200 });
        assert_eq!(config.max_timeout_seconds, 2_592_000);
        assert_eq!(config.touch_interval_seconds, 60);
        assert_eq!(config.max_data_bytes, 262_144);
        assert_eq!(config.id_transport, IdTransport::Header);
        assert_eq!(config.cookie_same_site, SameSite::Strict);
        assert!(!config.cookie_persistent && config.clear_site_data && config.allowed_origins.is_empty());
    }

    #[test]
    fn every_variable_is_read() {
        let config = config(&[
            ("SESSION_TABLE_NAME", "sessions.of-mine_2"),
            ("SESSION_ID_BYTES", "16"),
            ("SESSION_IDLE_TIMEOUT_SECONDS", "900"),
            ("SESSION_ABSOLUTE_TIMEOUT_SECONDS", "14400"),
            ("SESSION_MAX_TIMEOUT_SECONDS", "86400"),
            ("SESSION_TOUCH_INTERVAL_SECONDS", "0"),
            ("SESSION_MAX_DATA_BYTES", "1000"),
            ("SESSION_ID_TRANSPORT", "cookie"),
            ("SESSION_COOKIE_SAME_SITE", "lax"),
            ("SESSION_COOKIE_PERSISTENT", "true"),
            ("SESSION_CLEAR_SITE_DATA", "false"),
            ("SESSION_ALLOWED_ORIGINS", "https://app.example.com, http://localhost:5173"),
            ("SESSION_NOT_BEFORE", "1970-01-01T01:00:00Z"),
        ]);
        let expected = Config {
            table_name: "sessions.of-mine_2".into(),
            id_bytes: 16,
            timeouts: Timeouts { idle_seconds: 900, absolute_seconds: 14_400 },
            max_timeout_seconds: 86_400,
            touch_interval_seconds: 0,
            max_data_bytes: 1000,
            id_transport: IdTransport::Cookie,
            cookie_same_site: SameSite::Lax,
            cookie_persistent: true,
            clear_site_data: false,
            allowed_origins: vec![
                Origin("https://app.example.com".into()),
                Origin("http://localhost:5173".into()),
            ],
            not_before: Timestamp::from_epoch_seconds(3600),
            endpoint_url: None,
            region: None,
        };
        assert_eq!(config.unwrap(), expected);
    }

    #[test]
    fn a_bad_setting_is_named_with_what_it_accepts() {
        for (variable, value, accepted) in [
            ("SESSION_TABLE_NAME", "", "3 to 255"),
            ("SESSION_TABLE_NAME", "no spaces", "3 to 255"),
            ("SESSION_ID_BYTES", "15", "from 16 to 128"),
            ("SESSION_ID_BYTES", "129", "from 16 to 128"),
            ("SESSION_ID_BYTES", "thirty-two", "a whole number"),
            ("SESSION_ID_BYTES", "", "a whole number"),
            ("SESSION_IDLE_TIMEOUT_SECONDS", "0", "from 1 to 2592000"),
            ("SESSION_IDLE_TIMEOUT_SECONDS", "2592001", "from 1 to 2592000"),
            ("SESSION_IDLE_TIMEOUT_SECONDS", "1.5", "a whole number"),
            ("SESSION_ABSOLUTE_TIMEOUT_SECONDS", "-1", "a whole number"),
            ("SESSION_ABSOLUTE_TIMEOUT_SECONDS", "0", "from 1 to 2592000"),
            ("SESSION_MAX_TIMEOUT_SECONDS", "0", "from 1 to 315360000"),
            ("SESSION_MAX_TIMEOUT_SECONDS", "99999999999999999999", "a whole number"),
            ("SESSION_TOUCH_INTERVAL_SECONDS", "2592001", "from 0 to 2592000"),
            ("SESSION_MAX_DATA_BYTES", "1", "from 2 to 408576"),
            ("SESSION_MAX_DATA_BYTES", "408577", "from 2 to 408576"),
            ("SESSION_ID_TRANSPORT", "Cookie", "`header` or `cookie`"),
            ("SESSION_COOKIE_SAME_SITE", "none", "`strict` or `lax`"),
            ("SESSION_COOKIE_PERSISTENT", "1", "`false` or `true`"),
            ("SESSION_CLEAR_SITE_DATA", "", "`false` or `true`"),
            ("SESSION_ALLOWED_ORIGINS", "*", "a list of origins"),
            ("SESSION_ALLOWED_ORIGINS", "https://a.example,*", "a list of origins"),
            ("SESSION_NOT_BEFORE", "yesterday", "RFC 3339"),
        ] {
            let error = config(&[(variable, value)]).unwrap_err();
            assert_eq!(error.variable, variable, "{value:?}");
            let message = format!("{error:?}");
            assert!(message.starts_with(variable) && message.contains(accepted), "{message}");
            assert!(
                message.ends_with(value.trim_end_matches('"')) || message.contains(&format!("{value:?}"))
            );
        }
    }

    #[test]
    fn an_empty_not_before_is_none() {
        assert_eq!(config(&[("SESSION_NOT_BEFORE", "")]).unwrap(), Config::default());
    }

    #[test]
    fn a_default_timeout_must_not_exceed_the_maximum() {
        let error = config(&[("SESSION_MAX_TIMEOUT_SECONDS", "3600")]).unwrap_err();
        assert_eq!(error.variable, "SESSION_IDLE_TIMEOUT_SECONDS");
        assert_eq!(error.accepted, "a whole number from 1 to 3600");
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_refused() {
        let raw = || OsString::from_vec(vec![0xff]);
        let error = Config::from_variables(|_| Err(VarError::NotUnicode(raw()))).unwrap_err();
        assert_eq!(error.variable, "SESSION_TABLE_NAME");
    }

    #[test]
    fn an_endpoint_is_a_url() {
        let check = |url: &str| Config { endpoint_url: Some(url.into()), ..Config::default() }.validate();
        for url in
            ["http://localhost:8000", "https://dynamodb.eu-central-1.amazonaws.com", "http://[::1]:8000"]
        {
            assert_eq!(check(url), Ok(()));
        }
        for url in ["", "localhost:8000", "http://", "https:///x", "ftp://localhost", "http://local host"] {
            assert_eq!(check(url).unwrap_err().variable, "endpoint_url", "{url}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for origin in
            ["https://a.example", "https://a-b.example:8443", "http://localhost:3000", "http://127.0.0.1"]
        {
            assert_eq!(origin.parse::<Origin>().unwrap().as_str(), origin);
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
            assert_eq!(text.parse::<Origin>(), Err(MalformedOrigin), "{text}");
        }
    }

    #[test]
    fn a_table_may_be_named_by_its_arn() {
        let arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/app_session";
        assert_eq!(config(&[("SESSION_TABLE_NAME", arn)]).unwrap().table_name, arn);
    }
}
