//! The verbs, for programs that wait and for programs that await.

use std::future::Future;
use std::sync::Arc;

use dynamodb_web_session as shared;
use dynamodb_web_session::{
    CreateOptions, Error, LogIn, LoggedIn, Renewal, SessionId, SubjectChange, Timeouts, Update,
};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::arguments::{Named, SubjectArgument, device, preconditions};
use crate::connection::{Connection, Interrupted, coroutine};
use crate::json::{self, Text};
use crate::session::{ListedSession, Session};
use crate::settings::{Seconds, Settings};

/// See `_core.pyi`.
#[pyclass(frozen, subclass, name = "Verbs", module = "dynamodb_web_session")]
pub(crate) struct Verbs {
    connection: Arc<Connection>,
    is_async: bool,
}

#[doc = docstring!(SessionManager)]
#[pyclass(frozen, subclass, extends = Verbs, module = "dynamodb_web_session")]
pub(crate) struct SessionManager;

#[doc = docstring!(AsyncSessionManager)]
#[pyclass(frozen, subclass, extends = Verbs, module = "dynamodb_web_session")]
pub(crate) struct AsyncSessionManager;

#[pymethods]
impl SessionManager {
    #[new]
    #[pyo3(signature = (**settings))]
    fn new(settings: Option<&Bound<'_, PyDict>>) -> PyResult<PyClassInitializer<Self>> {
        Ok(Verbs::new(settings, false)?.add_subclass(Self))
    }
}

#[pymethods]
impl AsyncSessionManager {
    #[new]
    #[pyo3(signature = (**settings))]
    fn new(settings: Option<&Bound<'_, PyDict>>) -> PyResult<PyClassInitializer<Self>> {
        Ok(Verbs::new(settings, true)?.add_subclass(Self))
    }
}

type Sessions = shared::SessionManager;
type Loaded = Option<shared::Session<Text>>;

impl Verbs {
    fn new(settings: Option<&Bound<'_, PyDict>>, is_async: bool) -> PyResult<PyClassInitializer<Self>> {
        Ok(Self { connection: Connection::new(Settings::new(settings)?), is_async }.into())
    }

    /// Makes a call, and returns what `finish` makes of its result, or an awaitable of it.
    fn call<'py, T: Send + 'static, F>(
        &self,
        py: Python<'py>,
        call: impl FnOnce(Sessions) -> F + Send + 'static,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        self.call_as(py, Interrupted::Stops, call, finish)
    }

    pub(crate) fn call_as<'py, T: Send + 'static, F>(
        &self,
        py: Python<'py>,
        interrupted: Interrupted,
        call: impl FnOnce(Sessions) -> F + Send + 'static,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        if self.is_async {
            let connection = Arc::clone(&self.connection);
            coroutine(py, move |py| Ok(connection.spawn(py, call, finish)?.unbind()))
        } else {
            let result = self.connection.block_on(py, interrupted, call)?;
            Ok(finish(py, result)?.into_bound(py))
        }
    }
}

fn created(py: Python<'_>, session: shared::Session<Text>) -> PyResult<Py<PyAny>> {
    Session::new(session, true).into_py_any(py)
}

fn session_or_none(py: Python<'_>, loaded: Loaded) -> PyResult<Py<PyAny>> {
    loaded.map_or_else(|| Ok(py.None()), |loaded| Session::new(loaded, false).into_py_any(py))
}

fn none(py: Python<'_>, (): ()) -> PyResult<Py<PyAny>> {
    Ok(py.None())
}

#[pymethods]
impl Verbs {
    #[doc = docstring!(SessionManager::idle_timeout_seconds)]
    #[getter]
    fn idle_timeout_seconds(&self) -> u64 {
        self.connection.config().default_timeouts().idle_seconds
    }

    #[doc = docstring!(SessionManager::absolute_timeout_seconds)]
    #[getter]
    fn absolute_timeout_seconds(&self) -> u64 {
        self.connection.config().default_timeouts().absolute_seconds
    }

    #[doc = docstring!(SessionManager::max_timeout_seconds)]
    #[getter]
    fn max_timeout_seconds(&self) -> u64 {
        self.connection.config().max_timeout_seconds
    }

