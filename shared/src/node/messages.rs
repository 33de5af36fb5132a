//! Messages of peers: parsing, and who handles what.

use alloc::{string::ToString, vec::Vec};

use super::{Node, NodeError, Output, limits, score::Offence};
use crate::{
    ids::{PeerId, TimestampMs},
    message::{Bytes, Message, Status},
};

impl Node {
    /// One whole message of a peer.
    pub(super) fn on_message(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        bytes: &[u8],
    ) -> Result<(), NodeError> {
        let Some(known) = self.peers.get_mut(&peer) else {
            return Err(NodeError::UnknownPeer { peer });
        };
        known.unheard = 0;
        self.traffic.received.count(bytes);
        let message = Message::decode(bytes).map_err(|error| blame(peer, &error))?;
        let is_request = matches!(
            message,
            Message::GetHeaders { .. }
                | Message::GetBlocks { .. }
                | Message::GetTransactions { .. }
                | Message::GetPending
                | Message::GetCompactBlock { .. }
                | Message::GetBlockTransactions { .. }
                | Message::GetSnapshot { .. }
        );
        if is_request
            && !self
                .peers
                .get_mut(&peer)
                .is_some_and(|peer| peer.served.allows(now))
        {
            // It will ask others, or again.
            return self.offend(now, peer, Offence::Greed);
        }
        match message {
            Message::Status(status) => self.on_status(now, peer, &status),
            Message::GetHeaders { locator } => self.on_get_headers(peer, &locator),
            Message::Headers { headers } => self.on_headers(now, peer, &headers),
            Message::NewHeader { header } => self.on_new_header(now, peer, &header),
            Message::GetBlocks { hashes } => self.on_get_blocks(peer, &hashes),
            Message::NoBlocks { hashes } => self.on_no_blocks(peer, &hashes),
            Message::Blocks { blocks } => self.on_blocks(now, peer, blocks),
            Message::NewBlock { block } => self.on_block_received(now, peer, &block.0),
            Message::HaveTransactions { ids } => self.on_have_transactions(peer, &ids),
            Message::GetTransactions { ids } => self.on_get_transactions(peer, &ids),
            Message::Transactions { transactions } => self.on_transactions(peer, &transactions),
            Message::GetPending => self.on_get_pending(peer),
            Message::CompactBlock(compact) => self.on_compact_block(now, peer, &compact),
            Message::GetCompactBlock { hash } => self.on_get_compact_block(peer, hash),
            Message::GetBlockTransactions { hash, indexes } => {
                self.on_get_block_transactions(peer, hash, &indexes)
            }
            Message::BlockTransactions { hash, transactions } => {
                self.on_block_transactions(now, peer, hash, transactions)
            }
            Message::Packed { packed } => self.on_packed(now, peer, &packed),
            Message::GetSnapshot { hash, part } => self.on_get_snapshot(now, peer, hash, part),
            Message::Snapshot {
                hash,
                part,
                parts,
                bytes,
            } => self.on_snapshot(now, peer, hash, (part, parts), bytes),
            Message::NoSnapshot { hash } => self.on_no_snapshot(peer, hash),
        }
    }

    /// Unpacking costs more than sending, so nobody makes this node unpack more than it asked for.
    fn on_packed(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        packed: &Bytes,
    ) -> Result<(), NodeError> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        if peer.packed_expected == 0 {
            return self.offend(now, from, Offence::Unasked);
        }
        peer.packed_expected = peer.packed_expected.saturating_sub(1);
        let message = Message::unpack(packed).map_err(|error| blame(from, &error))?;
        if let Message::Headers { headers } = message {
            self.on_headers(now, from, &headers)
        } else if let Message::Blocks { blocks } = message {
            self.on_blocks(now, from, blocks)
        } else {
            Ok(())
        }
    }

    /// Notes an offence that is no proof of bad will; the error, if that was one too many.
    pub(super) fn offend(
        &mut self,
        now: TimestampMs,
        peer: PeerId,
        offence: Offence,
    ) -> Result<(), NodeError> {
        if self.scores.add(now, peer, offence) {
            return Err(blame(peer, &offence.words()));
        }
        Ok(())
    }

    pub(super) fn send(&mut self, peer: PeerId, message: &Message) {
        self.send_bytes(peer, message.encode());
    }

    /// Asks a peer for something, ahead of all that waits to be durable.
    pub(super) fn ask(&mut self, peer: PeerId, message: &Message) {
        let bytes = message.encode();
        self.traffic.sent.count(&bytes);
        self.requests.push_back(Output::Send { peer, bytes });
    }

    /// Sends what a peer asked for, on its account; history packed, at the price of what it is unpacked.
    pub(super) fn serve(&mut self, to: PeerId, message: &Message) {
        let bytes = message.encode();
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.served.charge(bytes.len());
        }
        self.send_bytes(to, message.packed(bytes));
    }

    pub(super) fn send_bytes(&mut self, peer: PeerId, bytes: Vec<u8>) {
        self.traffic.sent.count(&bytes);
        self.outputs.push_back(Output::Send { peer, bytes });
    }

    pub(super) fn send_status(&mut self, now: TimestampMs, peer: PeerId) {
        let status = self.own_status(now);
        self.send(peer, &Message::Status(status));
    }

    /// Tells every peer where this node stands.
    pub(super) fn send_statuses(&mut self, now: TimestampMs) {
        let status = self.own_status(now);
        let peers: Vec<PeerId> = self.peers.keys().copied().collect();
        for peer in peers {
            self.send(peer, &Message::Status(status));
        }
    }

    fn own_status(&self, now: TimestampMs) -> Status {
        let tip = self.chain.tip();
        Status {
            chain_id: self.chain.chain_id().0,
            height: tip.height.0,
            tip: tip.hash,
            work: tip.work.to_be_bytes(),
            clock_ms: now.0,
            pending: u32::try_from(self.mempool.len()).unwrap_or(u32::MAX),
            pending_digest: self.timers.pending_digest,
            bodies_from: self.chain.bodies_from().0,
        }
    }

    fn on_status(
        &mut self,
        now: TimestampMs,
        from: PeerId,
        status: &Status,
    ) -> Result<(), NodeError> {
        let own = self.chain.chain_id().0;
        if status.chain_id != own {
            let reason = alloc::format!("follows chain {}, this is {own}", status.chain_id);
            return Err(NodeError::Blamed { peer: from, reason });
        }
        let digest = self.timers.pending_digest;
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        peer.on_status(now, status);
        let asked_lately = peer
            .pending_asked_at
            .is_some_and(|at| now.since(at) < limits::PENDING_PAUSE_MS);
        if status.pending > 0 && status.pending_digest != digest && !asked_lately {
            peer.pending_asked_at = Some(now);
            self.send(from, &Message::GetPending);
        }
        if let Some(offset_ms) = self.clock.observe(
            self.peers
                .values()
                .filter_map(|peer| peer.clock_difference_ms),
        ) {
            self.event(super::Event::ClockOff { offset_ms });
        }
        Ok(())
    }
}

/// Blames a peer for what it sent.
pub(super) fn blame(peer: PeerId, reason: &dyn ToString) -> NodeError {
    NodeError::Blamed {
        peer,
        reason: reason.to_string(),
    }
}
