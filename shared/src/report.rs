//! What is reported of each call: one [`tracing`] event with its outcome, its session and what it consumed.
//!
//! The event is for operators; the caller learns less. It holds nothing that a caller wrote: no header, no data, and
//! never a session ID.

use aws_sdk_dynamodb::types::ConsumedCapacity;

use crate::clock::{Clock, Timestamp};
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
    Saved,
    Renewed,
    Cleared,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Loaded => "loaded",
            Self::Saved => "saved",
            Self::Renewed => "renewed",
            Self::Cleared => "cleared",
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
    consumed: Consumed,
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
        Self { clock, session: None, new_session: None, consumed: Consumed::default() }
    }

    /// A call for the session `id`.
    pub(crate) fn of(id: &LoggableId, clock: &'a dyn Clock) -> Self {
        Self { session: Some(id.clone()), ..Self::new(clock) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Counts a request that is about to be sent, and reads the clock for it: each request is judged by the time at
    /// which it is sent, not by the time at which the call began.
    pub(crate) fn request(&mut self) -> Timestamp {
        self.consumed.requests += 1;
        self.now()
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
        let new_id = self.new_session.as_ref().map(LoggableId::as_str);
        // The target and the level of an event are constants, so that an unwanted event costs nothing.
        macro_rules! emit {
            ($target:ident, $level:ident, $($more:tt)*) => {
                tracing::$level!(
                    target: $target,
                    event, outcome, loggable_session_id = id, new_loggable_session_id = new_id,
                    requests, read_units, write_units, $($more)*
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
        Error::Unavailable(_) => ("failed", "unavailable"),
        Error::Serialize(_)
        | Error::Deserialize(_)
        | Error::Refused(_)
        | Error::CorruptRecord(_)
        | Error::Randomness(_)
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
