//! The settings: read once, validated once.

mod rules;

use std::cell::RefCell;
use std::collections::HashMap;

use crate::clock::Timestamp;
use crate::error::ConfigError;
use crate::label_key::LabelKey;
use crate::timeouts::Timeouts;
use crate::variables::Variables;

pub(crate) use rules::{MAX_DATA_BYTES, endpoint_url};

/// A call of a framework's request. A page that waits longer has lost its reader, and its worker.
const FRAMEWORK_CALL_MILLISECONDS: u64 = 2000;

/// What a login does when its subject has as many sessions as it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtMaxPerSubject {
    /// It fails with [`Error::TooManySessions`](crate::Error::TooManySessions).
    Refuse,
    /// It ends the session that was used longest ago.
    #[default]
    EndOldest,
}

/// Whether data is stored encrypted under a key that only the session's ID yields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SealMode {
    /// It is stored as it is. Sealed data is read too.
    #[default]
    Off,
    /// It is stored sealed. Data that is not is refused: someone may have put it into the table.
    On,
    /// It is stored sealed, and data that is not is read too: until the last session from before has ended.
    Migrate,
}

/// The settings of a [`SessionManager`](crate::SessionManager).
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
    /// `SESSION_IDLE_TIMEOUT_SECONDS` and `SESSION_ABSOLUTE_TIMEOUT_SECONDS`: for sessions that ask for no other
    /// timeouts. Values above `max_timeout_seconds` count as that. Defaults 7,200 and 43,200.
    pub timeouts: Timeouts,
    /// `SESSION_MAX_TIMEOUT_SECONDS`: the maximum that a session may ask for, either timeout. Default 2,592,000.
    pub max_timeout_seconds: u64,
    /// `SESSION_TOUCH_INTERVAL_SECONDS`: a load slides the idle deadline only when the last slide is at least
    /// this old, or a tenth of the idle timeout where that is less. 0 slides on every load. Default 60.
    pub touch_interval_seconds: u64,
    /// `SESSION_MAX_DATA_BYTES`: the maximum size of a session's data, as JSON text. Default 262,144.
    pub max_data_bytes: usize,
    /// `SESSION_NOT_BEFORE`: every session that was created earlier is dead. It logs everyone out in an emergency, and
    /// keeps sessions dead that a restored backup brings back. Not in the future: a session that is created now would be
    /// dead. Default: the epoch.
    pub not_before: Timestamp,
    /// `SESSION_MAX_PER_SUBJECT`: how many sessions a subject may have at once, 1 to 1,000. Default 100.
    pub max_per_subject: usize,
    /// `SESSION_AT_MAX_PER_SUBJECT`: whether one more is refused (`refuse`), or ends the session that was used longest ago
    /// (`end-oldest`). Default `end-oldest`.
    pub at_max_per_subject: AtMaxPerSubject,
    /// `SESSION_SUBJECT_NAMESPACE`: applications that share a table and name their users alike have one each, of up to 64
    /// letters, digits, `_`, `-` and `.`. Default: empty.
    pub subject_namespace: String,
    /// `SESSION_SEAL`: `true` stores data encrypted under a key that only the session's ID yields, and accepts no other;
    /// `migrate` stores it so and accepts data from before. Default `false`.
    pub seal: SealMode,
    /// `SESSION_MERGE`: two requests of a framework that change different top-level keys of one session both last. `false`: the later
    /// one overwrites all of the data. For [`web`](crate::web). Default `true`.
    pub merge: bool,
    /// `SESSION_PASSIVE_PATHS`: paths whose requests do not keep a session alive, such as those of a poll, separated by commas. A
    /// path that ends in `/` stands for all below it. For [`web`](crate::web). Default: none.
    pub passive_paths: Vec<String>,
    /// `SESSION_LABELS`: a login stores a label and a context that are made from its request, for the list of the user's sessions.
    /// For [`web`](crate::web). Default `true`.
    pub labels: bool,
    /// `SESSION_LABEL_KEY`: a secret of 32 bytes or more under which labels and contexts are encrypted in the table. What was stored
    /// before there was one stays readable, and what another key has encrypted does not. Default: none.
    pub label_key: Option<LabelKey>,
    /// `SESSION_CALL_TIMEOUT_MILLISECONDS`: a call whose table has not responded by then fails, 100 to 10,000; and after three in a row
    /// the next fail at once, for a second. Not a clear nor a revocation. Default: only the limits of a function's calls, up to 9
    /// seconds; with [`from_arguments`](Self::from_arguments) 2,000.
    pub call_timeout_milliseconds: Option<u64>,
    /// The DynamoDB endpoint, in place of that of the AWS SDK's own settings (`AWS_ENDPOINT_URL_DYNAMODB`).
    pub endpoint_url: Option<String>,
    /// The Region, in place of that of the AWS SDK's own settings (`AWS_REGION`).
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
            not_before: Timestamp::EPOCH,
            max_per_subject: 100,
            at_max_per_subject: AtMaxPerSubject::default(),
            subject_namespace: String::new(),
            seal: SealMode::default(),
            merge: true,
            passive_paths: Vec::new(),
            labels: true,
            label_key: None,
            call_timeout_milliseconds: None,
            endpoint_url: None,
            region: None,
        }
    }
}

