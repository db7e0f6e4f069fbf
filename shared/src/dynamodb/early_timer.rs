//! A timer that is always set while requests are sent, which makes the others cheap.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Shorter than any time limit of a request, and long enough to cost nothing.
const PERIOD: Duration = Duration::from_millis(100);

/// When a timer is set that ends before all others, a runtime with threads of its own wakes one, to look at it: that is a system call,
/// and one more turn of its loop. Each request sets two or three such timers, for limits that are seconds away. While an earlier one
/// is set, they wake nothing: a load from Node.js needs 10 system calls then, not 13 (`docs/performance.md`).
#[derive(Debug, Default)]
pub(super) struct EarlyTimer {
    is_set: AtomicBool,
    has_requests: AtomicBool,
}

impl EarlyTimer {
    /// Keeps the timer set until no request has been sent for a period or two.
    pub(super) fn keep_set(self: &Arc<Self>) {
        self.has_requests.store(true, Ordering::Relaxed);
        if self.is_set.load(Ordering::Relaxed) {
            return;
        }
        let runtime = Handle::current();
        // The one thread of a current-thread runtime looks at all timers anyway before it waits.
        if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread
            || self.is_set.swap(true, Ordering::Relaxed)
        {
            return;
        }
        runtime.spawn(Task(Arc::clone(self)).run());
    }
}

/// It also ends with its runtime. The next request sets the timer again then, in its own.
struct Task(Arc<EarlyTimer>);

impl Task {
    async fn run(self) {
        while self.0.has_requests.swap(false, Ordering::Relaxed) {
            tokio::time::sleep(PERIOD).await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.is_set.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::{Builder, Handle};

    fn tasks() -> usize {
        Handle::current().metrics().num_alive_tasks()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn one_task_sets_it_while_requests_are_sent() {
        let timer = Arc::new(EarlyTimer::default());
        for _ in 0..2 {
            timer.keep_set();
            timer.keep_set();
            assert_eq!(tasks(), 1);
            let ended = async {
                while tasks() > 0 {
                    tokio::time::sleep(PERIOD / 10).await;
                }
            };
            tokio::time::timeout(100 * PERIOD, ended).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_current_thread_runtime_needs_none() {
        Arc::new(EarlyTimer::default()).keep_set();
        assert_eq!(tasks(), 0);
    }

    #[test]
    fn a_runtime_that_ends_leaves_it_to_the_next_one() {
        let timer = Arc::new(EarlyTimer::default());
        for _ in 0..2 {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
            runtime.block_on(async {
                timer.keep_set();
                assert_eq!(tasks(), 1);
            });
        }
    }
}
