//! Arguments that several verbs take.

use dynamodb_web_session::{Device, LoggableId, MalformedDevice, Preconditions, SessionId, Subject};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyInt, PyString};

use crate::json;
use crate::session::Session;

/// A session, or its ID.
#[derive(FromPyObject)]
pub(crate) enum Named<'py> {
    Session(Bound<'py, Session>),
    Id(String),
}

impl Named<'_> {
    /// `None`: no session has such an ID.
    pub(crate) fn id(&self) -> Option<SessionId> {
        match self {
            Self::Session(session) => Some(session.get().read(|session| session.id().clone())),
            Self::Id(text) => text.parse().ok(),
        }
    }

    pub(crate) fn loggable_id(&self) -> PyResult<LoggableId> {
        match self {
            Self::Session(session) => Ok(session.get().read(|session| session.loggable_id().clone())),
            Self::Id(text) => text.parse().map_err(|error| PyValueError::new_err(format!("{error}"))),
        }
    }
}

/// A subject: a text, an integer or a UUID.
pub(crate) struct SubjectArgument(pub(crate) Subject);

impl<'py> FromPyObject<'_, 'py> for SubjectArgument {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        static UUID: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = value.py();
        let is_number = value.is_instance_of::<PyInt>() && !value.is_instance_of::<PyBool>();
        let is_accepted = value.is_instance_of::<PyString>()
            || is_number
            || value.is_instance(UUID.import(py, "uuid", "UUID")?)?;
        if !is_accepted {
            let given = value.get_type();
            return Err(PyTypeError::new_err(format!(
                "a subject is a text, an integer or a UUID, not {given}"
            )));
        }
        let subject = Subject::try_from(value.str()?.extract::<String>()?);
        subject.map(Self).map_err(|error| PyValueError::new_err(error.to_string()))
    }
}

/// `None` leaves a part as it is, and an empty text removes it.
pub(crate) fn device(label: Option<String>, context: Option<&Bound<'_, PyAny>>) -> PyResult<Device> {
    let refused = |error: MalformedDevice| PyValueError::new_err(error.to_string());
    let mut device = Device::default();
    if let Some(label) = label {
        device = device.with_label(label).map_err(refused)?;
    }
    if let Some(context) = context {
        let is_empty = context.extract::<&str>().is_ok_and(str::is_empty);
        let text = if is_empty { String::new() } else { json::encode(context)?.get().to_owned() };
        device = device.with_context(text).map_err(refused)?;
    }
    Ok(device)
}

pub(crate) fn preconditions(if_match: Option<&str>) -> PyResult<Preconditions> {
    let tags = if_match.map(|text| text.parse().map_err(|error| PyValueError::new_err(format!("{error}"))));
    Ok(Preconditions { if_match: tags.transpose()?, ..Preconditions::default() })
}
