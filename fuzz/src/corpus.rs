//! Good inputs to start from: made by the encoders themselves.

use api::{BlockchainUpdate, ReportedBlock, TenantBlock};
use shared::{
    block::{MinerRecord, UncheckedBlock},
    chain::Chain,
    frame::{FrameKind, Lane, split},
    genesis::{Access, Genesis, Predecessor, Rules},
    hash::Hash,
    identity::Identity,
    ids::{ChainId, Height, NetworkId, PeerId, PublicKey, Sequence, Signature, TimestampMs},
    message::{Bytes, Message, Status},
    miner::{Miner, Step},
    pow::Target,
    report::UncheckedSealed,
    transaction::{Payload, Transaction},
};
use tracker::backplane::{self, Content, TrackerId};

use crate::reported;

/// When everything here happens.
pub(crate) const NOW: TimestampMs = TimestampMs(1_700_000_100_000);

/// An open network at a low difficulty.
pub(crate) fn genesis() -> Genesis {
    let mut rules = Rules::open_default(Target::for_hashes(64).to_compact());
    rules.stamp_bits = 2;
    Genesis {
        network_id: NetworkId::parse("fuzz").expect("a valid label"),
        rules,
        created_at: TimestampMs(1_700_000_000_000),
        owner: Identity::from_seed([1; 32]).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

pub(crate) fn geneses() -> Vec<Vec<u8>> {
    let full = Genesis {
        enterprise_genesis: Some(Hash([2; 32])),
        predecessor: Some(Predecessor {
            chain_id: ChainId(Hash([3; 32])),
            height: Height(7),
            hash: Hash([4; 32]),
            signature: Signature([5; 64]),
        }),
        access: Access::Private {
            join_key: PublicKey([6; 32]),
            reporters: vec![PublicKey([7; 32]), PublicKey([8; 32])],
        },
        ..genesis()
    };
    vec![genesis().encode(), full.encode()]
}

pub(crate) fn transactions() -> Vec<Vec<u8>> {
    let (genesis, identity) = (genesis(), Identity::from_seed([9; 32]));
    let payloads = [
        Payload::Message("a message".into()),
        Payload::Record(vec![0, 1, 2, 255]),
    ];
    let write = |(sequence, payload): (u64, Payload)| {
        let sequence = Sequence(sequence);
        Transaction::create(
            &identity,
            genesis.chain_id(),
            &genesis.rules,
            sequence,
            NOW,
            payload,
        )
    };
    let written = (0..).zip(payloads).filter_map(|item| write(item).ok());
    written.map(|transaction| transaction.encode()).collect()
}

/// Two blocks with transactions, one upon the other.
pub(crate) fn blocks() -> Vec<Vec<u8>> {
    grown().1
}

/// The chain of those blocks.
pub(crate) fn chain() -> Chain {
    grown().0
}

/// Snapshots after each block.
pub(crate) fn snapshots() -> Vec<Vec<u8>> {
    let chain = chain();
    let snapshots =
        (1..=chain.tip().height.0).filter_map(|height| chain.snapshot_at(Height(height)));
    snapshots.filter_map(|snapshot| snapshot.encode()).collect()
}

fn grown() -> (Chain, Vec<Vec<u8>>) {
    let genesis = genesis();
    let mut chain = Chain::new(genesis.clone());
    let mut blocks = Vec::new();
    for (turn, transaction) in (1..).zip(transactions()) {
        let decoded = Transaction::decode(&transaction, &genesis.rules).ok();
        let verified = decoded.and_then(|transaction| transaction.verify(genesis.chain_id()).ok());
        let miner = MinerRecord {
            key: genesis.owner,
            free: [0; 8],
        };
        let at = TimestampMs(genesis.created_at.0 + turn * 10_000);
        let template = chain.template(miner, verified.into_iter().collect(), at);
        let mut header = template.header;
        if let Step::Found(solution) =
            Miner::new(&header, &header.target.target(), 0, u32::MAX).step(u32::MAX)
        {
            header = header.solved(solution);
        }
        let block = UncheckedBlock {
            header,
            miner,
            transactions: vec![transaction],
        };
        blocks.push(block.encode());
        if let Ok(block) = block.check(&genesis) {
            // Should it not connect, the next is built beside it.
            let _unconnected = chain.insert(block, NOW);
        }
    }
    (chain, blocks)
}

pub(crate) fn headers() -> Vec<Vec<u8>> {
    blocks()
        .into_iter()
        .map(|block| block[..116].to_vec())
        .collect()
}

pub(crate) fn messages() -> Vec<Vec<u8>> {
    let wrap = |all: Vec<Vec<u8>>| all.into_iter().map(Bytes).collect::<Vec<Bytes>>();
    let chain_id = genesis().chain_id().0;
    let hashes = vec![chain_id, Hash([1; 32])];
    let mut messages = vec![
        Message::Status(Status {
            chain_id,
            height: 3,
            tip: Hash([1; 32]),
            work: [0; 32],
            clock_ms: NOW.0,
            pending: 1,
            pending_digest: Hash([2; 32]),
            bodies_from: 1,
        }),
        Message::GetHeaders {
            locator: hashes.clone(),
        },
        Message::Headers {
            headers: wrap(headers()),
        },
        Message::GetBlocks {
            hashes: hashes.clone(),
        },
        Message::NoBlocks {
            hashes: hashes.clone(),
        },
        Message::HaveTransactions {
            ids: hashes.clone(),
        },
        Message::GetTransactions { ids: hashes },
        Message::Transactions {
            transactions: wrap(transactions()),
        },
        Message::GetPending,
    ];
    messages.extend(
        wrap(blocks())
            .into_iter()
            .map(|block| Message::NewBlock { block }),
    );
    messages.extend(
        wrap(headers())
            .into_iter()
            .map(|header| Message::NewHeader { header }),
    );
    messages.extend(snapshot_messages());
    let mut encoded: Vec<Vec<u8>> = messages.iter().map(Message::encode).collect();
    // Kinds that came later, with bodies that are not theirs.
    encoded.extend((12..24).map(|kind| vec![shared::message::MESSAGE_VERSION, kind, 2, 1, 0]));
    encoded
}

fn snapshot_messages() -> Vec<Message> {
    let hash = chain().tip().hash;
    let bytes = snapshots().pop().map(Bytes).unwrap_or_default();
    vec![
        Message::GetSnapshot { hash, part: 0 },
        Message::NoSnapshot { hash },
        Message::Snapshot {
            hash,
            part: 0,
            parts: 1,
            bytes,
        },
    ]
}

pub(crate) fn chunks() -> Vec<Vec<u8>> {
    let kinds = [
        (FrameKind::Node, 40_000),
        (FrameKind::Node, 50),
        (FrameKind::Mesh, 9),
    ];
    let all = kinds.iter().flat_map(|(kind, length)| {
        split(*kind, Lane::History, 7, &vec![3; *length]).unwrap_or_default()
    });
    all.collect()
}

pub(crate) fn texts() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"type":"welcome","peer_id":"00","nonce":"11","limits":{}}"#,
        r#"{"type":"join_network","network_id":"a","chain_id":"00","public_key":"00","signature":"00"}"#,
        r#"{"type":"relay","to":"00","from":"00","frame":"AAAA"}"#,
        r#"{"type":"blockchain_update","network_id":"a","blocks":[{"height":1,"transactions":[{}]}]}"#,
        r#"{"chain":[{"height":1,"hash":"00","raw":"00"}],"chain_id":"00","export_metadata":{"export_version":"2"}}"#,
        "v=0\r\na=fingerprint:sha-256 AB:CD\r\n",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.extend(serde_json::to_vec(&report()));
    all.extend(serde_json::to_vec(&update()));
    all
}

