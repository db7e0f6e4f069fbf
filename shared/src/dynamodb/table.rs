//! The session table: the records of sessions. Every DynamoDB expression is in this file, and those of subjects' lists in
//! `list.rs`.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{FinalizerInterceptorContextRef, InterceptorContext};
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction, RetryConfig};
use aws_sdk_dynamodb::config::{Builder, ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsOutput};
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, KeysAndAttributes, Put, ReturnConsumedCapacity, ReturnValue,
    ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update as UpdatePart,
};
use aws_smithy_runtime_api::client::result::DispatchFailure;
use tokio::task::JoinSet;

use super::compression;
use super::item::{Item, number, string, time, timestamp, whole_number};
use super::list::{ListAction, ListChange, SubjectList, key, list_expires, random_version};
use super::seal::{self, Seal};
use crate::clock::Timestamp;
use crate::error::{Absence, BoxError, Error};
use crate::etag::{ETag, ETags, Preconditions};
use crate::id::{LoggableId, SessionId};
use crate::pauses::Pauses;
use crate::report::Call;
use crate::session::{ListedSession, Update};
use crate::subject::Subject;
use crate::timeouts::{Deadlines, Timeouts};

/// Without it an expired or cleared session could be written back to life: TTL deletes days late, and an
/// update of a missing item creates it. A comparison with a missing attribute is false.
const ALIVE: &str = "expires > :now AND absolute_expires > :now AND created >= :not_before";

/// A renewal leaves a tombstone under the old ID: the key, the new ID in `renewed_to`, the time in `renewed_at`, and
/// `expires` for TTL. It has none of the attributes that [`ALIVE`] compares, so it is dead to every call. A clear and a
/// revocation follow it.
///
/// After this many seconds TTL may delete it, by DynamoDB's clock and not by ours.
const TOMBSTONE_TTL_SECONDS: u64 = 3600;

/// Does not overwrite an existing record.
const NOT_TAKEN: &str = "attribute_not_exists(id)";

/// How many records one `BatchGetItem` can read (DynamoDB's "Quotas").
pub(crate) const BATCH: usize = 100;

/// How many records a revocation deletes at the same time.
const DELETES_AT_ONCE: usize = 16;

/// The contents of one item of the table.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) data: String,
    /// That of the stored data. A new record has one when it has been stored.
    pub(crate) etag: ETag,
    pub(crate) subject: Option<Subject>,
    pub(crate) created: Timestamp,
    pub(crate) idle_seconds: u64,
    pub(crate) deadlines: Deadlines,
}

/// How a transaction ended.
pub(crate) enum Transacted {
    Done,
    /// The condition on the session failed. This is its record, if it has one.
    SessionRefused(Option<Item>),
    /// The condition on the list of one of the changes failed. This is the list, if there is one.
    ListRefused(usize, Option<SubjectList>),
    /// Another write was in progress, or the transaction was throttled, which the SDK does not retry.
    Conflict,
}

/// What a delete has found.
pub(crate) enum Deleted {
    /// A live session, which it has ended.
    Ended,
    /// No record, after an attempt whose response was lost: that attempt may have deleted it.
    InDoubt,
    /// A tombstone, with the session's new ID.
    RenewedTo(LoggableId),
}

/// The result of a save.
pub(crate) struct Saved {
    /// The tag of the stored data.
    pub(crate) etag: ETag,
    /// The time that the idle deadline counts from.
    pub(crate) at: Timestamp,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    client: Client,
    name: String,
    /// Sessions that were created earlier are dead.
    not_before: Timestamp,
    /// Whether data is stored sealed. Both forms are read.
    seals: bool,
}

impl Table {
    pub(crate) fn new(client: Client, name: String, not_before: Timestamp, seals: bool) -> Self {
        let retrying = client.config().to_builder().retry_classifier(TransactionConflicts).build();
        Self { client: Client::from_conf(retrying), name, not_before, seals }
    }

