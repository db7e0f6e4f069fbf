//! The session of a web request, for the frameworks.

use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use devices::Client;
use dynamodb_web_session::web::{Cookie, CookieRefresh, Lifetime, RequestSession};
use dynamodb_web_session::{Error, SubjectChange};
use napi::Env;
use napi::bindgen_prelude::{Either, PromiseRaw, ToNapiValue, within_runtime_if_available};
use napi_derive::napi;
use serde_json::value::RawValue;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::errors::{invalid_argument, session as failed};
use crate::manager::{NativeManager, subject};
use crate::session::{NativeSession, text};

/// The session of a request.
#[napi]
pub struct NativeRequest {
    request: Arc<Mutex<RequestSession>>,
    client: std::sync::Mutex<Client>,
}

/// What a request has read.
#[napi]
pub struct Opened {
    session: Option<NativeSession>,
    is_superseded: bool,
}

#[napi]
impl Opened {
    #[napi]
    pub fn session(&mut self) -> Option<NativeSession> {
        self.session.take()
    }

    #[napi(getter)]
    pub fn is_superseded(&self) -> bool {
        self.is_superseded
    }
}

/// The end of a request.
#[napi(object)]
pub struct End {
    /// The data as it is to be.
    pub json: String,
    /// The seconds that the session lives without use, or `keep`. Absent: as long as the settings say.
    pub lifetime: Option<Either<f64, String>>,
    /// Whose session it is, if that has changed; an empty text: nobody's.
    pub subject: Option<String>,
    /// Whether the request is a use of the session.
    pub keeps_alive: bool,
    /// Whether the cookie is set again whenever the session's life was extended.
    pub refreshes: bool,
}

/// What a response does with the cookie.
#[napi(object)]
pub struct NativeCookie {
    /// The session ID. Absent: the cookie is deleted.
    pub id: Option<String>,
    /// What is left of the session, in seconds.
    pub max_age: f64,
}

#[napi]
impl NativeRequest {
    /// `cookie` is the ID that the request came with, and `given_id` one that the framework has made for a new session.
    #[napi(constructor)]
    pub fn new(
        manager: &NativeManager,
        cookie: Option<String>,
        given_id: Option<String>,
    ) -> napi::Result<Self> {
        let mut request = RequestSession::new(manager.sessions().clone(), cookie.as_deref());
        if let Some(id) = given_id {
            request = request.with_given_id(id.parse().map_err(invalid_argument)?);
        }
        Ok(Self { request: Arc::new(Mutex::new(request)), client: std::sync::Mutex::default() })
    }

    #[napi]
    pub fn open<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, Opened>> {
        self.run(env, |mut request| async move {
            let session = request.open().await?.cloned().map(NativeSession);
            Ok(Opened { session, is_superseded: request.is_superseded() })
        })
    }

