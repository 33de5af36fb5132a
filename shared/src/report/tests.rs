//! Reports: bytes, signatures, and the chain of those who see no bodies.

use super::*;
use crate::chain::{ChainError, Inserted, ReportedChain};
use crate::enterprise::FinalBlock;
use crate::genesis::Rules;
use crate::header::VERSION;
use crate::ids::{Height, NetworkId, TimestampMs};
use crate::miner::{Miner, Step};
use crate::pow::Target;

const START: TimestampMs = TimestampMs(1_700_000_000_000);

fn reporter(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn genesis(access: Access) -> Genesis {
    Genesis {
        network_id: NetworkId::parse("secret").unwrap(),
        rules: Rules::open_default(Target::for_hashes(32).to_compact()),
        created_at: START,
        owner: reporter(9).public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access,
    }
}

fn private() -> Genesis {
    let mut reporters = vec![reporter(1).public_key(), reporter(2).public_key()];
    reporters.sort();
    genesis(Access::Private {
        join_key: reporter(8).public_key(),
        reporters,
    })
}

/// A header on a parent with its work done; `mark` tells branches apart.
fn header(genesis: &Genesis, previous: Hash, height: u32, mark: u8) -> Header {
    let at = START.plus_ms(u64::from(height) * genesis.rules.interval());
    let mut header = Header {
        version: VERSION,
        height: Height(height),
        previous,
        body_root: Hash([mark; 32]),
        state_root: Hash([3; 32]),
        timestamp: at,
        target: genesis.rules.initial_target,
        nonce: 0,
    };
    let active = u64::from(height - 1) * genesis.rules.interval();
    let since = genesis.rules.interval();
    let rules = &genesis.rules;
    header.target = crate::difficulty::next_target(rules, active, Height(height - 1), since);
    let mut miner = Miner::new(&header, &header.target.target(), 0, u32::MAX);
    match miner.step(1_000_000) {
        Step::Found(solution) => header = header.solved(solution),
        Step::Working | Step::Exhausted => panic!("no nonce"),
    }
    header
}

fn sealed(genesis: &Genesis, previous: Hash, height: u32, mark: u8) -> UncheckedSealed {
    let header = header(genesis, previous, height, mark);
    let body = vec![mark; 40];
    let report = Report::sign(&reporter(1), genesis.chain_id(), header, &body);
    UncheckedSealed::new(report, body).unwrap()
}

fn branch(
    genesis: &Genesis,
    mut previous: Hash,
    from: u32,
    count: u32,
    mark: u8,
) -> Vec<SealedBlock> {
    let mut blocks = Vec::new();
    for height in from..from + count {
        let block = sealed(genesis, previous, height, mark)
            .check(genesis)
            .unwrap();
        previous = block.hash();
        blocks.push(block);
    }
    blocks
}

#[test]
fn no_changed_byte_of_a_report_gets_through() {
    let genesis = private();
    let good = sealed(&genesis, genesis.chain_id().0, 1, 5);
    let bytes = good.encode();
    assert_eq!(UncheckedSealed::decode(&bytes).unwrap(), good);
    assert!(good.check(&genesis).is_ok());
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let verdict = UncheckedSealed::decode(&changed).and_then(|sealed| sealed.check(&genesis));
        assert!(verdict.is_err(), "byte {at}");
    }
    for length in 0..bytes.len() {
        assert!(UncheckedSealed::decode(&bytes[..length]).is_err());
    }
    assert!(UncheckedSealed::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn only_reporters_of_the_genesis_report_and_only_private_networks() {
    let closed = private();
    let header = header(&closed, closed.chain_id().0, 1, 5);
    let by = |identity, chain_id| {
        let report = Report::sign(&identity, chain_id, header.clone(), b"sealed");
        UncheckedSealed::new(report, b"sealed".to_vec()).unwrap()
    };
    let stranger = by(reporter(3), closed.chain_id()).check(&closed);
    let key = reporter(3).public_key();
    assert_eq!(stranger, Err(ReportError::NotAReporter(key)));
    let foreign = by(reporter(1), ChainId(Hash([7; 32]))).check(&closed);
    assert!(matches!(foreign, Err(ReportError::OtherChain { .. })));
    let open = genesis(Access::Open);
    let in_open = by(reporter(1), open.chain_id()).check(&open);
    assert_eq!(in_open, Err(ReportError::Open));
    assert!(by(reporter(2), closed.chain_id()).check(&closed).is_ok());
    let mut moved = by(reporter(1), closed.chain_id());
    moved.report.reporter = reporter(2).public_key();
    assert_eq!(moved.check(&closed), Err(ReportError::Signature));
}

#[test]
fn a_body_longer_than_the_genesis_allows_or_another_than_named_is_refused() {
    let genesis = private();
    let header = header(&genesis, genesis.chain_id().0, 1, 5);
    let body = vec![0; genesis.rules.block_bytes_max as usize + SEAL_BYTES_MAX as usize + 1];
    let long = Report::sign(&reporter(1), genesis.chain_id(), header.clone(), &body);
    let long = UncheckedSealed::new(long, body.clone())
        .unwrap()
        .check(&genesis);
    assert!(matches!(long, Err(ReportError::Encoding(_))));
    let most = &body[1..];
    let fits = Report::sign(&reporter(1), genesis.chain_id(), header, most);
    let fits = UncheckedSealed::new(fits, most.to_vec()).unwrap();
    let other = UncheckedSealed::new(fits.report().clone(), vec![1; most.len()]);
    assert!(matches!(other, Err(ReportError::Body { .. })));
    assert!(fits.check(&genesis).is_ok());
}

#[test]
fn work_that_is_not_done_is_refused_before_the_signature_is_looked_at() {
    let genesis = private();
    let mut good = sealed(&genesis, genesis.chain_id().0, 1, 5);
    good.report.header.target = Target::for_hashes(1 << 60).to_compact();
    let verdict = good.check(&genesis);
    assert!(matches!(
        verdict,
        Err(ReportError::Header(BlockError::WorkNotDone { .. }))
    ));
}

#[test]
fn reported_headers_are_held_to_the_rules_of_headers_and_the_heaviest_branch_wins() {
    let genesis = private();
    let mut chain = ReportedChain::new(genesis.clone());
    let now = START.plus_ms(1_000_000);
    let light = branch(&genesis, genesis.chain_id().0, 1, 2, 5);
    let heavy = branch(&genesis, light[0].hash(), 2, 2, 6);
    for block in &light {
        let inserted = chain.insert(block.clone(), now).unwrap();
        assert!(matches!(inserted, Inserted::Connected { .. }));
    }
    assert_eq!(
        chain.insert(light[0].clone(), now),
        Ok(Inserted::AlreadyKnown)
    );
    assert_eq!(chain.insert(heavy[0].clone(), now), Ok(Inserted::Stored));
    let inserted = chain.insert(heavy[1].clone(), now).unwrap();
    let expected = Inserted::Connected {
        disconnected: vec![light[1].hash()],
        connected: vec![heavy[0].hash(), heavy[1].hash()],
    };
    assert_eq!(inserted, expected);
    assert_eq!(chain.tip().hash, heavy[1].hash());
    let orphan = branch(&genesis, Hash([9; 32]), 2, 1, 7).remove(0);
    let refused = chain.insert(orphan, now);
    assert!(matches!(refused, Err(ChainError::UnknownParent { .. })));
    let wrong_height = branch(&genesis, heavy[1].hash(), 3, 1, 7).remove(0);
    let refused = chain.insert(wrong_height, now);
    assert!(matches!(
        refused,
        Err(ChainError::Invalid(BlockError::Height { .. }))
    ));
    let early = branch(&genesis, heavy[1].hash(), 4, 1, 7).remove(0);
    let refused = chain.insert(early, START);
    assert!(matches!(refused, Err(ChainError::TooFarAhead { .. })));
}

#[test]
fn another_report_of_a_block_takes_the_place_of_the_first() {
    let genesis = private();
    let mut chain = ReportedChain::new(genesis.clone());
    let now = START.plus_ms(1_000_000);
    let first = branch(&genesis, genesis.chain_id().0, 1, 1, 5).remove(0);
    let body = b"sealed otherwise".to_vec();
    let report = Report::sign(
        &reporter(2),
        genesis.chain_id(),
        first.header().clone(),
        &body,
    );
    let second = UncheckedSealed::new(report, body)
        .unwrap()
        .check(&genesis)
        .unwrap();
    chain.insert(first.clone(), now).unwrap();
    assert_eq!(
        chain.insert(second.clone(), now),
        Ok(Inserted::AlreadyKnown)
    );
    assert_eq!(chain.replace(first.clone()), None);
    assert_eq!(chain.replace(second.clone()), Some(first.id()));
    assert_eq!(chain.reported(&first.id()), None);
    assert_eq!(chain.reported(&second.id()), Some(&second));
}

#[test]
fn a_reset_drops_the_suffix_and_the_chain_goes_on_from_what_stays() {
    let genesis = private();
    let mut chain = ReportedChain::new(genesis.clone());
    let now = START.plus_ms(1_000_000);
    let old = branch(&genesis, genesis.chain_id().0, 1, 5, 5);
    for block in &old {
        chain.insert(block.clone(), now).unwrap();
    }
    let word = |block: &SealedBlock, resets: u32| {
        let mut bytes = genesis.chain_id().0.0.to_vec();
        bytes.extend(block.header().height.0.to_be_bytes());
        bytes.extend(block.hash().0);
        bytes.extend(chain.work_of(&block.hash()).unwrap().to_be_bytes());
        if resets > 0 {
            bytes.extend(resets.to_be_bytes());
        }
        FinalBlock::from_checkpoint(&bytes).unwrap()
    };
    let (third, stays) = (word(&old[2], 0), word(&old[0], 1));
    chain.set_final(third).unwrap();
    let beside = branch(&genesis, old[1].hash(), 3, 1, 6).remove(0);
    let refused = chain.insert(beside.clone(), now);
    assert!(matches!(refused, Err(ChainError::LeavesFinal { .. })));
    let gone = chain.reset(Height(2), Some(stays)).unwrap();
    assert_eq!(gone.blocks.len(), 4);
    assert_eq!(
        (chain.tip().height, chain.tip().hash),
        (Height(1), old[0].hash())
    );
    let new = branch(&genesis, old[0].hash(), 2, 2, 7);
    for block in &new {
        assert!(matches!(
            chain.insert(block.clone(), now),
            Ok(Inserted::Connected { .. })
        ));
    }
    assert_eq!(chain.tip().hash, new[1].hash());
}
