//! Snapshots among validators: made every so many heights, signed by each, and loaded by one that has no blocks.
//!
//! Who has no block and hears of others that are far ahead asks all of them what they offer. The highest snapshot whose proof verifies is
//! fetched, chunk by chunk, from whoever has it: the signed manifest names the hash of each. Then the ledger is made of it, and
//! blocks are asked for from there on. Where none is to be had, or none holds, the blocks are asked for from the first on.
//!
//! # Invariants
//! - Nothing is fetched before a quorum's signatures over its manifest were verified, so that the manifest bounds it.
//! - The ledger changes when the whole snapshot verifies, and the store in one transaction.
//! - What was accepted before is accepted again, or its client hears that it is not acknowledged.
//!
//! # Limits
//! [`SNAPSHOTS_KEPT`] snapshots; one vote of a peer for a snapshot to come; [`CHUNKS_ASKED_MAX`] chunks asked for at once.

use std::collections::{BTreeMap, BTreeSet};

use shared::enterprise::{
    EnterpriseHeight, SNAPSHOT_CHUNKS_MAX, SNAPSHOT_PROOF_BYTES_MAX, SnapshotManifest,
    SnapshotProof,
};
use shared::hash::{Hash, sha256};
use shared::identity::Identity;
use shared::ids::{PublicKey, Signature, TimestampMs};

use super::{Message, Now, Output, REQUEST_MS, Replica, ReplicaError, StoreOrder};
use crate::ledger::{Ledger, Restored, Signatures, Submission};
use crate::store::{Batch, ChunkKey, StoredSnapshot};

/// Heights from one snapshot to the next, unless the operators agree on others.
pub const SNAPSHOT_EVERY: u64 = 1_024;
/// Snapshots that are kept besides the one that the store begins with.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Chunks that are asked for at once.
pub const CHUNKS_ASKED_MAX: usize = 8;
/// How long offers are waited for at least, in ms: links come up one after the other.
pub const OFFERS_MS_MIN: u64 = 500;
/// How long they are waited for at most, in ms.
pub const OFFERS_MS_MAX: u64 = 2_000;
/// How long one that found no snapshot asks for blocks alone, in ms.
pub const RETRY_MS: u64 = 30_000;
/// How often a vote is told, once a heartbeat.
const TELLS: u8 = 4;
/// How often all are asked, before blocks are fetched instead.
const ATTEMPTS_MAX: u8 = 4;
/// Unanswered requests after which a peer is asked no more.
const STRIKES_MAX: u8 = 3;

/// What a validator knows of snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    every: u64,
    identity: Option<Identity>,
    kept: BTreeMap<EnterpriseHeight, Kept>,
    /// Votes for snapshots that are not made here yet.
    early: BTreeMap<PublicKey, Vote>,
    load: Load,
    attempts: u8,
}

#[derive(Debug)]
struct Kept {
    proof: SnapshotProof,
    root: Hash,
    own: Option<Signature>,
    tells: u8,
}

#[derive(Clone, Copy, Debug)]
struct Vote {
    height: EnterpriseHeight,
    root: Hash,
    signature: Signature,
}

/// How loading one stands.
#[derive(Debug)]
enum Load {
    Idle,
    Asking {
        since: TimestampMs,
        asked: BTreeSet<PublicKey>,
        offers: BTreeMap<PublicKey, Option<SnapshotProof>>,
    },
    Fetching(Box<Fetching>),
    Replaying {
        until: TimestampMs,
    },
}

#[derive(Debug)]
struct Fetching {
    proof: SnapshotProof,
    chunks: Vec<Option<Vec<u8>>>,
    asked: BTreeMap<u32, (PublicKey, TimestampMs)>,
    strikes: BTreeMap<PublicKey, u8>,
}

impl Snapshots {
    pub(super) fn new(every: u64, identity: Option<Identity>) -> Self {
        Self {
            every: every.max(1),
            identity,
            kept: BTreeMap::new(),
            early: BTreeMap::new(),
            load: Load::Idle,
            attempts: 0,
        }
    }

    /// Whether blocks are not asked for because a snapshot is.
    pub(super) const fn is_loading(&self) -> bool {
        match self.load {
            Load::Asking { .. } | Load::Fetching(_) => true,
            Load::Idle | Load::Replaying { .. } => false,
        }
    }

