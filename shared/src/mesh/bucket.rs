//! A token bucket: what may be done at once, and how much more of it with each second.

use crate::ids::TimestampMs;

/// Tokens in thousandths, so that milliseconds lose nothing.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    level_milli: u64,
    burst_milli: u64,
    per_second: u64,
    filled_at: TimestampMs,
}

impl Bucket {
    /// A full bucket.
    pub(super) const fn new(burst: u64, per_second: u64) -> Self {
        let burst_milli = burst.saturating_mul(1_000);
        Self {
            level_milli: burst_milli,
            burst_milli,
            per_second,
            filled_at: TimestampMs(0),
        }
    }

    /// Takes `tokens` if so many are there and at least `reserve` stay.
    pub(super) fn take(&mut self, now: TimestampMs, tokens: u64, reserve: u64) -> bool {
        let gained = now.since(self.filled_at).saturating_mul(self.per_second);
        self.level_milli = self
            .level_milli
            .saturating_add(gained)
            .min(self.burst_milli);
        self.filled_at = now;
        let needed = tokens.saturating_add(reserve).saturating_mul(1_000);
        let is_there = self.level_milli >= needed;
        if is_there {
            self.level_milli -= tokens.saturating_mul(1_000);
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_goes_at_once_and_the_rest_at_the_rate() {
        let now = TimestampMs(1_000_000);
        let mut bucket = Bucket::new(10, 2);
        let takes = |bucket: &mut Bucket, at, reserve| {
            (0..100).filter(|_| bucket.take(at, 1, reserve)).count()
        };
        assert_eq!(takes(&mut bucket, now, 4), 6, "four are reserved");
        assert_eq!(takes(&mut bucket, now, 0), 4);
        assert_eq!(takes(&mut bucket, now.plus_ms(499), 0), 0);
        assert_eq!(takes(&mut bucket, now.plus_ms(500), 0), 1);
        assert_eq!(takes(&mut bucket, now.plus_ms(3_600_000), 0), 10);
    }

    #[test]
    fn clock_set_back_gives_nothing_and_breaks_nothing() {
        let now = TimestampMs(1_000_000);
        let mut bucket = Bucket::new(1, 1);
        assert!(bucket.take(now, 1, 0));
        assert!(!bucket.take(TimestampMs(5), 1, 0));
        assert!(bucket.take(TimestampMs(1_005), 1, 0));
    }
}
