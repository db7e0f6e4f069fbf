//! The data of a session as JSON text: its size and its depth.

use serde::Serialize;

use crate::error::Error;

/// How deep arrays and objects may be nested in a session's data.
///
/// serde_json reads 127 levels, the document around the data included; other readers stop at 64 to 1,000.
pub const MAX_DATA_DEPTH: usize = 100;

/// The JSON text of `data`, of at most `limit` bytes.
pub(crate) fn encode<T: Serialize>(data: &T, limit: usize) -> Result<String, Error> {
    let text = serde_json::to_string(data).map_err(Error::Serialize)?;
    if text.len() > limit {
        return Err(Error::DataTooLarge { size: text.len(), limit });
    }
    if depth(&text) > MAX_DATA_DEPTH {
        return Err(Error::DataTooDeep { limit: MAX_DATA_DEPTH });
    }
    Ok(text)
}

/// How deep arrays and objects are nested in `json`, which must be valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => drop(bytes.next()), // an escaped quote does not end the string
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn depth_counts_what_is_open_at_once() {
        assert_eq!(depth("{}"), 1);
        assert_eq!(depth(r#"{"a":[{}],"b":[]}"#), 3);
        assert_eq!(depth(r#""[[[[""#), 0);
        assert_eq!(depth(r#"{"\"[[[":"\\","b":"\\\"{{"}"#), 1);
    }

    fn depth_of(value: &Value) -> usize {
        match value {
            Value::Array(values) => 1 + values.iter().map(depth_of).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn depth_agrees_with_a_parser(value in value()) {
            prop_assert_eq!(depth(&value.to_string()), depth_of(&value));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = "[\\\\\"\\[\\]{}a]{0,6}".prop_map(|text| json!(text));
        leaf.prop_recursive(6, 60, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[\\\\\"\\[{]{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