    pub(super) fn next_step(&self, now: TimestampMs) -> Option<TimestampMs> {
        match &self.load {
            Load::Idle => None,
            Load::Asking { since, .. } => {
                let [least, most] = [OFFERS_MS_MIN, OFFERS_MS_MAX].map(|ms| since.plus_ms(ms));
                Some(if now < least { least } else { most })
            }
            Load::Fetching(fetching) => {
                let asked = fetching.asked.values();
                asked.map(|(_, at)| at.plus_ms(REQUEST_MS)).min()
            }
            Load::Replaying { until } => Some(*until),
        }
    }

    /// The newest snapshot that a quorum of its height's set signed.
    fn newest(&self, ledger: &Ledger) -> Option<&SnapshotProof> {
        let signed = |kept: &&Kept| {
            let quorum = ledger.set_at(kept.proof.manifest.height).quorum();
            kept.proof.signatures.len() >= quorum
        };
        let newest = self.kept.values().rev().find(signed);
        newest.map(|kept| &kept.proof)
    }
}

impl Kept {
    /// Adds a signature; answers whether it is new.
    fn add(&mut self, index: u16, signature: Signature) -> bool {
        let signatures = &mut self.proof.signatures;
        match signatures.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(_) => false,
            Err(place) => {
                signatures.insert(place, (index, signature));
                true
            }
        }
    }

    fn vote(&self) -> Option<Message> {
        let signature = self.own?;
        Some(Message::SnapshotVote {
            height: self.proof.manifest.height,
            root: self.root,
            signature,
        })
    }
}

impl Replica {
    /// The height of the newest snapshot that a quorum signed.
    #[must_use]
    pub fn newest_snapshot(&self) -> Option<EnterpriseHeight> {
        let newest = self.snapshots.newest(&self.ledger);
        newest.map(|proof| proof.manifest.height)
    }

    /// Takes over snapshots that are in the store.
    pub(super) fn keep_snapshots(&mut self, proofs: Vec<SnapshotProof>) {
        for proof in proofs {
            self.keep(proof);
        }
        while self.snapshots.kept.len() > SNAPSHOTS_KEPT {
            self.snapshots.kept.pop_first();
        }
    }

    /// Keeps a snapshot, with this validator's signature if it may sign.
    fn keep(&mut self, proof: SnapshotProof) {
        let (height, root) = (proof.manifest.height, proof.manifest.root());
        let index = self.ledger.set_at(height).index_of(&self.key);
        let chain = self.ledger.verifier().chain_id();
        let identity = self.snapshots.identity.as_ref();
        let signed = identity.map(|identity| SnapshotManifest::sign(&root, identity, chain));
        let own = signed.filter(|_| index.is_some());
        let mut kept = Kept {
            proof,
            root,
            own,
            tells: TELLS,
        };
        if let (Some(index), Some(signature)) = (index, own) {
            kept.add(index, signature);
        }
        self.snapshots.kept.insert(height, kept);
    }

    /// Makes a snapshot if the block that was just decided calls for one.
    pub(super) fn make_snapshot(&mut self) {
        let height = self.ledger.verifier().height();
        if !height.0.is_multiple_of(self.snapshots.every) {
            return;
        }
        let history = self.ledger.take_history();
        let mut batch = Batch {
            history,
            ..Batch::default()
        };
        match self.proof_of_new() {
            Ok((proof, chunks)) => {
                self.keep(proof);
                if let Some(kept) = self.snapshots.kept.get(&height) {
                    let proof = kept.proof.clone();
                    batch.snapshot = Some(Box::new(StoredSnapshot {
                        proof,
                        chunks,
                        begins: None,
                    }));
                }
                batch.dropped = self.drop_old_snapshots();
            }
            Err(reason) => tracing::warn!(%height, reason, "no snapshot is made"),
        }
        if !batch.is_empty() {
            self.store(StoreOrder::Commit(Box::new(batch)));
        }
        if let Some(vote) = self.snapshots.kept.get(&height).and_then(Kept::vote) {
            self.outputs.push_back(Output::Broadcast(vote));
        }
        for (peer, vote) in std::mem::take(&mut self.snapshots.early) {
            self.take_snapshot_vote(peer, vote.height, vote.root, vote.signature);
        }
    }

