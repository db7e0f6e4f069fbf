//! Loads a session.

use aws_sdk_dynamodb::types::ReturnValue;
use serde::de::DeserializeOwned;

use super::{found, known};
use crate::call::Call;
use crate::clock::Timestamp;
use crate::dynamodb::item::Item;
use crate::dynamodb::load::Slid;
use crate::dynamodb::record::Record;
use crate::error::Error;
use crate::id::{AsSessionId, SessionId};
use crate::manager::SessionManager;
use crate::report::Event;
use crate::session::Session;

impl SessionManager {
    /// Loads a session, which counts as a use of it. Returns `None` if the ID was never issued, or the session has ended.
    ///
    /// Cancelled, it may have extended the idle deadline.
    ///
    /// # Errors
    /// [`Error::Deserialize`] when the data is not a `T`; [`Error::CorruptRecord`]; [`Error::Unavailable`] and
    /// [`Error::Misconfigured`] from the table. An outage is never `None`.
    pub async fn load<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
    ) -> Result<Option<Session<T>>, Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref());
        let loaded = async {
            let id = known(id.as_deref())?;
            let record = match self.config.touch_interval_seconds {
                0 => self.slide_and_get(&mut call, id).await?,
                interval => {
                    let mut record = self.table.get(&mut call, id).await?;
                    if record.deadlines.touch_is_due(record.idle_seconds, interval, call.now()) {
                        self.touch(&mut call, id, &mut record).await?;
                    }
                    record
                }
            };
            let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
            Ok(record.into_session(id.clone(), data, self.config.label_key.as_ref()))
        }
        .await;
        found(call.end(loaded, Event::Loaded))
    }

    /// Extends the idle deadline of a record that was read.
    pub(crate) async fn touch(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        record: &mut Record,
    ) -> Result<(), Error> {
        let touched = async {
            let mut slide_by = None;
            if let (Some(subject), Some(until)) = (&record.subject, record.slide_by)
                && until < call.now()
            {
                let place = (subject, record.chain);
                slide_by = Some(self.raise_bound(call, id.loggable(), place, record.idle_seconds).await?);
            }
            self.table.slide(call, id.loggable(), slide_by, ReturnValue::None).await
        };
        match touched.await {
            Ok(Slid::At(now, _)) => record.deadlines.idle = now.plus_seconds(record.idle_seconds),
            // Another use has come between. The session was alive when it was read, and a later use extends its deadline.
            Ok(Slid::Overdue(_)) | Err(Error::Unavailable(_)) => {}
            // For example, it was cleared after it was read.
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Extends the idle deadline and reads the record, in one request where the bound in the list allows it.
    async fn slide_and_get(&self, call: &mut Call<'_>, id: &SessionId) -> Result<Record, Error> {
        let (_, item) = self.slide(call, id, ReturnValue::AllNew).await?;
        self.table.to_record(id, item)
    }

    /// Extends the idle deadline, and makes its bound in the list later where it has to.
    async fn slide(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        returned: ReturnValue,
    ) -> Result<(Timestamp, Item), Error> {
        let mut slide_by: Option<Timestamp> = None;
        loop {
            let item = match self.table.slide(call, id.loggable(), slide_by, returned.clone()).await? {
                Slid::At(now, item) => return Ok((now, item)),
                Slid::Overdue(item) => item,
            };
            let record = self.table.to_record(id, item)?;
            if record.slide_by.is_none_or(|until| until >= call.now()) {
                slide_by = None; // another use has made the bound later
            } else if let Some(subject) = &record.subject {
                let place = (subject, record.chain);
                slide_by = Some(self.raise_bound(call, id.loggable(), place, record.idle_seconds).await?);
            }
            call.require_time()?;
        }
    }

    /// Extends the idle deadline of a session that was looked at before. Nothing is sent while it is too early for that: then it
    /// returns false.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session has ended meanwhile.
    pub(crate) async fn keep_alive<T>(&self, session: &mut Session<T>) -> Result<bool, Error> {
        let idle_seconds = session.stored_timeouts.idle_seconds;
        let mut call = self.call_for(Some(&session.id));
        if !session.deadlines.touch_is_due(idle_seconds, self.config.touch_interval_seconds, call.now()) {
            return Ok(false);
        }
        let slid = self.slide(&mut call, &session.id, ReturnValue::None).await;
        let (now, _) = call.end(slid, Event::Used)?;
        session.deadlines.idle = now.plus_seconds(idle_seconds);
        Ok(true)
    }

    /// Loads a session without using it: its idle deadline does not slide. For operators, and for programs that only look,
    /// such as a poll that must not keep a session alive.
    ///
    /// # Errors
    /// Those of [`load`](Self::load).
    pub async fn peek<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
    ) -> Result<Option<Session<T>>, Error> {
        found(self.look_at(id).await)
    }

    /// As [`peek`](Self::peek), with the reason why there is no session.
    pub(crate) async fn look_at<T: DeserializeOwned>(
        &self,
        id: &(impl AsSessionId + ?Sized),
    ) -> Result<Session<T>, Error> {
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref());
        let loaded = async {
            let id = known(id.as_deref())?;
            let record = self.table.get(&mut call, id).await?;
            let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
            Ok(record.into_session(id.clone(), data, self.config.label_key.as_ref()))
        }
        .await;
        call.end(loaded, Event::Loaded)
    }
}
