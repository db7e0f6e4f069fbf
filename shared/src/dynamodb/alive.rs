//! The rule of a live session, in both forms: as a condition for DynamoDB, and for an item that has been read.

use super::item::{Item, timestamp};
use super::record::deadlines;
use super::table::Table;
use crate::clock::Timestamp;
use crate::error::{Absence, Error};

/// Without it an expired or cleared session could be written back to life: TTL deletes days late, and an
/// update of a missing item creates it. A comparison with a missing attribute is false.
pub(super) const ALIVE: &str = "expires > :now AND absolute_expires > :now AND created >= :not_before";

impl Table {
    /// The condition [`ALIVE`], for an item that has been read.
    pub(crate) fn require_alive(&self, item: &Item, now: Timestamp) -> Result<(), Error> {
        if item.contains_key("renewed_to") {
            return Err(Error::NotFound(Absence::Superseded));
        }
        let deadlines = deadlines(item)?;
        if timestamp(item, "created")? < self.not_before {
            Err(Error::NotFound(Absence::NotBefore))
        } else if deadlines.is_alive(now) {
            Ok(())
        } else if now < deadlines.absolute {
            Err(Error::NotFound(Absence::IdleExpired))
        } else {
            Err(Error::NotFound(Absence::AbsoluteExpired))
        }
    }

    /// Why an update was refused. `item` is the record that its condition met; `otherwise`: the condition failed though the
    /// session is alive.
    pub(crate) fn why_refused(&self, item: Option<Item>, now: Timestamp, otherwise: Error) -> Error {
        match item.map(|item| self.require_alive(&item, now)) {
            None => Error::NotFound(Absence::Unknown),
            Some(Err(error)) => error,
            Some(Ok(())) => otherwise,
        }
    }
}
