//! Session IDs, and their loggable form.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::{SysError, SysRng};
use serde::Serialize;
use sha2::{Digest, Sha512};

/// How many random bytes a session ID may have.
///
/// OWASP's Session Management Cheat Sheet ("Session ID Entropy") and ASVS 5.0 ask for at least 128 bits.
pub const ID_BYTES: RangeInclusive<usize> = 16..=128;

/// A session ID. It is a secret: a person who knows it can use the session.
///
/// Its text is base64url without padding; 32 random bytes make 43 characters. It cannot be printed: `Debug`
/// shows the [`LoggableId`], there is no `Display`, and [`expose`](Self::expose) is the one way to the text.
#[derive(Clone)]
pub struct SessionId {
    text: String,
    /// Kept because each call needs it two or three times, and a SHA-512 costs more than the memory.
    loggable: LoggableId,
}

/// The text is not a session ID: it is not canonical base64url without padding, or not 16 to 128 bytes long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a session ID: an ID is 16 to 128 bytes in base64url without padding")]
pub struct MalformedSessionId;

impl SessionId {
    /// Makes a new ID of `bytes` random bytes from the operating system.
    ///
    /// # Errors
    /// When the operating system returns no random bytes.
    pub(crate) fn generate(bytes: usize) -> Result<Self, SysError> {
        let mut random = vec![0; bytes];
        SysRng.try_fill_bytes(&mut random)?;
        Ok(Self::new(BASE64_URL_SAFE_NO_PAD.encode(random)))
    }

    fn new(text: String) -> Self {
        Self { loggable: LoggableId::of(&text), text }
    }

    /// The secret text, for the session's owner. It belongs in no log and no URL.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The random bytes that the text stands for.
    pub(crate) fn random_bytes(&self) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(&self.text).unwrap_or_default() // it was decoded before, or encoded
    }

    /// The form of the ID that may be logged. It is the table's key.
    #[must_use]
    pub fn loggable(&self) -> &LoggableId {
        &self.loggable
    }
}

impl FromStr for SessionId {
    type Err = MalformedSessionId;

    /// Accepts an ID of any allowed length, so that a change of `SESSION_ID_BYTES` ends no session.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| MalformedSessionId)?;
        if !ID_BYTES.contains(&bytes.len()) {
            return Err(MalformedSessionId);
        }
        Ok(Self::new(text.to_owned()))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId(loggable: {})", self.loggable())
    }
}

/// What names a session to a verb: its ID, the text of its ID, or the [`Session`](crate::Session) itself. A text that is no
/// session ID names no session: a verb treats it as an ID that was never issued, without a request.
pub trait AsSessionId: Sync {
    /// The ID, or `None` for a text that is none.
    fn as_session_id(&self) -> Option<Cow<'_, SessionId>>;
}

impl AsSessionId for SessionId {
    fn as_session_id(&self) -> Option<Cow<'_, SessionId>> {
        Some(Cow::Borrowed(self))
    }
}

impl AsSessionId for str {
    fn as_session_id(&self) -> Option<Cow<'_, SessionId>> {
        self.parse().ok().map(Cow::Owned)
    }
}

/// `None` names no session.
impl AsSessionId for Option<SessionId> {
    fn as_session_id(&self) -> Option<Cow<'_, SessionId>> {
        self.as_ref().map(Cow::Borrowed)
    }
}

impl AsSessionId for String {
    fn as_session_id(&self) -> Option<Cow<'_, SessionId>> {
        self.as_str().as_session_id()
    }
}

/// The SHA-512 of a session ID's text, in lower-case hexadecimal (128 characters).
///
/// It names a session in logs and in the table, and cannot be turned back into the ID
/// (OWASP Session Management Cheat Sheet, "Logging Sessions Life Cycle").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct LoggableId(String);

/// The text is not a loggable session ID: 128 digits of lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a loggable session ID: it has 128 hexadecimal digits, in lower case")]
pub struct MalformedLoggableId;

impl FromStr for LoggableId {
    type Err = MalformedLoggableId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 128 && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(MalformedLoggableId)
        }
    }
}

impl LoggableId {
    /// The loggable ID that the table holds.
    pub(crate) fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    fn of(id: &str) -> Self {
        Self(hexadecimal(&Sha512::digest(id)))
    }

