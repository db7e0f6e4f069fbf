//! The requests of a create.

use aws_sdk_dynamodb::types::{Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};

use super::item::Item;
use super::lists::ListChange;
use super::outcome::{Doubt, is_failed_condition};
use super::record::{Record, chain};
use super::table::{SentTransaction, Table, in_a_box, put};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::SessionId;

/// Does not overwrite an existing record or tombstone.
pub(super) const NOT_TAKEN: &str = "attribute_not_exists(id)";

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
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let doubt = Doubt::default();
        match call.within(in_a_box(put.customize().interceptor(doubt.clone()).send())).await? {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                Ok(true)
            }
            Err(error) if is_failed_condition(&error) => {
                use aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException;
                let item = match error.into_service_error() {
                    ConditionalCheckFailedException(failed) => failed.item,
                    _ => None,
                };
                // An attempt whose response was lost may have stored it. The chain is of this call alone.
                Ok(doubt.exists() && record.is_in(item.as_ref()))
            }
            Err(error) => Err(self.classify(error)),
        }
    }

    /// Stores a new record, and adds it to its subject's list: the action at place 1.
    pub(crate) async fn insert_listed(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        record: &mut Record,
        change: &ListChange<'_>,
        list_expires: Timestamp,
    ) -> Result<SentTransaction, Error> {
        call.request();
        let actions = vec![put(self.put_new(id, record)?)?, self.list_action(change, list_expires).await?];
        self.transact(call, actions, 1).await
    }

    pub(super) fn put_new(
        &self,
        id: &SessionId,
        record: &mut Record,
    ) -> Result<aws_sdk_dynamodb::types::builders::PutBuilder, Error> {
        Ok(Put::builder()
            .table_name(&self.name)
            .set_item(Some(self.to_item(id, record)?))
            .condition_expression(NOT_TAKEN)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld))
    }
}

impl Record {
    /// Whether an item is this record, as an attempt of this call has stored it.
    pub(crate) fn is_in(&self, item: Option<&Item>) -> bool {
        item.is_some_and(|item| chain(item).is_ok_and(|chain| chain == self.chain))
    }
}
