//! The verbs: for each, its rules and its retry loop.

mod clear;
mod create;
mod list;
mod load;
mod membership;
mod renew;
mod revoke;
mod save;

use crate::error::{Absence, Error};
use crate::id::SessionId;

/// The ID of a verb. A text that is no ID names no session.
fn known(id: Option<&SessionId>) -> Result<&SessionId, Error> {
    id.ok_or(Error::NotFound(Absence::Malformed))
}

/// To the caller, a session that does not exist is `None` and not an error.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