    /// The 64 bytes of the hash.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let digit = |digit: &u8| char::from(*digit).to_digit(16).unwrap_or_default() as u8;
        let pairs = self.0.as_bytes().chunks(2);
        pairs.map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | digit(d))).collect()
    }

    /// What [`to_bytes`](Self::to_bytes) has returned.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 64).then(|| Self(hexadecimal(bytes)))
    }

    /// The hexadecimal text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LoggableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // By hand: `format!` would add a tenth to the instructions of a load.
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    bytes.iter().flat_map(digits).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// The pair in the README of the Python library `dynamodb-session-web`.
    const SEED_ID: &str = "WaHnSSou4d5Rq0k11vFGafe4sjMrkwiVhNziIWLLwMc";
    const SEED_LOGGABLE_ID: &str = "517286da2682be08dc9975612dc86d65487f0990906656f631d419e64dcda6f41f5e0529c290663be315524a0b35777645e0e827d2e982a048b5e2b4bba4e02b";

    #[test]
    fn the_loggable_id_is_the_sha_512_of_the_text() {
        let id: SessionId = SEED_ID.parse().unwrap();
        assert_eq!(id.loggable().as_str(), SEED_LOGGABLE_ID);
        assert_eq!(id.loggable().to_string(), SEED_LOGGABLE_ID);
    }

    #[test]
    fn debug_shows_the_loggable_id_only() {
        let id: SessionId = SEED_ID.parse().unwrap();
        let shown = format!("{id:?} {id:#?} {:?}", Some(&id));
        assert!(!shown.contains(SEED_ID));
        assert!(shown.contains(SEED_LOGGABLE_ID));
    }

    #[test]
    fn a_generated_id_has_the_requested_length_and_parses() {
        for (bytes, characters) in [(16, 22), (32, 43), (128, 171)] {
            let id = SessionId::generate(bytes).unwrap();
            assert_eq!(id.expose().len(), characters);
            assert_eq!(id.expose().parse::<SessionId>().unwrap().expose(), id.expose());
        }
    }

    #[test]
    fn generated_ids_differ() {
        let ids: HashSet<_> =
            (0..1000).map(|_| SessionId::generate(16).unwrap().expose().to_owned()).collect();
        assert_eq!(ids.len(), 1000);
    }

    #[test]
    fn text_that_is_not_canonical_base64url_of_the_right_length_is_refused() {
        let too_short = "A".repeat(20); // 15 bytes
        let too_long = "A".repeat(172); // 129 bytes
        let padded = format!("{SEED_ID}=");
        let spaced = format!(" {SEED_ID}");
        let trailing_bits = format!("{}d", &SEED_ID[..42]); // decodes to the bytes of SEED_ID, but is not its text
        let standard_alphabet = format!("+/{}", &SEED_ID[2..]);
        let doubled = format!("{SEED_ID},{SEED_ID}");
        for text in [
            "",
            &too_short,
            &too_long,
            &padded,
            &spaced,
            &trailing_bits,
            &standard_alphabet,
            &doubled,
            "\u{1F36A}\u{1F36A}\u{1F36A}\u{1F36A}\u{1F36A}\u{1F36A}",
        ] {
            assert_eq!(text.parse::<SessionId>().unwrap_err(), MalformedSessionId, "{text:?}");
        }
    }

    #[test]
    fn a_loggable_id_is_128_lower_case_hexadecimal_digits() {
        let id: LoggableId = SEED_LOGGABLE_ID.parse().unwrap();
        assert_eq!(id.as_str(), SEED_LOGGABLE_ID);
        for text in [
            "",
            &SEED_LOGGABLE_ID[1..],
            &format!("{SEED_LOGGABLE_ID}0"),
            &SEED_LOGGABLE_ID.to_uppercase(),
            &format!("g{}", &SEED_LOGGABLE_ID[1..]),
            &format!("subject#{}", &SEED_LOGGABLE_ID[8..]),
            &"é".repeat(64),
        ] {
            assert_eq!(text.parse::<LoggableId>(), Err(MalformedLoggableId), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_loggable_id_comes_back_from_its_base64(text in "[0-9a-f]{128}") {
            let id: LoggableId = text.parse().unwrap();
            prop_assert_eq!(id.to_bytes().len(), 64);
            prop_assert_eq!(LoggableId::from_bytes(&id.to_bytes()), Some(id));
        }

        #[test]
        fn parsing_never_panics_and_accepts_only_what_it_would_write(text in "\\PC{0,200}") {
            if let Ok(id) = text.parse::<SessionId>() {
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(&text).unwrap();
                prop_assert!(ID_BYTES.contains(&bytes.len()));
                prop_assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(bytes), id.expose());
            }
        }

        #[test]
        fn every_id_of_an_allowed_length_parses(bytes in proptest::collection::vec(any::<u8>(), ID_BYTES)) {
            prop_assert!(BASE64_URL_SAFE_NO_PAD.encode(bytes).parse::<SessionId>().is_ok());
        }
    }
}
