//! Ends the sessions of a subject, or one session by its loggable ID.

use super::found;
use crate::call::Call;
use crate::error::Error;
use crate::etag::Preconditions;
use crate::id::LoggableId;
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::subject::Subject;

/// How many sessions a revocation ends before it takes them from the list: what it has done is kept if it does not get to its
/// end.
const ENDED_AT_ONCE: usize = 250;

impl SessionManager {
    /// Ends all sessions of a subject, or all but one: after a password change, on a stolen device, at a dismissal.
    ///
    /// When it returns, no session of the subject that was created before the call can be loaded any more, under any ID. It
    /// does not touch sessions that are created after its return. If it fails, some sessions may have ended: call it again.
    ///
    /// First the sessions are marked in the list: the transaction of a renewal requires a session without the mark, so from
    /// then on their IDs are the only ones that they will ever have. Then their records are deleted, and then their places in
    /// the list. `except` is an ID that a session has now: if that session is renewed meanwhile, it may be ended too.
    ///
    /// # Errors
    /// [`Error::CorruptRecord`]; [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn revoke_all(&self, subject: &Subject, except: Option<&LoggableId>) -> Result<(), Error> {
        let mut call = Call::new(&*self.clock).for_subject(Some(subject));
        let revoked = self.revoke_listed(&mut call, subject, except).await;
        call.end(revoked, Event::Revoked)
    }

    async fn revoke_listed(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        except: Option<&LoggableId>,
    ) -> Result<(), Error> {
        let mut pauses = Pauses::default();
        let mut read = None;
        loop {
            let mut list = match read.take() {
                Some(list) => list,
                None => {
                    call.require_time()?;
                    let Some(list) = self.table.list(call, subject).await? else { return Ok(()) };
                    list
                }
            };
            if list.mark(|id| Some(id) != except) && !self.table.replace_list(call, &mut list).await? {
                pauses.next().await?;
                continue;
            }
            let mut ending = list.ending();
            if ending.len() <= ENDED_AT_ONCE {
                self.end_marked(call, &mut list, &ending).await?;
                return Ok(());
            }
            ending.truncate(ENDED_AT_ONCE);
            let is_current = self.end_marked(call, &mut list, &ending).await?;
            read = is_current.then_some(list);
        }
    }

    /// Ends one session by its loggable ID, for example from a log; or the session that it has become by renewals, as long
    /// as DynamoDB has not deleted their tombstones: for an hour at least. A session that does not exist is not an error.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Misconfigured`] from the table.
    pub async fn revoke(&self, id: &LoggableId) -> Result<(), Error> {
        let mut call = Call::of(id, &*self.clock);
        let revoked = self.clear_and_follow(&mut call, id, &Preconditions::default(), u64::MAX).await;
        found(call.end(revoked, Event::Revoked))?;
        Ok(())
    }
}
