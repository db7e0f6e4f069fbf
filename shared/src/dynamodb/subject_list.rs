//! The list of a subject's sessions: one item of the table, beside the sessions.
//!
//! | attribute | what it is |
//! | --- | --- |
//! | `id` | `subject#` and the SHA-512 of the subject: not the key of any session |
//! | `s_…` | a session that may be alive; its absolute deadline. The name is its loggable ID in base64url |
//! | `e_…` | a session that a revocation is ending. It cannot be renewed any more |
//! | `n` | how many there are |
//! | `prune_at` | from this number on, a write first removes what has expired |
//! | `v` | a random number, which every write replaces |
//! | `expires` | for TTL: no session in the list can live longer |
//!
//! A create and a renewal change the list in their transaction, without reading it: an attribute for each session can be set
//! and removed in one update of an item that may not exist yet. Everything else replaces the item as a whole, if `v` is
//! still what was read.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::builders::UpdateBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Update};
use rand::TryRng;
use rand::rngs::SysRng;

use super::item::{Item, number, string, time, timestamp, unbuildable, whole_number};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::LoggableId;
use crate::subject::Subject;

/// So many sessions fit into an item of 1 KB: one write unit.
const FIRST_PRUNE_AT: usize = 8;

/// `expires` is rounded up to whole days, so that it seldom changes, and clocks that differ write the same.
const DAY_SECONDS: u64 = 86_400;

/// The key of a subject's list.
pub(crate) fn key(subject: &Subject) -> String {
    format!("subject#{}", subject.digest())
}

/// The sessions of a subject, as they were read.
#[derive(Clone, Debug)]
pub(crate) struct SubjectList {
    key: String,
    version: u64,
    pub(crate) expires: Timestamp,
    prune_at: usize,
    members: BTreeMap<LoggableId, Member>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    /// The absolute deadline.
    deadline: Timestamp,
    is_ending: bool,
}

impl SubjectList {
    pub(crate) fn from_item(item: &Item) -> Result<Self, Error> {
        let key = match item.get("id") {
            Some(AttributeValue::S(key)) => key.clone(),
            _ => return Err(Error::CorruptRecord("id")),
        };
        let mut members = BTreeMap::new();
        for (name, value) in item {
            let (digest, is_ending) = match (name.strip_prefix("s_"), name.strip_prefix("e_")) {
                (Some(digest), _) => (digest, false),
                (None, Some(digest)) => (digest, true),
                (None, None) => continue,
            };
            let id = LoggableId::from_base64(digest).ok_or(Error::CorruptRecord("s_…"))?;
            let deadline = match value {
                AttributeValue::N(deadline) => deadline.parse().map_err(|_| Error::CorruptRecord("s_…"))?,
                _ => return Err(Error::CorruptRecord("s_…")),
            };
            let deadline = Timestamp::from_epoch_seconds(deadline);
            members.insert(id, Member { deadline, is_ending });
        }
        Ok(Self {
            key,
            version: whole_number(item, "v")?,
            expires: timestamp(item, "expires")?,
            prune_at: usize::try_from(whole_number(item, "prune_at")?).unwrap_or(usize::MAX),
            members,
        })
    }

