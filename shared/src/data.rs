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
    check(&text, limit)?;
    Ok(text)
}

/// # Errors
/// The JSON text is larger than `limit` bytes, too deep, or other JSON readers do not accept it.
pub(crate) fn check(text: &str, limit: usize) -> Result<(), Error> {
    if text.len() > limit {
        return Err(Error::DataTooLarge { size: text.len(), limit });
    }
    if depth(text) > MAX_DATA_DEPTH {
        return Err(Error::DataTooDeep { limit: MAX_DATA_DEPTH });
    }
    if let Some(what) = not_portable(text) {
        return Err(Error::DataNotPortable { what });
    }
    Ok(())
}

/// What other JSON readers refuse or change (RFC 7493, sections 2.1 and 2.2): a surrogate without its other half, or a number
/// that a 64-bit float cannot hold. `json` must be valid JSON.
fn not_portable(json: &str) -> Option<&'static str> {
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let text = string(&bytes[at..])?;
                if has_lone_surrogate(text) {
                    return Some("half a surrogate pair");
                }
                at += text.len();
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = bytes[at..].iter().take_while(|byte| is_part(byte)).count();
                if is_beyond_f64(&json[at..at + length]) {
                    return Some("a number beyond the range of a 64-bit float");
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// The string that begins here, with its quotes.
fn string(json: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    loop {
        match json.get(at)? {
            b'"' => return json.get(..=at),
            b'\\' => at += 2, // an escaped quote does not end the string
            _ => at += 1,
        }
    }
}

fn has_lone_surrogate(string: &[u8]) -> bool {
    let mut expects_low = false;
    let mut at = 0;
    while let Some(byte) = string.get(at) {
        let unit = (*byte == b'\\' && string.get(at + 1) == Some(&b'u'))
            .then(|| std::str::from_utf8(string.get(at + 2..at + 6)?).ok())
            .flatten()
            .and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let is_low = matches!(unit, Some(0xdc00..=0xdfff));
        if is_low != expects_low {
            return true;
        }
        expects_low = matches!(unit, Some(0xd800..=0xdbff));
        at += match (byte, unit) {
            (_, Some(_)) => 6,
            (b'\\', None) => 2,
            _ => 1,
        };
    }
    expects_low
}

/// Only an exponent or very many digits can be beyond: the largest is 1.8e308.
fn is_beyond_f64(number: &str) -> bool {
    (number.len() > 308 || number.contains(['e', 'E'])) && number.parse().is_ok_and(f64::is_infinite)
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

    #[test]
    fn what_other_readers_refuse_is_found_and_nothing_else() {
        let digits = |n: usize| "9".repeat(n);
        for json in [
            r#"{"a":"\ud800"}"#,
            r#"{"\udfff":1}"#,
            r#"["\udc00\ud800"]"#,
            r#"["\ud83c\ud83c\udf6a"]"#,
            r#"["\ud83c\n\udf6a"]"#,
            r#"["\\\ud83c"]"#,
            "1e400",
            "[-1E+309]",
            &digits(400),
        ] {
            assert!(not_portable(json).is_some(), "{json}");
        }
        for json in [
            r#"{"a":"\ud83c\udf6a","b":"\\ud800","c":"\u00e9\"\\"}"#,
            r#"["1e400","🍪"]"#,
            "[1e308,-1.7976931348623157e308,1e-400,0.1,123456789012345678901234567890]",
            &digits(308),
        ] {
            assert_eq!(not_portable(json), None, "{json}");
        }
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
