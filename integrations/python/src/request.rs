//! The session of a web request, for the frameworks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use devices::Client;
use dynamodb_web_session as shared;
use dynamodb_web_session::web::{self, CookieRefresh};
use dynamodb_web_session::{Error, Subject};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arguments::SubjectArgument;
use crate::connection::Interrupted;
use crate::json::{self, Text};
use crate::manager::Verbs;
use crate::session::Session;
use crate::settings::Seconds;

#[doc = docstring!(RequestSession)]
#[pyclass(frozen, module = "dynamodb_web_session")]
pub(crate) struct RequestSession {
    sessions: Py<Verbs>,
    cookie: Option<String>,
    path: String,
    is_opaque: bool,
    /// Made by the first call: a session manager is there only then.
    request: Arc<tokio::sync::Mutex<Option<web::RequestSession>>>,
    seen: Arc<Mutex<Seen>>,
}

/// What is known of the session between the calls.
#[derive(Clone, Default)]
struct Seen {
    session: Option<shared::Session<Text>>,
    is_superseded: bool,
    has_failed: bool,
    keeps_alive: Option<bool>,
    is_cleared: bool,
    /// Whether a login was not begun, because of its arguments.
    is_refused: bool,
    client: Option<Client>,
}

/// A call of a [`web::RequestSession`].
enum Step {
    Open,
    Reload,
    LogIn { subject: Subject, data: Text, changes: Text, lifetime: web::Lifetime },
    Renew { data: Text },
    ConfirmLogin,
    LogOut,
    Begin { data: Text, lifetime: web::Lifetime },
    Finish { data: Text, lifetime: web::Lifetime, refresh: CookieRefresh },
}

impl Step {
    async fn take(self, request: &mut web::RequestSession) -> Result<web::Cookie, Error> {
        match self {
            Self::Open => drop(request.open().await?),
            Self::Reload => drop(request.reload().await?),
            Self::LogIn { subject, data, changes, lifetime } => {
                request.log_in(subject, data.get(), changes.get(), lifetime).await?;
            }
            Self::Renew { data } => drop(request.renew(data.get()).await?),
            Self::ConfirmLogin => request.confirm_login().await?,
            Self::LogOut => request.log_out().await?,
            Self::Begin { data, lifetime } => request.begin(data.get(), lifetime).await?,
            Self::Finish { data, lifetime, refresh } => {
                return request.finish(data.get(), lifetime, refresh).await;
            }
        }
        Ok(web::Cookie::Leave)
    }
}

#[pymethods]
impl RequestSession {
    #[new]
    #[pyo3(signature = (sessions, cookie, path = "".to_owned(), is_opaque = false))]
    fn new(sessions: Py<Verbs>, cookie: Option<String>, path: String, is_opaque: bool) -> Self {
        Self { sessions, cookie, path, is_opaque, request: Arc::default(), seen: Arc::default() }
    }

    #[doc = docstring!(RequestSession::through)]
    fn through(&self, sessions: Py<Verbs>) -> Self {
        Self {
            sessions,
            cookie: self.cookie.clone(),
            path: self.path.clone(),
            is_opaque: self.is_opaque,
            request: Arc::clone(&self.request),
            seen: Arc::clone(&self.seen),
        }
    }

    #[doc = docstring!(RequestSession::session)]
    #[getter]
    fn session(&self) -> Option<Session> {
        self.seen().session.clone().map(|session| Session::new(session, false))
    }

    #[doc = docstring!(RequestSession::is_superseded)]
    #[getter]
    fn is_superseded(&self) -> bool {
        self.seen().is_superseded
    }

    #[doc = docstring!(RequestSession::has_failed)]
    #[getter]
    fn has_failed(&self) -> bool {
        self.seen().has_failed
    }

    #[doc = docstring!(RequestSession::keep_alive)]
    fn keep_alive(&self, keeps_alive: bool) {
        self.seen().keeps_alive = Some(keeps_alive);
    }

    #[doc = docstring!(RequestSession::cleared)]
    fn cleared(&self) {
        self.seen().is_cleared = true;
    }

    #[doc = docstring!(RequestSession::came_from)]
    #[pyo3(signature = (address, user_agent = None, brands = None, platform = None))]
    fn came_from(
        &self,
        address: Option<String>,
        user_agent: Option<String>,
        brands: Option<String>,
        platform: Option<String>,
    ) {
        self.seen().client = Some(Client { user_agent, brands, platform, address });
    }

