//! The peer-corrected clock (PROTOCOL §1, timestamps): the local clock, moved by the median difference to the peers'
//! clocks, by at most one block interval. A larger difference is told to the user once and not followed.

use alloc::vec::Vec;

use crate::ids::TimestampMs;

/// The correction in force.
#[derive(Debug)]
pub(super) struct Clock {
    allowed_ms: i64,
    median_ms: i64,
}

impl Clock {
    pub(super) fn new(interval_ms: u32) -> Self {
        Self {
            allowed_ms: i64::from(interval_ms),
            median_ms: 0,
        }
    }

    /// The time by which timestamps are judged.
    pub(super) const fn corrected(&self, now: TimestampMs) -> TimestampMs {
        let offset = self.offset_ms();
        if offset < 0 {
            now.minus_ms(offset.unsigned_abs())
        } else {
            now.plus_ms(offset.unsigned_abs())
        }
    }

    /// Milliseconds added to the local clock.
    pub(super) const fn offset_ms(&self) -> i64 {
        if self.median_ms > self.allowed_ms {
            self.allowed_ms
        } else if self.median_ms < -self.allowed_ms {
            -self.allowed_ms
        } else {
            self.median_ms
        }
    }

    /// Takes what the connected peers' clocks differ by now. Answers the median when it has just gone over the bound.
    pub(super) fn observe(&mut self, differences_ms: impl Iterator<Item = i64>) -> Option<i64> {
        let mut all: Vec<i64> = differences_ms.collect();
        all.push(0);
        all.sort_unstable();
        let before = self.median_ms;
        self.median_ms = all.get((all.len() - 1) / 2).copied().unwrap_or(0);
        let newly = self.is_over(self.median_ms) && !self.is_over(before);
        newly.then_some(self.median_ms)
    }

    const fn is_over(&self, difference_ms: i64) -> bool {
        difference_ms.unsigned_abs() > self.allowed_ms.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correction_follows_the_median_up_to_one_interval() {
        let mut clock = Clock::new(10_000);
        assert_eq!(clock.observe([3_000, 4_000].into_iter()), None);
        assert_eq!(clock.corrected(TimestampMs(100_000)), TimestampMs(103_000));
        assert_eq!(clock.observe([-60_000, -50_000].into_iter()), Some(-50_000));
        assert_eq!(clock.corrected(TimestampMs(100_000)), TimestampMs(90_000));
        assert_eq!(clock.observe([-60_000, -50_000].into_iter()), None);
    }

    #[test]
    fn one_liar_among_honest_peers_moves_nothing() {
        let mut clock = Clock::new(10_000);
        assert_eq!(clock.observe([0, 1, i64::MAX].into_iter()), None);
        assert!(clock.offset_ms() <= 1);
    }
}
