//! The store, for any of the releases of tower-sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::tower_sessions::session::{self, Id, Record};
use super::tower_sessions::session_store::{Error, Result};
use super::tower_sessions::{Session, SessionStore};
use async_trait::async_trait;
use devices::Client;
use dynamodb_web_session as shared;
use dynamodb_web_session::{
    Config, ConfigError, CreateOptions, Device, ListedSession, LoggableId, MalformedDevice, MalformedSubject,
    SessionId, SessionManager, Subject, SubjectChange, Timestamp, Update, chain,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The name of the subject in a session's data: whose session it is. [`log_in`] sets it.
pub const SUBJECT: &str = "dynamodb-web-session/subject";

/// The name of the device in a session's data: what its user recognises the session by. [`note_device`] sets it.
pub const DEVICE: &str = "dynamodb-web-session/device";

/// The name under which the data of a session in memory says which record it is, for the create that follows a `cycle_id`.
const ORIGIN: &str = "dynamodb-web-session/origin";

/// tower-sessions asks for this expiry when the layer has none.
const DEFAULT_EXPIRY_SECONDS: u64 = 14 * 24 * 60 * 60;

/// How long after the delete of a session its data may be created under another ID: they are two calls of one `cycle_id`.
const CYCLE_WITHIN: Duration = Duration::from_secs(60);

type Data = HashMap<String, Value>;

/// A store for tower-sessions in DynamoDB.
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    sessions: SessionManager,
    /// Whose a session is, from its data.
    subject: Option<SubjectOf>,
    /// The sessions that one request of this program has recently ended, and no second one.
    ended: Arc<Mutex<HashMap<LoggableId, Instant>>>,
}

/// Whose a session is, from its data.
type SubjectOf = fn(&HashMap<String, Value>) -> Option<String>;

/// The session manager makes IDs of another length than tower-sessions.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("an ID of tower-sessions has 16 bytes: set `id_bytes` to 16; it is {0}")]
pub struct WrongIdLength(usize);

impl DynamoDbStore {
    /// Connects to DynamoDB with the AWS SDK's own settings, except where `config` says otherwise. Nothing is sent yet. IDs
    /// have 16 bytes, whatever `config` says.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted. There is no Region.
    pub async fn connect(config: Config) -> std::result::Result<Self, ConfigError> {
        Ok(Self::with(SessionManager::connect(Config { id_bytes: 16, ..config }).await?))
    }

    /// Uses your session manager.
    ///
    /// # Errors
    /// Its IDs do not have 16 bytes.
    pub fn new(sessions: SessionManager) -> std::result::Result<Self, WrongIdLength> {
        match sessions.config().id_bytes {
            16 => Ok(Self::with(sessions)),
            bytes => Err(WrongIdLength(bytes)),
        }
    }

    fn with(sessions: SessionManager) -> Self {
        Self { sessions, subject: None, ended: Arc::default() }
    }

    /// Says whose a session is, from its data, where the application does not call [`log_in`]. For axum-login, whose data names the
    /// user's ID:
    ///
    /// ```
    /// # use tower_sessions_dynamodb_web_store::DynamoDbStore;
    /// # fn of(store: DynamoDbStore) -> DynamoDbStore {
    /// store.with_subject(|data| Some(data.get("axum-login.data")?.get("user_id")?.as_i64()?.to_string()))
    /// # }
    /// ```
    #[must_use]
    pub fn with_subject(mut self, subject: SubjectOf) -> Self {
        self.subject = Some(subject);
        self
    }

    /// The session manager, for what tower-sessions does not know: lists of a subject's sessions, for example.
    #[must_use]
    pub fn sessions(&self) -> &SessionManager {
        &self.sessions
    }

    /// The live sessions of a subject, the last used first. That of `current` comes with `true`.
    ///
    /// # Errors
    /// [`Error::Backend`]: the subject does not have 1 to 256 bytes, or the table failed.
    pub async fn sessions_of(&self, subject: &str, current: &Session) -> Result<Vec<(ListedSession, bool)>> {
        let listed = self.sessions.sessions_of(&parse_subject(subject)?).await.map_err(store_error)?;
        let current = current.id().map(to_session_id).transpose()?;
        let is_current = |listed: &ListedSession| {
            current.as_ref().is_some_and(|current| *current.loggable() == listed.loggable_id)
        };
        Ok(listed.into_iter().map(|listed| (listed.clone(), is_current(&listed))).collect())
    }

    /// Ends one session of a subject, by its name in the list. Returns whether this call has ended it. The subject must be the one who
    /// is logged in, and not what the request says.
    ///
    /// # Errors
    /// [`Error::Backend`]: the subject does not have 1 to 256 bytes, or the table failed.
    pub async fn revoke(&self, subject: &str, name: &str) -> Result<bool> {
        self.sessions.revoke_named(&parse_subject(subject)?, name).await.map_err(store_error)
    }

