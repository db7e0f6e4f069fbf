//! Loads a session.

use serde::de::DeserializeOwned;

use super::{found, known};
use crate::call::Call;
use crate::dynamodb::record::Record;
use crate::error::Error;
use crate::id::{AsSessionId, SessionId};
use crate::manager::SessionManager;
use crate::report::Event;
use crate::session::Session;

impl SessionManager {
    /// Loads a session, which counts as a use of it. `None`: it was never issued, was cleared, or has expired.
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
                0 => self.table.touch_and_get(&mut call, id).await?,
                interval => self.get_and_touch(&mut call, id, interval).await?,
            };
            let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
            Ok(record.into_session(id.clone(), data))
        }
        .await;
        found(call.end(loaded, Event::Loaded))
    }

    async fn get_and_touch(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        interval: u64,
    ) -> Result<Record, Error> {
        let mut record = self.table.get(call, id).await?;
        if record.deadlines.touch_is_due(record.idle_seconds, interval, call.now()) {
            match self.table.touch(call, id.loggable()).await {
                Ok(now) => record.deadlines.idle = now.plus_seconds(record.idle_seconds),
                // The session was alive when it was read. A later load slides its deadline.
                Err(Error::Unavailable(_)) => {}
                // For example, it was cleared after it was read.
                Err(error) => return Err(error),
            }
        }
        Ok(record)
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
        let id = id.as_session_id();
        let mut call = self.call_for(id.as_deref());
        let loaded = async {
            let id = known(id.as_deref())?;
            let record = self.table.get(&mut call, id).await?;
            let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
            Ok(record.into_session(id.clone(), data))
        }
        .await;
        found(call.end(loaded, Event::Loaded))
    }
}
