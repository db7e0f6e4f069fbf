//! The verbs, and all policy.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::error::{ConfigError, Error};
use crate::etag::{ETag, IfMatch};
use crate::id::{LoggableId, SessionId};
use crate::life::{self, Outcome, Usage};
use crate::session::Session;
use crate::table::{Change, Record, Table};
use crate::timeouts::{Deadlines, Timeouts};

/// How deep arrays and objects may be nested in a session's data.
///
/// serde_json reads 127 levels, the document around the data included; other readers stop at 64 to 1,000.
pub const MAX_DATA_DEPTH: usize = 100;

/// Two random IDs of 128 bits or more do not meet by chance; a third try is there for the day they do.
const ID_ATTEMPTS: usize = 3;

/// A renewal begins anew when a save has come between its two requests, but not when this much time has passed: two
/// more requests must find room in the function's timeout.
const RENEWAL_ATTEMPTS_WITHIN: Duration = Duration::from_secs(1);

/// Creates, loads, saves, renews and clears sessions.
///
/// Make one at start and share it. `T`, a session's data, is any type that serde reads and writes as JSON.
#[derive(Clone)]
pub struct SessionManager {
    table: Table,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
}

/// What [`SessionManager::update`] changes of a session. What is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct Update<'a, T: ?Sized> {
    /// New data, in place of the old.
    pub data: Option<&'a T>,
    /// A new idle timeout, counted from now.
    pub idle_timeout_seconds: Option<u64>,
    /// A new absolute timeout, counted from the session's creation.
    pub absolute_timeout_seconds: Option<u64>,
    /// What the present data must be for the update to take place.
    pub if_match: IfMatch,
}

impl SessionManager {
    /// Connects to DynamoDB with the AWS SDK's own settings (Region, credentials, endpoint), except where
    /// `config` says otherwise. Nothing is sent yet.
    ///
    /// # Errors
    /// The first setting in `config` that is not acceptable.
    pub async fn connect(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Self::new(client::from_aws_config(&config).await?, config)
    }

