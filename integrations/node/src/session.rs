//! A session in the hands of a JavaScript program.

use dynamodb_web_session::{ListedSession, Session, Subject, Timestamp};
use napi_derive::napi;
use serde_json::value::RawValue;

use crate::errors::exception;

/// JSON text as it goes into the table and comes from there.
pub(crate) type Text = Box<RawValue>;

/// # Errors
/// The text is not JSON.
pub(crate) fn text(json: String) -> napi::Result<Text> {
    RawValue::from_string(json)
        .map_err(|error| exception("INVALID_DATA", format!("the data is not JSON: {error}")))
}

/// Seconds since the epoch, as JavaScript's numbers hold them.
fn seconds(timestamp: Timestamp) -> f64 {
    timestamp.epoch_seconds() as f64
}

#[napi]
pub struct NativeSession(pub(crate) Session<Text>);

#[napi]
impl NativeSession {
    #[napi(getter)]
    pub fn id(&self) -> String {
        self.0.id().expose().to_owned()
    }

    #[napi(getter)]
    pub fn loggable_id(&self) -> String {
        self.0.loggable_id().to_string()
    }

    #[napi(getter)]
    pub fn subject(&self) -> Option<String> {
        self.0.subject().map(Subject::as_str).map(str::to_owned)
    }

    #[napi(getter)]
    pub fn label(&self) -> Option<String> {
        self.0.device().label().map(str::to_owned)
    }

    /// As JSON text.
    #[napi(getter)]
    pub fn context(&self) -> Option<String> {
        self.0.device().context().map(str::to_owned)
    }

    #[napi(getter)]
    pub fn authenticated_at(&self) -> Option<f64> {
        self.0.authenticated_at().map(seconds)
    }

    #[napi(getter)]
    pub fn created(&self) -> f64 {
        seconds(self.0.created())
    }

    #[napi(getter)]
    pub fn idle_deadline(&self) -> f64 {
        seconds(self.0.idle_deadline())
    }

    #[napi(getter)]
    pub fn absolute_deadline(&self) -> f64 {
        seconds(self.0.absolute_deadline())
    }

    #[napi(getter)]
    pub fn expires(&self) -> f64 {
        seconds(self.0.expires())
    }

    #[napi(getter)]
    pub fn etag(&self) -> String {
        self.0.etag().as_str().to_owned()
    }

    #[napi(getter)]
    pub fn idle_timeout_seconds(&self) -> f64 {
        self.0.timeouts.idle_seconds as f64
    }

    #[napi(getter)]
    pub fn absolute_timeout_seconds(&self) -> f64 {
        self.0.timeouts.absolute_seconds as f64
    }

    #[napi(getter)]
    pub fn json(&self) -> String {
        self.0.data.get().to_owned()
    }
}

#[napi(object)]
pub struct NativeListedSession {
    pub loggable_id: String,
    pub name: String,
    pub label: Option<String>,
    /// As JSON text.
    pub context: Option<String>,
    pub created: f64,
    pub last_used: f64,
    pub expires: f64,
}

impl From<ListedSession> for NativeListedSession {
    fn from(session: ListedSession) -> Self {
        Self {
            loggable_id: session.loggable_id.to_string(),
            label: session.device.label().map(str::to_owned),
            context: session.device.context().map(str::to_owned),
            name: session.name,
            created: seconds(session.created),
            last_used: seconds(session.last_used),
            expires: seconds(session.expires),
        }
    }
}
