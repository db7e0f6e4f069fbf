//! What a setting may be.

use std::ops::RangeInclusive;

use super::Config;
use crate::clock::{Clock, SystemClock};
use crate::error::ConfigError;
use crate::id::ID_BYTES;
use crate::subject::MAX_PER_SUBJECT;

/// Up to ten years: a longer timeout is a mistake.
const TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=315_360_000;

/// An item holds at most 400 KiB (DynamoDB's "Quotas"); the other attributes take less than 1 KiB.
pub(crate) const MAX_DATA_BYTES: usize = (400 - 1) * 1024;
const DATA_BYTES: RangeInclusive<usize> = 2..=MAX_DATA_BYTES;

/// The milliseconds of a call.
const CALL_MILLISECONDS: RangeInclusive<u64> = 100..=10_000;

/// The characters of a namespace, 0 to 64 of them.
const NAMESPACE_LENGTH: usize = 64;

impl Config {
    /// Validates every setting.
    ///
    /// # Errors
    /// The first setting that is not accepted.
    pub fn validate(&self) -> Result<(), ConfigError> {
        table_name("SESSION_TABLE_NAME", &self.table_name)?;
        in_range("SESSION_ID_BYTES", self.id_bytes, &ID_BYTES)?;
        in_range("SESSION_MAX_TIMEOUT_SECONDS", self.max_timeout_seconds, &TIMEOUT_SECONDS)?;
        in_range("SESSION_IDLE_TIMEOUT_SECONDS", self.timeouts.idle_seconds, &TIMEOUT_SECONDS)?;
        in_range("SESSION_ABSOLUTE_TIMEOUT_SECONDS", self.timeouts.absolute_seconds, &TIMEOUT_SECONDS)?;
        let interval = 0..=*TIMEOUT_SECONDS.end();
        in_range("SESSION_TOUCH_INTERVAL_SECONDS", self.touch_interval_seconds, &interval)?;
        let now = SystemClock.now();
        if self.not_before > now {
            return Err(ConfigError {
                variable: "SESSION_NOT_BEFORE".into(),
                accepted: format!("a moment that is not in the future: at most {now}"),
                given: self.not_before.to_string(),
            });
        }
        in_range("SESSION_MAX_DATA_BYTES", self.max_data_bytes, &DATA_BYTES)?;
        in_range("SESSION_MAX_PER_SUBJECT", self.max_per_subject, &(1..=MAX_PER_SUBJECT))?;
        namespace("SESSION_SUBJECT_NAMESPACE", &self.subject_namespace)?;
        if let Some(milliseconds) = self.call_timeout_milliseconds {
            in_range("SESSION_CALL_TIMEOUT_MILLISECONDS", milliseconds, &CALL_MILLISECONDS)?;
        }
        if let Some(given) = self.passive_paths.iter().find(|path| !path.starts_with('/')) {
            return Err(ConfigError {
                variable: "SESSION_PASSIVE_PATHS".into(),
                accepted: "paths that begin with /, separated by commas".into(),
                given: format!("{given:?}"),
            });
        }
        self.endpoint_url.as_deref().map_or(Ok(()), |url| endpoint_url("endpoint_url", url))
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
    Err(ConfigError { variable: variable.into(), accepted, given: given.to_string() })
}

/// The AWS SDK panics on a URL that it cannot send requests to.
pub(crate) fn endpoint_url(variable: &'static str, given: &str) -> Result<(), ConfigError> {
    let authority = given.strip_prefix("http://").or_else(|| given.strip_prefix("https://"));
    if authority
        .is_some_and(|authority| authority.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '['))
        && !given.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Ok(());
    }
    let accepted = "a URL that begins with http:// or https://".into();
    Err(ConfigError { variable: variable.into(), accepted, given: format!("{given:?}") })
}

/// DynamoDB's rule (API reference, `TableName`): 3 to 255 of these characters, or a table's ARN.
fn table_name(variable: &'static str, given: &str) -> Result<(), ConfigError> {
    let is_name = (3..=255).contains(&given.len())
        && given.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if is_name || (given.starts_with("arn:") && given.len() <= 1024) {
        return Ok(());
    }
    let accepted = "3 to 255 of the characters a-z, A-Z, 0-9, _, - and ., or the ARN of a table".into();
    Err(ConfigError { variable: variable.into(), accepted, given: format!("{given:?}") })
}

fn namespace(variable: &'static str, given: &str) -> Result<(), ConfigError> {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if given.len() <= NAMESPACE_LENGTH && given.bytes().all(is_allowed) {
        return Ok(());
    }
    let accepted = "at most 64 of the characters a-z, A-Z, 0-9, _, - and .".into();
    Err(ConfigError { variable: variable.into(), accepted, given: format!("{given:?}") })
}