    /// Uses a client of yours, best made from [`aws_defaults`](crate::aws_defaults); `config.endpoint_url` and `config.region` have no effect.
    ///
    /// # Errors
    /// The first setting in `config` that is not acceptable.
    pub fn new(client: Client, config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self {
            table: Table::new(client, config.table_name.clone(), config.not_before),
            config: Arc::new(config),
            clock: Arc::new(SystemClock),
        })
    }

    /// Reads the time from `clock` from now on.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The settings that this manager goes by.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Creates a session with the default timeouts. Its ID is new: no caller ever chooses one.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`] and [`Error::Serialize`] for the data;
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table; [`Error::Randomness`].
    pub async fn create<T: Serialize>(&self, data: T) -> Result<Session<T>, Error> {
        self.create_with(data, self.config.timeouts).await
    }

    /// Creates a session with timeouts of its own.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and [`Error::TimeoutOutOfRange`].
    pub async fn create_with<T: Serialize>(&self, data: T, timeouts: Timeouts) -> Result<Session<T>, Error> {
        let mut usage = Usage::default();
        let created = self.try_create(data, timeouts, &mut usage).await;
        let id = created.as_ref().ok().map(Session::loggable_id);
        life::report(id, &created, |_| Outcome::Created, usage);
        created
    }

    async fn try_create<T: Serialize>(
        &self,
        data: T,
        timeouts: Timeouts,
        usage: &mut Usage,
    ) -> Result<Session<T>, Error> {
        let now = self.clock.now();
        self.check_timeouts(Some(timeouts.idle_seconds), Some(timeouts.absolute_seconds))?;
        let text = self.encode(&data)?;
        let record = Record {
            etag: ETag::of(&text),
            data: text,
            created: now,
            idle_seconds: timeouts.idle_seconds,
            deadlines: Deadlines::new(timeouts, now, now),
        };
        for _ in 0..ID_ATTEMPTS {
            let id = self.new_id()?;
            if self.table.insert(id.loggable(), &record, usage).await? {
                return Ok(record.into_session(id, data));
            }
        }
        Err(Error::NoFreeId)
    }

    /// Loads a session, which counts as a use of it. `None`: it was never issued, was cleared, or has expired;
    /// which of them is not told.
    ///
    /// # Errors
    /// [`Error::Deserialize`] when the data is no `T`; [`Error::CorruptRecord`]; [`Error::Unavailable`] and
    /// [`Error::Refused`] from the table. An outage is never `None`.
    pub async fn load<T: DeserializeOwned>(&self, id: &SessionId) -> Result<Option<Session<T>>, Error> {
        let mut usage = Usage::default();
        let loaded = self.try_load(id, &mut usage).await;
        life::report(Some(id.loggable()), &loaded, |_| Outcome::Loaded, usage);
        found(loaded)
    }

    async fn try_load<T: DeserializeOwned>(
        &self,
        id: &SessionId,
        usage: &mut Usage,
    ) -> Result<Session<T>, Error> {
        let now = self.clock.now();
        let record = match self.config.touch_interval_seconds {
            0 => self.table.touch_and_get(id.loggable(), now, usage).await?,
            interval => self.get_and_touch(id.loggable(), interval, now, usage).await?,
        };
        let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
        Ok(record.into_session(id.clone(), data))
    }

    async fn get_and_touch(
        &self,
        id: &LoggableId,
        interval: u64,
        now: Timestamp,
        usage: &mut Usage,
    ) -> Result<Record, Error> {
        let mut record = self.table.get(id, now, usage).await?;
        if record.deadlines.touch_is_due(record.idle_seconds, interval, now) {
            self.table.touch(id, now, usage).await?; // it may have been cleared since it was read
            record.deadlines.idle = now.plus_seconds(record.idle_seconds);
        }
        Ok(record)
    }

    /// Saves a session's data and timeouts, whatever has been saved since it was loaded.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session is dead: no save brings one back. [`Error::DataTooLarge`],
    /// [`Error::DataTooDeep`], [`Error::Serialize`] and [`Error::TimeoutOutOfRange`] for what is to be saved;
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table.
    pub async fn save<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        self.save_session(session, IfMatch::Any).await
    }

    /// Saves a session unless somebody else has saved other data since it was loaded.
    ///
    /// # Errors
    /// [`Error::Changed`] when somebody has: load it, make the change again, and save again. Otherwise those of
    /// [`save`](Self::save).
    pub async fn save_if_unchanged<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        let if_match = IfMatch::OneOf(vec![session.etag.clone()]);
        self.save_session(session, if_match).await
    }

    async fn save_session<T: Serialize>(
        &self,
        session: &mut Session<T>,
        if_match: IfMatch,
    ) -> Result<(), Error> {
        let now = self.clock.now();
        let update = Update {
            data: Some(&session.data),
            idle_timeout_seconds: Some(session.timeouts.idle_seconds),
            absolute_timeout_seconds: Some(session.timeouts.absolute_seconds),
            if_match,
        };
        session.etag = self.update_at(&session.id, update, now).await?;
        session.deadlines = Deadlines::new(session.timeouts, session.created, now);
        Ok(())
    }

    /// Changes parts of a session, which counts as a use of it, and returns the tag of its data.
    ///
    /// # Errors
    /// Those of [`save`](Self::save), and [`Error::Changed`] when the data is not what `if_match` demands.
    pub async fn update<T: Serialize + ?Sized>(
        &self,
        id: &SessionId,
        update: Update<'_, T>,
    ) -> Result<ETag, Error> {
        self.update_at(id, update, self.clock.now()).await
    }

    /// Says what [`update`](Self::update) would refuse whichever session it were for. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::Serialize`] and [`Error::TimeoutOutOfRange`].
    pub fn check<T: Serialize + ?Sized>(&self, update: &Update<'_, T>) -> Result<(), Error> {
        self.change(update).map(drop)
    }

    fn change<T: Serialize + ?Sized>(&self, update: &Update<'_, T>) -> Result<Change, Error> {
        self.check_timeouts(update.idle_timeout_seconds, update.absolute_timeout_seconds)?;
        Ok(Change {
            data: update.data.map(|data| self.encode(data)).transpose()?,
            idle_seconds: update.idle_timeout_seconds,
            absolute_seconds: update.absolute_timeout_seconds,
            if_match: update.if_match.clone(),
        })
    }

    async fn update_at<T: Serialize + ?Sized>(
        &self,
        id: &SessionId,
        update: Update<'_, T>,
        now: Timestamp,
    ) -> Result<ETag, Error> {
        let mut usage = Usage::default();
        let id = id.loggable();
        let saved = match self.change(&update) {
            Ok(change) => self.table.save(id, change, now, &mut usage).await,
            Err(error) => Err(error),
        };
        life::report(Some(id), &saved, |_| Outcome::Saved, usage);
        saved
    }

    /// Gives a session a new ID, with the same data and the same absolute deadline, and ends the old one in the same
    /// transaction. `None`: the session is dead, or another renewal was faster.
    ///
    /// Call it whenever the user's privileges change, at login above all
    /// (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level Change").
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and [`Error::Randomness`].
    pub async fn renew<T: DeserializeOwned>(&self, id: &SessionId) -> Result<Option<Session<T>>, Error> {
        let mut usage = Usage::default();
        let old = id.loggable();
        let renewed = self.try_renew(old, &mut usage).await;
        let outcome = |session: &Session<T>| Outcome::Renewed { to: session.loggable_id().clone() };
        life::report(Some(old), &renewed, outcome, usage);
        found(renewed)
    }

    async fn try_renew<T: DeserializeOwned>(
        &self,
        old: &LoggableId,
        usage: &mut Usage,
    ) -> Result<Session<T>, Error> {
        let now = self.clock.now();
        let started = Instant::now();
        while started.elapsed() < RENEWAL_ATTEMPTS_WITHIN {
            let record = self.table.get(old, now, usage).await?;
            let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
            let new = self.new_id()?;
            if let Some(moved) = self.table.rename(old, new.loggable(), &record, now, usage).await? {
                return Ok(moved.into_session(new, data));
            }
        }
        Err(Error::Unavailable("the session was written to all the while".into()))
    }

    /// Ends a session at once. To end one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table.
    pub async fn clear(&self, id: &SessionId) -> Result<(), Error> {
        let mut usage = Usage::default();
        let id = id.loggable();
        let cleared = self.table.delete(id, self.clock.now(), &mut usage).await;
        life::report(Some(id), &cleared, |()| Outcome::Cleared, usage);
        found(cleared)?;
        Ok(())
    }

    fn new_id(&self) -> Result<SessionId, Error> {
        SessionId::generate(self.config.id_bytes).map_err(|error| Error::Randomness(error.into()))
    }

    fn check_timeouts(&self, idle: Option<u64>, absolute: Option<u64>) -> Result<(), Error> {
        let max = self.config.max_timeout_seconds;
        for (timeout, seconds) in [("idle_timeout_seconds", idle), ("absolute_timeout_seconds", absolute)] {
            if seconds.is_some_and(|seconds| !(1..=max).contains(&seconds)) {
                return Err(Error::TimeoutOutOfRange { timeout, max });
            }
        }
        Ok(())
    }

    fn encode<T: Serialize + ?Sized>(&self, data: &T) -> Result<String, Error> {
        let text = serde_json::to_string(data).map_err(Error::Serialize)?;
        let limit = self.config.max_data_bytes;
        if text.len() > limit {
            return Err(Error::DataTooLarge { size: text.len(), limit });
        }
        if depth(&text) > MAX_DATA_DEPTH {
            return Err(Error::DataTooDeep { limit: MAX_DATA_DEPTH });
        }
        Ok(text)
    }
}

