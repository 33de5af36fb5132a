//! One node of one tenant chain: the machine that a browser drives and the simulation drives.
//!
//! Facts go in by [`Node::handle`], orders come out of [`Node::poll`] as one queue (see [`Output`]). It owns the chain,
//! the mempool and the outbox, keeps them in step with its peers and the store, and says what to mine and report.
//!
//! How it works (PROTOCOL §2):
//! - **Sync** (`sync`, `bodies`): headers first, with a locator of at most 64 hashes and 2,000 headers a reply; then bodies along
//!   the best header branch from several peers at once, 1 MiB in flight each, packed. A peer without an answer for 2 s loses its
//!   requests to another. A peer's claims cost it nothing and bind nobody: what it does not deliver is asked of others.
//!   Helpers verify a share of what comes (`verifying`).
//! - **New blocks** (`blocks`, `compact`): up to 5 peers, sent in short to each by who brings them in, and by header by who
//!   got them; beyond, in short to 3 and by header to the others. **Transactions** (`transactions`) likewise, announced in batches of 250 ms. Statuses on every change
//!   and every 15 s carry tip and a digest of the mempool, so that what a lossy link swallowed is noticed and asked for.
//! - **Outbox** (`outbox`): own and reorganised transactions, durable before the first send, fed to the mempool in
//!   sequence and told again until they are in the chain. What lost its place to another is a visible conflict.
//! - **Mining** (`mining`): one current job; a better tip stops it at once. Never before the first sync had its chance.
//! - **Reporting** (`report`): to the tracker, oldest first, one report in flight, until confirmed by hash.
//! - **Finality** (`finality`, `proof`): proofs are asked for and verified; only chains with the newest final block count, what
//!   they leave behind is sent again.
//! - **Resets** (`resets`): what the owner of a private network voids by them is let go, and sent again.
//! - **Snapshots** (`snapshots`, `pruning`): with a final block known, one spares the bodies below it; old bodies may go.
//! - **Storage** (`records`, `restore`): every accepted block, the tip, the outbox. A restored block is checked
//!   again (work, linkage, roots), without its signatures.
//!
//! Invariants: no clock, no randomness but the seed, no I/O. What a peer sends never panics. An input that is refused
//! leaves chain, mempool and outbox as the valid part of it left them (a valid header before an invalid one stays) and
//! names the peer; that peer is disconnected and refused for ten minutes. What is no proof of bad will costs points (`score`). A stranger's block is stored anywhere only
//! after its proof of work was checked. Every collection is bounded in [`limits`].
//!
//! What it deliberately does not do: links (the mesh), deciding what is final (the enterprise chain).

mod blocks;
mod bodies;
mod clock;
mod compact;
mod events;
mod finality;
pub mod limits;
mod messages;
mod mining;
mod orphans;
mod outbox;
mod peer;
mod proof;
mod pruning;
mod question;
mod random;
mod recent;
mod records;
mod report;
mod resets;
mod restore;
mod score;
mod settle;
mod snapshots;
mod sync;
mod transactions;
mod verifying;

use alloc::{
    collections::{BTreeMap, VecDeque},
    string::String,
    vec::Vec,
};

use self::{
    bodies::Downloads, clock::Clock, mining::Mining, orphans::Orphans, peer::Peer, proof::Proofs,
    pruning::StoredBase, random::Random, recent::Recent, report::Reporter, resets::Resets,
    score::Scores, settle::Timers, snapshots::Snapshots, transactions::Wanted,
    verifying::Verifying,
};
pub use self::{
    events::{
        Abandoned, Change, Config, Conflict, Counted, Event, Input, Job, JobId, Keep, MiningWhen,
        NodeStatus, Output, Record, Reporting, Traffic, VerifyId,
    },
    outbox::{Lost, Outbox},
};
use crate::{
    chain::Chain,
    enterprise::FinalBlock,
    genesis::Genesis,
    identity::{Identity, Verifier},
    ids::{Height, PeerId, TimestampMs},
    mempool::{Mempool, MempoolLimits},
};

