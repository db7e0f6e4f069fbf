//! A session in the hands of a Python program.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use dynamodb_web_session as shared;
use dynamodb_web_session::{Device, LoggableId};
use pyo3::prelude::*;

use crate::json::{self, Text};
use crate::settings::Seconds;

#[doc = docstring!(Session)]
#[pyclass(frozen, module = "dynamodb_web_session")]
pub(crate) struct Session {
    /// Threads may share a session. Nothing that runs code of Python happens while it is locked.
    state: Mutex<State>,
    #[doc = docstring!(Session::is_new)]
    #[pyo3(get)]
    is_new: bool,
}

struct State {
    inner: shared::Session<Text>,
    /// What the text stands for, from the first use on. The program may change it.
    data: Option<Py<PyAny>>,
}

impl Session {
    pub(crate) fn new(inner: shared::Session<Text>, is_new: bool) -> Self {
        Self { state: Mutex::new(State { inner, data: None }), is_new }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&shared::Session<Text>) -> T) -> T {
        read(&self.state().inner)
    }

    /// The session with the text of the data that it has now.
    pub(crate) fn encoded(&self, py: Python<'_>) -> PyResult<shared::Session<Text>> {
        let (mut inner, data) = {
            let state = self.state();
            (state.inner.clone(), state.data.as_ref().map(|data| data.clone_ref(py)))
        };
        if let Some(data) = data {
            inner.data = json::encode(data.bind(py))?;
        }
        Ok(inner)
    }

    /// Takes over what a save has made of the session.
    pub(crate) fn saved(&self, inner: shared::Session<Text>) {
        self.state().inner = inner;
    }
}

#[pymethods]
impl Session {
    #[doc = docstring!(Session::id)]
    #[getter]
    fn id(&self) -> String {
        self.read(|session| session.id().expose().to_owned())
    }

    #[doc = docstring!(Session::loggable_id)]
    #[getter]
    fn loggable_id(&self) -> String {
        self.read(|session| session.loggable_id().to_string())
    }

    #[doc = docstring!(Session::subject)]
    #[getter]
    fn subject(&self) -> Option<String> {
        self.read(|session| session.subject().map(|subject| subject.as_str().to_owned()))
    }

    #[doc = docstring!(Session::label)]
    #[getter]
    fn label(&self) -> Option<String> {
        self.read(|session| session.device().label().map(str::to_owned))
    }

    #[doc = docstring!(Session::context)]
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        context(py, &self.read(|session| session.device().clone()))
    }

    #[doc = docstring!(Session::authenticated_at)]
    #[getter]
    fn authenticated_at(&self) -> Option<SystemTime> {
        self.read(|session| session.authenticated_at().map(SystemTime::from))
    }

    #[doc = docstring!(Session::created)]
    #[getter]
    fn created(&self) -> SystemTime {
        self.read(|session| session.created().into())
    }

    #[doc = docstring!(Session::expires)]
    #[getter]
    fn expires(&self) -> SystemTime {
        self.read(|session| session.expires().into())
    }

    #[doc = docstring!(Session::idle_deadline)]
    #[getter]
    fn idle_deadline(&self) -> SystemTime {
        self.read(|session| session.idle_deadline().into())
    }

    #[doc = docstring!(Session::absolute_deadline)]
    #[getter]
    fn absolute_deadline(&self) -> SystemTime {
        self.read(|session| session.absolute_deadline().into())
    }

    #[doc = docstring!(Session::etag)]
    #[getter]
    fn etag(&self) -> String {
        self.read(|session| session.etag().as_str().to_owned())
    }

    #[getter]
    fn idle_timeout_seconds(&self) -> u64 {
        self.read(|session| session.timeouts.idle_seconds)
    }

    #[setter]
    fn set_idle_timeout_seconds(&self, seconds: Seconds) {
        self.state().inner.timeouts.idle_seconds = seconds.0;
    }

    #[getter]
    fn absolute_timeout_seconds(&self) -> u64 {
        self.read(|session| session.timeouts.absolute_seconds)
    }

    #[setter]
    fn set_absolute_timeout_seconds(&self, seconds: Seconds) {
        self.state().inner.timeouts.absolute_seconds = seconds.0;
    }

    #[getter]
    fn data(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let text = {
            let state = self.state();
            if let Some(data) = &state.data {
                return Ok(data.clone_ref(py));
            }
            state.inner.data.clone()
        };
        let decoded = json::decode(py, &text)?.unbind();
        let used = decoded.clone_ref(py);
        // If another thread was faster, both use what it has decoded.
        Ok(self.state().data.get_or_insert(used).clone_ref(py))
    }

    #[setter]
    fn set_data(&self, data: Py<PyAny>) {
        let before = self.state().data.replace(data);
        drop(before); // it may run code of the program
    }

    #[doc = docstring!(Session::json)]
    #[getter]
    fn json(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.encoded(py)?.data.get().to_owned())
    }

    fn __repr__(&self) -> String {
        self.read(|session| {
            format!("<Session {}… until {}>", &session.loggable_id().as_str()[..16], session.expires())
        })
    }
}

#[doc = docstring!(ListedSession)]
#[pyclass(frozen, module = "dynamodb_web_session")]
pub(crate) struct ListedSession {
    device: Device,
    #[doc = docstring!(ListedSession::loggable_id)]
    #[pyo3(get)]
    loggable_id: String,
    #[doc = docstring!(ListedSession::name)]
    #[pyo3(get)]
    name: String,
    #[doc = docstring!(ListedSession::is_current)]
    #[pyo3(get)]
    is_current: bool,
    #[pyo3(get)]
    created: SystemTime,
    #[doc = docstring!(ListedSession::last_used)]
    #[pyo3(get)]
    last_used: SystemTime,
    #[doc = docstring!(ListedSession::expires)]
    #[pyo3(get)]
    expires: SystemTime,
}

impl ListedSession {
    pub(crate) fn new(session: shared::ListedSession, current: Option<&LoggableId>) -> Self {
        Self {
            is_current: Some(&session.loggable_id) == current,
            device: session.device,
            name: session.name,
            loggable_id: session.loggable_id.to_string(),
            created: session.created.into(),
            last_used: session.last_used.into(),
            expires: session.expires.into(),
        }
    }
}

/// A context as a Python value.
fn context<'py>(py: Python<'py>, device: &Device) -> PyResult<Option<Bound<'py, PyAny>>> {
    let context = device.context().and_then(|text| serde_json::from_str::<Text>(text).ok());
    context.map(|context| json::decode(py, &context)).transpose()
}

#[pymethods]
impl ListedSession {
    #[doc = docstring!(ListedSession::label)]
    #[getter]
    fn label(&self) -> Option<&str> {
        self.device.label()
    }

    #[doc = docstring!(ListedSession::context)]
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        context(py, &self.device)
    }

    fn __repr__(&self) -> String {
        format!("<ListedSession {}…>", &self.loggable_id[..16])
    }
}
