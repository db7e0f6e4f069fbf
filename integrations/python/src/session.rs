//! A session in the hands of a Python program.

use std::time::SystemTime;

use dynamodb_web_session as shared;
use dynamodb_web_session::{Device, LoggableId};
use pyo3::prelude::*;

use crate::json::{self, Text};
use crate::settings::Seconds;

#[doc = docstring!(Session)]
#[pyclass(module = "dynamodb_web_session")]
pub(crate) struct Session {
    inner: shared::Session<Text>,
    /// What the text stands for, from the first use on. The program may change it.
    data: Option<Py<PyAny>>,
    #[doc = docstring!(Session::is_new)]
    #[pyo3(get)]
    is_new: bool,
}

impl Session {
    pub(crate) fn new(inner: shared::Session<Text>, is_new: bool) -> Self {
        Self { inner, data: None, is_new }
    }

    /// The session with the text of the data that it has now.
    pub(crate) fn encoded(session: &Bound<'_, Self>) -> PyResult<shared::Session<Text>> {
        let (mut inner, data) = {
            let session = session.borrow();
            (session.inner.clone(), session.data.as_ref().map(|data| data.clone_ref(session.py())))
        };
        // Not borrowed any more: the encoder may run code of the program.
        if let Some(data) = data {
            inner.data = json::encode(data.bind(session.py()))?;
        }
        Ok(inner)
    }

    pub(crate) fn inner(&self) -> &shared::Session<Text> {
        &self.inner
    }

    pub(crate) fn session_id(&self) -> &shared::SessionId {
        self.inner.id()
    }

    /// Takes over what a save has made of the session.
    pub(crate) fn saved(&mut self, inner: shared::Session<Text>) {
        self.inner = inner;
    }
}

#[pymethods]
impl Session {
    #[doc = docstring!(Session::id)]
    #[getter]
    fn id(&self) -> &str {
        self.inner.id().expose()
    }

    #[doc = docstring!(Session::loggable_id)]
    #[getter]
    fn loggable_id(&self) -> &str {
        self.inner.loggable_id().as_str()
    }

    #[doc = docstring!(Session::subject)]
    #[getter]
    fn subject(&self) -> Option<&str> {
        self.inner.subject().map(shared::Subject::as_str)
    }

    #[doc = docstring!(Session::label)]
    #[getter]
    fn label(&self) -> Option<&str> {
        self.inner.device().label()
    }

    #[doc = docstring!(Session::context)]
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        context(py, self.inner.device())
    }

    #[doc = docstring!(Session::authenticated_at)]
    #[getter]
    fn authenticated_at(&self) -> Option<SystemTime> {
        self.inner.authenticated_at().map(SystemTime::from)
    }

    #[doc = docstring!(Session::created)]
    #[getter]
    fn created(&self) -> SystemTime {
        self.inner.created().into()
    }

    #[doc = docstring!(Session::expires)]
    #[getter]
    fn expires(&self) -> SystemTime {
        self.inner.expires().into()
    }

    #[doc = docstring!(Session::idle_deadline)]
    #[getter]
    fn idle_deadline(&self) -> SystemTime {
        self.inner.idle_deadline().into()
    }

    #[doc = docstring!(Session::absolute_deadline)]
    #[getter]
    fn absolute_deadline(&self) -> SystemTime {
        self.inner.absolute_deadline().into()
    }

    #[doc = docstring!(Session::etag)]
    #[getter]
    fn etag(&self) -> &str {
        self.inner.etag().as_str()
    }

    #[getter]
    fn idle_timeout_seconds(&self) -> u64 {
        self.inner.timeouts.idle_seconds
    }

    #[setter]
    fn set_idle_timeout_seconds(&mut self, seconds: Seconds) {
        self.inner.timeouts.idle_seconds = seconds.0;
    }

    #[getter]
    fn absolute_timeout_seconds(&self) -> u64 {
        self.inner.timeouts.absolute_seconds
    }

    #[setter]
    fn set_absolute_timeout_seconds(&mut self, seconds: Seconds) {
        self.inner.timeouts.absolute_seconds = seconds.0;
    }

    #[getter]
    fn data(session: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = session.py();
        let mut session = session.borrow_mut();
        match &session.data {
            Some(data) => Ok(data.clone_ref(py)),
            None => {
                let data = json::decode(py, &session.inner.data)?.unbind();
                Ok(session.data.insert(data).clone_ref(py))
            }
        }
    }

    #[setter]
    fn set_data(&mut self, data: Py<PyAny>) {
        self.data = Some(data);
    }

    #[doc = docstring!(Session::json)]
    #[getter]
    fn json(session: &Bound<'_, Self>) -> PyResult<String> {
        Ok(Self::encoded(session)?.data.get().to_owned())
    }

    fn __repr__(&self) -> String {
        format!("<Session {}… until {}>", &self.loggable_id()[..16], self.inner.expires())
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