/// The machine.
#[derive(Debug)]
pub struct Node {
    identity: Identity,
    chain: Chain,
    mempool: Mempool,
    outbox: Outbox,
    orphans: Orphans,
    peers: BTreeMap<PeerId, Peer>,
    refused: BTreeMap<PeerId, TimestampMs>,
    scores: Scores,
    traffic: Traffic,
    /// Transactions that were verified and found no place.
    verified: Recent,
    verifier: Verifier,
    downloads: Downloads,
    verifying: Verifying,
    wanted: Wanted,
    mining: Mining,
    reporter: Reporter,
    proofs: Proofs,
    resets: Resets,
    clock: Clock,
    timers: Timers,
    random: Random,
    told_conflicts: Recent,
    /// Branches that finality left behind, oldest first.
    abandoned: VecDeque<Abandoned>,
    keep: Keep,
    stored_base: StoredBase,
    snapshots: Snapshots,
    /// Requests, which tell nobody anything that would have to be durable first.
    requests: VecDeque<Output>,
    outputs: VecDeque<Output>,
    restored: bool,
}

/// Why an input was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The first input must be [`Input::Restored`].
    #[error("the node has not been given its stored records yet")]
    NotRestored,
    /// [`Input::Restored`] came a second time.
    #[error("the node was given its stored records before")]
    AlreadyRestored,
    /// A message came from a peer without a link.
    #[error("peer {peer} has no link")]
    UnknownPeer {
        /// The peer.
        peer: PeerId,
    },
    /// A peer broke a rule; it has been disconnected.
    #[error("peer {peer}: {reason}")]
    Blamed {
        /// The peer.
        peer: PeerId,
        /// The rule.
        reason: String,
    },
}

