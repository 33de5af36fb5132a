//! The queues of the connections: what waits to be written, bounded for each and for all together.
//!
//! How much may wait for one follows what waits for all (dynamic thresholds, Choudhury and Hahne 1998): a quarter of the room
//! that is left. While little waits, a slow reader may lag far behind; while many lag, those that lag most are disconnected
//! first, and whoever reads is served: what comes for an empty queue is always taken.
//!
//! Limits: [`limits::QUEUE_MESSAGES_MAX`] and [`limits::QUEUE_BYTES_MAX`] for one, [`limits::QUEUES_BYTES_MAX`] for all, beside one
//! message each. A text that waits for many counts for each.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use service::Room;
use shared::ids::TimestampMs;
use tokio::sync::Notify;

use crate::ending::Ending;
use crate::limits;

/// The receiving end of one connection's queue.
#[derive(Debug)]
pub(crate) struct Orders {
    gate: Arc<Gate>,
}

/// One connection's queue; it holds no memory while nothing waits.
#[derive(Debug)]
pub(crate) struct Gate {
    room: Arc<Room>,
    waiting: Mutex<Waiting>,
    /// Set once: the connection is to end for this reason, whatever waits.
    closing: OnceLock<Ending>,
    /// Something waits, or the connection is to end.
    changed: Notify,
    /// Nothing is read from the client before this time, in ms.
    resume_at: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    texts: VecDeque<Utf8Bytes>,
    bytes: usize,
}

impl Gate {
    pub(crate) fn new(room: Arc<Room>) -> Self {
        Self {
            room,
            waiting: Mutex::default(),
            closing: OnceLock::new(),
            changed: Notify::new(),
            resume_at: AtomicU64::new(0),
        }
    }

    pub(crate) fn send(&self, text: Utf8Bytes) {
        if self.closing.get().is_some() {
            // It is written to no more.
            return;
        }
        let mut waiting = self.lock();
        let bytes = waiting.bytes.saturating_add(text.len());
        let is_full = waiting.texts.len() >= limits::QUEUE_MESSAGES_MAX;
        let is_behind = !waiting.texts.is_empty()
            && bytes > self.room.allows(waiting.bytes).min(limits::QUEUE_BYTES_MAX);
        if is_full || is_behind {
            drop(waiting);
            return self.close(Ending::QueueFull);
        }
        self.room.take(text.len());
        waiting.bytes = bytes;
        waiting.texts.push_back(text);
        drop(waiting);
        self.changed.notify_one();
    }

    fn take(&self) -> Option<Utf8Bytes> {
        let mut waiting = self.lock();
        let text = waiting.texts.pop_front()?;
        self.room.give_back(text.len());
        waiting.bytes = waiting.bytes.saturating_sub(text.len());
        if waiting.texts.is_empty() {
            waiting.texts = VecDeque::new();
        }
        Some(text)
    }

    /// Ends the connection; only the first reason counts. What waits is let go.
    pub(crate) fn close(&self, reason: Ending) {
        let _ = self.closing.set(reason);
        self.empty();
        self.changed.notify_one();
    }

    /// Nothing is read from the client before then.
    pub(crate) fn resume_at(&self, at: TimestampMs) {
        self.resume_at.store(at.0, Ordering::Relaxed);
    }

    fn empty(&self) {
        let gone = std::mem::take(&mut *self.lock());
        self.room.give_back(gone.bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.empty();
    }
}

impl Orders {
    pub(crate) const fn of(gate: Arc<Gate>) -> Self {
        Self { gate }
    }

    /// The next text to send, or why to close. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Utf8Bytes, Ending> {
        loop {
            if let Some(reason) = self.gate.closing.get() {
                return Err(*reason);
            }
            if let Some(text) = self.gate.take() {
                return Ok(text);
            }
            self.gate.changed.notified().await;
        }
    }

    /// The next text, if one waits.
    pub(crate) fn next_now(&mut self) -> Option<Utf8Bytes> {
        self.gate.take()
    }

    /// How long to read nothing from the client; zero nearly always.
    pub(crate) fn pause(&self) -> Duration {
        let resume_at = self.gate.resume_at.load(Ordering::Relaxed);
        if resume_at == 0 {
            Duration::ZERO
        } else {
            until(TimestampMs(resume_at))
        }
    }
}

/// How long it is until then by the clock that never goes back.
pub(crate) fn until(at: TimestampMs) -> Duration {
    Duration::from_millis(at.since(TimestampMs(service::steady_ms())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT_BYTES: usize = 64 * 1_024;

    fn text() -> Utf8Bytes {
        Utf8Bytes::from("x".repeat(TEXT_BYTES))
    }

    fn room() -> Arc<Room> {
        Arc::new(Room::of(limits::QUEUES_BYTES_MAX))
    }

    fn is_closed(gate: &Gate) -> bool {
        gate.closing.get().is_some()
    }

    #[test]
    fn a_slow_reader_may_lag_as_far_as_one_may_while_others_read() {
        let (room, text) = (room(), text());
        let gate = Gate::new(Arc::clone(&room));
        for _ in 0..limits::QUEUE_BYTES_MAX / TEXT_BYTES {
            gate.send(text.clone());
        }
        assert!(!is_closed(&gate));
        gate.send(text);
        assert!(is_closed(&gate));
        assert_eq!(room.taken(), 0, "what waited is gone");
    }

    #[test]
    fn many_slow_readers_together_hold_no_more_than_all_may_and_who_reads_is_served() {
        let (room, text) = (room(), text());
        let readers: Vec<_> = (0..2_000).map(|_| Gate::new(Arc::clone(&room))).collect();
        let awake = Gate::new(Arc::clone(&room));
        for _ in 0..100 {
            for gate in readers.iter().chain([&awake]) {
                gate.send(text.clone());
            }
            assert_eq!(awake.take().as_ref(), Some(&text));
            let taken = room.taken();
            assert!(
                taken <= limits::QUEUES_BYTES_MAX + readers.len() * TEXT_BYTES,
                "{taken}"
            );
        }
        assert!(readers.iter().all(is_closed), "some lag still");
        assert!(!is_closed(&awake));
        assert_eq!(room.taken(), 0);
    }

    #[test]
    fn what_waits_for_a_connection_that_is_gone_counts_no_more() {
        let room = room();
        let gate = Arc::new(Gate::new(Arc::clone(&room)));
        gate.send(text());
        let orders = Orders::of(Arc::clone(&gate));
        drop(gate);
        assert_eq!(room.taken(), TEXT_BYTES);
        drop(orders);
        assert_eq!(room.taken(), 0);
    }
}
