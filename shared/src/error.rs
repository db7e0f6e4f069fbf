//! Everything that can go wrong with a session.

use std::error::Error as StdError;
use std::fmt;

/// Why a call did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no live session with this ID. The reason is for the log alone.
    #[error("there is no such session")]
    NotFound(Absence),

    /// A precondition does not hold: another caller has saved other data since the session was loaded.
    #[error("the session's data does not have the tag that the precondition asks for")]
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

    /// The subject has as many sessions as it may have at once.
    #[error("the subject has reached its maximum of {limit} sessions")]
    TooManySessions {
        /// `SESSION_MAX_PER_SUBJECT`, or [`MAX_PER_SUBJECT`](crate::MAX_PER_SUBJECT) where that is less.
        limit: usize,
    },

    /// The caller's data type could not be written as JSON.
    #[error("the data cannot be written as JSON")]
    Serialize(#[source] serde_json::Error),

    /// The stored data is not of the type that the caller asked for.
    #[error("the stored data is not of the type asked for")]
    Deserialize(#[source] serde_json::Error),

    /// The table could not be reached, was throttled, or failed. A retry may help.
    ///
    /// It is not known whether a write was carried out.
    #[error("the session table is unreachable or throttled")]
    Unavailable(#[source] BoxError),

    /// DynamoDB refused the request: look at the table's name, its key, and the role's permissions.
    #[error("DynamoDB refused the request")]
    Refused(#[source] BoxError),

    /// The attribute is missing, or does not hold what this crate writes.
    #[error("the session's record has no valid attribute `{0}`")]
    CorruptRecord(&'static str),

    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes")]
    Randomness(#[source] BoxError),

    /// The data could not be sealed. It does not happen with the key sizes in use.
    #[error("the data could not be encrypted")]
    Encryption,

    /// A record has the ID that the caller has given.
    #[error("a session with this ID exists")]
    IdInUse,

    /// Several random IDs in a row were in use: the source of randomness is broken.
    #[error("every new session ID was already in use")]
    NoFreeId,
}

/// Why there is no live session. For logs only: a caller does not learn it
/// (OWASP Session Management Cheat Sheet, "Session ID Guessing and Brute Force Detection").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No record has this ID: it was never issued, was cleared, renewed or revoked, or expired long ago.
    Unknown,
    /// It was not used within its idle timeout.
    IdleExpired,
    /// Its absolute timeout has passed.
    AbsoluteExpired,
    /// It was created before `SESSION_NOT_BEFORE`.
    NotBefore,
    /// It was renewed: the session has another ID now.
    Superseded,
}

impl Absence {
    /// The name in logs and of the metric.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::IdleExpired => "idle-expired",
            Self::AbsoluteExpired => "absolute-expired",
            Self::NotBefore => "not-before",
            Self::Superseded => "superseded",
        }
    }
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
    /// The environment variable, or the field of [`Config`](crate::Config) that no variable sets.
    pub variable: &'static str,
    /// What it accepts.
    pub accepted: String,
    /// What it was given, quoted.
    pub given: String,
}

/// The same text as `Display`: it is what a `main` that returns the error prints.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
