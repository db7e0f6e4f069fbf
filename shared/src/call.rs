//! One call of a verb, from its start to its report: the clock, the time that is left, and what it has consumed.

use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::ConsumedCapacity;

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::Error;
use crate::id::LoggableId;
use crate::report::{self, Event, Report};
use crate::subject::Subject;
use crate::time_limit::TimeLimit;
use crate::time_limits::REQUESTS_WITHIN;

/// One call of a verb.
pub(crate) struct Call<'a> {
    clock: &'a dyn Clock,
    started: Instant,
    limit: Option<TimeLimit>,
    /// How often it has found the list of its subject full.
    pub(crate) full_lists: u32,
    /// What its event will say.
    pub(crate) report: Report,
}

impl<'a> Call<'a> {
    pub(crate) fn new(clock: &'a dyn Clock) -> Self {
        Self { clock, started: Instant::now(), limit: None, full_lists: 0, report: Report::default() }
    }

    /// A call for the session `id`.
    pub(crate) fn of(id: &LoggableId, clock: &'a dyn Clock) -> Self {
        let mut call = Self::new(clock);
        call.report.session = Some(id.clone());
        call
    }

    /// A call that may take no longer than this.
    pub(crate) fn limited(mut self, limit: Option<&TimeLimit>) -> Self {
        self.limit = limit.cloned();
        self
    }

    /// Waits for the response to a request, within the time of the call.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when that is over.
    pub(crate) async fn within<T>(&self, response: impl Future<Output = T>) -> Result<T, Error> {
        match &self.limit {
            Some(limit) => limit.within(self.started, response).await,
            None => Ok(response.await),
        }
    }

    /// A call for the sessions of `subject`.
    pub(crate) fn for_subject(mut self, subject: Option<&Subject>) -> Self {
        self.report.subject = subject.map(Subject::digest);
        self
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How long the call has taken so far.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// For a request of this call that is sent beside others, in a task of its own. Its time was read before.
    pub(crate) fn part(&self) -> Call<'static> {
        Call {
            clock: &SystemClock,
            started: self.started,
            limit: self.limit.clone(),
            full_lists: 0,
            report: Report::default(),
        }
    }

    /// Counts a request that is about to be sent, and reads the clock for it: each request is judged by the time at
    /// which it is sent, not by the time at which the call began.
    pub(crate) fn request(&mut self) -> Timestamp {
        self.report.requests += 1;
        self.now()
    }

    /// As [`request`](Self::request), for a request that is one of many.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the call has taken too long for another one.
    pub(crate) fn further_request(&mut self) -> Result<Timestamp, Error> {
        self.require_time()?;
        Ok(self.request())
    }

    /// # Errors
    /// [`Error::Unavailable`] when the call has taken too long for another request.
    pub(crate) fn require_time(&self) -> Result<(), Error> {
        if self.elapsed() > REQUESTS_WITHIN {
            return Err(Error::Unavailable(
                "the call did not end in time: other writes, or a slow table".into(),
            ));
        }
        Ok(())
    }

    pub(crate) fn add_read(&mut self, consumed: Option<&ConsumedCapacity>) {
        self.report.read_units += consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
    }

    pub(crate) fn add_write(&mut self, consumed: Option<&ConsumedCapacity>) {
        self.report.write_units += consumed.and_then(ConsumedCapacity::capacity_units).unwrap_or_default();
    }

    /// Reports the call, and returns its result.
    pub(crate) fn end<T>(self, result: Result<T, Error>, event: Event) -> Result<T, Error> {
        self.ended(result, event).report()
    }

    /// The end of the call, which is not reported yet.
    pub(crate) fn ended<T>(self, result: Result<T, Error>, event: Event) -> Ended<T> {
        Ended { report: self.report, event, result: Some(result) }
    }
}

/// The end of a call. A call that runs in a task of its own is reported by the task that waits for it, whose log knows the request;
/// or by its own, if the other one has gone away.
pub(crate) struct Ended<T> {
    report: Report,
    event: Event,
    /// `None` when it has been reported.
    result: Option<Result<T, Error>>,
}

impl<T> Ended<T> {
    /// Reports the call, and returns its result.
    pub(crate) fn report(mut self) -> Result<T, Error> {
        self.emit().unwrap_or_else(|| Err(Error::Unavailable("the call was reported before".into())))
    }

    fn emit(&mut self) -> Option<Result<T, Error>> {
        let result = self.result.take()?;
        report::emit(&self.report, self.event, result.as_ref().err());
        Some(result)
    }
}

impl<T> Drop for Ended<T> {
    fn drop(&mut self) {
        self.emit();
    }
}
