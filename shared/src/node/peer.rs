//! What the node knows about one linked peer. It is forgotten with the link.

use alloc::vec::Vec;

use super::{limits, recent::Recent};
use crate::{
    hash::Hash,
    ids::{Height, TimestampMs, Work},
    message::Status,
};

/// One linked peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) connected_at: TimestampMs,
    /// Keep-alive intervals since it said something.
    pub(super) unheard: u32,
    /// The tip it claims, by its newest status or the newest block it sent.
    pub(super) best: Option<Best>,
    /// What its clock shows beyond the local one, ms.
    pub(super) clock_difference_ms: Option<i64>,
    pub(super) known_blocks: Recent,
    pub(super) known_transactions: Recent,
    pub(super) lacked_blocks: Recent,
    /// Blocks it was asked for and did not send in time.
    pub(super) withheld_blocks: Recent,
    pub(super) headers: HeaderRequests,
    pub(super) bodies: BodyRequests,
    /// Packed messages that answer what was asked of it, at most.
    pub(super) packed_expected: usize,
    /// Ids of transactions to send whole with the next batch.
    pub(super) pushes: Vec<Hash>,
    /// Ids to announce with the next batch.
    pub(super) announcements: Vec<Hash>,
    pub(super) served: Served,
    /// The lowest height from which on it holds all bodies, by its own word.
    pub(super) bodies_from: Height,
    /// The block after which it has no snapshot.
    pub(super) lacked_snapshot: Option<Hash>,
    /// Whether the user knows that it follows a branch without the final block.
    pub(super) is_told_beside_final: bool,
    /// When its pending transactions were last asked for.
    pub(super) pending_asked_at: Option<TimestampMs>,
}

/// A claimed tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Best {
    pub(super) height: Height,
    pub(super) hash: Hash,
    pub(super) work: Work,
}

/// Header requests to one peer: at most one in flight.
#[derive(Debug, Default)]
pub(super) struct HeaderRequests {
    pub(super) deadline: Option<TimestampMs>,
    pub(super) paused_until: TimestampMs,
    /// Asked for whatever its claimed work: it sent something that connects to nothing known.
    pub(super) wanted: bool,
    /// Requests in a row that brought nothing.
    pub(super) failures: u32,
    /// A claimed tip that its headers did not lead to.
    pub(super) barren_tip: Option<Hash>,
}

/// Body requests to one peer.
#[derive(Debug, Default)]
pub(super) struct BodyRequests {
    pub(super) in_flight: usize,
    pub(super) progress_at: TimestampMs,
    pub(super) stalls: u32,
    pub(super) last_until: TimestampMs,
    /// How long the bodies were that it gave, lately.
    average_bytes: usize,
}

/// What a peer may still ask for: so many bytes at once, and so many a millisecond.
#[derive(Debug)]
pub(super) struct Served {
    left: u64,
    at: TimestampMs,
}

impl Peer {
    pub(super) fn new(now: TimestampMs) -> Self {
        Self {
            connected_at: now,
            unheard: 0,
            best: None,
            clock_difference_ms: None,
            known_blocks: Recent::new(limits::KNOWN_BLOCKS_MAX),
            known_transactions: Recent::new(limits::KNOWN_TRANSACTIONS_MAX),
            lacked_blocks: Recent::new(limits::LACKED_BLOCKS_MAX),
            withheld_blocks: Recent::new(limits::LACKED_BLOCKS_MAX),
            headers: HeaderRequests::default(),
            bodies: BodyRequests::default(),
            packed_expected: 0,
            pushes: Vec::new(),
            announcements: Vec::new(),
            served: Served {
                left: limits::SERVED_BYTES_BURST,
                at: now,
            },
            bodies_from: Height(1),
            lacked_snapshot: None,
            is_told_beside_final: false,
            pending_asked_at: None,
        }
    }

