//! One tenant: its chain, its name, and what the enterprise chain says of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use shared::block::Block;
use shared::enterprise::{EnterpriseHeight, TenantState};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, TimestampMs};
use shared::transaction::Payload;

use super::tenant_chain::TenantChain;
use super::{HELD_BLOCKS_MAX, HELD_BYTES_MAX};
use crate::body::Body;
use crate::store::Head;

/// Messages kept for showing.
const RECENT_MESSAGES_MAX: usize = 10;
const RECENT_BLOCKS_MAX: usize = 200;
const PREFIX_CHARS: usize = 8;

/// The name a tenant is shown under: its label, or `label~` and the start of its chain id when the label was taken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TenantName(String);

impl TenantName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first free name for a chain under this label.
    pub(super) fn choose(label: &str, chain_id: ChainId, taken: &BTreeMap<Self, ChainId>) -> Self {
        let bare = Self(label.to_owned());
        if !taken.contains_key(&bare) {
            return bare;
        }
        let id = chain_id.to_string();
        let prefixed = (PREFIX_CHARS..id.len())
            .filter_map(|length| id.get(..length))
            .map(|prefix| Self(format!("{label}~{prefix}")))
            .find(|name| !taken.contains_key(name));
        prefixed.unwrap_or_else(|| Self(format!("{label}~{id}")))
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What the blocks of a tenant's heaviest anchored chain are stored by, lowest first: their hashes, of a private tenant the
/// ids of the reports; shared with readers, written by the engine.
#[derive(Clone, Debug, Default)]
pub struct MainChain(Arc<RwLock<Vec<Hash>>>);

impl MainChain {
    /// Up to `limit` of them from height `from` (the first block is 1) upwards.
    #[must_use]
    pub fn page(&self, from: u32, limit: usize) -> Vec<Hash> {
        let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(usize::MAX);
        self.read(|hashes| hashes.iter().skip(skipped).take(limit).copied().collect())
    }

    /// Whether the block at this height is on the chain, by what it is stored by.
    #[must_use]
    pub fn has(&self, height: Height, hash: &Hash) -> bool {
        let index = height
            .0
            .checked_sub(1)
            .and_then(|index| usize::try_from(index).ok());
        self.read(|hashes| index.and_then(|index| hashes.get(index)) == Some(hash))
    }

    fn read<T>(&self, reader: impl FnOnce(&[Hash]) -> T) -> T {
        reader(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the chain to a new tip: what is not below it is replaced.
    fn follow(&self, chain: &TenantChain, reports: &BTreeMap<Hash, Hash>, tip: Hash) {
        let mut hashes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (mut at, mut above) = (tip, Vec::new());
        let kept = loop {
            let Some(header) = chain.header(&at) else {
                break 0;
            };
            let index = usize::try_from(header.height.0.saturating_sub(1)).unwrap_or(usize::MAX);
            let id = *reports.get(&at).unwrap_or(&at);
            if hashes.get(index) == Some(&id) {
                break index.saturating_add(1);
            }
            above.push(id);
            at = header.previous;
        };
        hashes.truncate(kept);
        hashes.extend(above.into_iter().rev());
    }
}

/// A tenant's chain and its standing on the enterprise chain.
#[derive(Debug)]
pub struct TenantLedger {
    genesis: Arc<Genesis>,
    pub(super) name: TenantName,
    pub(super) chain: TenantChain,
    /// The ids of the anchored reports, by block.
    reports: BTreeMap<Hash, Hash>,
    /// Transactions from the first block up to each anchored one, on its own branch.
    transactions: BTreeMap<Hash, u64>,
    /// By block: what it is stored by, and its bytes.
    held: BTreeMap<Hash, (Hash, usize)>,
    held_bytes: usize,
    /// Anchored blocks with their parents, in the order in which they were anchored; of those up to the newest final one not all.
    pub(super) live: Vec<(Hash, Hash)>,
    pub(super) live_kept: usize,
    main: MainChain,
    state: TenantState,
    anchored_in: Head,
    last_activity: TimestampMs,
    recent: Arc<[(u32, Arc<str>)]>,
}

/// Heights and texts of a block's messages, newest first.
fn messages_of(block: &Block) -> impl Iterator<Item = (u32, Arc<str>)> {
    let height = block.header().height.0;
    let newest_first = block.transactions().iter().rev();
    newest_first.filter_map(move |transaction| match transaction.payload() {
        Payload::Message(text) => Some((height, Arc::from(text.as_str()))),
        _ => None,
    })
}

impl TenantLedger {
    pub(super) fn new(
        genesis: Arc<Genesis>,
        chain_id: ChainId,
        taken: &BTreeMap<TenantName, ChainId>,
    ) -> Self {
        Self {
            name: TenantName::choose(genesis.network_id.as_str(), chain_id, taken),
            chain: TenantChain::new(&genesis),
            genesis,
            reports: BTreeMap::new(),
            transactions: BTreeMap::new(),
            held: BTreeMap::new(),
            held_bytes: 0,
            live: Vec::new(),
            live_kept: 0,
            main: MainChain::default(),
            state: TenantState::registered(chain_id),
            anchored_in: Head {
                height: EnterpriseHeight(0),
                hash: Hash::ZERO,
            },
            last_activity: TimestampMs(0),
            recent: Arc::from([]),
        }
    }

    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// The chain id.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain.chain_id()
    }

    /// The name to show.
    #[must_use]
    pub const fn name(&self) -> &TenantName {
        &self.name
    }

    /// The heaviest anchored chain.
    #[must_use]
    pub const fn state(&self) -> &TenantState {
        &self.state
    }

    /// The hashes of that chain.
    #[must_use]
    pub const fn main(&self) -> &MainChain {
        &self.main
    }

    /// The enterprise block that anchors its tip.
    #[must_use]
    pub const fn anchored_in(&self) -> Head {
        self.anchored_in
    }

    /// Enterprise time of the last anchored block.
    #[must_use]
    pub const fn last_activity(&self) -> TimestampMs {
        self.last_activity
    }

    /// Transactions on the heaviest anchored chain.
    #[must_use]
    pub fn transaction_count(&self) -> u64 {
        self.transactions
            .get(&self.state.hash)
            .copied()
            .unwrap_or(0)
    }

    /// Heights and texts of the newest messages on the anchored chain, newest first.
    #[must_use]
    pub fn recent_messages(&self) -> Arc<[(u32, Arc<str>)]> {
        Arc::clone(&self.recent)
    }

    /// The newest messages of the chain that ends with a block.
    fn messages_at(&self, tip: Hash) -> Vec<(u32, Arc<str>)> {
        let (mut messages, mut at) = (Vec::new(), tip);
        for _ in 0..RECENT_BLOCKS_MAX {
            let Some(block) = self.chain.open().and_then(|chain| chain.block(&at)) else {
                break;
            };
            let rest = RECENT_MESSAGES_MAX.saturating_sub(messages.len());
            messages.extend(messages_of(block).take(rest));
            if messages.len() >= RECENT_MESSAGES_MAX {
                break;
            }
            at = block.header().previous;
        }
        messages
    }

    /// The newest messages once the chain ends with a block: those before, if it only grew by that one.
    fn renew_messages(&mut self, tip: Hash) {
        let grown = self.chain.open().and_then(|chain| chain.block(&tip));
        let grown = grown.filter(|block| block.header().previous == self.state.hash);
        self.recent = match grown {
            Some(block) => {
                let all = messages_of(block).chain(self.recent.iter().cloned());
                all.take(RECENT_MESSAGES_MAX).collect()
            }
            None => self.messages_at(tip).into(),
        };
    }

    /// Looks the newest messages up anew.
    pub(super) fn show_messages(&mut self) {
        self.recent = self.messages_at(self.state.hash).into();
    }

    /// The lowest height from which on all bodies of its chain are here.
    #[must_use]
    pub fn bodies_from(&self) -> Height {
        self.chain.bodies_from()
    }

    /// The blocks whose bodies are here, each after its parent.
    #[must_use]
    pub fn bodies(&self) -> Vec<Body> {
        self.chain.bodies()
    }

    /// Whether a block and its body are here.
    #[must_use]
    pub fn has_body(&self, hash: &Hash) -> bool {
        self.chain.id_of(hash).is_some()
    }

    /// The id of the report by which a private tenant's block is anchored.
    pub(super) fn report_of(&self, hash: &Hash) -> Option<Hash> {
        self.reports.get(hash).copied()
    }

    /// Whether a block may be added: it extends the heaviest chain, makes its branch the heaviest, is known, or there is
    /// room for one more beside.
    ///
    /// # Errors
    /// How many blocks are held beside.
    pub(super) fn has_room_for(&self, block: &Body, bytes: usize) -> Result<(), usize> {
        let (tip, header) = (self.chain.tip(), block.header());
        let full = self.held.len() >= HELD_BLOCKS_MAX
            || self.held_bytes.saturating_add(bytes) > HELD_BYTES_MAX;
        if !full || header.previous == tip.hash || self.has_body(&block.hash()) {
            return Ok(());
        }
        match self.chain.work_of(&header.previous) {
            // An unknown parent has its own answer.
            None => Ok(()),
            Some(parent) if parent.plus(header.work()) > tip.work => Ok(()),
            Some(_) => Err(self.held.len()),
        }
    }

    /// Keeps count of a block beside the heaviest chain.
    pub(super) fn hold(&mut self, hash: Hash, bytes: usize) {
        let Some(id) = self.chain.id_of(&hash) else {
            return;
        };
        if self.held.insert(hash, (id, bytes)).is_none() {
            self.held_bytes = self.held_bytes.saturating_add(bytes);
        }
    }

    pub(super) fn release(&mut self, hash: &Hash) -> bool {
        match self.held.remove(hash) {
            Some((_, bytes)) => {
                self.held_bytes = self.held_bytes.saturating_sub(bytes);
                true
            }
            None => false,
        }
    }

    /// Lets go of held blocks that the chain has dropped; answers what they are stored by.
    pub(super) fn drop_forgotten(&mut self) -> Vec<Hash> {
        let held = self.held.iter();
        let gone = held.filter(|(hash, _)| self.chain.id_of(hash).is_none());
        let forgotten: Vec<(Hash, Hash)> = gone.map(|(hash, (id, _))| (*hash, *id)).collect();
        for (hash, _) in &forgotten {
            self.release(hash);
        }
        forgotten.into_iter().map(|(_, id)| id).collect()
    }

    /// Counts an anchored block; `transactions` are its own.
    pub(super) fn count(&mut self, hash: Hash, previous: &Hash, transactions: usize) {
        let before = self.transactions.get(previous).copied().unwrap_or(0);
        let own = u64::try_from(transactions).unwrap_or(u64::MAX);
        self.transactions.insert(hash, before.saturating_add(own));
        self.live.push((hash, *previous));
    }

    /// Counts a block that is anchored by this report.
    pub(super) fn count_report(&mut self, hash: Hash, previous: &Hash, id: Hash) {
        self.reports.insert(hash, id);
        self.live.push((hash, *previous));
    }

    /// Takes over where a decided block leaves the tenant.
    pub(super) fn stand(&mut self, state: TenantState, head: Head, time: TimestampMs) {
        if state.hash != self.state.hash {
            self.renew_messages(state.hash);
            self.anchored_in = head;
            self.main.follow(&self.chain, &self.reports, state.hash);
        }
        self.state = state;
        self.last_activity = time;
    }
}
