//! The five calls, and their rules.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::dynamodb::client;
use crate::dynamodb::list::{ListAction, ListChange};
use crate::dynamodb::table::{Deleted, Record, Saved, Table, Transacted};
use crate::error::{Absence, ConfigError, Error};
use crate::etag::{ETag, Preconditions};
use crate::id::{LoggableId, SessionId};
use crate::pauses::Pauses;
use crate::report::{Call, Event};
use crate::session::{CreateOptions, Renewal, Session, Update};
use crate::subject::Subject;
use crate::timeouts::Deadlines;

/// How deep arrays and objects may be nested in a session's data.
///
/// serde_json reads 127 levels, the document around the data included; other readers stop at 64 to 1,000.
pub const MAX_DATA_DEPTH: usize = 100;

/// Collisions of random IDs of 128 bits or more are not expected; other attempts are for a table that is unavailable.
const ID_ATTEMPTS: u32 = 3;

/// A create starts another attempt only within this time: an attempt takes at most 2 seconds.
const CREATE_ATTEMPTS_WITHIN: Duration = Duration::from_millis(2500);

/// A renewal starts again when a save has come between its two requests, but not after this time: two more requests must
/// fit into the function's timeout.
const MORE_REQUESTS_WITHIN: Duration = Duration::from_secs(1);

/// For this long a clear of a renewed ID ends the session under its new one. Later it does not, or an ID that was planted
/// before a login could end the session.
const TOMBSTONE_SECONDS: u64 = 60;

/// Creates, loads, saves, renews and clears sessions.
///
/// Make one at start and share it. `T`, a session's data, is any type that serde reads and writes as JSON.
#[derive(Clone)]
pub struct SessionManager {
    pub(crate) table: Table,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl SessionManager {
    /// Connects to DynamoDB with the AWS SDK's own settings (Region, credentials, endpoint), except where
    /// `config` says otherwise. Nothing is sent yet.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted. There is no Region.
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
            table: Table::new(client, config.table_name.clone(), config.not_before, config.seal),
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
        self.create_with(data, CreateOptions::default()).await
    }

    /// Creates a session of `subject` with the default timeouts, for example at a login. It is in the list of the subject's
    /// sessions from then on.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), and [`Error::TooManySessions`].
    pub async fn create_for<T: Serialize>(&self, data: T, subject: Subject) -> Result<Session<T>, Error> {
        self.create_with(data, CreateOptions { subject: Some(subject), ..CreateOptions::default() }).await
    }

    /// Creates a session with its own [`Timeouts`](crate::Timeouts), with a subject, or both.
    ///
    /// # Errors
    /// Those of [`create_for`](Self::create_for), and [`Error::TimeoutOutOfRange`].
    pub fn create_with<T: Serialize>(
        &self,
        data: T,
        options: impl Into<CreateOptions>,
    ) -> impl Future<Output = Result<Session<T>, Error>> {
        self.create_under(None, data, options.into()) // without a future around it: one more is too deep for rustc
    }

    /// For the stores of frameworks that make session IDs themselves, such as express-session: creates a session under a
    /// given ID, if no record has it.
    ///
    /// Its holder has the session: it must be random, from this program, and never from a request. An ID that came
    /// with a request is loaded, and if no session has it, another one is made.
    ///
    /// # Errors
    /// [`Error::IdInUse`], and those of [`create_with`](Self::create_with). After [`Error::Unavailable`] it is not known
    /// whether the session exists.
    pub async fn create_under_given_id<T: Serialize>(
        &self,
        id: &SessionId,
        data: T,
        options: impl Into<CreateOptions>,
    ) -> Result<Session<T>, Error> {
        self.create_under(Some(id), data, options.into()).await
    }

    async fn create_under<T: Serialize>(
        &self,
        id: Option<&SessionId>,
        data: T,
        CreateOptions { timeouts, subject, absolute_deadline }: CreateOptions,
    ) -> Result<Session<T>, Error> {
        let mut call = Call::new(&*self.clock).for_subject(subject.as_ref());
        let mut timeouts = timeouts.unwrap_or(self.config.default_timeouts());
        if let Some(deadline) = absolute_deadline {
            timeouts.absolute_seconds = timeouts.absolute_seconds.min(deadline.seconds_since(call.now()));
        }
        let created = async {
            self.validate_timeouts(Some(timeouts.idle_seconds), Some(timeouts.absolute_seconds))?;
            let mut record = Record::new(self.encode(&data)?, timeouts.clamped(), subject, call.now());
            let id = self.insert(&mut call, id, &mut record).await?;
            Ok(record.into_session(id, data))
        }
        .await;
        call.end(created, Event::Created)
    }

