//! Gives a session a new ID.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::new_data::NewData;
use super::{found, in_time, known};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::dynamodb::device::StoredDevice;
use crate::dynamodb::item::Item;
use crate::dynamodb::lists::ListAction;
use crate::dynamodb::outcome::Transacted;
use crate::dynamodb::record::{Record, Renewals};
use crate::dynamodb::renew::{NEW, OLD, Unchanged};
use crate::dynamodb::subject_list::Entry;
use crate::dynamodb::table::SentTransaction;
use crate::error::Error;
use crate::id::{AsSessionId, SessionId};
use crate::manager::SessionManager;
use crate::pauses::Pauses;
use crate::report::Event;
use crate::session::{Renewal, Session};
use crate::time_limits::ATTEMPTS_WITHIN;

/// How often a session may be renewed in a minute. A login is not counted.
const MAX_RENEWALS: u64 = 10;

const MINUTE: u64 = 60;

/// How an attempt to give a session another ID has ended.
pub(super) enum Moved {
    Done,
    /// The record has changed meanwhile: read it again.
    Again,
}

impl SessionManager {
    /// Gives a session a new ID, with the same data and the same absolute deadline, and ends the old ID in the same
    /// transaction. Returns `None` if the session has ended, or another renewal was faster.
    ///
    /// Call it whenever the user's privileges change (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any
    /// Privilege Level Change"). For a login there is [`log_in`](Self::log_in). A [`clear`](Self::clear) of the old ID ends the
    /// renewed session too: a user who logs out in one tab while another tab renews is logged out.
    ///
    /// Cancelled, it may have been carried out: then the session has an ID that no caller knows.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), [`Error::RenewedTooOften`], and [`Error::Randomness`].
    pub async fn renew<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
    ) -> Result<Option<Session<T>>, Error> {
        self.renew_encoded(id, Renewal::default()).await
    }

    /// Renews a session with new data, or if preconditions hold: all of it in one transaction.
    ///
    /// # Errors
    /// Those of [`renew`](Self::renew); [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::DataNotPortable`] and
    /// [`Error::Serialize`] for the data; [`Error::Changed`] when a precondition does not hold.
    pub async fn renew_with<T: Serialize + DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        renewal: Renewal<T>,
    ) -> Result<Option<Session<T>>, Error> {
        let Renewal { data, preconditions } = renewal;
        match data.map(|data| self.encode(&data).map(NewData::Whole)).transpose() {
            Ok(data) => self.renew_encoded(id, Renewal { data, preconditions }).await,
            Err(error) => self.call_for(id.as_session_id().as_deref()).end(Err(error), Event::Renewed),
        }
    }

    pub(crate) async fn renew_encoded<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
        renewal: Renewal<NewData>,
    ) -> Result<Option<Session<T>>, Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref());
        let renewed = async {
            let id = known(id.as_deref())?;
            let (new, record) = in_time(self.renew_record(&mut call, id, renewal, check::<T>)).await?;
            let data = parse(&record.data)?;
            Ok(record.into_session(new, data, self.config.label_key.as_ref()))
        }
        .await;
        found(call.end(renewed, Event::Renewed))
    }

    async fn renew_record(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        renewal: Renewal<NewData>,
        check: Check,
    ) -> Result<(SessionId, Record), Error> {
        let mut list_expires = self.list_expires(call);
        let mut pauses = Pauses::of_conflicts();
        loop {
            let record = self.table.get(call, id).await?;
            // The transaction's condition is that the tag is still this one.
            if !renewal.preconditions.hold(&record.etag) {
                return Err(Error::Changed);
            }
            let data = self.new_data(renewal.data.as_ref(), &record.data)?;
            let mut moved = record.moved(data, record.timeouts(), record.subject.clone(), call.now())?;
            moved.renewals = record.renewals.one_more(call.now())?;
            check(&moved.data)?;
            let new = self.new_id()?;
            let names = (id, &record, &new);
            let how = (Unchanged::All, StoredDevice::default());
            match self.move_record(call, names, &mut moved, how, &mut list_expires).await? {
                Moved::Done => return Ok((new, moved)),
                Moved::Again => self.pause(call, &mut pauses).await?,
            }
        }
    }

    /// Tries once to move a session to a new ID. An attempt in doubt is looked into, so that no session is left without a holder.
    /// The list gets what there is of `device`.
    pub(super) async fn move_record(
        &self,
        call: &mut Call<'_>,
        (id, record, new): (&SessionId, &Record, &SessionId),
        moved: &mut Record,
        (unchanged, device): (Unchanged, StoredDevice),
        list_expires: &mut Timestamp,
    ) -> Result<Moved, Error> {
        call.report.new_session = Some(new.loggable().clone());
        let after = moved.clone();
        let same = |entry| ListAction::Move(Entry { device: device.clone(), ..entry });
        let changes = self.list_changes(record, &after, new.loggable(), same);
        let old = (id.loggable(), record);
        let lists = (&changes[..], *list_expires);
        let sent = self.table.rename(call, old, (new, moved), unchanged, lists).await;
        let new_chain = Some(after.chain).filter(|chain| *chain != record.chain);
        let SentTransaction { outcome, in_doubt } = match sent {
            Ok(SentTransaction { outcome: Transacted::Done, .. }) => return Ok(Moved::Done),
            Ok(sent) => sent,
            Err(error @ Error::Unavailable(_)) => {
                if let Some(subject) = &after.subject {
                    self.give_up(call, subject, new.loggable(), new_chain).await;
                }
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        if let Transacted::Refused { place: OLD | NEW, item } = &outcome
            && in_doubt
            && (after.is_in(item.as_ref()) && item.as_ref().is_some_and(|item| leads_to(item, new)))
        {
            return Ok(Moved::Done); // an attempt whose response was lost
        }
        if in_doubt && let Some((subject, chain)) = after.subject.as_ref().zip(new_chain) {
            self.burn(call, subject, new.loggable(), Some(chain)).await?;
        }
        if let Transacted::Refused { place, item } = outcome
            && let Some(change) = place.checked_sub(NEW + 1).and_then(|place| changes.get(place))
        {
            self.list_refused(call, id.loggable(), change, item, list_expires).await?;
        }
        Ok(Moved::Again)
    }

    /// Waits before another attempt. DynamoDB bills a cancelled transaction, and a pause lets other writes finish.
    pub(super) async fn pause(&self, call: &Call<'_>, pauses: &mut Pauses) -> Result<(), Error> {
        if call.elapsed() > ATTEMPTS_WITHIN {
            return Err(Error::Unavailable("other writes to the session did not stop".into()));
        }
        pauses.next().await
    }
}

impl Renewals {
    /// Counts one more.
    fn one_more(self, now: Timestamp) -> Result<Self, Error> {
        if self.count == 0 || now.seconds_since(self.since) >= MINUTE {
            return Ok(Self { count: 1, since: now });
        }
        if self.count >= MAX_RENEWALS {
            return Err(Error::RenewedTooOften { seconds: MINUTE - now.seconds_since(self.since) });
        }
        Ok(Self { count: self.count + 1, since: self.since })
    }
}

/// Whether data can be read as a `T`. It is checked before anything is changed: data that cannot stays as it is.
pub(super) fn check<T: DeserializeOwned>(data: &str) -> Result<(), Error> {
    parse::<T>(data).map(drop)
}

pub(super) fn parse<T: DeserializeOwned>(data: &str) -> Result<T, Error> {
    serde_json::from_str(data).map_err(Error::Deserialize)
}

/// The check of a type, where the type itself does not matter.
pub(super) type Check = fn(&str) -> Result<(), Error>;

/// Whether an item is a tombstone that leads to this ID.
fn leads_to(item: &Item, new: &SessionId) -> bool {
    item.get("renewed_to").and_then(|id| id.as_s().ok()).is_some_and(|id| id == new.loggable().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_renewed_ten_times_in_a_minute_and_then_again() {
        let at = |seconds| Timestamp::from_epoch_seconds(1_800_000_000 + seconds);
        let mut renewals = Renewals::default();
        for n in 0..MAX_RENEWALS {
            renewals = renewals.one_more(at(n)).unwrap();
        }
        let refused = renewals.one_more(at(59)).unwrap_err();
        assert!(matches!(refused, Error::RenewedTooOften { seconds: 1 }), "{refused:?}");
        assert_eq!(renewals.one_more(at(60)).unwrap(), Renewals { count: 1, since: at(60) });
    }
}
