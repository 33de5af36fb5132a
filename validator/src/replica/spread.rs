//! What clients hand in: taken, spread to the other validators, acknowledged when enough of them have it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use shared::encoding::DecodeError;
use shared::enterprise::Reset;
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, PublicKey, TimestampMs};

use super::{LogRecord, Message, Now, Output, Replica, StoreOrder, TenantBlocks};
use crate::body::{BodyError, UncheckedBody};
use crate::ledger::{Receipt, Submission};
use crate::store::{Batch, BodyKey};

/// Clients that wait for an answer; a further one is answered at once.
pub const WAITING_CLIENTS_MAX: usize = 4_096;
/// Bytes of updates that wait to be stored by enough others.
pub const SPREAD_BYTES_MAX: usize = 64 << 20;
/// How long a client whose blocks enough validators have waits for them to be decided, in ms.
pub const DECIDE_MS_MAX: u64 = 1_000;
/// How long a client waits until enough validators have its blocks, in ms.
pub const ACKNOWLEDGE_MS_MAX: u64 = 2_000;
/// How long what is accepted stays in the log alone, in ms, when no decision takes it to the store.
pub const STORE_MS_MAX: u64 = 1_000;
/// The shortest time between two updates to the others, in ms: what comes meanwhile shares one.
pub const SPREAD_MS_MIN: u64 = 3;
/// The same while enough others have not yet stored the ones before, in ms.
pub const SPREAD_MS_BUSY: u64 = 10;
/// The first ticket of a reset; those of blocks are below.
const RESET_TICKETS: u64 = 1 << 63;
/// Bytes of an update to a validator whose link came up.
const CATCH_UP_BYTES: usize = 1 << 20;

/// What is being spread, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Spread {
    ticket: u64,
    /// Resets that were spread so far; their tickets are those from [`RESET_TICKETS`] on.
    resets: u64,
    /// Accepted since the last time.
    fresh: Vec<TenantBlocks>,
    /// When the last update went out.
    spread_at: TimestampMs,
    under_way: BTreeMap<u64, UnderWay>,
    bytes: usize,
    clients: VecDeque<Client>,
    /// Updates of others that are acknowledged when the log is durable.
    stored: Vec<(PublicKey, u64)>,
    /// How many bodies of the ledger's batch are in the log.
    logged: usize,
    /// The tenants of the batch that are in the log.
    logged_tenants: BTreeSet<ChainId>,
    /// The resets of the batch that are in the log, by their leaves.
    logged_resets: BTreeSet<Hash>,
    /// When the oldest of the batch was accepted.
    unstored_since: Option<TimestampMs>,
}

/// What is spread under one ticket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Load {
    Blocks(Vec<TenantBlocks>),
    Reset(Box<Reset>),
}

impl Load {
    fn message(&self, ticket: u64) -> Message {
        match self {
            Self::Blocks(tenants) => {
                let tenants = tenants.clone();
                Message::Update { ticket, tenants }
            }
            Self::Reset(reset) => {
                let reset = reset.clone();
                Message::Reset { ticket, reset }
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Blocks(tenants) => tenants.iter().map(TenantBlocks::bytes).sum(),
            Self::Reset(_) => Reset::BYTES,
        }
    }
}

#[derive(Debug)]
struct UnderWay {
    load: Load,
    bytes: usize,
    holders: BTreeSet<PublicKey>,
}

/// A client that waits for its answer.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) client: u64,
    pub(super) receipt: Receipt,
    /// The update that brings its blocks to the others, until enough have it.
    pub(super) ticket: Option<u64>,
    /// Its newest block, until that is decided.
    pub(super) block: Option<BodyKey>,
    /// Its reset: tenant and number.
    pub(super) reset: Option<(ChainId, u32)>,
    /// That block is in a decided one, so that a quorum's logs have it.
    pub(super) is_decided: bool,
    pub(super) since: TimestampMs,
}

impl Spread {
    /// All that the batch holds is in the log.
    pub(super) fn logged_all(&mut self, batch: &Batch) {
        self.logged = batch.bodies.len();
        self.logged_tenants = batch.registrations.keys().copied().collect();
        self.logged_resets = batch.resets.keys().copied().collect();
    }

    /// The batch is handed to the store.
    pub(super) fn handed_over(&mut self) {
        self.logged = 0;
        self.logged_tenants.clear();
        self.logged_resets.clear();
        self.unstored_since = None;
    }

