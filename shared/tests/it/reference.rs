//! The chain against a naive one that keeps every header and body it may keep and computes everything anew from the genesis: for
//! each known block its whole branch, then the most work among the branches that are valid, complete and contain the final block.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shared::{
    block::{Block, UncheckedBlock, body_root},
    chain::Chain,
    difficulty::{active_ms, next_target},
    enterprise::FinalBlock,
    genesis::Genesis,
    hash::Hash,
    header::{Header, VERSION},
    ids::{Height, PublicKey, Sequence, TimestampMs, Work},
    miner::{Miner, Step},
    pow::Target,
    state::SparseMap,
    transaction::VerifiedTransaction,
};

use crate::support::{CREATED, genesis, identity, message, miner};

const LATE: TimestampMs = TimestampMs(1_800_000_000_000);
const SENDERS: u8 = 3;

/// The naive chain.
struct Reference {
    genesis: Genesis,
    headers: BTreeMap<Hash, Header>,
    bodies: BTreeMap<Hash, Block>,
    last_final: Option<(Height, Hash)>,
}

/// What a branch comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Branch {
    work: Work,
    next: BTreeMap<PublicKey, u64>,
    ids: BTreeSet<Hash>,
}

impl Reference {
    fn new() -> Self {
        Self {
            genesis: genesis(),
            headers: BTreeMap::new(),
            bodies: BTreeMap::new(),
            last_final: None,
        }
    }

    fn root(&self) -> Hash {
        self.genesis.chain_id().0
    }

    /// The headers from the first block to this one; none if one is unknown.
    fn path(&self, to: Hash) -> Option<Vec<&Header>> {
        let (mut at, mut path) = (to, Vec::new());
        while at != self.root() {
            let header = self.headers.get(&at)?;
            path.push(header);
            at = header.previous;
        }
        path.reverse();
        Some(path)
    }

    /// The target that the rules give a child with this timestamp.
    fn target(&self, path: &[&Header], timestamp: TimestampMs) -> shared::pow::CompactTarget {
        let (mut before, mut active) = (CREATED, 0);
        for header in path {
            active += active_ms(&self.genesis.rules, header.timestamp.since(before));
            before = header.timestamp;
        }
        let height = Height(u32::try_from(path.len()).unwrap());
        next_target(&self.genesis.rules, active, height, timestamp.since(before))
    }

    /// Keeps a header whose branch obeys the rules of headers.
    fn add_header(&mut self, header: &Header) -> bool {
        let Some(path) = self.path(header.previous) else {
            return false;
        };
        let before = path.last().map_or(CREATED, |parent| parent.timestamp);
        let obeys = header.height.0 as usize == path.len() + 1
            && header.timestamp > before
            && header.target == self.target(&path, header.timestamp)
            && header.target.target().is_met_by(&header.hash());
        if obeys {
            self.headers.insert(header.hash(), header.clone());
        }
        obeys
    }

    fn add_block(&mut self, block: &Block) {
        if self.add_header(block.header()) {
            self.bodies.insert(block.hash(), block.clone());
        }
    }

    /// Executes a branch from the genesis; none if a body is missing or breaks a rule.
    fn execute(&self, to: Hash) -> Option<Branch> {
        let mut branch = Branch {
            work: Work::ZERO,
            next: BTreeMap::new(),
            ids: BTreeSet::new(),
        };
        for header in self.path(to)? {
            let block = self.bodies.get(&header.hash())?;
            branch
                .take(block.transactions())
                .filter(|root| *root == header.state_root)?;
            branch.work = branch.work.plus(header.work());
        }
        Some(branch)
    }

    fn contains_final(&self, to: Hash) -> bool {
        let path = self.path(to).unwrap_or_default();
        self.last_final
            .is_none_or(|(_, hash)| path.iter().any(|header| header.hash() == hash))
    }

    /// The most work, and every branch that has it.
    fn best(&self) -> (Work, Vec<Hash>) {
        let mut best = (Work::ZERO, vec![self.root()]);
        for hash in self
            .bodies
            .keys()
            .filter(|hash| self.contains_final(**hash))
        {
            let Some(branch) = self.execute(*hash) else {
                continue;
            };
            if branch.work > best.0 {
                best = (branch.work, vec![*hash]);
            } else if branch.work == best.0 {
                best.1.push(*hash);
            }
        }
        best
    }

    /// A block on `parent`; what a `fault` names is wrong with it.
    fn make(&self, parent: Hash, step: u64, sender: u8, fault: u8) -> Option<Block> {
        let path = self.path(parent)?;
        let before = path.last().map_or(CREATED, |parent| parent.timestamp);
        let timestamp = if fault == 1 {
            before
        } else {
            before.plus_ms(step)
        };
        let mut branch = self.execute(parent);
        let key = identity(sender).public_key();
        let next = branch
            .as_ref()
            .and_then(|branch| branch.next.get(&key).copied())
            .unwrap_or(0);
        let transactions = match sender {
            0 => Vec::new(),
            _ => vec![message(sender, next + u64::from(fault == 2))],
        };
        let state_root = branch
            .as_mut()
            .and_then(|branch| branch.take(&transactions))
            .unwrap_or(Hash([9; 32]));
        let mut target = self.target(&path, timestamp);
        if fault == 3 {
            target = Target::new(target.target().value() / 2)?.to_compact();
        }
        let miner = miner(sender);
        let mut header = Header {
            version: VERSION,
            height: Height(u32::try_from(path.len()).unwrap() + 1 + u32::from(fault == 4)),
            previous: parent,
            body_root: body_root(
                &miner,
                transactions.iter().map(|transaction| transaction.id()),
            ),
            state_root: if fault == 5 {
                Hash([8; 32])
            } else {
                state_root
            },
            timestamp,
            target,
            nonce: 0,
        };
        let Step::Found(solution) =
            Miner::new(&header, &target.target(), 0, u32::MAX).step(u32::MAX)
        else {
            return None;
        };
        header = header.solved(solution);
        let transactions = transactions
            .iter()
            .map(|transaction| transaction.encode())
            .collect();
        UncheckedBlock {
            header,
            miner,
            transactions,
        }
        .check(&self.genesis)
        .ok()
    }
}