    fn proof_of_new(&mut self) -> Result<NewSnapshot, String> {
        let made = self.ledger.snapshot(&self.rotation);
        let made = made.map_err(|hash| format!("the body of {hash} is not in memory"))?;
        let found = made.manifest.chunks.len();
        if u32::try_from(found).map_or(true, |found| found > SNAPSHOT_CHUNKS_MAX) {
            return Err(format!("{found} chunks, allowed are {SNAPSHOT_CHUNKS_MAX}"));
        }
        let checkpoint = self.ledger.checkpoint();
        let proof = SnapshotProof {
            links: self.ledger.links().to_vec(),
            checkpoint: checkpoint.ok_or("there is no decided block")?,
            manifest: made.manifest,
            signatures: Vec::new(),
        };
        let found = proof.encode().len();
        if found > SNAPSHOT_PROOF_BYTES_MAX / 2 {
            return Err(format!("its proof would have {found} bytes"));
        }
        Ok((proof, made.chunks))
    }

    fn drop_old_snapshots(&mut self) -> Vec<EnterpriseHeight> {
        let mut dropped = Vec::new();
        while self.snapshots.kept.len() > SNAPSHOTS_KEPT {
            let oldest = self.snapshots.kept.pop_first();
            dropped.extend(oldest.map(|(height, _)| height));
        }
        let base = self.ledger.base().height;
        dropped.retain(|height| *height != base);
        dropped
    }

    /// Tells the votes again that may not have come through.
    pub(super) fn tell_snapshots(&mut self) {
        for kept in self.snapshots.kept.values_mut() {
            if kept.tells > 0
                && let Some(vote) = kept.vote()
            {
                kept.tells = kept.tells.saturating_sub(1);
                self.outputs.push_back(Output::Broadcast(vote));
            }
        }
    }

    /// Tells a validator whose link came up which snapshots this one signed.
    pub(super) fn tell_snapshots_to(&mut self, peer: PublicKey) {
        let votes = self.snapshots.kept.values().filter_map(Kept::vote);
        self.outputs
            .extend(votes.map(|vote| Output::Send(peer, vote)));
    }

    /// A validator has signed a snapshot.
    pub(super) fn take_snapshot_vote(
        &mut self,
        from: PublicKey,
        height: EnterpriseHeight,
        root: Hash,
        signature: Signature,
    ) {
        if height > self.ledger.verifier().height() {
            let vote = Vote {
                height,
                root,
                signature,
            };
            self.snapshots.early.insert(from, vote);
            return;
        }
        let set = self.ledger.set_at(height);
        let Some(kept) = self.snapshots.kept.get_mut(&height) else {
            return;
        };
        let chain = self.ledger.verifier().chain_id();
        let Some(index) = set.index_of(&from) else {
            return;
        };
        if !SnapshotManifest::is_signed_by(&root, &from, chain, &signature) {
            tracing::warn!(peer = %from, %height, "a vote for a snapshot is not signed");
            return;
        }
        if root != kept.root {
            tracing::error!(peer = %from, %height, ours = %kept.root, theirs = %root, "two validators make different snapshots of one block");
            return;
        }
        let is_new = kept.add(index, signature);
        if is_new && kept.proof.signatures.len() == set.quorum() {
            let proof = kept.proof.clone();
            self.keep_signed(proof);
        }
    }

    /// A quorum has signed a snapshot.
    fn keep_signed(&mut self, proof: SnapshotProof) {
        let (height, root) = (proof.manifest.height, proof.manifest.root());
        tracing::info!(%height, %root, chunks = proof.manifest.chunks.len(), "a quorum has signed a snapshot");
        let snapshot = StoredSnapshot {
            proof,
            chunks: Vec::new(),
            begins: None,
        };
        let batch = Batch {
            snapshot: Some(Box::new(snapshot)),
            ..Batch::default()
        };
        self.store(StoreOrder::Commit(Box::new(batch)));
    }

