//! A clock that a test moves.

use std::time::{SystemTime, UNIX_EPOCH};

use dynamodb_web_session::{Clock, SystemClock, Timestamp};
use pyo3::prelude::*;

#[doc = docstring!(ManualClock)]
#[pyclass(frozen, module = "dynamodb_web_session")]
pub(crate) struct ManualClock(pub(crate) dynamodb_web_session::ManualClock);

#[pymethods]
impl ManualClock {
    #[new]
    #[pyo3(signature = (now = None))]
    fn new(now: Option<SystemTime>) -> Self {
        let now = now.map_or(SystemClock.now(), |now| {
            let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_epoch_seconds(since_epoch.as_secs())
        });
        Self(dynamodb_web_session::ManualClock::starting_at(now))
    }

    #[doc = docstring!(ManualClock::advance)]
    fn advance(&self, seconds: u64) {
        self.0.advance(seconds);
    }

    fn now(&self) -> SystemTime {
        self.0.now().into()
    }
}
