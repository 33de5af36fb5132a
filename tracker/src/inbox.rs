//! The way to the ledger's thread: facts of our own first, then what strangers ask, fairly among their addresses
//! ([`crate::fair`]).
//!
//! What one request costs the thread is counted against its address, since it may be long: a branch that replaces another, a
//! block that is verified. So an address that sends what is dear is served less often, and nobody else waits for it longer
//! than for one request.
//!
//! Limits: [`limits::LEDGER_QUEUE_MAX`] requests and [`limits::LEDGER_QUEUE_BYTES_MAX`] wait, from when they come until they
//! are durable; an address has no more of them than it leaves to others. Beyond, the asker is told to try again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::addresses::Source;
use crate::fair::Fair;
use crate::limits;

/// What strangers ask of type `A` and facts of type `F`, on their way.
#[derive(Debug)]
pub(crate) struct Inbox<A, F> {
    state: Mutex<State<A, F>>,
    comes: Condvar,
}

#[derive(Debug)]
struct State<A, F> {
    facts: VecDeque<F>,
    asked: Fair<Source, (A, usize)>,
    /// What waits or is not durable yet, of all and of each address.
    all: Load,
    each: BTreeMap<Source, Load>,
    is_closed: bool,
}

/// Requests and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    requests: usize,
    bytes: usize,
}

/// The next for the thread.
#[derive(Debug)]
pub(crate) enum Next<A, F> {
    /// A fact of our own.
    Fact(F),
    /// What an address asks; its place is given back when it is durable.
    Asked(Source, A, Place),
}

/// What one request takes up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    source: Source,
    bytes: usize,
}

/// No more is taken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tracker is busy; try again")]
pub(crate) struct Busy;

impl<A, F> Inbox<A, F> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                facts: VecDeque::new(),
                asked: Fair::new(),
                all: Load::default(),
                each: BTreeMap::new(),
                is_closed: false,
            }),
            comes: Condvar::new(),
        })
    }

    /// Takes in what a stranger asks, so many bytes of it. Never waits.
    pub(crate) fn ask(&self, source: Source, asked: A, bytes: usize) -> Result<(), Busy> {
        let mut state = self.lock();
        if state.is_closed || !state.admits(source, bytes) {
            return Err(Busy);
        }
        state.all.add(bytes);
        state.each.entry(source).or_default().add(bytes);
        state.asked.push(source, (asked, bytes));
        self.comes.notify_one();
        Ok(())
    }

    /// Takes in a fact. Never waits and refuses nothing, unless nobody reads any more.
    pub(crate) fn tell(&self, fact: F) -> Result<(), Busy> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(Busy);
        }
        state.facts.push_back(fact);
        self.comes.notify_one();
        Ok(())
    }

    /// The next, if there is one within this time.
    pub(crate) fn next(&self, patience: Duration) -> Option<Next<A, F>> {
        let waited = self
            .comes
            .wait_timeout_while(self.lock(), patience, |state| state.is_empty());
        waited.unwrap_or_else(PoisonError::into_inner).0.take()
    }

    /// Whether anything that was asked waits.
    pub(crate) fn has_asked(&self) -> bool {
        !self.lock().asked.is_empty()
    }

    /// What one that was asked cost, in any unit.
    pub(crate) fn charge(&self, source: Source, cost: u64) {
        self.lock().asked.charge(source, cost);
    }

    /// What took these places is durable.
    pub(crate) fn give_back(&self, places: impl Iterator<Item = Place>) {
        let mut state = self.lock();
        for Place { source, bytes } in places {
            state.all.remove(bytes);
            if let Some(load) = state.each.get_mut(&source) {
                load.remove(bytes);
                if load.requests == 0 {
                    state.each.remove(&source);
                }
            }
        }
    }

    /// Nobody reads any more; what waits is dropped, and with it the way to whom it would be answered.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.facts.clear();
        state.asked = Fair::new();
    }

    fn lock(&self) -> MutexGuard<'_, State<A, F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A, F> State<A, F> {
    fn admits(&self, source: Source, bytes: usize) -> bool {
        let own = self.each.get(&source).copied().unwrap_or_default();
        let requests = self.all.requests.saturating_add(own.requests);
        let held = self.all.bytes.saturating_add(own.bytes);
        requests < limits::LEDGER_QUEUE_MAX
            && held.saturating_add(bytes) <= limits::LEDGER_QUEUE_BYTES_MAX
    }

    fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.asked.is_empty()
    }

    fn take(&mut self) -> Option<Next<A, F>> {
        if let Some(fact) = self.facts.pop_front() {
            return Some(Next::Fact(fact));
        }
        let (source, (asked, bytes)) = self.asked.pop()?;
        Some(Next::Asked(source, asked, Place { source, bytes }))
    }
}