    /// Offers the newest snapshot that a quorum signed.
    pub(super) fn offer_snapshot(&mut self, to: PublicKey) {
        let newest = self.snapshots.newest(&self.ledger);
        let proof = newest.map(SnapshotProof::encode).unwrap_or_default();
        let offer = Message::Snapshot(proof);
        self.outputs.push_back(Output::Send(to, offer));
    }

    /// Sends a chunk, or says that it is not here.
    pub(super) fn serve_chunk(&mut self, to: PublicKey, height: EnterpriseHeight, index: u32) {
        let kept = self.snapshots.kept.get(&height);
        let has = |kept: &&Kept| {
            let chunks = kept.proof.manifest.chunks.len();
            usize::try_from(index).is_ok_and(|index| index < chunks)
        };
        match kept.filter(has) {
            Some(kept) => {
                let key = ChunkKey::of(&kept.proof, index);
                self.store(StoreOrder::ServeChunk {
                    to,
                    height,
                    index,
                    key,
                });
            }
            None => {
                let bytes = Vec::new();
                let none = Message::Chunk {
                    height,
                    index,
                    bytes,
                };
                self.outputs.push_back(Output::Send(to, none));
            }
        }
    }

    /// What a validator offers; nothing if it has none.
    pub(super) fn take_offer(&mut self, from: PublicKey, bytes: &[u8]) {
        let Load::Asking { asked, offers, .. } = &mut self.snapshots.load else {
            return;
        };
        if !asked.contains(&from) {
            return;
        }
        let offer = match bytes {
            [] => None,
            bytes => match SnapshotProof::decode(bytes) {
                Ok(proof) => Some(proof),
                Err(error) => {
                    tracing::warn!(peer = %from, %error, "an offered snapshot is refused");
                    None
                }
            },
        };
        offers.insert(from, offer);
    }

    /// A chunk that was asked for.
    pub(super) fn take_chunk(
        &mut self,
        from: PublicKey,
        height: EnterpriseHeight,
        index: u32,
        bytes: Vec<u8>,
    ) {
        let Load::Fetching(fetching) = &mut self.snapshots.load else {
            return;
        };
        let is_asked = fetching
            .asked
            .get(&index)
            .is_some_and(|(at, _)| *at == from);
        if height != fetching.proof.manifest.height || !is_asked {
            return;
        }
        fetching.asked.remove(&index);
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let hash = fetching.proof.manifest.chunks.get(place);
        if hash.is_some_and(|hash| sha256(&[&bytes]) == *hash) {
            if let Some(chunk) = fetching.chunks.get_mut(place) {
                *chunk = Some(bytes);
            }
            return;
        }
        let reason = if bytes.is_empty() {
            "it does not have it"
        } else {
            "its hash is not the one that was signed"
        };
        tracing::warn!(peer = %from, %height, index, reason, "a chunk of a snapshot is refused");
        fetching.strikes.insert(from, STRIKES_MAX);
    }

    /// Goes on loading a snapshot while this validator has no block.
    ///
    /// # Errors
    /// [`ReplicaError`]; the validator has to be restarted then.
    pub(super) fn load_snapshot(&mut self, now: Now) -> Result<(), ReplicaError> {
        if self.is_alone() || self.ledger.verifier().height() > EnterpriseHeight(0) {
            self.snapshots.load = Load::Idle;
            return Ok(());
        }
        match &mut self.snapshots.load {
            Load::Idle => {
                if self.far_ahead().next().is_some() {
                    self.snapshots.load = Load::Asking {
                        since: now.steady,
                        asked: BTreeSet::new(),
                        offers: BTreeMap::new(),
                    };
                    self.ask_for_offers(now);
                }
                Ok(())
            }
            Load::Asking { .. } => {
                self.ask_for_offers(now);
                Ok(())
            }
            Load::Fetching(fetching) => {
                if fetching.chunks.iter().all(Option::is_some) {
                    return self.finish_loading(now);
                }
                self.fetch(now);
                Ok(())
            }
            Load::Replaying { until } => {
                if *until <= now.steady {
                    self.snapshots.load = Load::Idle;
                }
                Ok(())
            }
        }
    }

