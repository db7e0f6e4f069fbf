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
    exception(error.code().as_str(), chain(error))
}
