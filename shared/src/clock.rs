//! Time in whole seconds, and the clocks that tell it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};

/// A moment, in whole seconds since the Unix epoch, at most the end of the year 9999.
///
/// `Display` is RFC 3339 in UTC: `2026-11-22T22:04:14Z`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The epoch itself: midnight UTC at the start of 1970.
    pub const EPOCH: Self = Self(0);

    /// The last moment that RFC 3339 can write.
    pub const MAX: Self = Self(253_402_300_799);

    /// `seconds` after the epoch, or [`MAX`](Self::MAX) where that would be later.
    #[must_use]
    pub fn from_epoch_seconds(seconds: u64) -> Self {
        Self(seconds).min(Self::MAX)
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub fn epoch_seconds(self) -> u64 {
        self.0
    }

    /// The moment `seconds` later, or [`MAX`](Self::MAX).
    #[must_use]
    pub fn plus_seconds(self, seconds: u64) -> Self {
        Self::from_epoch_seconds(self.0.saturating_add(seconds))
    }

    /// The moment `seconds` earlier, or [`EPOCH`](Self::EPOCH).
    #[must_use]
    pub fn minus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }

    /// Whole seconds from `earlier` to this moment; 0 when it is not earlier.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The text is not a moment in RFC 3339 between 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a moment in RFC 3339, such as 2026-11-22T22:04:14Z")]
pub struct MalformedTimestamp;

impl FromStr for Timestamp {
    type Err = MalformedTimestamp;

    /// Reads RFC 3339, with any offset. A fraction of a second is rounded up.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment =
            DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).map_err(|_| MalformedTimestamp)?;
        let seconds = u64::try_from(moment.secs()).map_err(|_| MalformedTimestamp)?;
        Ok(Self::from_epoch_seconds(seconds).plus_seconds(u64::from(moment.subsec_nanos() > 0)))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(timestamp: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_secs(timestamp.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = i64::try_from(self.0).map_err(|_| fmt::Error)?;
        let text = DateTime::from_secs(seconds).fmt(DateTimeFormat::DateTime).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// Where a [`SessionManager`](crate::SessionManager) reads the time, just before each request to DynamoDB.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_epoch_seconds(since_epoch.as_secs())
    }
}

/// A clock that stands still until it is moved, for tests.
///
/// Clones share their time.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self(Arc::new(AtomicU64::new(now.epoch_seconds())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_seconds(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_as_rfc_3339_in_utc() {
        assert_eq!(Timestamp::from_epoch_seconds(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_epoch_seconds(1_795_385_054).to_string(), "2026-11-22T22:04:14Z");
        assert_eq!(Timestamp::from_epoch_seconds(u64::MAX).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_timestamp_is_read_from_rfc_3339() {
        let moment = Timestamp::from_epoch_seconds(1_795_385_054);
        for text in ["2026-11-22T22:04:14Z", "2026-11-22T23:04:14+01:00", "2026-11-22T22:04:13.5Z"] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
        }
        for text in
            ["", "2026-11-22", "2026-11-22T22:04:14", "1969-12-31T23:59:59Z", "yesterday", "1795385054"]
        {
            assert_eq!(text.parse::<Timestamp>(), Err(MalformedTimestamp), "{text}");
        }
    }

    #[test]
    fn arithmetic_stays_within_the_calendar() {
        let moment = Timestamp::from_epoch_seconds(100);
        assert_eq!(moment.plus_seconds(20).epoch_seconds(), 120);
        assert_eq!(moment.plus_seconds(u64::MAX), Timestamp::MAX);
        assert_eq!(moment.seconds_since(Timestamp::from_epoch_seconds(70)), 30);
        assert_eq!(moment.seconds_since(Timestamp::MAX), 0);
    }

    #[test]
    fn clones_of_a_manual_clock_move_together() {
        let clock = ManualClock::starting_at(SystemClock.now());
        let before = clock.now();
        clock.clone().advance(90);
        assert_eq!(clock.now().seconds_since(before), 90);
    }

    #[test]
    fn the_system_clock_agrees_with_the_standard_library() {
        let now: SystemTime = SystemClock.now().into();
        assert!(SystemTime::now().duration_since(now).unwrap() < Duration::from_secs(60));
    }
}
