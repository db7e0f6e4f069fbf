//! `SESSION_LABEL_KEY`: the key of labels and contexts.

use std::fmt;
use std::str::FromStr;

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA512, Salt};

use crate::cipher::{decrypt, encrypt};
use crate::error::Error;

/// A shorter text would be a password that can be guessed.
const MIN_BYTES: usize = 32;

const KEY: &[u8] = b"dynamodb-web-session/label/1";

/// The key of a deployment under which the labels and contexts of sessions are encrypted in the table. Cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct LabelKey(String);

/// The text is too short to be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a label key is a random text of at least {MIN_BYTES} bytes")]
pub struct MalformedLabelKey;

impl LabelKey {
    pub(crate) fn seal(&self, text: &str) -> Result<Vec<u8>, Error> {
        encrypt(self.key(), &[], text.as_bytes().to_vec())
    }

    /// `None`: it was encrypted under another key, or has been changed.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<String> {
        String::from_utf8(decrypt(self.key(), &[], sealed)?).ok()
    }

    fn key(&self) -> Result<LessSafeKey, Unspecified> {
        let secret = Salt::new(HKDF_SHA512, &[]).extract(self.0.as_bytes());
        Ok(LessSafeKey::new(UnboundKey::from(secret.expand(&[KEY], &AES_256_GCM)?)))
    }
}

impl FromStr for LabelKey {
    type Err = MalformedLabelKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() >= MIN_BYTES { Ok(Self(text.to_owned())) } else { Err(MalformedLabelKey) }
    }
}

impl fmt::Debug for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LabelKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_32_bytes_and_is_not_printed() {
        assert_eq!("k".repeat(31).parse::<LabelKey>(), Err(MalformedLabelKey));
        assert_eq!(format!("{:?}", "k".repeat(32).parse::<LabelKey>().unwrap()), "LabelKey(…)");
    }
}
