//! The end of the interpreter, while daemon threads are in calls.
//!
//! Python ends a thread that returns to it after its end by unwinding the frames of the thread, and frames of Rust abort the process
//! then. So from a moment before the end on, no thread but the main one returns: it waits for the end of the process.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// How long the end waits at most for threads that are returning. They wait for the GIL alone.
const RETURNS: Duration = Duration::from_millis(500);

static HAS_BEGUN: AtomicBool = AtomicBool::new(false);
static RETURNING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// The process in which it was asked, and the answer. A thread that forks is the main one of the child.
    static IS_MAIN: Cell<Option<(u32, bool)>> = const { Cell::new(None) };
}

/// Whether this is the main thread: signal handlers run in it, and it ends the interpreter.
pub(crate) fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    static MAIN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static CURRENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let process = std::process::id();
    if let Some((_, is_main)) = IS_MAIN.get().filter(|(asked, _)| *asked == process) {
        return Ok(is_main);
    }
    if !is_imported(py, "threading")? {
        return Ok(true); // Python knows of no other thread
    }
    let main = MAIN.import(py, "threading", "main_thread")?.call0()?.getattr("ident")?;
    let is_main = main.eq(CURRENT.import(py, "threading", "get_ident")?.call0()?)?;
    IS_MAIN.set(Some((process, is_main)));
    Ok(is_main)
}

/// Whether the program has imported a module of Python's library. A first call must not do so only to find out that nobody uses it:
/// `threading` and `logging` take longer than all the rest of it.
pub(crate) fn is_imported(py: Python<'_>, module: &str) -> PyResult<bool> {
    static MODULES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MODULES.import(py, "sys", "modules")?.contains(module)
}

/// A thread that is about to return to the interpreter.
pub(crate) struct Returning(());

impl Returning {
    /// Does not come back when the end of the interpreter has begun.
    pub(crate) fn announce() -> Self {
        RETURNING.fetch_add(1, SeqCst);
        if HAS_BEGUN.load(SeqCst) {
            RETURNING.fetch_sub(1, SeqCst);
            loop {
                std::thread::park();
            }
        }
        Self(())
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        RETURNING.fetch_sub(1, SeqCst);
    }
}

/// The end is near: waits for the threads that have announced their return.
pub(crate) fn begin(py: Python<'_>) {
    HAS_BEGUN.store(true, SeqCst);
    py.detach(|| {
        let began = Instant::now();
        while RETURNING.load(SeqCst) > 0 && began.elapsed() < RETURNS {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
