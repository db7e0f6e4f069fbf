//! What is reported of each call: one [`tracing`] event with its outcome, its session and what it consumed.
//!
//! The event is for operators; the caller learns less. It holds nothing that a caller wrote: no header, no data, and
//! never a session ID.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::ConsumedCapacity;

use crate::clock::{Clock, Timestamp};
use crate::error::{Error, chain};
use crate::id::LoggableId;
use crate::subject::Subject;

/// A call sends no further request after this time: the last one takes up to 4 seconds, and a function has 10.
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);

/// The target of the events. Those of successful loads, which are most, have [`LOAD_TARGET`].
pub const TARGET: &str = "dynamodb_web_session::report";

/// The target of the events of successful loads, so that a subscriber can leave them out.
pub const LOAD_TARGET: &str = "dynamodb_web_session::report::load";

/// What a call did when it succeeded. The names are used in logs and as metric names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Created,
    Loaded,
    Saved,
    Renewed,
    Cleared,
    Listed,
    Revoked,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Loaded => "loaded",
            Self::Saved => "saved",
            Self::Renewed => "renewed",
            Self::Cleared => "cleared",
            Self::Listed => "listed",
            Self::Revoked => "revoked",
        }
    }
}

/// One call of a verb, from its start to its report.
pub(crate) struct Call<'a> {
    clock: &'a dyn Clock,
    /// The session that the call is for.
    pub(crate) session: Option<LoggableId>,
    /// The ID that a renewal gives to the session, or under which a clear has found it.
    pub(crate) new_session: Option<LoggableId>,
    /// The SHA-512 of the subject that the call is for.
    subject: Option<String>,
    /// How many sessions the call has listed or ended.
    pub(crate) sessions: Option<u64>,
    consumed: Consumed,
    started: Instant,
}

/// What a call has consumed of DynamoDB so far. DynamoDB does not say what a refused request consumed.
#[derive(Clone, Copy, Debug, Default)]
struct Consumed {
    /// Without the SDK's retries.
    requests: u64,
    read_units: f64,
    write_units: f64,
}

impl<'a> Call<'a> {
    pub(crate) fn new(clock: &'a dyn Clock) -> Self {
        Self {
            clock,
            session: None,
            new_session: None,
            subject: None,
            sessions: None,
            consumed: Consumed::default(),
            started: Instant::now(),
        }
    }

    /// A call for the session `id`.
    pub(crate) fn of(id: &LoggableId, clock: &'a dyn Clock) -> Self {
        Self { session: Some(id.clone()), ..Self::new(clock) }
    }

    /// A call for the sessions of `subject`.
    pub(crate) fn for_subject(mut self, subject: Option<&Subject>) -> Self {
        self.subject = subject.map(Subject::digest);
        self
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How long the call has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts a request that is about to be sent, and reads the clock for it: each request is judged by the time at
    /// which it is sent, not by the time at which the call began.
    pub(crate) fn request(&mut self) -> Timestamp {
        self.consumed.requests += 1;
        self.now()
    }

    /// As [`request`](Self::request), for a request that is one of many.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the call has taken too long for another one.
    pub(crate) fn further_request(&mut self) -> Result<Timestamp, Error> {
        self.require_time()?;
        Ok(self.request())
    }

    /// # Errors
    /// [`Error::Unavailable`] when the call has taken too long for another request.
    pub(crate) fn require_time(&self) -> Result<(), Error> {
        if self.elapsed() > REQUESTS_WITHIN {
            return Err(Error::Unavailable(
                "the call did not end in time: other writes, or a slow table".into(),
            ));
        }
        Ok(())
    }

    pub(crate) fn add_read(&mut self, consumed: Option<&ConsumedCapacity>) {
        self.consumed.read_units += consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
    }

    pub(crate) fn add_write(&mut self, consumed: Option<&ConsumedCapacity>) {
        self.consumed.write_units += consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
    }

    /// Reports the call, and returns its result.
    pub(crate) fn end<T>(self, result: Result<T, Error>, event: Event) -> Result<T, Error> {
        match &result {
            Ok(_) => self.emit(event.name(), "ok", None),
            Err(error) => {
                let (event, outcome) = names(error);
                self.emit(event, outcome, Some(error));
            }
        }
        result
    }

    fn emit(&self, event: &str, outcome: &str, error: Option<&Error>) {
        let Consumed { requests, read_units, write_units } = self.consumed;
        let id = self.session.as_ref().map(LoggableId::as_str);
        let (subject, sessions) = (self.subject.as_deref(), self.sessions);
        let new_id = self.new_session.as_ref().map(LoggableId::as_str);
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
            "loaded" => emit!(LOAD_TARGET, info,),
            "failed" => emit!(TARGET, error, error = error.map(detail)),
            _ => emit!(TARGET, info,),
        }
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
        Error::DataTooLarge { .. } | Error::DataTooDeep { .. } | Error::TimeoutOutOfRange { .. } => {
            ("refused", "invalid")
        }
        Error::TooManySessions { .. } => ("refused", "too-many-sessions"),
        Error::Unavailable(_) => ("failed", "unavailable"),
        Error::Serialize(_)
        | Error::Deserialize(_)
        | Error::Refused(_)
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
