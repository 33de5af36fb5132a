//! What connections hold of what they sent: bounded for each, for all, and for those that belong together.
//!
//! How much one may hold follows what all hold (dynamic thresholds, Choudhury and Hahne 1998): a quarter of the [`Room`]
//! that others leave. While little is held, one may send long messages; the more is held, the less one that goes on may.
//!
//! A connection is charged with the longest message that it sent, since its buffer keeps that room ([`Meter::ends`]),
//! until it ends or answers a request ([`Meter::clears`]). What a buffer really takes may be twice that, as it grows by
//! doubling. [`FREE_BYTES`] of each connection count for nothing.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What each connection may always hold.
pub const FREE_BYTES: usize = 16 * 1024;

/// Bytes that many may hold together.
#[derive(Debug)]
pub struct Room {
    taken: AtomicUsize,
    bytes_max: usize,
}

impl Room {
    /// Room for so many bytes.
    #[must_use]
    pub const fn of(bytes_max: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// How many bytes one that holds `held` of them may hold now: a quarter of what others leave.
    #[must_use]
    pub fn allows(&self, held: usize) -> usize {
        let others = self.taken().saturating_sub(held);
        self.bytes_max.saturating_sub(others) / 4
    }

    /// How many bytes are held.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes so many, whatever is allowed.
    pub fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives so many back, which were taken.
    pub fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn is_tight(&self) -> bool {
        self.taken() > self.bytes_max / 2
    }
}

/// More is held than a connection that sends so much may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too crowded: try again later")]
pub struct Crowded;

impl Crowded {
    /// Whether this is why reading failed.
    #[must_use]
    pub fn is_why(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|error| error.is::<Self>())
    }
}

impl From<Crowded> for io::Error {
    fn from(crowded: Crowded) -> Self {
        Self::new(io::ErrorKind::QuotaExceeded, crowded)
    }
}

/// What one connection holds; among the extensions of its requests where the service bounds it.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Charge>);

#[derive(Debug)]
struct Charge {
    all: Arc<Room>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// What was read of the message that has not ended.
    read: usize,
    /// What is charged to all, and to the share.
    charged: usize,
    share: Option<Arc<Room>>,
}

impl Meter {
    pub(crate) fn new(all: Arc<Room>) -> Self {
        let held = Mutex::default();
        Self(Arc::new(Charge { all, held }))
    }

    /// So much was read.
    pub(crate) fn reads(&self, bytes: usize) -> Result<(), Crowded> {
        let mut held = self.lock();
        held.read = held.read.saturating_add(bytes);
        let wanted = held.read.saturating_sub(FREE_BYTES);
        if wanted <= held.charged {
            return Ok(());
        }
        if !self.is_allowed(&held, wanted) {
            return Err(Crowded);
        }
        let more = wanted.saturating_sub(held.charged);
        self.0.all.take(more);
        if let Some(share) = &held.share {
            share.take(more);
        }
        held.charged = wanted;
        Ok(())
    }

    /// From here on what the connection holds is charged to this share, too.
    pub fn belongs_to(&self, share: Arc<Room>) {
        let mut held = self.lock();
        share.take(held.charged);
        if let Some(former) = held.share.replace(share) {
            former.give_back(held.charged);
        }
    }

    /// Whether a message of so many bytes may be read now.
    #[must_use]
    pub fn allows(&self, bytes: usize) -> bool {
        let held = self.lock();
        let wanted = bytes.saturating_sub(FREE_BYTES);
        wanted <= held.charged || self.is_allowed(&held, wanted)
    }

    /// A message ended; its room stays charged, as the buffer keeps it.
    pub fn ends(&self) {
        self.lock().read = 0;
    }

    /// A frame of so many bytes came that is no part of a message, such as a ping within one.
    pub fn passes(&self, bytes: usize) {
        let mut held = self.lock();
        held.read = held.read.saturating_sub(bytes);
    }

    /// Whether the connection holds what others need: more than half of the room is taken.
    #[must_use]
    pub fn crowds(&self) -> bool {
        let held = self.lock();
        let is_tight = self.0.all.is_tight() || held.share.as_ref().is_some_and(|it| it.is_tight());
        held.charged > 0 && is_tight
    }

    /// A request was answered: nothing of it is held any more.
    pub(crate) fn clears(&self) {
        let mut held = self.lock();
        held.give_back(&self.0.all);
        held.read = 0;
    }

