//! Python values as JSON text, by Python's own `json`: integers of any size survive.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};
use serde_json::value::RawValue;

use crate::errors::InvalidDataError;
use crate::plain;

/// JSON text as it goes into the table and comes from there.
pub(crate) type Text = Box<RawValue>;

#[doc = docstring!(RawJson)]
#[pyclass(frozen, module = "dynamodb_web_session")]
pub(crate) struct RawJson(Text);

#[pymethods]
impl RawJson {
    #[new]
    fn new(text: &Bound<'_, PyString>) -> PyResult<Self> {
        parse(text).map(Self)
    }

    fn __str__(&self) -> &str {
        self.0.get()
    }
}

/// The functions `encode` and `decode` of Python's `json`, whose import takes milliseconds.
fn codec(py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
    static CODEC: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();
    CODEC.get_or_try_init(py, || {
        let json = py.import("json")?;
        let options = PyDict::new(py);
        options.set_item("allow_nan", false)?;
        options.set_item("ensure_ascii", false)?;
        options.set_item("separators", (",", ":"))?;
        let encoder = json.getattr("JSONEncoder")?.call((), Some(&options))?;
        let decoder = json.getattr("JSONDecoder")?.call0()?;
        Ok((encoder.getattr("encode")?.unbind(), decoder.getattr("decode")?.unbind()))
    })
}

/// The JSON text of a value, or of a [`RawJson`].
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Text> {
    if let Ok(raw) = value.cast_exact::<RawJson>() {
        return Ok(raw.get().0.clone());
    }
    if let Some(text) = plain::encode(value) {
        return Ok(text);
    }
    let py = value.py();
    let text = codec(py)?.0.bind(py).call1((value,)).map_err(|error| invalid(value, error))?;
    parse(text.cast()?)
}

/// What Python's encoder says of a value becomes an exception of ours, with its own as the cause.
fn invalid(value: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    use pyo3::exceptions::{PyRecursionError, PyTypeError, PyValueError};
    let py = value.py();
    if error.is_instance_of::<PyRecursionError>(py) {
        return InvalidDataError::new_err("the data is nested too deep");
    }
    if !error.is_instance_of::<PyTypeError>(py) && !error.is_instance_of::<PyValueError>(py) {
        return error;
    }
    let what = refused_key(value).map_or_else(|| "the data".to_owned(), |key| format!("the value of {key}"));
    let text = format!("Python's JSON does not support {what}: {}", error.value(py));
    let invalid = InvalidDataError::new_err(text);
    invalid.set_cause(py, Some(error));
    invalid
}

/// The first key of a `dict` whose value Python's encoder refuses.
fn refused_key(value: &Bound<'_, PyAny>) -> Option<String> {
    let encode = codec(value.py()).ok()?.0.bind(value.py());
    let items = value.cast::<PyDict>().ok()?.iter();
    let (key, _) = items.into_iter().find(|(_, value)| encode.call1((value,)).is_err())?;
    Some(key.repr().ok()?.to_string())
}

fn parse(text: &Bound<'_, PyString>) -> PyResult<Text> {
    // Python's own exception would hold the data.
    let text =
        text.to_cow().map_err(|_| InvalidDataError::new_err("the data has text that is not Unicode"))?;
    RawValue::from_string(text.into_owned())
        .map_err(|error| InvalidDataError::new_err(format!("the data is not JSON: {error}")))
}

/// The value that the text stands for.
pub(crate) fn decode<'py>(py: Python<'py>, text: &RawValue) -> PyResult<Bound<'py, PyAny>> {
    if let Some(value) = plain::decode(py, text) {
        return Ok(value);
    }
    codec(py)?.1.bind(py).call1((text.get(),)).map_err(|error| invalid(py.None().bind(py), error)) // such as a number of 5,000 digits
}

/// An empty object.
pub(crate) fn empty() -> Text {
    RawValue::from_string("{}".into()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// `text` or, when it is absent, an empty object.
pub(crate) fn encode_or_empty(value: Option<&Bound<'_, PyAny>>) -> PyResult<Text> {
    value.map_or_else(|| Ok(empty()), encode)
}
