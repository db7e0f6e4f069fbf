//! The session table. Every DynamoDB expression stands here, and nowhere else.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnConsumedCapacity, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};

use crate::clock::Timestamp;
use crate::compression;
use crate::error::{BoxError, Error};
use crate::etag::{ETag, IfMatch};
use crate::id::LoggableId;
use crate::life::{Absence, Usage};
use crate::timeouts::{Deadlines, Timeouts};

/// Without it an expired or cleared session could be written back to life: TTL deletes days late, and an
/// update of a missing item creates it. A comparison with a missing attribute is false.
const ALIVE: &str = "expires > :now AND absolute_expires > :now AND created >= :not_before";

/// A key that is taken keeps its record.
const NOT_TAKEN: &str = "attribute_not_exists(id)";

type Item = HashMap<String, AttributeValue>;

/// What one item of the table says.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) data: String,
    pub(crate) etag: ETag,
    pub(crate) created: Timestamp,
    pub(crate) idle_seconds: u64,
    pub(crate) deadlines: Deadlines,
}

/// What a save changes. What is `None` stays as it is.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) data: Option<String>,
    pub(crate) idle_seconds: Option<u64>,
    pub(crate) absolute_seconds: Option<u64>,
    pub(crate) if_match: IfMatch,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    client: Client,
    name: String,
    /// Sessions that were created earlier are dead.
    not_before: Timestamp,
}

impl Table {
    pub(crate) fn new(client: Client, name: String, not_before: Timestamp) -> Self {
        Self { client, name, not_before }
    }

