//! Keeps what we send within the tracker's limits, so that it drops nothing: a dropped chunk would lose a message.
//!
//! One queue in order, because a signal must not overtake the greeting before it. Relayed frames and reports count by their bytes,
//! everything else by the message; both refill at the rate that `welcome` names. Of the burst of messages a fifth is left
//! unused, and as the burst of bytes two seconds' worth is taken, which the tracker allows.
//!
//! Relayed history waits behind everything else, so that a new block waits for one chunk of it and not for all.
//!
//! Limits: relayed frames beyond [`QUEUE_BYTES_MAX`] waiting are dropped, as a slow link drops; the node asks again.

use std::collections::VecDeque;

use api::ws::{ClientMessage, Limits};
use shared::frame::Lane;
use shared::ids::TimestampMs;

/// Bytes that may wait for the tracker.
pub(super) const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Of these, bytes of relayed history, so that it leaves room for what is urgent.
const HISTORY_BYTES_MAX: usize = 12 * 1024 * 1024;
/// What the tracker counts a small frame as.
const FRAME_BYTES_MIN: u64 = 512;

/// The queue to the tracker.
#[derive(Debug)]
pub(super) struct Pace {
    queue: VecDeque<Waiting>,
    history: VecDeque<Waiting>,
    queued_bytes: usize,
    history_bytes: usize,
    messages: Bucket,
    bytes: Bucket,
}

#[derive(Debug)]
struct Waiting {
    text: String,
    unit: Unit,
}

/// What a message counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Message,
    Bytes,
}

impl Pace {
    /// A queue that holds nothing back, until the limits are known.
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            history: VecDeque::new(),
            queued_bytes: 0,
            history_bytes: 0,
            messages: Bucket::unlimited(),
            bytes: Bucket::unlimited(),
        }
    }

    /// Starts anew on a new connection with these limits.
    pub(super) fn start(&mut self, now: TimestampMs, limits: &Limits) {
        let burst = u64::from(limits.message_burst) * 4 / 5;
        let bytes = u64::from(limits.relay_bytes_per_second);
        *self = Self::new();
        self.messages = Bucket::new(now, burst, limits.messages_per_second.into());
        self.bytes = Bucket::new(now, bytes.saturating_mul(2), bytes);
    }

    /// Forgets what waits: the connection is gone.
    pub(super) fn stop(&mut self) {
        *self = Self::new();
    }

    /// Queues a message of a lane.
    pub(super) fn add(&mut self, message: &ClientMessage, text: String, lane: Lane) {
        let weighs_by_bytes = matches!(
            message,
            ClientMessage::Relay { .. } | ClientMessage::BlockchainUpdate { .. }
        );
        let unit = if weighs_by_bytes {
            Unit::Bytes
        } else {
            Unit::Message
        };
        let is_relayed = matches!(message, ClientMessage::Relay { .. });
        let is_full = |bytes: usize, allowed| bytes.saturating_add(text.len()) > allowed;
        if is_relayed && lane == Lane::History {
            if !is_full(self.history_bytes, HISTORY_BYTES_MAX) {
                self.history_bytes = self.history_bytes.saturating_add(text.len());
                self.history.push_back(Waiting { text, unit });
            }
            return;
        }
        if is_relayed && is_full(self.queued_bytes, QUEUE_BYTES_MAX - HISTORY_BYTES_MAX) {
            return;
        }
        self.queued_bytes = self.queued_bytes.saturating_add(text.len());
        self.queue.push_back(Waiting { text, unit });
    }

    fn front(&self) -> Option<&Waiting> {
        self.queue.front().or_else(|| self.history.front())
    }

    /// The next message that may go now.
    pub(super) fn next(&mut self, now: TimestampMs) -> Option<String> {
        let Waiting { text, unit } = self.front()?;
        let (unit, weight) = (*unit, weight(text));
        let is_free = match unit {
            Unit::Message => self.messages.take(now, 1),
            Unit::Bytes => self.bytes.take(now, weight),
        };
        if !is_free {
            return None;
        }
        if let Some(waiting) = self.queue.pop_front() {
            self.queued_bytes = self.queued_bytes.saturating_sub(waiting.text.len());
            return Some(waiting.text);
        }
        let waiting = self.history.pop_front()?;
        self.history_bytes = self.history_bytes.saturating_sub(waiting.text.len());
        Some(waiting.text)
    }

    /// When the next message may go, if one waits.
    pub(super) fn due_at(&self, now: TimestampMs) -> Option<TimestampMs> {
        let Waiting { text, unit } = self.front()?;
        let wait_ms = match unit {
            Unit::Message => self.messages.wait_ms(now, 1),
            Unit::Bytes => self.bytes.wait_ms(now, weight(text)),
        };
        Some(now.plus_ms(wait_ms.max(1)))
    }
}

fn weight(text: &str) -> u64 {
    u64::try_from(text.len())
        .unwrap_or(u64::MAX)
        .max(FRAME_BYTES_MIN)
}

/// A token bucket in thousandths, so that milliseconds lose nothing.
#[derive(Debug)]
struct Bucket {
    level_milli: u64,
    burst_milli: u64,
    per_second: u64,
    filled_at: TimestampMs,
}

