//! Authenticated encryption: AES-256-GCM with a random nonce of 96 bits.

use rand::TryRng;
use rand::rngs::SysRng;
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::error::Unspecified;

use crate::error::Error;

/// The first byte of an encrypted value. No deflated value begins with it: block type 3 is reserved (RFC 1951, section 3.2.3).
pub(crate) const VERSION: u8 = 0x16;

/// A value that holds `text` encrypted: the version, a random nonce, and the ciphertext with its tag. The version and `associated`
/// are authenticated with it.
pub(crate) fn encrypt(
    key: Result<LessSafeKey, Unspecified>,
    associated: &[u8],
    text: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_LEN];
    SysRng.try_fill_bytes(&mut nonce).map_err(|error| Error::Randomness(error.into()))?;
    key.and_then(|key| encrypt_with(&key, associated, text, nonce)).map_err(|Unspecified| Error::Encryption)
}

/// As [`encrypt`], with this nonce.
pub(crate) fn encrypt_with(
    key: &LessSafeKey,
    associated: &[u8],
    mut text: Vec<u8>,
    nonce: [u8; NONCE_LEN],
) -> Result<Vec<u8>, Unspecified> {
    let associated = Aad::from([&[VERSION][..], associated].concat());
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), associated, &mut text)?;
    Ok([&[VERSION][..], &nonce, &text].concat())
}

/// The text in a value that [`encrypt`] has made. `None`: with another key or `associated`, or it has been changed.
pub(crate) fn decrypt(
    key: Result<LessSafeKey, Unspecified>,
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (nonce, ciphertext) = sealed.strip_prefix(&[VERSION])?.split_at_checked(NONCE_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let associated = Aad::from([&[VERSION][..], associated].concat());
    let mut text = ciphertext.to_vec();
    let length = key.ok()?.open_in_place(nonce, associated, &mut text).ok()?.len();
    text.truncate(length);
    Some(text)
}