    /// Stores a new record. False: the key is taken.
    pub(crate) async fn insert(
        &self,
        id: &LoggableId,
        record: &Record,
        usage: &mut Usage,
    ) -> Result<bool, Error> {
        usage.requests += 1;
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(record.to_item(id)))
            .condition_expression(NOT_TAKEN)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let attempts = Attempts::default();
        match put.customize().interceptor(attempts.clone()).send().await {
            Ok(output) => {
                usage.add_write(output.consumed_capacity());
                Ok(true)
            }
            // An ID is random: who has taken it is an earlier try of ours, whose answer was lost.
            Err(error) if is_failed_condition(&error) => Ok(attempts.more_than_one()),
            Err(error) => Err(classify(error)),
        }
    }

    /// The record of a live session.
    pub(crate) async fn get(
        &self,
        id: &LoggableId,
        now: Timestamp,
        usage: &mut Usage,
    ) -> Result<Record, Error> {
        usage.requests += 1;
        // A consistent read, or a cleared session could be seen for another second.
        let get = self
            .client
            .get_item()
            .table_name(&self.name)
            .key("id", string(id.as_str()))
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = get.send().await.map_err(classify)?;
        usage.add_read(output.consumed_capacity());
        let item = output.item.ok_or(Error::NotFound(Absence::Unknown))?;
        self.check_alive(&item, now)?;
        Record::from_item(item)
    }

    /// What [`ALIVE`] says, for an item that has been read.
    fn check_alive(&self, item: &Item, now: Timestamp) -> Result<(), Error> {
        let deadlines = deadlines(item)?;
        if timestamp(item, "created")? < self.not_before {
            Err(Error::NotFound(Absence::Revoked))
        } else if deadlines.is_alive(now) {
            Ok(())
        } else if now < deadlines.absolute {
            Err(Error::NotFound(Absence::IdleExpired))
        } else {
            Err(Error::NotFound(Absence::AbsoluteExpired))
        }
    }

    /// Slides the idle deadline of a live session.
    pub(crate) async fn touch(
        &self,
        id: &LoggableId,
        now: Timestamp,
        usage: &mut Usage,
    ) -> Result<(), Error> {
        self.send_touch(id, now, ReturnValue::None, usage).await?;
        Ok(())
    }

    /// Slides the idle deadline of a live session, and reads it, in one request.
    pub(crate) async fn touch_and_get(
        &self,
        id: &LoggableId,
        now: Timestamp,
        usage: &mut Usage,
    ) -> Result<Record, Error> {
        Record::from_item(self.send_touch(id, now, ReturnValue::AllNew, usage).await?)
    }

    async fn send_touch(
        &self,
        id: &LoggableId,
        now: Timestamp,
        returned: ReturnValue,
        usage: &mut Usage,
    ) -> Result<Item, Error> {
        usage.requests += 1;
        let update = self
            .update(id, now)
            .update_expression("SET expires = idle_timeout + :now")
            .condition_expression(ALIVE)
            .return_values(returned);
        match update.send().await {
            Ok(output) => {
                usage.add_write(output.consumed_capacity());
                Ok(output.attributes.unwrap_or_default())
            }
            Err(error) => Err(self.refused(error, now, Error::NotFound(Absence::Unknown))),
        }
    }

    /// Changes a live session, which counts as a use of it, and returns the tag of its data.
    pub(crate) async fn save(
        &self,
        id: &LoggableId,
        change: Change,
        now: Timestamp,
        usage: &mut Usage,
    ) -> Result<ETag, Error> {
        usage.requests += 1;
        let etag = change.data.as_deref().map(ETag::of);
        let mut update = self.update(id, now);
        let mut set = Vec::new();

        match (change.data, &etag) {
            (Some(data), Some(etag)) => {
                set.push("#data = :data, etag = :etag");
                update = update
                    .expression_attribute_names("#data", "data") // a reserved word
                    .expression_attribute_values(":data", compression::to_attribute(data))
                    .expression_attribute_values(":etag", string(etag.as_str()));
            }
            // The caller is told the tag all the same: an attribute that is set is one that can be returned.
            _ => {
                set.push("etag = etag");
                update = update.return_values(ReturnValue::UpdatedNew);
            }
        }
        match change.idle_seconds {
            Some(seconds) => {
                set.push("idle_timeout = :idle, expires = :idle_deadline");
                update = update
                    .expression_attribute_values(":idle", number(seconds))
                    .expression_attribute_values(":idle_deadline", time(now.plus_seconds(seconds)));
            }
            None => set.push("expires = idle_timeout + :now"),
        }
        if let Some(seconds) = change.absolute_seconds {
            set.push("absolute_expires = created + :absolute");
            update = update.expression_attribute_values(":absolute", number(seconds));
        }

        let (condition, tags) = if_match_condition(&change.if_match);
        for (name, tag) in tags {
            update = update.expression_attribute_values(name, string(tag.as_str()));
        }
        let update =
            update.update_expression(format!("SET {}", set.join(", "))).condition_expression(condition);

        let attempts = Attempts::default();
        match update.customize().interceptor(attempts.clone()).send().await {
            Ok(output) => {
                usage.add_write(output.consumed_capacity());
                match etag {
                    Some(etag) => Ok(etag),
                    None => Ok(ETag::stored(text(&mut output.attributes.unwrap_or_default(), "etag")?)),
                }
            }
            // An earlier try may have been carried out though its answer was lost, and then it is our own save that
            // the condition has met. Whether it is cannot be known: somebody else may have saved the same.
            Err(error) if attempts.more_than_one() && is_failed_condition(&error) => {
                Err(Error::Unavailable(error.into()))
            }
            Err(error) => Err(self.refused(error, now, Error::Changed)),
        }
    }

    /// Moves a live session to another ID, all of it or nothing, which counts as a use of it. `None`: the session is
    /// dead, or is not what `record` says any more, or another write was under way.
    pub(crate) async fn rename(
        &self,
        old: &LoggableId,
        new: &LoggableId,
        record: &Record,
        now: Timestamp,
        usage: &mut Usage,
    ) -> Result<Option<Record>, Error> {
        usage.requests += 1;
        // What a save may have changed since `record` was read; a slide of the idle deadline is of no consequence.
        let condition = format!(
            "{ALIVE} AND etag = :etag AND idle_timeout = :idle AND absolute_expires = :absolute_deadline"
        );
        let delete = Delete::builder()
            .table_name(&self.name)
            .key("id", string(old.as_str()))
            .condition_expression(condition)
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":not_before", time(self.not_before))
            .expression_attribute_values(":etag", string(record.etag.as_str()))
            .expression_attribute_values(":idle", number(record.idle_seconds))
            .expression_attribute_values(":absolute_deadline", time(record.deadlines.absolute))
            .build()
            .map_err(|error| Error::Refused(error.into()))?;
        let moved =
            Record { deadlines: Deadlines::new(record.timeouts(), record.created, now), ..record.clone() };
        let put = Put::builder()
            .table_name(&self.name)
            .set_item(Some(moved.to_item(new)))
            .condition_expression(NOT_TAKEN)
            .build()
            .map_err(|error| Error::Refused(error.into()))?;
        let transaction = self
            .client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().delete(delete).build())
            .transact_items(TransactWriteItem::builder().put(put).build())
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match transaction.send().await {
            Ok(output) => {
                output.consumed_capacity().iter().for_each(|consumed| usage.add_write(Some(consumed)));
                Ok(Some(moved))
            }
            Err(error) => cancelled(error).map(|()| None),
        }
    }

    /// Deletes the record, dead or alive.
    pub(crate) async fn delete(
        &self,
        id: &LoggableId,
        now: Timestamp,
        usage: &mut Usage,
    ) -> Result<(), Error> {
        usage.requests += 1;
        let delete = self
            .client
            .delete_item()
            .table_name(&self.name)
            .key("id", string(id.as_str()))
            .return_values(ReturnValue::AllOld) // so that the log can tell what has ended
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let output = delete.send().await.map_err(classify)?;
        usage.add_write(output.consumed_capacity());
        let item = output.attributes.ok_or(Error::NotFound(Absence::Unknown))?;
        match self.check_alive(&item, now) {
            Err(Error::CorruptRecord(_)) => Ok(()), // it is gone
            checked => checked,
        }
    }

    fn update(&self, id: &LoggableId, now: Timestamp) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.name)
            .key("id", string(id.as_str()))
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":not_before", time(self.not_before))
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            // It tells why a condition failed, without another request.
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }

    /// Why an update was refused. A condition that fails on a live session is `otherwise`.
    fn refused(&self, error: SdkError<UpdateItemError>, now: Timestamp, otherwise: Error) -> Error {
        if !is_failed_condition(&error) {
            return classify(error);
        }
        let item = match error.into_service_error() {
            UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
            _ => None,
        };
        match item.map(|item| self.check_alive(&item, now)) {
            None => Error::NotFound(Absence::Unknown),
            Some(Err(error)) => error,
            Some(Ok(())) => otherwise,
        }
    }
}

