//! The five calls, and their rules.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use rand::TryRng;
use rand::rngs::SysRng;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::dynamodb::client;
use crate::dynamodb::table::{Record, Saved, Table};
use crate::error::{Absence, ConfigError, Error};
use crate::etag::{ETag, Preconditions};
use crate::id::{LoggableId, SessionId};
use crate::report::{Call, Event};
use crate::session::{Session, Update};
use crate::timeouts::{Deadlines, Timeouts};

/// How deep arrays and objects may be nested in a session's data.
///
/// serde_json reads 127 levels, the document around the data included; other readers stop at 64 to 1,000.
pub const MAX_DATA_DEPTH: usize = 100;

/// Collisions of random IDs of 128 bits or more are not expected; other attempts are for a table that is unavailable.
const ID_ATTEMPTS: u32 = 3;

/// A create starts another attempt only within this time: an attempt takes at most 2 seconds.
const CREATE_ATTEMPTS_WITHIN: Duration = Duration::from_millis(2500);

/// A renewal starts again when a save has come between its two requests, and a clear follows a renewed ID, but not after
/// this time: two more requests must fit into the function's timeout.
const MORE_REQUESTS_WITHIN: Duration = Duration::from_secs(1);

/// The longest pause before a second attempt. Before further ones it is longer.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Creates, loads, saves, renews and clears sessions.
///
/// Make one at start and share it. `T`, a session's data, is any type that serde reads and writes as JSON.
#[derive(Clone)]
pub struct SessionManager {
    table: Table,
    config: Arc<Config>,
    clock: Arc<dyn Clock>,
}

impl SessionManager {
    /// Connects to DynamoDB with the AWS SDK's own settings (Region, credentials, endpoint), except where
    /// `config` says otherwise. Nothing is sent yet.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted.
    pub async fn connect(config: Config) -> Result<Self, ConfigError> {
        config.validate()?;
        Self::new(client::from_aws_config(&config).await?, config)
    }

    /// Uses your client; `config.endpoint_url` and `config.region` have no effect.
    ///
    /// A client from [`aws_defaults`](crate::aws_defaults) has the timeouts and retries of [`connect`](Self::connect).
    /// Any other client works too, for example one with the SDK's own connector, which knows proxies.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted.
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

    /// The settings of this manager.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Creates a session with the default timeouts. Its ID is new: a caller cannot choose one.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`] and [`Error::Serialize`] for the data;
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table; [`Error::Randomness`].
    pub async fn create<T: Serialize>(&self, data: T) -> Result<Session<T>, Error> {
        self.create_with(data, self.config.default_timeouts()).await
    }

    /// Creates a session with its own timeouts.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and [`Error::TimeoutOutOfRange`].
    pub async fn create_with<T: Serialize>(&self, data: T, timeouts: Timeouts) -> Result<Session<T>, Error> {
        let mut call = Call::new(&*self.clock);
        let created = async {
            self.validate_timeouts(Some(timeouts.idle_seconds), Some(timeouts.absolute_seconds))?;
            let record = Record::new(self.encode(&data)?, timeouts.clamped(), call.now());
            let id = self.insert(&mut call, &record).await?;
            Ok(record.into_session(id, data))
        }
        .await;
        call.end(created, Event::Created)
    }

