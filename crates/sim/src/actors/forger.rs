//! The forger: sends garbage, false work, false signatures, false states, bodies that are not their header's, claims that
//! lead nowhere, and never answers. Thrown out, it comes back under a new name.
//!
//! Honest nodes must blame it, never each other, and end on one chain in spite of it.

use shared::{
    block::{MinerRecord, UncheckedBlock},
    chain::Chain,
    genesis::Genesis,
    hash::{Hash, sha256},
    header::Header,
    identity::Identity,
    ids::{PeerId, Sequence, TimestampMs},
    message::{Bytes, Message, Status},
    miner::{Miner, Step},
    transaction::{Payload, Transaction},
};

use crate::Random;

/// A hostile party.
#[derive(Debug)]
pub(crate) struct Forger {
    random: Random,
    names: u64,
    identity: Identity,
    /// What it learnt of the honest chain, to forge blocks on top of it.
    chain: Chain,
}

impl Forger {
    pub(crate) fn new(genesis: Genesis, mut random: Random) -> Self {
        let identity = Identity::from_seed(random.bytes32());
        Self {
            random,
            names: 0,
            identity,
            chain: Chain::new(genesis),
        }
    }

    /// A name it never used before.
    pub(crate) fn next_name(&mut self) -> PeerId {
        self.names += 1;
        PeerId(sha256(&[
            b"forger",
            &self.identity.public_key().0,
            &self.names.to_be_bytes(),
        ]))
    }

    /// It listens, and answers nothing.
    pub(crate) fn on_message(&mut self, now: u64, bytes: &[u8]) {
        let (Ok(Message::NewBlock { block }) | Ok(Message::Block { block })) =
            Message::decode(bytes)
        else {
            return;
        };
        let Ok(unchecked) = UncheckedBlock::decode(&block.0) else {
            return;
        };
        if let Ok(block) = unchecked.check(self.chain.genesis()) {
            // A block that doesn't connect is simply not built upon.
            let _ = self.chain.insert(block, TimestampMs(now + 60_000));
        }
    }

    /// One attack.
    pub(crate) fn attack(&mut self, now: u64) -> Vec<u8> {
        let message = match self.random.below(10) {
            0 => return self.garbage(),
            1 => self.garbage_block(),
            2 => self.block_without_work(now),
            3 => self.forged_signature(now),
            4 => self.false_state(now),
            5 => self.unlinked_headers(),
            6 => self.status(self.chain.chain_id().0),
            7 => self.status(Hash(self.random.clone().bytes32())),
            8 => Message::HaveTransactions {
                ids: (0..50).map(|_| Hash(self.random.bytes32())).collect(),
            },
            _ => self.body_of_another(now),
        };
        message.encode()
    }

    fn garbage(&mut self) -> Vec<u8> {
        let length = self.random.between(0, 300);
        let mut bytes: Vec<u8> = (0..length).map(|_| self.random.bytes32()[0]).collect();
        if let Some(first) = bytes.first_mut() {
            *first = shared::message::MESSAGE_VERSION;
        }
        bytes
    }

    fn garbage_block(&mut self) -> Message {
        let length = self.random.between(1, 400);
        Message::NewBlock {
            block: Bytes((0..length).map(|_| self.random.bytes32()[0]).collect()),
        }
    }

    /// A well-formed block on the newest tip it knows.
    fn block(&mut self, now: u64) -> UncheckedBlock {
        let miner = MinerRecord {
            key: self.identity.public_key(),
            free: self.random.draw().to_be_bytes(),
        };
        let template = self.chain.template(miner, Vec::new(), TimestampMs(now));
        UncheckedBlock {
            header: template.header,
            miner,
            transactions: Vec::new(),
        }
    }

    fn block_without_work(&mut self, now: u64) -> Message {
        let mut block = self.block(now);
        while block.header.target.target().is_met_by(&block.header.hash()) {
            block.header.nonce += 1;
        }
        Message::NewBlock {
            block: Bytes(block.encode()),
        }
    }

    /// Real work on a state that no execution gives.
    fn false_state(&mut self, now: u64) -> Message {
        let mut block = self.block(now);
        block.header.state_root = Hash(self.random.bytes32());
        block.header.nonce = grind(&block.header);
        Message::NewBlock {
            block: Bytes(block.encode()),
        }
    }

    /// Real work on a header, with another body.
    fn body_of_another(&mut self, now: u64) -> Message {
        let mut block = self.block(now);
        block.header.nonce = grind(&block.header);
        block.miner.free = self.random.draw().to_be_bytes();
        Message::NewBlock {
            block: Bytes(block.encode()),
        }
    }

    fn forged_signature(&mut self, now: u64) -> Message {
        let genesis = self.chain.genesis();
        let (sequence, payload) = (Sequence(self.names), Payload::Message("forged".into()));
        let created = Transaction::create(
            &self.identity,
            genesis.chain_id(),
            &genesis.rules,
            sequence,
            TimestampMs(now),
            payload,
        );
        let mut bytes = created
            .map(|transaction| transaction.encode())
            .unwrap_or_default();
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        Message::Transactions {
            transactions: vec![Bytes(bytes)],
        }
    }

    fn unlinked_headers(&mut self) -> Message {
        let header = self.block(0).header;
        let bytes = Bytes(header.encode().to_vec());
        Message::Headers {
            headers: vec![bytes.clone(), bytes],
        }
    }

    /// A claim of enormous work; on another chain a reason to part.
    fn status(&mut self, chain_id: Hash) -> Message {
        let tip = Hash(self.random.bytes32());
        let (work, clock_ms) = ([0x7f; 32], self.random.draw());
        Message::Status(Status {
            chain_id,
            height: u32::MAX,
            tip,
            work,
            clock_ms,
            pending: 7,
            pending_digest: tip,
        })
    }
}

fn grind(header: &Header) -> u32 {
    match Miner::new(header, &header.target.target(), 0, u32::MAX).step(u32::MAX) {
        Step::Found { nonce } => nonce,
        Step::Working | Step::Exhausted => 0,
    }
}
