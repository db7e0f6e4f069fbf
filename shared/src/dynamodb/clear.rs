//! The requests of a clear.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure};

use super::conditions::etag_condition;
use super::item::string;
use super::outcome::{Doubt, classify, is_failed_condition};
use super::table::Table;
use super::tombstone;
use crate::call::Call;
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::LoggableId;

/// What a delete has found.
pub(crate) enum Deleted {
    /// A live session, which it has ended.
    Ended,
    /// No record, after an attempt whose response was lost: that attempt may have deleted it.
    InDoubt,
    /// A tombstone, with the session's new ID.
    RenewedTo(LoggableId),
}

impl Table {
    /// Deletes the record of a session, dead or alive, unless it is a tombstone of at most this age.
    pub(crate) async fn delete(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        preconditions: &Preconditions,
        max_tombstone_age: u64,
    ) -> Result<Deleted, Error> {
        let client = self.client().await?;
        let now = call.request();
        let doubt = Doubt::default();
        let delete = self.delete_request(client, id, preconditions).customize().interceptor(doubt.clone());
        let (item, is_deleted) = match delete.send().await {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                (output.attributes, true)
            }
            Err(error) if is_failed_condition(&error) => match error.into_service_error() {
                DeleteItemError::ConditionalCheckFailedException(failed) => (failed.item, false),
                _ => (None, false),
            },
            Err(error) => return Err(classify(error)),
        };
        let Some(item) = item else {
            // After a doubtful attempt, it was that attempt that deleted it.
            return if doubt.exists() {
                Ok(Deleted::InDoubt)
            } else {
                Err(Error::NotFound(Absence::Unknown))
            };
        };
        if let Some(renewed_to) = tombstone::read(&item, now, max_tombstone_age) {
            return Ok(Deleted::RenewedTo(renewed_to));
        }
        match self.require_alive(&item, now) {
            Ok(()) if !is_deleted => Err(Error::Changed),
            Ok(()) => Ok(Deleted::Ended),
            Err(Error::CorruptRecord(_)) if is_deleted => Ok(Deleted::Ended),
            Err(error) => Err(error),
        }
    }

    fn delete_request(
        &self,
        client: &Client,
        id: &LoggableId,
        preconditions: &Preconditions,
    ) -> DeleteItemFluentBuilder {
        let (condition, tags) = etag_condition(preconditions);
        let request = client
            .delete_item()
            .table_name(&self.name)
            .key("id", string(id.as_str()))
            .condition_expression(format!("attribute_not_exists(renewed_to){condition}"))
            .return_values(ReturnValue::AllOld) // so that the log can say what has ended
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        tags.into_iter()
            .fold(request, |request, (name, tag)| request.expression_attribute_values(name, string(tag)))
    }
}