/// A session that is absent is no failure to those who ask for it.
fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Record {
    fn into_session<T>(self, id: SessionId, data: T) -> Session<T> {
        Session {
            data,
            timeouts: self.timeouts(),
            id,
            created: self.created,
            deadlines: self.deadlines,
            etag: self.etag,
        }
    }
}

impl fmt::Debug for SessionManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionManager").field("config", &self.config).finish_non_exhaustive()
    }
}

/// How deep arrays and objects are nested in `json`, which must be valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => drop(bytes.next()), // what is escaped ends no string
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn depth_counts_what_is_open_at_once() {
        assert_eq!(depth("{}"), 1);
        assert_eq!(depth(r#"{"a":[{}],"b":[]}"#), 3);
        assert_eq!(depth(r#""[[[[""#), 0);
        assert_eq!(depth(r#"{"\"[[[":"\\","b":"\\\"{{"}"#), 1);
    }

    fn depth_of(value: &Value) -> usize {
        match value {
            Value::Array(values) => 1 + values.iter().map(depth_of).max().unwrap_or(0),
            Value::Object(members) => 1 + members.values().map(depth_of).max().unwrap_or(0),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn depth_agrees_with_a_parser(value in value()) {
            prop_assert_eq!(depth(&value.to_string()), depth_of(&value));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = "[\\\\\"\\[\\]{}a]{0,6}".prop_map(|text| json!(text));
        leaf.prop_recursive(6, 60, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[\\\\\"\\[{]{0,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }
}
