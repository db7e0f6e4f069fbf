//! Settings from keyword arguments and the environment.

use std::collections::HashMap;

use dynamodb_web_session::{Config, ManualClock, SessionManager, Variables};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};

use crate::clock;
use crate::errors::configuration;

/// What a session manager is made from.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) clock: Option<ManualClock>,
}

impl Settings {
    /// The keyword argument `name` is the environment variable `SESSION_NAME`, and goes before it. There are three more:
    /// `endpoint_url`, `region` and `clock`.
    ///
    /// # Errors
    /// A setting that is not accepted, or that does not exist.
    pub(crate) fn new(arguments: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut clock = None;
        let mut given = HashMap::new();
        for (name, value) in arguments.into_iter().flatten().filter(|(_, value)| !value.is_none()) {
            let name: String = name.extract()?;
            if name == "clock" {
                clock = Some(value.cast::<clock::ManualClock>()?.get().0.clone());
            } else {
                let value = text(&value).map_err(|_| {
                    PyTypeError::new_err(format!("{name} cannot be of the type {}", value.get_type()))
                })?;
                given.insert(name, value);
            }
        }
        let config = Config::from_arguments(given, &Variables::of_process());
        Ok(Self { config: config.map_err(|error| configuration(&error))?, clock })
    }
}

impl Settings {
    /// A session manager that connects at its first call.
    pub(crate) fn manager(&self) -> PyResult<SessionManager> {
        let sessions = SessionManager::lazy(self.config.clone()).map_err(|error| configuration(&error))?;
        Ok(match &self.clock {
            Some(clock) => sessions.with_clock(clock.clone()),
            None => sessions,
        })
    }
}

/// The value as it would be in an environment variable.
fn text(value: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(flag) = value.cast::<PyBool>() {
        return Ok(flag.is_true().to_string());
    }
    if let Ok(texts) = value.cast::<PyList>() {
        return Ok(texts.extract::<Vec<String>>()?.join(","));
    }
    if value.is_instance_of::<PyInt>() || value.is_instance_of::<PyString>() {
        return Ok(value.str()?.to_str()?.to_owned());
    }
    value.call_method0("isoformat")?.extract() // a datetime
}

/// A number of seconds. One that no setting allows is refused where the others are.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) u64);

impl<'py> FromPyObject<'_, 'py> for Seconds {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let value = value.cast::<PyInt>()?;
        Ok(Self(value.extract().unwrap_or(0)))
    }
}