    /// The form in which the data of a session is stored, and its tag.
    fn encode(&self, id: &SessionId, data: &str) -> Result<(AttributeValue, ETag), Error> {
        if self.seals {
            let seal = Seal::of(id);
            Ok((seal.seal(data)?, seal.etag(data)?))
        } else {
            Ok((compression::to_attribute(data), ETag::of(data)))
        }
    }

    /// Stores a new record of a session without a subject. False: the key is taken.
    pub(crate) async fn insert(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        record: &mut Record,
    ) -> Result<bool, Error> {
        call.request();
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(self.to_item(id, record)?))
            .condition_expression(NOT_TAKEN)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match put.customize().config_override(self.one_attempt()).send().await {
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
        call.request();
        let put = TransactWriteItem::builder().put(self.put_new(id, record)?).build();
        let list = TransactWriteItem::builder().update(change.to_update(&self.name, list_expires)?).build();
        let transaction = self
            .client
            .transact_write_items()
            .transact_items(put)
            .transact_items(list)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        transacted(call, transaction.customize().config_override(self.one_attempt()).send().await, 1)
    }

    /// For writes that create a session. The SDK would send the same ID again: an attempt that arrives late, after the
    /// session was cleared, would bring it back. The caller tries another ID, so that a late attempt makes a session that
    /// has no holder.
    fn one_attempt(&self) -> Builder {
        let retries = self.client.config().retry_config().cloned().unwrap_or_else(RetryConfig::standard);
        Builder::new().retry_config(retries.with_max_attempts(1))
    }

    /// The item of a record, whose tag becomes that of the stored data.
    fn to_item(&self, id: &SessionId, record: &mut Record) -> Result<Item, Error> {
        let (data, etag) = self.encode(id, &record.data)?;
        record.etag = etag;
        Ok(record.to_item(id.loggable(), data))
    }

    fn put_new(&self, id: &SessionId, record: &mut Record) -> Result<Put, Error> {
        Put::builder()
            .table_name(&self.name)
            .set_item(Some(self.to_item(id, record)?))
            .condition_expression(NOT_TAKEN)
            .build()
            .map_err(|error| Error::Refused(error.into()))
    }

    /// The record of a live session.
    pub(crate) async fn get(&self, call: &mut Call<'_>, id: &SessionId) -> Result<Record, Error> {
        let item = self.get_item(call, id.loggable().as_str()).await?;
        let item = item.ok_or(Error::NotFound(Absence::Unknown))?;
        self.require_alive(&item, call.now())?;
        Record::from_item(id, item)
    }

    /// The list of a subject's sessions.
    pub(crate) async fn list(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
    ) -> Result<Option<SubjectList>, Error> {
        let item = self.get_item(call, &key(subject)).await?;
        item.map(|item| SubjectList::from_item(&item)).transpose()
    }