impl Record {
    fn to_item(&self, id: &LoggableId) -> Item {
        HashMap::from([
            ("id".into(), string(id.as_str())),
            ("data".into(), compression::to_attribute(self.data.clone())),
            ("etag".into(), string(self.etag.as_str())),
            ("created".into(), time(self.created)),
            ("idle_timeout".into(), number(self.idle_seconds)),
            ("expires".into(), time(self.deadlines.idle)),
            ("absolute_expires".into(), time(self.deadlines.absolute)),
        ])
    }

    fn from_item(mut item: Item) -> Result<Self, Error> {
        Ok(Self {
            data: item
                .remove("data")
                .and_then(compression::from_attribute)
                .ok_or(Error::CorruptRecord("data"))?,
            etag: ETag::stored(text(&mut item, "etag")?),
            created: timestamp(&item, "created")?,
            idle_seconds: whole_number(&item, "idle_timeout")?,
            deadlines: deadlines(&item)?,
        })
    }

    /// The timeouts that the session lives by.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_seconds: self.idle_seconds,
            absolute_seconds: self.deadlines.absolute.seconds_since(self.created),
        }
    }
}

/// The condition of a save, and the values that it names.
fn if_match_condition(if_match: &IfMatch) -> (String, Vec<(String, &ETag)>) {
    match if_match {
        IfMatch::Any => (ALIVE.to_owned(), Vec::new()),
        IfMatch::OneOf(tags) => {
            let tags: Vec<_> =
                tags.iter().enumerate().map(|(i, tag)| (format!(":if_match_{i}"), tag)).collect();
            let names: Vec<_> = tags.iter().map(|(name, _)| name.as_str()).collect();
            (format!("{ALIVE} AND etag IN ({})", names.join(", ")), tags)
        }
    }
}

/// Counts how often the SDK tries one operation.
#[derive(Clone, Debug, Default)]
struct Attempts(Arc<AtomicU32>);

