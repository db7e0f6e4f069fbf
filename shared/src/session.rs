//! A session, as its user holds it.

use crate::clock::Timestamp;
use crate::etag::ETag;
use crate::id::{LoggableId, SessionId};
use crate::timeouts::{Deadlines, Timeouts};

/// A session that was alive when it was created or loaded.
///
/// Change [`data`](Self::data) and [`timeouts`](Self::timeouts), then hand it to
/// [`SessionManager::save`](crate::SessionManager::save).
#[derive(Clone, Debug)]
pub struct Session<T> {
    /// What the session holds.
    pub data: T,
    /// How long it may live; what is changed here counts from the next save on.
    pub timeouts: Timeouts,
    pub(crate) id: SessionId,
    pub(crate) created: Timestamp,
    pub(crate) deadlines: Deadlines,
    pub(crate) etag: ETag,
}

impl<T> Session<T> {
    /// The session's ID: hand it to its owner, and to nobody else.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// What names the session in logs.
    pub fn loggable_id(&self) -> &LoggableId {
        self.id.loggable()
    }

    /// When the session was created.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// When the session ends unless it is used before: the earlier of the idle and the absolute deadline.
    pub fn expires(&self) -> Timestamp {
        self.deadlines.earliest()
    }

    /// Seconds from the use that slid the idle deadline last to the absolute deadline.
    #[cfg(feature = "http")]
    pub(crate) fn rest_seconds(&self) -> u64 {
        let Timeouts { idle_seconds, .. } = self.timeouts;
        self.deadlines.absolute.plus_seconds(idle_seconds).seconds_since(self.deadlines.idle)
    }

    /// The strong validator of the data as it was stored or loaded.
    pub fn etag(&self) -> &ETag {
        &self.etag
    }
}
