//! The name of a session in its subject's list.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::Error;

const BYTES: usize = 12;

/// 96 random bits. A session keeps them through renewals, and gets others when its subject changes. A chain that has left its
/// list never comes back (ADR 15).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Chain([u8; BYTES]);

impl Chain {
    /// A new one.
    pub(crate) fn generate() -> Result<Self, Error> {
        let mut random = [0; BYTES];
        SysRng.try_fill_bytes(&mut random).map_err(|error| Error::Randomness(error.into()))?;
        Ok(Self(random))
    }

    /// The chain that the table holds.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// 16 characters.
    pub(crate) fn to_base64(self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What [`to_base64`](Self::to_base64) has written.
    pub(crate) fn from_base64(text: &str) -> Option<Self> {
        Self::from_bytes(&BASE64_URL_SAFE_NO_PAD.decode(text).ok()?)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chain({})", self.to_base64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_comes_back_from_its_texts() {
        let chain = Chain::generate().unwrap();
        assert_eq!(Chain::from_base64(&chain.to_base64()), Some(chain));
        assert_eq!(Chain::from_bytes(chain.as_bytes()), Some(chain));
        assert_ne!(Chain::generate().unwrap(), chain);
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAA!"] {
            assert_eq!(Chain::from_base64(text), None, "{text}");
        }
    }
}
