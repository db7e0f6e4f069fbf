//! The verbs, as promises.

use std::collections::HashMap;

use dynamodb_web_session as shared;
use dynamodb_web_session::{
    Clock, CreateOptions, Device, Error, LogIn, LoggableId, Preconditions, Renewal, SessionId,
    SessionManager, Subject, SubjectChange, SystemClock, Timeouts, Timestamp, Update,
};
use napi::Env;
use napi::bindgen_prelude::{PromiseRaw, ToNapiValue};
use napi_derive::napi;

use crate::errors::{invalid_argument, session as failed};
use crate::session::{NativeListedSession, NativeSession, Text, text};
use crate::settings::{self, Environment};

/// A clock that a test moves.
#[napi]
pub struct ManualClock(shared::ManualClock);

#[napi]
impl ManualClock {
    /// `now` is in seconds since the epoch.
    #[napi(constructor)]
    pub fn new(now: Option<f64>) -> Self {
        let now = now.map_or(SystemClock.now(), |now| Timestamp::from_epoch_seconds(now as u64));
        Self(shared::ManualClock::starting_at(now))
    }

    #[napi]
    pub fn advance(&self, seconds: f64) {
        self.0.advance(seconds as u64);
    }

    #[napi]
    pub fn now(&self) -> f64 {
        self.0.now().epoch_seconds() as f64
    }
}

/// What a create, an update or a renewal is given besides data. An absent part stays as it is, or is the default.
#[napi(object)]
pub struct Options {
    pub subject: Option<String>,
    pub idle_timeout_seconds: Option<f64>,
    pub absolute_timeout_seconds: Option<f64>,
    pub label: Option<String>,
    /// As JSON text.
    pub context: Option<String>,
    pub if_match: Option<String>,
}

impl Options {
    /// An absent part stays as it is, and an empty text removes it.
    fn device(&self) -> napi::Result<Device> {
        let mut device = Device::default();
        if let Some(label) = &self.label {
            device = device.with_label(label).map_err(invalid_argument)?;
        }
        if let Some(context) = &self.context {
            device = device.with_context(context).map_err(invalid_argument)?;
        }
        Ok(device)
    }

    fn subject(&self) -> napi::Result<Option<Subject>> {
        self.subject.clone().map(subject).transpose()
    }

    fn preconditions(&self) -> napi::Result<Preconditions> {
        let tags = self.if_match.as_ref().map(|text| text.parse().map_err(invalid_argument));
        Ok(Preconditions { if_match: tags.transpose()?, ..Preconditions::default() })
    }

    fn create(&self) -> napi::Result<CreateOptions> {
        Ok(CreateOptions {
            subject: self.subject()?,
            idle_timeout_seconds: self.idle_timeout_seconds.map(whole),
            absolute_timeout_seconds: self.absolute_timeout_seconds.map(whole),
            device: self.device()?,
            ..CreateOptions::default()
        })
    }
}

/// Whole seconds; 0, which no timeout may be, for what is none.
fn whole(seconds: f64) -> u64 {
    if seconds.fract() == 0.0 { seconds as u64 } else { 0 }
}

pub(crate) fn subject(text: String) -> napi::Result<Subject> {
    Subject::try_from(text).map_err(invalid_argument)
}

fn loggable_id(text: &str) -> napi::Result<LoggableId> {
    text.parse().map_err(invalid_argument)
}

/// A session manager that connects at its first call.
#[napi]
pub struct NativeManager {
    sessions: SessionManager,
}

type Loaded = Option<shared::Session<Text>>;

fn some(loaded: Loaded) -> Option<NativeSession> {
    loaded.map(NativeSession)
}

impl NativeManager {
    pub(crate) fn sessions(&self) -> &SessionManager {
        &self.sessions
    }

    /// Makes a call, and returns a promise of what `finish` makes of its result.
    fn call<'env, T, R, F>(
        &self,
        env: &'env Env,
        call: impl FnOnce(SessionManager) -> F + Send + 'static,
        finish: impl FnOnce(T) -> R + Send + 'static,
    ) -> napi::Result<PromiseRaw<'env, R>>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        R: ToNapiValue + Send + 'static,
        T: Send + 'static,
    {
        let sessions = self.sessions.clone();
        env.spawn_future(async move { call(sessions).await.map(finish).map_err(|error| failed(&error)) })
    }
}