    /// Ends all sessions of a subject but this one.
    ///
    /// # Errors
    /// [`Error::Backend`]: the subject does not have 1 to 256 bytes, or the table failed.
    pub async fn log_out_everywhere_else(&self, subject: &str, current: &Session) -> Result<()> {
        let current = current.id().map(to_session_id).transpose()?;
        let except = current.as_ref().map(SessionId::loggable);
        self.sessions.revoke_all(&parse_subject(subject)?, except).await.map_err(store_error)
    }

    /// Whether the user of a session has logged in within so many seconds. Ask before something serious.
    ///
    /// # Errors
    /// [`Error::Backend`]: the table failed.
    pub async fn is_logged_in_within(&self, session: &Session, seconds: u64) -> Result<bool> {
        let Some(id) = session.id() else { return Ok(false) };
        let record = self.sessions.peek::<Data>(&to_session_id(id)?).await.map_err(store_error)?;
        Ok(record.is_some_and(|record| self.sessions.is_logged_in_within(&record, seconds)))
    }

    /// Ends all sessions of a subject. When it returns, none of them can be loaded any more.
    ///
    /// # Errors
    /// [`Error::Backend`]: the subject does not have 1 to 256 bytes, or the table failed.
    pub async fn log_out_everywhere(&self, subject: &str) -> Result<()> {
        self.sessions.revoke_all(&parse_subject(subject)?, None).await.map_err(store_error)
    }

    /// The idle timeout that stands for the moment at which tower-sessions wants a session to expire.
    fn idle_seconds(&self, expiry: OffsetDateTime) -> u64 {
        // Rounded up: between the layer and this store a little of a second has passed.
        let left = (expiry - OffsetDateTime::now_utc()).as_seconds_f64().ceil() as u64;
        match left {
            DEFAULT_EXPIRY_SECONDS => self.sessions.config().default_timeouts().idle_seconds,
            left => left.min(self.sessions.config().max_timeout_seconds),
        }
    }

    /// Whether the `cycle_id` that creates a session in place of this one has ended it. One that has created first, as later
    /// releases of tower-sessions do, ends it here.
    async fn is_ended_by_cycle(&self, id: &LoggableId) -> Result<bool> {
        let is_ended = self.ended().remove(id).is_some();
        Ok(is_ended || self.sessions.revoke(id).await.map_err(store_error)?)
    }

    /// Takes the subject out of the data of a record.
    fn take_subject(&self, data: &mut Data) -> Result<Option<Subject>> {
        match data.remove(SUBJECT) {
            None => {
                self.subject.and_then(|subject| subject(data)).map(|text| parse_subject(&text)).transpose()
            }
            Some(Value::String(text)) => parse_subject(&text).map(Some),
            Some(_) => Err(Error::Encode("the subject is a text".into())),
        }
    }

    /// Takes the device out of the data of a record.
    fn take_device(&self, data: &mut Data) -> Result<Device> {
        let noted = data.remove(DEVICE).filter(|_| self.sessions.config().labels);
        let Some(noted) = noted else { return Ok(Device::default()) };
        let [label, context]: [Option<String>; 2] =
            serde_json::from_value(noted).map_err(|error| Error::Encode(error.to_string()))?;
        let mut device = Device::default();
        let refused = |error: MalformedDevice| Error::Encode(error.to_string());
        if let Some(label) = label {
            device = device.with_label(label).map_err(refused)?;
        }
        if let Some(context) = context {
            device = device.with_context(context).map_err(refused)?;
        }
        Ok(device)
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<LoggableId, Instant>> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, at| at.elapsed() < CYCLE_WITHIN);
        ended
    }
}

/// Gives a session a new ID, and makes it one of the subject's, such as a user's ID. The subject is stored at the end of the
/// request, and so is [`TooManySessions`](shared::Error::TooManySessions) found then.
///
/// # Errors
/// The store failed.
pub async fn log_in(session: &Session, subject: &str) -> std::result::Result<(), session::Error> {
    session.cycle_id().await?;
    session.insert(SUBJECT, subject).await
}

/// Notes where a request comes from, the browser and its system and the address, for the list of its user's sessions. Call it
/// beside [`log_in`].
///
/// # Errors
/// The store failed.
pub async fn note_device(session: &Session, client: &Client) -> std::result::Result<(), session::Error> {
    let device = client.device();
    session.insert(DEVICE, [device.label(), device.context()]).await
}

/// Whose session it is.
///
/// # Errors
/// The store failed.
pub async fn subject(session: &Session) -> std::result::Result<Option<String>, session::Error> {
    session.get(SUBJECT).await
}

