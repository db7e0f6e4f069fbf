//! Sealed data: encrypted under a key that only the session's ID yields, and the ID is in no table.
//!
//! A sealed value is the version byte, a random nonce of 96 bits, and the AES-256-GCM ciphertext with its tag. The version
//! and the record's key are authenticated with it: a value that was moved to another record cannot be opened. The keys of the
//! encryption and of the entity tag are derived with HKDF-SHA512 (RFC 5869) from the random bytes of the ID; the record's key,
//! the SHA-512 of its text, tells nothing about them.
//!
//! Sealed data is not deflated: the length of deflated data tells something about what is in it, to an attacker who can put
//! text into it (ADR 14). It is padded with zero bytes, which JSON never has, to a multiple of 256.

use aws_sdk_dynamodb::types::AttributeValue;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::error::Unspecified;
use ring::hkdf::{HKDF_SHA512, Prk, Salt};
use ring::hmac::{self, HMAC_SHA256};

use super::item::binary;
use crate::cipher::{VERSION, decrypt, encrypt};
use crate::error::Error;
use crate::etag::ETag;
use crate::id::SessionId;

const DATA_KEY: &[u8] = b"dynamodb-web-session/seal/1";
const TAG_KEY: &[u8] = b"dynamodb-web-session/etag/1";

/// Data is padded to a multiple of this many bytes.
const BLOCK: usize = 256;

/// What a session's ID yields.
pub(crate) struct Seal<'a> {
    id: &'a SessionId,
    secret: Prk,
}

impl<'a> Seal<'a> {
    pub(crate) fn of(id: &'a SessionId) -> Self {
        Self { id, secret: Salt::new(HKDF_SHA512, &[]).extract(&id.random_bytes()) }
    }

    /// The sealed form of `data`.
    pub(crate) fn seal(&self, data: &str) -> Result<AttributeValue, Error> {
        encrypt(self.data_key(), self.key_of_record(), padded(data)).map(binary)
    }

    /// The data in a sealed value. `None`: it was not sealed for this session, or has been changed.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<String> {
        let mut opened = decrypt(self.data_key(), self.key_of_record(), sealed)?;
        let length = opened.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        opened.truncate(length);
        String::from_utf8(opened).ok()
    }

    /// The entity tag of `data`. Unlike a hash, it confirms no guess of the data.
    pub(crate) fn etag(&self, data: &str) -> Result<ETag, Error> {
        let key = self.secret.expand(&[TAG_KEY], HMAC_SHA256).map_err(|Unspecified| Error::Encryption)?;
        Ok(ETag::of_digest(hmac::sign(&key.into(), data.as_bytes()).as_ref()))
    }

    fn data_key(&self) -> Result<LessSafeKey, Unspecified> {
        Ok(LessSafeKey::new(UnboundKey::from(self.secret.expand(&[DATA_KEY], &AES_256_GCM)?)))
    }

    fn key_of_record(&self) -> &[u8] {
        self.id.loggable().as_str().as_bytes()
    }
}

/// The data, with zero bytes after it.
fn padded(data: &str) -> Vec<u8> {
    let mut padded = data.as_bytes().to_vec();
    padded.resize(data.len().next_multiple_of(BLOCK), 0);
    padded
}

