//! One validator among others: its ledger, its agreement, what it owes its clients and its peers, as one pure machine.
//!
//! Facts go in by [`Replica::handle`]; [`Replica::settle`] draws the consequences of all that went in since; orders come out
//! of [`Replica::poll`], to be carried out one after the other. After a [`Output::SyncLog`] the log has to be durable before
//! the next order: what a validator signs or acknowledges to others is then never lost in a crash. Orders to the store
//! ([`Output::Store`]) are done in their own order and may lag behind: until they are, the log knows what they hold. A
//! validator alone has no log; there the store alone is what it promises from.
//!
//! # Invariants
//! - A client hears that its blocks are taken when they are durable on f + 1 validators, one of which is honest.
//! - Tenant blocks and the enterprise block are durable here before this validator votes for it.
//! - What the log holds is cut away only when the store has it.
//! - A validator that lost its vote log signs nothing until it has seen a block decided that is younger than its start.
//!
//! # Limits
//! Undecided blocks of a height: one a peer and round, at most [`ROUNDS_MAX`] a peer; of the height after it: one a peer.
//! Clients that wait: [`WAITING_CLIENTS_MAX`]. Updates that wait to be stored by others: [`SPREAD_BYTES_MAX`].

mod log;
mod members;
mod message;
mod resets;
mod rotation;
mod serve;
mod snapshots;
mod spread;
mod status;
mod sync;
mod values;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::enterprise::{Certificate, EnterpriseHeight, Reset, SnapshotProof, ValidatorSet};
use shared::hash::Hash;
use shared::identity::Identity;
use shared::ids::{PublicKey, TimestampMs};

use crate::agreement::{self, Agreement, AgreementError, Evidence, NextHeight};
use crate::ledger::{Ledger, ProposalError, Receipt, Refusal, Submission};
use crate::store::{Batch, BodyKey, ChunkKey};

pub use log::{LogRecord, LogRecordError};
pub use message::{
    ANSWER_BYTES, BLOCKS_MAX, KEYS_MAX, MESSAGE_BYTES_MAX, Message, SyncedBlock, TenantBlocks,
    WireError,
};
pub use rotation::{Rotation, SKIP_HEIGHTS_MAX, SKIP_HEIGHTS_MIN};
pub use serve::{blocks, bodies, chunk};
pub use snapshots::{
    CHUNKS_ASKED_MAX, OFFERS_MS_MAX, OFFERS_MS_MIN, RETRY_MS, SNAPSHOT_EVERY, SNAPSHOTS_KEPT,
};
pub use spread::{
    ACKNOWLEDGE_MS_MAX, DECIDE_MS_MAX, SPREAD_BYTES_MAX, SPREAD_MS_BUSY, SPREAD_MS_MIN,
    STORE_MS_MAX, UpdateError, WAITING_CLIENTS_MAX, submissions,
};
pub use status::{Consensus, PeerStatus};
pub use sync::{ALIVE_MS, HEARTBEAT_MS, LAG_MS, REQUEST_MS};
pub use values::{ASK_BODIES_MS, ROUNDS_MAX};

/// The time on both of a validator's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// What the clock on the wall says; it may jump.
    pub wall: TimestampMs,
    /// A clock that never goes back, for waiting.
    pub steady: TimestampMs,
}

/// A fact for the replica.
#[derive(Debug)]
pub enum Input {
    /// A client hands in checked blocks.
    Submit {
        /// Names the client in the answer.
        client: u64,
        /// The blocks.
        submission: Submission,
    },
    /// A client hands in a reset of a private tenant.
    Reset {
        /// Names the client in the answer.
        client: u64,
        /// The reset.
        reset: Box<Reset>,
    },
    /// The link to a validator is up.
    Linked(PublicKey),
    /// The link to a validator is down.
    Unlinked(PublicKey),
    /// A validator says something.
    Heard {
        /// Whose link it came over.
        from: PublicKey,
        /// What it says.
        message: Message,
    },
    /// A validator hands in blocks that it accepted; checked here by [`submissions`].
    Update {
        /// Whose link they came over.
        from: PublicKey,
        /// Named in the answer; 0 wants none.
        ticket: u64,
        /// The blocks.
        submissions: Vec<Submission>,
    },
    /// Time has passed.
    Tick,
}

