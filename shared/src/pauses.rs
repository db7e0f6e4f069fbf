//! Short random pauses between attempts, so that writes that met each other do not meet again.

use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;

use crate::error::Error;

/// The longest pause before a second attempt. Before each further one it is twice as long, up to the longest.
const FIRST: Duration = Duration::from_millis(5);

/// The longest pause of all. Short: an attacker who writes all the time must not be faster than a call that pauses.
const LONGEST: Duration = Duration::from_millis(20);

/// The pauses of one call.
pub(crate) struct Pauses {
    longest: Duration,
}

impl Pauses {
    /// Before attempts that met other writes.
    pub(crate) fn of_conflicts() -> Self {
        Self { longest: FIRST }
    }

    pub(crate) async fn next(&mut self) -> Result<(), Error> {
        let random = SysRng.try_next_u32().map_err(|error| Error::Randomness(error.into()))?;
        let pause = self.longest.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.longest = LONGEST.min(self.longest * 2);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}
