//! Resets of a private network: followed one after the other, each by its receipt (PROTOCOL §4, private networks).
//!
//! The tracker says how many there are, or a proof of finality does. Neither is believed: the receipt of the next one is asked for, and
//! what it voids is let go only if the owner signed it and the validators of the newest proof executed it. What is final under more
//! resets than were followed waits for their receipts, unless nothing was known to be final here before: then no receipt can
//! void anything.
//!
//! Durable in one batch: how many were followed, which blocks are void, what is final still. The transactions of void blocks return
//! to the outbox as those of any abandoned branch.
//!
//! Limits: one question at a time; [`RESETS_MAX`] resets; pauses as for proofs.

use alloc::{
    string::{String, ToString},
    vec,
    vec::Vec,
};

use super::{
    Change, Event, Node, Output,
    question::Question,
    records::{Key, decode_resets, encode_resets},
};
use crate::{
    enterprise::{Executed, FinalBlock, LightClient, RESETS_MAX},
    hash::Hash,
    ids::{Height, TimestampMs},
};

/// Where the resets stand.
#[derive(Debug, Default)]
pub(super) struct Resets {
    /// So many were followed, or came before anything was known to be final here.
    pub(super) followed: u32,
    /// The lowest void block of each that voided something here.
    pub(super) void: Vec<Hash>,
    /// So many there are, the tracker says.
    told: u32,
    pub(super) question: Question,
}

impl Resets {
    fn record(&self) -> Change {
        Key::Resets.put(encode_resets(self.followed, &self.void))
    }
}

impl Node {
    /// Resets of the network that this node followed.
    #[must_use]
    pub const fn resets(&self) -> u32 {
        self.resets.followed
    }

    /// The reset whose receipt is missing, if there is one.
    #[must_use]
    pub fn next_reset(&self) -> Option<u32> {
        // Without a proof there is nobody whose word for a reset counts.
        let last = self
            .light_client()
            .and_then(LightClient::last)
            .map(FinalBlock::resets)?;
        let next = self.resets.followed.saturating_add(1);
        (next <= last.max(self.resets.told)).then_some(next)
    }

    pub(super) fn on_resets_told(&mut self, now: TimestampMs, count: u32) {
        self.resets.told = count.min(RESETS_MAX);
        self.resets.question.ask_at = now;
    }

    pub(super) fn on_reset_receipt(&mut self, now: TimestampMs, number: u32, bytes: &[u8]) {
        // A late answer is as good as one in time.
        if self.next_reset() != Some(number) {
            return;
        }
        if let Err(reason) = self.follow_reset(now, number, bytes) {
            self.resets.question.on_failed(now);
            return self.event(Event::ResetRefused { number, reason });
        }
        self.resets.question.on_answered(now);
        // It may be what the newest proof waited for.
        let last = self.light_client().and_then(LightClient::last).copied();
        if let Some(last) = last.filter(|last| last.resets() == self.resets.followed) {
            self.on_finalised(now, &last);
        }
    }

    fn follow_reset(&mut self, now: TimestampMs, number: u32, bytes: &[u8]) -> Result<(), String> {
        let light = self.proofs.light.as_ref();
        let light = light.ok_or("this network's genesis names no enterprise chain")?;
        let executed = light.check_reset(self.chain.genesis(), bytes);
        let executed = executed.map_err(|error| error.to_string())?;
        let found = executed.reset().number;
        if found != number {
            return Err(alloc::format!(
                "the receipt of reset {found}, asked for was {number}"
            ));
        }
        let lowest = self.chain.reset(&executed);
        let lowest = lowest.map_err(|error| error.to_string())?;
        self.resets.followed = number;
        self.resets.void.extend(lowest);
        self.forget_void(now, &executed);
        let from = executed.reset().from;
        self.event(Event::FinalityReset { number, from });
        self.on_floor_change(now);
        Ok(())
    }

    /// Makes durable what a reset left, and forgets what is void.
    fn forget_void(&mut self, now: TimestampMs, executed: &Executed) {
        let mut changes = vec![
            self.resets.record(),
            match self.chain.newest_final() {
                Some(block) => Key::Final.put(block.encode()),
                None => Key::Final.delete(),
            },
        ];
        let last = self.light_client().and_then(LightClient::last);
        if last.is_some_and(|last| executed.voids(last)) {
            self.proofs.forget(now);
            changes.push(Key::Proof.delete());
        }
        let from = executed.reset().from;
        let confirmed = self.reporter.confirmed;
        if confirmed.is_some_and(|(height, hash)| height >= from && !self.chain.is_on_main(&hash)) {
            self.reporter.confirmed = None;
            changes.push(Key::Synced.delete());
        }
        if self.chain.bodies_from() == Height(1) {
            changes.extend(self.stored_base.forget());
        }
        self.snapshots = super::Snapshots::default();
        self.persist(changes);
    }

    /// Takes over what the store holds of resets.
    pub(super) fn restore_resets(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (followed, void) = decode_resets(bytes).map_err(|error| error.to_string())?;
        void.iter().for_each(|hash| self.chain.mark_void(*hash));
        (self.resets.followed, self.resets.void) = (followed, void);
        Ok(())
    }

    /// Nothing was known to be final here when this became so: no reset before it can void anything.
    pub(super) fn skip_resets(&mut self, block: &FinalBlock) {
        if block.resets() > self.resets.followed && self.chain.newest_final().is_none() {
            self.resets.followed = block.resets();
            let record = self.resets.record();
            self.persist(vec![record]);
        }
    }

    /// Asks for the receipt of the next reset if it is time.
    pub(super) fn ask_reset(&mut self, now: TimestampMs) {
        let next = self.next_reset().filter(|_| self.reporter.is_connected());
        let is_asked = self.resets.question.is_asked(now, next.is_some());
        if let Some(number) = next.filter(|_| is_asked) {
            self.outputs.push_back(Output::AskReset { number });
        }
    }

    pub(super) fn reset_due_at(&self) -> Option<TimestampMs> {
        let at = self.resets.question.due_at();
        self.next_reset()
            .filter(|_| self.reporter.is_connected())
            .map(|_| at)
    }

    /// A receipt did not hold: the validators may have changed since the newest proof.
    pub(super) fn waits_for_newer_proof(&self) -> bool {
        self.resets.question.has_failed() && self.next_reset().is_some()
    }
}
