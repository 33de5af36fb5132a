//! What hostile parties have in common: they follow the honest chain, to forge on top of it, and serve what they hold.

use shared::{
    block::{Block, MinerRecord, UncheckedBlock},
    chain::Chain,
    genesis::Genesis,
    hash::Hash,
    header::Header,
    identity::Identity,
    ids::{PeerId, TimestampMs},
    message::{Bytes, Message, Status},
};

use super::{Said, grind};
use crate::Random;

/// A chain, a key and chance.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) chain: Chain,
    pub(crate) identity: Identity,
    pub(crate) random: Random,
}

impl Watcher {
    pub(crate) fn new(genesis: &Genesis, mut random: Random) -> Self {
        let identity = Identity::from_seed(random.bytes32());
        Self {
            chain: Chain::new(genesis.clone()),
            identity,
            random,
        }
    }

    /// Follows the chain of whoever speaks, and answers requests from what it holds.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a watcher wants blocks and nothing else"
    )]
    pub(crate) fn on_message(&mut self, now: u64, peer: PeerId, bytes: &[u8]) -> Said {
        let unpacked = Message::decode(bytes).and_then(|message| match message {
            Message::Packed { packed } => Message::unpack(&packed),
            plain => Ok(plain),
        });
        let Ok(message) = unpacked else {
            return Vec::new();
        };
        let answers = match message {
            Message::NewBlock { block } => self.take(now, &[block]),
            Message::Blocks { blocks } => self.take(now, &blocks),
            Message::Headers { headers } => self.take_headers(now, &headers),
            Message::GetHeaders { locator } => {
                let headers = self.chain.headers_after(&locator, 500);
                let headers = headers
                    .iter()
                    .map(|header| Bytes(header.encode().to_vec()))
                    .collect();
                vec![Message::Headers { headers }]
            }
            Message::GetBlocks { hashes } => self.serve(&hashes),
            Message::Status(status) if self.chain.header(&Hash(status.tip.0)).is_none() => {
                self.asks()
            }
            Message::NewHeader { .. } | Message::CompactBlock(_) => self.asks(),
            _ => Vec::new(),
        };
        answers
            .iter()
            .map(|message| (peer, message.encode()))
            .collect()
    }

    fn asks(&self) -> Vec<Message> {
        vec![Message::GetHeaders {
            locator: self.chain.locator(),
        }]
    }

    fn serve(&self, hashes: &[Hash]) -> Vec<Message> {
        let blocks = hashes.iter().filter_map(|hash| self.chain.block(hash));
        let blocks: Vec<Bytes> = blocks.map(|block| Bytes(block.encode())).collect();
        // In one message: each that comes makes another watcher ask again.
        if blocks.is_empty() {
            Vec::new()
        } else {
            vec![Message::Blocks { blocks }]
        }
    }

    fn take(&mut self, now: u64, blocks: &[Bytes]) -> Vec<Message> {
        for block in blocks {
            let unchecked = UncheckedBlock::decode(&block.0);
            if let Ok(Ok(block)) = unchecked.map(|block| block.check(self.chain.genesis())) {
                // A block that doesn't connect is simply not built upon.
                let _ = self.chain.insert(block, TimestampMs(now + 60_000));
            }
        }
        self.wanted()
    }

    fn take_headers(&mut self, now: u64, headers: &[Bytes]) -> Vec<Message> {
        for header in headers
            .iter()
            .filter_map(|bytes| Header::decode(&bytes.0).ok())
        {
            let _ = self.chain.insert_header(header, TimestampMs(now + 60_000));
        }
        self.wanted()
    }

    fn wanted(&self) -> Vec<Message> {
        let hashes: Vec<Hash> = self
            .chain
            .missing_bodies(16)
            .into_iter()
            .map(|(_, hash)| hash)
            .collect();
        if hashes.is_empty() {
            Vec::new()
        } else {
            vec![Message::GetBlocks { hashes }]
        }
    }

    /// A well-formed empty block on the newest tip it knows, without its nonce.
    pub(crate) fn block(&mut self, now: u64) -> UncheckedBlock {
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

    /// The same with real work.
    pub(crate) fn mined(&mut self, now: u64) -> UncheckedBlock {
        let mut block = self.block(now);
        block.header = block.header.solved(grind(&block.header));
        block
    }

    /// Takes a block of its own into its chain.
    pub(crate) fn adopt(&mut self, now: u64, block: &UncheckedBlock) -> Option<Block> {
        let block = block.clone().check(self.chain.genesis()).ok()?;
        self.chain
            .insert(block.clone(), TimestampMs(now + 60_000))
            .ok()?;
        Some(block)
    }

    /// Where it stands, as an honest node would say it.
    pub(crate) fn status(&self, now: u64) -> Message {
        let tip = self.chain.tip();
        Message::Status(Status {
            chain_id: self.chain.chain_id().0,
            height: tip.height.0,
            tip: tip.hash,
            work: tip.work.to_be_bytes(),
            clock_ms: now,
            pending: 0,
            pending_digest: Hash::ZERO,
            bodies_from: 1,
        })
    }
}