    /// Stores a record under the given ID, or under a new one: then each attempt has another.
    async fn insert(
        &self,
        call: &mut Call<'_>,
        given: Option<&SessionId>,
        record: &mut Record,
    ) -> Result<SessionId, Error> {
        let busy = || Error::Unavailable("other logins of the subject did not stop".into());
        let mut list_expires = self.list_expires(call);
        let mut pauses = Pauses::default();
        let mut attempts_left = ID_ATTEMPTS;
        loop {
            let id = given.map_or_else(|| self.new_id(), |id| Ok(id.clone()))?;
            call.session = Some(id.loggable().clone());
            let error = match self.insert_once(call, &id, record, list_expires).await {
                Ok(Transacted::Done) => return Ok(id),
                Ok(Transacted::ListRefused(_, list)) => {
                    self.make_room(call, list, &mut list_expires).await?;
                    if call.elapsed() <= CREATE_ATTEMPTS_WITHIN {
                        continue;
                    }
                    busy()
                }
                Ok(Transacted::Conflict) => busy(),
                Ok(Transacted::SessionRefused(_)) if given.is_some() => return Err(Error::IdInUse),
                Ok(Transacted::SessionRefused(_)) => {
                    attempts_left -= 1;
                    Error::NoFreeId
                }
                // A second attempt with the same ID could not tell the record of the first one from that of another program.
                Err(error @ Error::Unavailable(_)) if given.is_none() => {
                    attempts_left -= 1;
                    error
                }
                Err(error) => return Err(error),
            };
            if attempts_left == 0 || call.elapsed() > CREATE_ATTEMPTS_WITHIN {
                return Err(error);
            }
            pauses.next().await?;
        }
    }