    #[doc = docstring!(RequestSession::confirm_login)]
    fn confirm_login<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, Step::ConfirmLogin, session_or_none)
    }

    #[doc = docstring!(RequestSession::open)]
    fn open<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, Step::Open, session_or_none)
    }

    #[doc = docstring!(RequestSession::reload)]
    fn reload<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, Step::Reload, session_or_none)
    }

    #[doc = docstring!(RequestSession::log_in)]
    #[pyo3(signature = (subject, data, changes, lifetime = None))]
    fn log_in<'py>(
        &self,
        py: Python<'py>,
        subject: &Bound<'py, PyAny>,
        data: &Bound<'py, PyAny>,
        changes: &Bound<'py, PyAny>,
        lifetime: Option<&Lifetime>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let step = || {
            let subject = subject.extract::<SubjectArgument>()?.0;
            let (data, changes) = (json::encode(data)?, json::encode(changes)?);
            Ok(Step::LogIn { subject, data, changes, lifetime: lifetime_of(lifetime) })
        };
        let step = step().inspect_err(|_: &PyErr| self.refuse());
        self.step(py, step?, session_or_none)
    }

    #[doc = docstring!(RequestSession::refuse)]
    fn refuse(&self) {
        let mut seen = self.seen();
        (seen.is_refused, seen.has_failed) = (true, true);
    }

    #[doc = docstring!(RequestSession::renew)]
    fn renew<'py>(&self, py: Python<'py>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, Step::Renew { data: json::encode(data)? }, session_or_none)
    }

    #[doc = docstring!(RequestSession::log_out)]
    fn log_out<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, Step::LogOut, |py, _, _| Ok(py.None()))
    }

    #[doc = docstring!(RequestSession::begin)]
    #[pyo3(signature = (data, lifetime = None))]
    fn begin<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        lifetime: Option<&Lifetime>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let step = Step::Begin { data: json::encode(data)?, lifetime: lifetime_of(lifetime) };
        self.step(py, step, session_or_none)
    }

    #[doc = docstring!(RequestSession::finish)]
    #[pyo3(signature = (data, lifetime = None, refresh = "never"))]
    fn finish<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        lifetime: Option<&Lifetime>,
        refresh: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let refresh = match refresh {
            "never" => CookieRefresh::Never,
            "on-save" => CookieRefresh::OnSave,
            "on-use" => CookieRefresh::OnUse,
            _ => return Err(PyValueError::new_err("refresh must be \"never\", \"on-save\" or \"on-use\"")),
        };
        let step = Step::Finish { data: json::encode(data)?, lifetime: lifetime_of(lifetime), refresh };
        self.step(py, step, |py, cookie, _| match cookie {
            web::Cookie::Leave => Ok(py.None()),
            web::Cookie::Delete => Cookie { value: None, max_age: 0 }.into_py_any(py),
            web::Cookie::Set { id, max_age_seconds } => {
                Cookie { value: Some(id.expose().to_owned()), max_age: max_age_seconds }.into_py_any(py)
            }
        })
    }
}

type Finish = fn(Python<'_>, web::Cookie, &Seen) -> PyResult<Py<PyAny>>;

impl RequestSession {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step<'py>(&self, py: Python<'py>, step: Step, finish: Finish) -> PyResult<Bound<'py, PyAny>> {
        let (request, seen) = (Arc::clone(&self.request), Arc::clone(&self.seen));
        let (cookie, path, is_opaque) = (self.cookie.clone(), self.path.clone(), self.is_opaque);
        let interrupted =
            if matches!(step, Step::LogOut) { Interrupted::Finishes } else { Interrupted::Stops };
        let call = move |sessions: shared::SessionManager| async move {
            let mut request = request.lock().await;
            let request = request.get_or_insert_with(|| {
                let request = web::RequestSession::new(sessions.clone(), cookie.as_deref()).with_path(&path);
                if is_opaque { request.with_opaque_data() } else { request }
            });
            request.use_sessions(sessions);
            if let Some(keeps_alive) = lock(&seen).keeps_alive {
                request.keep_alive(keeps_alive);
            }
            if std::mem::take(&mut lock(&seen).is_cleared) {
                request.cleared();
            }
            if std::mem::take(&mut lock(&seen).is_refused) {
                request.refuse();
            }
            if let Some(client) = lock(&seen).client.take() {
                request.set_device(|| client.device());
            }
            let taken = step.take(request).await;
            let mut seen = lock(&seen);
            seen.session = request.session().cloned();
            seen.is_superseded = request.is_superseded();
            seen.has_failed = request.has_failed();
            taken.map(|cookie| (cookie, seen.clone()))
        };
        let finish = move |py: Python<'_>, (cookie, seen)| finish(py, cookie, &seen);
        self.sessions.get().call_as(py, interrupted, call, finish)
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn session_or_none(py: Python<'_>, _: web::Cookie, seen: &Seen) -> PyResult<Py<PyAny>> {
    match &seen.session {
        Some(session) => Session::new(session.clone(), false).into_py_any(py),
        None => Ok(py.None()),
    }
}

#[doc = docstring!(Cookie)]
#[pyclass(frozen, get_all, module = "dynamodb_web_session")]
pub(crate) struct Cookie {
    #[doc = docstring!(Cookie::value)]
    value: Option<String>,
    #[doc = docstring!(Cookie::max_age)]
    max_age: u64,
}

#[doc = docstring!(Lifetime)]
#[pyclass(frozen, module = "dynamodb_web_session")]
pub(crate) struct Lifetime(web::Lifetime);

#[pymethods]
impl Lifetime {
    #[doc = docstring!(Lifetime::default)]
    #[staticmethod]
    fn default() -> Self {
        Self(web::Lifetime::Default)
    }

    #[doc = docstring!(Lifetime::at_most)]
    #[staticmethod]
    fn at_most(seconds: Seconds) -> Self {
        Self(web::Lifetime::AtMost(seconds.0))
    }

    #[doc = docstring!(Lifetime::seconds)]
    #[staticmethod]
    fn seconds(seconds: Seconds) -> Self {
        Self(web::Lifetime::Seconds(seconds.0))
    }

    #[doc = docstring!(Lifetime::until)]
    #[staticmethod]
    fn until(moment: SystemTime) -> Self {
        let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(web::Lifetime::Until(shared::Timestamp::from_epoch_seconds(seconds)))
    }
}

fn lifetime_of(lifetime: Option<&Lifetime>) -> web::Lifetime {
    lifetime.map_or(web::Lifetime::Keep, |lifetime| lifetime.0)
}
