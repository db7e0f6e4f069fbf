//! A session in the hands of a Python program.

use std::time::SystemTime;

use dynamodb_web_session as shared;
use pyo3::prelude::*;

use crate::json::{self, Text};
use crate::settings::Seconds;

/// See `_core.pyi`.
#[pyclass(module = "dynamodb_web_session")]
pub(crate) struct Session {
    inner: shared::Session<Text>,
    /// What the text stands for, from the first use on. The program may change it.
    data: Option<Py<PyAny>>,
    /// Whether the call that returned it has created it.
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
    #[getter]
    fn id(&self) -> &str {
        self.inner.id().expose()
    }

    #[getter]
    fn loggable_id(&self) -> &str {
        self.inner.loggable_id().as_str()
    }

    #[getter]
    fn subject(&self) -> Option<&str> {
        self.inner.subject().map(shared::Subject::as_str)
    }

    #[getter]
    fn created(&self) -> SystemTime {
        self.inner.created().into()
    }

    #[getter]
    fn expires(&self) -> SystemTime {
        self.inner.expires().into()
    }

    #[getter]
    fn idle_deadline(&self) -> SystemTime {
        self.inner.idle_deadline().into()
    }

    #[getter]
    fn absolute_deadline(&self) -> SystemTime {
        self.inner.absolute_deadline().into()
    }

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

    #[getter]
    fn json(session: &Bound<'_, Self>) -> PyResult<String> {
        Ok(Self::encoded(session)?.data.get().to_owned())
    }

    fn __repr__(&self) -> String {
        format!("<Session {}… until {}>", &self.loggable_id()[..16], self.inner.expires())
    }
}

/// See `_core.pyi`.
#[pyclass(frozen, get_all, module = "dynamodb_web_session")]
pub(crate) struct ListedSession {
    loggable_id: String,
    created: SystemTime,
    last_used: SystemTime,
    expires: SystemTime,
}

impl From<shared::ListedSession> for ListedSession {
    fn from(session: shared::ListedSession) -> Self {
        Self {
            loggable_id: session.loggable_id.to_string(),
            created: session.created.into(),
            last_used: session.last_used.into(),
            expires: session.expires.into(),
        }
    }
}

#[pymethods]
impl ListedSession {
    fn __repr__(&self) -> String {
        format!("<ListedSession {}…>", &self.loggable_id[..16])
    }
}