impl Config {
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
        let Timeouts { idle_seconds, absolute_seconds } = default.timeouts;
        let config = Self {
            table_name: variables.text("SESSION_TABLE_NAME", default.table_name)?,
            id_bytes: variables.number("SESSION_ID_BYTES", default.id_bytes)?,
            timeouts: Timeouts {
                idle_seconds: variables.number("SESSION_IDLE_TIMEOUT_SECONDS", idle_seconds)?,
                absolute_seconds: variables.number("SESSION_ABSOLUTE_TIMEOUT_SECONDS", absolute_seconds)?,
            },
            max_timeout_seconds: variables
                .number("SESSION_MAX_TIMEOUT_SECONDS", default.max_timeout_seconds)?,
            touch_interval_seconds: variables
                .number("SESSION_TOUCH_INTERVAL_SECONDS", default.touch_interval_seconds)?,
            max_data_bytes: variables.number("SESSION_MAX_DATA_BYTES", default.max_data_bytes)?,
            not_before: variables.timestamp("SESSION_NOT_BEFORE", default.not_before)?,
            max_per_subject: variables.optional_number("SESSION_MAX_PER_SUBJECT", default.max_per_subject)?,
            at_max_per_subject: variables.choice(
                "SESSION_AT_MAX_PER_SUBJECT",
                default.at_max_per_subject,
                [("refuse", AtMaxPerSubject::Refuse), ("end-oldest", AtMaxPerSubject::EndOldest)],
            )?,
            subject_namespace: variables.text("SESSION_SUBJECT_NAMESPACE", default.subject_namespace)?,
            seal: variables.choice(
                "SESSION_SEAL",
                default.seal,
                [("false", SealMode::Off), ("true", SealMode::On), ("migrate", SealMode::Migrate)],
            )?,
            merge: variables.choice("SESSION_MERGE", default.merge, [("true", true), ("false", false)])?,
            passive_paths: paths(&variables.text("SESSION_PASSIVE_PATHS", String::new())?),
            labels: variables.choice("SESSION_LABELS", default.labels, [("true", true), ("false", false)])?,
            label_key: variables.secret("SESSION_LABEL_KEY", "a random text of at least 32 bytes")?,
            call_timeout_milliseconds: variables.given_number("SESSION_CALL_TIMEOUT_MILLISECONDS")?,
            endpoint_url: default.endpoint_url,
            region: default.region,
        };
        config.validate()?;
        Ok(config)
    }

    /// The settings that a caller has given by name, such as `table_name`, as texts; then those in `variables`; and the defaults
    /// for the rest. A setting's name is that of its field; `endpoint_url` and `region` are settings too.
    ///
    /// # Errors
    /// The first setting that is not accepted, or that does not exist.
    pub fn from_arguments(
        mut given: HashMap<String, String>,
        variables: &Variables<'_>,
    ) -> Result<Self, ConfigError> {
        let (endpoint_url, region) = (given.remove("endpoint_url"), given.remove("region"));
        let unread = RefCell::new(given);
        let read = |variable: &str| {
            let name = variable.trim_start_matches("SESSION_").to_lowercase();
            unread.borrow_mut().remove(&name).map_or_else(|| variables.read(variable), Ok)
        };
        let mut config = Self { endpoint_url, region, ..Self::from_variables(&Variables::read_by(&read))? };
        config.call_timeout_milliseconds.get_or_insert(FRAMEWORK_CALL_MILLISECONDS);
        config.validate()?;
        match unread.into_inner().into_keys().next() {
            Some(name) => Err(ConfigError {
                given: format!("{name:?}"),
                variable: "the name of a setting".into(),
                accepted: "that of a field of the configuration, such as `table_name`".into(),
            }),
            None => Ok(config),
        }
    }

    /// The timeouts of sessions that ask for no other.
    #[must_use]
    pub fn default_timeouts(&self) -> Timeouts {
        let at_most_max = |seconds: u64| seconds.min(self.max_timeout_seconds);
        let Timeouts { idle_seconds, absolute_seconds } = self.timeouts;
        Timeouts { idle_seconds: at_most_max(idle_seconds), absolute_seconds: at_most_max(absolute_seconds) }
    }

    /// Whether requests with this path do not keep a session alive.
    #[must_use]
    pub fn is_passive(&self, path: &str) -> bool {
        let is_one =
            |passive: &String| path == passive || (passive.ends_with('/') && path.starts_with(passive));
        self.passive_paths.iter().any(is_one)
    }
}

