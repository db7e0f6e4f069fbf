//! The session table: a handle that every request goes through.

use std::error::Error as StdError;
use std::pin::Pin;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update as UpdatePart,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;

use super::client::Connection;
use super::compression;
use super::item::{Item, string, time, unbuildable};
use super::outcome::{
    Doubt, Transacted, Updated, classify, is_conflict, is_failed_condition, refused_item, transacted,
};
use super::seal::{Seal, sealed_data};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::config::{Config, SealMode};
use crate::error::Error;
use crate::etag::ETag;
use crate::id::{LoggableId, SessionId};
use crate::label_key::LabelKey;
use crate::pauses::Pauses;
use crate::time_limits::CONFLICTS_WITHIN;

#[derive(Clone, Debug)]
pub(crate) struct Table {
    connection: Connection,
    pub(super) name: String,
    /// Sessions that were created earlier are dead.
    pub(super) not_before: Timestamp,
    /// Whether data is stored sealed, and whether plain data is read.
    pub(super) seal: SealMode,
    /// Before the names of subjects, so that applications on one table do not meet.
    pub(super) namespace: String,
    /// The key of labels and contexts, if they are encrypted.
    pub(super) label_key: Option<LabelKey>,
}

/// How a transaction ended, and whether an attempt of it may be carried out late.
pub(crate) struct SentTransaction {
    pub(crate) outcome: Transacted,
    pub(crate) in_doubt: bool,
}

impl Table {
    pub(crate) fn new(connection: Connection, config: &Config) -> Self {
        Self {
            connection,
            name: config.table_name.clone(),
            not_before: config.not_before,
            seal: config.seal,
            namespace: config.subject_namespace.clone(),
            label_key: config.label_key.clone(),
        }
    }

    /// The client, connected at the first call.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] when there is no Region, for example.
    pub(super) async fn client(&self) -> Result<&Client, Error> {
        self.connection.client().await
    }

