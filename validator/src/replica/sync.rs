//! Keeping in step with the others: heartbeats, and blocks that were decided without this validator.

use service::KnownKeys;
use shared::enterprise::{Certificate, EnterpriseBlock, EnterpriseHeight, Vote};
use shared::hash::Hash;
use shared::ids::{PublicKey, TimestampMs};

use super::{Message, Now, Output, Replica, ReplicaError, StoreOrder, SyncedBlock};
use crate::agreement;

/// How often a validator tells where it stands, in ms.
pub const HEARTBEAT_MS: u64 = 1_000;
/// How long after its last word a linked validator counts as alive, in ms.
pub const ALIVE_MS: u64 = 3_500;
/// How long another may be ahead, in ms, before its blocks are asked for: mostly they are being decided here, too.
pub const LAG_MS: u64 = 150;
/// How long an answer may take, in ms, before another validator is asked.
pub const REQUEST_MS: u64 = 2_000;
/// How long a validator that sent nothing useful is not asked again, in ms.
const DISTRUST_MS: u64 = 10_000;

/// Another validator.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) is_linked: bool,
    pub(super) height: EnterpriseHeight,
    pub(super) heard_at: TimestampMs,
    /// A block of the height after the one that is decided, with its round.
    pub(super) early: Option<(u32, Vec<u8>)>,
    distrusted_until: TimestampMs,
}

/// How catching up stands.
#[derive(Debug, Default)]
pub(super) struct Sync {
    beat_at: TimestampMs,
    lags_since: Option<TimestampMs>,
    asked: Option<(PublicKey, TimestampMs)>,
}

impl Sync {
    pub(super) const fn decided(&mut self) {
        self.lags_since = None;
    }
}

impl Replica {
    pub(super) fn linked_peers(&self) -> impl Iterator<Item = PublicKey> {
        let linked = self.peers.iter().filter(|(_, peer)| peer.is_linked);
        linked.map(|(key, _)| *key)
    }

