//! Saves a session.

use serde::Serialize;

use super::known;
use crate::call::Call;
use crate::dynamodb::outcome::Transacted;
use crate::dynamodb::save::{Attempt, Listed, Saved};
use crate::dynamodb::subject_list::{ListAction, ListChange};
use crate::error::{Absence, Error};
use crate::etag::{ETag, Preconditions};
use crate::id::{AsSessionId, SessionId};
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::session::{Session, Update};
use crate::timeouts::Deadlines;

impl SessionManager {
    /// Saves a session's data, and the timeouts that were changed, even if another caller has saved since it was loaded.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session is dead: a save does not bring it back. [`Error::DataTooLarge`],
    /// [`Error::DataTooDeep`], [`Error::Serialize`] and [`Error::TimeoutOutOfRange`] for what is to be saved;
    /// [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn save<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        self.save_session(session, Preconditions::default()).await
    }

    /// Saves a session unless another caller has saved other data since it was loaded.
    ///
    /// # Errors
    /// [`Error::Changed`] when another caller has: load it, make the change again, and save again. Otherwise those of
    /// [`save`](Self::save).
    pub async fn save_if_unchanged<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        let preconditions = Preconditions::if_match(session.etag.clone());
        self.save_session(session, preconditions).await
    }

    async fn save_session<T: Serialize>(
        &self,
        session: &mut Session<T>,
        preconditions: Preconditions,
    ) -> Result<(), Error> {
        // An unchanged timeout is not written: another caller may have changed it since.
        let (new, stored) = (session.timeouts.clamped(), session.stored_timeouts);
        let changed = |new: u64, stored: u64| (new != stored).then_some(new);
        let update = Update {
            data: Some(&session.data),
            idle_timeout_seconds: changed(new.idle_seconds, stored.idle_seconds),
            absolute_timeout_seconds: changed(new.absolute_seconds, stored.absolute_seconds),
            preconditions,
        };
        let saved = self.apply(&session.id, update).await?;
        session.etag = saved.etag;
        (session.timeouts, session.stored_timeouts) = (new, new);
        session.deadlines = Deadlines::new(session.timeouts, session.created, saved.at);
        Ok(())
    }

    /// Changes parts of a session, which counts as a use of it, and returns the tag of its data.
    ///
    /// # Errors
    /// Those of [`save`](Self::save), and [`Error::Changed`] when a precondition does not hold.
    pub async fn update<T: Serialize>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        update: Update<T>,
    ) -> Result<ETag, Error> {
        Ok(self.apply(id, update).await?.etag)
    }

    async fn apply<T: Serialize>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        update: Update<T>,
    ) -> Result<Saved, Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref());
        let saved = async {
            let update = self.encode_update(&update)?; // first: a bad update is refused whichever ID it has
            self.store(&mut call, known(id.as_deref())?, &update).await
        }
        .await;
        call.end(saved, Event::Saved)
    }

    /// Sends the request; where a subject's list has to change too, transactions until other writes stop.
    async fn store(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update: &Update<String>,
    ) -> Result<Saved, Error> {
        let item = match self.table.save(call, id, update).await? {
            Attempt::Saved(saved) => return Ok(saved),
            Attempt::OfSubject(item) => item,
        };
        let Some(seconds) = update.absolute_timeout_seconds else { return Err(Error::Changed) };
        let mut record = item;
        let mut list_expires = self.list_expires(call);
        let mut pauses = Pauses::default();
        loop {
            call.require_time()?;
            let seen = self.table.listed_record(&record, call.now())?;
            if !update.preconditions.hold(&seen.etag) {
                return Err(Error::Changed);
            }
            let action = ListAction::Extend(id.loggable(), seen.created.plus_seconds(seconds));
            let list = ListChange { subject: &seen.subject, action };
            match self.table.save_listed(call, (id, &seen.etag), update, list, list_expires).await? {
                Listed::Saved(saved) => return Ok(saved),
                Listed::Refused(Transacted::RecordConditionFailed(Some(changed))) => record = changed,
                Listed::Refused(Transacted::RecordConditionFailed(None)) => {
                    return Err(Error::NotFound(Absence::Unknown));
                }
                Listed::Refused(Transacted::ListConditionFailed(_, Some(list)))
                    if list.has_live(id.loggable()) =>
                {
                    list_expires = list_expires.max(list.expires);
                }
                // It is not dead yet.
                Listed::Refused(Transacted::ListConditionFailed(..)) => {
                    return Err(Error::Unavailable("a revocation is ending the session".into()));
                }
                Listed::Refused(_) => pauses.next().await?,
            }
        }
    }

    /// Returns the error that [`update`](Self::update) would return for any session. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::Serialize`] and [`Error::TimeoutOutOfRange`].
    pub fn validate<T: Serialize>(&self, update: &Update<T>) -> Result<(), Error> {
        self.encode_update(update).map(drop)
    }

    /// Returns the error that any call would return for this data. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`] and [`Error::Serialize`].
    pub fn validate_data<T: Serialize>(&self, data: &T) -> Result<(), Error> {
        self.encode(data).map(drop)
    }

    fn encode_update<T: Serialize>(&self, update: &Update<T>) -> Result<Update<String>, Error> {
        let (idle, absolute) = (update.idle_timeout_seconds, update.absolute_timeout_seconds);
        self.validate_timeouts(idle, absolute)?;
        Ok(Update {
            data: update.data.as_ref().map(|data| self.encode(data)).transpose()?,
            idle_timeout_seconds: idle.map(|idle| idle.min(absolute.unwrap_or(idle))),
            absolute_timeout_seconds: absolute,
            preconditions: update.preconditions.clone(),
        })
    }
}