    /// Separates faults that may pass by themselves from those that need an operator.
    pub(super) fn classify<E>(&self, error: SdkError<E>) -> Error
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let region = self.connection.connected().and_then(|client| client.config().region());
        classify(error, &self.name, region.map(AsRef::as_ref))
    }

    /// The form in which the data of a session is stored, and its tag.
    pub(super) fn encode(&self, id: &SessionId, data: &str) -> Result<(AttributeValue, ETag), Error> {
        match self.seal {
            SealMode::Off => Ok((compression::to_attribute(data), ETag::of(data))),
            SealMode::On | SealMode::Migrate => {
                let seal = Seal::of(id);
                Ok((seal.seal(data)?, seal.etag(data)?))
            }
        }
    }

    pub(super) async fn get_item(
        &self,
        call: &mut Call<'_>,
        key: AttributeValue,
    ) -> Result<Option<Item>, Error> {
        let client = self.client().await?;
        call.request();
        let get = client
            .get_item()
            .table_name(&self.name)
            .key("id", key)
            // An eventually consistent read could return a session for up to a second after its end.
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = call.within(in_a_box(get.send())).await?.map_err(|error| self.classify(error))?;
        call.add_read(output.consumed_capacity());
        Ok(output.item)
    }

    /// An update of the item with this key, which returns the item when its condition fails: that tells why, without another
    /// request.
    pub(super) async fn update_item(&self, key: AttributeValue) -> Result<UpdateItemFluentBuilder, Error> {
        let update = self.client().await?.update_item().table_name(&self.name).key("id", key);
        Ok(update
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld))
    }

    /// An update of a record, whose condition may use `:now` and `:not_before`.
    pub(super) async fn update_record(
        &self,
        id: &LoggableId,
        now: Timestamp,
    ) -> Result<UpdateItemFluentBuilder, Error> {
        Ok(self
            .update_item(string(id.as_str()))
            .await?
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":not_before", time(self.not_before)))
    }

    /// Sends an update; and again, after short pauses, while a transaction on the item is in progress.
    pub(super) async fn send(
        &self,
        call: &mut Call<'_>,
        update: UpdateItemFluentBuilder,
    ) -> Result<Updated, Error> {
        let doubt = Doubt::default();
        let mut pauses = Pauses::of_conflicts();
        loop {
            let sent = in_a_box(update.clone().customize().interceptor(doubt.clone()).send());
            match call.within(sent).await? {
                Ok(output) => {
                    call.add_write(output.consumed_capacity());
                    return Ok(Updated::Done(output.attributes.unwrap_or_default()));
                }
                Err(error) if is_failed_condition(&error) => {
                    return Ok(Updated::Refused { item: refused_item(error), in_doubt: doubt.exists() });
                }
                Err(error) if is_conflict(&error) && call.elapsed() < CONFLICTS_WITHIN => {
                    pauses.next().await?;
                }
                Err(error) => return Err(self.classify(error)),
            }
        }
    }

    /// Sends a transaction whose first `records` actions are on records, and the others on lists. Attempts have one token, by
    /// which DynamoDB knows them as the same transaction for ten minutes.
    pub(super) async fn transact(
        &self,
        call: &mut Call<'_>,
        actions: Vec<TransactWriteItem>,
        records: usize,
    ) -> Result<SentTransaction, Error> {
        let client = self.client().await?;
        let transaction = client
            .transact_write_items()
            .set_transact_items(Some(actions))
            .client_request_token(token()?)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let doubt = Doubt::default();
        let mut pauses = Pauses::of_conflicts();
        loop {
            let sent = in_a_box(transaction.clone().customize().interceptor(doubt.clone()).send());
            let response = call.within(sent).await?;
            match transacted(call, response, records, |error| self.classify(error)) {
                // An earlier attempt of this transaction. The same token tells how it ended.
                Ok(Transacted::InProgress) if call.elapsed() < CONFLICTS_WITHIN => pauses.next().await?,
                Ok(outcome) => return Ok(SentTransaction { outcome, in_doubt: doubt.exists() }),
                Err(error) => return Err(error),
            }
        }
    }

    /// The opened data of a record.
    pub(super) fn open(&self, id: &SessionId, stored: AttributeValue, etag: &ETag) -> Option<String> {
        match sealed_data(&stored) {
            Some(sealed) => {
                let seal = Seal::of(id);
                let data = seal.open(sealed)?;
                // A tag that was changed could make a save with If-Match pass.
                (seal.etag(&data).ok()? == *etag).then_some(data)
            }
            // A person who can write to the table could replace sealed data by this.
            None if self.seal == SealMode::On => None,
            None => compression::from_attribute(stored),
        }
    }
}

/// The SDK's futures are so large that each layer around them is expensive to move, and so deep that rustc gives up.
pub(super) fn in_a_box<'a, T>(
    sent: impl Future<Output = T> + Send + 'a,
) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
    Box::pin(sent)
}

/// A token of a transaction. From the operating system: processes that were forked, or restored from a snapshot, must not
/// send the same ones.
fn token() -> Result<String, Error> {
    let mut random = [0; 24];
    SysRng.try_fill_bytes(&mut random).map_err(|error| Error::Randomness(error.into()))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(random))
}

/// A put as a part of a transaction.
pub(super) fn put(part: aws_sdk_dynamodb::types::builders::PutBuilder) -> Result<TransactWriteItem, Error> {
    let put: Put = part.build().map_err(unbuildable)?;
    Ok(TransactWriteItem::builder().put(put).build())
}

/// An update as a part of a transaction, which returns the item when the condition fails.
pub(super) fn update(request: &UpdateItemFluentBuilder) -> Result<TransactWriteItem, Error> {
    let update = request.as_input();
    let part = UpdatePart::builder()
        .set_table_name(update.get_table_name().clone())
        .set_key(update.get_key().clone())
        .set_update_expression(update.get_update_expression().clone())
        .set_condition_expression(update.get_condition_expression().clone())
        .set_expression_attribute_names(update.get_expression_attribute_names().clone())
        .set_expression_attribute_values(update.get_expression_attribute_values().clone())
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(unbuildable)?;
    Ok(TransactWriteItem::builder().update(part).build())
}
