use shared::chain::Chain;
use shared::genesis::{Access, Genesis, Rules};
use shared::identity::Identity;
use shared::ids::{NetworkId, Sequence, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;

use super::*;

fn genesis() -> Genesis {
    let mut rules = Rules::open_default(Target::for_hashes(16).to_compact());
    rules.stamp_bits = 4;
    Genesis {
        network_id: NetworkId::parse("demo").unwrap(),
        rules,
        created_at: TimestampMs(1_000_000),
        owner: Identity::from_seed([1; 32]).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Open,
    }
}

fn block() -> (Genesis, Block) {
    let genesis = genesis();
    let chain = Chain::new(genesis.clone());
    let identity = Identity::from_seed([2; 32]);
    let now = TimestampMs(1_010_000);
    let payloads = [
        Payload::Message("Hello, 1,000 EUR <b>".into()),
        Payload::Record(vec![0, 1, 255]),
    ];
    let transactions = payloads.into_iter().zip(0..).map(|(payload, sequence)| {
        let sequence = Sequence(sequence);
        Transaction::create(
            &identity,
            chain.chain_id(),
            &genesis.rules,
            sequence,
            now,
            payload,
        )
        .unwrap()
    });
    let miner = MinerRecord {
        key: identity.public_key(),
        free: [7; 8],
    };
    let template = chain.template(miner, transactions.collect(), now);
    let target = template.header.target.target();
    let Step::Found(solution) = Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
    else {
        panic!("an easy target is met");
    };
    let block = template.solved(&genesis, solution).unwrap();
    (genesis, block)
}

#[test]
fn a_block_survives_its_shape_and_json() {
    let (genesis, block) = block();
    let shape = TenantBlock::from(&block);
    assert_eq!(
        shape.transactions[0].text.as_deref(),
        Some("Hello, 1,000 EUR <b>")
    );
    assert_eq!(shape.transactions[1].text, None);
    let text = serde_json::to_string(&shape).unwrap();
    let read: TenantBlock = serde_json::from_str(&text).unwrap();
    let back = UncheckedBlock::try_from(&read)
        .unwrap()
        .check(&genesis)
        .unwrap();
    assert_eq!(back, block);
}

#[test]
fn a_block_without_texts_is_the_same_block() {
    let (_, block) = block();
    let short = TenantBlock::without_texts(&block);
    assert_eq!(short.transactions[0].text, None);
    let unchecked = UncheckedBlock::try_from(&short).unwrap();
    assert_eq!(unchecked.encode(), block.encode());
}

struct Mutation(&'static str, fn(&mut TenantBlock));

#[test]
fn a_field_that_differs_from_the_bytes_is_refused() {
    let (_, block) = block();
    let good = TenantBlock::from(&block);
    let mutations = [
        Mutation("block_id", |b| b.block_id += 1),
        Mutation("block_hash", |b| b.block_hash = b.previous_hash.clone()),
        Mutation("previous_hash", |b| b.previous_hash = b.block_hash.clone()),
        Mutation("timestamp", |b| b.timestamp += 1),
        Mutation("header", |b| b.header = b.header.to_uppercase()),
        Mutation("header", |b| b.header.truncate(20)),
        Mutation("miner", |b| b.miner.push_str("00")),
        Mutation("tx_id", |b| {
            b.transactions[0].tx_id = b.transactions[1].tx_id.clone()
        }),
        Mutation("from", |b| b.transactions[0].from = b.block_hash.clone()),
        Mutation("sequence", |b| b.transactions[0].sequence += 1),
        Mutation("timestamp", |b| b.transactions[0].timestamp += 1),
        Mutation("kind", |b| {
            b.transactions[1].kind = TransactionKind::Message
        }),
        Mutation("text", |b| {
            b.transactions[0].text = Some("Hello, 9,000 EUR <b>".into())
        }),
        Mutation("text", |b| b.transactions[1].text = Some(String::new())),
    ];
    for Mutation(field, mutate) in mutations {
        let mut shape = good.clone();
        mutate(&mut shape);
        let error = UncheckedBlock::try_from(&shape).expect_err(field);
        assert!(error.to_string().contains(field), "{field}: {error}");
    }
}

#[test]
fn tampered_bytes_fail_the_check() {
    let (genesis, block) = block();
    let mut shape = TenantBlock::from(&block);
    // The payload's first letter, with id and text made to fit: only the body root can tell.
    let transaction = &mut shape.transactions[0];
    let mut raw = hex::decode(&transaction.raw).unwrap();
    raw[52] = b'J';
    transaction.raw = hex::encode(&raw);
    transaction.tx_id = sha256(&[&raw]).to_string();
    transaction.text = Some("Jello, 1,000 EUR <b>".into());
    let unchecked = UncheckedBlock::try_from(&shape).unwrap();
    assert!(unchecked.check(&genesis).is_err());
}