    /// Stores a record under a new ID. Each attempt has another one.
    async fn insert(&self, call: &mut Call<'_>, record: &Record) -> Result<SessionId, Error> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let id = self.new_id()?;
            call.session = Some(id.loggable().clone());
            let error = match self.table.insert(call, id.loggable(), record).await {
                Ok(true) => return Ok(id),
                Ok(false) => Error::NoFreeId,
                Err(error @ Error::Unavailable(_)) => error,
                Err(error) => return Err(error),
            };
            if attempt == ID_ATTEMPTS || started.elapsed() > CREATE_ATTEMPTS_WITHIN {
                return Err(error);
            }
            tokio::time::sleep(random_up_to(FIRST_PAUSE * attempt)?).await;
            attempt += 1;
        }
    }

    /// Loads a session, which counts as a use of it. `None`: it was never issued, was cleared, or has expired.
    ///
    /// # Errors
    /// [`Error::Deserialize`] when the data is not a `T`; [`Error::CorruptRecord`]; [`Error::Unavailable`] and
    /// [`Error::Refused`] from the table. An outage is never `None`.
    pub async fn load<T: DeserializeOwned>(&self, id: &SessionId) -> Result<Option<Session<T>>, Error> {
        let mut call = Call::of(id.loggable(), &*self.clock);
        let loaded = async {
            let record = match self.config.touch_interval_seconds {
                0 => self.table.touch_and_get(&mut call, id.loggable()).await?,
                interval => self.get_and_touch(&mut call, id.loggable(), interval).await?,
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
        id: &LoggableId,
        interval: u64,
    ) -> Result<Record, Error> {
        let mut record = self.table.get(call, id).await?;
        if record.deadlines.touch_is_due(record.idle_seconds, interval, call.now()) {
            match self.table.touch(call, id).await {
                Ok(now) => record.deadlines.idle = now.plus_seconds(record.idle_seconds),
                // The session was alive when it was read. A later load slides its deadline.
                Err(Error::Unavailable(_)) => {}
                // For example, it was cleared after it was read.
                Err(error) => return Err(error),
            }
        }
        Ok(record)
    }

    /// Saves a session's data, and the timeouts that were changed, even if another caller has saved since it was loaded.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the session is dead: a save does not bring it back. [`Error::DataTooLarge`],
    /// [`Error::DataTooDeep`], [`Error::Serialize`] and [`Error::TimeoutOutOfRange`] for what is to be saved;
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table.
    pub async fn save<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        self.save_session(session, Preconditions::default()).await
    }

    /// Saves a session unless another caller has saved other data since it was loaded.
    ///
    /// # Errors
    /// [`Error::Changed`] when another caller has: load it, make the change again, and save again. Otherwise those of
    /// [`save`](Self::save).
    pub async fn save_if_unchanged<T: Serialize>(&self, session: &mut Session<T>) -> Result<(), Error> {
        let preconditions = Preconditions::if_match(session.etag.clone());
        self.save_session(session, preconditions).await
    }

    async fn save_session<T: Serialize>(
        &self,
        session: &mut Session<T>,
        preconditions: Preconditions,
    ) -> Result<(), Error> {
        // An unchanged timeout is not written: another caller may have changed it since.
        let (new, stored) = (session.timeouts.clamped(), session.stored_timeouts);
        let changed = |new: u64, stored: u64| (new != stored).then_some(new);
        let update = Update {
            data: Some(&session.data),
            idle_timeout_seconds: changed(new.idle_seconds, stored.idle_seconds),
            absolute_timeout_seconds: changed(new.absolute_seconds, stored.absolute_seconds),
            preconditions,
        };
        let saved = self.apply(&session.id, update).await?;
        session.etag = saved.etag;
        (session.timeouts, session.stored_timeouts) = (new, new);
        session.deadlines = Deadlines::new(session.timeouts, session.created, saved.at);
        Ok(())
    }

    /// Changes parts of a session, which counts as a use of it, and returns the tag of its data.
    ///
    /// # Errors
    /// Those of [`save`](Self::save), and [`Error::Changed`] when a precondition does not hold.
    pub async fn update<T: Serialize>(&self, id: &SessionId, update: Update<T>) -> Result<ETag, Error> {
        Ok(self.apply(id, update).await?.etag)
    }

    async fn apply<T: Serialize>(&self, id: &SessionId, update: Update<T>) -> Result<Saved, Error> {
        let mut call = Call::of(id.loggable(), &*self.clock);
        let saved = match self.encode_update(&update) {
            Ok(update) => self.table.save(&mut call, id.loggable(), update).await,
            Err(error) => Err(error),
        };
        call.end(saved, Event::Saved)
    }

    /// Returns the error that [`update`](Self::update) would return for any session. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`], [`Error::Serialize`] and [`Error::TimeoutOutOfRange`].
    pub fn validate<T: Serialize>(&self, update: &Update<T>) -> Result<(), Error> {
        self.encode_update(update).map(drop)
    }

    fn encode_update<T: Serialize>(&self, update: &Update<T>) -> Result<Update<String>, Error> {
        let (idle, absolute) = (update.idle_timeout_seconds, update.absolute_timeout_seconds);
        self.validate_timeouts(idle, absolute)?;
        Ok(Update {
            data: update.data.as_ref().map(|data| self.encode(data)).transpose()?,
            idle_timeout_seconds: idle.map(|idle| idle.min(absolute.unwrap_or(idle))),
            absolute_timeout_seconds: absolute,
            preconditions: update.preconditions.clone(),
        })
    }

    /// Gives a session a new ID, with the same data and the same absolute deadline, and ends the old ID in the same
    /// transaction. `None`: the session is dead, or another renewal was faster.
    ///
    /// For a minute, a [`clear`](Self::clear) of the old ID ends the renewed session too: a user who logs out in one tab
    /// while another tab renews is logged out.
    ///
    /// Call it whenever the user's privileges change, above all at login
    /// (OWASP Session Management Cheat Sheet, "Renew the Session ID After Any Privilege Level Change").
    ///
    /// # Errors
    /// Those of [`load`](Self::load), and [`Error::Randomness`].
    pub async fn renew<T: DeserializeOwned>(&self, id: &SessionId) -> Result<Option<Session<T>>, Error> {
        self.renew_if(id, &Preconditions::default()).await
    }

    /// Renews a session if the preconditions hold.
    ///
    /// # Errors
    /// Those of [`renew`](Self::renew), and [`Error::Changed`] when a precondition does not hold.
    pub async fn renew_if<T: DeserializeOwned>(
        &self,
        id: &SessionId,
        preconditions: &Preconditions,
    ) -> Result<Option<Session<T>>, Error> {
        let old = id.loggable();
        let mut call = Call::of(old, &*self.clock);
        let renewed = async {
            let started = Instant::now();
            let mut longest_pause = FIRST_PAUSE;
            loop {
                let record = self.table.get(&mut call, old).await?;
                // The transaction's condition is that the tag is still this one.
                if !(preconditions.is_match(&record.etag) && preconditions.is_none_match(&record.etag)) {
                    return Err(Error::Changed);
                }
                let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
                let new = self.new_id()?;
                call.new_session = Some(new.loggable().clone());
                if let Some(moved) = self.table.rename(&mut call, old, new.loggable(), &record).await? {
                    return Ok(moved.into_session(new, data));
                }
                // DynamoDB bills a cancelled transaction. A random pause lets the other writes finish.
                tokio::time::sleep(random_up_to(longest_pause)?).await;
                longest_pause *= 2;
                if started.elapsed() > MORE_REQUESTS_WITHIN {
                    return Err(Error::Unavailable("other writes to the session did not stop".into()));
                }
            }
        }
        .await;
        found(call.end(renewed, Event::Renewed))
    }

    /// Ends a session at once. A session that does not exist is not an error.
    ///
    /// When the session was renewed less than a minute ago, this ends the session under its new ID.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table.
    pub async fn clear(&self, id: &SessionId) -> Result<(), Error> {
        self.clear_if(id, &Preconditions::default()).await
    }

    /// Ends a session if the preconditions hold. A session that does not exist is not an error.
    ///
    /// # Errors
    /// Those of [`clear`](Self::clear), and [`Error::Changed`] when a precondition does not hold.
    pub async fn clear_if(&self, id: &SessionId, preconditions: &Preconditions) -> Result<(), Error> {
        let mut call = Call::of(id.loggable(), &*self.clock);
        let cleared = self.clear_and_follow(&mut call, id.loggable(), preconditions).await;
        found(call.end(cleared, Event::Cleared))?;
        Ok(())
    }

    async fn clear_and_follow(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        preconditions: &Preconditions,
    ) -> Result<(), Error> {
        let started = Instant::now();
        let mut id = id.clone();
        loop {
            match self.table.delete(call, &id, preconditions).await {
                Ok(None) => return Ok(()),
                Ok(Some(renewed_to)) => id = renewed_to,
                // The ID is known: it was renewed, and the renewed session was cleared.
                Err(Error::NotFound(Absence::Unknown)) if call.new_session.is_some() => {
                    return Err(Error::NotFound(Absence::Superseded));
                }
                Err(error) => return Err(error),
            }
            call.new_session = Some(id.clone());
            if started.elapsed() > MORE_REQUESTS_WITHIN {
                return Err(Error::Unavailable(
                    "the session was renewed many times, or the table is slow".into(),
                ));
            }
        }
    }

    fn new_id(&self) -> Result<SessionId, Error> {
        SessionId::generate(self.config.id_bytes).map_err(|error| Error::Randomness(error.into()))
    }

    fn validate_timeouts(&self, idle: Option<u64>, absolute: Option<u64>) -> Result<(), Error> {
        let max = self.config.max_timeout_seconds;
        for (timeout, seconds) in [("idle_timeout_seconds", idle), ("absolute_timeout_seconds", absolute)] {
            if seconds.is_some_and(|seconds| !(1..=max).contains(&seconds)) {
                return Err(Error::TimeoutOutOfRange { timeout, max });
            }
        }
        Ok(())
    }

    fn encode<T: Serialize>(&self, data: &T) -> Result<String, Error> {
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

/// To the caller, a session that does not exist is `None` and not an error.
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
            stored_timeouts: self.timeouts(),
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

/// A random time, at most `longest`.
fn random_up_to(longest: Duration) -> Result<Duration, Error> {
    let random = SysRng.try_next_u32().map_err(|error| Error::Randomness(error.into()))?;
    Ok(longest.mul_f64(f64::from(random) / f64::from(u32::MAX)))
}

/// How deep arrays and objects are nested in `json`, which must be valid JSON.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' => drop(bytes.next()), // an escaped quote does not end the string
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
