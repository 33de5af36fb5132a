//! Several ledgers with different pools: they judge alike, and what was sent to any is in the chain once.

use shared::block::{Block, UncheckedBlock};
use shared::enterprise::EnterpriseBlock;
use shared::hash::Hash;

use super::tests::{Draw, NOW, START, TestTenant, certificate, ledger, submit, tip, validator};
use super::*;

fn propose(ledger: &mut Ledger) -> EnterpriseBlock {
    let hash = ledger
        .propose(NOW, validator().public_key())
        .unwrap()
        .unwrap();
    ledger.proposal(&hash).unwrap().clone()
}

/// Judges with the bodies that another ledger has.
fn judge_from(judge: &mut Ledger, source: &Ledger, block: &EnterpriseBlock) -> Judgement {
    match judge.judge(block.clone(), Timeliness::Fresh(NOW)) {
        Judgement::MissingBodies(keys) => {
            for key in keys {
                let bytes = source.body(&key).unwrap();
                assert_eq!(judge.add_body(key.0, &bytes), Ok(key));
            }
            judge.judge(block.clone(), Timeliness::Synced)
        }
        verdict @ (Judgement::Valid(_) | Judgement::Invalid(_)) => verdict,
    }
}

fn finish(ledger: &mut Ledger, hash: Hash) {
    let certificate = certificate(ledger, hash);
    ledger.decide(certificate).unwrap();
    ledger.finish().unwrap();
}

/// A block over these entries, with the state root that they would have or an arbitrary one.
fn block_of(ledger: &Ledger, entries: Vec<Entry>) -> EnterpriseBlock {
    let time = ledger.verifier.next_time(NOW);
    let version = EnterpriseHeader::VERSION;
    let effects = ledger.state.execute(version, time, &entries).unwrap();
    let data_root = EnterpriseBlock::data_root(&entries);
    let key = validator().public_key();
    let header = ledger.verifier.next_header(NOW, data_root, &effects, key);
    EnterpriseBlock::new(header, entries).unwrap()
}

#[test]
fn a_proposal_of_another_is_judged_with_bodies_that_are_fetched_and_decided() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut tenant = TestTenant::new("shop", 1, START);
    let blocks = tenant.mine_many(2);
    submit(&mut one, &tenant, &blocks).unwrap();
    let block = propose(&mut one);
    let keys: Vec<BodyKey> = crate::store::anchored(&block).collect();
    assert_eq!(
        two.judge(block.clone(), Timeliness::Fresh(NOW)),
        Judgement::MissingBodies(keys.clone())
    );
    let hash = block.hash();
    assert_eq!(judge_from(&mut two, &one, &block), Judgement::Valid(hash));
    let certificate = certificate(&two, hash);
    two.decide(certificate).unwrap();
    let stored: Vec<BodyKey> = two
        .take_batch()
        .bodies
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(
        stored, keys,
        "what came with the proposal is stored with the decision"
    );
    two.finish().unwrap();
    finish(&mut one, hash);
    for ledger in [&one, &two] {
        assert_eq!(tip(ledger, &tenant), (Height(2), tenant.tip()));
        assert_eq!(ledger.transactions(), 2);
        assert!(!ledger.has_pending());
        assert!(ledger.body(&keys[0]).is_some());
    }
}

#[test]
fn what_another_proposal_held_is_still_pending_and_what_was_decided_is_not() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut tenant = TestTenant::new("shop", 1, START);
    let blocks = tenant.mine_many(3);
    submit(&mut one, &tenant, &blocks[..2]).unwrap();
    submit(&mut two, &tenant, &blocks).unwrap();
    let theirs = propose(&mut two);
    let ours = propose(&mut one);
    assert_ne!(ours.hash(), theirs.hash());
    assert_eq!(
        judge_from(&mut two, &one, &ours),
        Judgement::Valid(ours.hash())
    );
    assert_eq!(
        two.proposal(&theirs.hash()),
        Some(&theirs),
        "several rounds' blocks are kept"
    );
    finish(&mut two, ours.hash());
    assert_eq!(two.proposal(&theirs.hash()), None);
    let rest = propose(&mut two);
    assert_eq!(rest.entries().len(), 1, "the third block only");
    assert_eq!(
        two.decide(certificate(&two, theirs.hash())),
        Err(ProposalError::Unknown(theirs.hash()))
    );
}

