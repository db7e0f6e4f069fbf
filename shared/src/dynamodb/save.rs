//! The requests of a save.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity, ReturnValue, TransactWriteItem};

use super::alive::ALIVE;
use super::conditions::{and, etag_condition, to_part};
use super::item::{Item, number, string, time, timestamp};
use super::outcome::{Doubt, Transacted, is_failed_condition, refused_item, transacted};
use super::record::{etag, subject};
use super::subject_list::ListChange;
use super::table::Table;
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::etag::ETag;
use crate::id::SessionId;
use crate::session::Update;
use crate::subject::Subject;

/// The result of a save.
pub(crate) struct Saved {
    /// The tag of the stored data.
    pub(crate) etag: ETag,
    /// The time that the idle deadline counts from.
    pub(crate) at: Timestamp,
}

/// How an attempt to save a record alone has ended.
pub(crate) enum Attempt {
    Saved(Saved),
    /// Nothing is saved: the session has a subject, whose list has its absolute deadline too. This is its record.
    OfSubject(Item),
}

/// The record of a session of a subject, as it was read.
pub(crate) struct ListedRecord {
    pub(crate) subject: Subject,
    pub(crate) etag: ETag,
    pub(crate) created: Timestamp,
}

/// How an attempt to save a record and its place in a list has ended.
pub(crate) enum Listed {
    Saved(Saved),
    Refused(Transacted),
}

impl Table {
    /// Changes a live session, which counts as a use of it.
    pub(crate) async fn save(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update: &Update<String>,
    ) -> Result<Attempt, Error> {
        let now = call.request();
        let (request, new_etag) = self.save_request(id, update, now).await?;
        // The list of its subject has the absolute deadline of a session too.
        let request = match update.absolute_timeout_seconds {
            Some(_) => and(request, "attribute_not_exists(subject)"),
            None => request,
        };
        let doubt = Doubt::default();
        let error = match request.customize().interceptor(doubt.clone()).send().await {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                let stored = || etag(&output.attributes.unwrap_or_default());
                return Ok(Attempt::Saved(Saved { etag: new_etag.map_or_else(stored, Ok)?, at: now }));
            }
            // An earlier attempt may have been carried out though its response was lost; then the condition has met our
            // own save. This cannot be known: another caller may have saved the same data.
            Err(error) if doubt.exists() && is_failed_condition(&error) => {
                return Err(Error::Unavailable(error.into()));
            }
            Err(error) => error,
        };
        match refused_item(error)? {
            Some(item) if update.absolute_timeout_seconds.is_some() && item.contains_key("subject") => {
                Ok(Attempt::OfSubject(item))
            }
            item => Err(self.why_refused(item, now, Error::Changed)),
        }
    }

    /// Saves a session with another absolute timeout, and writes its deadline into the list of its subject, in one
    /// transaction. `seen` is the tag of the data that the session has.
    pub(crate) async fn save_listed(
        &self,
        call: &mut Call<'_>,
        (id, seen): (&SessionId, &ETag),
        update: &Update<String>,
        list: ListChange<'_>,
        list_expires: Timestamp,
    ) -> Result<Listed, Error> {
        let client = self.client().await?;
        let now = call.request();
        // A transaction does not return the tag that is stored, so it must be the one that was seen.
        let (request, new_etag) = self.save_request(id, update, now).await?;
        let request = and(request, "subject = :subject AND etag = :seen")
            .expression_attribute_values(":subject", string(list.subject.as_str()))
            .expression_attribute_values(":seen", string(seen.as_str()));
        let list = TransactWriteItem::builder().update(list.to_update(&self.name, list_expires)?).build();
        let transaction = client
            .transact_write_items()
            .transact_items(TransactWriteItem::builder().update(to_part(request)?).build())
            .transact_items(list)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let doubt = Doubt::default();
        let sent = transaction.customize().interceptor(doubt.clone()).send().await;
        match transacted(call, sent, 1)? {
            Transacted::Done => {
                Ok(Listed::Saved(Saved { etag: new_etag.unwrap_or_else(|| seen.clone()), at: now }))
            }
            Transacted::RecordConditionFailed(_) if doubt.exists() => {
                Err(Error::Unavailable("the response to a save was lost".into()))
            }
            refused => Ok(Listed::Refused(refused)),
        }
    }

    /// What a save that also changes a list must know of a record that was read.
    pub(crate) fn listed_record(&self, item: &Item, now: Timestamp) -> Result<ListedRecord, Error> {
        self.require_alive(item, now)?;
        let subject = subject(item)?.ok_or(Error::CorruptRecord("subject"))?;
        Ok(ListedRecord { subject, etag: etag(item)?, created: timestamp(item, "created")? })
    }

    /// The request, and the tag of the new data.
    async fn save_request(
        &self,
        id: &SessionId,
        update: &Update<String>,
        now: Timestamp,
    ) -> Result<(UpdateItemFluentBuilder, Option<ETag>), Error> {
        let encoded = update.data.as_ref().map(|data| self.encode(id, data)).transpose()?;
        let (data, new_etag) = encoded.unzip();
        let request = self.update_item(id.loggable(), now).await?;
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
