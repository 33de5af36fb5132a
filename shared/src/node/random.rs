//! Seeded choices: which peers get a block whole, how long a report waits. Not for secrets.

use crate::hash::sha256;

/// A sequence of numbers that a seed determines.
#[derive(Debug, Clone)]
pub(super) struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, drawn: 0 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        let hash = sha256(&[b"distli/random/1", &self.seed, &self.drawn.to_be_bytes()]);
        let (number, _) = hash
            .0
            .split_first_chunk::<8>()
            .expect("a hash has 32 bytes");
        u64::from_be_bytes(*number)
    }

    /// A number below `bound`, or zero if that is zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// Moves `count` random elements to the front.
    pub(super) fn shuffle_front<T>(&mut self, items: &mut [T], count: usize) {
        let len = items.len();
        for front in 0..count.min(len) {
            let rest = u64::try_from(len.saturating_sub(front)).unwrap_or(0);
            let other = front.saturating_add(usize::try_from(self.below(rest)).unwrap_or(0));
            items.swap(front, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_draws_the_same_numbers() {
        let draw = |seed| {
            let mut random = Random::new([seed; 32]);
            [random.next(), random.next(), random.below(10)]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn shuffling_keeps_every_element() {
        let mut random = Random::new([3; 32]);
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        random.shuffle_front(&mut items, 3);
        items.sort_unstable();
        assert_eq!(items, [0, 1, 2, 3, 4, 5, 6, 7]);
        random.shuffle_front(&mut items[..0], 3);
    }
}
