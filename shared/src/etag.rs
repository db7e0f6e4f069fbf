//! Entity tags of session data, and the `If-Match` header that names them (RFC 9110, sections 8.8.3 and 13.1.1).

use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// 128 bits distinguish all data that a session will ever hold. Every byte is stored and billed.
const DIGEST_BYTES: usize = 16;

/// DynamoDB's limit on the operands of `IN`
/// ("Comparison operator and function reference" in the Developer Guide).
const MAX_TAGS: usize = 100;

/// An entity tag as it stands in a header, quotes and all: `"pZGm1Av0IEBKARczz7exkA"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(String);

impl ETag {
    /// The strong validator of `data`: the same bytes have the same tag, other bytes another.
    pub(crate) fn of(data: &str) -> Self {
        let digest = Sha256::digest(data);
        let prefix = digest.get(..DIGEST_BYTES).unwrap_or(&digest);
        Self(format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(prefix)))
    }

    /// The tag that the table holds. `None`: the text is not an entity tag.
    pub(crate) fn stored(text: String) -> Option<Self> {
        let is_tag = split_tag(&text).is_some_and(|(_, after)| after.is_empty());
        (is_tag && text.is_ascii()).then_some(Self(text))
    }

    /// The tag with its quotes, ready for a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the stored data must be for a save to take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// Any data: the session need only be alive.
    Any,
    /// The data must have one of these tags.
    ///
    /// A weak tag keeps its `W/` and so matches no stored tag: If-Match uses the strong comparison.
    OneOf(Vec<ETag>),
}

/// The text is not the value of an `If-Match` header, or names more than 100 tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("If-Match must be * or a list of at most 100 entity tags, each in double quotes")]
pub struct MalformedIfMatch;

impl FromStr for IfMatch {
    type Err = MalformedIfMatch;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        if value.trim_matches(is_space) == "*" {
            return Ok(Self::Any);
        }
        let mut tags = Vec::new();
        let mut rest = value;
        loop {
            rest = rest.trim_start_matches(|c| is_space(c) || c == ',');
            if rest.is_empty() {
                break;
            }
            let (tag, after) = split_tag(rest).ok_or(MalformedIfMatch)?;
            tags.push(ETag(tag.to_owned()));
            rest = after.trim_start_matches(is_space);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(MalformedIfMatch);
            }
        }
        if tags.is_empty() || tags.len() > MAX_TAGS {
            return Err(MalformedIfMatch);
        }
        Ok(Self::OneOf(tags))
    }
}

/// Optional white space (RFC 9110, section 5.6.3).
fn is_space(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// Splits the entity tag off the start of `text`.
fn split_tag(text: &str) -> Option<(&str, &str)> {
    let opaque = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?;
    let (inside, after) = opaque.split_once('"')?;
    if inside.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return None;
    }
    Some((text.strip_suffix(after)?, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(value: &str) -> Vec<String> {
        match value.parse().unwrap() {
            IfMatch::Any => panic!("{value} is not *"),
            IfMatch::OneOf(tags) => tags.into_iter().map(|tag| tag.0).collect(),
        }
    }

    #[test]
    fn a_tag_depends_on_every_byte_and_on_nothing_else() {
        assert_eq!(ETag::of(r#"{"a":1}"#), ETag::of(r#"{"a":1}"#));
        assert_ne!(ETag::of(r#"{"a":1}"#), ETag::of(r#"{"a": 1}"#));
        assert_eq!(ETag::of("{}").as_str(), r#""RBNvo1WzZ4oRRq0W9-hkng""#);
    }

    #[test]
    fn a_tag_is_its_own_if_match() {
        let tag = ETag::of("{}");
        assert_eq!(tag.as_str().parse(), Ok(IfMatch::OneOf(vec![tag])));
    }

    #[test]
    fn lists_are_taken_as_rfc_9110_writes_them() {
        assert_eq!(" * ".parse(), Ok(IfMatch::Any));
        assert_eq!(
            tags(r#""xyzzy", "r2d2xxxx","c3piozzzz""#),
            [r#""xyzzy""#, r#""r2d2xxxx""#, r#""c3piozzzz""#]
        );
        assert_eq!(tags(r#", "a,b" ,, """#), [r#""a,b""#, r#""""#]);
        assert_eq!(tags("\t\"a\"\t"), [r#""a""#]);
    }

    #[test]
    fn a_stored_text_that_is_not_a_tag_is_refused() {
        assert_eq!(ETag::stored("\"a\"".into()), Some(ETag("\"a\"".into())));
        for text in ["", "a", "\"a", "\"a\nb\"", "\"a\"b", "\"\u{e9}\""] {
            assert_eq!(ETag::stored(text.into()), None, "{text}");
        }
    }

    #[test]
    fn a_weak_tag_equals_no_strong_one() {
        let tag = ETag::of("{}");
        assert_ne!(format!("W/{}", tag.as_str()).parse(), Ok(IfMatch::OneOf(vec![tag])));
        assert_eq!(tags(r#"W/"a""#), [r#"W/"a""#]);
    }

    #[test]
    fn anything_else_is_malformed() {
        let too_many = vec![r#""a""#; MAX_TAGS + 1].join(",");
        for value in [
            "",
            ",",
            "a",
            "\"",
            "\"a",
            "a\"",
            "\"a\"b",
            "\"a\" \"b\"",
            "*, \"a\"",
            "\"a\", *",
            "w/\"a\"",
            "\"a b\"",
            "W/",
            &too_many,
        ] {
            assert_eq!(value.parse::<IfMatch>(), Err(MalformedIfMatch), "{value}");
        }
        assert_eq!(tags(&vec![r#""a""#; MAX_TAGS].join(",")).len(), MAX_TAGS);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(value in "[W/\"*,a \t\\PC]{0,40}") {
            let _ = value.parse::<IfMatch>();
        }
    }
}
