//! What a node needs to catch up 1,000 blocks of ten messages from another, and the bytes between them:
//! `cargo run --release -p shared --example catch_up`.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement that prints"
)]

use std::time::{Duration, Instant};

use shared::{
    block::MinerRecord,
    chain::Chain,
    genesis::{Access, Genesis, Rules},
    identity::Identity,
    ids::{NetworkId, PeerId, PublicKey, Sequence, TimestampMs},
    miner::{Miner, Step},
    node::{Config, Input, Keep, Node, Output, Record},
    pow::Target,
    transaction::{Payload, Transaction},
};

const BLOCKS: u32 = 1_000;
const BIRTH: u64 = 1_700_000_000_000;

fn main() {
    let chain = grown();
    let now = chain.tip().timestamp;
    let mut records: Vec<Record> = (1..=BLOCKS)
        .filter_map(|height| chain.block_at(shared::ids::Height(height)))
        .map(|block| Record {
            key: format!("block/{}", block.hash()),
            value: block.encode(),
        })
        .collect();
    records.push(Record {
        key: String::from("tip"),
        value: chain.tip().hash.0.to_vec(),
    });
    let stored: usize = records.iter().map(|record| record.value.len()).sum();
    let mut ends = [
        node(&chain, 1, now, records),
        node(&chain, 2, now, Vec::new()),
    ];
    let peers = [1, 2].map(|seed| PeerId::of(&Identity::from_seed([seed; 32]).public_key()));
    let (mut took, mut sent, mut steps) = ([Duration::ZERO; 2], [0; 2], 0);
    let mut inbox: Vec<(usize, Input)> = Vec::new();
    for end in [0, 1] {
        let peer = peers[1 - end];
        inbox.push((end, Input::PeerConnected { peer }));
    }
    while !inbox.is_empty() {
        steps += 1;
        for (end, input) in core::mem::take(&mut inbox) {
            let start = Instant::now();
            ends[end].handle(now, input).expect("honest nodes");
            took[end] += start.elapsed();
            while let Some(output) = ends[end].poll() {
                if let Output::Send { bytes, .. } = output {
                    sent[end] += bytes.len();
                    let peer = peers[end];
                    inbox.push((1 - end, Input::MessageReceived { peer, bytes }));
                }
            }
        }
    }
    assert_eq!(ends[1].status().tip, chain.tip().hash);
    println!("{BLOCKS} blocks, {stored} bytes stored, {steps} steps to and fro");
    println!("receiver {:?}, {} bytes sent", took[1], sent[1]);
    println!("sender {:?}, {} bytes sent", took[0], sent[0]);
}

fn node(chain: &Chain, seed: u8, now: TimestampMs, records: Vec<Record>) -> Node {
    let mut node = Node::new(Config {
        genesis: chain.genesis().clone(),
        identity: Identity::from_seed([seed; 32]),
        seed: [seed; 32],
        keep: Keep::Archive,
        helpers: 0,
    });
    let start = Instant::now();
    node.handle(now, Input::Restored { records })
        .expect("the first input");
    println!(
        "restored height {} in {:?}",
        node.status().height,
        start.elapsed()
    );
    while node.poll().is_some() {}
    node
}

fn grown() -> Chain {
    let mut rules = Rules::open_default(Target::for_hashes(64).to_compact());
    rules.stamp_bits = 0;
    let people: Vec<Identity> = (0..10).map(|n| Identity::from_seed([n + 10; 32])).collect();
    let mut chain = Chain::new(Genesis {
        network_id: NetworkId::parse("bench").expect("a label"),
        rules,
        created_at: TimestampMs(BIRTH),
        owner: PublicKey([1; 32]),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    });
    for height in 1..=BLOCKS {
        let now = TimestampMs(BIRTH + u64::from(height) * 10_000);
        let genesis = chain.genesis().clone();
        let message = |person| {
            let text = Payload::Message(format!("message of block {height}"));
            let sequence = Sequence(u64::from(height) - 1);
            let id = genesis.chain_id();
            Transaction::create(person, id, &genesis.rules, sequence, now, text).expect("fits")
        };
        let miner = MinerRecord {
            key: PublicKey([2; 32]),
            free: [0; 8],
        };
        let template = chain.template(miner, people.iter().map(message).collect(), now);
        let target = template.header.target.target();
        let Step::Found(solution) =
            Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
        else {
            continue;
        };
        let block = template
            .solved(&genesis, solution)
            .expect("the nonce was found");
        chain.insert(block, now).expect("it fits");
    }
    chain
}
