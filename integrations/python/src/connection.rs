//! The runtime and the client of one process, and how a Python program waits for a call.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use dynamodb_web_session::{Clock, Config, Error, SessionManager, SystemClock, Timestamp, wait_for_endings};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::ending::{self, Returning};
use crate::errors::Failure;
use crate::log;
use crate::settings::Settings;

/// How long Ctrl-C waits at most while a call is under way.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(100);

/// How long the end of the interpreter waits at most for a call that is about to end.
const AT_EXIT: Duration = Duration::from_secs(2);

/// How long it waits at most for a clear or a revocation. They take no longer.
const ENDINGS: Duration = Duration::from_secs(10);

/// What a call does when a signal handler raises an exception, as that of Ctrl-C does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// The exception ends it.
    Stops,
    /// It goes on to its end, and then the exception is raised: what ends sessions must not stop half-way. A second exception
    /// ends it.
    Finishes,
}

/// A session manager that connects at its first call, once in each process.
pub(crate) struct Connection {
    settings: Settings,
    /// Locked only by a thread that is attached to the interpreter, and stays so: when Python forks, it is not locked.
    current: Mutex<Option<Arc<InProcess<SessionManager>>>>,
}

/// A runtime and what uses it. They are of one process: a fork has neither the threads of the runtime nor connections of its
/// own.
pub(crate) struct InProcess<T> {
    id: u32,
    /// Absent only while it is dropped.
    parts: Option<(Runtime, T)>,
}

/// The connections whose runtimes have to end before the interpreter does.
static CONNECTIONS: Mutex<Vec<Weak<Connection>>> = Mutex::new(Vec::new());

/// The runtimes of managers that have gone away while a session was being ended, and their process.
static LEFT: Mutex<Vec<(u32, Runtime)>> = Mutex::new(Vec::new());

/// Ends the runtimes of asynchronous managers, while the interpreter is there: a call that ends later would not find it,
/// and abort the process. Python's `atexit` calls it.
#[pyfunction]
pub(crate) fn end_runtimes(py: Python<'_>) {
    ending::begin(py);
    let connections = std::mem::take(&mut *CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner));
    for connection in connections.iter().filter_map(Weak::upgrade) {
        let process = connection.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        let process = process.filter(|process| process.id == std::process::id()).and_then(Arc::into_inner);
        if let Some((runtime, sessions)) = process.and_then(|mut process| process.parts.take()) {
            end(py, runtime);
            drop(sessions);
        }
    }
    let left = std::mem::take(&mut *LEFT.lock().unwrap_or_else(PoisonError::into_inner));
    left.into_iter().filter(|(id, _)| *id == std::process::id()).for_each(|(_, runtime)| end(py, runtime));
}

/// Ends a runtime without the GIL, for which a call may wait. A revocation that nobody waits for any more goes on to its end first.
fn end(py: Python<'_>, runtime: Runtime) {
    py.detach(|| {
        drop(runtime.block_on(async { timeout(ENDINGS, wait_for_endings()).await }));
        runtime.shutdown_timeout(AT_EXIT);
    });
}

/// Whether a clear or a revocation of this process is under way.
fn is_ending() -> bool {
    pin!(wait_for_endings()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// A coroutine that begins with `start`, which returns what it awaits.
pub(crate) fn coroutine<'py>(
    py: Python<'py>,
    start: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    static RUN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let start = Start(Mutex::new(Some(Box::new(start))));
    RUN.import(py, "dynamodb_web_session._coroutine", "run")?.call1((start,))
}

type Starting = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// The beginning of a coroutine.
#[pyclass(frozen)]
struct Start(Mutex<Option<Starting>>);

#[pymethods]
impl Start {
    fn __call__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let start = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        start.ok_or_else(|| PyRuntimeError::new_err("the coroutine has begun already"))?(py)
    }
}

