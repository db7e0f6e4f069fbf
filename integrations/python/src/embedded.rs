//! The embedded DynamoDB, for tests and for a first look.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use tokio::runtime::Builder;

use crate::connection::InProcess;

#[doc = docstring!(EmbeddedDynamoDb)]
#[pyclass(frozen, module = "dynamodb_web_session.embedded")]
pub(crate) struct EmbeddedDynamoDb {
    #[pyo3(get)]
    url: String,
    table_name: String,
    runtime: InProcess<()>,
}

#[pymethods]
impl EmbeddedDynamoDb {
    #[new]
    #[pyo3(signature = (*, port = 0, data = None, table_name = "app_session"))]
    fn new(py: Python<'_>, port: u16, data: Option<std::path::PathBuf>, table_name: &str) -> PyResult<Self> {
        py.detach(|| {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
            let url = runtime
                .block_on(::embedded::serve(port, data.as_deref(), table_name))
                .map_err(|error| PyOSError::new_err(dynamodb_web_session::chain(error.as_ref())))?;
            Ok(Self { url, table_name: table_name.to_owned(), runtime: InProcess::new(runtime, ()) })
        })
    }

    #[doc = docstring!(EmbeddedDynamoDb::empty)]
    fn empty(&self, py: Python<'_>) -> PyResult<()> {
        let (runtime, ()) = self.runtime.parts()?;
        py.detach(|| runtime.block_on(::embedded::empty(&self.url, &self.table_name)))
            .map_err(|error| PyOSError::new_err(dynamodb_web_session::chain(error.as_ref())))
    }
}
