//! The requests to subjects' lists. Their expressions are in `subject_list.rs`.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, TransactWriteItem};
use tokio::task::JoinSet;

use super::item::{number, time};
use super::outcome::Updated;
use super::subject_list::{
    ADD, EXTEND, Entry, LEAVE, MARK, MOVE, RAISE, SubjectList, UNLIST, attribute, entry, first_prune_at, key,
    list_expires, list_key, prune_at, set,
};
use super::table::{Table, update};
use crate::call::Call;
use crate::chain::Chain;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::etag::Preconditions;
use crate::id::LoggableId;
use crate::subject::Subject;

/// How many records a revocation ends at the same time.
const ENDED_AT_ONCE: usize = 16;

/// How many places one request removes: an expression has at most 4 KB (DynamoDB's "Quotas").
const FORGOTTEN_AT_ONCE: usize = 500;

/// How many expired sessions one request prunes: a condition has at most 300 operators.
const PRUNED_AT_ONCE: usize = 100;

/// What a transaction does to a subject's list.
#[derive(Clone, Debug)]
pub(crate) struct ListChange<'a> {
    pub(crate) subject: &'a Subject,
    pub(crate) chain: Chain,
    pub(crate) action: ListAction,
}

#[derive(Clone, Debug)]
pub(crate) enum ListAction {
    /// One more session. The list has room for it below this number.
    Add(Entry, usize),
    /// The session has another ID, and perhaps other timeouts and what there is of a device.
    Move(Entry),
    /// The session has other timeouts, and what there is of a device.
    Extend(Entry),
    /// The session belongs to another subject, or to none.
    Leave,
}

/// Whether the bound of an idle deadline became later.
pub(crate) enum Raised {
    Done,
    /// Another call has made it later already.
    Already(Timestamp),
    /// A revocation is ending the session.
    Doomed,
}

impl Table {
    /// The list of a subject's sessions.
    pub(crate) async fn list(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
    ) -> Result<Option<SubjectList>, Error> {
        let key = list_key(&self.namespace, &subject.digest());
        let item = self.get_item(call, key).await?;
        item.as_ref().map(SubjectList::from_item).transpose()
    }

    async fn update_list(
        &self,
        subject: &Subject,
        (change, condition): (&str, &str),
    ) -> Result<UpdateItemFluentBuilder, Error> {
        let update = self.update_item(list_key(&self.namespace, &subject.digest())).await?;
        Ok(update.update_expression(change).condition_expression(condition))
    }

    /// The change as a part of a transaction. `expires` is when TTL may delete the list, if this session does not live longer;
    /// it never becomes earlier.
    pub(super) async fn list_action(
        &self,
        ListChange { subject, chain, action }: &ListChange<'_>,
        expires: Timestamp,
    ) -> Result<TransactWriteItem, Error> {
        // A session may have been created when SESSION_MAX_TIMEOUT_SECONDS was longer.
        let expires = |entry: &Entry| time(expires.max(list_expires(entry.deadlines.absolute, 0)));
        let chain_alone = set([*chain]);
        let request = match action {
            ListAction::Add(new, max) => self
                .update_list(subject, ADD)
                .await?
                .expression_attribute_values(":s", entry(new))
                .expression_attribute_values(":e", expires(new))
                .expression_attribute_values(":first", first_prune_at())
                .expression_attribute_values(":max", number(*max as u64))
                .expression_attribute_values(":c", chain_alone),
            ListAction::Move(moved) => with_changes(self.update_list(subject, MOVE).await?, moved, *chain)
                .expression_attribute_names("#k", "k")
                .expression_attribute_values(":k", key(&moved.key))
                .expression_attribute_values(":e", expires(moved)),
            ListAction::Extend(extended) => {
                with_changes(self.update_list(subject, EXTEND).await?, extended, *chain)
                    .expression_attribute_values(":e", expires(extended))
            }
            ListAction::Leave => self
                .update_list(subject, LEAVE)
                .await?
                .expression_attribute_values(":c", chain_alone)
                .expression_attribute_values(":m", member(*chain)),
        };
        update(&request.expression_attribute_names("#s", attribute(*chain)))
    }

    /// Makes the bound of a session's idle deadline later.
    pub(crate) async fn raise(
        &self,
        call: &mut Call<'_>,
        (subject, chain): (&Subject, Chain),
        bound: Timestamp,
    ) -> Result<Raised, Error> {
        call.request();
        let request = self
            .update_list(subject, RAISE)
            .await?
            .expression_attribute_names("#s", attribute(chain))
            .expression_attribute_names("#u", "u")
            .expression_attribute_values(":u", time(bound))
            .expression_attribute_values(":m", member(chain));
        Ok(match self.send(call, request).await? {
            Updated::Done(_) => Raised::Done,
            Updated::Refused { item, .. } => {
                let list = item.as_ref().map(SubjectList::from_item).transpose()?;
                match list.as_ref().and_then(|list| list.get_live(chain)) {
                    Some(entry) => Raised::Already(entry.deadlines.idle),
                    None => Raised::Doomed,
                }
            }
        })
    }

