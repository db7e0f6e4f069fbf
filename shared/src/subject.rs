//! Whose session it is.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha512};

use crate::id::hexadecimal;

/// How many bytes of UTF-8 a subject may have.
const SUBJECT_BYTES: std::ops::RangeInclusive<usize> = 1..=256;

/// The most sessions that a subject may have at once.
///
/// They are in one item of the table, and each write to it is billed by its size: 1,000 sessions make an item of 140 KB.
/// DynamoDB's own limit is 400 KB.
pub const MAX_PER_SUBJECT: usize = 1000;

/// Whose session it is: an opaque text of 1 to 256 bytes, such as a user's ID. The back end chooses it, never a browser.
///
/// Compared byte by byte: `Alice` and `alice` are two subjects. `Debug` shows a hash, since the text may be an e-mail address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subject(String);

/// The text is not a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is a text of 1 to 256 bytes")]
pub struct MalformedSubject;

impl Subject {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SHA-512 of the text, in lower-case hexadecimal: its name in the table and in logs. It hides a text only if that
    /// cannot be guessed.
    #[must_use]
    pub fn digest(&self) -> String {
        hexadecimal(&Sha512::digest(&self.0))
    }
}

impl FromStr for Subject {
    type Err = MalformedSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Subject {
    type Error = MalformedSubject;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if SUBJECT_BYTES.contains(&text.len()) { Ok(Self(text)) } else { Err(MalformedSubject) }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject(SHA-512: {})", self.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_1_to_256_bytes() {
        for text in ["a", &"a".repeat(256), &"é".repeat(128), " ", "\0"] {
            assert_eq!(text.parse::<Subject>().unwrap().as_str(), text);
        }
        for text in ["", &"a".repeat(257), &"é".repeat(129)] {
            assert_eq!(text.parse::<Subject>(), Err(MalformedSubject));
        }
    }

    #[test]
    fn debug_shows_the_sha_512_only() {
        let shown = format!("{:?}", "abc".parse::<Subject>().unwrap());
        // FIPS 180-4, the example for SHA-512.
        assert!(shown.starts_with("Subject(SHA-512: ddaf35a193617abacc417349ae204131"), "{shown}");
        assert!(!shown.contains("abc\""));
    }
}
