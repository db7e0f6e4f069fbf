//! Everything that can go wrong with a session. There is no HTTP in it.

use std::error::Error as StdError;
use std::fmt;

use crate::life::Absence;

/// Why a call did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no live session of this ID. The reason is for the log alone.
    #[error("there is no such session")]
    NotFound(Absence),

    /// The session's data is not what If-Match demands: somebody else has saved since it was loaded.
    #[error("the session's data has changed since it was loaded")]
    Changed,

    /// The data, as JSON, is larger than `SESSION_MAX_DATA_BYTES`.
    #[error("the data has {size} bytes, and at most {limit} are allowed")]
    DataTooLarge {
        /// Bytes of the data as JSON text.
        size: usize,
        /// The most that are allowed.
        limit: usize,
    },

    /// Arrays and objects in the data are nested deeper than [`MAX_DATA_DEPTH`](crate::MAX_DATA_DEPTH).
    #[error("the data is nested more than {limit} levels deep")]
    DataTooDeep {
        /// The most levels that are allowed.
        limit: usize,
    },

    /// A timeout is zero, or longer than `SESSION_MAX_TIMEOUT_SECONDS`.
    #[error("{timeout} must be from 1 to {max}")]
    TimeoutOutOfRange {
        /// `idle_timeout_seconds` or `absolute_timeout_seconds`.
        timeout: &'static str,
        /// The most seconds that are allowed.
        max: u64,
    },

    /// The caller's data type could not be written as JSON.
    #[error("the data cannot be written as JSON")]
    Serialize(#[source] serde_json::Error),

    /// The stored data is not of the type that the caller asked for.
    #[error("the stored data is not of the type asked for")]
    Deserialize(#[source] serde_json::Error),

    /// The table could not be reached, was too busy, or failed: trying again may help.
    ///
    /// Whether a write was carried out is not known.
    #[error("the session table is out of reach or throttled")]
    Unavailable(#[source] BoxError),

    /// DynamoDB refused the request: look at the table's name, its key, and the role's permissions.
    #[error("DynamoDB refused the request")]
    Refused(#[source] BoxError),

    /// The record lacks this attribute, or holds something else in it than this crate writes.
    #[error("the session's record has no valid attribute `{0}`")]
    CorruptRecord(&'static str),

    /// The operating system has no randomness to give.
    #[error("the operating system gave no random bytes")]
    Randomness(#[source] BoxError),

    /// Several random IDs in a row were taken: the source of randomness is broken.
    #[error("every new session ID was already in use")]
    NoFreeId,
}

/// An error of another crate, kept as the source of ours.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error with all its sources, on one line: what goes into a log.
#[must_use]
pub fn chain(error: &dyn StdError) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line.push_str(": ");
        line.push_str(&error.to_string());
        source = error.source();
    }
    line
}

/// A setting that the service cannot start with.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} must be {accepted}; it is {given}")]
pub struct ConfigError {
    /// The environment variable that sets it, or the member of [`Config`](crate::Config) where there is none.
    pub variable: &'static str,
    /// What it accepts.
    pub accepted: String,
    /// What it was given, quoted.
    pub given: String,
}

/// `main` prints the `Debug` text of the error that it returns, and that is what an operator gets to read.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