    /// The linked validators that have a snapshot, if they are as far as they say.
    fn far_ahead(&self) -> impl Iterator<Item = PublicKey> {
        let least = EnterpriseHeight(self.snapshots.every);
        let peers = self.peers.iter();
        let ahead = peers.filter(move |(_, peer)| peer.is_linked && peer.height >= least);
        ahead.map(|(key, _)| *key)
    }

    /// Asks everybody who is ahead, and takes the best offer once all have answered or enough time has passed.
    fn ask_for_offers(&mut self, now: Now) {
        let ahead: BTreeSet<PublicKey> = self.far_ahead().collect();
        let Load::Asking {
            since,
            asked,
            offers,
        } = &mut self.snapshots.load
        else {
            return;
        };
        for peer in &ahead {
            if asked.insert(*peer) {
                let ask = Message::GetSnapshot;
                self.outputs.push_back(Output::Send(*peer, ask));
            }
        }
        let waited = now.steady.since(*since);
        let all = ahead.iter().all(|peer| offers.contains_key(peer));
        if waited < OFFERS_MS_MIN || (!all && waited < OFFERS_MS_MAX) {
            return;
        }
        let mut offers: Vec<(PublicKey, SnapshotProof)> = std::mem::take(offers)
            .into_iter()
            .filter_map(|(peer, offer)| Some((peer, offer?)))
            .collect();
        offers.sort_by_key(|(_, proof)| std::cmp::Reverse(proof.manifest.height));
        let genesis = self.ledger.genesis().clone();
        for (peer, proof) in offers {
            match proof.verify(&genesis) {
                Ok(_) => {
                    tracing::info!(peer = %peer, height = %proof.manifest.height, bytes = proof.manifest.bytes, "a snapshot is loaded");
                    let chunks = vec![None; proof.manifest.chunks.len()];
                    self.snapshots.load = Load::Fetching(Box::new(Fetching {
                        proof,
                        chunks,
                        asked: BTreeMap::new(),
                        strikes: BTreeMap::new(),
                    }));
                    return self.fetch(now);
                }
                Err(error) => {
                    tracing::warn!(peer = %peer, height = %proof.manifest.height, %error, "an offered snapshot is refused");
                }
            }
        }
        self.ask_again(now, "nobody offers one that verifies");
    }

    /// Asks once more, for answers may be lost and signatures on their way; after some attempts fetches blocks instead.
    fn ask_again(&mut self, now: Now, reason: &str) {
        self.snapshots.attempts = self.snapshots.attempts.saturating_add(1);
        if self.snapshots.attempts < ATTEMPTS_MAX {
            self.snapshots.load = Load::Idle;
        } else {
            self.replay_instead(now, reason);
        }
    }

    fn replay_instead(&mut self, now: Now, reason: &str) {
        tracing::warn!(
            reason,
            "no snapshot is loaded: the blocks are fetched from the first on"
        );
        self.snapshots.attempts = 0;
        let until = now.steady.plus_ms(RETRY_MS);
        self.snapshots.load = Load::Replaying { until };
    }

    /// Asks for chunks that are missing, each of another validator.
    fn fetch(&mut self, now: Now) {
        let linked: Vec<PublicKey> = self.far_ahead().collect();
        let Load::Fetching(fetching) = &mut self.snapshots.load else {
            return;
        };
        let Fetching {
            proof,
            chunks,
            asked,
            strikes,
        } = fetching.as_mut();
        asked.retain(|_, (peer, at)| {
            let is_late = now.steady.since(*at) >= REQUEST_MS;
            if is_late {
                let strike = strikes.entry(*peer).or_default();
                *strike = strike.saturating_add(1);
            }
            !is_late && linked.contains(peer)
        });
        let may = |peer: &&PublicKey| strikes.get(peer).is_none_or(|found| *found < STRIKES_MAX);
        let sources: Vec<PublicKey> = linked.iter().filter(may).copied().collect();
        if sources.is_empty() {
            // It may have been dropped for a newer one.
            return self.ask_again(now, "nobody gives the rest of one");
        }
        let height = proof.manifest.height;
        for (index, chunk) in (0_u32..).zip(chunks.iter()) {
            if asked.len() >= CHUNKS_ASKED_MAX {
                break;
            }
            if chunk.is_some() || asked.contains_key(&index) {
                continue;
            }
            // A source that failed moves the others' places, so that another one is asked.
            let turn = usize::try_from(index).unwrap_or(0) % sources.len();
            if let Some(peer) = sources.get(turn) {
                asked.insert(index, (*peer, now.steady));
                let ask = Message::GetChunk { height, index };
                self.outputs.push_back(Output::Send(*peer, ask));
            }
        }
    }