#[async_trait]
impl SessionStore for DynamoDbStore {
    async fn create(&self, record: &mut Record) -> Result<()> {
        let mut data = record.data.clone();
        let origin = data.remove(ORIGIN).map(Origin::from_json);
        let subject = self.take_subject(&mut data)?;
        let device = self.take_device(&mut data)?;
        let absolute_deadline = match origin {
            None => None,
            // What a session held lives on only if the `cycle_id` has ended it, and not a logout meanwhile.
            Some(Some(origin)) if self.is_ended_by_cycle(&origin.id).await? => Some(origin.absolute_deadline),
            Some(_) => return Err(Error::Backend("the session has ended".into())),
        };
        let options = CreateOptions {
            subject,
            idle_timeout_seconds: Some(self.idle_seconds(record.expiry_date)),
            absolute_deadline,
            device,
            ..CreateOptions::default()
        };
        let session = self.sessions.create_with(data, options).await.map_err(store_error)?;
        record.id = to_tower_id(session.id())?;
        Origin::of(&session).note(&mut record.data);
        Ok(())
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let id = to_session_id(record.id)?;
        let mut data = record.data.clone();
        let origin = data.remove(ORIGIN).and_then(Origin::from_json);
        let subject = self.take_subject(&mut data)?;
        let device = self.take_device(&mut data)?;
        let change = match (&origin, subject) {
            (Some(origin), subject) if subject.as_ref().map(Subject::digest) == origin.subject => {
                SubjectChange::Keep
            }
            // `Session::clear` has taken out all that this store has put in.
            (_, None) => SubjectChange::Remove,
            (_, Some(subject)) => {
                tracing::warn!(
                    "a session got a user and kept its ID, which somebody may have planted: call `log_in`, or `cycle_id` before"
                );
                SubjectChange::To(subject)
            }
        };
        if record.expiry_date <= OffsetDateTime::now_utc() {
            return self.delete(&record.id).await;
        }
        let update = Update {
            data: Some(data),
            idle_timeout_seconds: Some(self.idle_seconds(record.expiry_date)),
            subject: change,
            device,
            ..Update::default()
        };
        self.sessions.update(&id, update).await.map_err(store_error)?;
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let loaded = self.sessions.load::<Data>(&to_session_id(*id)?).await.map_err(store_error)?;
        let Some(session) = loaded else { return Ok(None) };
        let expires = session.expires().epoch_seconds();
        let expiry_date =
            i64::try_from(expires).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        let expiry_date = expiry_date.ok_or_else(|| Error::Decode("the deadline is out of range".into()))?;
        let origin = Origin::of(&session);
        let subject = session.subject().map(|subject| subject.as_str().to_owned());
        let mut data = session.data;
        data.extend(subject.map(|subject| (SUBJECT.to_owned(), subject.into())));
        origin.note(&mut data);
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let id = to_session_id(*id)?;
        if self.sessions.clear(&id).await.map_err(store_error)? {
            self.ended().insert(id.loggable().clone(), Instant::now());
        } else {
            // Another request has ended it, which may have been a logout: no `cycle_id` goes on.
            self.ended().remove(id.loggable());
        }
        Ok(())
    }
}

/// What the data in memory says of the record that it came from. It does not give access to it.
struct Origin {
    id: LoggableId,
    absolute_deadline: Timestamp,
    /// The digest of the subject.
    subject: Option<String>,
}

impl Origin {
    fn of(session: &shared::Session<Data>) -> Self {
        Self {
            id: session.loggable_id().clone(),
            absolute_deadline: session.absolute_deadline(),
            subject: session.subject().map(Subject::digest),
        }
    }

    fn note(self, data: &mut Data) {
        let Self { id, absolute_deadline, subject } = self;
        let origin = json!([id, absolute_deadline.epoch_seconds(), subject]);
        data.insert(ORIGIN.to_owned(), origin);
    }

    fn from_json(value: Value) -> Option<Self> {
        let (id, absolute_deadline, subject): (String, u64, Option<String>) =
            serde_json::from_value(value).ok()?;
        let absolute_deadline = Timestamp::from_epoch_seconds(absolute_deadline);
        Some(Self { id: id.parse().ok()?, absolute_deadline, subject })
    }
}

fn parse_subject(text: &str) -> Result<Subject> {
    text.parse().map_err(|error: MalformedSubject| Error::Backend(error.to_string()))
}

fn to_session_id(id: Id) -> Result<SessionId> {
    id.to_string().parse().map_err(|error: shared::MalformedSessionId| Error::Backend(error.to_string()))
}

fn to_tower_id(id: &SessionId) -> Result<Id> {
    id.expose().parse().map_err(|_| Error::Backend("an ID of tower-sessions has 16 bytes".into()))
}

fn store_error(error: shared::Error) -> Error {
    match &error {
        shared::Error::DataTooLarge { .. }
        | shared::Error::DataTooDeep { .. }
        | shared::Error::Serialize(_) => Error::Encode(chain(&error)),
        shared::Error::Deserialize(_) | shared::Error::CorruptRecord(_) => Error::Decode(chain(&error)),
        _ => Error::Backend(chain(&error)),
    }
}
