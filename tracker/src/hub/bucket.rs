//! A token bucket in integer arithmetic: so much at once, so much a second after that.
//!
//! What exceeds it is not lost but owed: the taker is told how long it takes to fill the bucket again, and reads no
//! more from that client until then. So a burst of signalling, or a chain that syncs through the relay, is slowed down
//! by the transport's own flow control instead of being torn apart.

use shared::ids::TimestampMs;

/// What one connection may still send.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Thousandths of a token, so that a rate of one a second fills evenly in ms; negative while owed.
    milli: i64,
    burst_milli: i64,
    per_second: i64,
    filled_at: TimestampMs,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(burst: u32, per_second: u32, now: TimestampMs) -> Self {
        let burst_milli = i64::from(burst).saturating_mul(1_000);
        Self {
            milli: burst_milli,
            burst_milli,
            per_second: i64::from(per_second.max(1)),
            filled_at: now,
        }
    }

    /// Puts `tokens` back that were taken for nothing.
    pub(crate) fn give_back(&mut self, tokens: u32) {
        let milli = i64::from(tokens).saturating_mul(1_000);
        self.milli = self.milli.saturating_add(milli).min(self.burst_milli);
    }

    /// Takes `tokens` out if they are there; else takes nothing and says in how many ms they are.
    pub(crate) fn take_if_there(&mut self, now: TimestampMs, tokens: u32) -> Result<(), u64> {
        match self.take(now, tokens) {
            None => Ok(()),
            Some(at) => {
                self.milli = self
                    .milli
                    .saturating_add(i64::from(tokens).saturating_mul(1_000));
                Err(at.since(now).max(1))
            }
        }
    }

    /// Takes `tokens` out, owing what is not there; the time at which nothing is owed, if that is later than now.
    pub(crate) fn take(&mut self, now: TimestampMs, tokens: u32) -> Option<TimestampMs> {
        let elapsed_ms = i64::try_from(now.since(self.filled_at)).unwrap_or(i64::MAX);
        let gained = elapsed_ms.saturating_mul(self.per_second);
        self.filled_at = self.filled_at.max(now);
        self.milli = self.milli.saturating_add(gained).min(self.burst_milli);
        self.milli = self
            .milli
            .saturating_sub(i64::from(tokens).saturating_mul(1_000));
        let owed = u64::try_from(self.milli.checked_neg()?)
            .ok()
            .filter(|owed| *owed > 0)?;
        let per_ms = u64::try_from(self.per_second).unwrap_or(1);
        Some(self.filled_at.plus_ms(owed.div_ceil(per_ms)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_burst_passes_and_then_the_rate() {
        let start = TimestampMs(1_000);
        let mut bucket = Bucket::new(3, 2, start);
        assert!((0..3).all(|_| bucket.take(start, 1).is_none()));
        assert_eq!(
            bucket.take(start, 1),
            Some(start.plus_ms(500)),
            "half a second makes one token at two a second"
        );
        assert_eq!(
            bucket.take(start.plus_ms(500), 1),
            Some(start.plus_ms(1_000))
        );
        assert_eq!(bucket.take(start.plus_ms(1_500), 1), None);
    }

    #[test]
    fn a_long_pause_fills_no_more_than_the_burst() {
        let start = TimestampMs(0);
        let mut bucket = Bucket::new(2, 1_000, start);
        let later = start.plus_ms(1_000_000);
        assert_eq!(bucket.take(later, 2), None);
        assert_eq!(bucket.take(later, 1), Some(later.plus_ms(1)));
    }

    #[test]
    fn what_is_given_back_is_there_again_and_no_more_than_the_burst() {
        let start = TimestampMs(1_000);
        let mut bucket = Bucket::new(2, 1, start);
        assert_eq!(bucket.take_if_there(start, 2), Ok(()));
        bucket.give_back(1);
        assert_eq!(bucket.take_if_there(start, 1), Ok(()));
        assert!(bucket.take_if_there(start, 1).is_err());
        bucket.give_back(9);
        assert_eq!(bucket.take_if_there(start, 2), Ok(()));
        assert!(bucket.take_if_there(start, 1).is_err());
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let mut bucket = Bucket::new(1, 1, TimestampMs(10_000));
        assert_eq!(bucket.take(TimestampMs(10_000), 1), None);
        assert_eq!(
            bucket.take(TimestampMs(5_000), 1),
            Some(TimestampMs(11_000))
        );
    }
}