    pub(super) fn linked(&mut self, now: Now, key: PublicKey) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        peer.is_linked = true;
        peer.heard_at = now.steady;
        let status = self.status();
        self.outputs.push_back(Output::Send(key, status));
        for change in self.ledger.pending_changes() {
            let change = Message::SetChange(Box::new(change.clone()));
            self.outputs.push_back(Output::Send(key, change));
        }
        self.tell_resets_to(key);
        self.tell_snapshots_to(key);
        self.catch_up(key);
    }

    pub(super) fn unlinked(&mut self, key: PublicKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.is_linked = false;
        }
        self.sync.asked.take_if(|(asked, _)| *asked == key);
    }

    pub(super) fn heard(
        &mut self,
        now: Now,
        from: PublicKey,
        message: Message,
    ) -> Result<(), ReplicaError> {
        let Some(peer) = self.peers.get_mut(&from) else {
            return Ok(());
        };
        peer.heard_at = now.steady;
        match message {
            Message::Status { height, hash } => {
                peer.height = height;
                self.compare(from, height, hash);
                Ok(())
            }
            Message::Agreement(message) => {
                self.tell(now, agreement::Input::Message { from, message })
            }
            Message::Block { round, block } => self.take_proposed(now, from, round, &block),
            // Its driver checks it on another thread, and hands it in as an update.
            Message::Update { ticket, tenants } => {
                match super::submissions(tenants) {
                    Ok(submissions) => self.updated(now, from, ticket, submissions),
                    Err(error) => {
                        tracing::warn!(peer = %from, %error, "an update of a validator is refused");
                    }
                }
                Ok(())
            }
            Message::Stored { ticket } => {
                self.stored(from, ticket);
                Ok(())
            }
            Message::GetBodies(keys) => {
                self.store(StoreOrder::ServeBodies(from, keys));
                Ok(())
            }
            Message::Bodies(bodies) => {
                self.take_bodies(bodies);
                Ok(())
            }
            Message::GetBlocks { from: first } => {
                // What a snapshot left out is asked of another.
                if first < self.next_height() && first > self.ledger.base().height {
                    self.store(StoreOrder::ServeBlocks(from, first));
                }
                Ok(())
            }
            Message::Blocks(blocks) => self.take_blocks(now, from, blocks),
            Message::SetChange(change) => {
                if let Err(error) = self.change_set(*change) {
                    tracing::debug!(peer = %from, %error, "a set change is not taken");
                }
                Ok(())
            }
            Message::Reset { ticket, reset } => {
                self.take_reset(from, ticket, *reset);
                Ok(())
            }
            message @ (Message::SnapshotVote { .. }
            | Message::GetSnapshot
            | Message::Snapshot(_)
            | Message::GetChunk { .. }
            | Message::Chunk { .. }) => {
                self.heard_of_snapshots(from, message);
                Ok(())
            }
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the caller keeps what is about something else"
    )]
    fn heard_of_snapshots(&mut self, from: PublicKey, message: Message) {
        match message {
            Message::SnapshotVote {
                height,
                root,
                signature,
            } => self.take_snapshot_vote(from, height, root, signature),
            Message::GetSnapshot => self.offer_snapshot(from),
            Message::Snapshot(proof) => self.take_offer(from, &proof),
            Message::GetChunk { height, index } => self.serve_chunk(from, height, index),
            Message::Chunk {
                height,
                index,
                bytes,
            } => self.take_chunk(from, height, index, bytes),
            _ => {}
        }
    }

    fn status(&self) -> Message {
        let verifier = self.ledger.verifier();
        Message::Status {
            height: verifier.height(),
            hash: verifier.hash(),
        }
    }

    /// Two validators that stand on different blocks of one height: the set has split.
    fn compare(&self, peer: PublicKey, height: EnterpriseHeight, hash: Hash) {
        let verifier = self.ledger.verifier();
        if height == verifier.height() && hash != verifier.hash() {
            tracing::error!(%peer, height = height.0, ours = %verifier.hash(), theirs = %hash, "the validators have split");
        }
    }

    /// Beats, and asks for blocks when others are ahead.
    pub(super) fn keep_in_step(&mut self, now: Now) {
        if self.is_alone() {
            return;
        }
        if self.sync.beat_at <= now.steady {
            self.sync.beat_at = now.steady.plus_ms(HEARTBEAT_MS);
            let status = self.status();
            self.outputs.push_back(Output::Broadcast(status));
            self.tell_snapshots();
        }
        if self.snapshots.is_loading() {
            return;
        }
        let next = self.next_height();
        let ahead = |peer: &Peer| peer.is_linked && peer.height >= next;
        if !self.peers.values().any(ahead) {
            self.sync.lags_since = None;
            return;
        }
        let since = *self.sync.lags_since.get_or_insert(now.steady);
        let is_behind = now.steady.since(since) >= LAG_MS || self.values.is_lacking();
        if let Some((key, at)) = self.sync.asked {
            if now.steady.since(at) < REQUEST_MS {
                return;
            }
            self.distrust(now, key);
        }
        if !is_behind {
            return;
        }
        let trusted = |peer: &Peer| ahead(peer) && peer.distrusted_until <= now.steady;
        let best = self.peers.iter().filter(|(_, peer)| trusted(peer));
        if let Some((key, _)) = best.max_by_key(|(_, peer)| peer.height) {
            let key = *key;
            self.sync.asked = Some((key, now.steady));
            let ask = Message::GetBlocks { from: next };
            self.outputs.push_back(Output::Send(key, ask));
        }
    }

    pub(super) fn next_step(&self) -> Option<TimestampMs> {
        if self.is_alone() {
            return None;
        }
        let lag = self.sync.lags_since.map(|since| since.plus_ms(LAG_MS));
        let lag = lag.filter(|_| self.sync.asked.is_none());
        let answer = self.sync.asked.map(|(_, at)| at.plus_ms(REQUEST_MS));
        [Some(self.sync.beat_at), lag, answer]
            .into_iter()
            .flatten()
            .min()
    }

    fn distrust(&mut self, now: Now, key: PublicKey) {
        self.sync.asked.take_if(|(asked, _)| *asked == key);
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.distrusted_until = now.steady.plus_ms(DISTRUST_MS);
        }
    }

    fn take_blocks(
        &mut self,
        now: Now,
        from: PublicKey,
        blocks: Vec<SyncedBlock>,
    ) -> Result<(), ReplicaError> {
        if self.sync.asked.is_none_or(|(asked, _)| asked != from) {
            return Ok(());
        }
        let before = self.next_height();
        for synced in blocks {
            match self.parse(&synced) {
                Ok((block, certificate)) => {
                    if block.header().height == self.next_height() {
                        self.take_bodies_of(&block, synced.bodies);
                        let certificate = self.take_lacking(&block).unwrap_or(certificate);
                        self.take_decided(now, from, block, certificate)?;
                    }
                }
                Err(reason) => {
                    tracing::warn!(peer = %from, reason, "a block of a validator is refused");
                    self.distrust(now, from);
                    return Ok(());
                }
            }
        }
        self.sync.asked = None;
        if self.next_height() == before && self.values.next_ask().is_none() {
            self.distrust(now, from);
        } else {
            // The next ones at once.
            self.sync.lags_since = Some(TimestampMs(0));
        }
        Ok(())
    }

    /// A block whose certificate decides it after the newest one here; a quorum's word comes before any work on it.
    fn parse(&self, synced: &SyncedBlock) -> Result<(EnterpriseBlock, Certificate), String> {
        let verifier = self.ledger.verifier();
        let limits = self.ledger.genesis().blocks();
        let block =
            EnterpriseBlock::decode(&synced.block, limits).map_err(|error| error.to_string())?;
        let certificate =
            Certificate::decode(&synced.certificate).map_err(|error| error.to_string())?;
        if block.header().height == verifier.height().next() {
            let (header, chain) = (block.header(), verifier.chain_id());
            let vote = Vote::precommit(
                certificate.height,
                certificate.round,
                certificate.block_hash,
            );
            certificate
                .verify_with(header, verifier.validators(), chain, |key, signature| {
                    vote.is_signed_by_with(&mut KnownKeys, key, chain, signature)
                })
                .map_err(|error| error.to_string())?;
        }
        Ok((block, certificate))
    }

    fn take_bodies_of(&mut self, block: &EnterpriseBlock, bodies: Vec<Vec<u8>>) {
        for ((chain_id, _), bytes) in crate::store::anchored(block).zip(bodies) {
            if let Err(error) = self.ledger.add_body(chain_id, &bytes) {
                tracing::warn!(%chain_id, %error, "a tenant block is not taken");
            }
        }
    }
}
