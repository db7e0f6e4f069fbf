//! The requests of a save.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::alive::{ALIVE, MAY_SLIDE};
use super::conditions::etag_condition;
use super::device::StoredDevice;
use super::expressions::{and, remove, set};
use super::item::{Item, binary, number, string, time};
use super::lists::ListChange;
use super::outcome::Updated;
use super::record::{Record, chain, etag};
use super::table::{SentTransaction, Table, update};
use crate::call::Call;
use crate::chain::Chain;
use crate::clock::Timestamp;
use crate::error::{Absence, Error};
use crate::etag::ETag;
use crate::id::{LoggableId, SessionId};
use crate::session::Update;

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
    /// Nothing is saved. The preconditions do not hold, or the list of the session's subject has to change too. This is the
    /// record, which is alive.
    Refused(Item),
}

impl Table {
    /// Changes a live session, which counts as a use of it. `slide_by`: until when the idle deadline may slide, after the bound in
    /// its list has become later.
    pub(crate) async fn save(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update: &Update<String>,
        slide_by: Option<Timestamp>,
    ) -> Result<Attempt, Error> {
        let now = call.request();
        let (mut request, new_etag) = self.save_request(id, update, now).await?;
        request = match slide_by {
            None => and(request, MAY_SLIDE),
            Some(slide_by) => and(set(request, "slide_by = :slide_by"), "slide_by < :slide_by")
                .expression_attribute_values(":slide_by", time(slide_by)),
        };
        // The list of its subject has the timeouts and the device of a session too.
        if update.changes_list() {
            request = and(request, "attribute_not_exists(subject)");
        }
        match self.send(call, request).await? {
            Updated::Done(attributes) => {
                let etag = new_etag.map_or_else(|| etag(&attributes), Ok)?;
                Ok(Attempt::Saved(Saved { etag, at: now }))
            }
            // An earlier attempt may have been carried out though its response was lost; then the condition has met our
            // own save. This cannot be known: another caller may have saved the same data.
            Updated::Refused { in_doubt: true, .. } => {
                Err(Error::Unavailable("the response to a save was lost".into()))
            }
            Updated::Refused { item, in_doubt: false } => Ok(Attempt::Refused(self.alive(item, now)?)),
        }
    }

    /// Saves a session and changes lists, in one transaction: other timeouts, another device or another subject. `record` is the session as it
    /// was read, and `moved` as it will be.
    pub(crate) async fn save_listed(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update_: &Update<String>,
        (record, moved): (&Record, &Record),
        (changes, list_expires): (&[ListChange<'_>], Timestamp),
    ) -> Result<(Result<SentTransaction, Error>, Saved), Error> {
        let now = call.request();
        let (request, new_etag) = self.save_request(id, update_, now).await?;
        let mut request =
            and(request, "chain = :read AND idle_timeout = :read_idle AND absolute_expires = :read_absolute")
                .expression_attribute_values(":read", binary(record.chain.as_bytes()))
                .expression_attribute_values(":read_idle", number(record.idle_seconds))
                .expression_attribute_values(":read_absolute", time(record.deadlines.absolute));
        if new_etag.is_none() {
            // A transaction does not return the tag that is stored, so it must be the one that was seen.
            request = and(request, "etag = :seen")
                .expression_attribute_values(":seen", string(record.etag.as_str()));
        }
        match moved.slide_by {
            Some(slide_by) => {
                request = set(request, "slide_by = :slide_by")
                    .expression_attribute_values(":slide_by", time(slide_by));
            }
            None => request = remove(request, "slide_by"),
        }
        if moved.chain != record.chain {
            request = set(request, "chain = :chain")
                .expression_attribute_values(":chain", binary(moved.chain.as_bytes()));
            request = match &moved.subject {
                Some(subject) => set(request, "subject = :subject")
                    .expression_attribute_values(":subject", string(subject.as_str())),
                None => remove(request, "subject"),
            };
            request = match moved.authenticated {
                Some(at) => set(request, "authenticated = :authenticated")
                    .expression_attribute_values(":authenticated", time(at)),
                None => remove(request, "authenticated"),
            };
            request = record.device.require(request); // the other list gets it
        }
        let mut actions = vec![update(&request)?];
        for change in changes {
            actions.push(self.list_action(change, list_expires).await?);
        }
        let sent = self.transact(call, actions, 1).await;
        Ok((sent, Saved { etag: new_etag.unwrap_or_else(|| record.etag.clone()), at: now }))
    }

    /// Gives a session without a subject another chain, so that a save of its first subject that is still on its way is not
    /// carried out. Returns the chain that the session has if it was changed meanwhile.
    pub(crate) async fn fence(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        read: Chain,
    ) -> Result<Option<Chain>, Error> {
        let now = call.request();
        let request = self
            .update_record(id, now)
            .await?
            .update_expression("SET chain = :fresh")
            .condition_expression(format!("{ALIVE} AND chain = :read AND attribute_not_exists(subject)"))
            .expression_attribute_values(":fresh", binary(Chain::generate()?.as_bytes()))
            .expression_attribute_values(":read", binary(read.as_bytes()));
        match self.send(call, request).await? {
            Updated::Done(_) => Ok(None),
            Updated::Refused { item, .. } => chain(&self.alive(item, now)?).map(Some),
        }
    }

    /// Notes that the user of a live session has proved who they are.
    pub(crate) async fn confirm(&self, call: &mut Call<'_>, id: &LoggableId) -> Result<(), Error> {
        let now = call.request();
        let request = self
            .update_record(id, now)
            .await?
            .update_expression("SET authenticated = :now")
            .condition_expression(format!("{ALIVE} AND attribute_exists(subject)"));
        match self.send(call, request).await? {
            Updated::Done(_) => Ok(()),
            Updated::Refused { item, .. } => {
                self.alive(item, now)?;
                Err(Error::NotFound(Absence::Unknown)) // it has no subject
            }
        }
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
        let request = self.update_record(id.loggable(), now).await?;
        let mut request = set_data(request, data, new_etag.as_ref());
        request = match update.idle_timeout_seconds {
            Some(seconds) => set(request, "idle_timeout = :idle, expires = :idle_deadline")
                .expression_attribute_values(":idle", number(seconds))
                .expression_attribute_values(":idle_deadline", time(now.plus_seconds(seconds))),
            None => set(request, "expires = idle_timeout + :now"),
        };
        if let Some(seconds) = update.absolute_timeout_seconds {
            request = set(request, "absolute_expires = created + :absolute")
                .expression_attribute_values(":absolute", number(seconds));
        }
        request = StoredDevice::new(&update.device, self.label_key.as_ref())?.update_record(request);
        let (condition, tags) = etag_condition(&update.preconditions);
        for (name, tag) in tags {
            request = request.expression_attribute_values(name, string(tag));
        }
        Ok((request.condition_expression(format!("{ALIVE}{condition}")), new_etag))
    }
}

/// Adds the new data to a save.
fn set_data(
    request: UpdateItemFluentBuilder,
    data: Option<AttributeValue>,
    new_etag: Option<&ETag>,
) -> UpdateItemFluentBuilder {
    match (data, new_etag) {
        (Some(data), Some(new_etag)) => request
            .update_expression("SET #data = :data, etag = :etag")
            .expression_attribute_names("#data", "data") // a reserved word
            .expression_attribute_values(":data", data)
            .expression_attribute_values(":etag", string(new_etag.as_str())),
        // The caller gets the tag in any case, and DynamoDB returns only attributes that are set.
        _ => request.update_expression("SET etag = etag").return_values(ReturnValue::UpdatedNew),
    }
}
