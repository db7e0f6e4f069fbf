//! A session's place in the list of its subject: how a create, a renewal and a login get one, and who leaves a full list.

use crate::call::Call;
use crate::chain::Chain;
use crate::clock::Timestamp;
use crate::config::AtMaxPerSubject;
use crate::doubtful::Doubtful;
use crate::dynamodb::item::Item;
use crate::dynamodb::lists::{ListAction, ListChange, Raised};
use crate::dynamodb::record::{Record, slide_by};
use crate::dynamodb::subject_list::{Entry, SubjectList, list_expires};
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::LoggableId;
use crate::manager::SessionManager;
use crate::subject::Subject;
use crate::time_limits::CLEAN_UP_WITHIN;

/// How many more sessions end the `n`-th time that a call finds its list full. Others have taken the places that it has made: an
/// attacker who logs in all the time must not keep the user out, and would have ended as many.
fn places_for_others(n: u32, max: usize) -> usize {
    let more = match n {
        0..=2 => 0,
        3 => 4,
        4 => 16,
        _ => 50,
    };
    more.min(max / 2)
}

/// So many keys of doubtful writes a process remembers. More are not expected: the table would have failed as often.
const MAX_DOUBTFUL: usize = 1000;

impl SessionManager {
    /// When TTL may delete a list that is written now.
    pub(crate) fn list_expires(&self, call: &Call<'_>) -> Timestamp {
        list_expires(call.now(), self.config.max_timeout_seconds)
    }