impl Load {
    fn add(&mut self, bytes: usize) {
        self.requests = self.requests.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn remove(&mut self, bytes: usize) {
        self.requests = self.requests.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1_024 * 1_024;

    fn source(number: u8) -> Source {
        Source::of([192, 0, 2, number].into())
    }

    fn fill(inbox: &Inbox<usize, ()>, number: u8, bytes: usize) -> usize {
        let asks = (0..2_000).take_while(|at| inbox.ask(source(number), *at, bytes).is_ok());
        asks.count()
    }

    #[test]
    fn what_waits_is_bounded_and_each_address_leaves_as_much_as_it_has() {
        for (bytes, max) in [
            (1, limits::LEDGER_QUEUE_MAX),
            (MIB, limits::LEDGER_QUEUE_BYTES_MAX / MIB),
        ] {
            let inbox = Inbox::<usize, ()>::new();
            assert_eq!(fill(&inbox, 1, bytes), max / 2);
            assert_eq!(fill(&inbox, 2, bytes), max / 4);
            assert_eq!(inbox.ask(source(1), 0, bytes), Err(Busy));
            inbox.tell(()).unwrap();
            // A place is free when what took it is durable.
            assert!(matches!(inbox.next(Duration::ZERO), Some(Next::Fact(()))));
            let Some(Next::Asked(first, 0, place)) = inbox.next(Duration::ZERO) else {
                panic!("something waits");
            };
            assert_eq!(first, source(1));
            assert_eq!(inbox.ask(source(2), 0, bytes), Err(Busy));
            inbox.give_back([place].into_iter());
            assert_eq!(inbox.ask(source(2), 0, bytes), Ok(()));
        }
    }

    #[test]
    fn an_address_that_is_dear_keeps_nobody_waiting() {
        let inbox = Inbox::<usize, ()>::new();
        fill(&inbox, 1, 1);
        for _ in 0..9 {
            let Some(Next::Asked(source, ..)) = inbox.next(Duration::ZERO) else {
                panic!("much waits");
            };
            inbox.charge(source, 1_000_000);
        }
        inbox.ask(source(2), 7, 1).unwrap();
        inbox.ask(source(2), 8, 1).unwrap();
        let mut order = Vec::new();
        for _ in 0..3 {
            if let Some(Next::Asked(source, asked, _)) = inbox.next(Duration::ZERO) {
                inbox.charge(source, 100);
                order.push(asked);
            }
        }
        assert!(order.contains(&7) && order.contains(&8), "{order:?}");
    }

    #[test]
    fn who_waits_is_woken_and_a_closed_one_takes_nothing() {
        let inbox = Inbox::<usize, ()>::new();
        assert!(inbox.next(Duration::ZERO).is_none());
        let there = Arc::clone(&inbox);
        let reading = std::thread::spawn(move || there.next(Duration::from_secs(60)).is_some());
        inbox.ask(source(1), 1, 1).unwrap();
        assert!(reading.join().unwrap());
        inbox.close();
        assert_eq!(inbox.ask(source(1), 1, 1), Err(Busy));
        assert_eq!(inbox.tell(()), Err(Busy));
    }
}
