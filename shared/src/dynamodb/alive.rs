//! The rule of a live session, in both forms: as a condition for DynamoDB, and for an item that has been read.

use super::item::{Item, timestamp};
use super::record::deadlines;
use super::table::Table;
use crate::clock::Timestamp;
use crate::error::{Absence, Error};

/// Without it an expired or cleared session could be written back to life: TTL deletes days late, and an
/// update of a missing item creates it. A comparison with a missing attribute is false.
pub(super) const ALIVE: &str = "expires > :now AND absolute_expires > :now AND created >= :not_before";

/// The bound of the idle deadline in the subject's list must not be passed. A session without a subject has none.
pub(super) const MAY_SLIDE: &str = "(attribute_not_exists(slide_by) OR slide_by >= :now)";

impl Table {
    /// The condition [`ALIVE`], for an item that has been read.
    ///
    /// # Errors
    /// Why it is dead.
    pub(crate) fn require_alive(&self, item: &Item, now: Timestamp) -> Result<(), Error> {
        if item.contains_key("renewed_to") {
            return Err(Error::NotFound(Absence::Superseded));
        }
        if item.contains_key("ended_at") {
            return Err(Error::NotFound(Absence::Unknown));
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

    /// The item that the condition of an update met, if the session is alive.
    ///
    /// # Errors
    /// Why it is dead.
    pub(super) fn alive(&self, item: Option<Item>, now: Timestamp) -> Result<Item, Error> {
        let item = item.ok_or(Error::NotFound(Absence::Unknown))?;
        self.require_alive(&item, now)?;
        Ok(item)
    }
}