/// The same of a private network.
fn report() -> BlockchainUpdate {
    BlockchainUpdate {
        new_blocks: Vec::new(),
        new_reports: reported_blocks(),
        ..update()
    }
}

/// A private network's blocks as a reporter vouches for them.
pub(crate) fn reported_blocks() -> Vec<ReportedBlock> {
    let shape = |block: UncheckedSealed| ReportedBlock {
        block_id: block.report().header.height.0,
        block_hash: block.report().header.hash().to_string(),
        raw: hex::encode(block.encode()),
    };
    reported::sealed().into_iter().map(shape).collect()
}

/// What a peer reports to the tracker, and the tracker to the validator.
fn update() -> BlockchainUpdate {
    let genesis = genesis();
    let check = |bytes: Vec<u8>| UncheckedBlock::decode(&bytes).ok()?.check(&genesis).ok();
    let new_blocks = blocks()
        .into_iter()
        .filter_map(check)
        .map(|block| TenantBlock::from(&block))
        .collect();
    BlockchainUpdate {
        network_id: genesis.network_id.to_string(),
        chain_id: Some(genesis.chain_id().to_string()),
        genesis: Some(hex::encode(genesis.encode())),
        peer_id: "00".repeat(32),
        new_blocks,
        new_reports: Vec::new(),
        timestamp: NOW.0,
    }
}

/// What trackers of a cluster tell each other, one of each kind.
pub(crate) fn backplane_messages() -> Vec<Vec<u8>> {
    let (chain, one, other) = (
        genesis().chain_id(),
        PeerId(Hash([1; 32])),
        PeerId(Hash([2; 32])),
    );
    let text = || String::from(r#"{"type":"tip"}"#);
    let contents = [
        Content::Hello,
        Content::Members(vec![one, other]),
        Content::Joined(one),
        Content::Left(other),
        Content::Forward {
            from: one,
            to: other,
            text: text(),
        },
        Content::Room { text: text() },
    ];
    let network = backplane::Message::Network {
        label: "fuzz".into(),
        is_listed: true,
        genesis: genesis().encode(),
    };
    let tracker = backplane::Message::Tracker {
        url: "wss://t1.example/ws".into(),
    };
    let digest = backplane::Digest::of([chain].iter());
    let registry = backplane::Message::Registry(Box::new(digest));
    let about = contents.map(|content| backplane::Message::About(chain, content));
    let all = about.into_iter().chain([network, tracker, registry]);
    all.map(|message| backplane::encode(TrackerId([7; 16]), &message))
        .collect()
}
