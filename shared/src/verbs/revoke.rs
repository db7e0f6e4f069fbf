//! Ends the sessions of a subject, one of them by its name, or one session by its loggable ID.

use super::{found, in_own_task};
use crate::call::Call;
use crate::chain::Chain;
use crate::dynamodb::subject_list::SubjectList;
use crate::error::Error;
use crate::etag::Preconditions;
use crate::id::LoggableId;
use crate::manager::SessionManager;
use crate::report::Event;
use crate::subject::Subject;

impl SessionManager {
    /// Ends all sessions of a subject, or all but one: after a password change, on a stolen device, at a dismissal.
    ///
    /// When it returns, no session of the subject that was created before the call can be loaded any more, under any ID. If it
    /// fails, some sessions may have ended: call it again. It does not touch sessions that are created after its return, so
    /// change the password first.
    ///
    /// The deciding step is one request that no other call can make fail: it takes the sessions' chains out of the set of those
    /// that may be renewed (ADR 15). What is left is to end the records. It runs in a task of its own: cancelled, it goes on to
    /// its end as long as the runtime does; at the end of a program [`wait_for_endings`](crate::wait_for_endings) waits for it.
    ///
    /// # Errors
    /// [`Error::CorruptRecord`]; [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn revoke_all(&self, subject: &Subject, except: Option<&LoggableId>) -> Result<(), Error> {
        let (sessions, subject, except) = (self.clone(), subject.clone(), except.cloned());
        in_own_task(async move {
            let mut call = Call::new(&*sessions.clock).for_subject(Some(&subject));
            let revoked = sessions.revoke_listed(&mut call, &subject, except.as_ref()).await;
            call.ended(revoked, Event::Revoked)
        })
        .await
    }

    async fn revoke_listed(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        except: Option<&LoggableId>,
    ) -> Result<(), Error> {
        let Some(list) = self.table.list(call, subject).await? else { return Ok(()) };
        let chains: Vec<_> =
            list.live().filter(|(_, entry)| Some(&entry.key) != except).map(|(chain, _)| chain).collect();
        if chains.is_empty() {
            let doomed: Vec<_> = list.doomed().collect(); // an earlier revocation has not come to its end
            return self.end_all(call, subject, &doomed).await;
        }
        self.mark_and_end(call, subject, &chains).await
    }

    /// Ends one session in the list of a subject, by the name that the list gives it: also if it has another ID by now. A session
    /// that the list does not have, such as one of another subject, is not an error.
    ///
    /// Returns true if this call has ended a session. It runs in a task of its own, as [`revoke_all`](Self::revoke_all) does.
    ///
    /// # Errors
    /// Those of [`revoke_all`](Self::revoke_all).
    pub async fn revoke_named(&self, subject: &Subject, name: &str) -> Result<bool, Error> {
        let (sessions, subject, chain) = (self.clone(), subject.clone(), Chain::from_base64(name));
        in_own_task(async move {
            let mut call = Call::new(&*sessions.clock).for_subject(Some(&subject));
            let revoked = async {
                let Some(chain) = chain else { return Ok(false) };
                let list = sessions.table.mark(&mut call, &subject, &[chain]).await?;
                let doomed: Vec<_> = list.iter().flat_map(SubjectList::doomed).collect();
                sessions.end_all(&mut call, &subject, &doomed).await?;
                Ok(doomed.iter().any(|(ended, _)| *ended == chain))
            }
            .await;
            call.ended(revoked, Event::Revoked)
        })
        .await
    }

    /// Ends one session by its loggable ID, for example from a log; or the session that it has become by renewals and logins, as
    /// long as DynamoDB has not deleted their tombstones: for an hour at least. A session that does not exist is not an error.
    ///
    /// Returns true if this call has ended a live session, as far as it knows, as [`clear`](Self::clear) does.
    ///
    /// It runs in a task of its own, as [`revoke_all`](Self::revoke_all) does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn revoke(&self, id: &LoggableId) -> Result<bool, Error> {
        let (sessions, id) = (self.clone(), id.clone());
        let revoked = in_own_task(async move {
            let mut call = Call::of(&id, &*sessions.clock);
            let revoked =
                sessions.clear_and_follow(&mut call, &id, &Preconditions::default(), u64::MAX).await;
            call.ended(revoked, Event::Revoked)
        });
        Ok(found(revoked.await)?.unwrap_or(false))
    }
}
