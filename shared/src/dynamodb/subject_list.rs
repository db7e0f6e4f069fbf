//! The list of a subject's sessions: one item of the table, beside the sessions.
//!
//! | attribute | what it is |
//! | --- | --- |
//! | `id` | `subject#` and the SHA-512 of the subject: not the key of any session |
//! | `live` | a binary set: the chains of the sessions that may be renewed. Its size is what the maximum counts |
//! | `s_…` | a session; the name is its chain in base64url, the value a map: `k` the key of its record, `a` the absolute deadline, `i` the idle timeout, `u` a bound of the idle deadline, `c` the time of creation; `l` the label and `x` the context, if there are any |
//! | `prune_at` | from this size of `live` on, a write first removes what has expired |
//! | `expires` | for TTL: no session in the list can live longer |
//!
//! A session whose chain is not in `live` any more is *doomed*: a revocation has taken the chain out and has not come to its
//! end. It cannot be renewed, so its key does not change, and any call that reads the list may end it. Why this cannot be starved,
//! and what was searched for errors, is in ADR 15.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;

use super::device::StoredDevice;
use super::item::{Item, binary, number, string, time};
use crate::chain::Chain;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::id::LoggableId;
use crate::timeouts::{Deadlines, idle_slack};

/// So many sessions fit into an item of 1 KB: one write unit.
const FIRST_PRUNE_AT: usize = 7;

/// `expires` is rounded up to whole days, so that it rarely changes, and clocks that differ write the same.
const DAY_SECONDS: u64 = 86_400;

/// One more session, if there is room for it: `live` is smaller than the maximum, and than the size at which to prune. The
/// `expires` of the item never becomes earlier.
pub(super) const ADD: (&str, &str) = (
    "SET #s = :s, expires = :e, prune_at = if_not_exists(prune_at, :first) ADD live :c",
    "(attribute_not_exists(live) OR (size(live) < :max AND size(live) < prune_at)) AND attribute_not_exists(#s) \
     AND (attribute_not_exists(expires) OR expires <= :e)",
);

/// The session has another key, after a renewal, and perhaps other timeouts, after a login.
pub(super) const MOVE: (&str, &str) = (
    "SET #s.#k = :k, #s.#u = :u, #s.#a = :a, #s.#i = :i, expires = :e",
    "contains(live, :m) AND expires <= :e",
);

/// The session has other timeouts, after a save.
pub(super) const EXTEND: (&str, &str) =
    ("SET #s.#u = :u, #s.#a = :a, #s.#i = :i, expires = :e", "contains(live, :m) AND expires <= :e");

/// The session leaves the list, if it may.
pub(super) const LEAVE: (&str, &str) = ("REMOVE #s DELETE live :c", "contains(live, :m)");

/// The bound of the idle deadline becomes later.
pub(super) const RAISE: (&str, &str) = ("SET #s.#u = :u", "contains(live, :m) AND #s.#u < :u");

/// Takes chains out of `live`: the deciding step of a revocation. It has no condition that another write could make fail.
pub(super) const MARK: (&str, &str) = ("DELETE live :c", "attribute_exists(id)");

/// Removes a session that has ended.
pub(super) const UNLIST: (&str, &str) = ("REMOVE #s DELETE live :c", "attribute_exists(id)");

/// The sessions of a subject, as they were read.
#[derive(Clone, Debug)]
pub(crate) struct SubjectList {
    pub(crate) expires: Timestamp,
    entries: BTreeMap<Chain, Entry>,
}

/// A session in the list of its subject.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// The key of its record.
    pub(crate) key: LoggableId,
    pub(crate) created: Timestamp,
    pub(crate) idle_seconds: u64,
    /// The idle deadline is never later than its bound here, and at most [`idle_slack`] seconds earlier just after it was
    /// written.
    pub(crate) deadlines: Deadlines,
    pub(crate) device: StoredDevice,
    /// Whether its chain is in `live`.
    pub(crate) is_live: bool,
}

impl Entry {
    /// When the session was last known to be used: at most [`idle_slack`] seconds before it was.
    pub(crate) fn last_used(&self) -> Timestamp {
        let earliest = self.deadlines.idle.minus_seconds(idle_slack(self.idle_seconds) + self.idle_seconds);
        earliest.max(self.created)
    }
}