    fn is_allowed(&self, held: &Held, wanted: usize) -> bool {
        let rooms = held.share.iter().chain([&self.0.all]);
        rooms
            .into_iter()
            .all(|room| wanted <= room.allows(held.charged))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn give_back(&mut self, all: &Room) {
        let charged = std::mem::take(&mut self.charged);
        all.give_back(charged);
        if let Some(share) = &self.share {
            share.give_back(charged);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let held = self.held.get_mut().unwrap_or_else(PoisonError::into_inner);
        held.give_back(&self.all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1_024 * 1_024;
    const PIECE_BYTES: usize = 4 * 1_024;

    /// Reads a message as it comes; whether all of it was allowed.
    fn reads(meter: &Meter, bytes: usize) -> bool {
        (0..bytes / PIECE_BYTES).all(|_| meter.reads(PIECE_BYTES).is_ok())
    }

    fn of_share(all: &Arc<Room>, share: &Arc<Room>) -> Meter {
        let meter = Meter::new(Arc::clone(all));
        meter.belongs_to(Arc::clone(share));
        meter
    }

    #[test]
    fn the_longest_message_is_charged_until_the_connection_ends() {
        let all = Arc::new(Room::of(256 * MIB));
        let meter = Meter::new(Arc::clone(&all));
        assert!(reads(&meter, FREE_BYTES));
        assert_eq!(all.taken(), 0, "short messages count for nothing");
        meter.ends();
        for bytes in [MIB, 2 * MIB, MIB] {
            assert!(reads(&meter, bytes));
            meter.ends();
        }
        assert_eq!(all.taken(), 2 * MIB - FREE_BYTES);
        for _ in 0..1_000 {
            assert!(reads(&meter, PIECE_BYTES));
            meter.passes(PIECE_BYTES);
        }
        assert_eq!(all.taken(), 2 * MIB - FREE_BYTES, "what passes is not held");
        let other = meter.clone();
        drop(meter);
        assert_eq!(all.taken(), 2 * MIB - FREE_BYTES, "it goes on");
        drop(other);
        assert_eq!(all.taken(), 0);
    }

    #[test]
    fn requests_of_one_connection_do_not_add_up() {
        let all = Arc::new(Room::of(16 * MIB));
        let meter = Meter::new(Arc::clone(&all));
        for _ in 0..100 {
            assert!(meter.allows(2 * MIB));
            assert!(reads(&meter, 2 * MIB));
            meter.clears();
            assert_eq!(all.taken(), 0);
        }
    }

    #[test]
    fn many_together_hold_no_more_than_all_may_and_short_messages_are_always_read() {
        let all = Arc::new(Room::of(256 * MIB));
        let meters: Vec<_> = (0..2_000).map(|_| Meter::new(Arc::clone(&all))).collect();
        let refused = meters.iter().filter(|meter| !reads(meter, 2 * MIB)).count();
        assert!(refused > 1_000, "{refused}");
        assert!(all.taken() <= 256 * MIB, "{}", all.taken());
        let late = Meter::new(Arc::clone(&all));
        assert!(!late.allows(2 * MIB) && late.allows(FREE_BYTES));
        assert!(reads(&late, FREE_BYTES));
        drop(meters);
        assert_eq!(all.taken(), 0);
        assert!(late.allows(2 * MIB));
    }

    #[test]
    fn one_crowd_leaves_room_for_the_messages_of_others() {
        let all = Arc::new(Room::of(256 * MIB));
        let [crowd, others] = [(); 2].map(|()| Arc::new(Room::of(32 * MIB)));
        let crowded: Vec<_> = (0..500).map(|_| of_share(&all, &crowd)).collect();
        assert!(!crowded.iter().all(|meter| reads(meter, 2 * MIB)));
        for meter in &crowded {
            reads(meter, 2 * MIB);
        }
        assert!(crowd.taken() <= 32 * MIB, "{}", crowd.taken());
        let other = of_share(&all, &others);
        assert!(reads(&other, 2 * MIB));
        assert!(crowded.iter().any(Meter::crowds) && !other.crowds());
    }

    #[test]
    fn a_connection_of_many_is_charged_to_whom_it_belongs_last() {
        let all = Arc::new(Room::of(256 * MIB));
        let [first, last] = [(); 2].map(|()| Arc::new(Room::of(32 * MIB)));
        let meter = of_share(&all, &first);
        assert!(reads(&meter, MIB));
        meter.belongs_to(Arc::clone(&last));
        let charged = MIB - FREE_BYTES;
        assert_eq!((first.taken(), last.taken()), (0, charged));
        drop(meter);
        assert_eq!((last.taken(), all.taken()), (0, 0));
    }
}