    /// Where the request comes from, for the label and the context of a login.
    #[napi]
    pub fn came_from(
        &self,
        address: Option<String>,
        user_agent: Option<String>,
        brands: Option<String>,
        platform: Option<String>,
    ) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) =
            Client { user_agent, brands, platform, address };
    }

    #[napi]
    pub fn confirm_login<'env>(
        &self,
        env: &'env Env,
    ) -> napi::Result<PromiseRaw<'env, Option<NativeSession>>> {
        self.run(env, |mut request| async move {
            request.confirm_login().await?;
            Ok(request.session().cloned().map(NativeSession))
        })
    }

    #[napi]
    pub fn log_in<'env>(
        &self,
        env: &'env Env,
        user: String,
        json: String,
        changes: String,
        lifetime: Option<Either<f64, String>>,
    ) -> napi::Result<PromiseRaw<'env, Option<NativeSession>>> {
        let (subject, json, changes) = (subject(user)?, text(json)?, text(changes)?);
        let client = self.client();
        self.run(env, move |mut request| async move {
            request.set_device(|| client.device());
            request.log_in(subject, json.get(), changes.get(), lifetime_of(lifetime)).await?;
            Ok(request.session().cloned().map(NativeSession))
        })
    }

    /// Without a session it does nothing.
    #[napi]
    pub fn renew<'env>(
        &self,
        env: &'env Env,
        json: String,
    ) -> napi::Result<PromiseRaw<'env, Option<NativeSession>>> {
        let json = text(json)?;
        self.run(env, |mut request| async move {
            request.renew(json.get()).await?;
            Ok(request.session().cloned().map(NativeSession))
        })
    }

    #[napi]
    pub fn log_out<'env>(&self, env: &'env Env) -> napi::Result<PromiseRaw<'env, ()>> {
        self.run(env, |mut request| async move { request.log_out().await })
    }

    /// Stores what has changed. Returns the cookie that the response may set, or a promise of it.
    #[napi]
    pub fn finish<'env>(
        &self,
        env: &'env Env,
        end: End,
    ) -> napi::Result<Either<Option<NativeCookie>, PromiseRaw<'env, Option<NativeCookie>>>> {
        let json = text(end.json)?;
        let change = match end.subject {
            None => SubjectChange::Keep,
            Some(user) if user.is_empty() => SubjectChange::Remove,
            Some(user) => SubjectChange::To(subject(user)?),
        };
        let client = self.client();
        let is_unchanged = self.has_read(&json);
        let mut finished = Box::pin(self.work(move |mut request| async move {
            request.keep_alive(end.keeps_alive);
            if let SubjectChange::To(_) = change {
                request.set_device(|| client.device());
            }
            request.set_subject(change);
            let refresh = if end.refreshes { CookieRefresh::OnUse } else { CookieRefresh::Never };
            Ok(match request.finish(json.get(), lifetime_of(end.lifetime), refresh).await? {
                Cookie::Set { id, max_age_seconds } => {
                    Some(NativeCookie { id: Some(id.expose().to_owned()), max_age: max_age_seconds as f64 })
                }
                Cookie::Delete => Some(NativeCookie { id: None, max_age: 0.0 }),
                Cookie::Leave => None,
            })
        }));
        // Most requests only read. Their end asks nothing of the table, and needs no other thread.
        if is_unchanged {
            let begin = || finished.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            if let Poll::Ready(cookie) = within_runtime_if_available(begin) {
                return cookie.map(Either::A);
            }
        }
        env.spawn_future(finished).map(Either::B)
    }
}

impl NativeRequest {
    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn run<'env, R, F>(
        &self,
        env: &'env Env,
        work: impl FnOnce(OwnedMutexGuard<RequestSession>) -> F + Send + 'static,
    ) -> napi::Result<PromiseRaw<'env, R>>
    where
        F: Future<Output = Result<R, Error>> + Send + 'static,
        R: ToNapiValue + Send + 'static,
    {
        env.spawn_future(self.work(work))
    }

    fn work<R, F>(
        &self,
        work: impl FnOnce(OwnedMutexGuard<RequestSession>) -> F + Send + 'static,
    ) -> impl Future<Output = napi::Result<R>> + Send + 'static
    where
        F: Future<Output = Result<R, Error>> + Send + 'static,
        R: 'static,
    {
        let request = Arc::clone(&self.request);
        async move { work(request.lock_owned().await).await.map_err(|error| failed(&error)) }
    }

    /// Whether the session was read with this data.
    fn has_read(&self, json: &RawValue) -> bool {
        let request = self.request.try_lock();
        request.is_ok_and(|request| request.session().is_some_and(|session| session.data.get() == json.get()))
    }
}

/// A part of a second is a whole one.
fn lifetime_of(lifetime: Option<Either<f64, String>>) -> Lifetime {
    match lifetime {
        Some(Either::A(seconds)) => Lifetime::Seconds(seconds.ceil() as u64),
        Some(Either::B(_)) => Lifetime::Keep,
        None => Lifetime::Default,
    }
}
