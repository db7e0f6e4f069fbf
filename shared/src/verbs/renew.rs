//! Gives a session a new ID.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{found, known};
use crate::dynamodb::outcome::Transacted;
use crate::dynamodb::subject_list::ListAction;
use crate::error::Error;
use crate::id::AsSessionId;
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::session::{Renewal, Session};
use crate::subject::Subject;
use crate::time_limits::RENEWAL_ATTEMPTS_WITHIN;

impl SessionManager {
    /// Gives a session a new ID, with the same data and the same absolute deadline, and ends the old ID in the same
    /// transaction. `None`: the session is dead, or another renewal was faster.
    ///
    /// For a minute, a [`clear`](Self::clear) of the old ID ends the renewed session too: a user who logs out in one tab
    /// while another tab renews is logged out.
    ///
    /// Call it whenever the user's privileges change, above all at login
    /// (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level Change").
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and [`Error::Randomness`].
    pub async fn renew<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
    ) -> Result<Option<Session<T>>, Error> {
        self.renew_encoded(id, Renewal::default()).await
    }

    /// Renews a session, and makes it the session of `subject`: a login. It leaves the list of the subject that it had, and
    /// is in the list of this one from then on.
    ///
    /// # Errors
    /// Those of [`renew`](Self::renew), and [`Error::TooManySessions`].
    pub async fn renew_for<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        subject: Subject,
    ) -> Result<Option<Session<T>>, Error> {
        self.renew_encoded(id, Renewal { subject: Some(subject), ..Renewal::default() }).await
    }

    /// Renews a session with new data, for another subject, or if preconditions hold: all of it in one transaction.
    ///
    /// # Errors
    /// Those of [`renew_for`](Self::renew_for); [`Error::DataTooLarge`], [`Error::DataTooDeep`] and [`Error::Serialize`] for
    /// the data; [`Error::Changed`] when a precondition does not hold.
    pub async fn renew_with<T: Serialize + DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        renewal: Renewal<T>,
    ) -> Result<Option<Session<T>>, Error> {
        let Renewal { data, subject, preconditions } = renewal;
        match data.map(|data| self.encode(&data)).transpose() {
            Ok(data) => self.renew_encoded(id, Renewal { data, subject, preconditions }).await,
            Err(error) => self.call_for(id.as_session_id().as_deref()).end(Err(error), Event::Renewed),
        }
    }

    async fn renew_encoded<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        renewal: Renewal<String>,
    ) -> Result<Option<Session<T>>, Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref()).for_subject(renewal.subject.as_ref());
        let renewed = async {
            let id = known(id.as_deref())?;
            let mut list_expires = self.list_expires(&call);
            let mut pauses = Pauses::default();
            loop {
                let record = self.table.get(&mut call, id).await?;
                // The transaction's condition is that the tag is still this one.
                if !renewal.preconditions.hold(&record.etag) {
                    return Err(Error::Changed);
                }
                let mut moved = record.renewed(&renewal, call.now());
                let data = serde_json::from_str(&moved.data).map_err(Error::Deserialize)?;
                let new = self.new_id()?;
                call.report.new_session = Some(new.loggable().clone());
                let (before, subject) = ((id.loggable(), &record), moved.subject.clone());
                let changes = self.list_changes(before, (new.loggable(), subject.as_ref()));
                let after = (&new, &mut moved);
                match self.table.rename(&mut call, before, after, &changes, list_expires).await? {
                    Transacted::Done => return Ok(moved.into_session(new, data)),
                    Transacted::ListConditionFailed(place, list) => {
                        match changes.get(place).map(|change| change.action) {
                            Some(ListAction::Add(..)) => {
                                self.make_room(&mut call, list, &mut list_expires).await?;
                            }
                            _ => self.keep_listed(&mut call, id.loggable(), list, &mut list_expires).await?,
                        }
                    }
                    // DynamoDB bills a cancelled transaction. A random pause lets the other writes finish.
                    Transacted::RecordConditionFailed(_) | Transacted::Conflict => pauses.next().await?,
                }
                if call.elapsed() > RENEWAL_ATTEMPTS_WITHIN {
                    return Err(Error::Unavailable("other writes to the session did not stop".into()));
                }
            }
        }
        .await;
        found(call.end(renewed, Event::Renewed))
    }
}