    async fn get_item(&self, call: &mut Call<'_>, key: &str) -> Result<Option<Item>, Error> {
        call.request();
        let get = self
            .client
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

    /// Replaces a subject's list as a whole. False: another write has changed it since it was read.
    pub(crate) async fn replace_list(
        &self,
        call: &mut Call<'_>,
        list: &mut SubjectList,
    ) -> Result<bool, Error> {
        list.shorten_expires(call.further_request()?);
        let version = random_version()?;
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(list.to_item(version)))
            .condition_expression("v = :read")
            .expression_attribute_values(":read", number(list.version()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match put.send().await {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                list.set_version(version);
                Ok(true)
            }
            Err(error) if is_failed_condition(&error) => Ok(false),
            Err(error) => Err(classify(error)),
        }
    }

    /// The records of these sessions that are alive, or expired at most `grace_seconds` ago; and whether one of them has been
    /// renewed. Their data is not returned, but DynamoDB bills it.
    pub(crate) async fn summaries(
        &self,
        call: &mut Call<'_>,
        ids: &[LoggableId],
        grace_seconds: u64,
    ) -> Result<(Vec<ListedSession>, bool), Error> {
        let (mut found, mut is_renewed) = (Vec::new(), false);
        let mut pauses = Pauses::default();
        for ids in ids.chunks(BATCH) {
            let mut keys = self.keys(ids)?;
            // DynamoDB returns at most 16 MB at once, and says what is left.
            while let Some(left) = keys.take() {
                let earlier = call.further_request()?.minus_seconds(grace_seconds);
                let request = self
                    .client
                    .batch_get_item()
                    .request_items(&self.name, left)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                let output = request.send().await.map_err(classify)?;
                output.consumed_capacity().iter().for_each(|consumed| call.add_read(Some(consumed)));
                let items = output.responses.into_iter().flat_map(HashMap::into_values).flatten();
                for item in items {
                    match self.require_alive(&item, earlier) {
                        Ok(()) => found.push(summary(&item)?),
                        Err(Error::NotFound(absence)) => is_renewed |= absence == Absence::Superseded,
                        Err(error) => return Err(error),
                    }
                }
                keys = output.unprocessed_keys.and_then(|keys| keys.into_values().next());
                if keys.is_some() {
                    pauses.next().await?;
                }
            }
        }
        Ok((found, is_renewed))
    }

    fn keys(&self, ids: &[LoggableId]) -> Result<Option<KeysAndAttributes>, Error> {
        let key = |id: &LoggableId| HashMap::from([("id".to_owned(), string(id.as_str()))]);
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(ids.iter().map(key).collect()))
            .consistent_read(true)
            .projection_expression("id, created, idle_timeout, expires, absolute_expires, renewed_to");
        keys.build().map(Some).map_err(|error| Error::Refused(error.into()))
    }

    /// Deletes records, dead or alive.
    pub(crate) async fn delete_all(&self, call: &mut Call<'_>, ids: &[LoggableId]) -> Result<(), Error> {
        let mut left = ids.iter();
        let mut deletes = JoinSet::new();
        loop {
            while deletes.len() < DELETES_AT_ONCE
                && let Some(id) = left.next()
            {
                call.further_request()?;
                let delete = self
                    .client
                    .delete_item()
                    .table_name(&self.name)
                    .key("id", string(id.as_str()))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                deletes.spawn(delete.send());
            }
            match deletes.join_next().await {
                None => return Ok(()),
                Some(Ok(Ok(output))) => call.add_write(output.consumed_capacity()),
                Some(Ok(Err(error))) => return Err(classify(error)),
                Some(Err(error)) => return Err(Error::Unavailable(error.into())),
            }
        }
    }