/// The sealed data in a stored value. `None`: the value is not sealed.
pub(crate) fn sealed_data(stored: &AttributeValue) -> Option<&[u8]> {
    let value = stored.as_b().ok()?.as_ref();
    (value.first() == Some(&VERSION)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::encrypt_with;
    use proptest::prelude::*;
    use ring::aead::NONCE_LEN;
    use sha2::{Digest, Sha256};

    const ID: &str = "WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc";
    const NONCE: [u8; NONCE_LEN] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];

    fn id(text: &str) -> SessionId {
        text.parse().unwrap()
    }

    fn seal_with(seal: &Seal<'_>, data: &str) -> Vec<u8> {
        encrypt_with(&seal.data_key().unwrap(), seal.key_of_record(), padded(data), NONCE).unwrap()
    }

    /// Computed with the Python package `cryptography`: HKDF(SHA512(), 32, None, info).derive(…), AESGCM(…).encrypt(…), and
    /// hmac.digest(…, "sha256")[:16]. The first 32 bytes of the ciphertext, the SHA-256 of the whole value, and the tag.
    #[test]
    fn another_implementation_computes_the_same() {
        let long = format!("\"{}\"", "a".repeat(254));
        for (text, data, beginning, digest, etag) in [
            (
                ID,
                r#"{"fruit":"apple"}"#,
                "be5e7a0121da6cbef91069a89265799b65bfd6bac7242eb7ea933c8902405291",
                "833536df39964af967f909b3552a221eb9224f749a5ed3b6a6394aa4582955d9",
                "\"LzyXrTR4tW9jSyaFDD7H_g\"",
            ),
            (
                "AAECAwQFBgcICQoLDA0ODw",
                r#"{"é":"🍪"}"#,
                "6918b78ebd6d0a490c908e4e26e56a6034afa5d70751b7664696b4cceeb3f36f",
                "e009e3c70e71415b0190b01609cdda6d61be8ddd50983742c55aa191a6fdbb2a",
                "\"Tqzgl3A4L1F87d-61sPRUw\"",
            ),
            (
                ID,
                &long,
                "e71d7d1235d279fda25369b983687dd879deb7dba6454fd68bf25de8632133f0",
                "226174c7d426bcc41cf3cb50e6f027424727fef87d65177d74bfd5ca2937e777",
                "\"YXrx2B3avXHVpi_Zf-4lww\"",
            ),
        ] {
            let id = id(text);
            let seal = Seal::of(&id);
            let sealed = seal_with(&seal, data);
            assert_eq!(sealed.len(), 1 + NONCE_LEN + 256 + 16);
            assert_eq!((sealed[0], &sealed[1..13]), (0x16, &NONCE[..]));
            assert_eq!(crate::id::hexadecimal(&sealed[13..45]), beginning);
            assert_eq!(crate::id::hexadecimal(&Sha256::digest(&sealed)), digest);
            assert_eq!(seal.etag(data).unwrap().as_str(), etag);
            assert_eq!(seal.open(&sealed).as_deref(), Some(data));
        }
    }

    #[test]
    fn a_value_with_any_bit_flipped_is_refused() {
        let id = id(ID);
        let seal = Seal::of(&id);
        let sealed = seal_with(&seal, r#"{"fruit":"apple"}"#);
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(seal.open(&flipped), None, "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(seal.open(&sealed[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_value_of_another_session_is_refused() {
        let (id, other) = (id(ID), SessionId::generate(32).unwrap());
        let sealed = seal_with(&Seal::of(&id), "{}");
        assert_eq!(Seal::of(&other).open(&sealed), None);
        assert_ne!(Seal::of(&id).etag("{}").unwrap(), Seal::of(&other).etag("{}").unwrap());
        assert_ne!(Seal::of(&id).etag("{}").unwrap(), ETag::of("{}"), "a hash would confirm a guess");
    }

    #[test]
    fn the_same_data_is_sealed_differently_each_time_and_has_one_tag() {
        let id = id(ID);
        let seal = Seal::of(&id);
        assert_ne!(seal.seal("{}").unwrap(), seal.seal("{}").unwrap());
        assert_eq!(seal.etag("{}").unwrap(), seal.etag("{}").unwrap());
    }

    /// `OPENED` is the number of values; 20,000 by default.
    #[test]
    fn arbitrary_bytes_are_refused() {
        let values: u64 = std::env::var("OPENED").map_or(20_000, |text| text.parse().unwrap());
        let id = id(ID);
        let seal = Seal::of(&id);
        let mut state = 1_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..values {
            let length = random() % 600;
            let mut value: Vec<_> = (0..length).map(|_| (random() >> 33) as u8).collect();
            if let Some(first) = value.first_mut().filter(|_| random() % 4 > 0) {
                *first = VERSION;
            }
            assert_eq!(seal.open(&value), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn data_comes_back(data in "[^\0]{0,1500}") {
            let id = id(ID);
            let seal = Seal::of(&id);
            let sealed = seal_with(&seal, &data);
            prop_assert_eq!(sealed.len() % BLOCK, 1 + NONCE_LEN + 16, "the length tells 256 bytes at most");
            prop_assert_eq!(seal.open(&sealed), Some(data));
        }

        #[test]
        fn no_deflated_value_looks_sealed(data in proptest::collection::vec(any::<u8>(), 0..2000), level in 0..10_u8) {
            prop_assert!(sealed_data(&binary(miniz_oxide::deflate::compress_to_vec(&data, level))).is_none());
        }
    }
}
