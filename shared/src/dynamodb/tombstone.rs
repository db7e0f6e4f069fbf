//! Tombstones: what a record becomes when its session gets another ID, or ends.
//!
//! A tombstone has the key, the `chain`, the `subject` if there was one, and `expires` for TTL. A renewal adds `renewed_to` and
//! `renewed_at`; a login that has changed the subject also replaces `subject` and `chain` by the new ones and adds `login`. A
//! clear and a revocation add `ended_at`. A tombstone has none of the attributes that [`ALIVE`](super::alive::ALIVE) compares,
//! so it is dead to every call. Clears and revocations follow it.
//!
//! It also keeps its key: a create or a renewal that arrives late finds the key taken.

use aws_sdk_dynamodb::types::AttributeValue;

use super::item::{Item, timestamp};
use super::record::{chain, subject};
use crate::chain::Chain;
use crate::clock::Timestamp;
use crate::id::LoggableId;
use crate::subject::Subject;

/// After this many seconds TTL may delete a tombstone, by DynamoDB's clock and not by ours. DynamoDB forgets the token of a
/// transaction after ten minutes, and a request that it has received does not take longer.
pub(super) const TTL_SECONDS: u64 = 3600;

/// For this long a clear of an ID from before a login ends the session under its new one. Later it does not, or an ID that was
/// planted before the login could end the session.
pub(crate) const CLEAR_FOLLOWS_SECONDS: u64 = 60;

/// What a tombstone keeps nothing of.
pub(super) const REMOVE: &str = "REMOVE #data, etag, created, idle_timeout, absolute_expires, slide_by, renewals, renewals_since, label, context, authenticated";

/// A tombstone that was read.
#[derive(Clone, Debug)]
pub(crate) struct Tombstone {
    /// The session's next ID, and when it got it. `None`: the session has ended.
    pub(crate) renewed: Option<(LoggableId, Timestamp)>,
    /// Whose session it was, and its chain; after a login those of the new session.
    pub(crate) subject: Option<Subject>,
    pub(crate) chain: Chain,
    /// Whether a login has changed the subject.
    pub(crate) is_login: bool,
}

impl Tombstone {
    /// `None`: the item is no tombstone.
    pub(super) fn read(item: &Item) -> Option<Self> {
        let renewed = match item.get("renewed_to") {
            Some(AttributeValue::S(id)) => {
                Some((LoggableId::stored(id), timestamp(item, "renewed_at").ok()?))
            }
            Some(_) => return None,
            None => None,
        };
        if renewed.is_none() && !item.contains_key("ended_at") {
            return None;
        }
        Some(Self {
            renewed,
            subject: subject(item).ok()?,
            chain: chain(item).ok()?,
            is_login: item.contains_key("login"),
        })
    }
}
