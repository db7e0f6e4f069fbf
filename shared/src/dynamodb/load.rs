//! The requests of a load.

use aws_sdk_dynamodb::types::ReturnValue;

use super::alive::ALIVE;
use super::item::Item;
use super::outcome::refused_item;
use super::record::Record;
use super::table::Table;
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::{Absence, Error};
use crate::id::{LoggableId, SessionId};

/// Counts the idle deadline from now. The item itself has the timeout.
const SLIDE: &str = "SET expires = idle_timeout + :now";

impl Table {
    /// The record of a live session.
    pub(crate) async fn get(&self, call: &mut Call<'_>, id: &SessionId) -> Result<Record, Error> {
        let item = self.get_item(call, id.loggable().as_str()).await?;
        let item = item.ok_or(Error::NotFound(Absence::Unknown))?;
        self.require_alive(&item, call.now())?;
        Record::from_item(id, item)
    }

    /// Slides the idle deadline of a live session, and returns the time that it counts from.
    pub(crate) async fn touch(&self, call: &mut Call<'_>, id: &LoggableId) -> Result<Timestamp, Error> {
        let now = call.request();
        self.send_touch(call, id, now, ReturnValue::None).await?;
        Ok(now)
    }

    /// Slides the idle deadline of a live session and reads its record, in one request.
    pub(crate) async fn touch_and_get(&self, call: &mut Call<'_>, id: &SessionId) -> Result<Record, Error> {
        let now = call.request();
        Record::from_item(id, self.send_touch(call, id.loggable(), now, ReturnValue::AllNew).await?)
    }

    async fn send_touch(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        now: Timestamp,
        returned: ReturnValue,
    ) -> Result<Item, Error> {
        let update = self
            .update_item(id, now)
            .await?
            .update_expression(SLIDE)
            .condition_expression(ALIVE)
            .return_values(returned);
        match update.send().await {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                Ok(output.attributes.unwrap_or_default())
            }
            Err(error) => Err(self.why_refused(refused_item(error)?, now, Error::NotFound(Absence::Unknown))),
        }
    }
}
