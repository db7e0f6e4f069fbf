#![doc = include_str!("../README.md")]

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_session::storage::{LoadError, SaveError, SessionKey, SessionStore, UpdateError};
use anyhow::anyhow;
use dynamodb_web_session::{
    Config, ConfigError, CreateOptions, Error, LogIn, LoggableId, Session, SessionId, SessionManager,
    Subject, SubjectChange, Timestamp, Update,
};
use serde_json::{Value, json};
use time::Duration as Ttl;

/// The name under which a session in memory says which record it is, for the save that follows a `renew`.
const ORIGIN: &str = "dynamodb-web-session/origin";

/// How long after the delete of a session its data may be saved under another ID: they are two calls of one `renew`.
const RENEW_WITHIN: Duration = Duration::from_secs(60);

type State = HashMap<String, String>;

/// A store for actix-session in DynamoDB.
///
/// Clones share their connections.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    sessions: SessionManager,
    subject_key: Option<Arc<str>>,
    /// The sessions that one request of this program has recently ended, and no second one.
    ended: Arc<Mutex<HashMap<LoggableId, Instant>>>,
}

/// The method [`DynamoDbStore::with_subject_key`] was not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store does not know the users of its sessions: call with_subject_key")]
pub struct NoSubjectKey;

impl DynamoDbStore {
    /// Connects to DynamoDB with the AWS SDK's own settings, except where `config` says otherwise. Nothing is sent yet.
    ///
    /// # Errors
    /// The first setting in `config` that is not accepted. There is no Region.
    pub async fn connect(config: Config) -> Result<Self, ConfigError> {
        Ok(Self::new(SessionManager::connect(config).await?))
    }

    /// Uses your session manager.
    #[must_use]
    pub fn new(sessions: SessionManager) -> Self {
        Self { sessions, subject_key: None, ended: Arc::default() }
    }

    /// Sessions whose state has this key are those of the user whom its value names: a text or a number. A session that gets a user
    /// gets a new ID, and all sessions of a user can be ended.
    #[must_use]
    pub fn with_subject_key(mut self, key: &str) -> Self {
        self.subject_key = Some(key.into());
        self
    }

    /// The session manager, for what actix-session does not know: lists of a user's sessions, for example.
    #[must_use]
    pub fn sessions(&self) -> &SessionManager {
        &self.sessions
    }

    /// Ends all sessions of a user. When it returns, none of them can be loaded any more.
    ///
    /// # Errors
    /// [`NoSubjectKey`]; the user's text does not have 1 to 256 bytes; the table failed.
    pub async fn log_out_everywhere(&self, user: &str) -> Result<(), anyhow::Error> {
        if self.subject_key.is_none() {
            return Err(NoSubjectKey.into());
        }
        Ok(self.sessions.revoke_all(&user.parse()?, None).await?)
    }

    /// Whose session it is, from its state, whose values are JSON.
    fn subject(&self, state: &State) -> Result<Option<Subject>, anyhow::Error> {
        let value = self.subject_key.as_ref().and_then(|key| state.get(&**key));
        let text = match value.map(|json| serde_json::from_str(json)).transpose()? {
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            None | Some(Value::Null) => return Ok(None),
            Some(_) => return Err(anyhow!("the user of a session is a text or a number")),
        };
        Ok(Some(text.parse()?))
    }

    /// What a state is that has no more than the user in it: for a login whose old session has ended.
    fn only_subject(&self, state: &State) -> State {
        let is_subject = |name: &String| self.subject_key.as_deref() == Some(name.as_str());
        state
            .iter()
            .filter(|(name, _)| is_subject(name))
            .map(|(name, json)| (name.clone(), json.clone()))
            .collect()
    }

    fn idle_seconds(&self, ttl: &Ttl) -> u64 {
        let seconds = u64::try_from(ttl.whole_seconds()).unwrap_or(0);
        seconds.clamp(1, self.sessions.config().max_timeout_seconds)
    }

    fn ended(&self) -> MutexGuard<'_, HashMap<LoggableId, Instant>> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.retain(|_, at| at.elapsed() < RENEW_WITHIN);
        ended
    }
}

