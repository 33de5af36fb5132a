//! Since when the blocks of one network wait for the enterprise chain.
//!
//! Purpose: a pure record of when the main chain changed above what is confirmed, so that the age of the oldest block that waits is
//! known. It is not stored: what waited before a restart counts from the start on.
//!
//! Limits: [`MARKS_MAX`] marks. When they are full every second one is dropped, so that a block may count as older than it is, and
//! never as younger.

use shared::ids::{Height, TimestampMs};

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// By height; the first is for the oldest block that waits.
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// The main chain's blocks from here on, up to the next mark's,
    from: Height,
    /// came then.
    at: TimestampMs,
}

impl Waiting {
    /// The main chain changed from this height on.
    pub(crate) fn changed(&mut self, now: TimestampMs, from: Height) {
        self.marks.retain(|mark| mark.from < from);
        if self.marks.last().is_some_and(|last| last.at == now) {
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            let mut index = 0_usize;
            self.marks.retain(|_| {
                index = index.wrapping_add(1);
                index % 2 == 1
            });
        }
        self.marks.push(Mark { from, at: now });
    }

    /// Everything up to `height` is confirmed; the main chain ends at `tip`.
    pub(crate) fn confirmed(&mut self, height: Height, tip: Height) {
        if height >= tip {
            return self.marks.clear();
        }
        let oldest = height.next();
        let covering = self.marks.iter().rposition(|mark| mark.from <= oldest);
        self.marks.drain(..covering.unwrap_or(0));
    }

    /// Nothing counts as confirmed any more: all of it waits from now on.
    pub(crate) fn began_anew(&mut self, now: TimestampMs) {
        self.marks.clear();
        self.changed(now, Height(1));
    }

    /// When the oldest block that waits came.
    pub(crate) fn since(&self) -> Option<TimestampMs> {
        self.marks.first().map(|mark| mark.at)
    }
}

/// So many marks of one network.
const MARKS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const START: TimestampMs = TimestampMs(1_000);

    fn at(second: u64) -> TimestampMs {
        START.plus_ms(second * 1_000)
    }

    /// Ten blocks, one a second.
    fn ten() -> Waiting {
        let mut waiting = Waiting::default();
        for height in 1..=10 {
            waiting.changed(at(height), Height(u32::try_from(height).unwrap()));
        }
        waiting
    }

    #[test]
    fn the_oldest_block_that_waits_gives_the_time() {
        let mut waiting = ten();
        assert_eq!(waiting.since(), Some(at(1)));
        waiting.confirmed(Height(4), Height(10));
        assert_eq!(waiting.since(), Some(at(5)));
        waiting.confirmed(Height(10), Height(10));
        assert_eq!(waiting.since(), None);
        waiting.changed(at(20), Height(11));
        assert_eq!(waiting.since(), Some(at(20)));
    }

    #[test]
    fn another_branch_waits_since_it_came() {
        let mut waiting = ten();
        waiting.confirmed(Height(4), Height(10));
        waiting.changed(at(30), Height(7));
        assert_eq!(waiting.since(), Some(at(5)), "two are left of the old one");
        waiting.changed(at(31), Height(3));
        assert_eq!(waiting.since(), Some(at(31)));
    }

    #[test]
    fn what_has_to_be_confirmed_again_waits_anew() {
        let mut waiting = ten();
        waiting.began_anew(at(40));
        assert_eq!(waiting.since(), Some(at(40)));
    }

    #[test]
    fn a_long_outage_is_bounded_and_makes_no_block_younger() {
        let mut waiting = Waiting::default();
        for height in 1..=10_000_u32 {
            waiting.changed(at(height.into()), Height(height));
            assert!(waiting.marks.len() <= MARKS_MAX);
        }
        for height in 1..9_999 {
            waiting.confirmed(Height(height), Height(10_000));
            assert!(waiting.since().unwrap() <= at(u64::from(height) + 1));
        }
        assert!(waiting.since().unwrap() > at(9_000), "and not much older");
    }
}