    /// The ticket under which something is on its way.
    pub(super) fn ticket_of(&self, load: &Load) -> Option<u64> {
        let mut under_way = self.under_way.iter();
        let found = under_way.find(|(_, under_way)| under_way.load == *load);
        found.map(|(ticket, _)| *ticket)
    }

    /// Once the log is durable, a validator hears that its update is stored; ticket 0 wants no answer.
    pub(super) fn owe(&mut self, peer: PublicKey, ticket: u64) {
        if ticket != 0 {
            self.stored.push((peer, ticket));
        }
    }

    pub(super) fn next_spread(&self) -> Option<TimestampMs> {
        let is_waiting = !self.fresh.is_empty();
        let pause = if self.under_way.is_empty() {
            SPREAD_MS_MIN
        } else {
            SPREAD_MS_BUSY
        };
        is_waiting.then(|| self.spread_at.plus_ms(pause))
    }

    pub(super) fn next_flush(&self) -> Option<TimestampMs> {
        self.unstored_since.map(|since| since.plus_ms(STORE_MS_MAX))
    }

    pub(super) fn next_answer(&self) -> Option<TimestampMs> {
        let times = self.clients.iter().map(|client| {
            let patience = if client.ticket.is_some() {
                ACKNOWLEDGE_MS_MAX
            } else {
                DECIDE_MS_MAX
            };
            client.since.plus_ms(patience)
        });
        times.min()
    }
}

impl Replica {
    pub(super) fn submit(&mut self, now: Now, client: u64, submission: Submission) {
        let newest = submission
            .blocks
            .last()
            .map(|block| (submission.chain_id, block.hash()));
        let known = self.ledger.batch().bodies.len();
        let genesis = Arc::clone(&submission.genesis);
        let verdict = self.ledger.accept(now.wall, submission);
        let bodies = self.ledger.batch().bodies.iter().skip(known);
        let blocks: Vec<Vec<u8>> = bodies.map(|(_, bytes)| bytes.clone()).collect();
        let is_new = !blocks.is_empty() && !self.is_alone();
        if is_new {
            let genesis = genesis.encode();
            self.spread.fresh.push(TenantBlocks { genesis, blocks });
        }
        let receipt = match verdict {
            Ok(receipt) => receipt,
            Err(refusal) => {
                self.store(StoreOrder::Reply {
                    client,
                    verdict: Err(refusal),
                    is_acknowledged: true,
                });
                return;
            }
        };
        self.wait(Client {
            client,
            receipt,
            ticket: is_new.then(|| self.spread.ticket.saturating_add(1)),
            block: newest.filter(|key| self.ledger.is_pending(key)),
            reset: None,
            is_decided: false,
            since: now.steady,
        });
    }

    /// Keeps a client until it can be answered.
    pub(super) fn wait(&mut self, client: Client) {
        self.spread.clients.push_back(client);
        if self.spread.clients.len() > WAITING_CLIENTS_MAX
            && let Some(oldest) = self.spread.clients.front_mut()
        {
            oldest.since = TimestampMs(0);
        }
    }

    /// A validator hands in blocks that it accepted.
    pub(super) fn updated(
        &mut self,
        now: Now,
        from: PublicKey,
        ticket: u64,
        submissions: Vec<Submission>,
    ) {
        let mut is_all_here = true;
        for submission in submissions {
            if let Err(error) = self.ledger.accept(now.wall, submission) {
                tracing::debug!(peer = %from, %error, "an update is not taken whole");
                is_all_here = false;
            }
        }
        if is_all_here {
            self.spread.owe(from, ticket);
        }
    }

    /// Stores what was accepted, and tells the others of it.
    pub(super) fn store_accepted(&mut self, now: Now) {
        let due = self.spread.next_spread();
        if due.is_some_and(|due| due <= now.steady) {
            let tenants = std::mem::take(&mut self.spread.fresh);
            self.spread.spread_at = now.steady;
            self.spread.ticket = self.spread.ticket.saturating_add(1);
            self.spread_load(self.spread.ticket, Load::Blocks(tenants));
        }
        if self.is_alone() {
            // Decided and stored in one go, as soon as what comes next is decided.
            return;
        }
        self.log_accepted(now);
        for (peer, ticket) in std::mem::take(&mut self.spread.stored) {
            let stored = Message::Stored { ticket };
            self.promises.push(Output::Send(peer, stored));
        }
    }