impl Bucket {
    const fn unlimited() -> Self {
        Self {
            level_milli: u64::MAX,
            burst_milli: u64::MAX,
            per_second: u64::MAX,
            filled_at: TimestampMs(0),
        }
    }

    fn new(now: TimestampMs, burst: u64, per_second: u64) -> Self {
        let burst_milli = burst.max(1).saturating_mul(1_000);
        Self {
            level_milli: burst_milli,
            burst_milli,
            per_second: per_second.max(1),
            filled_at: now,
        }
    }

    fn level_at(&self, now: TimestampMs) -> u64 {
        let gained = now.since(self.filled_at).saturating_mul(self.per_second);
        self.level_milli
            .saturating_add(gained)
            .min(self.burst_milli)
    }

    /// What exceeds the burst counts as the burst: it goes when the bucket is full.
    fn cost(&self, tokens: u64) -> u64 {
        tokens.saturating_mul(1_000).min(self.burst_milli)
    }

    fn take(&mut self, now: TimestampMs, tokens: u64) -> bool {
        let level = self.level_at(now);
        (self.level_milli, self.filled_at) = (level, now.max(self.filled_at));
        let Some(rest) = level.checked_sub(self.cost(tokens)) else {
            return false;
        };
        self.level_milli = rest;
        true
    }

    fn wait_ms(&self, now: TimestampMs, tokens: u64) -> u64 {
        self.cost(tokens)
            .saturating_sub(self.level_at(now))
            .div_ceil(self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: TimestampMs = TimestampMs(1_000_000);

    fn pace() -> Pace {
        let mut pace = Pace::new();
        pace.start(
            NOW,
            &Limits {
                message_bytes_max: 65_536,
                update_bytes_max: 1 << 20,
                join_timeout_ms: 10_000,
                ping_interval_ms: 25_000,
                message_burst: 10,
                messages_per_second: 2,
                relay_bytes_per_second: 1_000,
            },
        );
        pace
    }

    fn relay(bytes: usize) -> (ClientMessage, String) {
        let message = ClientMessage::Relay {
            target: String::new(),
            frame: String::new(),
        };
        (message, "x".repeat(bytes))
    }

    fn drain(pace: &mut Pace, now: TimestampMs) -> usize {
        core::iter::from_fn(|| pace.next(now)).count()
    }

    #[test]
    fn messages_go_in_a_burst_and_then_at_the_rate() {
        let mut pace = pace();
        for _ in 0..20 {
            pace.add(
                &ClientMessage::ListNetworks {},
                String::from("{}"),
                Lane::Urgent,
            );
        }
        assert_eq!(drain(&mut pace, NOW), 8);
        assert_eq!(pace.due_at(NOW), Some(NOW.plus_ms(500)));
        assert_eq!(drain(&mut pace, NOW.plus_ms(499)), 0);
        assert_eq!(drain(&mut pace, NOW.plus_ms(500)), 1);
        assert_eq!(drain(&mut pace, NOW.plus_ms(3_000)), 5);
    }

    #[test]
    fn relayed_bytes_keep_the_rate_and_nothing_overtakes_them() {
        let mut pace = pace();
        for _ in 0..3 {
            let (message, text) = relay(1_000);
            pace.add(&message, text, Lane::Normal);
        }
        pace.add(
            &ClientMessage::ListNetworks {},
            String::from("{}"),
            Lane::Urgent,
        );
        assert_eq!(drain(&mut pace, NOW), 2);
        assert_eq!(pace.due_at(NOW), Some(NOW.plus_ms(1_000)));
        assert_eq!(drain(&mut pace, NOW.plus_ms(1_000)), 2);
        assert_eq!(pace.due_at(NOW.plus_ms(1_000)), None);
    }

    #[test]
    fn message_larger_than_the_burst_goes_when_the_bucket_is_full() {
        let mut pace = pace();
        let (message, text) = relay(50_000);
        pace.add(&message, text, Lane::Normal);
        assert_eq!(drain(&mut pace, NOW), 1);
        let (message, text) = relay(600);
        pace.add(&message, text, Lane::Normal);
        assert_eq!(pace.due_at(NOW), Some(NOW.plus_ms(600)));
    }

    #[test]
    fn frames_beyond_the_queue_are_dropped_and_signals_are_not() {
        let mut pace = pace();
        for _ in 0..40 {
            let (message, text) = relay(1 << 20);
            pace.add(&message, text, Lane::Normal);
        }
        assert_eq!(pace.queue.len(), 4);
        pace.add(
            &ClientMessage::ListNetworks {},
            String::from("{}"),
            Lane::Urgent,
        );
        assert_eq!(pace.queue.len(), 5);
    }

    #[test]
    fn relayed_history_waits_behind_a_new_block() {
        let mut pace = pace();
        for _ in 0..40 {
            let (message, text) = relay(1 << 20);
            pace.add(&message, text, Lane::History);
        }
        assert_eq!(pace.history.len(), 12);
        let (message, text) = relay(700);
        pace.add(&message, text, Lane::Urgent);
        assert_eq!(pace.next(NOW).map(|text| text.len()), Some(700));
    }
}
