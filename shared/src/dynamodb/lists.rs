//! The requests of a list and a revocation.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnConsumedCapacity};
use tokio::task::JoinSet;

use super::item::{Item, number, string, timestamp, unbuildable, whole_number};
use super::outcome::{classify, is_failed_condition};
use super::record::deadlines;
use super::subject_list::{SubjectList, key, random_version};
use super::table::Table;
use crate::call::Call;
use crate::error::{Absence, Error};
use crate::id::LoggableId;
use crate::pauses::Pauses;
use crate::session::ListedSession;
use crate::subject::Subject;

/// How many records one `BatchGetItem` can read (DynamoDB's "Quotas").
pub(crate) const BATCH: usize = 100;

/// How many records a revocation deletes at the same time.
const DELETES_AT_ONCE: usize = 16;

impl Table {
    /// The list of a subject's sessions.
    pub(crate) async fn list(
        &self,
        call: &mut Call<'_>,
        subject: &Subject,
    ) -> Result<Option<SubjectList>, Error> {
        let item = self.get_item(call, &key(subject)).await?;
        item.map(|item| SubjectList::from_item(&item)).transpose()
    }

    /// Replaces a subject's list as a whole. False: another write has changed it since it was read.
    pub(crate) async fn replace_list(
        &self,
        call: &mut Call<'_>,
        list: &mut SubjectList,
    ) -> Result<bool, Error> {
        let client = self.client().await?;
        list.shorten_expires(call.further_request()?);
        let version = random_version()?;
        let put = client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(list.to_item(version)))
            .condition_expression("v = :read")
            .expression_attribute_values(":read", number(list.version()))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match put.send().await {
            Ok(output) => {
                call.add_write(output.consumed_capacity());
                list.set_version(version);
                Ok(true)
            }
            Err(error) if is_failed_condition(&error) => Ok(false),
            Err(error) => Err(classify(error)),
        }
    }

    /// The records of these sessions that are alive, or expired at most `grace_seconds` ago; and whether one of them has been
    /// renewed. Their data is not returned, but DynamoDB bills it.
    pub(crate) async fn summaries(
        &self,
        call: &mut Call<'_>,
        ids: &[LoggableId],
        grace_seconds: u64,
    ) -> Result<(Vec<ListedSession>, bool), Error> {
        let client = self.client().await?;
        let (mut found, mut is_renewed) = (Vec::new(), false);
        let mut pauses = Pauses::default();
        for ids in ids.chunks(BATCH) {
            let mut keys = self.keys(ids)?;
            // DynamoDB returns at most 16 MB at once, and says what is left.
            while let Some(left) = keys.take() {
                let earlier = call.further_request()?.minus_seconds(grace_seconds);
                let request = client
                    .batch_get_item()
                    .request_items(&self.name, left)
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                let output = request.send().await.map_err(classify)?;
                output.consumed_capacity().iter().for_each(|consumed| call.add_read(Some(consumed)));
                let items = output.responses.into_iter().flat_map(HashMap::into_values).flatten();
                for item in items {
                    match self.require_alive(&item, earlier) {
                        Ok(()) => found.push(summary(&item)?),
                        Err(Error::NotFound(absence)) => is_renewed |= absence == Absence::Superseded,
                        Err(error) => return Err(error),
                    }
                }
                keys = output.unprocessed_keys.and_then(|keys| keys.into_values().next());
                if keys.is_some() {
                    pauses.next().await?;
                }
            }
        }
        Ok((found, is_renewed))
    }

    fn keys(&self, ids: &[LoggableId]) -> Result<Option<KeysAndAttributes>, Error> {
        let key = |id: &LoggableId| HashMap::from([("id".to_owned(), string(id.as_str()))]);
        let keys = KeysAndAttributes::builder()
            .set_keys(Some(ids.iter().map(key).collect()))
            .consistent_read(true)
            .projection_expression("id, created, idle_timeout, expires, absolute_expires, renewed_to");
        keys.build().map(Some).map_err(unbuildable)
    }

    /// Deletes records, dead or alive.
    pub(crate) async fn delete_all(&self, call: &mut Call<'_>, ids: &[LoggableId]) -> Result<(), Error> {
        let client = self.client().await?;
        let mut left = ids.iter();
        let mut deletes = JoinSet::new();
        loop {
            while deletes.len() < DELETES_AT_ONCE
                && let Some(id) = left.next()
            {
                call.further_request()?;
                let delete = client
                    .delete_item()
                    .table_name(&self.name)
                    .key("id", string(id.as_str()))
                    .return_consumed_capacity(ReturnConsumedCapacity::Total);
                deletes.spawn(delete.send());
            }
            match deletes.join_next().await {
                None => return Ok(()),
                Some(Ok(Ok(output))) => call.add_write(output.consumed_capacity()),
                Some(Ok(Err(error))) => return Err(classify(error)),
                Some(Err(error)) => return Err(Error::Unavailable(error.into())),
            }
        }
    }
}

/// What a list of sessions shows of one.
fn summary(item: &Item) -> Result<ListedSession, Error> {
    let id = match item.get("id") {
        Some(AttributeValue::S(id)) => id.parse().map_err(|_| Error::CorruptRecord("id"))?,
        _ => return Err(Error::CorruptRecord("id")),
    };
    let (deadlines, idle_seconds) = (deadlines(item)?, whole_number(item, "idle_timeout")?);
    Ok(ListedSession {
        loggable_id: id,
        created: timestamp(item, "created")?,
        last_used: deadlines.idle.minus_seconds(idle_seconds),
        expires: deadlines.earliest(),
    })
}
