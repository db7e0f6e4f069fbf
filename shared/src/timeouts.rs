//! When a session ends: arithmetic on deadlines.
//!
//! OWASP Session Management Cheat Sheet, "Session Expiration": an idle and an absolute timeout, both enforced
//! on the server.

use crate::clock::Timestamp;

/// How long a session may live, in whole seconds, each at least 1.
///
/// An idle timeout longer than the absolute one has no effect. Where both are known it is stored as the absolute one:
/// otherwise TTL would delete the record long after the session's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// The session ends this many seconds after its last use.
    pub idle_seconds: u64,
    /// The session ends this many seconds after it was created, however busy it is.
    pub absolute_seconds: u64,
}

impl Default for Timeouts {
    /// 2 hours idle, 12 hours in all.
    fn default() -> Self {
        Self { idle_seconds: 7_200, absolute_seconds: 43_200 }
    }
}

impl Timeouts {
    /// With an idle timeout that is at most the absolute one.
    pub(crate) fn clamped(self) -> Self {
        Self { idle_seconds: self.idle_seconds.min(self.absolute_seconds), ..self }
    }
}

/// How much later than the idle deadline its bound in the subject's list may be: a tenth of the idle timeout, or 15 minutes
/// where that is less. So that an ordinary use of the session does not write the list.
pub(crate) fn idle_slack(idle_seconds: u64) -> u64 {
    (idle_seconds / 10).min(900)
}

/// The two deadlines of a session. The earlier one ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// Slides with use.
    pub(crate) idle: Timestamp,
    /// Does not move with use.
    pub(crate) absolute: Timestamp,
}

impl Deadlines {
    /// The deadlines of a session that was created at `created` and used at `now`.
    pub(crate) fn new(timeouts: Timeouts, created: Timestamp, now: Timestamp) -> Self {
        Self {
            idle: now.plus_seconds(timeouts.idle_seconds),
            absolute: created.plus_seconds(timeouts.absolute_seconds),
        }
    }

    /// When the session ends unless it is used before.
    pub(crate) fn earliest(self) -> Timestamp {
        self.idle.min(self.absolute)
    }

    /// A session is dead from the very second of its deadline on.
    pub(crate) fn is_alive(self, now: Timestamp) -> bool {
        now < self.earliest()
    }

    /// Whether a use at `now` slides the idle deadline: when the last slide is at least `touch_interval`
    /// seconds old, or a tenth of the idle timeout where that is less.
    pub(crate) fn touch_is_due(self, idle_seconds: u64, touch_interval: u64, now: Timestamp) -> bool {
        let remaining = self.idle.seconds_since(now);
        idle_seconds.saturating_sub(remaining) >= touch_interval.min(idle_seconds / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_epoch_seconds(1_800_000_000 + seconds)
    }

    fn deadlines(idle_seconds: u64, absolute_seconds: u64) -> Deadlines {
        Deadlines::new(Timeouts { idle_seconds, absolute_seconds }, at(0), at(0))
    }

    #[test]
    fn a_session_dies_in_the_second_of_its_idle_deadline() {
        let deadlines = deadlines(30, 1000);
        assert!(deadlines.is_alive(at(29)));
        assert!(!deadlines.is_alive(at(30)));
        assert_eq!(deadlines.earliest(), at(30));
    }

    #[test]
    fn a_session_dies_in_the_second_of_its_absolute_deadline() {
        let deadlines = deadlines(1000, 30);
        assert!(deadlines.is_alive(at(29)));
        assert!(!deadlines.is_alive(at(30)));
        assert_eq!(deadlines.earliest(), at(30));
    }

    #[test]
    fn use_moves_the_idle_deadline_only() {
        let moved = Deadlines::new(Timeouts { idle_seconds: 30, absolute_seconds: 100 }, at(0), at(20));
        assert_eq!((moved.idle, moved.absolute), (at(50), at(100)));
    }

    #[test]
    fn a_touch_is_due_when_the_last_slide_is_as_old_as_the_interval() {
        let deadlines = deadlines(7200, 43_200);
        assert!(!deadlines.touch_is_due(7200, 60, at(59)));
        assert!(deadlines.touch_is_due(7200, 60, at(60)));
        assert!(deadlines.touch_is_due(7200, 0, at(0)));
    }

    #[test]
    fn the_interval_is_never_more_than_a_tenth_of_the_idle_timeout() {
        let deadlines = deadlines(100, 43_200);
        assert!(!deadlines.touch_is_due(100, 60, at(9)));
        assert!(deadlines.touch_is_due(100, 60, at(10)));
        assert!(self::deadlines(9, 43_200).touch_is_due(9, 60, at(0)), "too short to be throttled at all");
    }

    #[test]
    fn an_idle_timeout_is_at_most_the_absolute_one() {
        let clamped = Timeouts { idle_seconds: 100, absolute_seconds: 30 }.clamped();
        assert_eq!(clamped, Timeouts { idle_seconds: 30, absolute_seconds: 30 });
        let timeouts = Timeouts { idle_seconds: 30, absolute_seconds: 100 };
        assert_eq!(timeouts.clamped(), timeouts);
    }

    proptest! {
        #[test]
        fn no_load_may_leave_a_deadline_further_behind_than_the_interval(
            idle in 1_u64..100_000, interval in 0_u64..1000, elapsed in 0_u64..100_000,
        ) {
            let deadlines = deadlines(idle, u64::MAX);
            if deadlines.is_alive(at(elapsed)) && !deadlines.touch_is_due(idle, interval, at(elapsed)) {
                prop_assert!(elapsed < interval);
                prop_assert!(elapsed * 10 < idle);
            }
        }
    }
}
