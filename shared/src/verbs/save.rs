//! Saves a session.

use serde::Serialize;

use super::{in_time, known};
use crate::call::Call;
use crate::device::Device;
use crate::dynamodb::lists::ListAction;
use crate::dynamodb::outcome::Transacted;
use crate::dynamodb::save::{Attempt, Saved};
use crate::dynamodb::subject_list::Entry;
use crate::dynamodb::table::SentTransaction;
use crate::error::{Absence, Error};
use crate::etag::{ETag, Preconditions};
use crate::id::{AsSessionId, SessionId};
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::session::{Session, SubjectChange, Update};
use crate::timeouts::{Deadlines, Timeouts};

impl SessionManager {
    /// Saves a session's data, and the timeouts that were changed, even if another caller has saved since it was loaded.
    ///
    /// Cancelled, it may have been carried out or not.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session has ended: a save does not bring it back. [`Error::DataTooLarge`],
    /// [`Error::DataTooDeep`], [`Error::DataNotPortable`], [`Error::Serialize`] and [`Error::TimeoutOutOfRange`] for what is to be
    /// saved; [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn save<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        self.save_session(session, SubjectChange::Keep, Device::default(), Preconditions::default()).await
    }

    /// Saves a session unless another caller has saved other data since it was loaded.
    ///
    /// # Errors
    /// [`Error::Changed`] when another caller has: load it, make the change again, and save again. Otherwise those of
    /// [`save`](Self::save).
    pub async fn save_if_unchanged<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        let preconditions = Preconditions::if_match(session.etag.clone());
        self.save_session(session, SubjectChange::Keep, Device::default(), preconditions).await
    }

    /// Saves a session, and makes it that of another subject, on another device.
    pub(crate) async fn save_session<T: Serialize>(
        &self,
        session: &mut Session<T>,
        subject: SubjectChange,
        device: Device,
        preconditions: Preconditions,
    ) -> Result<(), Error> {
        // An unchanged timeout is not written: another caller may have changed it since.
        let (new, stored) = (session.timeouts.clamped(), session.stored_timeouts);
        let changed = |new: u64, stored: u64| (new != stored).then_some(new);
        let update = Update {
            data: Some(&session.data),
            idle_timeout_seconds: changed(new.idle_seconds, stored.idle_seconds),
            absolute_timeout_seconds: changed(new.absolute_seconds, stored.absolute_seconds),
            subject: subject.clone(),
            device,
            preconditions,
        };
        let saved = self.apply(&session.id, update).await?;
        match subject {
            SubjectChange::Keep => {}
            SubjectChange::To(subject) => session.subject = Some(subject),
            SubjectChange::Remove => session.subject = None,
        }
        session.etag = saved.etag;
        (session.timeouts, session.stored_timeouts) = (new, new);
        session.deadlines = Deadlines::new(session.timeouts, session.created, saved.at);
        Ok(())
    }

    /// Changes parts of a session, which counts as a use of it, and returns the tag of its data.
    ///
    /// # Errors
    /// Those of [`save`](Self::save), [`Error::Changed`] when a precondition does not hold, and [`Error::TooManySessions`] for
    /// another subject.
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
            let update = self.encode_update(update)?; // first: a bad update is refused whichever ID it has
            let id = known(id.as_deref())?;
            match &update.subject {
                SubjectChange::Keep => self.store(&mut call, id, &update).await,
                _ => in_time(self.store_listed(&mut call, id, &update)).await,
            }
        }
        .await;
        call.end(saved, Event::Saved)
    }

    /// Saves the record alone where that is enough.
    async fn store(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update: &Update<String>,
    ) -> Result<Saved, Error> {
        let mut slide_by = None;
        loop {
            let item = match self.table.save(call, id, update, slide_by).await? {
                Attempt::Saved(saved) => return Ok(saved),
                Attempt::Refused(item) => item,
            };
            let record = self.table.to_record(id, item)?;
            if !update.preconditions.hold(&record.etag) {
                return Err(Error::Changed);
            }
            let Some(subject) = &record.subject else { return Err(Error::Changed) };
            if update.changes_list() {
                return in_time(self.store_listed(call, id, update)).await;
            }
            slide_by = match record.slide_by {
                Some(until) if until < call.now() => {
                    let place = (subject, record.chain);
                    Some(self.raise_bound(call, id.loggable(), place, record.idle_seconds).await?)
                }
                _ => None, // another use has made the bound later
            };
            call.require_time()?;
        }
    }

    /// Saves the record and its place in lists.
    async fn store_listed(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        update: &Update<String>,
    ) -> Result<Saved, Error> {
        let mut list_expires = self.list_expires(call);
        let mut pauses = Pauses::of_conflicts();
        loop {
            let record = self.table.get(call, id).await?;
            if !update.preconditions.hold(&record.etag) {
                return Err(Error::Changed);
            }
            let subject = match &update.subject {
                SubjectChange::Keep => record.subject.clone(),
                SubjectChange::To(subject) => Some(subject.clone()),
                SubjectChange::Remove => None,
            };
            let before = record.timeouts();
            let timeouts = Timeouts {
                idle_seconds: update.idle_timeout_seconds.unwrap_or(before.idle_seconds),
                absolute_seconds: update.absolute_timeout_seconds.unwrap_or(before.absolute_seconds),
            };
            let device = self.stored(&update.device)?;
            let mut moved = record.moved(String::new(), timeouts, subject, call.now())?;
            moved.device = device.clone().or(&record.device);
            let same = |entry| ListAction::Extend(Entry { device: device.clone(), ..entry });
            let changes = self.list_changes(&record, &moved, id.loggable(), same);
            let lists = (&changes[..], list_expires);
            let (sent, saved) = self.table.save_listed(call, id, update, (&record, &moved), lists).await?;
            let SentTransaction { outcome, in_doubt } = match sent {
                Err(error @ Error::Unavailable(_)) if record.subject.is_none() && moved.subject.is_some() => {
                    // The first subject. If it is not bound now, it must not be later.
                    let chain = self.table.fence(call, id.loggable(), record.chain).await?;
                    return if chain == Some(moved.chain) { Ok(saved) } else { Err(error) };
                }
                sent => sent?,
            };
            match outcome {
                Transacted::Done => return Ok(saved),
                Transacted::Refused { place: 0, .. } if in_doubt => {
                    return Err(Error::Unavailable("the response to a save was lost".into()));
                }
                Transacted::Refused { place: 0, item: None } => {
                    return Err(Error::NotFound(Absence::Unknown));
                }
                Transacted::Refused { place, item } if place > 0 => {
                    let Some(change) = changes.get(place - 1) else { return Err(Error::Changed) };
                    self.list_refused(call, id.loggable(), change, item, &mut list_expires).await?;
                }
                _ => pauses.next().await?,
            }
            call.require_time()?;
        }
    }

    /// Returns the error that [`update`](Self::update) would return for any session. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::DataNotPortable`], [`Error::Serialize`] and
    /// [`Error::TimeoutOutOfRange`].
    pub fn validate<T: Serialize>(&self, update: Update<T>) -> Result<(), Error> {
        self.encode_update(update).map(drop)
    }

    /// Returns the error that any call would return for this data. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::DataNotPortable`] and [`Error::Serialize`].
    pub fn validate_data<T: Serialize>(&self, data: &T) -> Result<(), Error> {
        self.encode(data).map(drop)
    }

    fn encode_update<T: Serialize>(&self, update: Update<T>) -> Result<Update<String>, Error> {
        let (idle, absolute) = (update.idle_timeout_seconds, update.absolute_timeout_seconds);
        self.validate_timeouts(idle, absolute)?;
        Ok(Update {
            data: update.data.as_ref().map(|data| self.encode(data)).transpose()?,
            idle_timeout_seconds: idle.map(|idle| idle.min(absolute.unwrap_or(idle))),
            absolute_timeout_seconds: absolute,
            subject: update.subject,
            device: update.device,
            preconditions: update.preconditions,
        })
    }
}
