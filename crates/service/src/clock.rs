//! The services' only clock. Machines get its reading as `now`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch; 0 when the machine's clock stands before it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place of the services that reads the clock"
)]
#[must_use]
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| {
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
        })
}

/// Time since it was made, on a clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock(std::time::Instant);

impl Default for SteadyClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where drivers read the clock"
    )]
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl SteadyClock {
    /// Milliseconds since it was made.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