    /// Takes the peer's word for its tip.
    pub(super) fn on_status(&mut self, now: TimestampMs, status: &Status) {
        let best = Best {
            height: Height(status.height),
            hash: status.tip,
            work: Work::from_be_bytes(status.work),
        };
        if self.best != Some(best) {
            self.lacked_blocks.clear();
        }
        self.bodies_from = Height(status.bodies_from);
        self.best = Some(best);
        self.known_blocks.insert(status.tip);
        let (ahead, behind) = (
            status.clock_ms.saturating_sub(now.0),
            now.0.saturating_sub(status.clock_ms),
        );
        let difference = i64::try_from(ahead)
            .unwrap_or(i64::MAX)
            .saturating_sub(i64::try_from(behind).unwrap_or(i64::MAX));
        self.clock_difference_ms = Some(difference);
    }

    /// Notes that the peer has this block, which it sent, announced or was sent.
    pub(super) fn on_has_block(&mut self, best: Best) {
        self.known_blocks.insert(best.hash);
        if self.best.is_none_or(|known| known.work < best.work) {
            self.best = Some(best);
        }
    }

    /// True if the peer should hold the body of this main-chain block.
    pub(super) fn may_have(&self, height: Height, hash: &Hash) -> bool {
        height >= self.bodies_from
            && !self.lacked_blocks.contains(hash)
            && self.best.is_some_and(|best| best.height >= height)
    }
}

impl Served {
    /// True if the peer may be answered now.
    pub(super) fn allows(&mut self, now: TimestampMs) -> bool {
        let earned = now
            .since(self.at)
            .saturating_mul(limits::SERVED_BYTES_PER_MS);
        self.left = self
            .left
            .saturating_add(earned)
            .min(limits::SERVED_BYTES_BURST);
        self.at = self.at.max(now);
        self.left > 0
    }

    /// Takes the bytes of an answer off.
    pub(super) fn charge(&mut self, bytes: usize) {
        self.left = self
            .left
            .saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl BodyRequests {
    /// One more is in flight.
    pub(super) fn begin(&mut self, now: TimestampMs) {
        if self.in_flight == 0 {
            self.progress_at = now;
        }
        self.in_flight = self.in_flight.saturating_add(1);
    }

    /// How many more bodies may be asked for, few long ones or many short ones; a peer that stalled is tried with one.
    pub(super) fn free(&self) -> usize {
        self.allowed().saturating_sub(self.in_flight)
    }

    /// Whether so many may be asked for that a request is worth its message.
    pub(super) fn is_open(&self) -> bool {
        let free = self.free();
        free > 0 && (self.in_flight == 0 || free >= self.allowed() / limits::BODIES_ASKED_SHARE)
    }

    fn allowed(&self) -> usize {
        let fitting = limits::BODY_BYTES_IN_FLIGHT
            .checked_div(self.average_bytes)
            .unwrap_or(limits::BODIES_PER_PEER_FIRST);
        if self.stalls == 0 {
            fitting.clamp(limits::BODIES_PER_PEER_MIN, limits::BODIES_PER_PEER_MAX)
        } else {
            1
        }
    }

    /// A body that was asked for came.
    pub(super) fn on_progress(&mut self, now: TimestampMs, bytes: usize) {
        self.progress_at = now;
        self.stalls = 0;
        self.last_until = TimestampMs::default();
        let before = if self.average_bytes == 0 {
            bytes
        } else {
            self.average_bytes
        };
        self.average_bytes = before.saturating_mul(7).saturating_add(bytes) / 8;
    }

    /// When the requests in flight count as stalled.
    pub(super) fn stalled_at(&self) -> Option<TimestampMs> {
        let shift = self.stalls.min(8);
        let patience = limits::STALL_MS
            .saturating_mul(1 << shift)
            .min(limits::STALL_MS_MAX);
        (self.in_flight > 0).then(|| self.progress_at.plus_ms(patience))
    }
}
