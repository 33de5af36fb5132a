//! Updates in, blocks out: what is anchored, replaced, refused and held.

use std::sync::Arc;

use shared::block::Block;
use shared::enterprise::{
    BlockLimits, Certificate, DecidedBlock, EnterpriseGenesis, EnterpriseHeight, Round,
    ValidatorInfo, ValidatorSet, Vote,
};
use shared::identity::Identity;
use shared::ids::{Height, NetworkId, TimestampMs};

use super::*;

#[path = "../../tests/it/tenant.rs"]
#[expect(dead_code, reason = "the integration tests use what these do not")]
pub(super) mod tenant;

pub(super) use tenant::TestTenant;

pub(super) const START: TimestampMs = TimestampMs(1_700_000_000_000);
/// Late enough for every block of these tests.
pub(super) const NOW: TimestampMs = TimestampMs(1_700_000_900_000);

pub(super) fn validator() -> Identity {
    Identity::from_seed([200; 32])
}

pub(super) fn genesis() -> EnterpriseGenesis {
    let info = ValidatorInfo {
        key: validator().public_key(),
        name: NetworkId::parse("v").unwrap(),
    };
    let set = ValidatorSet::new(vec![info]).unwrap();
    EnterpriseGenesis::new(NetworkId::parse("main").unwrap(), START, set)
}

pub(super) fn ledger() -> Ledger {
    Ledger::new(genesis())
}

pub(super) fn submit<B: Clone + Into<Body>>(
    ledger: &mut Ledger,
    tenant: &TestTenant,
    blocks: &[B],
) -> Result<Receipt, Refusal> {
    let genesis = Arc::clone(&tenant.genesis);
    let blocks = blocks.iter().cloned().map(Into::into).collect();
    let chain_id = tenant.chain_id();
    ledger.accept(
        NOW,
        Submission {
            genesis,
            chain_id,
            blocks,
        },
    )
}

/// The certificate of a validator alone.
pub(super) fn certificate(ledger: &Ledger, block_hash: Hash) -> Certificate {
    let (height, round) = (ledger.verifier().height().next(), Round(0));
    let chain = ledger.verifier().chain_id();
    let vote = Vote::precommit(height, round, block_hash);
    let signatures = vec![(0, vote.sign(&validator(), chain))];
    Certificate {
        height,
        round,
        block_hash,
        signatures,
    }
}

/// Decides everything that is pending, as a validator alone.
fn decide(ledger: &mut Ledger) -> Vec<DecidedBlock> {
    let mut decided = Vec::new();
    while ledger.has_pending() {
        let block_hash = ledger
            .propose(NOW, validator().public_key())
            .unwrap()
            .unwrap();
        let certificate = certificate(ledger, block_hash);
        decided.push(ledger.decide(certificate).unwrap());
        ledger.finish().unwrap();
    }
    decided
}

pub(super) fn tip(ledger: &Ledger, tenant: &TestTenant) -> (Height, Hash) {
    let state = ledger.tenants()[&tenant.chain_id()].state();
    (state.height, state.hash)
}

#[test]
fn an_update_registers_its_tenant_and_anchors_its_blocks_in_one_block() {
    let (mut ledger, mut tenant) = (ledger(), TestTenant::new("shop", 1, START));
    let blocks = [tenant.mine(&["one", "two"]), tenant.mine(&["three"])];
    let receipt = submit(&mut ledger, &tenant, &blocks).unwrap();
    assert_eq!(
        receipt,
        Receipt {
            blocks: 2,
            transactions: 3,
            already_known: 0
        }
    );
    let decided = decide(&mut ledger);
    assert_eq!(decided.len(), 1);
    assert_eq!(decided[0].block().entries().len(), 3);
    assert_eq!(tip(&ledger, &tenant), (Height(2), tenant.tip()));
    assert_eq!(ledger.transactions(), 3);
    let shown = ledger.tenants()[&tenant.chain_id()].recent_messages();
    let expected = [(2, "three"), (1, "two"), (1, "one")];
    assert_eq!(
        *shown,
        expected.map(|(height, text)| (height, Arc::from(text)))
    );
}

#[test]
fn a_replay_changes_nothing() {
    let (mut ledger, mut tenant) = (ledger(), TestTenant::new("shop", 1, START));
    let blocks = tenant.mine_many(3);
    submit(&mut ledger, &tenant, &blocks).unwrap();
    let again = submit(&mut ledger, &tenant, &blocks).unwrap();
    assert_eq!(
        again,
        Receipt {
            already_known: 3,
            ..Receipt::default()
        }
    );
    assert_eq!(decide(&mut ledger).len(), 1);
    submit(&mut ledger, &tenant, &blocks[1..]).unwrap();
    assert!(!ledger.has_pending());
    assert_eq!(
        (ledger.verifier().height(), ledger.transactions()),
        (EnterpriseHeight(1), 3)
    );
}