    /// The condition [`ALIVE`], for an item that has been read.
    fn require_alive(&self, item: &Item, now: Timestamp) -> Result<(), Error> {
        if item.contains_key("renewed_to") {
            return Err(Error::NotFound(Absence::Superseded));
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
            .update_expression("SET expires = idle_timeout + :now")
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

    /// Changes a live session, which counts as a use of it. `max_seconds` is the longest absolute timeout of any session.
    pub(crate) async fn save(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update: Update<String>,
        max_seconds: u64,
    ) -> Result<Saved, Error> {
        let now = call.request();
        let (request, new_etag) = self.save_request(id, &update, now)?;
        // The list of its subject has the absolute deadline of a session too.
        let request = match update.absolute_timeout_seconds {
            Some(_) => and(request, "attribute_not_exists(subject)"),
            None => request,
        };
        let doubt = Doubt::default();
        let error = match request.customize().interceptor(doubt.clone()).send().await {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                let stored = || etag(&mut output.attributes.unwrap_or_default());
                return Ok(Saved { etag: new_etag.map_or_else(stored, Ok)?, at: now });
            }
            // An earlier attempt may have been carried out though its response was lost; then the condition has met our
            // own save. This cannot be known: another caller may have saved the same data.
            Err(error) if doubt.exists() && is_failed_condition(&error) => {
                return Err(Error::Unavailable(error.into()));
            }
            Err(error) => error,
        };
        let item = refused_item(error)?;
        match update.absolute_timeout_seconds.zip(item.as_ref()) {
            Some((seconds, item)) if item.contains_key("subject") => {
                self.save_listed(call, id, &update, seconds, max_seconds, item.clone()).await
            }
            _ => Err(self.why_refused(item, now, Error::Changed)),
        }
    }

    /// Saves a session with another absolute timeout, and writes its deadline into the list of its subject, in one
    /// transaction. `item` is the session's record as it was seen.
    async fn save_listed(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update: &Update<String>,
        absolute_seconds: u64,
        max_seconds: u64,
        mut item: Item,
    ) -> Result<Saved, Error> {
        let mut expires = list_expires(call.now(), max_seconds);
        let mut pauses = Pauses::default();
        loop {
            let now = call.further_request()?;
            self.require_alive(&item, now)?;
            let (seen, created) = (etag(&mut item)?, timestamp(&item, "created")?);
            if !update.preconditions.hold(&seen) {
                return Err(Error::Changed);
            }
            let subject = subject(&item)?.ok_or(Error::CorruptRecord("subject"))?;
            // A transaction does not return the tag that is stored, so it must be the one that was seen.
            let (request, new_etag) = self.save_request(id, update, now)?;
            let request = and(request, "subject = :subject AND etag = :seen")
                .expression_attribute_values(":subject", string(subject.as_str()))
                .expression_attribute_values(":seen", string(seen.as_str()));
            let action = ListAction::Extend(id.loggable(), created.plus_seconds(absolute_seconds));
            let list = ListChange { subject: &subject, action };
            let transaction = self
                .client
                .transact_write_items()
                .transact_items(TransactWriteItem::builder().update(to_part(request)?).build())
                .transact_items(
                    TransactWriteItem::builder().update(list.to_update(&self.name, expires)?).build(),
                )
                .return_consumed_capacity(ReturnConsumedCapacity::Total);
            let doubt = Doubt::default();
            let sent = transaction.customize().interceptor(doubt.clone()).send().await;
            match transacted(call, sent, 1)? {
                Transacted::Done => return Ok(Saved { etag: new_etag.unwrap_or(seen), at: now }),
                Transacted::SessionRefused(_) if doubt.exists() => {
                    return Err(Error::Unavailable("the response to a save was lost".into()));
                }
                Transacted::SessionRefused(None) => return Err(Error::NotFound(Absence::Unknown)),
                Transacted::SessionRefused(Some(changed)) => {
                    item = changed;
                    continue;
                }
                Transacted::ListRefused(_, Some(list)) if list.has_live(id.loggable()) => {
                    expires = expires.max(list.expires);
                }
                // It is not dead yet.
                Transacted::ListRefused(..) => {
                    return Err(Error::Unavailable("a revocation is ending the session".into()));
                }
                Transacted::Conflict => pauses.next().await?,
            }
            item.insert("etag".into(), string(seen.as_str()));
        }
    }

    /// The request, and the tag of the new data.
    fn save_request(
        &self,
        id: &SessionId,
        update: &Update<String>,
        now: Timestamp,
    ) -> Result<(UpdateItemFluentBuilder, Option<ETag>), Error> {
        let encoded = update.data.as_ref().map(|data| self.encode(id, data)).transpose()?;
        let (data, new_etag) = encoded.unzip();
        let request = self.update_item(id.loggable(), now);
        let (mut request, data) = set_data(request, data, new_etag.as_ref());
        let mut set = vec![data];
        match update.idle_timeout_seconds {
            Some(seconds) => {
                set.push("idle_timeout = :idle, expires = :idle_deadline");
                request = request
                    .expression_attribute_values(":idle", number(seconds))
                    .expression_attribute_values(":idle_deadline", time(now.plus_seconds(seconds)));
            }
            None => set.push("expires = idle_timeout + :now"),
        }
        if let Some(seconds) = update.absolute_timeout_seconds {
            set.push("absolute_expires = created + :absolute");
            request = request.expression_attribute_values(":absolute", number(seconds));
        }
        let (condition, tags) = etag_condition(&update.preconditions);
        for (name, tag) in tags {
            request = request.expression_attribute_values(name, string(tag));
        }
        let request = request
            .update_expression(format!("SET {}", set.join(", ")))
            .condition_expression(format!("{ALIVE}{condition}"));
        Ok((request, new_etag))
    }

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
        let now = call.request();
        let tombstone = self.to_tombstone(old, new.loggable(), record, now)?;
        let mut transaction = self
            .client
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

    /// The part of a renewal that makes a tombstone of the old record, if it is still what `record` says. A save may have
    /// changed it; a slide of the idle deadline does not matter.
    fn to_tombstone(
        &self,
        old: &LoggableId,
        new: &LoggableId,
        record: &Record,
        now: Timestamp,
    ) -> Result<UpdatePart, Error> {
        let condition = format!(
            "{ALIVE} AND etag = :etag AND idle_timeout = :idle AND absolute_expires = :absolute_deadline"
        );
        UpdatePart::builder()
            .table_name(&self.name)
            .key("id", string(old.as_str()))
            .update_expression(
                "SET renewed_to = :new, renewed_at = :now, expires = :tombstone_expires \
                 REMOVE #data, etag, created, idle_timeout, absolute_expires, subject",
            )
            .expression_attribute_names("#data", "data") // a reserved word
            .expression_attribute_values(":new", string(new.as_str()))
            .expression_attribute_values(":tombstone_expires", time(now.plus_seconds(TOMBSTONE_TTL_SECONDS)))
            .condition_expression(condition)
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":not_before", time(self.not_before))
            .expression_attribute_values(":etag", string(record.etag.as_str()))
            .expression_attribute_values(":idle", number(record.idle_seconds))
            .expression_attribute_values(":absolute_deadline", time(record.deadlines.absolute))
            .build()
            .map_err(|error| Error::Refused(error.into()))
    }