    /// All chunks are here: makes the ledger of them.
    fn finish_loading(&mut self, now: Now) -> Result<(), ReplicaError> {
        let Load::Fetching(fetching) = std::mem::replace(&mut self.snapshots.load, Load::Idle)
        else {
            return Ok(());
        };
        let chunks: Vec<Vec<u8>> = fetching.chunks.into_iter().flatten().collect();
        let (genesis, bytes) = (self.ledger.genesis().clone(), chunks.concat());
        match Ledger::restore(&genesis, &fetching.proof, &bytes, Signatures::Verify) {
            Ok(restored) => self.adopt(now, fetching.proof, chunks, restored),
            Err(error) => {
                // A quorum signed it: these validators run other rules than this one.
                tracing::error!(%error, "a signed snapshot does not hold here");
                self.replay_instead(now, "the signed one does not hold here");
                Ok(())
            }
        }
    }

    /// Goes on from a snapshot.
    fn adopt(
        &mut self,
        now: Now,
        proof: SnapshotProof,
        chunks: Vec<Vec<u8>>,
        restored: Restored,
    ) -> Result<(), ReplicaError> {
        let Restored {
            ledger,
            rotation,
            bodies,
            anchors,
        } = restored;
        let before = std::mem::replace(&mut self.ledger, ledger);
        self.rotation = rotation;
        let shared = usize::try_from(proof.manifest.shared_chunks()).unwrap_or(usize::MAX);
        let mut history: Vec<(u32, Vec<u8>)> = (0..).zip(chunks).collect();
        let chunks = history.split_off(shared.min(history.len()));
        let snapshot = StoredSnapshot {
            proof: proof.clone(),
            chunks,
            begins: Some(anchors),
        };
        let batch = Batch {
            bodies,
            history,
            snapshot: Some(Box::new(snapshot)),
            ..Batch::default()
        };
        self.spread.handed_over();
        self.store(StoreOrder::Commit(Box::new(batch)));
        self.values = super::values::Values::default();
        self.sync.decided();
        let time = proof.checkpoint.header.time;
        if self.abstains_until.is_some_and(|until| time > until) {
            self.abstains_until = None;
            self.outputs.push_back(Output::BeginLog);
        }
        let head = self.ledger.base();
        tracing::info!(height = head.height.0, hash = %head.hash, "goes on from a snapshot");
        self.keep(proof);
        self.accept_from(now, &before);
        let (height, hash) = (head.height, head.hash);
        self.outputs
            .push_back(Output::Broadcast(Message::Status { height, hash }));
        self.enter(now)
    }

    /// Accepts again what the ledger before had, and lets clients know whose blocks have no place any more.
    fn accept_from(&mut self, now: Now, before: &Ledger) {
        self.accept_blocks_from(now, before);
        for change in before.pending_changes() {
            if let Err(error) = self.ledger.accept_change(change.clone()) {
                tracing::debug!(%error, "a set change has no place above the snapshot");
            }
        }
        for reset in before.pending_resets() {
            self.ledger.replay_reset(reset.clone());
        }
        self.let_go_of_the_lost();
    }

    fn accept_blocks_from(&mut self, now: Now, before: &Ledger) {
        for tenant in before.tenants().values() {
            for body in tenant.bodies() {
                let submission = Submission {
                    genesis: std::sync::Arc::clone(tenant.genesis()),
                    chain_id: tenant.chain_id(),
                    blocks: vec![body],
                };
                if let Err(error) = self.ledger.accept(now.wall, submission) {
                    tracing::debug!(%error, "an accepted block has no place above the snapshot");
                }
            }
        }
    }
}

/// The proof of a snapshot that nobody else signed yet, and the chunks that are new.
type NewSnapshot = (SnapshotProof, Vec<(u32, Vec<u8>)>);
