//! Finality: what is final is the floor of the fork choice; what it leaves behind is shown and sent again.
//!
//! The word comes as [`super::Input::Finalised`], verified. It is durable before anything follows from it. A main chain
//! that leaves the final block out is abandoned at once: its blocks are deleted, its transactions return to the outbox in
//! the same batch (what lost its place becomes a conflict), and the branch is kept in a list for the user to see, newest
//! [`limits::ABANDONED_MAX`]. A peer that follows such a branch may only not know better: it is not blamed, its headers
//! are asked for seldom, and the user is told once for each link.

use alloc::{string::ToString, vec::Vec};

use super::{
    Change, Keep, Lost, Node,
    events::{Abandoned, Event},
    limits,
    orphans::Source,
    records::{Key, encode_abandoned},
};
use crate::{
    block::Block,
    enterprise::FinalBlock,
    hash::Hash,
    ids::{Height, PeerId, PublicKey, Sequence, TimestampMs},
};

impl Node {
    pub(super) fn on_finalised(&mut self, now: TimestampMs, block: &FinalBlock) {
        let (height, hash) = (block.height(), block.hash());
        match self.chain.set_final(*block) {
            Ok(true) => {
                self.persist(alloc::vec![Key::Final.put(block.encode())]);
                self.event(Event::Finalised { height, hash });
                self.on_floor_change(now);
            }
            Ok(false) => {}
            Err(error) => {
                let reason = error.to_string();
                self.event(Event::FinalityRefused {
                    height,
                    hash,
                    reason,
                });
            }
        }
    }

    /// Carries out what the floor did to the chain; after every header and block that went in.
    pub(super) fn on_floor_change(&mut self, now: TimestampMs) {
        let Some(change) = self.chain.take_floor_change() else {
            return;
        };
        let mut changes: Vec<Change> = change
            .abandoned
            .iter()
            .map(Block::hash)
            .chain(change.dropped)
            .map(|hash| Key::Block(hash).delete())
            .collect();
        self.abandon(&change.abandoned, &mut changes);
        let mut left = change.abandoned;
        left.extend(change.disconnected);
        if left.is_empty() && change.connected.is_empty() {
            return self.persist(changes);
        }
        self.on_main_chain_changed(now, Source::Offered, &left, &change.connected, changes);
    }

    /// Notes a branch that was the main chain and is no more, tip first.
    pub(super) fn abandon(&mut self, blocks: &[Block], changes: &mut Vec<Change>) {
        let (Some(tip), Some(lowest)) = (blocks.first(), blocks.last()) else {
            return;
        };
        let branch = Abandoned {
            from: lowest.header().height,
            to: tip.header().height,
            tip: tip.hash(),
            final_height: self
                .chain
                .newest_final()
                .map_or(Height::GENESIS, FinalBlock::height),
        };
        changes.push(Key::Abandoned(branch.tip).put(encode_abandoned(&branch)));
        self.abandoned.push_back(branch);
        if self.abandoned.len() > limits::ABANDONED_MAX
            && let Some(oldest) = self.abandoned.pop_front()
        {
            changes.push(Key::Abandoned(oldest.tip).delete());
        }
        self.event(Event::BranchAbandoned(branch));
    }

    /// Puts a block's transactions that the chain does not confirm into the outbox.
    pub(super) fn take_back(&mut self, block: &Block, changes: &mut Vec<Change>) {
        for transaction in block.transactions() {
            if self.chain.contains_transaction(&transaction.id()).is_none() {
                self.outbox.insert(transaction.clone(), changes);
            }
        }
    }

    /// Moves what lost its place in the main chain to the conflicts. Of a sequence that was used by a block whose body will
    /// still come nobody can tell yet: that waits for the body.
    pub(super) fn lose_superseded(
        &mut self,
        kept: impl Fn(&PublicKey, Sequence) -> Option<Hash>,
        changes: &mut Vec<Change>,
    ) -> Vec<Lost> {
        let (chain, keep) = (&self.chain, self.keep);
        let is_used = |sender: &PublicKey, sequence: Sequence| {
            sequence < chain.next_sequence(sender)
                && !(keep == Keep::Archive && chain.is_undecided(sender, sequence))
        };
        self.outbox.lose_superseded(is_used, kept, changes)
    }

    /// A peer sent a header or block that leaves out the final block.
    pub(super) fn note_other_branch(&mut self, now: TimestampMs, from: PeerId, height: Height) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        peer.headers.paused_until = now.plus_ms(limits::OTHER_BRANCH_PAUSE_MS);
        if !core::mem::replace(&mut peer.is_told_beside_final, true) {
            self.event(Event::PeerBesideFinal { peer: from, height });
        }
    }
}