    /// Deletes the record of a session, dead or alive, unless it is a tombstone of at most this age.
    pub(crate) async fn delete(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        preconditions: &Preconditions,
        max_tombstone_age: u64,
    ) -> Result<Deleted, Error> {
        let now = call.request();
        let doubt = Doubt::default();
        let delete = self.delete_request(id, preconditions).customize().interceptor(doubt.clone());
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
        if let Some(renewed_to) = fresh_tombstone(&item, now, max_tombstone_age) {
            return Ok(Deleted::RenewedTo(renewed_to));
        }
        match self.require_alive(&item, now) {
            Ok(()) if !is_deleted => Err(Error::Changed),
            Ok(()) => Ok(Deleted::Ended),
            Err(Error::CorruptRecord(_)) if is_deleted => Ok(Deleted::Ended),
            Err(error) => Err(error),
        }
    }

    fn delete_request(&self, id: &LoggableId, preconditions: &Preconditions) -> DeleteItemFluentBuilder {
        let (condition, tags) = etag_condition(preconditions);
        let request = self
            .client
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

    fn update_item(&self, id: &LoggableId, now: Timestamp) -> UpdateItemFluentBuilder {
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

    /// Why an update was refused. `item` is the record that its condition met; `otherwise`: the condition failed though the
    /// session is alive.
    fn why_refused(&self, item: Option<Item>, now: Timestamp, otherwise: Error) -> Error {
        match item.map(|item| self.require_alive(&item, now)) {
            None => Error::NotFound(Absence::Unknown),
            Some(Err(error)) => error,
            Some(Ok(())) => otherwise,
        }
    }
}

/// The record that the condition of an update met.
///
/// # Errors
/// The update failed for another reason than its condition.
fn refused_item(error: SdkError<UpdateItemError>) -> Result<Option<Item>, Error> {
    if !is_failed_condition(&error) {
        return Err(classify(error));
    }
    Ok(match error.into_service_error() {
        UpdateItemError::ConditionalCheckFailedException(failed) => failed.item,
        _ => None,
    })
}

impl Record {
    /// The record of a session that is created now.
    pub(crate) fn new(data: String, timeouts: Timeouts, subject: Option<Subject>, now: Timestamp) -> Self {
        Self {
            etag: ETag::of_digest(&[]),
            data,
            subject,
            created: now,
            idle_seconds: timeouts.idle_seconds,
            deadlines: Deadlines::new(timeouts, now, now),
        }
    }

    fn to_item(&self, id: &LoggableId, data: AttributeValue) -> Item {
        let mut item = HashMap::from([
            ("id".into(), string(id.as_str())),
            ("data".into(), data),
            ("etag".into(), string(self.etag.as_str())),
            ("created".into(), time(self.created)),
            ("idle_timeout".into(), number(self.idle_seconds)),
            ("expires".into(), time(self.deadlines.idle)),
            ("absolute_expires".into(), time(self.deadlines.absolute)),
        ]);
        item.extend(self.subject.as_ref().map(|subject| ("subject".into(), string(subject.as_str()))));
        item
    }

    fn from_item(id: &SessionId, mut item: Item) -> Result<Self, Error> {
        let data = match item.remove("data") {
            Some(AttributeValue::B(value)) if seal::is_sealed(value.as_ref()) => {
                Seal::of(id).open(value.as_ref())
            }
            value => value.and_then(compression::from_attribute),
        };
        Ok(Self {
            data: data.ok_or(Error::CorruptRecord("data"))?,
            etag: etag(&mut item)?,
            subject: subject(&item)?,
            created: timestamp(&item, "created")?,
            idle_seconds: whole_number(&item, "idle_timeout")?,
            deadlines: deadlines(&item)?,
        })
    }

    /// The timeouts of the session.
    pub(crate) fn timeouts(&self) -> Timeouts {
        Timeouts {
            idle_seconds: self.idle_seconds,
            absolute_seconds: self.deadlines.absolute.seconds_since(self.created),
        }
    }
}

/// Adds the new data to a save, and returns the part of its `SET` for it.
fn set_data(
    request: UpdateItemFluentBuilder,
    data: Option<AttributeValue>,
    etag: Option<&ETag>,
) -> (UpdateItemFluentBuilder, &'static str) {
    match (data, etag) {
        (Some(data), Some(etag)) => {
            let request = request
                .expression_attribute_names("#data", "data") // a reserved word
                .expression_attribute_values(":data", data)
                .expression_attribute_values(":etag", string(etag.as_str()));
            (request, "#data = :data, etag = :etag")
        }
        // The caller gets the tag in any case, and DynamoDB returns only attributes that are set.
        _ => (request.return_values(ReturnValue::UpdatedNew), "etag = etag"),
    }
}

/// Adds a condition.
fn and(request: UpdateItemFluentBuilder, condition: &str) -> UpdateItemFluentBuilder {
    let given = request.get_condition_expression().clone().unwrap_or_default();
    request.condition_expression(format!("{given} AND {condition}"))
}

/// The same update as a part of a transaction, which returns the record when the condition fails.
fn to_part(request: UpdateItemFluentBuilder) -> Result<UpdatePart, Error> {
    let update = request.as_input();
    UpdatePart::builder()
        .set_table_name(update.get_table_name().clone())
        .set_key(update.get_key().clone())
        .set_update_expression(update.get_update_expression().clone())
        .set_condition_expression(update.get_condition_expression().clone())
        .set_expression_attribute_names(update.get_expression_attribute_names().clone())
        .set_expression_attribute_values(update.get_expression_attribute_values().clone())
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .build()
        .map_err(|error| Error::Refused(error.into()))
}

/// The preconditions as the end of a condition, and the values that it refers to.
fn etag_condition(preconditions: &Preconditions) -> (String, Vec<(String, &str)>) {
    let (mut condition, mut values) = (String::new(), Vec::new());
    match &preconditions.if_match {
        None | Some(ETags::Any) => {}
        Some(ETags::OneOf(tags)) => {
            let tags = tags.iter().map(ETag::as_str);
            condition += &format!(" AND etag IN ({})", operands(":if_match", tags, &mut values));
        }
    }
    match &preconditions.if_none_match {
        None => {}
        Some(ETags::Any) => condition += " AND attribute_not_exists(id)",
        Some(ETags::OneOf(tags)) => {
            let tags = tags.iter().map(ETag::without_weakness);
            condition += &format!(" AND NOT etag IN ({})", operands(":if_none_match", tags, &mut values));
        }
    }
    (condition, values)
}

/// Names a value for each tag, and returns the names as a list.
fn operands<'a>(
    prefix: &str,
    tags: impl Iterator<Item = &'a str>,
    values: &mut Vec<(String, &'a str)>,
) -> String {
    let first = values.len();
    values.extend(tags.enumerate().map(|(i, tag)| (format!("{prefix}_{i}"), tag)));
    values[first..].iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// The ID that a tombstone leads to, unless it is too old.
fn fresh_tombstone(item: &Item, now: Timestamp, max_age: u64) -> Option<LoggableId> {
    let renewed_at = timestamp(item, "renewed_at").ok()?;
    let renewed_to = match item.get("renewed_to") {
        Some(AttributeValue::S(id)) => LoggableId::stored(id),
        _ => return None,
    };
    (now.seconds_since(renewed_at) <= max_age).then_some(renewed_to)
}

/// Whether an attempt of an operation may have been carried out though its response was lost.
#[derive(Clone, Debug, Default)]
struct Doubt(Arc<AtomicBool>);

impl Doubt {
    fn exists(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Intercept for Doubt {
    fn name(&self) -> &'static str {
        "Doubt"
    }

    /// Only a whole response below 500 says what happened.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_known = match context.output_or_error() {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                error.is_operation_error()
                    && context.response().is_some_and(|response| !response.status().is_server_error())
            }
            None => false,
        };
        if !is_known {
            self.0.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Retries a write that met a transaction, as the SDK retries a throttled one. The SDK itself does not.
#[derive(Debug)]
struct TransactionConflicts;

impl ClassifyRetry for TransactionConflicts {
    fn name(&self) -> &'static str {
        "TransactionConflicts"
    }

    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let Some(Err(error)) = context.output_or_error() else { return RetryAction::NoActionIndicated };
        let Some(error) = error.as_operation_error() else { return RetryAction::NoActionIndicated };
        let is_conflict = error
            .downcast_ref::<UpdateItemError>()
            .is_some_and(UpdateItemError::is_transaction_conflict_exception)
            || error
                .downcast_ref::<DeleteItemError>()
                .is_some_and(DeleteItemError::is_transaction_conflict_exception)
            || error
                .downcast_ref::<PutItemError>()
                .is_some_and(PutItemError::is_transaction_conflict_exception);
        if is_conflict { RetryAction::throttling_error() } else { RetryAction::NoActionIndicated }
    }
}

fn is_failed_condition<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.as_service_error().and_then(ProvideErrorMetadata::code) == Some("ConditionalCheckFailedException")
}

/// How a transaction ended. Its first actions are on a session, and those from `lists` on are on lists.
///
/// # Errors
/// It was not cancelled by its conditions, another write or a throttle.
fn transacted(
    call: &mut Call<'_>,
    sent: Result<TransactWriteItemsOutput, SdkError<TransactWriteItemsError>>,
    lists: usize,
) -> Result<Transacted, Error> {
    let error = match sent {
        Ok(output) => {
            output.consumed_capacity().iter().for_each(|consumed| call.add_write(Some(consumed)));
            return Ok(Transacted::Done);
        }
        Err(error) => error,
    };
    let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
    else {
        return Err(classify(error));
    };
    let reasons = cancelled.cancellation_reasons();
    let is =
        |reason: &CancellationReason, codes: &[&str]| reason.code().is_some_and(|code| codes.contains(&code));
    // What the conditions have met may be half of the other transaction.
    if reasons.iter().take(lists).any(|reason| is(reason, &["TransactionConflict"])) {
        return Ok(Transacted::Conflict);
    }
    let refused = reasons.iter().position(|reason| is(reason, &["ConditionalCheckFailed"]));
    if let Some((refused, reason)) = refused.and_then(|place| Some((place, reasons.get(place)?))) {
        return Ok(match refused.checked_sub(lists) {
            None => Transacted::SessionRefused(reason.item.clone()),
            Some(place) => {
                let list = reason.item.as_ref().map(SubjectList::from_item).transpose()?;
                Transacted::ListRefused(place, list)
            }
        });
    }
    let passing = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    if reasons.iter().any(|reason| is(reason, &passing)) {
        Ok(Transacted::Conflict)
    } else {
        Err(classify(error))
    }
}

/// Separates faults that may pass by themselves from those that need an operator.
fn classify<E>(error: SdkError<E>) -> Error
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let may_pass = match &error {
        SdkError::DispatchFailure(failure) => !lacks_credentials(failure),
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
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

/// Whether a request was not sent because there are no credentials, or they are configured wrongly.
fn lacks_credentials(failure: &DispatchFailure) -> bool {
    let mut cause = failure.as_connector_error().and_then(StdError::source);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            use CredentialsError::{CredentialsNotLoaded, InvalidConfiguration};
            return matches!(error, CredentialsNotLoaded(_) | InvalidConfiguration(_));
        }
        cause = error.source();
    }
    false
}

