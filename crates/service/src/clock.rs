//! The services' only clock. Machines get its reading as `now`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Measures how long something takes, whatever happens to the machine's clock meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    #[expect(
        clippy::disallowed_methods,
        reason = "for drivers that measure; nothing decides by it"
    )]
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

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

/// Milliseconds since the Unix epoch on a clock that never goes back: where the machine's clock is set ahead, or has run on while
/// the machine slept, this one follows; where it is set back, this one goes on. For machines that wait, count and measure rates.
#[must_use]
pub fn steady_ms() -> u64 {
    static START: OnceLock<(u64, SteadyClock)> = OnceLock::new();
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    let (wall_ms, clock) = START.get_or_init(|| (now_ms(), SteadyClock::default()));
    let steady = wall_ms.saturating_add(clock.elapsed_ms());
    let ahead = now_ms().saturating_sub(steady);
    let before = AHEAD.fetch_max(ahead, Ordering::Relaxed);
    steady.saturating_add(ahead.max(before))
}

/// Time since it was made, on a clock that never goes back.
#[derive(Clone, Copy, Debug)]
pub struct SteadyClock(Instant);

impl Default for SteadyClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where drivers read the clock"
    )]
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl SteadyClock {
    /// Milliseconds since it was made.
    #[must_use]
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steady_clock_begins_at_the_machines_time_and_never_goes_back() {
        let before = now_ms();
        let first = steady_ms();
        assert!(first.abs_diff(before) < 60_000);
        let clock = SteadyClock::default();
        let mut last = first;
        while clock.elapsed_ms() < 20 {
            let next = steady_ms();
            assert!(next >= last);
            last = next;
        }
        assert!((first + 19..first + 60_000).contains(&steady_ms()));
    }
}
