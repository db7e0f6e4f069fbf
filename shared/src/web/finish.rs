//! The end of a request: what is stored, and what happens to the cookie.

use serde_json::value::RawValue;

use super::lifetime::Lifetime;
use super::request::{RequestSession, Text};
use crate::changes::Changes;
use crate::device::Device;
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::SessionId;
use crate::pauses::Pauses;
use crate::session::{Session, SubjectChange};

/// So often a request applies its changes to what other requests have stored. Browsers send six requests at once.
const MERGES: u32 = 12;

/// What a response does with the session's cookie.
#[derive(Clone, Debug)]
pub enum Cookie {
    /// Nothing: this request does not know better than others.
    Leave,
    /// It sets the cookie.
    Set {
        /// The cookie's value.
        id: SessionId,
        /// The cookie's `Max-Age`, if it is to outlive the browser: what is left of the session.
        max_age_seconds: u64,
    },
    /// It deletes the cookie: this request has ended the session.
    Delete,
}

/// When a response sets the cookie of a session that keeps its ID.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieRefresh {
    /// When the timeouts have changed. For a cookie without `Max-Age`, which lives as long as the browser.
    #[default]
    Never,
    /// When the request has stored something.
    OnSave,
    /// Whenever the request has extended the life of the session: cookie and session live equally long.
    OnUse,
}

impl RequestSession {
    /// Stores what the request has changed, extends the session's life if it is due, and says what happens to the cookie. `data`
    /// is the data as it is to be. Call it once, when the response begins.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session has ended or has another ID by now, and the request wants to change it;
    /// [`Error::Changed`] when other requests did not stop changing it. Otherwise those of
    /// [`SessionManager::create`](crate::SessionManager::create) and [`save`](crate::SessionManager::save). After any of them
    /// nothing is stored. But a login or a renewal that this request has made before is: call it once more for its cookie.
    pub async fn finish(
        &mut self,
        data: &str,
        lifetime: Lifetime,
        refresh: CookieRefresh,
    ) -> Result<Cookie, Error> {
        if self.has_failed {
            let new = self.session.as_ref().filter(|_| self.has_new_id);
            return Ok(new.map_or(Cookie::Leave, |session| self.cookie_of(session)));
        }
        if self.is_cleared {
            self.open().await?;
            if self.is_over_when_cleared(data) {
                self.log_out().await?;
            }
        }
        let changes = self.changes(data)?;
        if !changes.is_empty() {
            self.open().await?;
        }
        let now = self.sessions.clock.now();
        let Some(session) = &mut self.session else {
            let is_wanted = !is_empty(data) && !lifetime.is_over(now);
            if !is_wanted {
                return Ok(self.without_session());
            }
            self.begin(data, lifetime).await?;
            return Ok(self.session.as_ref().map_or(Cookie::Leave, |session| self.cookie_of(session)));
        };
        if lifetime.is_over(now) {
            self.log_out().await?;
            return Ok(self.without_session());
        }
        session.timeouts = lifetime.timeouts(&self.sessions.config, session.stored_timeouts, session.created);
        let has_other_timeouts = session.timeouts != session.stored_timeouts;
        let is_unchanged = changes.is_empty() && !has_other_timeouts && self.subject == SubjectChange::Keep;
        let is_extended = if is_unchanged {
            self.use_session().await && refresh == CookieRefresh::OnUse
        } else {
            self.has_failed = true;
            self.store(&changes, lifetime).await?;
            self.has_failed = false;
            self.subject = SubjectChange::Keep;
            data.clone_into(&mut self.known);
            refresh != CookieRefresh::Never || has_other_timeouts
        };
        match &self.session {
            Some(session) if self.has_new_id || is_extended => Ok(self.cookie_of(session)),
            Some(_) => Ok(Cookie::Leave),
            None => Ok(self.without_session()),
        }
    }

    fn is_over_when_cleared(&self, data: &str) -> bool {
        match &self.session {
            Some(session) => session.subject.is_some() || is_empty(data),
            None => self.is_superseded,
        }
    }

    /// Begins a new session, which may be empty, in place of the one that the request had.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the request has an ID from before a renewal. Otherwise those of
    /// [`SessionManager::create`](crate::SessionManager::create).
    pub async fn begin(&mut self, data: &str, lifetime: Lifetime) -> Result<(), Error> {
        self.open().await?;
        if self.is_superseded {
            return Err(Error::NotFound(Absence::Superseded));
        }
        let mut options = lifetime.create_options(self.sessions.config());
        if let SubjectChange::To(subject) = &self.subject {
            options.subject = Some(subject.clone());
            options.device = self.device.clone();
        }
        self.has_failed = true;
        let data = text(data.to_owned())?;
        let session = match &self.given_id {
            Some(id) => match self.sessions.create_under_given_id(id, data, options).await {
                Err(Error::IdInUse) => return Err(Error::NotFound(Absence::Unknown)), // it has ended: this is its tombstone
                created => created?,
            },
            None => self.sessions.create_with(data, options).await?,
        };
        self.has_failed = false;
        self.subject = SubjectChange::Keep;
        self.knows(session);
        self.has_new_id = true;
        Ok(())
    }

    /// Whether the session's life was extended.
    async fn use_session(&mut self) -> bool {
        match &mut self.session {
            // An error is no reason to refuse a request that was served. The report of the call has it.
            Some(session) if !self.is_passive => self.sessions.keep_alive(session).await.unwrap_or(false),
            _ => false,
        }
    }

    /// Stores the session with the changes. A session that they leave empty ends.
    async fn store(&mut self, changes: &Changes, lifetime: Lifetime) -> Result<(), Error> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let merges = self.sessions.config.merge && !self.is_opaque;
        let mut pauses = Pauses::of_conflicts();
        for _ in 0..MERGES {
            let merged = changes.apply(session.data.get())?;
            let unchanged = Preconditions::if_match(session.etag.clone());
            let preconditions = if merges { unchanged } else { Preconditions::default() };
            let stored = if is_empty(&merged) && !changes.is_empty() {
                match self.sessions.clear_if(&*session, &preconditions).await {
                    Ok(has_ended) => {
                        self.has_ended |= has_ended;
                        self.knows_nothing();
                        return Ok(());
                    }
                    Err(error) => Err(error),
                }
            } else {
                session.data = text(merged)?;
                let device = match self.subject {
                    SubjectChange::To(_) => self.device.clone(),
                    _ => Device::default(),
                };
                self.sessions.save_session(session, self.subject.clone(), device, preconditions).await
            };
            match stored {
                Err(Error::Changed) => pauses.next().await?,
                stored => return stored,
            }
            let mut found: Session<Text> = self.sessions.look_at(&*session).await?;
            found.timeouts = lifetime.timeouts(&self.sessions.config, found.stored_timeouts, found.created);
            *session = found;
        }
        Err(Error::Changed)
    }

    fn without_session(&self) -> Cookie {
        if self.has_ended { Cookie::Delete } else { Cookie::Leave }
    }

    fn cookie_of(&self, session: &Session<Text>) -> Cookie {
        let now = self.sessions.clock.now();
        Cookie::Set { id: session.id.clone(), max_age_seconds: session.expires().seconds_since(now) }
    }
}

fn is_empty(object: &str) -> bool {
    object.trim_start().strip_prefix('{').is_some_and(|rest| rest.trim_start() == "}")
}

fn text(json: String) -> Result<Text, Error> {
    RawValue::from_string(json).map_err(Error::Serialize)
}