fn etag(item: &mut Item) -> Result<ETag, Error> {
    let text = match item.remove("etag") {
        Some(AttributeValue::S(text)) => ETag::stored(text),
        _ => None,
    };
    text.ok_or(Error::CorruptRecord("etag"))
}

fn subject(item: &Item) -> Result<Option<Subject>, Error> {
    match item.get("subject") {
        None => Ok(None),
        Some(AttributeValue::S(text)) => text.parse().map(Some).map_err(|_| Error::CorruptRecord("subject")),
        Some(_) => Err(Error::CorruptRecord("subject")),
    }
}

/// What a list of sessions shows of one.
fn summary(item: &Item) -> Result<ListedSession, Error> {
    let id = match item.get("id") {
        Some(AttributeValue::S(id)) => id.parse().map_err(|_| Error::CorruptRecord("id"))?,
        _ => return Err(Error::CorruptRecord("id")),
    };
    let (deadlines, idle_seconds) = (deadlines(item)?, whole_number(item, "idle_timeout")?);
    Ok(ListedSession {
        loggable_id: id,
        created: timestamp(item, "created")?,
        last_used: deadlines.idle.minus_seconds(idle_seconds),
        expires: deadlines.earliest(),
    })
}

fn deadlines(item: &Item) -> Result<Deadlines, Error> {
    Ok(Deadlines { idle: timestamp(item, "expires")?, absolute: timestamp(item, "absolute_expires")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let timeouts = Timeouts { idle_seconds: 30, absolute_seconds: 100 };
        let data = r#"{"a":1}"#;
        let now = Timestamp::from_epoch_seconds(1_800_000_000);
        Record { etag: ETag::of(data), ..Record::new(data.into(), timeouts, None, now) }
    }

    fn id() -> SessionId {
        "WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc".parse().unwrap()
    }

    fn item() -> Item {
        record().to_item(id().loggable(), compression::to_attribute(&record().data))
    }

    #[test]
    fn a_record_comes_back_from_its_item() {
        let back = Record::from_item(&id(), item()).unwrap();
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
                let error = Record::from_item(&id(), item).unwrap_err();
                assert!(matches!(error, Error::CorruptRecord(named) if named == attribute), "{error:?}");
            }
        }
    }
}