#[test]
fn a_heavier_branch_replaces_what_was_anchored_and_both_stay_on_record() {
    let (mut ledger, mut main) = (ledger(), TestTenant::new("shop", 1, START));
    let trunk = main.mine_many(2);
    let mut other = main.fork(9);
    let light = main.mine_many(1);
    submit(&mut ledger, &main, &[trunk, light.clone()].concat()).unwrap();
    decide(&mut ledger);
    let heavy = other.mine_many(3);
    submit(&mut ledger, &other, &heavy[..1]).unwrap();
    assert!(
        !ledger.has_pending(),
        "a branch that is not heavier is held"
    );
    submit(&mut ledger, &other, &heavy[1..]).unwrap();
    let decided = decide(&mut ledger);
    let anchored: Vec<Hash> = decided
        .iter()
        .flat_map(|decided| crate::store::anchored(decided.block()))
        .map(|key| key.1)
        .collect();
    let expected: Vec<Hash> = heavy.iter().map(Block::hash).collect();
    assert_eq!(anchored, expected);
    assert_eq!(tip(&ledger, &other), (Height(5), other.tip()));
    assert_eq!(
        ledger.transactions(),
        5,
        "the replaced block's transaction no longer counts"
    );
    let tenant = &ledger.tenants()[&main.chain_id()];
    assert!(ledger.state.is_anchored(main.chain_id(), light[0].hash()));
    assert!(!tenant.main().has(Height(3), &light[0].hash()));
    assert!(tenant.main().has(Height(3), &heavy[0].hash()));
    assert_eq!(tenant.main().page(1, 10).len(), 5);
}

#[test]
fn a_held_block_is_stored_and_released_when_its_branch_wins() {
    let (mut ledger, mut main) = (ledger(), TestTenant::new("shop", 1, START));
    let mut other = main.fork(9);
    submit(&mut ledger, &main, &main.clone().mine_many(1)).unwrap();
    main.mine_many(1);
    decide(&mut ledger);
    let _ = ledger.take_batch();
    let branch = other.mine_many(2);
    submit(&mut ledger, &other, &branch[..1]).unwrap();
    let batch = ledger.take_batch();
    let key = (other.chain_id(), branch[0].hash());
    assert!(batch.hold.contains_key(&key));
    assert_eq!(batch.bodies.len(), 1);
    submit(&mut ledger, &other, &branch[1..]).unwrap();
    let batch = ledger.take_batch();
    assert!(batch.release.is_empty(), "it waits to be decided");
    decide(&mut ledger);
    assert!(ledger.take_batch().release.contains(&key));
}

#[test]
fn blocks_that_do_not_connect_say_what_is_missing_and_leave_no_tenant() {
    let (mut ledger, mut tenant) = (ledger(), TestTenant::new("shop", 1, START));
    let blocks = tenant.mine_many(3);
    let refusal = submit(&mut ledger, &tenant, &blocks[1..]).unwrap_err();
    let previous = blocks[0].hash();
    assert_eq!(
        refusal,
        Refusal::UnknownParent {
            height: Height(2),
            previous
        }
    );
    assert!(ledger.tenants().is_empty() && !ledger.has_pending());
    assert_eq!(
        submit::<Block>(&mut ledger, &tenant, &[]),
        Err(Refusal::NoBlocks)
    );
}

#[test]
fn a_block_too_far_ahead_of_enterprise_time_is_refused_for_now() {
    let (mut ledger, mut tenant) = (ledger(), TestTenant::new("shop", 1, START));
    let ahead = 2 * tenant.genesis.rules.interval();
    let latest = tenant.clone().mine_at(NOW.plus_ms(ahead), &[]);
    let too_late = tenant.mine_at(NOW.plus_ms(ahead + 1), &[]);
    let refusal = submit(&mut ledger, &tenant, &[too_late]).unwrap_err();
    assert!(matches!(refusal, Refusal::TooFarAhead { .. }));
    submit(&mut ledger, &tenant, &[latest]).unwrap();
    assert_eq!(decide(&mut ledger).len(), 1);
}

#[test]
fn tenants_of_another_enterprise_are_not_registered() {
    let mut ledger = ledger();
    let pin = |hash| move |genesis: &mut Genesis| genesis.enterprise_genesis = Some(hash);
    let mut other = TestTenant::with("shop", 1, START, pin(Hash([1; 32])));
    let blocks = other.mine_many(1);
    let refusal = submit(&mut ledger, &other, &blocks).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Registration(EnterpriseError::OtherEnterprise { .. })
    ));
    let mut ours = TestTenant::with("shop", 1, START, pin(genesis().hash()));
    let blocks = ours.mine_many(1);
    assert!(submit(&mut ledger, &ours, &blocks).is_ok());
}

#[test]
fn the_second_chain_under_a_label_gets_a_name_of_its_own() {
    let mut ledger = ledger();
    let mut tenants = [1, 2].map(|seed| TestTenant::new("shop", seed, START));
    for tenant in &mut tenants {
        let blocks = tenant.mine_many(1);
        submit(&mut ledger, tenant, &blocks).unwrap();
    }
    let name = |tenant: &TestTenant| ledger.tenants()[&tenant.chain_id()].name().to_string();
    assert_eq!(name(&tenants[0]), "shop");
    let prefix = tenants[1].chain_id().to_string()[..8].to_owned();
    assert_eq!(name(&tenants[1]), format!("shop~{prefix}"));
}

