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

/// How many sessions a revocation ends before it takes them from the list: what it has done is kept if it does not get to its
/// end.
const ENDED_AT_ONCE: usize = 250;

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
            let mut sessions = self.read_listed(&mut call, subject).await?;
            sessions.sort_by(|a, b| (b.last_used, &b.loggable_id).cmp(&(a.last_used, &a.loggable_id)));
            Ok(sessions)
        }
        .await;
        call.sessions = listed.as_ref().ok().map(|sessions| sessions.len() as u64);
        call.end(listed, Event::Listed)
    }

    /// Reads the list and the records in it, again if one was renewed in between: it would appear under neither ID.
    async fn read_listed(&self, call: &mut Call<'_>, subject: &Subject) -> Result<Vec<ListedSession>, Error> {
        loop {
            call.require_time()?;
            let Some(list) = self.table.list(call, subject).await? else { return Ok(Vec::new()) };
            let (sessions, is_renewed) = self.table.summaries(call, &list.by_deadline(), 0).await?;
            if !is_renewed {
                return Ok(sessions);
            }
        }
    }

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

    /// Deletes the records of sessions that are marked in a list, and then removes them from it. False: another write has
    /// changed the list, and their marks stay in it until the next revocation or pruning.
    async fn end_marked(
        &self,
        call: &mut Call<'_>,
        list: &mut SubjectList,
        ending: &[LoggableId],
    ) -> Result<bool, Error> {
        if ending.is_empty() {
            return Ok(true);
        }
        self.table.delete_all(call, ending).await?;
        call.sessions = Some(call.sessions.unwrap_or_default() + ending.len() as u64);
        list.remove(ending);
        match self.table.replace_list(call, list).await {
            Err(Error::Unavailable(_)) => Ok(false),
            replaced => replaced,
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
            self.table.delete(call, id, &Preconditions::default(), 0).await?;
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
        list.prune(call.now().minus_seconds(EXPIRED_SECONDS));
        let max = self.config.max_per_subject;
        if list.len() < max {
            // If another write was faster, the next attempt of the transaction tells.
            return self.table.replace_list(call, &mut list).await.map(drop);
        }
        let victims = self.victims(call, &list, max).await?;
        list.mark(|id| victims.contains(id));
        if self.table.replace_list(call, &mut list).await? {
            self.end_marked(call, &mut list, &victims).await?;
        }
        Ok(())
    }

    /// The sessions that leave a full list: those that a revocation has marked, or those that are dead, or the oldest.
    async fn victims(
        &self,
        call: &mut Call<'_>,
        list: &SubjectList,
        max: usize,
    ) -> Result<Vec<LoggableId>, Error> {
        let mut marked = list.ending();
        if !marked.is_empty() {
            marked.truncate(BATCH);
            return Ok(marked);
        }
        let mut alive = Vec::new();
        for ids in list.by_deadline().chunks(BATCH) {
            let (found, _) = self.table.summaries(call, ids, EXPIRED_SECONDS).await?;
            if found.len() < ids.len() {
                let is_dead = |id: &&LoggableId| found.iter().all(|session| session.loggable_id != **id);
                return Ok(ids.iter().filter(is_dead).cloned().collect());
            }
            alive.extend(found);
        }
        match self.config.at_max_per_subject {
            AtMaxPerSubject::Refuse => Err(Error::TooManySessions { limit: max }),
            AtMaxPerSubject::EndOldest => {
                alive.sort_by_key(|session| session.created);
                alive.truncate((list.len() + 1 - max).min(BATCH));
                Ok(alive.into_iter().map(|session| session.loggable_id).collect())
            }
        }
    }

    /// What a renewal from `old` to `new` does to the lists of the subjects before and after.
    pub(crate) fn list_changes<'a>(
        &self,
        (old, record): (&'a LoggableId, &'a Record),
        (new, subject): (&'a LoggableId, Option<&'a Subject>),
    ) -> Vec<ListChange<'a>> {
        let deadline = record.deadlines.absolute;
        let change = |subject, action| ListChange { subject, action };
        let add = |subject| change(subject, ListAction::Add(new, deadline, self.config.max_per_subject));
        match (&record.subject, subject) {
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
