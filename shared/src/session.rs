//! A session in the hands of the program that uses it, and what can be changed of one.

use crate::clock::Timestamp;
use crate::etag::{ETag, Preconditions};
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
    /// How long it may live. A change takes effect with the next save.
    pub timeouts: Timeouts,
    /// Those in the table, as far as this program knows: a save writes only what differs.
    pub(crate) stored_timeouts: Timeouts,
    pub(crate) id: SessionId,
    pub(crate) created: Timestamp,
    pub(crate) deadlines: Deadlines,
    pub(crate) etag: ETag,
}

impl<T> Session<T> {
    /// The session's ID. It is for its owner only.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The name of the session in logs.
    pub fn loggable_id(&self) -> &LoggableId {
        self.id.loggable()
    }

    /// When the session was created.
    pub fn created(&self) -> Timestamp {
        self.created
    }

    /// The earlier of the idle and the absolute deadline.
    pub fn expires(&self) -> Timestamp {
        self.deadlines.earliest()
    }

    /// When the session ends unless it is used before.
    pub fn idle_deadline(&self) -> Timestamp {
        self.deadlines.idle
    }

    /// When the session ends in any case.
    pub fn absolute_deadline(&self) -> Timestamp {
        self.deadlines.absolute
    }

    /// The strong validator of the data as it was stored or loaded.
    pub fn etag(&self) -> &ETag {
        &self.etag
    }
}

/// What [`SessionManager::update`](crate::SessionManager::update) changes of a session. `None` leaves a part as it is.
#[derive(Clone, Debug)]
pub struct Update<D> {
    /// New data, in place of the old.
    pub data: Option<D>,
    /// A new idle timeout, counted from now.
    pub idle_timeout_seconds: Option<u64>,
    /// A new absolute timeout, counted from the session's creation.
    pub absolute_timeout_seconds: Option<u64>,
    /// What must hold for the update to take place.
    pub preconditions: Preconditions,
}
