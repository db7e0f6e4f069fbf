//! The requests of a load.

use aws_sdk_dynamodb::types::ReturnValue;

use super::alive::{ALIVE, MAY_SLIDE};
use super::item::{Item, string, time};
use super::outcome::Updated;
use super::record::Record;
use super::table::Table;
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::{Absence, Error};
use crate::id::{LoggableId, SessionId};

/// Counts the idle deadline from now. The item itself has the timeout.
pub(super) const SLIDE: &str = "SET expires = idle_timeout + :now";

/// As [`SLIDE`], with the moment until which it may slide again.
const SLIDE_AND_BOUND: &str = "SET expires = idle_timeout + :now, slide_by = :slide_by";

/// How a slide of the idle deadline ended.
pub(crate) enum Slid {
    /// With the time that the deadline counts from, and the item if it was asked for.
    At(Timestamp, Item),
    /// The bound in the list of its subject has to become later first. This is the record.
    Overdue(Item),
}

impl Table {
    /// The record of a live session.
    pub(crate) async fn get(&self, call: &mut Call<'_>, id: &SessionId) -> Result<Record, Error> {
        let item = self.get_item(call, string(id.loggable().as_str())).await?;
        let item = item.ok_or(Error::NotFound(Absence::Unknown))?;
        self.require_alive(&item, call.now())?;
        self.to_record(id, item)
    }

    /// Slides the idle deadline of a live session. `slide_by`: the new one, after the bound in the list has become later.
    pub(crate) async fn slide(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        slide_by: Option<Timestamp>,
        returned: ReturnValue,
    ) -> Result<Slid, Error> {
        let now = call.request();
        let update = self.update_record(id, now).await?.return_values(returned);
        let update = match slide_by {
            None => update.update_expression(SLIDE).condition_expression(format!("{ALIVE} AND {MAY_SLIDE}")),
            Some(slide_by) => update
                .update_expression(SLIDE_AND_BOUND)
                .condition_expression(format!("{ALIVE} AND slide_by < :slide_by"))
                .expression_attribute_values(":slide_by", time(slide_by)),
        };
        match self.send(call, update).await? {
            Updated::Done(item) => Ok(Slid::At(now, item)),
            Updated::Refused { item, .. } => Ok(Slid::Overdue(self.alive(item, now)?)),
        }
    }
}
