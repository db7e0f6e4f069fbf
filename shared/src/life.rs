//! What an operator is told of each call: how it ended, of which session, and at what cost. The caller is told less.
//!
//! A call is one [`tracing`] event. Nothing that a caller wrote is in it: no header, no data, and never a session ID.

use std::error::Error as StdError;

use aws_sdk_dynamodb::types::ConsumedCapacity;

use crate::error::{Error, chain};
use crate::id::LoggableId;

/// The target of the events that tell how a call ended.
pub(crate) const LIFE: &str = "dynamodb_web_session::life";

/// And of those that tell of a load that succeeded, as most calls do.
pub(crate) const LOADS: &str = "dynamodb_web_session::life::loads";

/// Why there is no session. For logs alone: whoever asks for a session is not to learn it
/// (OWASP Session Management Cheat Sheet, "Session ID Guessing and Brute Force Detection").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// No record has its ID: it was never issued, was cleared or renewed, or expired long ago.
    Unknown,
    /// It was not used for as long as its idle timeout.
    IdleExpired,
    /// Its absolute timeout has passed.
    AbsoluteExpired,
    /// It was created before `SESSION_NOT_BEFORE`.
    Revoked,
}

/// How a call ended. The texts are names in logs and of metrics.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Created,
    Loaded,
    Saved,
    Renewed {
        /// By this ID the session goes on.
        to: LoggableId,
    },
    Cleared,
    Absent(Absence),
    /// If-Match did not hold.
    Conflict,
    /// The request is one that no session could grant.
    Invalid,
    /// There was no session ID.
    #[cfg(feature = "http")]
    Missing,
    /// What stood in the place of the session ID is none.
    #[cfg(feature = "http")]
    Malformed,
    /// A page of another site sent it.
    #[cfg(feature = "http")]
    CrossSite,
    /// The table was out of reach or throttled.
    Unavailable,
    /// Somebody has to mend something.
    Failed,
}

impl Outcome {
    /// The event, and the reason where there is one.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::Created => ("created", "ok"),
            Self::Loaded => ("loaded", "ok"),
            Self::Saved => ("saved", "ok"),
            Self::Renewed { .. } => ("renewed", "ok"),
            Self::Cleared => ("cleared", "ok"),
            Self::Absent(Absence::Unknown) => ("refused", "unknown"),
            Self::Absent(Absence::IdleExpired) => ("refused", "idle-expired"),
            Self::Absent(Absence::AbsoluteExpired) => ("refused", "absolute-expired"),
            Self::Absent(Absence::Revoked) => ("refused", "revoked"),
            Self::Conflict => ("refused", "conflict"),
            Self::Invalid => ("refused", "invalid"),
            #[cfg(feature = "http")]
            Self::Missing => ("refused", "missing"),
            #[cfg(feature = "http")]
            Self::Malformed => ("refused", "malformed"),
            #[cfg(feature = "http")]
            Self::CrossSite => ("refused", "cross-site"),
            Self::Unavailable => ("failed", "unavailable"),
            Self::Failed => ("failed", "internal"),
        }
    }
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        match error {
            Error::NotFound(absence) => Self::Absent(*absence),
            Error::Changed => Self::Conflict,
            Error::DataTooLarge { .. } | Error::DataTooDeep { .. } | Error::TimeoutOutOfRange { .. } => {
                Self::Invalid
            }
            Error::Unavailable(_) => Self::Unavailable,
            Error::Serialize(_)
            | Error::Deserialize(_)
            | Error::Refused(_)
            | Error::CorruptRecord(_)
            | Error::Randomness(_)
            | Error::NoFreeId => Self::Failed,
        }
    }
}

/// What a call has asked of DynamoDB so far. DynamoDB does not say what a refused request cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Requests, the SDK's own retries aside.
    pub(crate) requests: u64,
    read_units: f64,
    write_units: f64,
}

impl Usage {
    pub(crate) fn add_read(&mut self, consumed: Option<&ConsumedCapacity>) {
        self.read_units += consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
    }

    pub(crate) fn add_write(&mut self, consumed: Option<&ConsumedCapacity>) {
        self.write_units += consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
    }
}

/// Reports a call by its result.
pub(crate) fn report<T>(
    id: Option<&LoggableId>,
    result: &Result<T, Error>,
    outcome: impl FnOnce(&T) -> Outcome,
    usage: Usage,
) {
    let outcome = result.as_ref().map_or_else(Outcome::from, outcome);
    report_outcome(&outcome, id, result.as_ref().err().map(|error| error as _), usage);
}

/// Reports how a call ended.
pub(crate) fn report_outcome(
    outcome: &Outcome,
    id: Option<&LoggableId>,
    error: Option<&dyn StdError>,
    usage: Usage,
) {
    let (event, reason) = outcome.names();
    let Usage { requests, read_units, write_units } = usage;
    let id = id.map(LoggableId::as_str);
    // The target and the level of an event are constants, so that one which nobody wants costs nothing.
    macro_rules! report {
        ($target:ident, $level:ident, $($more:tt)*) => {
            tracing::$level!(
                target: $target,
                event, outcome = reason, loggable_session_id = id, requests, read_units, write_units, $($more)*
            )
        };
    }
    match outcome {
        Outcome::Loaded => report!(LOADS, info,),
        Outcome::Renewed { to } => report!(LIFE, info, new_loggable_session_id = to.as_str()),
        Outcome::Unavailable | Outcome::Failed => report!(LIFE, error, error = error.map(chain)),
        _ => report!(LIFE, info,),
    }
}