    /// Spreads a reset; answers its ticket.
    pub(super) fn spread_reset(&mut self, reset: &Reset) -> u64 {
        let ticket = RESET_TICKETS.saturating_add(self.spread.resets);
        self.spread.resets = self.spread.resets.saturating_add(1);
        self.spread_load(ticket, Load::Reset(Box::new(reset.clone())));
        ticket
    }

    /// Sent before it is durable here: the others log it meanwhile.
    fn spread_load(&mut self, ticket: u64, load: Load) {
        self.outputs
            .push_back(Output::Broadcast(load.message(ticket)));
        let (bytes, holders) = (load.bytes(), BTreeSet::new());
        self.spread.bytes = self.spread.bytes.saturating_add(bytes);
        let under_way = UnderWay {
            load,
            bytes,
            holders,
        };
        self.spread.under_way.insert(ticket, under_way);
        self.let_go_of_the_oldest();
    }

    /// Puts what was accepted since the last time into the log.
    fn log_accepted(&mut self, now: Now) {
        let batch = self.ledger.batch();
        let fresh = batch.bodies.iter().skip(self.spread.logged);
        let bodies: Vec<_> = fresh.map(|(key, bytes)| (key.0, bytes.clone())).collect();
        let waiting = batch.registrations.iter();
        let fresh = waiting.filter(|(id, _)| !self.spread.logged_tenants.contains(id));
        let geneses: Vec<Vec<u8>> = fresh.map(|(_, genesis)| genesis.clone()).collect();
        let waiting = batch.resets.iter();
        let fresh = waiting.filter(|(leaf, _)| !self.spread.logged_resets.contains(leaf));
        let resets: Vec<Vec<u8>> = fresh.map(|(_, reset)| reset.clone()).collect();
        let has_blocks = !bodies.is_empty() || !geneses.is_empty();
        if !has_blocks && resets.is_empty() {
            return;
        }
        self.spread.logged_all(batch);
        self.spread.unstored_since.get_or_insert(now.steady);
        if has_blocks {
            self.log(now, LogRecord::Accepted { geneses, bodies });
        }
        for reset in resets {
            self.log(now, LogRecord::Reset(reset));
        }
    }

    /// Hands to the store what no decision has taken there.
    pub(super) fn store_the_rest(&mut self, now: Now) {
        let is_due = self
            .spread
            .next_flush()
            .is_some_and(|due| due <= now.steady);
        if (self.is_alone() || is_due) && !self.ledger.batch().is_empty() {
            let batch = self.ledger.take_batch();
            self.spread.handed_over();
            self.store(StoreOrder::Commit(Box::new(batch)));
        }
    }

    /// A validator that comes back later gets what is pending then.
    fn let_go_of_the_oldest(&mut self) {
        while self.spread.bytes > SPREAD_BYTES_MAX {
            let Some((_, oldest)) = self.spread.under_way.pop_first() else {
                return;
            };
            self.spread.bytes = self.spread.bytes.saturating_sub(oldest.bytes);
        }
    }

    /// How many others of the set must hold what is promised: f + 1 with this one, if it is of the set.
    fn others_needed(&self) -> usize {
        let is_member = self.set().index_of(&self.key).is_some();
        self.faulty_max().saturating_add(usize::from(!is_member))
    }

    /// A validator has stored an update.
    pub(super) fn stored(&mut self, from: PublicKey, ticket: u64) {
        let enough = self.others_needed();
        let Some(under_way) = self.spread.under_way.get_mut(&ticket) else {
            return;
        };
        if self
            .ledger
            .verifier()
            .validators()
            .index_of(&from)
            .is_some()
        {
            under_way.holders.insert(from);
        }
        if under_way.holders.len() < enough {
            return;
        }
        if let Some(done) = self.spread.under_way.remove(&ticket) {
            self.spread.bytes = self.spread.bytes.saturating_sub(done.bytes);
        }
        for client in &mut self.spread.clients {
            if client.ticket == Some(ticket) {
                client.ticket = None;
            }
        }
    }

    /// Tells clients that their blocks are not acknowledged when they neither wait for a decision nor are decided.
    pub(super) fn let_go_of_the_lost(&mut self) {
        let mut waiting = std::mem::take(&mut self.spread.clients);
        waiting.retain(|client| {
            let has_place = client.block.is_none_or(|(chain_id, hash)| {
                let ledger = &self.ledger;
                ledger.is_pending(&(chain_id, hash)) || ledger.state().is_anchored(chain_id, hash)
            });
            if !has_place {
                let reply = StoreOrder::Reply {
                    client: client.client,
                    verdict: Ok(client.receipt),
                    is_acknowledged: false,
                };
                self.outputs.push_back(Output::Store(reply));
            }
            has_place
        });
        self.spread.clients = waiting;
    }

