//! The crate's errors as exceptions, which `exceptions.py` defines.

use dynamodb_web_session::{ConfigError, Error, ErrorCode, chain};
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
import_exception!(dynamodb_web_session.exceptions, MisconfiguredError);
import_exception!(dynamodb_web_session.exceptions, RenewedTooOftenError);
import_exception!(dynamodb_web_session.exceptions, TooManySessionsError);
import_exception!(dynamodb_web_session.exceptions, UnavailableError);

/// Why a call failed.
pub(crate) struct Failure(Error);

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        let Failure(error) = failure;
        let text = chain(&error);
        match error.code() {
            ErrorCode::NotFound => NotFoundError::new_err(text),
            ErrorCode::Changed => ChangedError::new_err(text),
            ErrorCode::DataTooLarge => DataTooLargeError::new_err(text),
            ErrorCode::InvalidData => InvalidDataError::new_err(text),
            ErrorCode::InvalidTimeout => InvalidTimeoutError::new_err(text),
            ErrorCode::TooManySessions => TooManySessionsError::new_err(text),
            ErrorCode::RenewedTooOften => RenewedTooOftenError::new_err(text),
            ErrorCode::Unavailable => UnavailableError::new_err(text),
            ErrorCode::Misconfigured => MisconfiguredError::new_err(text),
            ErrorCode::CorruptRecord => CorruptRecordError::new_err(text),
            ErrorCode::IdInUse | ErrorCode::Internal => SessionError::new_err(text),
        }
    }
}

pub(crate) fn configuration(error: &ConfigError) -> PyErr {
    ConfigurationError::new_err(error.to_string())
}
