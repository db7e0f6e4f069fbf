//! The crate's errors as exceptions, which `exceptions.py` defines.

use dynamodb_web_session::{ConfigError, Error, chain};
use pyo3::import_exception;
use pyo3::prelude::*;

import_exception!(dynamodb_web_session.exceptions, SessionError);
import_exception!(dynamodb_web_session.exceptions, ChangedError);
import_exception!(dynamodb_web_session.exceptions, ConfigurationError);
import_exception!(dynamodb_web_session.exceptions, CorruptRecordError);
import_exception!(dynamodb_web_session.exceptions, DataTooLargeError);
import_exception!(dynamodb_web_session.exceptions, InvalidDataError);
import_exception!(dynamodb_web_session.exceptions, InvalidTimeoutError);
import_exception!(dynamodb_web_session.exceptions, NotFoundError);
import_exception!(dynamodb_web_session.exceptions, RefusedError);
import_exception!(dynamodb_web_session.exceptions, TooManySessionsError);
import_exception!(dynamodb_web_session.exceptions, UnavailableError);

/// Why a call failed.
pub(crate) enum Failure {
    Session(Error),
    Configuration(ConfigError),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Configuration(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::Session(error) => error,
            Failure::Configuration(error) => return configuration(&error),
        };
        let text = chain(&error);
        match error {
            Error::NotFound(_) => NotFoundError::new_err(text),
            Error::Changed => ChangedError::new_err(text),
            Error::DataTooLarge { .. } => DataTooLargeError::new_err(text),
            Error::DataTooDeep { .. } | Error::Serialize(_) => InvalidDataError::new_err(text),
            Error::TimeoutOutOfRange { .. } => InvalidTimeoutError::new_err(text),
            Error::TooManySessions { .. } => TooManySessionsError::new_err(text),
            Error::Unavailable(_) => UnavailableError::new_err(text),
            Error::Refused(_) => RefusedError::new_err(text),
            Error::CorruptRecord(_) | Error::Deserialize(_) => CorruptRecordError::new_err(text),
            _ => SessionError::new_err(text),
        }
    }
}

pub(crate) fn configuration(error: &ConfigError) -> PyErr {
    ConfigurationError::new_err(error.to_string())
}