/// An order of the replica.
#[derive(Debug)]
pub enum Output {
    /// Append to the vote log.
    Log(LogRecord),
    /// The vote log has to be durable before the next order.
    SyncLog,
    /// Once the store has carried out all orders so far, begin a new vote log: this validator votes again.
    BeginLog,
    /// Send to one validator, if it is linked.
    Send(PublicKey, Message),
    /// Send to all validators that are linked.
    Broadcast(Message),
    /// Hand to whoever owns the store.
    Store(StoreOrder),
    /// A validator has contradicted itself: keep it, show it.
    Evidence(Evidence),
    /// From now on these may link, and no others.
    Members(BTreeSet<PublicKey>),
}

/// An order to the owner of the store, each carried out after the ones before it.
#[derive(Debug)]
pub enum StoreOrder {
    /// Write; durable before the next one.
    Commit(Box<Batch>),
    /// Send a validator decided blocks from the store.
    ServeBlocks(PublicKey, EnterpriseHeight),
    /// Send a validator tenant blocks.
    ServeBodies(PublicKey, Vec<BodyKey>),
    /// Send a validator a chunk of a snapshot.
    ServeChunk {
        /// Whom.
        to: PublicKey,
        /// The snapshot's height.
        height: EnterpriseHeight,
        /// Which chunk.
        index: u32,
        /// Where it is.
        key: ChunkKey,
    },
    /// Answer a client.
    Reply {
        /// Which.
        client: u64,
        /// The verdict over its blocks.
        verdict: Result<Receipt, Refusal>,
        /// Whether f + 1 validators have them.
        is_acknowledged: bool,
    },
}

/// Why a replica can't go on; the validator has to be restarted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicaError {
    /// The agreement broke off.
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    /// A decided block does not execute here.
    #[error(transparent)]
    Proposal(#[from] ProposalError),
}

/// How a replica begins.
#[derive(Debug)]
pub struct Start {
    /// The whole, intact vote log.
    pub records: Vec<LogRecord>,
    /// Set if there is none: the time before which a block does not show that it was decided after the start.
    pub abstains_until: Option<TimestampMs>,
    /// Keys outside the set that the operator lets follow the chain.
    pub followers: BTreeSet<PublicKey>,
    /// Heights from one snapshot to the next, 1 or more; a quorum has to agree on it.
    pub snapshot_every: u64,
    /// What signs snapshots; none for one that signs none.
    pub identity: Option<Identity>,
    /// The proofs of the snapshots in the store.
    pub snapshots: Vec<SnapshotProof>,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            abstains_until: None,
            followers: BTreeSet::new(),
            snapshot_every: SNAPSHOT_EVERY,
            identity: None,
            snapshots: Vec::new(),
        }
    }
}

/// The machine.
#[derive(Debug)]
pub struct Replica {
    ledger: Ledger,
    agreement: Box<dyn Agreement>,
    rotation: Rotation,
    key: PublicKey,
    proposers: Vec<PublicKey>,
    peers: BTreeMap<PublicKey, sync::Peer>,
    followers: BTreeSet<PublicKey>,
    values: values::Values,
    spread: spread::Spread,
    sync: sync::Sync,
    snapshots: snapshots::Snapshots,
    abstains_until: Option<TimestampMs>,
    /// When the oldest record was written that is not durable yet.
    log_behind_since: Option<TimestampMs>,
    /// Something waits for the log that the height or a client waits for.
    is_sync_urgent: bool,
    /// What a log that was found says of heights to come.
    log_tail: Vec<LogRecord>,
    outputs: VecDeque<Output>,
    /// What may be said once the log is durable.
    promises: Vec<Output>,
}