#[test]
fn a_block_is_executed_on_its_parent_whatever_chain_is_the_heaviest_here() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut main = TestTenant::new("shop", 1, START);
    let trunk = main.mine_many(1);
    let mut other = main.fork(9);
    let (light, heavy) = (main.mine_many(1), other.mine_many(3));
    submit(&mut one, &main, &[trunk.clone(), light].concat()).unwrap();
    submit(&mut two, &main, &[trunk, heavy].concat()).unwrap();
    let block = propose(&mut one);
    assert_eq!(
        judge_from(&mut two, &one, &block),
        Judgement::Valid(block.hash())
    );
    finish(&mut two, block.hash());
    finish(&mut one, block.hash());
    let next = propose(&mut two);
    assert_eq!(
        judge_from(&mut one, &two, &next),
        Judgement::Valid(next.hash())
    );
    finish(&mut two, next.hash());
    finish(&mut one, next.hash());
    assert_eq!(tip(&one, &main), tip(&two, &main));
    assert_eq!(tip(&one, &main), (Height(4), other.tip()));
    assert_eq!(one.transactions(), 4);
}

/// The block mined anew over another state root.
fn with_wrong_state(block: &Block, genesis: &Genesis) -> Block {
    let mut body = UncheckedBlock::decode(&block.encode()).unwrap();
    body.header.state_root = Hash([1; 32]);
    let mined = (0..u32::MAX).find_map(|nonce| {
        body.header.nonce = nonce;
        body.clone().check(genesis).ok()
    });
    mined.unwrap()
}

#[test]
fn a_tenant_block_that_does_not_execute_makes_the_proposal_invalid_everywhere() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut tenant = TestTenant::new("shop", 1, START);
    let good = tenant.mine(&["one"]);
    let bad = with_wrong_state(&tenant.clone().mine(&["two"]), &tenant.genesis);
    submit(&mut one, &tenant, std::slice::from_ref(&good)).unwrap();
    let anchor = |block: &Block| {
        let (chain_id, header) = (tenant.chain_id(), block.header().clone());
        Entry::BlockAnchored(Anchor { chain_id, header })
    };
    let genesis = Entry::TenantRegistered(Box::new((*tenant.genesis).clone()));
    let block = block_of(&one, vec![genesis, anchor(&good), anchor(&bad)]);
    for ledger in [&mut one, &mut two] {
        for body in [&good, &bad] {
            ledger.add_body(tenant.chain_id(), &body.encode()).unwrap();
        }
        let verdict = ledger.judge(block.clone(), Timeliness::Synced);
        assert!(
            matches!(&verdict, Judgement::Invalid(reason) if reason.contains("state root")),
            "{verdict:?}"
        );
        assert_eq!(ledger.proposal(&block.hash()), None);
    }
}

#[test]
fn time_is_judged_for_fresh_proposals_only() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut tenant = TestTenant::new("shop", 1, START);
    let blocks = tenant.mine_many(1);
    for ledger in [&mut one, &mut two] {
        submit(ledger, &tenant, &blocks).unwrap();
    }
    let later = NOW.plus_ms(PROPOSAL_AHEAD_MAX_MS + 1);
    let hash = one
        .propose(later, validator().public_key())
        .unwrap()
        .unwrap();
    let block = one.proposal(&hash).unwrap().clone();
    let fresh = two.judge(block.clone(), Timeliness::Fresh(NOW));
    assert!(matches!(fresh, Judgement::Invalid(_)));
    let fresh = two.judge(block.clone(), Timeliness::Fresh(NOW.plus_ms(1)));
    assert_eq!(fresh, Judgement::Valid(hash));
    let mut three = ledger();
    submit(&mut three, &tenant, &blocks).unwrap();
    assert_eq!(
        three.judge(block, Timeliness::Synced),
        Judgement::Valid(hash)
    );
}

#[test]
fn a_body_that_is_not_its_headers_is_not_kept() {
    let mut ledger = ledger();
    let mut tenant = TestTenant::new("shop", 1, START);
    let block = tenant.mine(&["one", "two"]);
    let mut unchecked = UncheckedBlock::decode(&block.encode()).unwrap();
    unchecked.transactions.pop();
    let key = (tenant.chain_id(), block.hash());
    let refused = ledger.add_body(key.0, &unchecked.encode());
    assert!(
        matches!(refused, Err(crate::body::BodyError::Invalid(_))),
        "{refused:?}"
    );
    assert!(matches!(
        ledger.add_body(key.0, &[1, 2]),
        Err(crate::body::BodyError::Encoding(_))
    ));
    assert_eq!(ledger.body(&key), None);
    ledger.add_body(key.0, &block.encode()).unwrap();
    assert_eq!(ledger.body(&key), Some(block.encode()));
}

