//! A queue that is fair by what its items cost: start-time fair queueing (Goyal, Vin and Cheng 1996), with costs that are
//! known only when an item is done.
//!
//! Purpose: a pure machine. [`Fair::pop`] gives the next item of the owner that has cost least; [`Fair::charge`] says what it
//! cost. So one that costs much is served less often, and whoever asks seldom waits for one item of each of the others at
//! most. Of one owner items come in their order.
//!
//! Invariants: an owner that comes begins with what the one that is served has cost, so that nobody saves up; one that leaves
//! keeps what it cost until the others have cost as much, so that nobody gets rid of it.
//!
//! Limits: none of its own. An owner is remembered while it has items or has cost more than the one that is served.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Fair<K, T> {
    lanes: BTreeMap<K, Lane<T>>,
    /// Who has items and is not served now, who has cost least first.
    waiting: BTreeSet<(u64, K)>,
    /// Who has none and has cost more than others.
    resting: BTreeSet<(u64, K)>,
    served: Option<K>,
    /// What the one that was served last had cost before.
    floor: u64,
}

#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<T>,
    cost: u64,
}

impl<K: Copy + Ord, T> Fair<K, T> {
    pub(crate) const fn new() -> Self {
        Self {
            lanes: BTreeMap::new(),
            waiting: BTreeSet::new(),
            resting: BTreeSet::new(),
            served: None,
            floor: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let served = self.served.and_then(|owner| self.lanes.get(&owner));
        self.waiting.is_empty() && served.is_none_or(|lane| lane.items.is_empty())
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, owner: K, item: T) {
        let lane = self.lanes.entry(owner).or_insert(Lane {
            items: VecDeque::new(),
            cost: self.floor,
        });
        if lane.items.is_empty() && self.served != Some(owner) {
            self.resting.remove(&(lane.cost, owner));
            self.waiting.insert((lane.cost, owner));
        }
        lane.items.push_back(item);
    }

    /// The next item, and whose it is; what it cost is to be [charged](Self::charge) before the next.
    pub(crate) fn pop(&mut self) -> Option<(K, T)> {
        if let Some(owner) = self.served {
            self.charge(owner, 0);
        }
        let Some((cost, owner)) = self.waiting.pop_first() else {
            // Nobody waits whom what anyone cost would concern.
            self.lanes.clear();
            self.resting.clear();
            self.floor = 0;
            return None;
        };
        self.floor = self.floor.max(cost);
        while let Some((_, forgotten)) =
            self.resting.first().filter(|(cost, _)| *cost <= self.floor)
        {
            self.lanes.remove(forgotten);
            self.resting.pop_first();
        }
        self.served = Some(owner);
        let item = self.lanes.get_mut(&owner)?.items.pop_front()?;
        Some((owner, item))
    }

    /// What the item of this owner that is served cost; it is done.
    pub(crate) fn charge(&mut self, owner: K, cost: u64) {
        if self.served.take_if(|served| *served == owner).is_none() {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&owner) else {
            return;
        };
        lane.cost = lane.cost.saturating_add(cost);
        if lane.items.is_empty() {
            self.resting.insert((lane.cost, owner));
        } else {
            self.waiting.insert((lane.cost, owner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves so many items, each at what its owner's cost; whose they were.
    fn serve(queue: &mut Fair<char, u32>, count: usize, cost: impl Fn(char) -> u64) -> String {
        let mut served = String::new();
        for _ in 0..count {
            let (owner, _) = queue.pop().unwrap();
            queue.charge(owner, cost(owner));
            served.push(owner);
        }
        served
    }

    #[test]
    fn who_costs_much_is_served_seldom_and_each_in_its_order() {
        let mut queue = Fair::new();
        for number in 0..20 {
            queue.push('a', number);
            queue.push('b', number);
        }
        let cost = |owner| if owner == 'a' { 9 } else { 3 };
        let served = serve(&mut queue, 16, cost);
        assert_eq!(served.matches('a').count(), 4, "{served}");
        assert_eq!(queue.pop(), Some(('a', 4)));
        queue.charge('a', 9);
        assert_eq!(queue.pop(), Some(('b', 12)));
    }

    #[test]
    fn who_asks_seldom_waits_for_one_item_of_each_other() {
        let mut queue = Fair::new();
        for owner in ['a', 'b', 'c'] {
            (0..100).for_each(|number| queue.push(owner, number));
        }
        serve(&mut queue, 60, |_| 1_000);
        queue.push('z', 0);
        let served = serve(&mut queue, 4, |_| 1_000);
        assert!(served.contains('z'), "{served}");
    }

    #[test]
    fn nobody_saves_up_and_nobody_gets_rid_of_what_it_cost() {
        let mut queue = Fair::new();
        queue.push('a', 0);
        queue.push('b', 0);
        queue.push('b', 1);
        assert_eq!(serve(&mut queue, 1, |_| 1_000), "a");
        // It comes back while the others have cost less.
        queue.push('a', 1);
        assert_eq!(serve(&mut queue, 2, |_| 10), "bb");
        for number in 2..200 {
            queue.push('b', number);
        }
        let served = serve(&mut queue, 99, |_| 10);
        assert!(!served[..97].contains('a'), "{served}");
        assert!(served.contains('a'), "{served}");
        // One that was away has no more to say than the others.
        queue.push('z', 0);
        queue.push('z', 1);
        let served = serve(&mut queue, 4, |_| 10);
        assert_eq!(served.matches('z').count(), 2, "{served}");
        // Once nobody waits, all of that is forgotten.
        while let Some((owner, _)) = queue.pop() {
            queue.charge(owner, 1);
        }
        assert!(queue.lanes.is_empty() && queue.resting.is_empty());
    }

    #[test]
    fn an_owner_that_is_served_waits_for_its_turn_with_what_comes_meanwhile() {
        let mut queue = Fair::new();
        queue.push('a', 0);
        assert_eq!(queue.pop(), Some(('a', 0)));
        queue.push('a', 1);
        queue.push('b', 0);
        queue.charge('a', 5);
        assert_eq!(serve(&mut queue, 2, |_| 1), "ba");
    }

    #[test]
    fn owners_are_forgotten_when_the_others_have_cost_as_much() {
        let mut queue = Fair::new();
        queue.push(0, 0);
        for owner in 1..1_000 {
            queue.push(owner, 0);
            queue.push(0, 0);
            let (served, _) = queue.pop().unwrap();
            queue.charge(served, 1);
            assert!(queue.lanes.len() < 20, "{}", queue.lanes.len());
            let (served, _) = queue.pop().unwrap();
            queue.charge(served, 1);
        }
    }
}
