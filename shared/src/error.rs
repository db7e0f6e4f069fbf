//! Everything that can go wrong with a session.

use std::borrow::Cow;
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

    /// The data has what other JSON readers refuse or change (RFC 7493, sections 2.1 and 2.2).
    #[error("the data has {what}, which other JSON readers do not accept")]
    DataNotPortable {
        /// A lone surrogate, or a number whose value is beyond the range of a 64-bit float.
        what: &'static str,
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

    /// The session was renewed ten times within a minute. It lives on under its ID.
    #[error("the session is renewed too often: try again in {seconds} seconds")]
    RenewedTooOften {
        /// When the next renewal may succeed.
        seconds: u64,
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

    /// DynamoDB does not accept the request: look at the table's name, its key, the Region, the credentials and the role's
    /// permissions.
    #[error(
        "the session table cannot be used: its name, its key, the Region, the credentials or the permissions are wrong"
    )]
    Misconfigured(#[source] BoxError),

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

/// The kinds of [`Error`], for bindings to other languages: one closed list, so that a `match` on it covers all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// There is no live session with the ID.
    NotFound,
    /// A precondition does not hold.
    Changed,
    /// The data is larger than the settings allow.
    DataTooLarge,
    /// The data cannot be stored as JSON, or is nested too deep.
    InvalidData,
    /// A timeout is out of range.
    InvalidTimeout,
    /// The subject has its maximum of sessions.
    TooManySessions,
    /// The session was renewed too often within a minute.
    RenewedTooOften,
    /// A record has the ID that the caller has given.
    IdInUse,
    /// The table could not be reached, was throttled, or failed.
    Unavailable,
    /// The table's name, the Region, the credentials or the permissions are wrong.
    Misconfigured,
    /// The table holds what this crate has not written, or not of the type asked for.
    CorruptRecord,
    /// Anything else.
    Internal,
}

impl ErrorCode {
    /// The code as text, such as `TOO_MANY_SESSIONS`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NOT_FOUND",
            Self::Changed => "CHANGED",
            Self::DataTooLarge => "DATA_TOO_LARGE",
            Self::InvalidData => "INVALID_DATA",
            Self::InvalidTimeout => "INVALID_TIMEOUT",
            Self::TooManySessions => "TOO_MANY_SESSIONS",
            Self::RenewedTooOften => "RENEWED_TOO_OFTEN",
            Self::IdInUse => "ID_IN_USE",
            Self::Unavailable => "UNAVAILABLE",
            Self::Misconfigured => "MISCONFIGURED",
            Self::CorruptRecord => "CORRUPT_RECORD",
            Self::Internal => "INTERNAL",
        }
    }
}

impl Error {
    /// The kind of the error.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NotFound(_) => ErrorCode::NotFound,
            Self::Changed => ErrorCode::Changed,
            Self::DataTooLarge { .. } => ErrorCode::DataTooLarge,
            Self::DataTooDeep { .. } | Self::DataNotPortable { .. } | Self::Serialize(_) => {
                ErrorCode::InvalidData
            }
            Self::RenewedTooOften { .. } => ErrorCode::RenewedTooOften,
            Self::TimeoutOutOfRange { .. } => ErrorCode::InvalidTimeout,
            Self::TooManySessions { .. } => ErrorCode::TooManySessions,
            Self::IdInUse => ErrorCode::IdInUse,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Misconfigured(_) => ErrorCode::Misconfigured,
            Self::CorruptRecord(_) | Self::Deserialize(_) => ErrorCode::CorruptRecord,
            Self::Randomness(_) | Self::Encryption | Self::NoFreeId => ErrorCode::Internal,
        }
    }
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
    /// The text is no session ID.
    Malformed,
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
            Self::Malformed => "malformed",
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
    pub variable: Cow<'static, str>,
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
