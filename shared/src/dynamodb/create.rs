//! The requests of a create.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Builder;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{Put, ReturnConsumedCapacity, TransactWriteItem};

use super::item::{Item, unbuildable};
use super::outcome::{Transacted, classify, is_failed_condition, transacted};
use super::record::Record;
use super::subject_list::ListChange;
use super::table::Table;
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::SessionId;

/// Does not overwrite an existing record.
const NOT_TAKEN: &str = "attribute_not_exists(id)";

impl Table {
    /// Stores a new record of a session without a subject. False: the key is taken.
    pub(crate) async fn insert(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        record: &mut Record,
    ) -> Result<bool, Error> {
        let client = self.client().await?;
        call.request();
        let put = client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(self.to_item(id, record)?))
            .condition_expression(NOT_TAKEN)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match put.customize().config_override(one_attempt(client)).send().await {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                Ok(true)
            }
            Err(error) if is_failed_condition(&error) => Ok(false),
            Err(error) => Err(classify(error)),
        }
    }

    /// Stores a new record, and adds it to its subject's list.
    pub(crate) async fn insert_listed(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        record: &mut Record,
        change: ListChange<'_>,
        list_expires: Timestamp,
    ) -> Result<Transacted, Error> {
        let client = self.client().await?;
        call.request();
        let put = TransactWriteItem::builder().put(self.put_new(id, record)?).build();
        let list = TransactWriteItem::builder().update(change.to_update(&self.name, list_expires)?).build();
        let transaction = client
            .transact_write_items()
            .transact_items(put)
            .transact_items(list)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        transacted(call, transaction.customize().config_override(one_attempt(client)).send().await, 1)
    }

    /// The item of a record, whose tag becomes that of the stored data.
    fn to_item(&self, id: &SessionId, record: &mut Record) -> Result<Item, Error> {
        let (data, etag) = self.encode(id, &record.data)?;
        record.etag = etag;
        Ok(record.to_item(id.loggable(), data))
    }

    pub(super) fn put_new(&self, id: &SessionId, record: &mut Record) -> Result<Put, Error> {
        Put::builder()
            .table_name(&self.name)
            .set_item(Some(self.to_item(id, record)?))
            .condition_expression(NOT_TAKEN)
            .build()
            .map_err(unbuildable)
    }
}

/// For writes that create a session. The SDK would send the same ID again: an attempt that arrives late, after the
/// session was cleared, would bring it back. The caller tries another ID, so that a late attempt makes a session that
/// has no holder.
fn one_attempt(client: &Client) -> Builder {
    let retries = client.config().retry_config().cloned().unwrap_or_else(RetryConfig::standard);
    Builder::new().retry_config(retries.with_max_attempts(1))
}