impl SubjectList {
    pub(crate) fn from_item(item: &Item) -> Result<Self, Error> {
        let live: Vec<&[u8]> = match item.get("live") {
            None => Vec::new(),
            Some(AttributeValue::Bs(chains)) => chains.iter().map(AsRef::as_ref).collect(),
            Some(_) => return Err(Error::CorruptRecord("live")),
        };
        let mut entries = BTreeMap::new();
        for (name, value) in item {
            let Some(chain) = name.strip_prefix("s_") else { continue };
            let entry = Chain::from_base64(chain).zip(read_entry(value));
            let (chain, mut entry) = entry.ok_or(Error::CorruptRecord("s_…"))?;
            entry.is_live = live.contains(&chain.as_bytes());
            entries.insert(chain, entry);
        }
        // A list that has never had a session, or that a late write has left, has no deadline.
        let expires = match item.get("expires") {
            None => Timestamp::EPOCH,
            Some(_) => super::item::timestamp(item, "expires")?,
        };
        Ok(Self { expires, entries })
    }

    /// The sessions that may be renewed.
    pub(crate) fn live(&self) -> impl Iterator<Item = (Chain, &Entry)> {
        self.entries.iter().filter(|(_, entry)| entry.is_live).map(|(chain, entry)| (*chain, entry))
    }

    /// The sessions that a revocation has not yet ended.
    pub(crate) fn doomed(&self) -> impl Iterator<Item = (Chain, &Entry)> {
        self.entries.iter().filter(|(_, entry)| !entry.is_live).map(|(chain, entry)| (*chain, entry))
    }

    /// The session, if it may be renewed.
    pub(crate) fn get_live(&self, chain: Chain) -> Option<&Entry> {
        self.entries.get(&chain).filter(|entry| entry.is_live)
    }

    /// The sessions that have expired at `now`, by both deadlines as the list has them.
    pub(crate) fn expired(&self, now: Timestamp) -> Vec<(Chain, &Entry)> {
        self.live().filter(|(_, entry)| !entry.deadlines.is_alive(now)).collect()
    }
}

/// From this many live sessions on, a list with `left` of them is pruned again: when there are twice as many. Over time, a
/// session is pruned for less than one further write.
pub(super) fn prune_at(left: usize) -> usize {
    FIRST_PRUNE_AT.max(left * 2)
}

/// The size of `live` from which on a new list is pruned.
pub(super) fn first_prune_at() -> AttributeValue {
    number(FIRST_PRUNE_AT as u64)
}

/// The attribute of a session.
pub(super) fn attribute(chain: Chain) -> String {
    format!("s_{}", chain.to_base64())
}

/// Chains as a set, for `ADD` and `DELETE`.
pub(super) fn set(chains: impl IntoIterator<Item = Chain>) -> AttributeValue {
    AttributeValue::Bs(chains.into_iter().map(|chain| Blob::new(chain.as_bytes())).collect())
}

/// The value of the attribute of a session.
pub(super) fn entry(entry: &Entry) -> AttributeValue {
    let mut map = Item::from([
        ("k".into(), key(&entry.key)),
        ("a".into(), time(entry.deadlines.absolute)),
        ("i".into(), number(entry.idle_seconds)),
        ("u".into(), time(entry.deadlines.idle)),
        ("c".into(), time(entry.created)),
    ]);
    entry.device.add_to_entry(&mut map);
    AttributeValue::M(map)
}

/// A record's key as 64 bytes.
pub(super) fn key(id: &LoggableId) -> AttributeValue {
    binary(id.to_bytes())
}

fn read_entry(value: &AttributeValue) -> Option<Entry> {
    let map = value.as_m().ok()?;
    let number = |name: &str| map.get(name)?.as_n().ok()?.parse::<u64>().ok();
    let time = |name: &str| number(name).map(Timestamp::from_epoch_seconds);
    Some(Entry {
        key: LoggableId::from_bytes(map.get("k")?.as_b().ok()?.as_ref())?,
        created: time("c")?,
        idle_seconds: number("i")?,
        deadlines: Deadlines { idle: time("u")?, absolute: time("a")? },
        device: StoredDevice::in_list(map),
        is_live: false,
    })
}

/// When TTL may delete a list that is written now: no session lives longer than `max_seconds` from its creation.
pub(crate) fn list_expires(now: Timestamp, max_seconds: u64) -> Timestamp {
    let end = now.plus_seconds(max_seconds).epoch_seconds();
    Timestamp::from_epoch_seconds(end.next_multiple_of(DAY_SECONDS))
}