impl Replica {
    /// A replica over a verified ledger, and the rotation that its headers lead to.
    ///
    /// # Errors
    /// [`ReplicaError`] when the log contradicts itself.
    pub fn new(
        ledger: Ledger,
        rotation: Rotation,
        agreement: Box<dyn Agreement>,
        key: PublicKey,
        now: Now,
        start: Start,
    ) -> Result<Self, ReplicaError> {
        let mut replica = Self {
            ledger,
            agreement,
            rotation,
            key,
            proposers: Vec::new(),
            peers: BTreeMap::new(),
            followers: start.followers,
            values: values::Values::default(),
            spread: spread::Spread::default(),
            sync: sync::Sync::default(),
            snapshots: snapshots::Snapshots::new(start.snapshot_every, start.identity),
            abstains_until: start.abstains_until,
            log_behind_since: None,
            is_sync_urgent: false,
            log_tail: start.records,
            outputs: VecDeque::new(),
            promises: Vec::new(),
        };
        replica.admit();
        replica.keep_snapshots(start.snapshots);
        replica.take_accepted();
        replica.enter(now)?;
        Ok(replica)
    }

    /// The ledger.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The ledger, to hand over what readers have to be shown.
    pub const fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// Takes a fact.
    ///
    /// # Errors
    /// [`ReplicaError`]; the validator has to be restarted then.
    pub fn handle(&mut self, now: Now, input: Input) -> Result<(), ReplicaError> {
        match input {
            Input::Submit { client, submission } => self.submit(now, client, submission),
            Input::Update {
                from,
                ticket,
                submissions,
            } => self.updated(now, from, ticket, submissions),
            Input::Reset { client, reset } => self.submit_reset(now, client, *reset),
            Input::Linked(peer) => self.linked(now, peer),
            Input::Unlinked(peer) => self.unlinked(peer),
            Input::Heard { from, message } => return self.heard(now, from, message),
            Input::Tick => {}
        }
        Ok(())
    }

    /// Draws the consequences of what went in: stores it, goes on deciding, answers.
    ///
    /// # Errors
    /// [`ReplicaError`]; the validator has to be restarted then.
    pub fn settle(&mut self, now: Now) -> Result<(), ReplicaError> {
        self.store_accepted(now);
        self.tell(now, agreement::Input::Tick)?;
        self.judge_waiting(now)?;
        self.decide_on(now)?;
        self.store_the_rest(now);
        self.load_snapshot(now)?;
        self.keep_in_step(now);
        self.answer(now);
        self.keep_promises(now);
        Ok(())
    }

    /// The next order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Tick`] is due on the steady clock; `now` is the time on both.
    #[must_use]
    pub fn next_tick(&self, now: Now) -> Option<TimestampMs> {
        let deadline = self
            .ledger
            .next_deadline()
            .filter(|_| !self.is_waiting_for_others());
        // The deadline is a time on the wall.
        let deadline =
            deadline.map(|due| now.steady.plus_ms(due.since(now.wall).max(PAUSE_MS_MIN)));
        let times = [
            deadline,
            self.agreement.next_tick(),
            self.values.next_ask(),
            self.spread.next_answer(),
            self.spread.next_flush(),
            self.spread.next_spread(),
            self.next_sync(),
            self.next_step(),
            self.snapshots.next_step(now.steady),
        ];
        times.into_iter().flatten().min()
    }

    /// Whether the height has begun, so that its deadline needs no alarm.
    fn is_waiting_for_others(&self) -> bool {
        self.agreement.round().is_some() && self.values.wanted().is_none()
    }

    /// The height that is decided next.
    #[must_use]
    pub fn next_height(&self) -> EnterpriseHeight {
        self.ledger.verifier().height().next()
    }

    /// The set in force.
    fn set(&self) -> &ValidatorSet {
        self.ledger.verifier().validators()
    }

    /// How many may be faulty.
    fn faulty_max(&self) -> usize {
        self.set().validators().len().saturating_sub(1) / 3
    }

