//! The session that a program gets, and the changes that it can ask for.

use std::borrow::Cow;

use crate::clock::Timestamp;
use crate::device::Device;
use crate::etag::{ETag, Preconditions};
use crate::id::{AsSessionId, LoggableId, SessionId};
use crate::subject::Subject;
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
    pub(crate) subject: Option<Subject>,
    pub(crate) created: Timestamp,
    pub(crate) deadlines: Deadlines,
    pub(crate) etag: ETag,
    pub(crate) device: Device,
    pub(crate) authenticated_at: Option<Timestamp>,
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

    /// Whose session it is.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_ref()
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

    /// What its user recognises the session by.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// When the user last logged in: then this session was created for its subject, or became that of its subject, or the
    /// user proved once more who they are ([`confirm_login`](crate::SessionManager::confirm_login)). `None`: never.
    ///
    /// Before something serious, such as a change of the password, ask for the password again if it was long ago (OWASP ASVS
    /// 5.0, 7.5).
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.authenticated_at
    }

    /// Whether the user has logged in within so many seconds before `now`.
    pub fn is_authenticated_within(&self, seconds: u64, now: Timestamp) -> bool {
        self.authenticated_at.is_some_and(|at| now.seconds_since(at) <= seconds)
    }
}

impl<T: Sync> AsSessionId for Session<T> {
    fn as_session_id(&self) -> Option<Cow<'_, SessionId>> {
        Some(Cow::Borrowed(&self.id))
    }
}

/// How [`SessionManager::create_with`](crate::SessionManager::create_with) makes a session.
#[derive(Clone, Debug, Default)]
pub struct CreateOptions {
    /// Whose session it is.
    pub subject: Option<Subject>,
    /// The session's own idle timeout. `None`: the default one.
    pub idle_timeout_seconds: Option<u64>,
    /// The session's own absolute timeout. `None`: the default one.
    pub absolute_timeout_seconds: Option<u64>,
    /// The session ends at this moment at the latest, where its absolute timeout would be later.
    pub absolute_deadline: Option<Timestamp>,
    /// What its user recognises the session by.
    pub device: Device,
}

impl From<Timeouts> for CreateOptions {
    fn from(timeouts: Timeouts) -> Self {
        Self {
            idle_timeout_seconds: Some(timeouts.idle_seconds),
            absolute_timeout_seconds: Some(timeouts.absolute_seconds),
            ..Self::default()
        }
    }
}

/// What [`SessionManager::renew_with`](crate::SessionManager::renew_with) changes of a session besides its ID. `None` leaves
/// a part as it is.
#[derive(Clone, Debug)]
pub struct Renewal<D> {
    /// New data, in place of the old.
    pub data: Option<D>,
    /// What must hold for the renewal to take place.
    pub preconditions: Preconditions,
}

impl<D> Default for Renewal<D> {
    fn default() -> Self {
        Self { data: None, preconditions: Preconditions::default() }
    }
}

/// What [`SessionManager::log_in`](crate::SessionManager::log_in) changes of a session besides its ID and its subject. `None`
/// leaves a part as it is.
#[derive(Clone, Debug)]
pub struct LogIn<D> {
    /// New data, in place of the old.
    pub data: Option<D>,
    /// The data of a new session, if the old one has ended or there was no old one. `None`: `data`, or an empty object.
    pub data_if_new: Option<D>,
    /// An idle timeout of its own, counted from now.
    pub idle_timeout_seconds: Option<u64>,
    /// An absolute timeout of its own, counted from the session's creation.
    pub absolute_timeout_seconds: Option<u64>,
    /// The session ends at this moment at the latest, where its absolute timeout would be later.
    pub absolute_deadline: Option<Timestamp>,
    /// What its user recognises the session by.
    pub device: Device,
    /// What must hold for the login to take place.
    pub preconditions: Preconditions,
}

impl<D> Default for LogIn<D> {
    fn default() -> Self {
        Self {
            data: None,
            data_if_new: None,
            idle_timeout_seconds: None,
            absolute_timeout_seconds: None,
            absolute_deadline: None,
            device: Device::default(),
            preconditions: Preconditions::default(),
        }
    }
}

/// What a login has made.
#[derive(Clone, Debug)]
pub struct LoggedIn<T> {
    /// The user's session.
    pub session: Session<T>,
    /// Whether it is a new one, because there was none or it has ended.
    pub is_new: bool,
}

/// A live session in the list of its subject's sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSession {
    /// The session's name in logs. It does not give access to the session.
    pub loggable_id: LoggableId,
    /// The session's name in the list, 16 characters, which it keeps through renewals. It does not give access to the session.
    pub name: String,
    /// What its user recognises the session by.
    pub device: Device,
    /// When the session was created.
    pub created: Timestamp,
    /// When the session was used last, or up to a tenth of its idle timeout earlier, and 15 minutes at most.
    pub last_used: Timestamp,
    /// The earlier of the idle and the absolute deadline. The idle deadline may be up to a tenth of the idle timeout earlier,
    /// and 15 minutes at most.
    pub expires: Timestamp,
}

/// What an update does to the subject of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubjectChange {
    /// It stays.
    #[default]
    Keep,
    /// It becomes this one. The session keeps its ID, so this is no login: a person who knew the ID before can use the subject's session.
    To(Subject),
    /// The session has no subject from now on, as after a logout.
    Remove,
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
    /// Another subject.
    pub subject: SubjectChange,
    /// What its user recognises the session by.
    pub device: Device,
    /// What must hold for the update to take place.
    pub preconditions: Preconditions,
}

impl<D> Update<D> {
    /// Whether it changes what the list of the session's subject has too.
    pub(crate) fn changes_list(&self) -> bool {
        self.idle_timeout_seconds.is_some()
            || self.absolute_timeout_seconds.is_some()
            || !self.device.is_empty()
    }
}

impl<D> Default for Update<D> {
    fn default() -> Self {
        Self {
            data: None,
            idle_timeout_seconds: None,
            absolute_timeout_seconds: None,
            subject: SubjectChange::Keep,
            device: Device::default(),
            preconditions: Preconditions::default(),
        }
    }
}
