//! Ends a session.

use std::borrow::Cow;

use super::{found, in_own_task, known};
use crate::call::Call;
use crate::chain::Chain;
use crate::dynamodb::clear::Cleared;
use crate::dynamodb::tombstone::{CLEAR_FOLLOWS_SECONDS, Tombstone};
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::{AsSessionId, LoggableId};
use crate::manager::SessionManager;
use crate::report::Event;
use crate::subject::Subject;

impl SessionManager {
    /// Ends a session at once. A session that does not exist is not an error.
    ///
    /// If the session was renewed, this ends it under its new ID: at any time after a renewal, and for a minute after a login. So
    /// an ID that an attacker planted before a login cannot end the session later.
    ///
    /// Returns true if this call has ended a live session. Returns false if there was none, or if the response of DynamoDB was
    /// lost and a retry found that it had ended.
    ///
    /// It runs in a task of its own: cancelled, it goes on to its end as long as the runtime does.
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
        let id = id.as_session_id().map(Cow::into_owned);
        let (sessions, preconditions) = (self.clone(), preconditions.clone());
        let cleared = in_own_task(async move {
            let mut call = sessions.call_for(id.as_ref()).limited(None);
            let cleared = async {
                let id = known(id.as_ref())?.loggable();
                sessions.clear_and_follow(&mut call, id, &preconditions, CLEAR_FOLLOWS_SECONDS).await
            }
            .await;
            call.ended(cleared, Event::Cleared)
        });
        Ok(found(cleared.await)?.unwrap_or(false))
    }

    /// Ends a session, or the one that renewals have made of it; that of a login if it is at most `max_login_age` seconds old.
    /// Returns false if it is not known that this call has ended it.
    pub(crate) async fn clear_and_follow(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        preconditions: &Preconditions,
        max_login_age: u64,
    ) -> Result<bool, Error> {
        let mut id = id.clone();
        let mut after_login = false;
        loop {
            let found = self.table.bury(call, &id, preconditions).await;
            let (tombstone, in_doubt) = match found {
                Ok(Cleared::Ended { was, place }) => {
                    if let Some((subject, chain)) = place {
                        self.table.unlist(call, (&subject, chain)).await?;
                    }
                    return was.map(|()| true).map_err(Error::NotFound);
                }
                Ok(Cleared::Tombstone { tombstone, in_doubt }) => (tombstone, in_doubt),
                // The ID is known: it was renewed, and the renewed session has expired.
                Err(Error::NotFound(Absence::Unknown)) if call.report.new_session.is_some() => {
                    return Err(Error::NotFound(Absence::Superseded));
                }
                Err(error) => return Err(error),
            };
            let Tombstone { renewed, subject, chain, is_login } = tombstone;
            let place = subject.as_ref().map(|subject| (subject, chain));
            let Some((renewed_to, at)) = renewed else {
                if let Some((subject, chain)) = place {
                    self.table.unlist(call, (subject, chain)).await?;
                }
                return if in_doubt { Ok(false) } else { Err(Error::NotFound(Absence::Unknown)) };
            };
            let is_old = call.now().seconds_since(at) > max_login_age;
            if is_old && (is_login || after_login) {
                return Err(Error::NotFound(Absence::Superseded));
            }
            after_login |= is_login;
            call.report.new_session = Some(renewed_to.clone());
            if let Some(place) = place.filter(|_| *preconditions == Preconditions::default()) {
                return self.end_chain(call, place).await;
            }
            id = renewed_to;
            call.require_time()?;
        }
    }

    /// Ends the session with this chain, whatever its key is by now.
    async fn end_chain(
        &self,
        call: &mut Call<'_>,
        (subject, chain): (&Subject, Chain),
    ) -> Result<bool, Error> {
        let Some(list) = self.table.mark(call, subject, &[chain]).await? else {
            return Err(Error::NotFound(Absence::Superseded));
        };
        let doomed: Vec<_> = list.doomed().filter(|(doomed, _)| *doomed == chain).collect();
        match doomed.first() {
            Some((_, entry)) => call.report.new_session = Some(entry.key.clone()),
            None => return Err(Error::NotFound(Absence::Superseded)), // it has ended
        }
        self.end_all(call, subject, &doomed).await?;
        call.report.sessions = None;
        Ok(true)
    }
}
