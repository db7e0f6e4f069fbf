//! The session crate as a Python extension module, `dynamodb_web_session._core`.
//!
//! Python calls the verbs of the crate's `SessionManager`. What is here only translates: arguments, JSON, errors, and how a
//! Python program waits.

#[macro_use]
mod docs {
    include!(concat!(env!("OUT_DIR"), "/docs.rs"));
}

mod arguments;
mod clock;
mod command;
mod connection;
mod embedded;
mod ending;
mod errors;
mod json;
mod log;
mod manager;
mod plain;
mod request;
mod session;
mod settings;

use pyo3::prelude::*;

/// The types that the Python package exports.
#[pymodule(name = "_core")]
mod core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::clock::ManualClock;
    #[pymodule_export]
    use crate::command::run_command;
    #[pymodule_export]
    use crate::connection::end_runtimes;
    #[pymodule_export]
    use crate::embedded::EmbeddedDynamoDb;
    #[pymodule_export]
    use crate::json::RawJson;
    #[pymodule_export]
    use crate::manager::{AsyncSessionManager, SessionManager};
    #[pymodule_export]
    use crate::request::{Cookie, Lifetime, RequestSession};
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::log::begin();
        let end = module.getattr("end_runtimes")?;
        module.py().import("atexit")?.call_method1("register", (end,))?;
        Ok(())
    }

    #[pymodule_export]
    use crate::session::{ListedSession, Session};
}
