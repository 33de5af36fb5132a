//! How far and how fast history packs, by level: `cargo run --release -p shared --example packing`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that prints"
)]

use std::time::Instant;

use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};
use shared::{
    block::{MinerRecord, UncheckedBlock, body_root},
    genesis::Rules,
    hash::{Hash, sha256},
    header::{Header, VERSION},
    identity::Identity,
    ids::{ChainId, Height, PublicKey, Sequence, TimestampMs},
    message::{Bytes, Message},
    pow::Target,
    transaction::{Payload, Transaction},
};

fn main() {
    let people: Vec<Identity> = (0..10).map(|n| Identity::from_seed([n; 32])).collect();
    let rules = Rules {
        stamp_bits: 0,
        ..Rules::open_default(Target::for_hashes(64).to_compact())
    };
    let blocks: Vec<_> = (1..=2_000)
        .map(|height| block(&people, &rules, height))
        .collect();
    let bodies = blocks.iter().take(16).map(|block| Bytes(block.encode()));
    let bodies = Message::Blocks {
        blocks: bodies.collect(),
    };
    let headers = blocks
        .iter()
        .map(|block| Bytes(block.header.encode().to_vec()));
    let headers = Message::Headers {
        headers: headers.collect(),
    };
    measure("16 blocks of 10 messages", &bodies.encode());
    measure("2,000 headers", &headers.encode());
}

fn measure(name: &str, plain: &[u8]) {
    for level in [1, 3, 6, 9] {
        let start = Instant::now();
        let packed = compress_to_vec(plain, level);
        let pack_ms = start.elapsed().as_secs_f64() * 1_000.0;
        let start = Instant::now();
        let unpacked = decompress_to_vec_with_limit(&packed, 1 << 20).expect("it was packed");
        let unpack_ms = start.elapsed().as_secs_f64() * 1_000.0;
        assert_eq!(unpacked, plain);
        let (from, to) = (plain.len(), packed.len());
        println!("{name}, level {level}: {from} -> {to} bytes, {pack_ms:.1} ms, {unpack_ms:.1} ms");
    }
}

/// A block of one message of each person; its work is not done.
fn block(people: &[Identity], rules: &Rules, height: u32) -> UncheckedBlock {
    let chain = ChainId(Hash([1; 32]));
    let timestamp = TimestampMs(1_700_000_000_000 + u64::from(height) * 10_000);
    let message = |(place, person)| {
        let text = WORDS.chars().cycle().skip(place * 7 + height as usize);
        let payload = Payload::Message(text.take(60).collect());
        let sequence = Sequence(height.into());
        Transaction::create(person, chain, rules, sequence, timestamp, payload)
            .expect("a stamp of no bits")
            .encode()
    };
    let transactions: Vec<Vec<u8>> = people.iter().enumerate().map(message).collect();
    let random = |mark: u8| sha256(&[&height.to_be_bytes(), &[mark]]);
    let miner = MinerRecord {
        key: PublicKey([7; 32]),
        free: u64::from(height).to_be_bytes(),
    };
    let header = Header {
        version: VERSION,
        height: Height(height),
        previous: random(1),
        body_root: body_root(&miner, transactions.iter().map(|bytes| sha256(&[bytes]))),
        state_root: random(2),
        timestamp,
        target: Target::for_hashes(64).to_compact(),
        nonce: height,
    };
    UncheckedBlock {
        header,
        miner,
        transactions,
    }
}

const WORDS: &str = "the meeting moved to three tomorrow, can you bring the figures of last week and tell Anna that we ";
