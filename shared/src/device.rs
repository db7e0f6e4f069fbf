//! What a person recognises a session by in a list of their sessions.

use std::fmt;

use serde_json::value::RawValue;

use crate::data;

/// How many bytes of UTF-8 a label may have. Each byte is in the list of the subject's sessions, and paid at each of its logins.
pub const MAX_LABEL_BYTES: usize = 64;

/// How many bytes of JSON a context may have.
pub const MAX_CONTEXT_BYTES: usize = 128;

/// What a person recognises a session by: a label such as `Firefox on Linux`, and a context, such as the address or the country of
/// the login. A part that is not given stays as it is; an empty one is removed.
///
/// Both are in the list of the subject's sessions, which is read without a session's ID: sealing does not cover them, but
/// `SESSION_LABEL_KEY` does. They may be personal data. `Debug` shows neither.
///
/// ```
/// use dynamodb_web_session::Device;
///
/// let device = Device::default().with_label("Firefox on Linux")?.with_context(r#"{"country":"NZ"}"#)?;
/// assert_eq!(device.label(), Some("Firefox on Linux"));
/// # Ok::<(), dynamodb_web_session::MalformedDevice>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Device {
    label: Option<String>,
    context: Option<String>,
}

/// A label or a context is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedDevice {
    /// The label is too long.
    #[error("a label is a text of at most {MAX_LABEL_BYTES} bytes")]
    Label,
    /// The context is too long, or no JSON that all readers accept.
    #[error("a context is JSON of at most {MAX_CONTEXT_BYTES} bytes")]
    Context,
}

impl Device {
    /// With this label: any text, which pages have to escape.
    ///
    /// # Errors
    /// [`MalformedDevice::Label`].
    pub fn with_label(self, label: impl Into<String>) -> Result<Self, MalformedDevice> {
        let label = label.into();
        if label.len() > MAX_LABEL_BYTES {
            return Err(MalformedDevice::Label);
        }
        Ok(Self { label: Some(label), ..self })
    }

    /// With this context, as JSON text.
    ///
    /// # Errors
    /// [`MalformedDevice::Context`].
    pub fn with_context(self, json: impl Into<String>) -> Result<Self, MalformedDevice> {
        let json = json.into();
        let is_json = || serde_json::from_str::<&RawValue>(&json).is_ok();
        if json.is_empty() || (is_json() && data::check(&json, MAX_CONTEXT_BYTES).is_ok()) {
            return Ok(Self { context: Some(json), ..self });
        }
        Err(MalformedDevice::Context)
    }

    /// The label.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The context, as JSON text.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// Whether neither part is given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.label.is_none() && self.context.is_none()
    }

    /// What the table has.
    pub(crate) fn stored(label: Option<String>, context: Option<String>) -> Self {
        let given = |part: Option<String>| part.filter(|text| !text.is_empty());
        Self { label: given(label), context: given(context) }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_any_text_of_64_bytes() {
        for label in ["", "<b>\n\u{202e}", &"a".repeat(64), &"é".repeat(32)] {
            assert_eq!(Device::default().with_label(label).unwrap().label(), Some(label));
        }
        for label in ["a".repeat(65), "é".repeat(33)] {
            assert_eq!(Device::default().with_label(label), Err(MalformedDevice::Label));
        }
    }

    #[test]
    fn a_context_is_json_of_128_bytes() {
        let longest = format!("\"{}\"", "a".repeat(126));
        for context in ["", "{}", r#"{"ip":"192.0.2.1"}"#, "null", &longest] {
            assert_eq!(Device::default().with_context(context).unwrap().context(), Some(context));
        }
        let too_long = format!("\"{}\"", "a".repeat(127));
        for context in ["{", "{}x", "Firefox", r#""\ud800""#, "1e400", &too_long] {
            assert_eq!(Device::default().with_context(context), Err(MalformedDevice::Context), "{context}");
        }
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let device = Device::default().with_label("secret1").unwrap().with_context(r#""secret2""#).unwrap();
        assert_eq!(format!("{device:?}"), "Device(…)");
    }
}