impl Branch {
    /// Takes a block's transactions; the state after them, none if one is out of turn.
    fn take(&mut self, transactions: &[VerifiedTransaction]) -> Option<Hash> {
        for transaction in transactions {
            let next = self.next.entry(transaction.sender()).or_default();
            if transaction.sequence() != Sequence(*next) {
                return None;
            }
            *next += 1;
            self.ids.insert(transaction.id());
        }
        let mut state = SparseMap::new();
        for (sender, next) in &self.next {
            state.set(sender, Sequence(*next));
        }
        Some(state.root())
    }
}

/// Both, and every block made so far, delivered or not.
struct Pair {
    chain: Chain,
    reference: Reference,
    made: Vec<Block>,
}

impl Pair {
    fn perform(&mut self, (kind, which, step, sender): (u8, u8, u8, u8)) {
        let some = (!self.made.is_empty())
            .then(|| self.made[usize::from(which) % self.made.len()].clone());
        // The newest blocks are the likeliest parents, so that branches grow.
        let parent = self
            .made
            .iter()
            .rev()
            .nth(usize::from(which / 40))
            .map_or_else(|| self.reference.root(), Block::hash);
        let parent = if which % 8 == 0 {
            self.reference.root()
        } else {
            parent
        };
        let fault = if kind % 10 == 9 { 1 + which % 5 } else { 0 };
        match (kind % 10, some) {
            (6, Some(block)) => self.deliver(&block),
            (7, Some(block)) => self.finalise(&block),
            (made_as, _) => {
                let block = self.reference.make(
                    parent,
                    1_000 * (1 + u64::from(step)),
                    sender % (SENDERS + 1),
                    fault,
                );
                let Some(block) = block else {
                    return;
                };
                self.made.push(block.clone());
                match made_as {
                    4 => {}
                    5 => self.deliver_header(&block),
                    _ => self.deliver(&block),
                }
            }
        }
    }

    fn deliver(&mut self, block: &Block) {
        // Whether both take it shows in what they come to.
        let _refused = self.chain.insert(block.clone(), LATE);
        self.reference.add_block(block);
    }

    fn deliver_header(&mut self, block: &Block) {
        let _refused = self.chain.insert_header(block.header().clone(), LATE);
        self.reference.add_header(block.header());
    }

    /// Says that a valid, complete block above the newest final one is final.
    fn finalise(&mut self, block: &Block) {
        let (hash, height) = (block.hash(), block.header().height);
        let is_above = self
            .reference
            .last_final
            .is_none_or(|(newest, _)| height > newest);
        let Some(branch) = self
            .reference
            .execute(hash)
            .filter(|_| is_above && self.reference.contains_final(hash))
        else {
            return;
        };
        let id = self.reference.root();
        let bytes = [
            &id.0[..],
            &height.0.to_be_bytes(),
            &hash.0,
            &branch.work.to_be_bytes(),
        ]
        .concat();
        let word = FinalBlock::from_checkpoint(&bytes).unwrap();
        assert_eq!(self.chain.set_final(word), Ok(true));
        self.reference.last_final = Some((height, hash));
    }

    fn compare(&self) {
        let (work, tips) = self.reference.best();
        let tip = self.chain.tip();
        assert_eq!(tip.work, work, "another tip: {tip:?}, not {tips:?}");
        assert!(tips.contains(&tip.hash), "{tip:?} is none of {tips:?}");
        let path = self.reference.path(tip.hash).unwrap();
        assert_eq!(tip.height.0 as usize, path.len());
        for header in path {
            assert_eq!(self.chain.hash_at(header.height), Some(header.hash()));
        }
        let branch = self.reference.execute(tip.hash).unwrap();
        for sender in 1..=SENDERS {
            let key = identity(sender).public_key();
            let next = branch.next.get(&key).copied().unwrap_or(0);
            assert_eq!(self.chain.next_sequence(&key), Sequence(next));
        }
        let all = self.made.iter().flat_map(Block::transactions);
        for id in all.map(|transaction| transaction.id()) {
            assert_eq!(
                self.chain.contains_transaction(&id).is_some(),
                branch.ids.contains(&id)
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn chain_agrees_with_a_naive_one(operations in prop::collection::vec(any::<(u8, u8, u8, u8)>(), 1..40)) {
        let mut pair = Pair { chain: Chain::new(genesis()), reference: Reference::new(), made: Vec::new() };
        for operation in operations {
            pair.perform(operation);
            pair.compare();
        }
    }
}