impl Node {
    /// A node that knows the genesis and nothing else.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let Config {
            genesis,
            identity,
            seed,
            keep,
            helpers,
        } = config;
        let own = identity.public_key();
        Self {
            clock: Clock::new(genesis.rules.interval_ms),
            mempool: Mempool::new(MempoolLimits::of(&genesis.rules)),
            outbox: Outbox::new(own),
            mining: Mining::new(own),
            proofs: Proofs::new(&genesis),
            resets: Resets::default(),
            reporter: Reporter::new(&genesis),
            chain: Chain::new(genesis),
            identity,
            orphans: Orphans::default(),
            peers: BTreeMap::new(),
            refused: BTreeMap::new(),
            scores: Scores::default(),
            traffic: Traffic::default(),
            verified: Recent::new(limits::VERIFIED_MAX),
            verifier: Verifier::default(),
            downloads: Downloads::default(),
            verifying: Verifying::new(helpers),
            wanted: Wanted::default(),
            timers: Timers::default(),
            random: Random::new(seed),
            told_conflicts: Recent::new(limits::CONFLICTS_MAX),
            abandoned: VecDeque::new(),
            keep,
            stored_base: StoredBase::default(),
            snapshots: Snapshots::default(),
            requests: VecDeque::new(),
            outputs: VecDeque::new(),
            restored: false,
        }
    }

    /// Takes one fact. Drain [`Node::poll`] afterwards, also when it is refused.
    ///
    /// # Errors
    /// [`NodeError`] says why the input is refused and whom to blame.
    pub fn handle(&mut self, now: TimestampMs, input: Input) -> Result<(), NodeError> {
        let is_restore = matches!(input, Input::Restored { .. });
        if !self.restored && !is_restore {
            return Err(NodeError::NotRestored);
        }
        if self.restored && is_restore {
            return Err(NodeError::AlreadyRestored);
        }
        let result = self.dispatch(now, input);
        if let Err(NodeError::Blamed { peer, reason }) = &result {
            self.refuse(now, *peer, reason.clone());
        }
        self.settle(now);
        result
    }

    /// The next order, in order. Requests for history come first: while it is on its way, what came before is made durable.
    pub fn poll(&mut self) -> Option<Output> {
        self.poll_free().or_else(|| self.outputs.pop_front())
    }

    /// The next of those orders that need nothing durable before them: requests, and work for helpers. They may be carried out
    /// while a write lasts.
    pub fn poll_free(&mut self) -> Option<Output> {
        self.requests.pop_front()
    }

    /// The chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        self.chain.genesis()
    }

    /// The transactions that wait for a block.
    #[must_use]
    pub const fn mempool(&self) -> &Mempool {
        &self.mempool
    }

    /// Own and reorganised transactions until they are in the chain.
    #[must_use]
    pub const fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Transactions of the outbox whose place in their sender's sequence another one took, oldest first.
    pub fn conflicts(&self) -> impl Iterator<Item = &Lost> {
        self.outbox.lost()
    }

    /// Branches of the main chain that finality left behind, oldest first.
    pub fn abandoned(&self) -> impl Iterator<Item = &Abandoned> {
        self.abandoned.iter()
    }

    /// The linked peers.
    pub fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.peers.keys().copied()
    }

    /// Where the node stands.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        let (tip, best) = (self.chain.tip(), self.chain.best_header());
        NodeStatus {
            height: tip.height,
            tip: tip.hash,
            work: tip.work,
            best_height: best.height,
            pending: self.mempool.len(),
            outbox: self.outbox.len(),
            peers: self.peers.len(),
            syncing: self.timers.first_sync.is_some()
                || best.work > tip.work
                || !self.chain.has_final(),
            final_height: self
                .chain
                .newest_final()
                .map_or(Height::GENESIS, FinalBlock::height),
            bodies_from: self.chain.bodies_from(),
            abandoned: self.abandoned.len(),
            mining_when: self.mining.when,
            job: self.mining.current(),
            synced: self.reporter.confirmed,
            clock_offset_ms: self.clock.offset_ms(),
            traffic: self.traffic,
        }
    }

    fn dispatch(&mut self, now: TimestampMs, input: Input) -> Result<(), NodeError> {
        match input {
            Input::Restored { records } => self.on_restored(now, records),
            Input::PeerConnected { peer } => self.on_peer_connected(now, peer),
            Input::PeerLost { peer } => self.forget(peer),
            Input::MessageReceived { peer, bytes } => return self.on_message(now, peer, &bytes),
            Input::Submitted { request, payload } => self.on_submitted(now, request, payload),
            Input::MiningSet { when } => self.mining.when = when,
            Input::NonceFound { job, solution } => self.on_nonce_found(now, job, solution),
            Input::JobExhausted { job } => self.mining.on_exhausted(job),
            Input::BlockOffered { bytes } => self.on_block_offered(now, &bytes),
            Input::TransactionOffered { bytes } => self.on_transaction_offered(&bytes),
            Input::TrackerConnected { tip } => self.on_tracker_connected(now, tip),
            Input::TrackerLost => self.on_tracker_lost(now),
            Input::ReportingSet { reporting } => self.on_reporting_set(now, reporting),
            Input::ReportConfirmed { height, hash } => self.on_report_confirmed(now, height, hash),
            Input::ReportFailed => self.reporter.on_failed(now),
            Input::Finalised { block } => self.on_finalised(now, &block),
            Input::ProofReceived { bytes } => self.on_proof(now, &bytes),
            Input::ProofFailed => self.proofs.question.on_failed(now),
            Input::ResetsTold { count } => self.on_resets_told(now, count),
            Input::ResetReceived { number, bytes } => self.on_reset_receipt(now, number, &bytes),
            Input::ResetFailed => self.resets.question.on_failed(now),
            Input::Verified { job, valid } => return self.on_verified(now, job, &valid),
            Input::Woken => {}
        }
        Ok(())
    }

    fn on_peer_connected(&mut self, now: TimestampMs, peer: PeerId) {
        if let Some(until) = self.refused.get(&peer).filter(|until| **until > now) {
            let reason = alloc::format!("refused for another {} s", until.since(now) / 1_000);
            return self.outputs.push_back(Output::Disconnect { peer, reason });
        }
        if self.peers.len() >= limits::PEERS_MAX && !self.peers.contains_key(&peer) {
            return self.outputs.push_back(Output::Disconnect {
                peer,
                reason: String::from("too many peers"),
            });
        }
        self.forget(peer);
        self.peers.insert(peer, Peer::new(now));
        self.send_status(now, peer);
    }

    /// Forgets a peer whose link is down; what was asked of it is asked of others.
    fn forget(&mut self, peer: PeerId) {
        self.peers.remove(&peer);
        self.downloads.forget_peer(peer);
        self.wanted.forget_peer(peer);
        self.snapshots.forget_peer(peer);
    }

    /// Ends the link to a peer that broke a rule, and refuses it for a while.
    fn refuse(&mut self, now: TimestampMs, peer: PeerId, reason: String) {
        self.forget(peer);
        self.orphans.forget_peer(peer);
        if self.refused.len() >= limits::REFUSED_PEERS_MAX
            && let Some(oldest) = self
                .refused
                .iter()
                .min_by_key(|(_, until)| **until)
                .map(|(peer, _)| *peer)
        {
            self.refused.remove(&oldest);
        }
        self.refused.insert(peer, now.plus_ms(limits::REFUSAL_MS));
        self.outputs.push_back(Output::Disconnect {
            peer,
            reason: reason.clone(),
        });
        self.event(Event::PeerRefused { peer, reason });
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn persist(&mut self, records: Vec<Change>) {
        if !records.is_empty() {
            self.outputs.push_back(Output::Persist { records });
        }
    }
}

#[cfg(test)]
mod tests;
