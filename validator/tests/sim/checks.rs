//! What must hold at every step, whoever is faulty.

use std::collections::{BTreeMap, BTreeSet};

use shared::enterprise::{
    DecidedBlock, EnterpriseBlock, EnterpriseGenesis, Entry, Reset, VoteKind,
};
use shared::hash::{Hash, sha256};
use shared::ids::{ChainId, PublicKey, TimestampMs};
use validator::agreement;
use validator::body::UncheckedBody;
use validator::ledger::{Ledger, Signatures};
use validator::replica::Message;
use validator::store::{BodyKey, Head};

/// What a validator has said in one slot of one round.
type Slot = (PublicKey, u64, u32, u8);

/// The observer who sees all.
#[derive(Debug)]
pub(crate) struct Observer {
    /// Executes every decided block once more and verifies all of it, signatures too.
    ledger: Ledger,
    decided: BTreeMap<u64, Hash>,
    /// When each height was first decided, and in which round.
    firsts: BTreeMap<u64, (u64, u32)>,
    said: BTreeMap<Slot, Option<Hash>>,
    anchored: BTreeMap<BodyKey, u64>,
    acknowledged: BTreeSet<BodyKey>,
    /// Acknowledged blocks of private tenants: their height, and the resets before them.
    reported: BTreeMap<BodyKey, (u32, u32)>,
    acknowledged_resets: Vec<Reset>,
    /// The resets that were executed, and at which height.
    resets: BTreeMap<(ChainId, u32), (Reset, u64)>,
    adopted: Vec<u64>,
    trace: Hash,
}

impl Observer {
    pub(crate) fn new(genesis: EnterpriseGenesis) -> Self {
        Self {
            ledger: Ledger::new(genesis),
            decided: BTreeMap::new(),
            firsts: BTreeMap::new(),
            said: BTreeMap::new(),
            anchored: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            reported: BTreeMap::new(),
            acknowledged_resets: Vec::new(),
            resets: BTreeMap::new(),
            adopted: Vec::new(),
            trace: Hash::default(),
        }
    }

    /// Whether nobody has decided this height so far.
    pub(crate) fn is_new(&self, height: u64) -> bool {
        !self.decided.contains_key(&height)
    }

    /// The first decision of a height, at `now`: whatever the validators' judges let pass, the block is valid, and not ahead of
    /// the `latest` time that a correct clock allows.
    pub(crate) fn verify(
        &mut self,
        seed: u64,
        (now, latest): (u64, TimestampMs),
        decided: &DecidedBlock,
        bodies: Vec<UncheckedBody>,
    ) {
        let (block, certificate) = (decided.block().clone(), decided.certificate().clone());
        let (header, round) = (block.header().clone(), certificate.round.0);
        let height = header.height;
        assert!(
            header.time <= latest,
            "seed {seed}: height {height} is ahead of all correct clocks"
        );
        let replayed = self
            .ledger
            .replay(block, certificate, bodies, Signatures::Verify);
        if let Err(error) = replayed {
            panic!("seed {seed}: height {height} is decided and invalid: {error}");
        }
        let (state, log) = (self.ledger.state(), self.ledger.state().log());
        assert_eq!(
            (header.state_root, header.log_root, header.log_size),
            (state.state_root(), log.root(), log.size()),
            "seed {seed}: height {height} says another state than its entries make"
        );
        drop(self.ledger.take_batch());
        self.firsts.insert(height.0, (now, round));
    }

    /// The heights decided first after a time, when, and in which round.
    pub(crate) fn firsts_after(&self, time: u64) -> Vec<(u64, u64, u32)> {
        let firsts = self.firsts.iter();
        let firsts = firsts.map(|(height, (at, round))| (*height, *at, *round));
        firsts.filter(|(_, at, _)| *at > time).collect()
    }

    /// Whether a block was decided.
    pub(crate) fn has_decided(&self, hash: &Hash) -> bool {
        self.decided.values().any(|decided| decided == hash)
    }

    /// An honest validator has decided a block.
    pub(crate) fn decided(&mut self, seed: u64, block: &EnterpriseBlock) {
        let (height, hash) = (block.header().height.0, block.hash());
        let first = *self.decided.entry(height).or_insert(hash);
        assert_eq!(
            first, hash,
            "seed {seed}: two blocks decided at height {height}"
        );
        self.note(&hash);
        let (mut entries, mut anchors) = (BTreeSet::new(), BTreeSet::new());
        for entry in block.entries() {
            assert!(
                entries.insert(entry.encode()),
                "seed {seed}: an entry is twice in the block at height {height}"
            );
            if let Some(anchor) = entry.anchored() {
                let key = (anchor.chain_id, anchor.header.hash());
                assert!(
                    anchors.insert(key),
                    "seed {seed}: a tenant block is twice in the block at height {height}"
                );
                let at = *self.anchored.entry(key).or_insert(height);
                assert_eq!(at, height, "seed {seed}: a tenant block is anchored twice");
            }
            if let Entry::TenantReset(reset) = entry {
                let executed = ((**reset).clone(), height);
                let key = (reset.chain_id, reset.number);
                let first = self.resets.entry(key).or_insert_with(|| executed.clone());
                assert_eq!(*first, executed, "seed {seed}: a reset is executed twice");
            }
        }
    }

