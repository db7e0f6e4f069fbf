//! What is reported of each call: one [`tracing`] event with its outcome, its session and what it consumed.
//!
//! The event is for operators; the caller learns less. It holds nothing that a caller wrote: no header, no data, and
//! never a session ID.

use crate::error::{Error, chain};
use crate::id::LoggableId;

/// The target of the events. Those of successful loads, which are most, have [`LOAD_TARGET`].
pub const TARGET: &str = "dynamodb_web_session::report";

/// The target of the events of successful loads, so that a subscriber can leave them out.
pub const LOAD_TARGET: &str = "dynamodb_web_session::report::load";

/// What a call did when it succeeded. The names are used in logs and as metric names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Created,
    Loaded,
    /// The idle deadline of a session that was loaded before was extended.
    Used,
    Saved,
    Renewed,
    LoggedIn,
    Cleared,
    Listed,
    Revoked,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Loaded => "loaded",
            Self::Used => "used",
            Self::Saved => "saved",
            Self::Renewed => "renewed",
            Self::LoggedIn => "logged-in",
            Self::Cleared => "cleared",
            Self::Listed => "listed",
            Self::Revoked => "revoked",
        }
    }
}

/// What the event of a call says, besides its outcome.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The session that the call is for.
    pub(crate) session: Option<LoggableId>,
    /// The ID that a renewal gives to the session, or under which a clear has found it.
    pub(crate) new_session: Option<LoggableId>,
    /// The SHA-512 of the subject that the call is for.
    pub(crate) subject: Option<String>,
    /// How many sessions the call has listed or ended.
    pub(crate) sessions: Option<u64>,
    /// Requests to DynamoDB, without the SDK's retries.
    pub(crate) requests: u64,
    /// What they have consumed. DynamoDB does not say what a refused request consumed.
    pub(crate) read_units: f64,
    pub(crate) write_units: f64,
}

/// Emits the one event of a call: what it did, or why it failed.
pub(crate) fn emit(report: &Report, did: Event, error: Option<&Error>) {
    let (event, outcome) = error.map_or((did.name(), "ok"), names);
    let Report { requests, read_units, write_units, sessions, .. } = *report;
    let id = report.session.as_ref().map(LoggableId::as_str);
    let new_id = report.new_session.as_ref().map(LoggableId::as_str);
    let subject = report.subject.as_deref();
    // The target and the level of an event are constants, so that an unwanted event costs nothing.
    macro_rules! emit {
        ($target:ident, $level:ident, $($more:tt)*) => {
            tracing::$level!(
                target: $target,
                event, outcome, loggable_session_id = id, new_loggable_session_id = new_id,
                loggable_subject = subject, sessions, requests, read_units, write_units, $($more)*
            )
        };
    }
    match event {
        "loaded" | "used" => emit!(LOAD_TARGET, info,),
        "failed" => emit!(TARGET, error, error = error.map(detail)),
        _ => emit!(TARGET, info,),
    }
}

/// The error and its causes. serde's own text is left out: it quotes the data.
fn detail(error: &Error) -> String {
    match error {
        Error::Serialize(source) | Error::Deserialize(source) => {
            let (category, line, column) = (source.classify(), source.line(), source.column());
            format!("{error}: {category:?} at line {line}, column {column}")
        }
        _ => chain(error),
    }
}

/// The event and the outcome that an error is reported as.
fn names(error: &Error) -> (&'static str, &'static str) {
    match error {
        Error::NotFound(absence) => ("refused", absence.name()),
        Error::Changed => ("refused", "conflict"),
        Error::DataTooLarge { .. }
        | Error::DataTooDeep { .. }
        | Error::DataNotPortable { .. }
        | Error::TimeoutOutOfRange { .. } => ("refused", "invalid"),
        Error::RenewedTooOften { .. } => ("refused", "renewed-too-often"),
        Error::TooManySessions { .. } => ("refused", "too-many-sessions"),
        Error::Unavailable(_) => ("failed", "unavailable"),
        Error::Serialize(_)
        | Error::Deserialize(_)
        | Error::Misconfigured(_)
        | Error::CorruptRecord(_)
        | Error::Randomness(_)
        | Error::Encryption
        | Error::IdInUse
        | Error::NoFreeId => ("failed", "internal"),
    }
}

/// Reports a request that was refused before any verb was called. For services that are built on this crate.
pub fn refused(outcome: &str) {
    tracing::info!(
        target: TARGET,
        event = "refused", outcome, requests = 0, read_units = 0.0, write_units = 0.0
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_not_quoted() {
        let error = serde_json::from_str::<u64>("\n \"the data\"").unwrap_err();
        assert!(error.to_string().contains("the data"), "serde quotes it");
        let detail = detail(&Error::Deserialize(error));
        assert_eq!(detail, "the stored data is not of the type asked for: Data at line 2, column 11");
    }
}