/// The key of a subject's list, in the namespace of an application.
pub(crate) fn list_key(namespace: &str, digest: &str) -> AttributeValue {
    match namespace {
        "" => string(format!("subject#{digest}")),
        namespace => string(format!("subject#{namespace}#{digest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{Device, MAX_CONTEXT_BYTES, MAX_LABEL_BYTES};
    use crate::id::SessionId;
    use crate::timeouts::Timeouts;
    use std::collections::HashMap;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch_seconds(1_800_000_000 + seconds)
    }

    fn session(idle_seconds: u64, is_live: bool) -> (Chain, Entry) {
        let timeouts = Timeouts { idle_seconds, absolute_seconds: 1000 };
        let entry = Entry {
            key: SessionId::generate(16).unwrap().loggable().clone(),
            created: at(0),
            idle_seconds,
            deadlines: Deadlines::new(timeouts, at(0), at(idle_slack(idle_seconds))),
            device: StoredDevice::default(),
            is_live,
        };
        (Chain::generate().unwrap(), entry)
    }

    fn item(sessions: &[(Chain, Entry)]) -> Item {
        let mut item: Item =
            sessions.iter().map(|(chain, session)| (attribute(*chain), entry(session))).collect();
        let live = sessions.iter().filter(|(_, session)| session.is_live).map(|(chain, _)| *chain);
        item.insert("live".into(), set(live));
        item.insert("prune_at".into(), number(7));
        item.insert("expires".into(), time(at(DAY_SECONDS)));
        item.insert("id".into(), list_key("", &"a".repeat(128)));
        item
    }

    #[test]
    fn a_list_comes_back_from_its_item() {
        let sessions = [session(100, true), session(200, false), session(300, true)];
        let list = SubjectList::from_item(&item(&sessions)).unwrap();
        assert_eq!(list.expires, at(DAY_SECONDS));
        for (chain, session) in &sessions {
            assert_eq!(list.entries[chain], *session);
            assert_eq!(list.get_live(*chain).is_some(), session.is_live);
            assert_eq!(session.last_used(), at(0));
        }
        assert_eq!(list.doomed().map(|(chain, _)| chain).collect::<Vec<_>>(), [sessions[1].0]);
        let expired = list.expired(at(100 + idle_slack(100)));
        assert_eq!(expired.into_iter().map(|(chain, _)| chain).collect::<Vec<_>>(), [sessions[0].0]);
    }

    #[test]
    fn no_session_has_the_key_of_a_list() {
        let digest = "a".repeat(128);
        for namespace in ["", "shop"] {
            let key = list_key(namespace, &digest);
            assert!(key.as_s().unwrap().parse::<LoggableId>().is_err());
        }
        assert_ne!(list_key("", &digest), list_key("shop", &digest));
    }

    /// As DynamoDB counts them (Developer Guide, "DynamoDB item sizes and formats").
    fn bytes(value: &AttributeValue) -> usize {
        match value {
            AttributeValue::S(text) => text.len(),
            AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
            AttributeValue::B(bytes) => bytes.as_ref().len(),
            AttributeValue::Bs(set) => 3 + set.iter().map(|bytes| 1 + bytes.as_ref().len()).sum::<usize>(),
            AttributeValue::M(map) => {
                3 + map.iter().map(|(name, value)| 1 + name.len() + bytes(value)).sum::<usize>()
            }
            _ => unreachable!("a list has no other types"),
        }
    }

    fn size(item: &HashMap<String, AttributeValue>) -> usize {
        item.iter().map(|(name, value)| name.len() + bytes(value)).sum()
    }

    #[test]
    fn few_sessions_cost_one_write_unit_and_the_most_fit_into_an_item() {
        let sessions = |n| (0..n).map(|_| session(7200, true)).collect::<Vec<_>>();
        let small = size(&item(&sessions(FIRST_PRUNE_AT - 2)));
        assert!(small <= 1024, "{small} bytes");
        let mut most = sessions(crate::MAX_PER_SUBJECT);
        let largest = size(&item(&most));
        assert!(largest < 160 * 1024, "{largest} bytes");
        let longest = Device::default().with_label("a".repeat(MAX_LABEL_BYTES)).unwrap();
        let longest = longest.with_context(format!("{:?}", "a".repeat(MAX_CONTEXT_BYTES - 2))).unwrap();
        let key = "k".repeat(32).parse().unwrap();
        for (_, session) in &mut most {
            session.device = StoredDevice::new(&longest, Some(&key)).unwrap(); // larger than the text
        }
        let largest = size(&item(&most));
        assert!(largest < 400 * 1024, "{largest} bytes");
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
            ("live", AttributeValue::Null(true)),
            ("expires", AttributeValue::Null(true)),
            ("s_short", number(1)),
            ("s_AAAAAAAAAAAAAAAA", number(1)),
        ] {
            let mut item = item(&[session(100, true)]);
            item.insert(name.into(), value);
            assert!(matches!(SubjectList::from_item(&item), Err(Error::CorruptRecord(_))), "{name}");
        }
    }
}
