//! A session's place in the list of its subject: how a create and a renewal get one, and who leaves a full list.

use crate::call::Call;
use crate::clock::Timestamp;
use crate::config::AtMaxPerSubject;
use crate::dynamodb::lists::BATCH;
use crate::dynamodb::record::Record;
use crate::dynamodb::subject_list::{ListAction, ListChange, SubjectList, list_expires};
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::LoggableId;
use crate::manager::SessionManager;
use crate::subject::Subject;

/// A session that has expired keeps its place in a full list this much longer: a touch that was sent before its deadline may
/// still arrive.
const EXPIRED_SECONDS: u64 = 60;

impl SessionManager {
    /// Deletes the records of sessions that are marked in a list, and then removes them from it. False: another write has
    /// changed the list, and their marks stay in it until the next revocation or pruning.
    pub(crate) async fn end_marked(
        &self,
        call: &mut Call<'_>,
        list: &mut SubjectList,
        ending: &[LoggableId],
    ) -> Result<bool, Error> {
        if ending.is_empty() {
            return Ok(true);
        }
        self.table.delete_all(call, ending).await?;
        call.report.sessions = Some(call.report.sessions.unwrap_or_default() + ending.len() as u64);
        list.remove(ending);
        match self.table.replace_list(call, list).await {
            Err(Error::Unavailable(_)) => Ok(false),
            replaced => replaced,
        }
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