    /// Answers the clients whose blocks are decided, or who have waited long enough.
    pub(super) fn answer(&mut self, now: Now) {
        let others = self.others_needed();
        let mut waiting = std::mem::take(&mut self.spread.clients);
        waiting.retain_mut(|client| {
            if let Some((chain_id, hash)) = client.block.take_if(|key| !self.ledger.is_pending(key))
            {
                client.is_decided = self.ledger.state().is_anchored(chain_id, hash);
                // A quorum has voted for it: more than f have it.
                client.ticket = None;
            }
            let resets = |chain_id: ChainId| self.ledger.state().resets(&chain_id);
            let is_executed = client
                .reset
                .is_some_and(|(id, number)| resets(id) >= number);
            if others == 0 || is_executed {
                client.ticket = None;
            }
            let waited = now.steady.since(client.since);
            let is_acknowledged = client.ticket.is_none();
            let is_done = is_acknowledged && (client.block.is_none() || waited >= DECIDE_MS_MAX);
            if !is_done && waited < ACKNOWLEDGE_MS_MAX {
                return true;
            }
            let reply = Output::Store(StoreOrder::Reply {
                client: client.client,
                verdict: Ok(client.receipt),
                is_acknowledged,
            });
            if client.is_decided || !is_acknowledged {
                self.outputs.push_back(reply);
            } else {
                // Counts on this validator's own log.
                self.is_sync_urgent = true;
                self.promises.push(reply);
            }
            false
        });
        self.spread.clients = waiting;
    }

    /// Gives a validator whose link came up what it may lack.
    pub(super) fn catch_up(&mut self, peer: PublicKey) {
        for (ticket, under_way) in &self.spread.under_way {
            if !under_way.holders.contains(&peer) {
                let update = under_way.load.message(*ticket);
                self.outputs.push_back(Output::Send(peer, update));
            }
        }
        let (mut tenants, mut bytes) = (Vec::<TenantBlocks>::new(), 0_usize);
        let mut updates = Vec::new();
        for (genesis, block) in self.ledger.pending_blocks() {
            let genesis = genesis.encode();
            bytes = bytes.saturating_add(block.len());
            match tenants.last_mut() {
                Some(last) if last.genesis == genesis => last.blocks.push(block),
                Some(_) | None => tenants.push(TenantBlocks {
                    genesis,
                    blocks: vec![block],
                }),
            }
            if bytes > CATCH_UP_BYTES {
                updates.push(std::mem::take(&mut tenants));
                bytes = 0;
            }
        }
        updates.push(tenants);
        for tenants in updates.into_iter().filter(|tenants| !tenants.is_empty()) {
            let ticket = 0;
            let update = Message::Update { ticket, tenants };
            self.outputs.push_back(Output::Send(peer, update));
        }
    }
}

impl TenantBlocks {
    fn bytes(&self) -> usize {
        let blocks = self.blocks.iter().map(Vec::len);
        blocks.sum::<usize>().saturating_add(self.genesis.len())
    }
}

/// Why a validator's update is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// A genesis in it is malformed.
    #[error(transparent)]
    Encoding(#[from] DecodeError),
    /// A block in it is malformed or breaks a rule of its chain.
    #[error("a block: {0}")]
    Block(#[from] BodyError),
}

/// Checks an update of another validator: work, roots and signatures, as if a client had sent it.
///
/// # Errors
/// [`UpdateError`]; nothing of it is taken then.
pub fn submissions(tenants: Vec<TenantBlocks>) -> Result<Vec<Submission>, UpdateError> {
    let mut submissions = Vec::with_capacity(tenants.len());
    for tenant in tenants {
        let genesis = Arc::new(Genesis::decode(&tenant.genesis)?);
        let chain_id = genesis.chain_id();
        let mut blocks = Vec::with_capacity(tenant.blocks.len());
        for bytes in tenant.blocks {
            blocks.push(UncheckedBody::decode(&bytes)?.check(&genesis)?);
        }
        submissions.push(Submission {
            genesis,
            chain_id,
            blocks,
        });
    }
    Ok(submissions)
}
