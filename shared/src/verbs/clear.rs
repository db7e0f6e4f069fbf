//! Ends a session.

use super::{found, known};
use crate::call::Call;
use crate::dynamodb::clear::Deleted;
use crate::dynamodb::tombstone::CLEAR_FOLLOWS_SECONDS;
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::{AsSessionId, LoggableId};
use crate::manager::SessionManager;
use crate::report::Event;

impl SessionManager {
    /// Ends a session at once. A session that does not exist is not an error.
    ///
    /// When the session was renewed less than a minute ago, this ends the session under its new ID.
    ///
    /// True: this call has ended a live session. False: there was none, or the response of DynamoDB was lost, and a retry did
    /// not find it any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn clear(&self, id: &(impl AsSessionId + ?Sized)) -> Result<bool, Error> {
        self.clear_if(id, &Preconditions::default()).await
    }

    /// Ends a session if the preconditions hold. A session that does not exist is not an error.
    ///
    /// # Errors
    /// Those of [`clear`](Self::clear), and [`Error::Changed`] when a precondition does not hold.
    pub async fn clear_if(
        &self,
        id: &(impl AsSessionId + ?Sized),
        preconditions: &Preconditions,
    ) -> Result<bool, Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref());
        let cleared = async {
            let id = known(id.as_deref())?.loggable();
            self.clear_and_follow(&mut call, id, preconditions, CLEAR_FOLLOWS_SECONDS).await
        }
        .await;
        Ok(found(call.end(cleared, Event::Cleared))?.unwrap_or(false))
    }

    /// Ends a session, or the one that renewals have made of it, if each is at most `max_tombstone_age` seconds old. False: an
    /// earlier attempt of the SDK seems to have done it.
    pub(crate) async fn clear_and_follow(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        preconditions: &Preconditions,
        max_tombstone_age: u64,
    ) -> Result<bool, Error> {
        let mut id = id.clone();
        loop {
            match self.table.delete(call, &id, preconditions, max_tombstone_age).await {
                Ok(Deleted::Ended) => return Ok(true),
                Ok(Deleted::InDoubt) => return Ok(false),
                Ok(Deleted::RenewedTo(renewed_to)) => id = renewed_to,
                // The ID is known: it was renewed, and the renewed session was cleared.
                Err(Error::NotFound(Absence::Unknown)) if call.report.new_session.is_some() => {
                    return Err(Error::NotFound(Absence::Superseded));
                }
                Err(error) => return Err(error),
            }
            call.report.new_session = Some(id.clone());
            call.require_time()?;
        }
    }
}
