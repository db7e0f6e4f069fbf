//! The requests of a renewal.

use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, TransactWriteItem};

use super::outcome::{Transacted, transacted};
use super::record::Record;
use super::subject_list::ListChange;
use super::table::Table;
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::{LoggableId, SessionId};

impl Table {
    /// Moves a live session from the ID `old`, where its record is still `record`, to the ID `new`, where it is `moved`,
    /// completely or not at all. It counts as a use, and leaves a tombstone under the old ID.
    pub(crate) async fn rename(
        &self,
        call: &mut Call<'_>,
        (old, record): (&LoggableId, &Record),
        (new, moved): (&SessionId, &mut Record),
        changes: &[ListChange<'_>],
        list_expires: Timestamp,
    ) -> Result<Transacted, Error> {
        let client = self.client().await?;
        let now = call.request();
        let tombstone = self.to_tombstone(old, new.loggable(), record, now)?;
        let mut transaction = client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(tombstone).build())
            .transact_items(TransactWriteItem::builder().put(self.put_new(new, moved)?).build())
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        for change in changes {
            let update = change.to_update(&self.name, list_expires)?;
            transaction = transaction.transact_items(TransactWriteItem::builder().update(update).build());
        }
        transacted(call, transaction.send().await, 2)
    }
}