    #[doc = docstring!(SessionManager::create)]
    #[pyo3(signature = (data = None, *, subject = None, idle_timeout_seconds = None, absolute_timeout_seconds = None, label = None, context = None))]
    #[allow(clippy::too_many_arguments, reason = "they are keyword arguments")]
    fn create<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Bound<'py, PyAny>>,
        subject: Option<SubjectArgument>,
        idle_timeout_seconds: Option<Seconds>,
        absolute_timeout_seconds: Option<Seconds>,
        label: Option<String>,
        context: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let data = json::encode_or_empty(data)?;
        let options = CreateOptions {
            subject: subject.map(|subject| subject.0),
            idle_timeout_seconds: idle_timeout_seconds.map(|seconds| seconds.0),
            absolute_timeout_seconds: absolute_timeout_seconds.map(|seconds| seconds.0),
            device: device(label, context)?,
            ..CreateOptions::default()
        };
        let create = |sessions: Sessions| async move { sessions.create_with(data, options).await };
        self.call(py, create, created)
    }

    #[doc = docstring!(SessionManager::load)]
    fn load<'py>(&self, py: Python<'py>, id: Named<'py>) -> PyResult<Bound<'py, PyAny>> {
        let id = id.id();
        let load = |sessions: Sessions| async move { sessions.load(&id).await };
        self.call(py, load, session_or_none)
    }

    #[doc = docstring!(SessionManager::peek)]
    fn peek<'py>(&self, py: Python<'py>, id: Named<'py>) -> PyResult<Bound<'py, PyAny>> {
        let id = id.id();
        let peek = |sessions: Sessions| async move { sessions.peek(&id).await };
        self.call(py, peek, session_or_none)
    }

    #[doc = docstring!(SessionManager::save)]
    fn save<'py>(&self, session: &Bound<'py, Session>) -> PyResult<Bound<'py, PyAny>> {
        let save = |sessions: Sessions, mut session: shared::Session<Text>| async move {
            sessions.save(&mut session).await?;
            Ok(session)
        };
        self.save_with(session, save)
    }

    #[doc = docstring!(SessionManager::save_if_unchanged)]
    fn save_if_unchanged<'py>(&self, session: &Bound<'py, Session>) -> PyResult<Bound<'py, PyAny>> {
        let save = |sessions: Sessions, mut session: shared::Session<Text>| async move {
            sessions.save_if_unchanged(&mut session).await?;
            Ok(session)
        };
        self.save_with(session, save)
    }

    #[doc = docstring!(SessionManager::update)]
    #[pyo3(signature = (id, *, data = None, idle_timeout_seconds = None, absolute_timeout_seconds = None, label = None, context = None, if_match = None))]
    #[allow(clippy::too_many_arguments, reason = "they are keyword arguments")]
    fn update<'py>(
        &self,
        py: Python<'py>,
        id: Named<'py>,
        data: Option<&Bound<'py, PyAny>>,
        idle_timeout_seconds: Option<Seconds>,
        absolute_timeout_seconds: Option<Seconds>,
        label: Option<String>,
        context: Option<&Bound<'py, PyAny>>,
        if_match: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let update = Update {
            data: data.map(json::encode).transpose()?,
            idle_timeout_seconds: idle_timeout_seconds.map(|seconds| seconds.0),
            absolute_timeout_seconds: absolute_timeout_seconds.map(|seconds| seconds.0),
            subject: SubjectChange::Keep,
            device: device(label, context)?,
            preconditions: preconditions(if_match)?,
        };
        let id = id.id();
        let update = move |sessions: Sessions| async move { sessions.update(&id, update).await };
        self.call(py, update, |py, etag| etag.as_str().into_py_any(py))
    }

    #[doc = docstring!(SessionManager::log_in)]
    #[pyo3(signature = (id, subject, *, data = None, data_if_new = None, idle_timeout_seconds = None, absolute_timeout_seconds = None, label = None, context = None, if_match = None))]
    #[allow(clippy::too_many_arguments, reason = "they are keyword arguments")]
    fn log_in<'py>(
        &self,
        py: Python<'py>,
        id: Option<Named<'py>>,
        subject: SubjectArgument,
        data: Option<&Bound<'py, PyAny>>,
        data_if_new: Option<&Bound<'py, PyAny>>,
        idle_timeout_seconds: Option<Seconds>,
        absolute_timeout_seconds: Option<Seconds>,
        label: Option<String>,
        context: Option<&Bound<'py, PyAny>>,
        if_match: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = LogIn {
            data: data.map(json::encode).transpose()?,
            data_if_new: data_if_new.map(json::encode).transpose()?,
            idle_timeout_seconds: idle_timeout_seconds.map(|seconds| seconds.0),
            absolute_timeout_seconds: absolute_timeout_seconds.map(|seconds| seconds.0),
            absolute_deadline: None,
            device: device(label, context)?,
            preconditions: preconditions(if_match)?,
        };
        let (id, subject) = (id.and_then(|id| id.id()), subject.0);
        let log_in = |sessions: Sessions| async move { sessions.log_in(&id, subject, options).await };
        self.call(py, log_in, |py, LoggedIn { session, is_new }| {
            Session::new(session, is_new).into_py_any(py)
        })
    }

    #[doc = docstring!(SessionManager::renew)]
    #[pyo3(signature = (id, *, data = None, if_match = None))]
    fn renew<'py>(
        &self,
        py: Python<'py>,
        id: Named<'py>,
        data: Option<&Bound<'py, PyAny>>,
        if_match: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let renewal =
            Renewal { data: data.map(json::encode).transpose()?, preconditions: preconditions(if_match)? };
        let id = id.id();
        let renew = |sessions: Sessions| async move { sessions.renew_with(&id, renewal).await };
        self.call(py, renew, session_or_none)
    }

    #[doc = docstring!(SessionManager::clear)]
    #[pyo3(signature = (id, *, if_match = None))]
    fn clear<'py>(
        &self,
        py: Python<'py>,
        id: Named<'py>,
        if_match: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (id, preconditions) = (id.id(), preconditions(if_match)?);
        let clear = |sessions: Sessions| async move { sessions.clear_if(&id, &preconditions).await };
        self.call_as(py, Interrupted::Finishes, clear, |py, is_ended| is_ended.into_py_any(py))
    }

    #[doc = docstring!(SessionManager::sessions_of)]
    #[pyo3(signature = (subject, *, current = None))]
    fn sessions_of<'py>(
        &self,
        py: Python<'py>,
        subject: SubjectArgument,
        current: Option<Named<'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let subject = subject.0;
        let current = current.map(|session| session.loggable_id()).transpose()?;
        let list = |sessions: Sessions| async move { sessions.sessions_of(&subject).await };
        self.call(py, list, move |py, listed| {
            let listed = listed.into_iter().map(|listed| ListedSession::new(listed, current.as_ref()));
            let listed: Vec<_> = listed.collect();
            listed.into_py_any(py)
        })
    }

    #[doc = docstring!(SessionManager::check)]
    fn check<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let check =
            |sessions: Sessions| async move { Ok(commands::findings(sessions.config().clone()).await) };
        self.call(py, check, |py, findings: String| {
            let findings: Text =
                serde_json::from_str(&findings).map_err(|error| PyValueError::new_err(error.to_string()))?;
            Ok(json::decode(py, &findings)?.unbind())
        })
    }

    #[doc = docstring!(SessionManager::revoke_all)]
    #[pyo3(signature = (subject, *, except_ = None))]
    fn revoke_all<'py>(
        &self,
        py: Python<'py>,
        subject: SubjectArgument,
        except_: Option<Named<'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let subject = subject.0;
        let except = except_.map(|session| session.loggable_id()).transpose()?;
        let revoke = |sessions: Sessions| async move { sessions.revoke_all(&subject, except.as_ref()).await };
        self.call_as(py, Interrupted::Finishes, revoke, none)
    }

    #[doc = docstring!(SessionManager::revoke)]
    fn revoke<'py>(&self, py: Python<'py>, loggable_id: Named<'py>) -> PyResult<Bound<'py, PyAny>> {
        let id = loggable_id.loggable_id()?;
        let revoke = |sessions: Sessions| async move { sessions.revoke(&id).await.map(drop) };
        self.call_as(py, Interrupted::Finishes, revoke, none)
    }

    #[doc = docstring!(SessionManager::revoke_named)]
    fn revoke_named<'py>(
        &self,
        py: Python<'py>,
        subject: SubjectArgument,
        name: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let subject = subject.0;
        let revoke = |sessions: Sessions| async move { sessions.revoke_named(&subject, &name).await };
        self.call_as(py, Interrupted::Finishes, revoke, |py, is_ended| is_ended.into_py_any(py))
    }

    #[doc = docstring!(SessionManager::_claim)]
    #[pyo3(name = "_claim")]
    fn claim<'py>(&self, py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyAny>> {
        let id: SessionId = id.parse().map_err(|error| PyValueError::new_err(format!("{error}")))?;
        let longest = self.connection.config().max_timeout_seconds;
        let timeouts = Timeouts { idle_seconds: longest, absolute_seconds: longest };
        let claim = move |sessions: Sessions| async move {
            match sessions.create_under_given_id(&id, json::empty(), timeouts).await {
                Ok(_) => Ok(true),
                Err(Error::IdInUse) => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.call(py, claim, |py, is_first| is_first.into_py_any(py))
    }

    #[doc = docstring!(SessionManager::is_logged_in_within)]
    fn is_logged_in_within(&self, session: Option<&Session>, minutes: f64) -> bool {
        let (seconds, now) = ((minutes * 60.0) as u64, self.connection.now());
        session.is_some_and(|session| session.read(|session| session.is_authenticated_within(seconds, now)))
    }

    #[doc = docstring!(SessionManager::confirm_login)]
    fn confirm_login<'py>(&self, py: Python<'py>, id: Named<'py>) -> PyResult<Bound<'py, PyAny>> {
        let id = id.id();
        let confirm = |sessions: Sessions| async move { sessions.confirm_login(&id).await };
        self.call(py, confirm, none)
    }
}

impl Verbs {
    fn save_with<'py, F>(
        &self,
        session: &Bound<'py, Session>,
        save: impl FnOnce(Sessions, shared::Session<Text>) -> F + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = Result<shared::Session<Text>, Error>> + Send,
    {
        let encoded = session.get().encoded(session.py())?;
        let saved = session.clone().unbind();
        self.call(
            session.py(),
            move |sessions| save(sessions, encoded),
            move |py, session| {
                saved.get().saved(session);
                Ok(py.None())
            },
        )
    }
}