#[test]
fn names_follow_the_order_of_decisions_and_not_of_arrival() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut tenants = [1, 2].map(|seed| TestTenant::new("shop", seed, START));
    let blocks = tenants.each_mut().map(|tenant| tenant.mine_many(1));
    submit(&mut one, &tenants[0], &blocks[0]).unwrap();
    submit(&mut two, &tenants[1], &blocks[1]).unwrap();
    for _ in 0..2 {
        let block = propose(if one.has_pending() {
            &mut one
        } else {
            &mut two
        });
        assert_eq!(
            judge_from(&mut one, &two, &block),
            Judgement::Valid(block.hash())
        );
        assert_eq!(
            judge_from(&mut two, &one, &block),
            Judgement::Valid(block.hash())
        );
        finish(&mut one, block.hash());
        finish(&mut two, block.hash());
    }
    for tenant in &tenants {
        let name = |ledger: &Ledger| ledger.tenants()[&tenant.chain_id()].name().clone();
        assert_eq!(name(&one), name(&two));
    }
    assert_eq!(
        one.tenants()[&tenants[0].chain_id()].name().as_str(),
        "shop"
    );
}

/// Three ledgers hear of blocks in random orders, more than once; a random one proposes; all judge alike.
#[test]
fn whoever_hears_what_in_whatever_order_each_block_is_in_the_chain_once() {
    for seed in 1..=10 {
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15_u64.rotate_left(seed));
        let mut ledgers = [ledger(), ledger(), ledger()];
        let mut miners = vec![TestTenant::new("shop", 1, START)];
        let mut mined: Vec<Block> = Vec::new();
        let mut anchored = BTreeSet::new();
        for step in 0..40 {
            let chosen = draw.below(miners.len());
            if draw.below(4) == 0 {
                let fork = miners[chosen].fork(u8::try_from(miners.len()).unwrap());
                miners.push(fork);
            }
            mined.push(miners[chosen].mine(&["x"]));
            for _ in 0..2 {
                let first = draw.below(mined.len());
                let last = first + draw.below(mined.len() - first) + 1;
                let _ = submit(&mut ledgers[draw.below(3)], &miners[0], &mined[first..last]);
            }
            if step > 34 {
                submit(&mut ledgers[draw.below(3)], &miners[0], &mined).unwrap();
            }
            let proposer = draw.below(3);
            if !ledgers[proposer].has_pending() {
                continue;
            }
            let block = propose(&mut ledgers[proposer]);
            for key in crate::store::anchored(&block) {
                assert!(anchored.insert(key), "seed {seed}: {} twice", key.1);
            }
            decide_all(&mut ledgers, proposer, &block, seed);
        }
        let [one, two, three] = &ledgers;
        let tips = [one, two, three].map(|ledger| tip(ledger, &miners[0]));
        assert_eq!((tips[0], tips[0]), (tips[1], tips[2]), "seed {seed}");
        assert_eq!(one.transactions(), u64::from(tips[0].0.0), "seed {seed}");
        assert_eq!(one.transactions(), three.transactions(), "seed {seed}");
    }
}

fn decide_all(ledgers: &mut [Ledger; 3], proposer: usize, block: &EnterpriseBlock, seed: u32) {
    let bodies: Vec<_> = crate::store::anchored(block)
        .map(|key| (key.0, ledgers[proposer].body(&key).unwrap()))
        .collect();
    for ledger in ledgers {
        for (chain_id, bytes) in &bodies {
            ledger.add_body(*chain_id, bytes).unwrap();
        }
        let verdict = ledger.judge(block.clone(), Timeliness::Fresh(NOW));
        assert_eq!(verdict, Judgement::Valid(block.hash()), "seed {seed}");
        finish(ledger, block.hash());
    }
}

#[test]
fn a_block_that_skips_a_height_is_invalid() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut tenant = TestTenant::new("shop", 1, START);
    submit(&mut one, &tenant, &tenant.clone().mine_many(1)).unwrap();
    let first = propose(&mut one);
    finish(&mut one, first.hash());
    let blocks = tenant.mine_many(2);
    submit(&mut one, &tenant, &blocks).unwrap();
    let second = propose(&mut one);
    let verdict = two.judge(second, Timeliness::Synced);
    assert!(matches!(verdict, Judgement::Invalid(_)));
}