    /// What a change from one record to another, which has the key `new`, does to the lists of the subjects before and after.
    pub(crate) fn list_changes<'a>(
        &self,
        before: &'a Record,
        after: &'a Record,
        new: &LoggableId,
        same: impl Fn(Entry) -> ListAction,
    ) -> Vec<ListChange<'a>> {
        let change = |subject, chain, action| ListChange { subject, chain, action };
        let entry = || after.to_entry(new);
        if before.subject == after.subject {
            return before
                .subject
                .iter()
                .map(|subject| change(subject, before.chain, same(entry())))
                .collect();
        }
        let add =
            |subject| change(subject, after.chain, ListAction::Add(entry(), self.config.max_per_subject));
        let leave = before.subject.iter().map(|subject| change(subject, before.chain, ListAction::Leave));
        leave.chain(after.subject.iter().map(add)).collect()
    }

    /// Goes on after a list has refused a change. If a revocation is ending the session, this ends it first: otherwise it could
    /// still be loaded after the call has said that it is dead.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a revocation is ending the session `id`, and [`Error::TooManySessions`].
    pub(crate) async fn list_refused(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        change: &ListChange<'_>,
        item: Option<Item>,
        list_expires: &mut Timestamp,
    ) -> Result<(), Error> {
        if let ListAction::Add(..) = change.action {
            return self.make_room(call, change.subject, item, list_expires).await;
        }
        let list = item.as_ref().map(SubjectList::from_item).transpose()?;
        match list.filter(|list| list.get_live(change.chain).is_some()) {
            Some(list) => *list_expires = list.expires.max(*list_expires),
            None => return Err(self.end_doomed(call, id).await?),
        }
        Ok(())
    }

    /// Ends a session whose chain is not in its list any more. Returns why a call for it fails.
    pub(crate) async fn end_doomed(&self, call: &mut Call<'_>, id: &LoggableId) -> Result<Error, Error> {
        match self.table.bury(call, id, &Preconditions::default()).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(Error::NotFound(Absence::Unknown)),
            Err(error) => Err(error),
        }
    }

    /// Makes the bound of the idle deadline in the list later, and returns until when the deadline may slide then. `place`: the
    /// subject and the chain as the record had them.
    pub(crate) async fn raise_bound(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        place: (&Subject, Chain),
        idle_seconds: u64,
    ) -> Result<Timestamp, Error> {
        let until = slide_by(idle_seconds, call.now());
        match self.table.raise(call, place, until.plus_seconds(idle_seconds)).await? {
            Raised::Done => Ok(until),
            Raised::Already(bound) => Ok(bound.minus_seconds(idle_seconds)),
            Raised::Doomed => Err(self.end_doomed(call, id).await?),
        }
    }

    /// Makes room for one more session in a list that a transaction has refused to change.
    pub(crate) async fn make_room(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        item: Option<Item>,
        list_expires: &mut Timestamp,
    ) -> Result<(), Error> {
        let Some(list) = item.as_ref().map(SubjectList::from_item).transpose()? else { return Ok(()) };
        *list_expires = list.expires.max(*list_expires);
        let doomed: Vec<_> = list.doomed().collect();
        if !doomed.is_empty() {
            self.end_all(call, subject, &doomed).await?;
        }
        let now = call.now();
        let (expired, live) = (list.expired(now), list.live().count());
        let max = self.config.max_per_subject;
        if !expired.is_empty() || live < max {
            // If another write was faster, the next attempt of the transaction tells.
            return self.table.prune(call, subject, &expired, (live, now)).await;
        }
        match self.config.at_max_per_subject {
            AtMaxPerSubject::Refuse => Err(Error::TooManySessions { limit: max }),
            AtMaxPerSubject::EndOldest => {
                let mut sessions: Vec<_> = list.live().collect();
                sessions.sort_by_key(|(_, entry)| entry.last_used());
                call.full_lists += 1;
                sessions.truncate(live + 1 - max + places_for_others(call.full_lists, max));
                let chains: Vec<_> = sessions.iter().map(|(chain, _)| *chain).collect();
                self.mark_and_end(call, subject, &chains).await
            }
        }
    }

    /// Ends sessions by their chains, under whatever keys they have when the chains are out.
    pub(crate) async fn mark_and_end(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        chains: &[Chain],
    ) -> Result<(), Error> {
        let Some(list) = self.table.mark(call, subject, chains).await? else { return Ok(()) };
        let doomed: Vec<_> = list.doomed().collect();
        self.end_all(call, subject, &doomed).await
    }

    /// Ends sessions whose chains are out, and removes what is left of them in the list. Only the records matter: what is left
    /// counts for nothing, and the next revocation removes it.
    pub(crate) async fn end_all(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        doomed: &[(Chain, &Entry)],
    ) -> Result<(), Error> {
        if doomed.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = doomed.iter().map(|(_, entry)| entry.key.clone()).collect();
        self.table.bury_all(call, &keys).await?;
        call.report.sessions = Some(call.report.sessions.unwrap_or_default() + keys.len() as u64);
        if call.full_lists > 1 {
            return Ok(()); // others log in at the same time: they would take the places until it returns
        }
        let chains: Vec<_> = doomed.iter().map(|(chain, _)| *chain).collect();
        match self.table.forget(call, subject, &chains).await {
            Ok(()) | Err(Error::Unavailable(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that a write that may still be carried out leaves nothing: takes its key, and its place in the list. `chain` is the
    /// one that only this write has brought. A renewal has brought none: its chain is that of the session, which may live on, and
    /// leaves the list only if the session was found under the key.
    pub(crate) async fn burn(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        key: &LoggableId,
        chain: Option<Chain>,
    ) -> Result<(), Error> {
        let ended = self.table.burn(call, key).await?;
        match chain.or(ended) {
            Some(chain) => self.table.unlist(call, (subject, chain)).await,
            None => Ok(()),
        }
    }

    /// Burns what a call leaves that has failed, or remembers it for the next call of the subject.
    pub(crate) async fn give_up(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        key: &LoggableId,
        chain: Option<Chain>,
    ) {
        let burnt = tokio::time::timeout(CLEAN_UP_WITHIN, self.burn(call, subject, key, chain)).await;
        if !matches!(burnt, Ok(Ok(()))) {
            let mut doubtful = self.doubtful();
            if doubtful.len() < MAX_DOUBTFUL {
                doubtful.push(Doubtful { subject: subject.clone(), key: key.clone(), chain });
            }
        }
    }

    /// Burns what earlier calls of this process for the subject have left.
    pub(crate) async fn burn_doubtful(&self, call: &mut Call<'_>, subject: &Subject) -> Result<(), Error> {
        loop {
            let left = self.doubtful().iter().find(|left| left.subject == *subject).cloned();
            let Some(Doubtful { key, chain, .. }) = left else { return Ok(()) };
            self.burn(call, subject, &key, chain).await?;
            self.doubtful().retain(|left| left.key != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_places_are_made_when_others_keep_taking_them() {
        let places = |max| (1..=6).map(|n| places_for_others(n, max)).collect::<Vec<_>>();
        assert_eq!(places(100), [0, 0, 4, 16, 50, 50]);
        assert_eq!(places(1), [0; 6], "the only session makes room for one");
    }
}
