//! The sessions of a subject: how many it may have, which they are, and their end.

use crate::clock::Timestamp;
use crate::config::AtMaxPerSubject;
use crate::dynamodb::list::{ListAction, ListChange, SubjectList, list_expires};
use crate::dynamodb::table::{BATCH, Record};
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::LoggableId;
use crate::manager::{SessionManager, found};
use crate::pauses::Pauses;
use crate::report::{Call, Event};
use crate::session::ListedSession;
use crate::subject::Subject;

/// A session that has expired keeps its place in a full list this much longer: a touch that was sent before its deadline may
/// still arrive.
const EXPIRED_SECONDS: u64 = 60;

impl SessionManager {
    /// The live sessions of a subject, the last used first.
    ///
    /// # Errors
    /// [`Error::CorruptRecord`]; [`Error::Unavailable`] and [`Error::Refused`] from the table.
    pub async fn sessions_of(&self, subject: &Subject) -> Result<Vec<ListedSession>, Error> {
        let mut call = Call::new(&*self.clock).for_subject(Some(subject));
        let listed = async {
            let Some(list) = self.table.list(&mut call, subject).await? else { return Ok(Vec::new()) };
            let mut sessions = self.table.summaries(&mut call, &list.by_deadline(), 0).await?;
            sessions.sort_by(|a, b| (b.last_used, &b.loggable_id).cmp(&(a.last_used, &a.loggable_id)));
            Ok(sessions)
        }
        .await;
        call.sessions = listed.as_ref().ok().map(|sessions| sessions.len() as u64);
        call.end(listed, Event::Listed)
    }

    /// Ends all sessions of a subject, or all but one: after a password change, on a stolen device, at a dismissal.
    ///
    /// When it returns, no session of the subject that was created before the call can be loaded any more, under any ID. It
    /// does not touch sessions that are created after its return. If it fails, some sessions may have ended: call it again.
    ///
    /// # Errors
    /// [`Error::CorruptRecord`]; [`Error::Unavailable`] and [`Error::Refused`] from the table.
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
        loop {
            call.further_request()?;
            let Some(mut list) = self.table.list(call, subject).await? else { return Ok(()) };
            if self.end_members(call, &mut list, |id| Some(id) != except).await? {
                return Ok(());
            }
            pauses.next().await?;
        }
    }

    /// Ends these sessions of a list, and those that an earlier revocation has left marked. False: another write has changed
    /// the list, and nothing was done.
    ///
    /// First they are marked: the transaction of a renewal requires a session without the mark, so from then on their IDs are
    /// the only ones that they will ever have. Then their records are deleted, and then their places in the list.
    async fn end_members(
        &self,
        call: &mut Call<'_>,
        list: &mut SubjectList,
        is_to_end: impl Fn(&LoggableId) -> bool,
    ) -> Result<bool, Error> {
        if list.mark(is_to_end) && !self.table.replace_list(call, list).await? {
            return Ok(false);
        }
        let ending = list.ending();
        if ending.is_empty() {
            return Ok(true);
        }
        self.table.delete_all(call, &ending).await?;
        call.sessions = Some(call.sessions.unwrap_or_default() + ending.len() as u64);
        list.remove_ending();
        match self.table.replace_list(call, list).await {
            // If another write was faster, the marks stay until the next revocation, or until they are pruned.
            Ok(_) | Err(Error::Unavailable(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Ends one session by its loggable ID, for example from a log; or the session that it has become by renewals, as long
    /// as DynamoDB has not deleted their tombstones: for an hour at least. A session that does not exist is not an error.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table.
    pub async fn revoke(&self, id: &LoggableId) -> Result<(), Error> {
        let mut call = Call::of(id, &*self.clock);
        let revoked = self.clear_and_follow(&mut call, id, &Preconditions::default(), u64::MAX).await;
        found(call.end(revoked, Event::Revoked))?;
        Ok(())
    }

    /// Goes on with a renewal whose session's list was not as expected. If a revocation is ending the session, this ends it
    /// first: otherwise it could still be loaded after the renewal has said that it is dead.
    pub(crate) async fn keep_listed(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        list: Option<SubjectList>,
        list_expires: &mut Timestamp,
    ) -> Result<(), Error> {
        let Some(list) = list.filter(|list| list.has_live(id)) else {
            self.table.delete_all(call, std::slice::from_ref(id)).await?;
            return Err(Error::NotFound(Absence::Unknown));
        };
        *list_expires = list.expires.max(*list_expires);
        Ok(())
    }

    /// Makes room for one more session in a list that a transaction has refused to change.
    pub(crate) async fn make_room(
        &self,
        call: &mut Call<'_>,
        list: Option<SubjectList>,
        list_expires: &mut Timestamp,
    ) -> Result<(), Error> {
        let Some(mut list) = list else { return Ok(()) };
        *list_expires = list.expires.max(*list_expires);
        list.prune(call.now());
        let max = self.config.max_per_subject;
        if list.len() < max {
            // If another write was faster, the next attempt of the transaction tells.
            return self.table.replace_list(call, &mut list).await.map(drop);
        }
        let victims = self.victims(call, &list, max).await?;
        self.end_members(call, &mut list, |id| victims.contains(id)).await.map(drop)
    }

    /// The sessions that leave a full list: those of its oldest that are dead, or else the oldest.
    async fn victims(
        &self,
        call: &mut Call<'_>,
        list: &SubjectList,
        max: usize,
    ) -> Result<Vec<LoggableId>, Error> {
        let mut oldest = list.by_deadline();
        oldest.truncate(BATCH);
        let mut alive = self.table.summaries(call, &oldest, EXPIRED_SECONDS).await?;
        if alive.len() < oldest.len() {
            oldest.retain(|id| alive.iter().all(|session| session.loggable_id != *id));
            return Ok(oldest);
        }
        match self.config.at_max_per_subject {
            AtMaxPerSubject::Refuse => Err(Error::TooManySessions { limit: max }),
            AtMaxPerSubject::EndOldest => {
                alive.sort_by_key(|session| session.created);
                alive.truncate(list.len() + 1 - max);
                Ok(alive.into_iter().map(|session| session.loggable_id).collect())
            }
        }
    }

    /// What a renewal from `old` to `new` does to the lists of the subjects before and after.
    pub(crate) fn list_changes<'a>(
        &self,
        (old, record): (&'a LoggableId, &'a Record),
        (new, moved): (&'a LoggableId, &'a Record),
    ) -> Vec<ListChange<'a>> {
        let deadline = moved.deadlines.absolute;
        let change = |subject, action| ListChange { subject, action };
        let add = |subject| change(subject, ListAction::Add(new, deadline, self.config.max_per_subject));
        match (&record.subject, &moved.subject) {
            (None, None) => Vec::new(),
            (None, Some(after)) => vec![add(after)],
            (Some(before), Some(after)) if before == after => {
                vec![change(before, ListAction::Move { old, new, deadline })]
            }
            (Some(before), Some(after)) => vec![change(before, ListAction::Remove(old)), add(after)],
            (Some(before), None) => vec![change(before, ListAction::Remove(old))],
        }
    }

    /// When TTL may delete a list that is written now.
    pub(crate) fn list_expires(&self, call: &Call<'_>) -> Timestamp {
        list_expires(call.now(), self.config.max_timeout_seconds)
    }
}