impl SessionStore for DynamoDbStore {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        // The lifetime is extended by `update_ttl`, if the middleware is told to.
        match self.sessions.peek::<State>(key.as_ref()).await {
            Ok(None) => Ok(None),
            Ok(Some(session)) => {
                let origin = Origin::of(&session);
                let mut state = session.data;
                state.insert(ORIGIN.to_owned(), origin.to_json());
                Ok(Some(state))
            }
            Err(error @ (Error::Deserialize(_) | Error::CorruptRecord(_))) => {
                Err(LoadError::Deserialization(error.into()))
            }
            Err(error) => Err(LoadError::Other(error.into())),
        }
    }

    async fn save(&self, mut state: State, ttl: &Ttl) -> Result<SessionKey, SaveError> {
        let absolute_deadline = match state.remove(ORIGIN) {
            None => None,
            // What a session held lives on only if this `renew` has ended it, and not a logout meanwhile.
            Some(json) => match Origin::from_json(&json) {
                Some(origin) if self.ended().remove(&origin.id).is_some() => Some(origin.absolute_deadline),
                _ => return Err(SaveError::Other(anyhow!("the session has ended"))),
            },
        };
        let options = CreateOptions {
            subject: self.subject(&state).map_err(SaveError::Serialization)?,
            idle_timeout_seconds: Some(self.idle_seconds(ttl)),
            absolute_deadline,
            ..CreateOptions::default()
        };
        let created = self.sessions.create_with(state, options).await;
        key_of(created.map_err(|error| SaveError::Other(error.into()))?.id()).map_err(SaveError::Other)
    }

    async fn update(&self, key: SessionKey, mut state: State, ttl: &Ttl) -> Result<SessionKey, UpdateError> {
        let origin = state.remove(ORIGIN).and_then(|json| Origin::from_json(&json));
        let subject = self.subject(&state).map_err(UpdateError::Serialization)?;
        let idle_timeout_seconds = Some(self.idle_seconds(ttl));
        let other = |error: Error| UpdateError::Other(error.into());
        let change = match (origin.and_then(|origin| origin.subject), subject) {
            (before, Some(subject)) if before.as_deref() != Some(&*subject.digest()) => {
                let data_if_new = Some(self.only_subject(&state));
                let login =
                    LogIn { data: Some(state), data_if_new, idle_timeout_seconds, ..LogIn::default() };
                let user = self.sessions.log_in(key.as_ref(), subject, login).await.map_err(other)?;
                return key_of(user.session.id()).map_err(UpdateError::Other);
            }
            (Some(_), None) => SubjectChange::Remove,
            _ => SubjectChange::Keep,
        };
        let update = Update { data: Some(state), idle_timeout_seconds, subject: change, ..Update::default() };
        self.sessions.update(key.as_ref(), update).await.map_err(other)?;
        Ok(key)
    }

    async fn update_ttl(&self, key: &SessionKey, ttl: &Ttl) -> Result<(), anyhow::Error> {
        let idle_timeout_seconds = Some(self.idle_seconds(ttl));
        let update = Update::<State> { idle_timeout_seconds, ..Update::default() };
        match self.sessions.update(key.as_ref(), update).await {
            Ok(_) | Err(Error::NotFound(_)) => Ok(()), // it has ended meanwhile
            Err(error) => Err(error.into()),
        }
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        let Ok(id) = key.as_ref().parse::<SessionId>() else { return Ok(()) };
        if self.sessions.clear(&id).await? {
            self.ended().insert(id.loggable().clone(), Instant::now());
        } else {
            // Another request has ended it, which may have been a logout: no `renew` goes on.
            self.ended().remove(id.loggable());
        }
        Ok(())
    }
}

fn key_of(id: &SessionId) -> Result<SessionKey, anyhow::Error> {
    Ok(id.expose().to_owned().try_into()?)
}

/// What the state in memory says of the record that it came from. It does not give access to it.
struct Origin {
    id: LoggableId,
    absolute_deadline: Timestamp,
    /// The digest of the subject.
    subject: Option<String>,
}

impl Origin {
    fn of(session: &Session<State>) -> Self {
        Self {
            id: session.loggable_id().clone(),
            absolute_deadline: session.absolute_deadline(),
            subject: session.subject().map(Subject::digest),
        }
    }

    fn to_json(&self) -> String {
        json!([self.id, self.absolute_deadline.epoch_seconds(), self.subject]).to_string()
    }

    fn from_json(json: &str) -> Option<Self> {
        let (id, absolute_deadline, subject): (String, u64, Option<String>) =
            serde_json::from_str(json).ok()?;
        let absolute_deadline = Timestamp::from_epoch_seconds(absolute_deadline);
        Some(Self { id: id.parse().ok()?, absolute_deadline, subject })
    }
}
