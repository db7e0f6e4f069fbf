//! The commands of `python -m dynamodb_web_session`.

use pyo3::prelude::*;

/// See `_core.pyi`.
#[pyfunction]
pub(crate) fn run_command(py: Python<'_>, arguments: Vec<String>) -> PyResult<u8> {
    Ok(py.detach(|| commands::run_blocking(arguments))?)
}
