use shared::block::MinerRecord;
use shared::chain::Chain;
use shared::genesis::{Access, Genesis, Rules};
use shared::identity::Identity;
use shared::ids::{NetworkId, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use shared::report::Report;

use super::*;

fn reporter() -> Identity {
    Identity::from_seed([2; 32])
}

fn genesis() -> Genesis {
    Genesis {
        network_id: NetworkId::parse("quiet").unwrap(),
        rules: Rules::open_default(Target::for_hashes(16).to_compact()),
        created_at: TimestampMs(1_000_000),
        owner: Identity::from_seed([1; 32]).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Private {
            join_key: Identity::from_seed([3; 32]).public_key(),
            reporters: vec![reporter().public_key()],
        },
    }
}

fn block() -> (Genesis, SealedBlock) {
    let genesis = genesis();
    let miner = MinerRecord {
        key: reporter().public_key(),
        free: [0; 8],
    };
    let chain = Chain::new(genesis.clone());
    let template = chain.template(miner, Vec::new(), TimestampMs(1_010_000));
    let target = template.header.target.target();
    let Step::Found(solution) = Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
    else {
        panic!("an easy target is met");
    };
    let block = template.solved(&genesis, solution).unwrap();
    let (header, sealed) = (block.header().clone(), b"sealed".to_vec());
    let report = Report::sign(&reporter(), genesis.chain_id(), header, &sealed);
    let block = UncheckedSealed::new(report, sealed).unwrap();
    let block = block.check(&genesis).unwrap();
    (genesis, block)
}

#[test]
fn a_reported_block_survives_its_shape_and_json() {
    let (genesis, block) = block();
    let text = serde_json::to_string(&ReportedBlock::from(&block)).unwrap();
    let read: ReportedBlock = serde_json::from_str(&text).unwrap();
    assert_eq!(read.block_id, 1);
    let back = UncheckedSealed::try_from(&read).unwrap();
    assert_eq!(back.check(&genesis).unwrap(), block);
}

struct Mutation(&'static str, fn(&mut ReportedBlock));

#[test]
fn a_reported_block_whose_fields_or_bytes_differ_is_refused() {
    let good = ReportedBlock::from(&block().1);
    let mutations = [
        Mutation("block_id", |shape| shape.block_id += 1),
        Mutation("block_hash", |shape| {
            shape.block_hash.replace_range(..2, "zz")
        }),
        Mutation("raw is not", |shape| shape.raw = shape.raw.to_uppercase()),
        Mutation("raw is not", |shape| shape.raw.push('0')),
        Mutation("the report names", |shape| shape.raw.push_str("00")),
        Mutation("the report names", |shape| {
            let end = shape.raw.len();
            shape.raw.replace_range(end - 2.., "00");
        }),
        Mutation("raw has", |shape| {
            shape.raw = "0".repeat(REPORTED_CHARS_MAX + 2)
        }),
    ];
    for Mutation(reason, mutate) in mutations {
        let mut shape = good.clone();
        mutate(&mut shape);
        let error = UncheckedSealed::try_from(&shape).expect_err(reason);
        assert!(error.to_string().contains(reason), "{reason}: {error}");
    }
}

#[test]
fn an_update_without_reports_is_what_it_was() {
    let text = r#"{"network_id":"demo","peer_id":"p","new_blocks":[],"timestamp":1}"#;
    let update: crate::BlockchainUpdate = serde_json::from_str(text).unwrap();
    assert!(update.new_reports.is_empty());
    assert_eq!(serde_json::to_string(&update).unwrap(), text);
}
