//! A set that remembers the newest so many hashes.

use alloc::collections::{BTreeSet, VecDeque};

use crate::hash::Hash;

/// Bounded set of hashes; inserting into a full one forgets the oldest.
#[derive(Debug)]
pub(super) struct Recent {
    allowed: usize,
    set: BTreeSet<Hash>,
    order: VecDeque<Hash>,
}

impl Recent {
    pub(super) const fn new(allowed: usize) -> Self {
        Self {
            allowed,
            set: BTreeSet::new(),
            order: VecDeque::new(),
        }
    }

    /// True if the hash was not in the set.
    pub(super) fn insert(&mut self, hash: Hash) -> bool {
        if !self.set.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > self.allowed
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }

    pub(super) fn contains(&self, hash: &Hash) -> bool {
        self.set.contains(hash)
    }

    pub(super) fn clear(&mut self) {
        self.set.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        for byte in [1, 2, 1, 3] {
            recent.insert(Hash([byte; 32]));
        }
        assert!(!recent.contains(&Hash([1; 32])));
        assert!(recent.contains(&Hash([2; 32])) && recent.contains(&Hash([3; 32])));
    }
}
