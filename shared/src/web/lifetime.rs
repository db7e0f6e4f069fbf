//! How long a framework wants a session to live, as the two timeouts of this crate.

use crate::clock::Timestamp;
use crate::config::Config;
use crate::session::{CreateOptions, LogIn};
use crate::timeouts::Timeouts;

/// How long a framework wants a session to live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as it was to live so far; a new session as long as the settings say.
    #[default]
    Keep,
    /// As long as the settings say.
    Default,
    /// As long as the settings say, but at most so many seconds without use.
    AtMost(u64),
    /// So many seconds without use ("remember me"), up to `SESSION_MAX_TIMEOUT_SECONDS`. The absolute timeout is that of the
    /// settings or, if it is shorter, the same number. 0: the session ends at once.
    Seconds(u64),
    /// Until this moment, used or not.
    Until(Timestamp),
}

impl Lifetime {
    /// The timeouts of a session that was created at `created`. `stored`: those that it has.
    pub(super) fn timeouts(self, config: &Config, stored: Timeouts, created: Timestamp) -> Timeouts {
        match (self, self.asked(config)) {
            (Self::Until(deadline), _) => {
                let seconds = deadline.seconds_since(created).min(config.max_timeout_seconds);
                Timeouts { idle_seconds: seconds, absolute_seconds: seconds }
            }
            (_, Some(timeouts)) => timeouts.clamped(),
            (_, None) => stored,
        }
    }

    /// Whether the session ends at once.
    pub(super) fn is_over(self, now: Timestamp) -> bool {
        match self {
            Self::Seconds(seconds) | Self::AtMost(seconds) => seconds == 0,
            Self::Until(deadline) => deadline <= now,
            Self::Keep | Self::Default => false,
        }
    }

    /// How a session that lives so long is created.
    pub(super) fn create_options(self, config: &Config) -> CreateOptions {
        let mut options = self.asked(config).map_or_else(CreateOptions::default, CreateOptions::from);
        options.absolute_deadline = self.deadline();
        options
    }

    /// A login that makes the session live so long.
    pub(super) fn log_in<D>(self, config: &Config, data: D) -> LogIn<D> {
        let asked = self.asked(config);
        LogIn {
            data: Some(data),
            idle_timeout_seconds: asked.map(|timeouts| timeouts.idle_seconds),
            absolute_timeout_seconds: asked.map(|timeouts| timeouts.absolute_seconds),
            absolute_deadline: self.deadline(),
            ..LogIn::default()
        }
    }

    fn deadline(self) -> Option<Timestamp> {
        match self {
            Self::Until(deadline) => Some(deadline),
            _ => None,
        }
    }

    /// The timeouts that are asked for. `None`: those that the session has.
    fn asked(self, config: &Config) -> Option<Timeouts> {
        let (default, max) = (config.default_timeouts(), config.max_timeout_seconds);
        match self {
            Self::Keep => None,
            Self::Default => Some(default),
            Self::AtMost(seconds) => {
                Some(Timeouts { idle_seconds: default.idle_seconds.min(seconds), ..default })
            }
            Self::Seconds(seconds) => Some(Timeouts {
                idle_seconds: seconds.min(max),
                absolute_seconds: default.absolute_seconds.max(seconds).min(max),
            }),
            Self::Until(_) => Some(Timeouts { idle_seconds: max, absolute_seconds: max }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeouts(lifetime: Lifetime) -> (u64, u64) {
        let config = Config::default();
        let stored = Timeouts { idle_seconds: 5, absolute_seconds: 6 };
        let created = Timestamp::from_epoch_seconds(1_800_000_000);
        let Timeouts { idle_seconds, absolute_seconds } = lifetime.timeouts(&config, stored, created);
        (idle_seconds, absolute_seconds)
    }

    #[test]
    fn a_lifetime_is_two_timeouts() {
        let until = |seconds: u64| Lifetime::Until(Timestamp::from_epoch_seconds(1_800_000_000 + seconds));
        for (lifetime, expected) in [
            (Lifetime::Keep, (5, 6)),
            (Lifetime::Default, (7200, 43_200)),
            (Lifetime::AtMost(300), (300, 43_200)),
            (Lifetime::AtMost(1_209_600), (7200, 43_200)),
            (Lifetime::Seconds(300), (300, 43_200)),
            (Lifetime::Seconds(1_209_600), (1_209_600, 1_209_600)),
            (Lifetime::Seconds(31_536_000), (2_592_000, 2_592_000)),
            (until(3600), (3600, 3600)),
            (until(31_536_000), (2_592_000, 2_592_000)),
        ] {
            assert_eq!(timeouts(lifetime), expected, "{lifetime:?}");
        }
    }

    #[test]
    fn a_lifetime_of_nothing_is_over() {
        let now = Timestamp::from_epoch_seconds(1_800_000_000);
        assert!(Lifetime::Seconds(0).is_over(now));
        assert!(Lifetime::Until(now).is_over(now));
        assert!(!Lifetime::Until(now.plus_seconds(1)).is_over(now));
        assert!(!Lifetime::Keep.is_over(now) && !Lifetime::Seconds(1).is_over(now));
    }
}