    /// An honest validator goes on from a snapshot: it stands on the block that the others decided.
    pub(crate) fn adopted(&mut self, seed: u64, head: Head) {
        let decided = self.decided.get(&head.height.0);
        assert_eq!(
            decided,
            Some(&head.hash),
            "seed {seed}: a snapshot of another block than was decided at height {}",
            head.height
        );
        self.adopted.push(head.height.0);
        self.note(&head.hash);
    }

    /// The heights of the snapshots that honest validators went on from.
    pub(crate) fn snapshots(&self) -> &[u64] {
        &self.adopted
    }

    /// An honest validator has told something, so that it is signed.
    pub(crate) fn told(&mut self, seed: u64, by: PublicKey, message: &Message) {
        let Message::Agreement(message) = message else {
            return;
        };
        if message.author() != Some(by) {
            return;
        }
        let Some((slot, value)) = slot(message) else {
            return;
        };
        let key = (by, message.height().0, message.round(), slot);
        let first = *self.said.entry(key).or_insert(value);
        assert_eq!(
            first, value,
            "seed {seed}: {by} contradicts itself: {message:?}"
        );
    }

    /// A client was promised that its blocks are kept.
    pub(crate) fn acknowledged(&mut self, keys: impl IntoIterator<Item = BodyKey>) {
        self.acknowledged.extend(keys);
    }

    /// A reporter was promised that its blocks are kept, which it mined after so many resets.
    pub(crate) fn acknowledged_reports(
        &mut self,
        resets: u32,
        keys: impl IntoIterator<Item = (BodyKey, u32)>,
    ) {
        let keys = keys.into_iter();
        self.reported
            .extend(keys.map(|(key, height)| (key, (height, resets))));
    }

    /// An owner was promised that its reset is kept.
    pub(crate) fn acknowledged_reset(&mut self, reset: Reset) {
        self.acknowledged_resets.push(reset);
    }

    /// How many resets were executed.
    pub(crate) fn resets(&self) -> usize {
        self.resets.len()
    }

    /// Blocks that a later reset did not void, and resets.
    fn lost_of_private(&self) -> usize {
        let is_void = |chain_id: ChainId, height: u32, before: u32| {
            let later = (chain_id, before + 1)..=(chain_id, u32::MAX);
            let mut later = self.resets.range(later);
            later.any(|(_, (reset, _))| reset.from.0 <= height)
        };
        let reported = self.reported.iter().filter(|(key, (height, resets))| {
            !self.anchored.contains_key(key) && !is_void(key.0, *height, *resets)
        });
        let resets = self.acknowledged_resets.iter().filter(|reset| {
            let executed = self.resets.get(&(reset.chain_id, reset.number));
            executed.is_none_or(|(executed, _)| executed != *reset)
        });
        reported.count() + resets.count()
    }

    /// At the end: what was promised is in the chain.
    pub(crate) fn finish(&self, seed: u64) {
        let lost: Vec<_> = self
            .acknowledged
            .iter()
            .filter(|key| !self.anchored.contains_key(key))
            .collect();
        let (lost, of) = (lost.len(), self.acknowledged.len());
        assert_eq!(
            lost, 0,
            "seed {seed}: of {of} acknowledged blocks so many are lost"
        );
        let lost = self.lost_of_private();
        assert_eq!(
            lost, 0,
            "seed {seed}: so many acknowledged reports and resets are lost"
        );
    }

    /// The heights at which a validator has signed something.
    pub(crate) fn signed(&self, key: PublicKey) -> Vec<u64> {
        let slots = self.said.keys().filter(|(by, ..)| *by == key);
        let mut heights: Vec<u64> = slots.map(|(_, height, ..)| *height).collect();
        heights.dedup();
        heights
    }

    pub(crate) fn height(&self) -> u64 {
        self.decided.keys().max().copied().unwrap_or(0)
    }

    pub(crate) fn promises(&self) -> usize {
        self.acknowledged.len()
    }

    /// Mixes a fact into the run's fingerprint.
    pub(crate) fn note(&mut self, hash: &Hash) {
        self.trace = sha256(&[self.trace.as_bytes(), hash.as_bytes()]);
    }

    pub(crate) const fn trace(&self) -> Hash {
        self.trace
    }
}

fn slot(message: &agreement::Message) -> Option<(u8, Option<Hash>)> {
    if let Some(hash) = message.proposed() {
        return Some((0, Some(hash)));
    }
    let (kind, hash) = message.vote()?;
    let slot = match kind {
        VoteKind::Prevote => 1,
        VoteKind::Precommit => 2,
    };
    Some((slot, hash))
}
