//! Login, renewal and logout in a request.

use super::lifetime::Lifetime;
use super::request::{RequestSession, Text};
use crate::error::{Absence, Error};
use crate::session::{LoggedIn, Renewal, Session};
use crate::subject::Subject;
use crate::verbs::new_data::NewData;

impl RequestSession {
    /// Logs a user in: new ID, subject, data and lifetime in one transaction. `data` is the data as this request has it, with its
    /// changes so far, and `changes` is what the login sets in addition. What other requests have stored meanwhile under other keys
    /// stays. If the session has ended, or there is none, the user gets a new one with what this request and the login have set.
    ///
    /// # Errors
    /// Those of [`SessionManager::log_in`](crate::SessionManager::log_in). After any of them the session is as it was before the
    /// request, and [`finish`](Self::finish) stores nothing.
    pub async fn log_in(
        &mut self,
        subject: Subject,
        data: &str,
        changes: &str,
        lifetime: Lifetime,
    ) -> Result<(), Error> {
        self.has_failed = true;
        let mut all = self.changes(data)?;
        if !self.is_opaque {
            all = all.and_set(changes)?;
        }
        let mut options = lifetime.log_in(self.sessions.config(), NewData::Changed(all));
        options.device = self.device.clone();
        let id = self.current_id();
        let LoggedIn { session, .. } = self.sessions.log_in_encoded(&id, subject, options).await?;
        self.take(session);
        Ok(())
    }

    /// Notes that the user has proved once more who they are: the session keeps its ID.
    ///
    /// # Errors
    /// Those of [`SessionManager::confirm_login`](crate::SessionManager::confirm_login).
    pub async fn confirm_login(&mut self) -> Result<(), Error> {
        self.open().await?;
        self.sessions.confirm_login(&self.current_id()).await?;
        if let Some(session) = &mut self.session {
            session.authenticated_at = Some(self.sessions.clock.now());
        }
        Ok(())
    }

    /// Gives the session a new ID, with `data` as it is to be. Without a session it does nothing, and returns false.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session has ended meanwhile, or has another ID by now. Otherwise those of
    /// [`SessionManager::renew_with`](crate::SessionManager::renew_with). After any of them [`finish`](Self::finish) stores
    /// nothing.
    pub async fn renew(&mut self, data: &str) -> Result<bool, Error> {
        self.open().await?;
        let Some(session) = &self.session else { return Ok(false) };
        self.has_failed = true;
        let changes = self.changes(data)?;
        let renewal = Renewal { data: Some(NewData::Changed(changes)), ..Renewal::default() };
        let renewed = self.sessions.renew_encoded(&session.id, renewal).await?;
        self.take(renewed.ok_or(Error::NotFound(Absence::Superseded))?);
        Ok(true)
    }

    /// Ends the session at once, also if it has got another ID meanwhile. The request may begin a new one afterwards. A logout
    /// is possible after a login that has failed, too.
    ///
    /// # Errors
    /// Those of [`SessionManager::clear`](crate::SessionManager::clear): the session may be alive.
    pub async fn log_out(&mut self) -> Result<(), Error> {
        let id = self.current_id();
        self.has_failed = true;
        let has_ended = self.sessions.clear(&id).await?;
        self.is_open = true;
        self.knows_nothing();
        self.has_failed = false;
        self.has_ended |= has_ended;
        self.is_superseded &= !has_ended;
        self.is_cleared = false;
        Ok(())
    }

    /// A login that was not begun, because of its arguments: as after one that has failed, nothing of this request is stored.
    pub fn refuse(&mut self) {
        self.has_failed = true;
    }

    fn take(&mut self, session: Session<Text>) {
        self.knows(session);
        self.is_open = true;
        self.has_new_id = true;
        self.has_failed = false;
        self.is_superseded = false;
        self.is_cleared = false;
    }
}
