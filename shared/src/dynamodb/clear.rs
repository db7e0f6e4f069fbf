//! The requests of a clear.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;

use super::conditions::etag_condition;
use super::item::{string, time};
use super::outcome::Updated;
use super::record::{chain, subject};
use super::table::Table;
use super::tombstone::{REMOVE, TTL_SECONDS, Tombstone};
use crate::call::Call;
use crate::chain::Chain;
use crate::clock::Timestamp;
use crate::error::{Absence, Error};
use crate::etag::Preconditions;
use crate::id::LoggableId;
use crate::subject::Subject;

/// A record that is no tombstone.
const NOT_ENDED: &str = "attribute_not_exists(renewed_to) AND attribute_not_exists(ended_at)";

/// What a clear has found.
pub(crate) enum Cleared {
    /// It has ended a live session, or removed what was left of a dead one.
    Ended { was: Result<(), Absence>, place: Option<(Subject, Chain)> },
    /// It had been renewed or ended before. In doubt, an earlier attempt of this clear may have ended it.
    Tombstone { tombstone: Tombstone, in_doubt: bool },
}

impl Table {
    /// Makes a tombstone of a record, dead or alive, if the preconditions hold.
    ///
    /// # Errors
    /// [`Error::Changed`] when they do not hold for a live session, and [`Error::NotFound`] when there is no record.
    pub(crate) async fn bury(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        preconditions: &Preconditions,
    ) -> Result<Cleared, Error> {
        let now = call.request();
        let update = self.burial(id, now, preconditions).await?.return_values(ReturnValue::AllOld); // for the log
        match self.send(call, update).await? {
            Updated::Done(item) => {
                let was = match self.require_alive(&item, now) {
                    Err(Error::NotFound(absence)) => Err(absence),
                    Ok(()) | Err(_) => Ok(()), // a corrupt record is ended too
                };
                let place = subject(&item).ok().flatten().zip(chain(&item).ok());
                Ok(Cleared::Ended { was, place })
            }
            Updated::Refused { item: None, .. } => Err(Error::NotFound(Absence::Unknown)),
            Updated::Refused { item: Some(item), in_doubt } => match Tombstone::read(&item) {
                Some(tombstone) => Ok(Cleared::Tombstone { tombstone, in_doubt }),
                None => {
                    self.require_alive(&item, now)?;
                    Err(Error::Changed)
                }
            },
        }
    }

    /// The request that makes a tombstone of a record.
    pub(super) async fn burial(
        &self,
        id: &LoggableId,
        now: Timestamp,
        preconditions: &Preconditions,
    ) -> Result<UpdateItemFluentBuilder, Error> {
        let (condition, tags) = etag_condition(preconditions);
        let update = self.tombstone(id, now).await?;
        let update = update.condition_expression(format!("attribute_exists(id) AND {NOT_ENDED}{condition}"));
        Ok(tags
            .into_iter()
            .fold(update, |update, (name, tag)| update.expression_attribute_values(name, string(tag))))
    }

    async fn tombstone(&self, id: &LoggableId, now: Timestamp) -> Result<UpdateItemFluentBuilder, Error> {
        Ok(self
            .update_item(string(id.as_str()))
            .await?
            .update_expression(format!("SET ended_at = :now, expires = :tombstone_expires {REMOVE}"))
            .expression_attribute_names("#data", "data") // a reserved word
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":tombstone_expires", time(now.plus_seconds(TTL_SECONDS))))
    }

    /// Takes a key, whether or not a record has it: no write that is still on its way can store a record under it. Returns the chain
    /// of the session that this has ended, if a record had the key.
    pub(crate) async fn burn(&self, call: &mut Call<'_>, id: &LoggableId) -> Result<Option<Chain>, Error> {
        let now = call.request();
        let update = self.tombstone(id, now).await?.condition_expression(NOT_ENDED);
        Ok(match self.send(call, update.return_values(ReturnValue::AllOld)).await? {
            Updated::Done(item) => chain(&item).ok(),
            // It is a tombstone already, perhaps by an earlier attempt.
            Updated::Refused { item, .. } => item.and_then(|item| chain(&item).ok()),
        })
    }
}