impl Connection {
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self { settings, current: Mutex::new(None) })
    }

    /// The time by the clock of the settings.
    pub(crate) fn now(&self) -> Timestamp {
        self.settings.clock.as_ref().map_or_else(|| SystemClock.now(), Clock::now)
    }

    pub(crate) fn config(&self) -> &Config {
        &self.settings.config
    }

    /// Waits in this thread, without the GIL; in the main thread signal handlers are called meanwhile.
    pub(crate) fn block_on<T: Send, F>(
        &self,
        py: Python<'_>,
        interrupted: Interrupted,
        call: impl FnOnce(SessionManager) -> F + Send,
    ) -> PyResult<T>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let process = self.process(&mut Builder::new_current_thread())?;
        let (runtime, sessions) = process.parts()?;
        if !ending::is_main_thread(py)? {
            let (result, returning) = py.detach(|| {
                let result = runtime.block_on(call(sessions.clone()));
                (result, Returning::announce())
            });
            log::flush(py);
            drop(returning);
            return Ok(result.map_err(Failure::from)?);
        }
        let result = py.detach(|| {
            let mut call = pin!(call(sessions.clone()));
            let mut raised = None;
            loop {
                // Outside of the runtime, so that a signal handler can make calls of its own.
                match runtime.block_on(async { timeout(BETWEEN_SIGNALS, call.as_mut()).await }) {
                    Ok(result) => match raised {
                        Some(exception) => return Err(exception),
                        None => return Ok(result.map_err(Failure::from)?),
                    },
                    Err(_) => match Python::attach(|py| py.check_signals()) {
                        Ok(()) => {}
                        Err(exception) if interrupted == Interrupted::Finishes && raised.is_none() => {
                            raised = Some(exception);
                        }
                        Err(exception) => return Err(exception),
                    },
                }
            }
        });
        log::flush(py);
        result
    }

    /// Returns an `asyncio` future. `finish` makes its result, attached to the interpreter.
    pub(crate) fn spawn<'py, T: Send + 'static, F>(
        self: &Arc<Self>,
        py: Python<'py>,
        call: impl FnOnce(SessionManager) -> F + Send + 'static,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let process = self.process(Builder::new_multi_thread().worker_threads(1))?;
        self.end_at_exit();
        let event_loop = running_loop(py)?;
        let future = event_loop.call_method0("create_future")?;
        let (event_loop, waiting) = (event_loop.unbind(), future.clone().unbind());
        let (runtime, sessions) = process.parts()?;
        let sessions = sessions.clone();
        let task = runtime.spawn(async move {
            let result = call(sessions).await.map_err(Failure::from);
            // When the interpreter has ended, no one waits for the result.
            Python::try_attach(|py| {
                log::flush(py);
                let result = result.map_err(PyErr::from).and_then(|value| finish(py, value));
                let settle = Settle { future: waiting, result: Mutex::new(Some(result)) };
                // It fails when the event loop is closed.
                event_loop.call_method1(py, "call_soon_threadsafe", (settle,)).ok()
            });
        });
        future.call_method1("add_done_callback", (Abort(task.abort_handle()),))?;
        Ok(future)
    }

    fn end_at_exit(self: &Arc<Self>) {
        let mut connections = CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        let this = Arc::downgrade(self);
        if !connections.iter().any(|connection| connection.ptr_eq(&this)) {
            connections.retain(|connection| connection.strong_count() > 0);
            connections.push(this);
        }
    }

    fn process(&self, runtime: &mut Builder) -> PyResult<Arc<InProcess<SessionManager>>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = current.as_ref().filter(|process| process.id == std::process::id()) {
            return Ok(process.clone());
        }
        let runtime = runtime.enable_all().build()?;
        Ok(current.insert(Arc::new(InProcess::new(runtime, self.settings.manager()?))).clone())
    }
}

impl<T> InProcess<T> {
    pub(crate) fn new(runtime: Runtime, user: T) -> Self {
        Self { id: std::process::id(), parts: Some((runtime, user)) }
    }

    pub(crate) fn parts(&self) -> PyResult<&(Runtime, T)> {
        self.parts.as_ref().ok_or_else(|| PyRuntimeError::new_err("the runtime has ended"))
    }
}

impl<T> Drop for InProcess<T> {
    fn drop(&mut self) {
        let Some((runtime, user)) = self.parts.take() else { return };
        if self.id == std::process::id() && is_ending() {
            LEFT.lock().unwrap_or_else(PoisonError::into_inner).push((self.id, runtime));
        } else if self.id == std::process::id() {
            // Without waiting: this thread has the GIL, for which a call may wait.
            runtime.shutdown_background();
        } else {
            // A fork shares the sockets and the epoll instance with its parent, which goes on to use them.
            std::mem::forget((runtime, user));
        }
    }
}

/// The event loop that runs in this thread.
fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let no_loop = |_| {
        PyRuntimeError::new_err("AsyncSessionManager needs a running event loop of asyncio; trio has none")
    };
    GET.import(py, "asyncio", "get_running_loop")?.call0().map_err(no_loop)
}

/// Gives a future its result, on its event loop.
#[pyclass(frozen)]
struct Settle {
    future: Py<PyAny>,
    result: Mutex<Option<PyResult<Py<PyAny>>>>,
}

#[pymethods]
impl Settle {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(result) = result else { return Ok(()) };
        if self.future.call_method0(py, "done")?.is_truthy(py)? {
            return Ok(()); // it was cancelled
        }
        match result {
            Ok(value) => self.future.call_method1(py, "set_result", (value,))?,
            Err(error) => self.future.call_method1(py, "set_exception", (error.into_value(py),))?,
        };
        Ok(())
    }
}

/// Ends the call of a future that was cancelled.
#[pyclass(frozen)]
struct Abort(AbortHandle);

#[pymethods]
impl Abort {
    fn __call__(&self, _future: &Bound<'_, PyAny>) {
        self.0.abort();
    }
}
