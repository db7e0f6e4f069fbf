//! The crate's errors, with a code that `errors.js` makes a class of.

use dynamodb_web_session::{ConfigError, Error, chain};
use napi::Status;

/// An exception in JavaScript whose message begins with a code.
pub(crate) fn exception(code: &str, message: impl std::fmt::Display) -> napi::Error {
    napi::Error::new(Status::GenericFailure, format!("{code}: {message}"))
}

pub(crate) fn invalid_argument(message: impl std::fmt::Display) -> napi::Error {
    exception("INVALID_ARGUMENT", message)
}

pub(crate) fn configuration(error: &ConfigError) -> napi::Error {
    exception("CONFIGURATION", error)
}

pub(crate) fn session(error: &Error) -> napi::Error {
    let code = match error {
        Error::NotFound(_) => "NOT_FOUND",
        Error::Changed => "CHANGED",
        Error::DataTooLarge { .. } => "DATA_TOO_LARGE",
        Error::DataTooDeep { .. } | Error::Serialize(_) => "INVALID_DATA",
        Error::TimeoutOutOfRange { .. } => "INVALID_TIMEOUT",
        Error::TooManySessions { .. } => "TOO_MANY_SESSIONS",
        Error::Unavailable(_) => "UNAVAILABLE",
        Error::Refused(_) => "REFUSED",
        Error::CorruptRecord(_) | Error::Deserialize(_) => "CORRUPT_RECORD",
        Error::IdInUse => "ID_IN_USE",
        _ => "INTERNAL",
    };
    exception(code, chain(error))
}
