//! The tombstone that a renewal leaves under the old ID: the key, the new ID in `renewed_to`, the time in `renewed_at`, and
//! `expires` for TTL. It has none of the attributes that [`ALIVE`] compares, so it is dead to every call. A clear and a
//! revocation follow it.

use aws_sdk_dynamodb::types::{AttributeValue, Update as UpdatePart};

use super::alive::ALIVE;
use super::item::{Item, number, string, time, timestamp, unbuildable};
use super::record::Record;
use super::table::Table;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::LoggableId;

/// After this many seconds TTL may delete a tombstone, by DynamoDB's clock and not by ours.
const TTL_SECONDS: u64 = 3600;

/// For this long a clear of a renewed ID ends the session under its new one. Later it does not, or an ID that was planted
/// before a login could end the session.
pub(crate) const CLEAR_FOLLOWS_SECONDS: u64 = 60;

/// What is left of the old record.
const MAKE: &str = "SET renewed_to = :new, renewed_at = :now, expires = :tombstone_expires \
                    REMOVE #data, etag, created, idle_timeout, absolute_expires, subject";

impl Table {
    /// The part of a renewal that makes a tombstone of the old record, if it is still what `record` says. A save may have
    /// changed it; a slide of the idle deadline does not matter.
    pub(super) fn to_tombstone(
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
            .update_expression(MAKE)
            .expression_attribute_names("#data", "data") // a reserved word
            .expression_attribute_values(":new", string(new.as_str()))
            .expression_attribute_values(":tombstone_expires", time(now.plus_seconds(TTL_SECONDS)))
            .condition_expression(condition)
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":not_before", time(self.not_before))
            .expression_attribute_values(":etag", string(record.etag.as_str()))
            .expression_attribute_values(":idle", number(record.idle_seconds))
            .expression_attribute_values(":absolute_deadline", time(record.deadlines.absolute))
            .build()
            .map_err(unbuildable)
    }
}

/// The ID that a tombstone leads to, unless it is too old.
pub(super) fn read(item: &Item, now: Timestamp, max_age: u64) -> Option<LoggableId> {
    let renewed_at = timestamp(item, "renewed_at").ok()?;
    let renewed_to = match item.get("renewed_to") {
        Some(AttributeValue::S(id)) => LoggableId::stored(id),
        _ => return None,
    };
    (now.seconds_since(renewed_at) <= max_age).then_some(renewed_to)
}
