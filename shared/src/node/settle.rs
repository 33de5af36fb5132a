//! What follows after every input: timers that are due, requests, mining, reports, and when to wake next.

use alloc::{string::String, vec::Vec};

use super::{Node, Output, limits};
use crate::{hash::Hash, ids::TimestampMs, transaction::Payload};

/// Times at which something is due although nothing happens.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Set while the first sync lasts: when it began.
    pub(super) first_sync: Option<TimestampMs>,
    /// When a changed tip is told to all.
    pub(super) status_due: Option<TimestampMs>,
    keep_alive_at: TimestampMs,
    /// When the peers' silence is counted next.
    silence_at: TimestampMs,
    announce_at: Option<TimestampMs>,
    /// When transactions may be sent again.
    push_from: TimestampMs,
    /// The same, if some wait for it.
    push_due: Option<TimestampMs>,
    outbox_at: TimestampMs,
    /// Submissions that wait for the first sync.
    pub(super) submissions: Vec<(u64, Payload)>,
    /// Counts changes of the mempool.
    pub(super) pending_version: u64,
    /// Exclusive or of the ids of all pending transactions.
    pub(super) pending_digest: Hash,
    ordered_wake: Option<TimestampMs>,
}

impl Node {
    /// Runs after every input.
    pub(super) fn settle(&mut self, now: TimestampMs) {
        self.expire_verifying(now);
        self.expire_requests(now);
        self.retry_held(now);
        self.end_first_sync(now);
        self.tell_peers(now);
        self.let_silent_go(now);
        if self.timers.outbox_at <= now {
            self.timers.outbox_at = now.plus_ms(limits::OUTBOX_MS);
            self.feed_mempool();
            self.tell_outbox();
        }
        self.request_snapshot(now);
        self.request_missing(now);
        self.request_history(now);
        self.request_transactions(now);
        self.update_mining(now);
        self.report(now);
        self.ask_proof(now);
        self.ask_reset(now);
        self.prune();
        self.order_wake(now);
    }

    /// The first sync begins when the store has been read.
    pub(super) fn begin_first_sync(&mut self, now: TimestampMs) {
        self.timers.first_sync = Some(now);
        self.timers.keep_alive_at = now.plus_ms(limits::KEEP_ALIVE_MS);
        self.timers.outbox_at = now.plus_ms(limits::OUTBOX_MS);
        self.downloads.progress_at = now;
    }

    /// True if mining isn't in vain: the first sync is over, and the node isn't just catching up.
    pub(super) fn may_mine(&self, now: TimestampMs) -> bool {
        let is_behind = self.chain.best_header().height > self.chain.tip().height.next();
        let is_catching_up =
            is_behind && now.since(self.downloads.progress_at) < limits::SYNC_STALL_MS;
        self.timers.first_sync.is_none() && !is_catching_up && self.chain.has_final()
    }

    /// Ends the first sync when nobody is known to have more, or when there was no progress for long.
    fn end_first_sync(&mut self, now: TimestampMs) {
        let Some(began) = self.timers.first_sync else {
            return;
        };
        let is_over = if self.peers.is_empty() {
            let patience = if self.is_tracker_ahead(now) {
                limits::REPORT_PATIENCE_MS
            } else {
                limits::ALONE_MS
            };
            now.since(began) >= patience
        } else {
            self.is_level(now)
                || now.since(self.downloads.progress_at.max(began)) >= limits::SYNC_STALL_MS
        };
        if !is_over {
            return;
        }
        self.timers.first_sync = None;
        for (request, payload) in core::mem::take(&mut self.timers.submissions) {
            self.on_submitted(now, request, payload);
        }
    }

    /// True if every peer told where it stands (or had time to) and none is ahead.
    fn is_level(&self, now: TimestampMs) -> bool {
        let tip = self.chain.tip().work;
        let bodies_are_here = self.chain.best_header().work <= tip && self.downloads.is_empty();
        bodies_are_here
            && self.peers.values().all(|peer| match peer.best {
                Some(best) => best.work <= tip || peer.headers.barren_tip == Some(best.hash),
                None => now.since(peer.connected_at) >= limits::FIRST_STATUS_MS,
            })
    }

