//! The session of a request.

use serde_json::value::RawValue;

use crate::changes::Changes;
use crate::device::Device;
use crate::error::{Absence, Error};
use crate::id::SessionId;
use crate::manager::SessionManager;
use crate::session::{Session, SubjectChange};

/// The data of a session as JSON text: each framework has its own encoder.
pub type Text = Box<RawValue>;

/// The data of a request without a session.
const NOTHING: &str = "{}";

/// The session of one web request, from its cookie to its response.
///
/// Call [`open`](Self::open) when the application uses its session for the first time, and [`finish`](Self::finish) when the
/// response begins. Between them there may be [`log_in`](Self::log_in), [`renew`](Self::renew) and [`log_out`](Self::log_out).
#[derive(Debug)]
pub struct RequestSession {
    pub(super) sessions: SessionManager,
    /// The ID in the cookie.
    pub(super) presented: Option<SessionId>,
    pub(super) session: Option<Session<Text>>,
    /// The data as the application has it. What others have stored meanwhile is in `session`.
    pub(super) known: String,
    /// Whether the table was asked about the ID in the cookie.
    pub(super) is_open: bool,
    /// Whether the ID in the cookie is one from before a renewal or a login.
    pub(super) is_superseded: bool,
    /// Whether this request has given the session a new ID.
    pub(super) has_new_id: bool,
    /// Whether this request has ended a session.
    pub(super) has_ended: bool,
    /// Whether a login or a renewal has failed. Then nothing of this request is stored.
    pub(super) has_failed: bool,
    pub(super) is_passive: bool,
    /// What becomes of the session's subject.
    pub(super) subject: SubjectChange,
    /// The ID of a new session, where the framework makes IDs itself.
    pub(super) given_id: Option<SessionId>,
    /// Whether the data is any JSON, which is not looked into.
    pub(super) is_opaque: bool,
    /// Whether the application has removed everything from its session.
    pub(super) is_cleared: bool,
    /// What a user recognises the session by.
    pub(super) device: Device,
}

impl RequestSession {
    /// The session of a request whose cookie has this value. Nothing is sent yet.
    #[must_use]
    pub fn new(sessions: SessionManager, cookie: Option<&str>) -> Self {
        Self {
            sessions,
            presented: cookie.and_then(|text| text.parse().ok()),
            session: None,
            known: NOTHING.to_owned(),
            is_open: false,
            is_superseded: false,
            has_new_id: false,
            has_ended: false,
            has_failed: false,
            is_passive: false,
            subject: SubjectChange::Keep,
            given_id: None,
            is_opaque: false,
            is_cleared: false,
            device: Device::default(),
        }
    }

    /// Says which path the request has: `SESSION_PASSIVE_PATHS` are no use of the session.
    #[must_use]
    pub fn with_path(mut self, path: &str) -> Self {
        self.is_passive = self.sessions.config().is_passive(path);
        self
    }

    /// Says where the request comes from. A login stores it, unless `SESSION_LABELS` is `false`.
    pub fn set_device(&mut self, device: impl FnOnce() -> Device) {
        if self.sessions.config().labels {
            self.device = device();
        }
    }

    /// For frameworks that make session IDs themselves, such as express-session: a new session gets this one. Never pass an ID from a
    /// request.
    #[must_use]
    pub fn with_given_id(mut self, id: SessionId) -> Self {
        self.given_id = Some(id);
        self
    }

    /// Calls go through this manager from now on: a program may have one for each of its runtimes.
    pub fn use_sessions(&mut self, sessions: SessionManager) {
        self.sessions = sessions;
    }

    /// The data is any JSON, as an application's own encoder makes it. Requests replace it as a whole: nothing is merged.
    #[must_use]
    pub fn with_opaque_data(mut self) -> Self {
        self.is_opaque = true;
        self
    }

    /// Reads the session, if the request has one. It counts as a use when the request [finishes](Self::finish).
    ///
    /// A record that another program wrote, or that this one cannot read, is no session; the report of the call says so.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn open(&mut self) -> Result<Option<&Session<Text>>, Error> {
        if !self.is_open {
            if let Some(id) = self.presented.clone() {
                match self.sessions.look_at::<Text>(&id).await {
                    Ok(session) if self.is_opaque || is_object(&session.data) => self.knows(session),
                    Ok(_) | Err(Error::CorruptRecord(_) | Error::Deserialize(_)) => {}
                    Err(Error::NotFound(absence)) => self.is_superseded = absence == Absence::Superseded,
                    Err(error) => return Err(error),
                }
            }
            self.is_open = true;
        }
        Ok(self.session.as_ref())
    }

    /// Reads the session again. The application has lost what it had changed.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub async fn reload(&mut self) -> Result<Option<&Session<Text>>, Error> {
        self.presented = self.current_id();
        self.knows_nothing();
        self.is_open = false;
        self.open().await
    }

    /// The session as this request knows it. `None`: there is none, or it was not opened.
    #[must_use]
    pub fn session(&self) -> Option<&Session<Text>> {
        self.session.as_ref()
    }

    /// Whether the ID in the cookie is one from before a renewal or a login, at most an hour ago. The request has no session
    /// then, and stores nothing.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.is_superseded
    }

    /// Whether a login or a renewal has failed. Then nothing of this request is stored.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Whether this request counts as a use of the session, as it does by default. A poll should not: otherwise an open page
    /// keeps a session alive without its user.
    pub fn keep_alive(&mut self, keeps_alive: bool) {
        self.is_passive = !keeps_alive;
    }

    /// The data names another user than before, or none any more: the session becomes that of this subject at the end of the request,
    /// and keeps its ID. For a login there is [`log_in`](Self::log_in), which gives it a new one.
    pub fn set_subject(&mut self, subject: SubjectChange) {
        self.subject = subject;
    }

    /// The application has removed everything from its session, which is how most log their users out. A session that stays empty
    /// ends, whatever other requests store meanwhile. One that has a subject ends in any case: what the request sets afterwards is
    /// a new session.
    pub fn cleared(&mut self) {
        self.is_cleared = true;
    }

    /// The ID that the session has by now, as far as this request knows.
    pub(super) fn current_id(&self) -> Option<SessionId> {
        let known = self.session.as_ref().map(|session| session.id.clone());
        known.or_else(|| self.presented.clone())
    }

    /// What the application has changed.
    pub(super) fn changes(&self, data: &str) -> Result<Changes, Error> {
        match self.is_opaque {
            true => Ok(Changes::of_whole(&self.known, data)),
            false => Changes::between(&self.known, data),
        }
    }

    /// Takes over a session, whose data the application has from now on.
    pub(super) fn knows(&mut self, session: Session<Text>) {
        session.data.get().clone_into(&mut self.known);
        self.session = Some(session);
    }

    /// The application has no session any more.
    pub(super) fn knows_nothing(&mut self) {
        NOTHING.clone_into(&mut self.known);
        self.session = None;
    }
}

fn is_object(data: &RawValue) -> bool {
    data.get().starts_with('{')
}