    /// A validator alone says nothing to anybody before its block is durable, and needs no vote log.
    fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    /// Begins the next height.
    fn enter(&mut self, now: Now) -> Result<(), ReplicaError> {
        self.admit();
        let height = self.next_height();
        let records = self.take_log(height);
        let validators = self.set().clone();
        self.proposers = self.rotation.proposers(&validators, height);
        let next = NextHeight {
            height,
            validators,
            proposers: self.proposers.clone(),
            records,
            votes: self.may_vote(),
        };
        self.tell(now, agreement::Input::Height(next))
    }

    /// Tells the agreement; what a peer got wrong is the peer's fault and stops nobody.
    fn tell(&mut self, now: Now, input: agreement::Input) -> Result<(), ReplicaError> {
        match self.agreement.handle(now.steady, input) {
            Ok(()) => {}
            Err(error @ AgreementError::Stopped(_)) => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "an input of the agreement is refused"),
        }
        self.follow_agreement(now)
    }

    /// Carries out what the agreement orders.
    fn follow_agreement(&mut self, now: Now) -> Result<(), ReplicaError> {
        while let Some(output) = self.agreement.poll() {
            match output {
                agreement::Output::Log(record) => self.log(now, LogRecord::Agreement(record)),
                agreement::Output::Publish(message) => {
                    self.publish(Message::Agreement(message));
                }
                agreement::Output::BuildValue { height, round } => {
                    self.values.want(height, round);
                    self.build(now)?;
                }
                agreement::Output::SendValue {
                    round, block_hash, ..
                } => self.send_value(round.0, &block_hash),
                agreement::Output::Decide {
                    certificate,
                    verified,
                } => self.decided(now, certificate, &verified)?,
                agreement::Output::Evidence(evidence) => {
                    self.outputs.push_back(Output::Evidence(evidence));
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, order: StoreOrder) {
        self.outputs.push_back(Output::Store(order));
    }

    fn log(&mut self, now: Now, record: LogRecord) {
        if !self.is_alone() {
            self.log_behind_since.get_or_insert(now.steady);
            self.outputs.push_back(Output::Log(record));
        }
    }

    /// Sends what was signed, after the log that knows of it is durable.
    fn publish(&mut self, message: Message) {
        if !self.is_alone() {
            self.is_sync_urgent = true;
            self.promises.push(Output::Broadcast(message));
        }
    }

    /// Makes the log durable once for all that was promised since the last time, and lets that out. What the others are only
    /// told to have been stored waits [`SYNC_MS_MAX`] for a vote to share the flush with.
    fn keep_promises(&mut self, now: Now) {
        let is_early = self.next_sync().is_some_and(|due| due > now.steady);
        if is_early && !self.is_sync_urgent {
            return;
        }
        self.is_sync_urgent = false;
        if self.log_behind_since.take().is_some() {
            self.outputs.push_back(Output::SyncLog);
        }
        self.outputs.extend(self.promises.drain(..));
    }

    fn next_sync(&self) -> Option<TimestampMs> {
        self.log_behind_since
            .map(|since| since.plus_ms(SYNC_MS_MAX))
    }

    /// Goes on deciding while there is something to decide and it depends on nobody else.
    fn decide_on(&mut self, now: Now) -> Result<(), ReplicaError> {
        loop {
            let height = self.next_height();
            if !self.ledger.needs_block(now.wall) {
                return Ok(());
            }
            self.tell(now, agreement::Input::WorkPending { height })?;
            self.build(now)?;
            if self.next_height() == height {
                return Ok(());
            }
        }
    }
}

/// The shortest wait for a deadline: the clock may be behind enterprise time.
const PAUSE_MS_MIN: u64 = 5;
/// How long a record of what was accepted waits for another flush of the log to share, in ms.
const SYNC_MS_MAX: u64 = 5;

/// A certificate whose block is not here.
#[derive(Debug)]
struct Lacking {
    certificate: Certificate,
}

/// Keys without repetition.
type Keys = BTreeSet<BodyKey>;
/// By block hash.
type ByHash<T> = BTreeMap<Hash, T>;
