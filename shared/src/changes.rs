//! What a program has changed of a session's data, by top-level key.

use std::fmt;

use indexmap::{IndexMap, IndexSet};
use serde_json::value::RawValue;

use crate::error::Error;

/// The members of an object: the keys in their order, and each value as it was written.
type Members = IndexMap<String, Box<RawValue>>;

/// The keys of an object that were set or removed. Applied to what another program has stored meanwhile, the changes of both
/// last, if they are of different keys.
#[derive(Clone, Default)]
pub(crate) struct Changes {
    /// All of it was replaced by this JSON text, which may be no object.
    whole: Option<String>,
    set: Members,
    removed: IndexSet<String>,
}

impl Changes {
    /// What makes the object `after` of the object `before`, both as JSON texts.
    ///
    /// # Errors
    /// [`Error::Deserialize`]: one of them is no object.
    pub(crate) fn between(before: &str, after: &str) -> Result<Self, Error> {
        if before == after {
            return Ok(Self::default());
        }
        let (before, mut after) = (members(before)?, members(after)?);
        let removed = before.keys().filter(|key| !after.contains_key(*key)).cloned().collect();
        after.retain(|key, value| before.get(key).is_none_or(|before| before.get() != value.get()));
        Ok(Self { whole: None, set: after, removed })
    }

    /// What replaces data that is not looked into.
    pub(crate) fn of_whole(before: &str, after: &str) -> Self {
        Self { whole: (before != after).then(|| after.to_owned()), ..Self::default() }
    }

    /// These changes, and all members of `object`, whether they were there before or not.
    ///
    /// # Errors
    /// [`Error::Deserialize`]: the text is no object.
    pub(crate) fn and_set(mut self, object: &str) -> Result<Self, Error> {
        let members = members(object)?;
        self.removed.retain(|key| !members.contains_key(key));
        self.set.extend(members);
        Ok(self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.set.is_empty() && self.removed.is_empty()
    }

    /// The object with these changes. The keys that were there keep their order, and new ones follow.
    ///
    /// # Errors
    /// [`Error::Deserialize`]: the text is no object.
    pub(crate) fn apply(&self, object: &str) -> Result<String, Error> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        if self.is_empty() {
            return Ok(object.to_owned());
        }
        let mut members = members(object)?;
        members.retain(|key, _| !self.removed.contains(key));
        members.extend(self.set.clone());
        serde_json::to_string(&members).map_err(Error::Serialize)
    }
}

/// Without the data: it is not for a log.
impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Changes({} set, {} removed)", self.set.len(), self.removed.len())
    }
}

fn members(object: &str) -> Result<Members, Error> {
    serde_json::from_str(object).map_err(Error::Deserialize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn changed(before: &str, after: &str, meanwhile: &str) -> String {
        Changes::between(before, after).unwrap().apply(meanwhile).unwrap()
    }

    #[test]
    fn changes_of_different_keys_both_last() {
        assert_eq!(changed(r#"{"x":0}"#, r#"{"x":0,"a":1}"#, r#"{"x":0,"b":2}"#), r#"{"x":0,"b":2,"a":1}"#);
        assert_eq!(changed(r#"{"x":0,"y":0}"#, r#"{"x":1,"y":0}"#, r#"{"x":0,"y":5}"#), r#"{"x":1,"y":5}"#);
    }

    #[test]
    fn of_one_key_the_later_change_lasts() {
        assert_eq!(changed(r#"{"x":0}"#, r#"{"x":1}"#, r#"{"x":2}"#), r#"{"x":1}"#);
    }

    #[test]
    fn a_removed_key_stays_removed_and_what_is_absent_already_is_no_matter() {
        assert_eq!(changed(r#"{"x":0,"y":0}"#, r#"{"y":0}"#, r#"{"x":0,"y":0,"z":1}"#), r#"{"y":0,"z":1}"#);
        assert_eq!(changed(r#"{"x":0}"#, "{}", r#"{"z":1}"#), r#"{"z":1}"#);
    }

    #[test]
    fn what_is_set_in_any_case_is_a_change_though_it_was_there() {
        let changes =
            Changes::between(r#"{"a":1,"b":2}"#, r#"{"b":2}"#).unwrap().and_set(r#"{"b":2,"a":3}"#).unwrap();
        assert_eq!(changes.apply(r#"{"a":1,"c":0}"#).unwrap(), r#"{"a":3,"c":0,"b":2}"#);
    }

    #[test]
    fn values_stay_as_they_were_written() {
        let long = r#"{"n":123456789012345678901234567890,"f":1.50,"e":1e2}"#;
        assert_eq!(changed("{}", r#"{"a":1}"#, long), long.replace('}', r#","a":1}"#));
        assert_eq!(
            changed(r#"{"n":1}"#, r#"{"n":12345678901234567890123}"#, r#"{"n":1}"#),
            r#"{"n":12345678901234567890123}"#
        );
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for text in ["[1]", "null", "1", r#""a""#] {
            assert!(matches!(Changes::between(text, "{}"), Err(Error::Deserialize(_))), "{text}");
            let changes = Changes::between("{}", r#"{"a":1}"#).unwrap();
            assert!(matches!(changes.apply(text), Err(Error::Deserialize(_))), "{text}");
            assert_eq!(Changes::of_whole("{}", text).apply("[2]").unwrap(), text);
            assert!(Changes::of_whole(text, text).is_empty());
        }
    }

    #[test]
    fn the_data_is_not_printed() {
        let changes = Changes::between(r#"{"secret1":1}"#, r#"{"secret2":"secret3"}"#).unwrap();
        assert_eq!(format!("{changes:?}"), "Changes(1 set, 1 removed)");
    }

    fn object() -> impl Strategy<Value = IndexMap<String, u8>> {
        proptest::collection::vec(("[a-d]", 0_u8..3), 0..5).prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn every_key_is_as_the_program_left_it_where_it_changed_it_and_as_it_is_stored_elsewhere(
            before in object(), after in object(), meanwhile in object(),
        ) {
            let text = |object: &IndexMap<String, u8>| serde_json::to_string(object).unwrap();
            let merged = changed(&text(&before), &text(&after), &text(&meanwhile));
            let merged: IndexMap<String, u8> = serde_json::from_str(&merged).unwrap();
            for key in ["a", "b", "c", "d"] {
                let expected = if before.get(key) == after.get(key) { &meanwhile } else { &after };
                prop_assert_eq!(merged.get(key), expected.get(key));
            }
        }
    }
}
