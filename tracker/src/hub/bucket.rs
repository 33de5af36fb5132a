//! A token bucket in integer arithmetic: so much at once, so much a second after that.

use shared::ids::TimestampMs;

/// What one connection may still send.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Thousandths of a token, so that a rate of one a second fills evenly in ms.
    milli: u64,
    burst_milli: u64,
    per_second: u64,
    filled_at: TimestampMs,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(burst: u32, per_second: u32, now: TimestampMs) -> Self {
        let burst_milli = u64::from(burst).saturating_mul(1_000);
        Self {
            milli: burst_milli,
            burst_milli,
            per_second: u64::from(per_second),
            filled_at: now,
        }
    }

    /// Takes `tokens` out and says whether they were there; otherwise takes none.
    pub(crate) fn take(&mut self, now: TimestampMs, tokens: u32) -> bool {
        let gained = now.since(self.filled_at).saturating_mul(self.per_second);
        self.milli = self.milli.saturating_add(gained).min(self.burst_milli);
        self.filled_at = self.filled_at.max(now);
        let cost = u64::from(tokens).saturating_mul(1_000);
        match self.milli.checked_sub(cost) {
            Some(left) => {
                self.milli = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_passes_and_then_the_rate() {
        let start = TimestampMs(1_000);
        let mut bucket = Bucket::new(3, 2, start);
        assert!((0..3).all(|_| bucket.take(start, 1)));
        assert!(
            !bucket.take(start.plus_ms(499), 1),
            "half a second makes one token at two a second"
        );
        assert!(bucket.take(start.plus_ms(500), 1));
        assert!(!bucket.take(start.plus_ms(500), 1));
    }

    #[test]
    fn a_long_pause_fills_no_more_than_the_burst() {
        let start = TimestampMs(0);
        let mut bucket = Bucket::new(2, 1_000, start);
        let later = start.plus_ms(1_000_000);
        assert!(bucket.take(later, 2));
        assert!(!bucket.take(later, 1));
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let mut bucket = Bucket::new(1, 1, TimestampMs(10_000));
        assert!(bucket.take(TimestampMs(10_000), 1));
        assert!(!bucket.take(TimestampMs(5_000), 1));
        assert!(!bucket.take(TimestampMs(10_500), 1));
        assert!(bucket.take(TimestampMs(11_000), 1));
    }
}