#[napi]
impl NativeManager {
    /// `environment` has the variables `SESSION_…` and `AWS_…` of `process.env`.
    #[napi(constructor)]
    pub fn new(
        given: HashMap<String, String>,
        environment: HashMap<String, String>,
        clock: Option<&ManualClock>,
    ) -> napi::Result<Self> {
        let sessions = settings::manager(given, &Environment(environment))?;
        Ok(Self {
            sessions: match clock {
                Some(clock) => sessions.with_clock(clock.0.clone()),
                None => sessions,
            },
        })
    }

    #[napi]
    pub fn is_passive(&self, path: String) -> bool {
        self.sessions.config().is_passive(&path)
    }

    #[napi(getter)]
    pub fn idle_timeout_seconds(&self) -> f64 {
        self.sessions.config().default_timeouts().idle_seconds as f64
    }

    #[napi(getter)]
    pub fn max_timeout_seconds(&self) -> f64 {
        self.sessions.config().max_timeout_seconds as f64
    }

    #[napi]
    pub fn create<'env>(
        &self,
        env: &'env Env,
        json: String,
        options: Options,
    ) -> napi::Result<PromiseRaw<'env, NativeSession>> {
        let (data, options) = (text(json)?, options.create()?);
        self.call(env, |sessions| async move { sessions.create_with(data, options).await }, NativeSession)
    }

    #[napi]
    pub fn create_under_given_id<'env>(
        &self,
        env: &'env Env,
        id: String,
        json: String,
        options: Options,
    ) -> napi::Result<PromiseRaw<'env, NativeSession>> {
        let id: SessionId = id.parse().map_err(invalid_argument)?;
        let (data, options) = (text(json)?, options.create()?);
        let create = |sessions: SessionManager| async move {
            sessions.create_under_given_id(&id, data, options).await
        };
        self.call(env, create, NativeSession)
    }

    #[napi]
    pub fn load<'env>(
        &self,
        env: &'env Env,
        id: String,
    ) -> napi::Result<PromiseRaw<'env, Option<NativeSession>>> {
        let load = |sessions: SessionManager| async move { sessions.load(&id).await };
        self.call(env, load, some)
    }

    #[napi]
    pub fn peek<'env>(
        &self,
        env: &'env Env,
        id: String,
    ) -> napi::Result<PromiseRaw<'env, Option<NativeSession>>> {
        let peek = |sessions: SessionManager| async move { sessions.peek(&id).await };
        self.call(env, peek, some)
    }

    /// Returns the session as it is after the save.
    #[napi]
    pub fn save<'env>(
        &self,
        env: &'env Env,
        session: &NativeSession,
        json: String,
        timeouts: (f64, f64),
        if_unchanged: bool,
    ) -> napi::Result<PromiseRaw<'env, NativeSession>> {
        let mut session = session.0.clone();
        session.data = text(json)?;
        let (idle_seconds, absolute_seconds) = (whole(timeouts.0), whole(timeouts.1));
        session.timeouts = Timeouts { idle_seconds, absolute_seconds };
        let save = move |sessions: SessionManager| async move {
            if if_unchanged {
                sessions.save_if_unchanged(&mut session).await?;
            } else {
                sessions.save(&mut session).await?;
            }
            Ok(session)
        };
        self.call(env, save, NativeSession)
    }

    #[napi]
    pub fn update<'env>(
        &self,
        env: &'env Env,
        id: String,
        json: Option<String>,
        options: Options,
    ) -> napi::Result<PromiseRaw<'env, String>> {
        let update = Update {
            data: json.map(text).transpose()?,
            idle_timeout_seconds: options.idle_timeout_seconds.map(whole),
            absolute_timeout_seconds: options.absolute_timeout_seconds.map(whole),
            subject: SubjectChange::Keep,
            device: options.device()?,
            preconditions: options.preconditions()?,
        };
        let update = |sessions: SessionManager| async move { sessions.update(&id, update).await };
        self.call(env, update, |etag| etag.as_str().to_owned())
    }

    #[napi]
    pub fn renew<'env>(
        &self,
        env: &'env Env,
        id: String,
        json: Option<String>,
        options: Options,
    ) -> napi::Result<PromiseRaw<'env, Option<NativeSession>>> {
        let renewal = Renewal { data: json.map(text).transpose()?, preconditions: options.preconditions()? };
        let renew = |sessions: SessionManager| async move { sessions.renew_with(&id, renewal).await };
        self.call(env, renew, some)
    }

    #[napi]
    pub fn log_in<'env>(
        &self,
        env: &'env Env,
        id: Option<String>,
        subject: String,
        json: (Option<String>, Option<String>),
        options: Options,
    ) -> napi::Result<PromiseRaw<'env, (NativeSession, bool)>> {
        let subject = self::subject(subject)?;
        let log_in = LogIn {
            data: json.0.map(text).transpose()?,
            data_if_new: json.1.map(text).transpose()?,
            idle_timeout_seconds: options.idle_timeout_seconds.map(whole),
            absolute_timeout_seconds: options.absolute_timeout_seconds.map(whole),
            absolute_deadline: None,
            device: options.device()?,
            preconditions: options.preconditions()?,
        };
        let id: Option<SessionId> = id.and_then(|text| text.parse().ok());
        let log_in = |sessions: SessionManager| async move { sessions.log_in(&id, subject, log_in).await };
        self.call(env, log_in, |logged_in| (NativeSession(logged_in.session), logged_in.is_new))
    }

    #[napi]
    pub fn clear<'env>(
        &self,
        env: &'env Env,
        id: String,
        options: Options,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let preconditions = options.preconditions()?;
        let clear = |sessions: SessionManager| async move { sessions.clear_if(&id, &preconditions).await };
        self.call(env, clear, |is_ended| is_ended)
    }

    #[napi]
    pub fn sessions_of<'env>(
        &self,
        env: &'env Env,
        subject: String,
    ) -> napi::Result<PromiseRaw<'env, Vec<NativeListedSession>>> {
        let subject = self::subject(subject)?;
        let list = |sessions: SessionManager| async move { sessions.sessions_of(&subject).await };
        self.call(env, list, |listed| listed.into_iter().map(NativeListedSession::from).collect())
    }

    /// A JSON array.
    #[napi]
    pub fn check<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, String>> {
        let check =
            |sessions: SessionManager| async move { Ok(commands::findings(sessions.config().clone()).await) };
        self.call(env, check, |findings| findings)
    }

    #[napi]
    pub fn revoke_all<'env>(
        &self,
        env: &'env Env,
        subject: String,
        except: Option<String>,
    ) -> napi::Result<PromiseRaw<'env, ()>> {
        let subject = self::subject(subject)?;
        let except = except.as_deref().map(loggable_id).transpose()?;
        let revoke =
            |sessions: SessionManager| async move { sessions.revoke_all(&subject, except.as_ref()).await };
        self.call(env, revoke, |()| ())
    }

    #[napi]
    pub fn revoke<'env>(&self, env: &'env Env, id: String) -> napi::Result<PromiseRaw<'env, ()>> {
        let id = loggable_id(&id)?;
        self.call(env, |sessions| async move { sessions.revoke(&id).await }, drop)
    }

    #[napi]
    pub fn is_logged_in_within(&self, session: &NativeSession, seconds: f64) -> bool {
        self.sessions.is_logged_in_within(&session.0, seconds as u64)
    }

    #[napi]
    pub fn revoke_named<'env>(
        &self,
        env: &'env Env,
        subject: String,
        name: String,
    ) -> napi::Result<PromiseRaw<'env, bool>> {
        let subject = self::subject(subject)?;
        let revoke = |sessions: SessionManager| async move { sessions.revoke_named(&subject, &name).await };
        self.call(env, revoke, |is_ended| is_ended)
    }

    #[napi]
    pub fn confirm_login<'env>(&self, env: &'env Env, id: String) -> napi::Result<PromiseRaw<'env, ()>> {
        self.call(env, |sessions| async move { sessions.confirm_login(&id).await }, |()| ())
    }
}