    fn tell_peers(&mut self, now: TimestampMs) {
        let is_due = self.timers.status_due.is_some_and(|due| due <= now);
        if is_due || self.timers.keep_alive_at <= now {
            self.timers.status_due = None;
            self.timers.keep_alive_at = now.plus_ms(limits::KEEP_ALIVE_MS);
            self.send_statuses(now);
        }
        let waits = self.peers.values().any(|peer| !peer.pushes.is_empty());
        self.timers.push_due = Some(self.timers.push_from).filter(|from| waits && *from > now);
        if waits && self.timers.push_from <= now {
            self.timers.push_from = now.plus_ms(limits::PUSH_PAUSE_MS);
            self.send_pushes();
        }
        if self.timers.announce_at.is_some_and(|due| due <= now) {
            self.timers.announce_at = None;
            self.send_announcements();
        }
        let has_announcements = self
            .peers
            .values()
            .any(|peer| !peer.announcements.is_empty());
        if has_announcements && self.timers.announce_at.is_none() {
            self.timers.announce_at = Some(now.plus_ms(limits::ANNOUNCE_MS));
        }
    }

    /// Lets peers go that never say anything: whoever lives tells its status at every keep-alive. Intervals are counted, not time,
    /// so that nobody is let go because this device slept.
    fn let_silent_go(&mut self, now: TimestampMs) {
        if self.timers.silence_at > now {
            return;
        }
        self.timers.silence_at = now.plus_ms(limits::KEEP_ALIVE_MS);
        let mut silent = Vec::new();
        for (id, peer) in &mut self.peers {
            peer.unheard = peer.unheard.saturating_add(1);
            if peer.unheard > limits::SILENT_ROUNDS_MAX {
                silent.push(*id);
            }
        }
        for peer in silent {
            self.forget(peer);
            let reason = String::from("it says nothing");
            self.outputs.push_back(Output::Disconnect { peer, reason });
        }
    }

    fn order_wake(&mut self, now: TimestampMs) {
        let next = self
            .due_times(now)
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min();
        let is_stale = self
            .timers
            .ordered_wake
            .is_none_or(|ordered| ordered <= now);
        if let Some(at) = next
            && (is_stale || self.timers.ordered_wake != Some(at))
        {
            self.timers.ordered_wake = Some(at);
            self.outputs.push_back(Output::WakeAt { at });
        }
    }

    fn due_times(&self, now: TimestampMs) -> [Option<TimestampMs>; 15] {
        let first_sync = self.timers.first_sync.map(|began| {
            let alone = began.plus_ms(if self.is_tracker_ahead(now) {
                limits::REPORT_PATIENCE_MS
            } else {
                limits::ALONE_MS
            });
            let first_status = self.peers.values().filter(|peer| peer.best.is_none());
            let statuses = first_status
                .map(|peer| peer.connected_at.plus_ms(limits::FIRST_STATUS_MS))
                .min();
            let stalled = self
                .downloads
                .progress_at
                .max(began)
                .plus_ms(limits::SYNC_STALL_MS);
            [Some(alone), statuses, Some(stalled)]
                .into_iter()
                .flatten()
                .filter(|at| *at > now)
                .min()
                .unwrap_or(stalled)
        });
        [
            self.requests_due_at(now),
            self.orphans.due_at(),
            first_sync,
            self.timers.status_due,
            Some(self.timers.keep_alive_at),
            self.timers.announce_at,
            self.timers.push_due,
            (!self.outbox.is_empty()).then_some(self.timers.outbox_at),
            self.wanted.due_at(),
            self.mining.due_at(self.timers.pending_version),
            self.reporter.due_at(now),
            self.snapshots.due_at(),
            self.proof_due_at(),
            self.reset_due_at(),
            self.verifying.due_at(),
        ]
    }
}
