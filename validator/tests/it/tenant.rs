//! A tenant for tests: its own chain, a sender, and real proof of work at an easy target.

use std::sync::Arc;

use api::{BlockchainUpdate, ReportedBlock, TenantBlock};
use shared::block::{Block, MinerRecord};
use shared::chain::{Chain, Template};
use shared::enterprise::Reset;
use shared::genesis::{Access, Genesis, Rules};
use shared::hash::Hash;
use shared::identity::Identity;
use shared::ids::{ChainId, Height, NetworkId, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use shared::report::{Report, SealedBlock, UncheckedSealed};
use shared::transaction::{Payload, Transaction, VerifiedTransaction};

/// Expected hashes of a test block.
const HASHES: u64 = 32;

/// A tenant's chain as its miner sees it.
#[derive(Clone, Debug)]
pub(crate) struct TestTenant {
    pub(crate) genesis: Arc<Genesis>,
    chain: Chain,
    sender: Identity,
    miner: MinerRecord,
    clock: TimestampMs,
    unacknowledged: Vec<Block>,
}

impl TestTenant {
    /// A tenant with this label; `seed` makes its owner, so that two of one label are two chains.
    pub(crate) fn new(label: &str, seed: u8, created_at: TimestampMs) -> Self {
        Self::with(label, seed, created_at, |_| {})
    }

    /// A tenant whose genesis is changed first.
    pub(crate) fn with(
        label: &str,
        seed: u8,
        created_at: TimestampMs,
        change: impl FnOnce(&mut Genesis),
    ) -> Self {
        let sender = Identity::from_seed([seed; 32]);
        let mut rules = Rules::open_default(Target::for_hashes(HASHES).to_compact());
        rules.stamp_bits = 0;
        let mut genesis = Genesis {
            network_id: NetworkId::parse(label).unwrap(),
            rules,
            created_at,
            owner: sender.public_key(),
            enterprise_genesis: None,
            predecessor: None,
            access: Access::Open,
        };
        change(&mut genesis);
        let miner = MinerRecord {
            key: sender.public_key(),
            free: [0; 8],
        };
        let chain = Chain::new(genesis.clone());
        Self {
            genesis: Arc::new(genesis),
            chain,
            sender,
            miner,
            clock: created_at,
            unacknowledged: Vec::new(),
        }
    }

    /// A private tenant with two reporters.
    pub(crate) fn private(label: &str, seed: u8, created_at: TimestampMs) -> Self {
        Self::with(label, seed, created_at, make_private)
    }

    /// A block as one of the two reporters vouches for it; each seals it differently.
    pub(crate) fn seal(&self, block: &Block, by: u8) -> SealedBlock {
        let sealed = format!("{} sealed by {by}", block.hash()).into_bytes();
        let header = block.header().clone();
        let report = Report::sign(&reporter(by), self.chain_id(), header, &sealed);
        let sealed = UncheckedSealed::new(report, sealed).unwrap();
        sealed.check(&self.genesis).unwrap()
    }

    /// The same of several.
    pub(crate) fn seal_all(&self, blocks: &[Block], by: u8) -> Vec<SealedBlock> {
        blocks.iter().map(|block| self.seal(block, by)).collect()
    }

    /// The owner voids everything from a height on.
    pub(crate) fn reset(&self, number: u32, from: u32, stays: Hash) -> Reset {
        Reset::sign(&self.sender, self.chain_id(), number, Height(from), stays)
    }

    pub(crate) fn chain_id(&self) -> ChainId {
        self.chain.chain_id()
    }

    pub(crate) fn tip(&self) -> Hash {
        self.chain.tip().hash
    }

    /// The same chain, mined on by another miner.
    pub(crate) fn fork(&self, mark: u8) -> Self {
        let miner = MinerRecord {
            free: [mark; 8],
            ..self.miner
        };
        Self {
            miner,
            ..self.clone()
        }
    }

    /// Mines a block with these messages, one target interval later.
    pub(crate) fn mine(&mut self, messages: &[&str]) -> Block {
        self.mine_at(self.clock.plus_ms(self.genesis.rules.interval()), messages)
    }

    /// Mines a block with these messages at this time.
    pub(crate) fn mine_at(&mut self, at: TimestampMs, messages: &[&str]) -> Block {
        self.clock = at;
        let mut sequence = self.chain.next_sequence(&self.sender.public_key());
        let mut transactions = Vec::new();
        for message in messages {
            transactions.push(self.message(message, sequence));
            sequence = sequence.next();
        }
        let template = self.chain.template(self.miner, transactions, at);
        let block = solve(&template, &self.genesis);
        self.chain.insert(block.clone(), at).unwrap();
        block
    }

    /// Mines `count` blocks with a message each.
    pub(crate) fn mine_many(&mut self, count: usize) -> Vec<Block> {
        (0..count)
            .map(|index| self.mine(&[&format!("message {index}")]))
            .collect()
    }

    /// Keeps blocks whose update was not answered.
    pub(crate) fn keep(&mut self, blocks: Vec<Block>) {
        self.unacknowledged = blocks;
    }

    /// The blocks whose update was not answered.
    pub(crate) fn missed(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.unacknowledged)
    }

    fn message(&self, text: &str, sequence: shared::ids::Sequence) -> VerifiedTransaction {
        let payload = Payload::Message(text.to_owned());
        let rules = &self.genesis.rules;
        let chain = self.chain_id();
        Transaction::create(&self.sender, chain, rules, sequence, self.clock, payload).unwrap()
    }

    /// An update with these blocks and the genesis.
    pub(crate) fn update(&self, blocks: &[Block]) -> BlockchainUpdate {
        BlockchainUpdate {
            network_id: self.genesis.network_id.to_string(),
            chain_id: Some(self.chain_id().to_string()),
            genesis: Some(hex::encode(self.genesis.encode())),
            peer_id: "test".into(),
            new_blocks: blocks.iter().map(TenantBlock::from).collect(),
            new_reports: Vec::new(),
            timestamp: self.clock.0,
        }
    }

    /// An update with these reports and the genesis.
    pub(crate) fn reports(&self, blocks: &[SealedBlock]) -> BlockchainUpdate {
        BlockchainUpdate {
            new_reports: blocks.iter().map(ReportedBlock::from).collect(),
            ..self.update(&[])
        }
    }
}

/// A reporter of private tenants: 1 or 2; others are strangers.
pub(crate) fn reporter(number: u8) -> Identity {
    Identity::from_seed([100 + number; 32])
}

/// Gives a genesis the two reporters.
pub(crate) fn make_private(genesis: &mut Genesis) {
    let mut reporters = vec![reporter(1).public_key(), reporter(2).public_key()];
    reporters.sort();
    genesis.access = Access::Private {
        join_key: reporter(0).public_key(),
        reporters,
    };
}

/// Finds the nonce of a template.
pub(crate) fn solve(template: &Template, genesis: &Genesis) -> Block {
    let target = template.header.target.target();
    let mut miner = Miner::new(&template.header, &target, 0, u32::MAX);
    loop {
        match miner.step(10_000) {
            Step::Found(solution) => return template.solved(genesis, solution).unwrap(),
            Step::Working => {}
            Step::Exhausted => panic!("no nonce"),
        }
    }
}
