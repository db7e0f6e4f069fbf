//! The session table: a handle that every request goes through.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure};

use super::client::Connection;
use super::compression;
use super::item::{Item, string, time};
use super::outcome::classify;
use super::seal::Seal;
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::etag::ETag;
use crate::id::{LoggableId, SessionId};

#[derive(Clone, Debug)]
pub(crate) struct Table {
    connection: Connection,
    pub(super) name: String,
    /// Sessions that were created earlier are dead.
    pub(super) not_before: Timestamp,
    /// Whether data is stored sealed. Both forms are read.
    seals: bool,
}

impl Table {
    pub(crate) fn new(connection: Connection, name: String, not_before: Timestamp, seals: bool) -> Self {
        Self { connection, name, not_before, seals }
    }

    /// The client, connected at the first call.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] when there is no Region, for example.
    pub(super) async fn client(&self) -> Result<&Client, Error> {
        self.connection.client().await
    }

    /// The form in which the data of a session is stored, and its tag.
    pub(super) fn encode(&self, id: &SessionId, data: &str) -> Result<(AttributeValue, ETag), Error> {
        if self.seals {
            let seal = Seal::of(id);
            Ok((seal.seal(data)?, seal.etag(data)?))
        } else {
            Ok((compression::to_attribute(data), ETag::of(data)))
        }
    }

    pub(super) async fn get_item(&self, call: &mut Call<'_>, key: &str) -> Result<Option<Item>, Error> {
        let client = self.client().await?;
        call.request();
        let get = client
            .get_item()
            .table_name(&self.name)
            .key("id", string(key))
            // An eventually consistent read could return a session for up to a second after its end.
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = get.send().await.map_err(classify)?;
        call.add_read(output.consumed_capacity());
        Ok(output.item)
    }

    /// An update of a record whose condition may use `:now` and `:not_before`.
    pub(super) async fn update_item(
        &self,
        id: &LoggableId,
        now: Timestamp,
    ) -> Result<UpdateItemFluentBuilder, Error> {
        let update = self.client().await?.update_item().table_name(&self.name).key("id", string(id.as_str()));
        Ok(update
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":not_before", time(self.not_before))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            // It tells why a condition failed, without another request.
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld))
    }
}