#[test]
fn what_does_not_fit_into_one_block_goes_into_the_next() {
    let genesis = genesis();
    let blocks = BlockLimits {
        block_entries_max: 16,
        ..genesis.blocks()
    };
    let genesis = genesis
        .clone()
        .with_limits(genesis.timeouts(), blocks, genesis.tenants())
        .unwrap();
    let (mut ledger, mut tenant) = (Ledger::new(genesis), TestTenant::new("shop", 1, START));
    let blocks = tenant.mine_many(40);
    submit(&mut ledger, &tenant, &blocks).unwrap();
    let sizes: Vec<usize> = decide(&mut ledger)
        .iter()
        .map(|decided| decided.block().entries().len())
        .collect();
    assert_eq!(sizes, [16, 16, 9]);
    assert_eq!(tip(&ledger, &tenant), (Height(40), tenant.tip()));
}

#[test]
fn the_same_decisions_replayed_give_the_same_state() {
    let (mut ledger, mut main) = (ledger(), TestTenant::new("shop", 1, START));
    let mut other = main.fork(7);
    let mut decided = Vec::new();
    let mut bodies = Vec::new();
    for blocks in [main.mine_many(2), other.mine_many(3), main.mine_many(4)] {
        submit(&mut ledger, &main, &blocks).unwrap();
        let batch = ledger.take_batch();
        bodies.extend(batch.bodies);
        decided.extend(decide(&mut ledger));
    }
    let again = replayed(decided, &bodies);
    assert_eq!(again.verifier().hash(), ledger.verifier().hash());
    assert_eq!(again.state.state_root(), ledger.state.state_root());
    assert_eq!(again.transactions(), ledger.transactions());
    assert_eq!(tip(&again, &main), tip(&ledger, &main));
    assert_eq!(tip(&again, &main), (Height(6), main.tip()));
}

/// A small generator, so that a failure is repeated by its seed.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Miners fork, extend and report in any order and more than once; the ledger always stands on a heaviest chain of what
/// connected, counts it, and a replay of its blocks gives the same state.
#[test]
fn whatever_is_reported_in_whatever_order_the_heaviest_chain_stands_and_replays() {
    for seed in 1..=12 {
        let mut draw = Draw(0x9e37_79b9_7f4a_7c15_u64.rotate_left(seed));
        let mut ledger = ledger();
        let mut miners = vec![TestTenant::new("shop", 1, START)];
        let mut mined: Vec<Block> = Vec::new();
        let (mut decided, mut bodies) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            let chosen = draw.below(miners.len());
            if draw.below(4) == 0 {
                let mark = u8::try_from(miners.len()).unwrap();
                let fork = miners[chosen].fork(mark);
                miners.push(fork);
            }
            mined.push(miners[chosen].mine(&["x"]));
            let first = draw.below(mined.len());
            let last = first + draw.below(mined.len() - first) + 1;
            let _ = submit(&mut ledger, &miners[0], &mined[first..last]);
            decided.extend(decide_with(&mut ledger, &mut bodies));
        }
        let tenant = miners[0].clone();
        submit(&mut ledger, &tenant, &mined).unwrap();
        decided.extend(decide_with(&mut ledger, &mut bodies));
        let highest = mined
            .iter()
            .map(|block| block.header().height)
            .max()
            .unwrap();
        let (height, hash) = tip(&ledger, &tenant);
        assert_eq!(
            height, highest,
            "seed {seed}: equal steps make the longest the heaviest"
        );
        assert_eq!(ledger.transactions(), u64::from(height.0), "seed {seed}");
        let main = ledger.tenants()[&tenant.chain_id()].main().page(1, 1_000);
        assert_eq!(
            (main.len(), main.last()),
            (height.0 as usize, Some(&hash)),
            "seed {seed}"
        );
        let again = replayed(decided, &bodies);
        assert_eq!(
            again.verifier().hash(),
            ledger.verifier().hash(),
            "seed {seed}"
        );
        assert_eq!(tip(&again, &tenant), (height, hash), "seed {seed}");
        assert_eq!(again.transactions(), ledger.transactions(), "seed {seed}");
    }
}

pub(super) type Bodies = Vec<(BodyKey, Vec<u8>)>;

fn decide_with(ledger: &mut Ledger, bodies: &mut Bodies) -> Vec<DecidedBlock> {
    bodies.extend(ledger.take_batch().bodies);
    decide(ledger)
}

pub(super) fn replayed(decided: Vec<DecidedBlock>, bodies: &Bodies) -> Ledger {
    let mut ledger = Ledger::new(genesis());
    for decided in decided {
        let keys: Vec<BodyKey> = crate::store::anchored(decided.block()).collect();
        let body = |key: &BodyKey| {
            let (_, bytes) = bodies.iter().find(|(found, _)| found == key).unwrap();
            UncheckedBody::decode(bytes).unwrap()
        };
        let found = keys.iter().map(body).collect();
        let (block, certificate) = (decided.block().clone(), decided.certificate().clone());
        ledger
            .replay(block, certificate, found, Signatures::Verify)
            .unwrap();
    }
    ledger
}
