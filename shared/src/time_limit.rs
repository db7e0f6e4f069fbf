//! The time that a call may take, where the settings limit it, and what happens to a table that does not respond.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;

/// After so many time-outs in a row the table counts as hung.
const TIMEOUTS: u32 = 3;

/// For so long calls fail at once then. After it one call tries again.
const OPEN: Duration = Duration::from_secs(1);

/// The time that each call of a manager may take. A clear and a revocation have no limit of this kind: they are always tried.
#[derive(Clone, Debug)]
pub(crate) struct TimeLimit {
    each: Duration,
    /// When the client was made, if it was made for a call: that call counts its time from here.
    client_made_at: Arc<OnceLock<Instant>>,
    breaker: Arc<Mutex<Breaker>>,
}

/// A circuit breaker: a program whose table hangs must not hang with it, call after call.
#[derive(Debug, Default)]
struct Breaker {
    timeouts: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// Whether a request may be sent. Of those that come after the pause, the first may, and the others wait for how it ends.
    fn lets_pass(&mut self, now: Instant) -> bool {
        if self.timeouts < TIMEOUTS {
            return true;
        }
        if self.open_until.is_some_and(|until| now < until) {
            return false;
        }
        self.open_until = Some(now + OPEN);
        true
    }

    fn timed_out(&mut self, now: Instant) {
        self.timeouts = self.timeouts.saturating_add(1);
        self.open_until = Some(now + OPEN);
    }

    fn responded(&mut self) {
        *self = Self::default();
    }
}

impl TimeLimit {
    pub(crate) fn new(each: Duration, client_made_at: Arc<OnceLock<Instant>>) -> Self {
        Self { each, client_made_at, breaker: Arc::default() }
    }

    /// Waits for a response to a request of a call that began at `started`, within what is left of its time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the time is over, and at once while the table counts as hung.
    pub(crate) async fn within<T>(
        &self,
        started: Instant,
        response: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let breaker = || self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        if !breaker().lets_pass(Instant::now()) {
            let text = "the table did not respond to the last calls: it is tried again in a second";
            return Err(Error::Unavailable(text.into()));
        }
        let started = self.client_made_at.get().map_or(started, |made_at| started.max(*made_at));
        let left = self.each.saturating_sub(started.elapsed());
        let responded = tokio::time::timeout(left, response).await;
        match responded {
            Ok(response) => {
                breaker().responded();
                Ok(response)
            }
            Err(_) => {
                // A call that has spent its time on other writes to a session says nothing of the table, and of other sessions.
                if left >= self.each / 2 {
                    breaker().timed_out(Instant::now());
                }
                let text = format!(
                    "the table did not respond within {} ms (SESSION_CALL_TIMEOUT_MILLISECONDS)",
                    self.each.as_millis()
                );
                Err(Error::Unavailable(text.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_three_timeouts_in_a_row_one_call_a_second_passes() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.timed_out(now);
        breaker.timed_out(now);
        breaker.responded();
        for _ in 0..TIMEOUTS {
            assert!(breaker.lets_pass(now), "not three in a row");
            breaker.timed_out(now);
        }
        assert!(!breaker.lets_pass(now + OPEN / 2));
        assert!(breaker.lets_pass(now + OPEN), "one may try");
        assert!(!breaker.lets_pass(now + OPEN), "the others wait for it");
        breaker.timed_out(now + OPEN);
        assert!(!breaker.lets_pass(now + OPEN + OPEN / 2));
        breaker.responded();
        assert!(breaker.lets_pass(now + OPEN));
    }

    /// An attacker who writes to one session all the time must not make the calls for others fail.
    #[tokio::test]
    async fn calls_that_have_spent_their_time_before_a_request_do_not_open_the_breaker() {
        let limit = TimeLimit::new(Duration::from_millis(10), Arc::default());
        let Some(long_ago) = Instant::now().checked_sub(Duration::from_secs(1)) else { return };
        for _ in 0..=TIMEOUTS {
            limit.within(long_ago, std::future::pending::<()>()).await.unwrap_err();
        }
        let now = Instant::now() + OPEN;
        assert!(limit.breaker.lock().unwrap().lets_pass(now));
        assert_eq!(limit.breaker.lock().unwrap().timeouts, 0);
    }
}
