//! The requests of a renewal and a login.

use super::alive::ALIVE;
use super::create::NOT_TAKEN;
use super::item::{binary, number, string, time};
use super::lists::ListChange;
use super::record::Record;
use super::table::{SentTransaction, Table, put, update};
use super::tombstone::{REMOVE, TTL_SECONDS};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::{LoggableId, SessionId};

/// The place of the action on the old record, in the transaction.
pub(crate) const OLD: usize = 0;

/// The place of the action that stores the new record. The lists follow.
pub(crate) const NEW: usize = 1;

/// What of the old record must still be as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unchanged {
    /// That it is the record of this session and subject: a login brings its own data and timeouts.
    Chain,
    /// Its data, its timeouts and its device too. A slide of the idle deadline does not matter.
    All,
}

impl Table {
    /// Moves a live session from the ID `old`, where its record is `record`, to the ID `new`, where it is `moved`, completely or
    /// not at all. It leaves a tombstone under the old ID.
    pub(crate) async fn rename(
        &self,
        call: &mut Call<'_>,
        (old, record): (&LoggableId, &Record),
        (new, moved): (&SessionId, &mut Record),
        unchanged: Unchanged,
        (changes, list_expires): (&[ListChange<'_>], Timestamp),
    ) -> Result<SentTransaction, Error> {
        let now = call.request();
        let mut condition = format!("{ALIVE} AND chain = :read");
        let mut make = "SET renewed_to = :new, renewed_at = :now, expires = :tombstone_expires".to_owned();
        let mut remove = REMOVE.to_owned();
        let mut tombstone = self
            .update_record(old, now)
            .await?
            .expression_attribute_names("#data", "data") // a reserved word
            .expression_attribute_values(":new", string(new.loggable().as_str()))
            .expression_attribute_values(":tombstone_expires", time(now.plus_seconds(TTL_SECONDS)))
            .expression_attribute_values(":read", binary(record.chain.as_bytes()));
        if unchanged == Unchanged::All {
            condition += " AND etag = :etag AND idle_timeout = :idle AND absolute_expires = :absolute";
            tombstone = tombstone
                .expression_attribute_values(":etag", string(record.etag.as_str()))
                .expression_attribute_values(":idle", number(record.idle_seconds))
                .expression_attribute_values(":absolute", time(record.deadlines.absolute));
        }
        if moved.chain != record.chain {
            make += ", login = :true, chain = :chain";
            tombstone = tombstone
                .expression_attribute_values(":true", aws_sdk_dynamodb::types::AttributeValue::Bool(true))
                .expression_attribute_values(":chain", binary(moved.chain.as_bytes()));
            match &moved.subject {
                Some(subject) => {
                    make += ", subject = :subject";
                    tombstone = tombstone.expression_attribute_values(":subject", string(subject.as_str()));
                }
                None => remove += ", subject",
            }
        }
        tombstone = tombstone.update_expression(format!("{make} {remove}")).condition_expression(condition);
        if unchanged == Unchanged::All {
            tombstone = record.device.require(tombstone);
        }
        let mut actions =
            vec![update(&tombstone)?, put(self.put_new(new, moved)?.condition_expression(NOT_TAKEN))?];
        for change in changes {
            actions.push(self.list_action(change, list_expires).await?);
        }
        self.transact(call, actions, 2).await
    }
}