    /// The item, with `version` in place of the one that was read.
    pub(crate) fn to_item(&self, version: u64) -> Item {
        let attribute = |(id, member): (&LoggableId, &Member)| {
            let name = if member.is_ending { ending(id) } else { live(id) };
            (name, time(member.deadline))
        };
        let mut item: HashMap<_, _> = self.members.iter().map(attribute).collect();
        item.extend([
            ("id".into(), string(self.key.as_str())),
            ("n".into(), number(self.len() as u64)),
            ("prune_at".into(), number(self.prune_at as u64)),
            ("v".into(), number(version)),
            ("expires".into(), time(self.expires)),
        ]);
        item
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn set_version(&mut self, version: u64) {
        self.version = version;
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// All members, those with the nearest deadline first.
    pub(crate) fn by_deadline(&self) -> Vec<LoggableId> {
        let mut members: Vec<_> = self.members.iter().collect();
        members.sort_by_key(|(_, member)| member.deadline);
        members.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// Whether the session is in the list and no revocation is ending it.
    pub(crate) fn has_live(&self, id: &LoggableId) -> bool {
        self.members.get(id).is_some_and(|member| !member.is_ending)
    }

    /// Marks sessions as ending. False: none was live.
    pub(crate) fn mark(&mut self, is_to_end: impl Fn(&LoggableId) -> bool) -> bool {
        let mut is_changed = false;
        for (id, member) in &mut self.members {
            if !member.is_ending && is_to_end(id) {
                member.is_ending = true;
                is_changed = true;
            }
        }
        is_changed
    }

    /// The sessions that are marked as ending.
    pub(crate) fn ending(&self) -> Vec<LoggableId> {
        let ending = self.members.iter().filter(|(_, member)| member.is_ending);
        ending.map(|(id, _)| id.clone()).collect()
    }

    /// Removes sessions.
    pub(crate) fn remove(&mut self, ids: &[LoggableId]) {
        self.members.retain(|id, _| !ids.contains(id));
        self.put_off_pruning();
    }

    /// Lets TTL delete the list once all its sessions have expired. A list without sessions it may delete tomorrow.
    pub(crate) fn shorten_expires(&mut self, now: Timestamp) {
        let last = self.members.values().map(|member| member.deadline).max();
        self.expires = list_expires(last.unwrap_or(now), 0);
    }

    /// Removes the sessions whose absolute deadline has passed.
    pub(crate) fn prune(&mut self, now: Timestamp) {
        self.members.retain(|_, member| now < member.deadline);
        self.put_off_pruning();
    }

    /// Until there are twice as many sessions as now: over time, a session is pruned for less than one further write.
    fn put_off_pruning(&mut self) {
        self.prune_at = FIRST_PRUNE_AT.max(self.len() * 2);
    }
}

/// What a transaction does to a subject's list.
#[derive(Clone, Debug)]
pub(crate) struct ListChange<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) action: ListAction<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ListAction<'a> {
    /// One more session, with its absolute deadline. The list has room for it below this number.
    Add(&'a LoggableId, Timestamp, usize),
    /// The session has another ID.
    Move { old: &'a LoggableId, new: &'a LoggableId, deadline: Timestamp },
    /// The session belongs to another subject.
    Remove(&'a LoggableId),
    /// The session has another absolute deadline.
    Extend(&'a LoggableId, Timestamp),
}

impl ListChange<'_> {
    /// The change as a part of a transaction. `expires` is when TTL may delete the list, if this session does not live longer;
    /// it never becomes earlier.
    pub(crate) fn to_update(&self, table: &str, expires: Timestamp) -> Result<Update, Error> {
        // A session may have been created when SESSION_MAX_TIMEOUT_SECONDS was longer.
        let expires = match self.action {
            ListAction::Add(_, deadline, _)
            | ListAction::Move { deadline, .. }
            | ListAction::Extend(_, deadline) => expires.max(list_expires(deadline, 0)),
            ListAction::Remove(_) => expires,
        };
        let update = Update::builder()
            .table_name(table)
            .key("id", string(key(self.subject)))
            .expression_attribute_values(":v", number(random_version()?))
            // It tells why the condition failed, and is what is pruned then.
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let until = |update: UpdateBuilder| update.expression_attribute_values(":expires", time(expires));
        let update = match self.action {
            ListAction::Add(id, deadline, max) => until(update)
                .update_expression(
                    "SET #new = :deadline, expires = :expires, v = :v, prune_at = if_not_exists(prune_at, :first) \
                     ADD n :one",
                )
                .condition_expression(
                    "attribute_not_exists(id) OR (n < prune_at AND n < :max AND expires <= :expires)",
                )
                .expression_attribute_names("#new", live(id))
                .expression_attribute_values(":deadline", time(deadline))
                .expression_attribute_values(":first", number(FIRST_PRUNE_AT as u64))
                .expression_attribute_values(":max", number(max as u64))
                .expression_attribute_values(":one", number(1)),
            ListAction::Move { old, new, deadline } => until(update)
                .update_expression("SET #new = :deadline, expires = :expires, v = :v REMOVE #old")
                .condition_expression("attribute_exists(#old) AND expires <= :expires")
                .expression_attribute_names("#old", live(old))
                .expression_attribute_names("#new", live(new))
                .expression_attribute_values(":deadline", time(deadline)),
            ListAction::Remove(id) => update
                .update_expression("SET v = :v REMOVE #old ADD n :minus_one")
                .condition_expression("attribute_exists(#old)")
                .expression_attribute_names("#old", live(id))
                .expression_attribute_values(":minus_one", AttributeValue::N("-1".into())),
            ListAction::Extend(id, deadline) => until(update)
                .update_expression("SET #id = :deadline, expires = :expires, v = :v")
                .condition_expression("attribute_exists(#id) AND expires <= :expires")
                .expression_attribute_names("#id", live(id))
                .expression_attribute_values(":deadline", time(deadline)),
        };
        update.build().map_err(unbuildable)
    }
}

/// When TTL may delete a list that is written now: no session lives longer than `max_seconds` from its creation.
pub(crate) fn list_expires(now: Timestamp, max_seconds: u64) -> Timestamp {
    let end = now.plus_seconds(max_seconds).epoch_seconds();
    Timestamp::from_epoch_seconds(end.next_multiple_of(DAY_SECONDS))
}

pub(crate) fn random_version() -> Result<u64, Error> {
    SysRng.try_next_u64().map_err(|error| Error::Randomness(error.into()))
}

/// The attribute of a session that may be alive.
fn live(id: &LoggableId) -> String {
    format!("s_{}", id.to_base64())
}

/// The attribute of a session that a revocation is ending.
fn ending(id: &LoggableId) -> String {
    format!("e_{}", id.to_base64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch_seconds(1_800_000_000 + seconds)
    }

    fn id() -> LoggableId {
        SessionId::generate(16).unwrap().loggable().clone()
    }

    fn list(deadlines: &[u64]) -> SubjectList {
        let member = |seconds: &u64| (id(), Member { deadline: at(*seconds), is_ending: false });
        SubjectList {
            key: key(&"alice".parse().unwrap()),
            version: 7,
            expires: at(DAY_SECONDS),
            prune_at: 8,
            members: deadlines.iter().map(member).collect(),
        }
    }

    #[test]
    fn a_list_comes_back_from_its_item() {
        let mut list = list(&[10, 20, 30]);
        let first = list.by_deadline().remove(0);
        assert!(list.mark(|id| *id == first));
        let back = SubjectList::from_item(&list.to_item(8)).unwrap();
        assert_eq!((back.key, back.version, back.expires), (list.key.clone(), 8, list.expires));
        assert_eq!((back.prune_at, &back.members), (list.prune_at, &list.members));
        assert_eq!(list.to_item(8)["n"], number(3));
        assert_eq!(list.ending(), std::slice::from_ref(&first));
        assert!(!list.has_live(&first) && !list.mark(|id| *id == first));
    }

    #[test]
    fn no_session_has_the_key_of_a_list() {
        let key = key(&"alice".parse().unwrap());
        assert!(key.parse::<LoggableId>().is_err());
        assert_eq!(key.len(), "subject#".len() + 128);
    }

    #[test]
    fn eight_sessions_cost_one_write_unit() {
        let size =
            |item: Item| item.into_iter().map(|(name, value)| name.len() + bytes(&value)).sum::<usize>();
        assert!(size(list(&[0; FIRST_PRUNE_AT]).to_item(u64::MAX)) <= 1024);
        let largest = size(list(&[0; crate::MAX_PER_SUBJECT]).to_item(u64::MAX));
        assert!(largest < 200 * 1024, "{largest} bytes: half of what an item may have");
    }

    /// As DynamoDB counts them (Developer Guide, "DynamoDB item sizes and formats").
    fn bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
            _ => unreachable!("a list has no other types"),
        }
    }

    #[test]
    fn pruning_removes_what_has_expired_and_comes_back_when_the_rest_has_doubled() {
        let mut list = list(&[10, 20, 30, 40, 50, 60, 70, 80, 90]);
        list.prune(at(20));
        assert_eq!((list.len(), list.prune_at), (7, 14));
        list.prune(at(90));
        assert_eq!((list.len(), list.prune_at), (0, FIRST_PRUNE_AT));
    }

    #[test]
    fn ttl_may_delete_a_list_on_the_day_after_its_last_session_at_the_earliest() {
        for max_seconds in [1, 86_400, 2_592_000] {
            let expires = list_expires(at(5), max_seconds);
            assert!(expires >= at(5).plus_seconds(max_seconds));
            assert!(expires < at(5).plus_seconds(max_seconds + DAY_SECONDS));
            assert_eq!(list_expires(at(6), max_seconds), expires);
        }
    }

    #[test]
    fn a_broken_list_is_an_error() {
        for (name, value) in [
            ("v", AttributeValue::Null(true)),
            ("expires", AttributeValue::Null(true)),
            ("prune_at", AttributeValue::Null(true)),
            ("id", AttributeValue::Null(true)),
            ("s_short", number(1)),
        ] {
            let mut item = list(&[10]).to_item(1);
            item.insert(name.into(), value);
            assert!(matches!(SubjectList::from_item(&item), Err(Error::CorruptRecord(_))), "{name}");
        }
    }
}