fn paths(given: &str) -> Vec<String> {
    given.split(',').map(str::trim).filter(|path| !path.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::env::VarError;
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_variables(&Variables::read_by(&|name| {
            let set = variables.iter().find(|(variable, _)| *variable == name);
            set.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        }))
    }

    #[test]
    fn an_unset_variable_has_its_default() {
        let config = config(&[]).unwrap();
        assert_eq!(config, Config::default());
        assert_eq!(config.table_name, "app_session");
        assert_eq!(config.id_bytes, 32);
        assert_eq!(config.timeouts, Timeouts { idle_seconds: 7200, absolute_seconds: 43_200 });
        assert_eq!(config.max_timeout_seconds, 2_592_000);
        assert_eq!(config.touch_interval_seconds, 60);
        assert_eq!(config.max_data_bytes, 262_144);
        assert_eq!(config.max_per_subject, 100);
        assert_eq!(config.at_max_per_subject, AtMaxPerSubject::EndOldest);
        assert_eq!((config.subject_namespace.as_str(), config.seal), ("", SealMode::Off));
    }

    /// A template cannot leave a variable out.
    #[test]
    fn an_empty_maximum_is_none() {
        assert_eq!(config(&[("SESSION_MAX_PER_SUBJECT", "")]).unwrap(), Config::default());
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
            ("SESSION_NOT_BEFORE", "1970-01-01T01:00:00Z"),
            ("SESSION_MAX_PER_SUBJECT", "3"),
            ("SESSION_AT_MAX_PER_SUBJECT", "refuse"),
            ("SESSION_SUBJECT_NAMESPACE", "shop-1"),
            ("SESSION_SEAL", "migrate"),
            ("SESSION_MERGE", "false"),
            ("SESSION_PASSIVE_PATHS", "/poll, /static/"),
            ("SESSION_LABELS", "false"),
            ("SESSION_LABEL_KEY", "0123456789abcdef0123456789abcdef"),
            ("SESSION_CALL_TIMEOUT_MILLISECONDS", "1500"),
        ]);
        let expected = Config {
            table_name: "sessions.of-mine_2".into(),
            id_bytes: 16,
            timeouts: Timeouts { idle_seconds: 900, absolute_seconds: 14_400 },
            max_timeout_seconds: 86_400,
            touch_interval_seconds: 0,
            max_data_bytes: 1000,
            not_before: Timestamp::from_epoch_seconds(3600),
            max_per_subject: 3,
            at_max_per_subject: AtMaxPerSubject::Refuse,
            subject_namespace: "shop-1".into(),
            seal: SealMode::Migrate,
            merge: false,
            passive_paths: vec!["/poll".into(), "/static/".into()],
            labels: false,
            label_key: "0123456789abcdef0123456789abcdef".parse().ok(),
            call_timeout_milliseconds: Some(1500),
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
            ("SESSION_IDLE_TIMEOUT_SECONDS", "0", "from 1 to 315360000"),
            ("SESSION_IDLE_TIMEOUT_SECONDS", "315360001", "from 1 to 315360000"),
            ("SESSION_IDLE_TIMEOUT_SECONDS", "1.5", "a whole number"),
            ("SESSION_ABSOLUTE_TIMEOUT_SECONDS", "-1", "a whole number"),
            ("SESSION_ABSOLUTE_TIMEOUT_SECONDS", "0", "from 1 to 315360000"),
            ("SESSION_MAX_TIMEOUT_SECONDS", "0", "from 1 to 315360000"),
            ("SESSION_MAX_TIMEOUT_SECONDS", "99999999999999999999", "a whole number"),
            ("SESSION_TOUCH_INTERVAL_SECONDS", "315360001", "from 0 to 315360000"),
            ("SESSION_MAX_PER_SUBJECT", "0", "from 1 to 1000"),
            ("SESSION_MAX_PER_SUBJECT", "1001", "from 1 to 1000"),
            ("SESSION_AT_MAX_PER_SUBJECT", "end_oldest", "`refuse` or `end-oldest`"),
            ("SESSION_SEAL", "1", "`false`, `true` or `migrate`"),
            ("SESSION_SUBJECT_NAMESPACE", "a b", "at most 64"),
            ("SESSION_MERGE", "yes", "`true` or `false`"),
            ("SESSION_PASSIVE_PATHS", "poll", "begin with /"),
            ("SESSION_MAX_DATA_BYTES", "1", "from 2 to 408576"),
            ("SESSION_MAX_DATA_BYTES", "408577", "from 2 to 408576"),
            ("SESSION_NOT_BEFORE", "yesterday", "RFC 3339"),
            ("SESSION_NOT_BEFORE", "9999-12-31T23:59:59Z", "not in the future"),
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
    fn a_bad_key_is_not_shown() {
        let error = config(&[("SESSION_LABEL_KEY", "too-short")]).unwrap_err();
        assert_eq!(error.variable, "SESSION_LABEL_KEY");
        assert!(!format!("{error:?}").contains("too-short"));
        assert_eq!(config(&[("SESSION_LABEL_KEY", "")]).unwrap(), Config::default());
    }

    #[test]
    fn an_empty_not_before_is_as_good_as_unset() {
        assert_eq!(config(&[("SESSION_NOT_BEFORE", "")]).unwrap(), Config::default());
    }

    #[test]
    fn a_default_timeout_is_at_most_the_maximum() {
        let config = config(&[("SESSION_MAX_TIMEOUT_SECONDS", "3600")]).unwrap();
        assert_eq!(config.default_timeouts(), Timeouts { idle_seconds: 3600, absolute_seconds: 3600 });
        let default = Config::default().default_timeouts();
        assert_eq!(default, Timeouts { idle_seconds: 7200, absolute_seconds: 43_200 });
    }

    #[test]
    fn a_value_that_is_not_utf_8_is_refused() {
        let raw = || OsString::from_vec(vec![0xff]);
        let read = |_: &str| Err(VarError::NotUnicode(raw()));
        let error = Config::from_variables(&Variables::read_by(&read)).unwrap_err();
        assert_eq!(error.variable, "SESSION_TABLE_NAME");
    }

    #[test]
    fn an_endpoint_must_be_a_url() {
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
    fn a_table_may_be_named_by_its_arn() {
        let arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/app_session";
        assert_eq!(config(&[("SESSION_TABLE_NAME", arn)]).unwrap().table_name, arn);
    }
}
