//! Entity tags of session data, and preconditions on them (RFC 9110, sections 8.8.3 and 13.1).

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
        Self::of_digest(&Sha256::digest(data))
    }

    /// The tag that stands for a digest of the data.
    pub(crate) fn of_digest(digest: &[u8]) -> Self {
        let prefix = digest.get(..DIGEST_BYTES).unwrap_or(digest);
        Self(format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(prefix)))
    }

    /// The tag that the table holds. `None`: the text is not an entity tag.
    pub(crate) fn stored(text: String) -> Option<Self> {
        let is_tag = split_tag(&text).is_some_and(|(_, after)| after.is_empty());
        (is_tag && text.is_ascii()).then_some(Self(text))
    }

    /// The tag without `W/`.
    pub(crate) fn without_weakness(&self) -> &str {
        self.0.trim_start_matches("W/")
    }

    /// The tag with its quotes, ready for a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The entity tags in an `If-Match` or `If-None-Match` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ETags {
    /// `*`: any data of a live session.
    Any,
    /// The data with one of these tags. A weak tag keeps its `W/`.
    OneOf(Vec<ETag>),
}

/// What must hold of the stored data for a call to take place. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The data has one of these tags, by the strong comparison: a weak tag matches nothing (RFC 9110, section 13.1.1).
    pub if_match: Option<ETags>,
    /// The data has none of these tags, by the weak comparison: `W/` does not matter (RFC 9110, section 13.1.2).
    pub if_none_match: Option<ETags>,
}

impl Preconditions {
    /// The data has this tag.
    #[must_use]
    pub fn if_match(tag: ETag) -> Self {
        Self { if_match: Some(ETags::OneOf(vec![tag])), if_none_match: None }
    }

    /// Whether both hold for data with this tag.
    pub(crate) fn hold(&self, tag: &ETag) -> bool {
        self.is_match(tag) && self.is_none_match(tag)
    }

    /// Whether `If-Match` holds for data with this tag.
    #[must_use]
    pub fn is_match(&self, tag: &ETag) -> bool {
        match &self.if_match {
            None | Some(ETags::Any) => true,
            Some(ETags::OneOf(tags)) => tags.contains(tag),
        }
    }

    /// Whether `If-None-Match` holds for data with this tag.
    #[must_use]
    pub fn is_none_match(&self, tag: &ETag) -> bool {
        match &self.if_none_match {
            None => true,
            Some(ETags::Any) => false,
            Some(ETags::OneOf(tags)) => tags.iter().all(|given| given.without_weakness() != tag.as_str()),
        }
    }
}

/// The text is not the value of an `If-Match` or `If-None-Match` header, or has more than 100 tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("If-Match and If-None-Match must be * or a list of at most 100 entity tags, each in double quotes")]
pub struct MalformedETags;

impl FromStr for ETags {
    type Err = MalformedETags;

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
            let (tag, after) = split_tag(rest).ok_or(MalformedETags)?;
            tags.push(ETag(tag.to_owned()));
            rest = after.trim_start_matches(is_space);
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(MalformedETags);
            }
        }
        if tags.is_empty() || tags.len() > MAX_TAGS {
            return Err(MalformedETags);
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
            ETags::Any => panic!("{value} is not *"),
            ETags::OneOf(tags) => tags.into_iter().map(|tag| tag.0).collect(),
        }
    }

    #[test]
    fn a_tag_depends_on_every_byte_and_on_nothing_else() {
        assert_eq!(ETag::of(r#"{"a":1}"#), ETag::of(r#"{"a":1}"#));
        assert_ne!(ETag::of(r#"{"a":1}"#), ETag::of(r#"{"a": 1}"#));
        assert_eq!(ETag::of("{}").as_str(), r#""RBNvo1WzZ4oRRq0W9-hkng""#);
    }

    #[test]
    fn a_tag_is_a_list_of_one() {
        let tag = ETag::of("{}");
        assert_eq!(tag.as_str().parse(), Ok(ETags::OneOf(vec![tag])));
    }

    #[test]
    fn lists_are_taken_as_rfc_9110_writes_them() {
        assert_eq!(" * ".parse(), Ok(ETags::Any));
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
    fn if_match_compares_strongly_and_if_none_match_weakly() {
        let tag = ETag::of("{}");
        let strong: ETags = tag.as_str().parse().unwrap();
        let weak: ETags = format!("\"a\", W/{}", tag.as_str()).parse().unwrap();
        let other: ETags = "\"a\"".parse().unwrap();
        for (tags, is_match, is_none_match) in [
            (None, true, true),
            (Some(ETags::Any), true, false),
            (Some(strong), true, false),
            (Some(weak), false, false),
            (Some(other), false, true),
        ] {
            let both = Preconditions { if_match: tags.clone(), if_none_match: tags };
            assert_eq!(
                (both.is_match(&tag), both.is_none_match(&tag)),
                (is_match, is_none_match),
                "{both:?}"
            );
        }
    }

    #[test]
    fn a_weak_tag_equals_no_strong_one() {
        let tag = ETag::of("{}");
        assert_ne!(format!("W/{}", tag.as_str()).parse(), Ok(ETags::OneOf(vec![tag])));
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
            assert_eq!(value.parse::<ETags>(), Err(MalformedETags), "{value}");
        }
        assert_eq!(tags(&vec![r#""a""#; MAX_TAGS].join(",")).len(), MAX_TAGS);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(value in "[W/\"*,a \t\\PC]{0,40}") {
            let _ = value.parse::<ETags>();
        }
    }
}