    async fn insert_once(
        &self,
        call: &mut Call<'_>,
        id: &SessionId,
        record: &mut Record,
        list_expires: Timestamp,
    ) -> Result<Transacted, Error> {
        let Some(subject) = record.subject.clone() else {
            let is_stored = self.table.insert(call, id, record).await?;
            return Ok(if is_stored { Transacted::Done } else { Transacted::SessionRefused(None) });
        };
        let action = ListAction::Add(id.loggable(), record.deadlines.absolute, self.config.max_per_subject);
        let change = ListChange { subject: &subject, action };
        self.table.insert_listed(call, id, record, change, list_expires).await
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
    pub async fn peek<T: DeserializeOwned>(&self, id: &SessionId) -> Result<Option<Session<T>>, Error> {
        let mut call = Call::of(id.loggable(), &*self.clock);
        let loaded = async {
            let record = self.table.get(&mut call, id).await?;
            let data = serde_json::from_str(&record.data).map_err(Error::Deserialize)?;
            Ok(record.into_session(id.clone(), data))
        }
        .await;
        found(call.end(loaded, Event::Loaded))
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
        let max_seconds = self.config.max_timeout_seconds;
        let saved = match self.encode_update(&update) {
            Ok(update) => self.table.save(&mut call, id, update, max_seconds).await,
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

    /// Returns the error that any call would return for this data. Nothing is sent.
    ///
    /// # Errors
    /// [`Error::DataTooLarge`], [`Error::DataTooDeep`] and [`Error::Serialize`].
    pub fn validate_data<T: Serialize>(&self, data: &T) -> Result<(), Error> {
        self.encode(data).map(drop)
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
        self.renew_encoded(id, Renewal::default()).await
    }

    /// Renews a session, and makes it the session of `subject`: a login. It leaves the list of the subject that it had, and
    /// is in the list of this one from then on.
    ///
    /// # Errors
    /// Those of [`renew`](Self::renew), and [`Error::TooManySessions`].
    pub async fn renew_for<T: DeserializeOwned>(
        &self,
        id: &SessionId,
        subject: Subject,
    ) -> Result<Option<Session<T>>, Error> {
        self.renew_encoded(id, Renewal { subject: Some(subject), ..Renewal::default() }).await
    }

    /// Renews a session with new data, for another subject, or if preconditions hold: all of it in one transaction.
    ///
    /// # Errors
    /// Those of [`renew_for`](Self::renew_for); [`Error::DataTooLarge`], [`Error::DataTooDeep`] and [`Error::Serialize`] for
    /// the data; [`Error::Changed`] when a precondition does not hold.
    pub async fn renew_with<T: Serialize + DeserializeOwned>(
        &self,
        id: &SessionId,
        renewal: Renewal<T>,
    ) -> Result<Option<Session<T>>, Error> {
        let Renewal { data, subject, preconditions } = renewal;
        match data.map(|data| self.encode(&data)).transpose() {
            Ok(data) => self.renew_encoded(id, Renewal { data, subject, preconditions }).await,
            Err(error) => Call::of(id.loggable(), &*self.clock).end(Err(error), Event::Renewed),
        }
    }

    async fn renew_encoded<T: DeserializeOwned>(
        &self,
        id: &SessionId,
        renewal: Renewal<String>,
    ) -> Result<Option<Session<T>>, Error> {
        let mut call = Call::of(id.loggable(), &*self.clock).for_subject(renewal.subject.as_ref());
        let renewed = async {
            let mut list_expires = self.list_expires(&call);
            let mut pauses = Pauses::default();
            loop {
                let record = self.table.get(&mut call, id).await?;
                // The transaction's condition is that the tag is still this one.
                if !renewal.preconditions.hold(&record.etag) {
                    return Err(Error::Changed);
                }
                let mut moved = record.renewed(&renewal, call.now());
                let data = serde_json::from_str(&moved.data).map_err(Error::Deserialize)?;
                let new = self.new_id()?;
                call.new_session = Some(new.loggable().clone());
                let (before, subject) = ((id.loggable(), &record), moved.subject.clone());
                let changes = self.list_changes(before, (new.loggable(), subject.as_ref()));
                let after = (&new, &mut moved);
                match self.table.rename(&mut call, before, after, &changes, list_expires).await? {
                    Transacted::Done => return Ok(moved.into_session(new, data)),
                    Transacted::ListRefused(place, list) => {
                        match changes.get(place).map(|change| change.action) {
                            Some(ListAction::Add(..)) => {
                                self.make_room(&mut call, list, &mut list_expires).await?;
                            }
                            _ => self.keep_listed(&mut call, id.loggable(), list, &mut list_expires).await?,
                        }
                    }
                    // DynamoDB bills a cancelled transaction. A random pause lets the other writes finish.
                    Transacted::SessionRefused(_) | Transacted::Conflict => pauses.next().await?,
                }
                if call.elapsed() > MORE_REQUESTS_WITHIN {
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
    /// True: this call has ended a live session. False: there was none, or the response of DynamoDB was lost, and a retry did
    /// not find it any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Refused`] from the table.
    pub async fn clear(&self, id: &SessionId) -> Result<bool, Error> {
        self.clear_if(id, &Preconditions::default()).await
    }

    /// Ends a session if the preconditions hold. A session that does not exist is not an error.
    ///
    /// # Errors
    /// Those of [`clear`](Self::clear), and [`Error::Changed`] when a precondition does not hold.
    pub async fn clear_if(&self, id: &SessionId, preconditions: &Preconditions) -> Result<bool, Error> {
        let mut call = Call::of(id.loggable(), &*self.clock);
        let cleared = self.clear_and_follow(&mut call, id.loggable(), preconditions, TOMBSTONE_SECONDS).await;
        Ok(found(call.end(cleared, Event::Cleared))?.unwrap_or(false))
    }

    /// Ends a session, or the one that renewals have made of it, if each is at most `max_tombstone_age` seconds old. False: an
    /// earlier attempt of the SDK seems to have done it.
    pub(crate) async fn clear_and_follow(
        &self,
        call: &mut Call<'_>,
        id: &LoggableId,
        preconditions: &Preconditions,
        max_tombstone_age: u64,
    ) -> Result<bool, Error> {
        let mut id = id.clone();
        loop {
            match self.table.delete(call, &id, preconditions, max_tombstone_age).await {
                Ok(Deleted::Ended) => return Ok(true),
                Ok(Deleted::InDoubt) => return Ok(false),
                Ok(Deleted::RenewedTo(renewed_to)) => id = renewed_to,
                // The ID is known: it was renewed, and the renewed session was cleared.
                Err(Error::NotFound(Absence::Unknown)) if call.new_session.is_some() => {
                    return Err(Error::NotFound(Absence::Superseded));
                }
                Err(error) => return Err(error),
            }
            call.new_session = Some(id.clone());
            call.require_time()?;
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
pub(crate) fn found<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Record {
    /// The record of the renewed session.
    fn renewed(&self, renewal: &Renewal<String>, now: Timestamp) -> Self {
        let data = renewal.data.as_ref().unwrap_or(&self.data).clone();
        let subject = renewal.subject.as_ref().or(self.subject.as_ref()).cloned();
        let deadlines = Deadlines::new(self.timeouts(), self.created, now);
        Self { data, etag: self.etag.clone(), subject, deadlines, ..*self }
    }

    fn into_session<T>(self, id: SessionId, data: T) -> Session<T> {
        Session {
            data,
            timeouts: self.timeouts(),
            stored_timeouts: self.timeouts(),
            id,
            subject: self.subject,
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