    /// Takes chains out of the set of those that may be renewed: the deciding step of a revocation. Returns the list as it is
    /// then, with the keys that the sessions will keep.
    pub(crate) async fn mark(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        chains: &[Chain],
    ) -> Result<Option<SubjectList>, Error> {
        call.request();
        let request = self
            .update_list(subject, MARK)
            .await?
            .expression_attribute_values(":c", set(chains.iter().copied()))
            .return_values(ReturnValue::AllNew);
        match self.send(call, request).await? {
            Updated::Done(item) => SubjectList::from_item(&item).map(Some),
            Updated::Refused { .. } => Ok(None), // there is no list
        }
    }

    /// Makes tombstones of records, dead or alive.
    pub(crate) async fn bury_all(&self, call: &mut Call<'_>, keys: &[LoggableId]) -> Result<(), Error> {
        let mut left = keys.iter();
        let mut sent = JoinSet::new();
        loop {
            while sent.len() < ENDED_AT_ONCE
                && let Some(key) = left.next()
            {
                let now = call.further_request()?;
                let request = self.burial(key, now, &Preconditions::default()).await?;
                let (table, mut part) = (self.clone(), call.part());
                sent.spawn(async move {
                    let ended = table.send(&mut part, request).await;
                    (ended, part.report.write_units)
                });
            }
            match sent.join_next().await {
                None => return Ok(()),
                // Refused: there is no record any more, or it is a tombstone.
                Some(Ok((Ok(_), write_units))) => call.report.write_units += write_units,
                Some(Ok((Err(error), _))) => return Err(error),
                Some(Err(error)) => return Err(Error::Unavailable(error.into())),
            }
        }
    }

    /// Removes what is left of sessions that a revocation has ended.
    pub(crate) async fn forget(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        chains: &[Chain],
    ) -> Result<(), Error> {
        for chains in chains.chunks(FORGOTTEN_AT_ONCE) {
            call.request();
            let (names, places) = places(chains);
            let remove = format!("REMOVE {}", places.join(", "));
            let request = self
                .update_list(subject, (&remove, "attribute_exists(id)"))
                .await?
                .set_expression_attribute_names(Some(names));
            self.send(call, request).await?;
        }
        Ok(())
    }

    /// Removes a session that has ended from its list. Without a list there is nothing to remove.
    pub(crate) async fn unlist(
        &self,
        call: &mut Call<'_>,
        (subject, chain): (&Subject, Chain),
    ) -> Result<(), Error> {
        call.request();
        let request = self
            .update_list(subject, UNLIST)
            .await?
            .expression_attribute_names("#s", attribute(chain))
            .expression_attribute_values(":c", set([chain]));
        self.send(call, request).await.map(drop)
    }

    /// Removes sessions whose deadlines had passed at `now`, unless a deadline has become later meanwhile. `live` is how many
    /// there are with them.
    pub(crate) async fn prune(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
        expired: &[(Chain, &Entry)],
        (live, now): (usize, Timestamp),
    ) -> Result<(), Error> {
        let expired = &expired[..expired.len().min(PRUNED_AT_ONCE)];
        let chains: Vec<_> = expired.iter().map(|(chain, _)| *chain).collect();
        call.request();
        let (names, places) = places(&chains);
        let mut names = names;
        let conditions: Vec<_> = expired
            .iter()
            .zip(&places)
            .map(|((_, entry), place)| {
                let deadline = if now < entry.deadlines.absolute { "#u" } else { "#a" };
                names.insert(deadline.into(), deadline.trim_start_matches('#').into());
                format!("{place}.{deadline} <= :now")
            })
            .collect();
        let mut change = "SET prune_at = :p".to_owned();
        let mut condition = "attribute_exists(id)".to_owned();
        if !chains.is_empty() {
            change = format!("REMOVE {} {change} DELETE live :c", places.join(", "));
            condition = conditions.join(" AND ");
        }
        let mut request = self
            .update_list(subject, (&change, &condition))
            .await?
            .expression_attribute_values(":p", number(prune_at(live - chains.len()) as u64));
        if !chains.is_empty() {
            request = request
                .set_expression_attribute_names(Some(names))
                .expression_attribute_values(":c", set(chains.iter().copied()))
                .expression_attribute_values(":now", time(now));
        }
        self.send(call, request).await.map(drop)
    }
}

fn with_changes(request: UpdateItemFluentBuilder, entry: &Entry, chain: Chain) -> UpdateItemFluentBuilder {
    entry
        .device
        .update_entry(request)
        .expression_attribute_names("#u", "u")
        .expression_attribute_names("#a", "a")
        .expression_attribute_names("#i", "i")
        .expression_attribute_values(":u", time(entry.deadlines.idle))
        .expression_attribute_values(":a", time(entry.deadlines.absolute))
        .expression_attribute_values(":i", number(entry.idle_seconds))
        .expression_attribute_values(":m", member(chain))
}

/// A chain as an operand of `contains`.
fn member(chain: Chain) -> aws_sdk_dynamodb::types::AttributeValue {
    super::item::binary(chain.as_bytes())
}

/// A short name for the attribute of each session.
fn places(chains: &[Chain]) -> (std::collections::HashMap<String, String>, Vec<String>) {
    let names: Vec<_> = (0..chains.len()).map(|n| format!("#s{n}")).collect();
    (names.iter().cloned().zip(chains.iter().map(|chain| attribute(*chain))).collect(), names)
}