impl Attempts {
    fn more_than_one(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

fn is_failed_condition<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// What cancelled a transaction: its conditions or another write to one of its items, which is `Ok`, or a fault.
fn cancelled(error: SdkError<TransactWriteItemsError>) -> Result<(), Error> {
    let Some(TransactWriteItemsError::TransactionCanceledException(reasons)) = error.as_service_error()
    else {
        return Err(classify(error));
    };
    let reasons: Vec<_> = reasons.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
    let any_is = |codes: &[&str]| reasons.iter().any(|reason| codes.contains(reason));
    if any_is(&["ThrottlingError", "ProvisionedThroughputExceeded"]) {
        Err(Error::Unavailable(error.into()))
    } else if any_is(&["ConditionalCheckFailed", "TransactionConflict"]) {
        Ok(())
    } else {
        Err(classify(error))
    }
}

/// Tells what may pass by itself from what somebody has to mend.
fn classify<E>(error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let may_pass = match &error {
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(answer) => {
            answer.raw().status().is_server_error()
                || matches!(
                    answer.err().code(),
                    Some(
                        "ProvisionedThroughputExceededException"
                            | "RequestLimitExceeded"
                            | "ThrottlingException"
                            | "TransactionConflictException"
                            | "TransactionInProgressException"
                    )
                )
        }
        _ => false,
    };
    if may_pass { Error::Unavailable(error.into()) } else { Error::Refused(error.into()) }
}

fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn time(timestamp: Timestamp) -> AttributeValue {
    number(timestamp.epoch_seconds())
}

fn text(item: &mut Item, attribute: &'static str) -> Result<String, Error> {
    match item.remove(attribute) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(Error::CorruptRecord(attribute)),
    }
}

fn whole_number(item: &Item, attribute: &'static str) -> Result<u64, Error> {
    match item.get(attribute) {
        Some(AttributeValue::N(number)) => number.parse().map_err(|_| Error::CorruptRecord(attribute)),
        _ => Err(Error::CorruptRecord(attribute)),
    }
}

fn timestamp(item: &Item, attribute: &'static str) -> Result<Timestamp, Error> {
    whole_number(item, attribute).map(Timestamp::from_epoch_seconds)
}

fn deadlines(item: &Item) -> Result<Deadlines, Error> {
    Ok(Deadlines { idle: timestamp(item, "expires")?, absolute: timestamp(item, "absolute_expires")? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    fn record() -> Record {
        let timeouts = Timeouts { idle_seconds: 30, absolute_seconds: 100 };
        let created = Timestamp::from_epoch_seconds(1_800_000_000);
        Record {
            data: r#"{"a":1}"#.into(),
            etag: ETag::of(r#"{"a":1}"#),
            created,
            idle_seconds: timeouts.idle_seconds,
            deadlines: Deadlines::new(timeouts, created, created),
        }
    }

    fn item() -> Item {
        record().to_item(SessionId::generate(32).unwrap().loggable())
    }

    #[test]
    fn a_record_comes_back_from_its_item() {
        let back = Record::from_item(item()).unwrap();
        assert_eq!(back.data, record().data);
        assert_eq!(back.etag, record().etag);
        assert_eq!(back.created, record().created);
        assert_eq!(back.deadlines, record().deadlines);
        assert_eq!(back.timeouts(), Timeouts { idle_seconds: 30, absolute_seconds: 100 });
    }

    #[test]
    fn an_item_has_the_documented_attributes_and_no_others() {
        let item = item();
        let mut names: Vec<_> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["absolute_expires", "created", "data", "etag", "expires", "id", "idle_timeout"]);
    }

    #[test]
    fn a_missing_or_odd_attribute_is_named() {
        for attribute in ["data", "etag", "created", "idle_timeout", "expires", "absolute_expires"] {
            for broken in [None, Some(AttributeValue::Bool(true)), Some(AttributeValue::N("1.5".into()))] {
                let mut item = item();
                item.remove(attribute);
                if let Some(value) = broken {
                    item.insert(attribute.into(), value);
                }
                let error = Record::from_item(item).unwrap_err();
                assert!(matches!(error, Error::CorruptRecord(named) if named == attribute), "{error:?}");
            }
        }
    }
}
