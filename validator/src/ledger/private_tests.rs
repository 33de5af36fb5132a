//! Private tenants: reports are anchored and final, resets void, and a restart or a snapshot changes nothing of it.

use shared::enterprise::{EnterpriseBlock, ResetReceipt, Trust};
use shared::report::SealedBlock;

use super::restore_tests::{decide_at, restored, snapshot};
use super::tests::{
    NOW, START, TestTenant, certificate, genesis, ledger, submit, tenant, tip, validator,
};
use super::*;
use crate::replica::Rotation;
use crate::start::{begun, replay_block, replay_held};
use crate::store::Store;

fn secret() -> TestTenant {
    TestTenant::private("secret", 5, START)
}

/// Three final blocks and one above them that is anchored; the tenant as it was after each block.
fn grown() -> (Ledger, Vec<TestTenant>, Vec<SealedBlock>) {
    let (mut ledger, mut tenant) = (ledger(), secret());
    let (mut steps, mut blocks) = (vec![tenant.clone()], Vec::new());
    for _ in 0..4 {
        let block = tenant.mine(&["secret"]);
        blocks.push(tenant.seal(&block, 1));
        steps.push(tenant.clone());
    }
    submit(&mut ledger, &tenant, &blocks[..3]).unwrap();
    decide_at(&mut ledger, NOW);
    let due = ledger.next_deadline().unwrap();
    decide_at(&mut ledger, due);
    submit(&mut ledger, &tenant, &blocks[3..]).unwrap();
    decide_at(&mut ledger, due.plus_ms(1));
    (ledger, steps, blocks)
}

fn newest(ledger: &Ledger, tenant: &TestTenant) -> Option<(u32, Hash, u32)> {
    let newest = ledger.state().newest_final(&tenant.chain_id())?;
    Some((newest.height().0, newest.hash(), newest.resets()))
}

fn now(ledger: &Ledger) -> TimestampMs {
    ledger.verifier().time().plus_ms(1)
}

#[test]
fn reported_blocks_are_anchored_and_final_and_nothing_in_them_is_counted() {
    let (ledger, steps, blocks) = grown();
    let tenant = steps.last().unwrap();
    assert_eq!(newest(&ledger, tenant), Some((3, blocks[2].hash(), 0)));
    assert_eq!(tip(&ledger, tenant), (Height(4), blocks[3].hash()));
    let shown = &ledger.tenants()[&tenant.chain_id()];
    assert_eq!((ledger.transactions(), shown.transaction_count()), (0, 0));
    assert!(shown.recent_messages().is_empty());
    assert_eq!(
        shown.main().page(1, 9),
        blocks.iter().map(SealedBlock::id).collect::<Vec<_>>()
    );
    let trust = Trust::new(&genesis(), genesis().hash()).unwrap();
    let receipt = ledger.receipt(tenant.chain_id(), Height(2), None).unwrap();
    let proved = receipt.verify(&trust).unwrap();
    assert_eq!(proved.block().hash(), blocks[1].hash());
    let key = (tenant.chain_id(), blocks[1].id());
    assert_eq!(ledger.body(&key).unwrap(), blocks[1].encode());
}

#[test]
fn of_two_reports_of_a_block_the_decided_one_counts_and_the_other_goes() {
    let (mut one, mut two, mut tenant) = (ledger(), ledger(), secret());
    let blocks = tenant.mine_many(2);
    let (first, second) = (tenant.seal_all(&blocks, 1), tenant.seal_all(&blocks, 2));
    submit(&mut one, &tenant, &first).unwrap();
    submit(&mut two, &tenant, &second).unwrap();
    let hash = one.propose(NOW, validator().public_key());
    let hash = hash.unwrap().unwrap();
    let proposal = one.proposal(&hash).unwrap().clone();
    let judged = two.judge(proposal.clone(), Timeliness::Synced);
    let id = tenant.chain_id();
    let missing: Vec<BodyKey> = first.iter().map(|block| (id, block.id())).collect();
    assert_eq!(judged, Judgement::MissingBodies(missing.clone()));
    for (key, block) in missing.iter().zip(&first) {
        assert_eq!(two.add_body(key.0, &block.encode()), Ok(*key));
    }
    assert_eq!(
        two.judge(proposal, Timeliness::Synced),
        Judgement::Valid(hash)
    );
    let signed = certificate(&two, hash);
    two.decide(signed).unwrap();
    let batch = two.take_batch();
    let others: Vec<BodyKey> = second.iter().map(|block| (id, block.id())).collect();
    assert_eq!(batch.forget, others);
    assert!(batch.hold.is_empty());
    two.finish().unwrap();
    assert!(!two.has_pending(), "the block is not anchored again");
    for (key, other) in missing.iter().zip(&others) {
        assert!(two.body(key).is_some() && two.body(other).is_none());
    }
    let again = submit(&mut two, &tenant, &second).unwrap();
    assert_eq!((again.blocks, again.already_known), (0, 2));
}

#[test]
fn a_report_of_a_stranger_or_with_another_body_makes_a_proposal_invalid() {
    let (mut judge, mut tenant) = (ledger(), secret());
    let block = tenant.mine(&[]);
    let good = tenant.seal(&block, 1);
    let (header, id) = (block.header().clone(), tenant.chain_id());
    let stranger = shared::report::Report::sign(&tenant::reporter(9), id, header.clone(), b"x");
    let mut forged = good.report().clone();
    forged.signature.0[7] ^= 1;
    for (report, body) in [(stranger, b"x".to_vec()), (forged, good.sealed().to_vec())] {
        let entries = vec![
            Entry::TenantRegistered(Box::new((*tenant.genesis).clone())),
            Entry::ReportAnchored(Box::new(report.clone())),
        ];
        let block = forced(&judge, NOW, entries);
        let missing = judge.judge(block.clone(), Timeliness::Synced);
        assert!(matches!(missing, Judgement::MissingBodies(_)));
        let body = [report.encode(), body].concat();
        judge.add_body(id, &body).unwrap();
        let judged = judge.judge(block, Timeliness::Synced);
        assert!(matches!(judged, Judgement::Invalid(_)), "{judged:?}");
    }
    let cut = &good.encode()[..shared::report::Report::BYTES + 3];
    assert!(judge.add_body(id, cut).is_err());
}

/// A block with these entries, whatever the ledger thinks of them.
fn forced(ledger: &Ledger, at: TimestampMs, entries: Vec<Entry>) -> EnterpriseBlock {
    let (version, time) = (EnterpriseHeader::VERSION, ledger.verifier().next_time(at));
    let effects = ledger.state().execute(version, time, &entries).unwrap();
    let root = EnterpriseBlock::data_root(&entries);
    let proposer = validator().public_key();
    let header = ledger.verifier().next_header(at, root, &effects, proposer);
    EnterpriseBlock::new(header, entries).unwrap()
}

/// Decides what another validator proposed.
fn decide_forced(ledger: &mut Ledger, at: TimestampMs, entries: Vec<Entry>) {
    let block = forced(ledger, at, entries);
    let hash = block.hash();
    let judged = ledger.judge(block, Timeliness::Synced);
    assert_eq!(judged, Judgement::Valid(hash));
    let signed = certificate(ledger, hash);
    ledger.decide(signed).unwrap();
    drop(ledger.take_batch());
    ledger.finish().unwrap();
}

/// Found by the simulation, seed 1795953104: the validator stopped.
#[test]
fn a_branch_that_a_final_block_left_out_is_not_proposed_once_a_reset_reopens_its_height() {
    let (mut ledger, mut tenant) = (ledger(), secret());
    let first = tenant.mine(&[]);
    let first = tenant.seal(&first, 1);
    submit(&mut ledger, &tenant, std::slice::from_ref(&first)).unwrap();
    decide_at(&mut ledger, NOW);
    let mut other = tenant.fork(7);
    let branch = other.mine_many(2);
    let branch = other.seal_all(&branch, 2);
    submit(&mut ledger, &other, &branch).unwrap();
    let rival = tenant.mine_many(3);
    let rival = tenant.seal_all(&rival, 1);
    for block in &rival {
        ledger.add_body(tenant.chain_id(), &block.encode()).unwrap();
    }
    let entries = rival.iter().map(|block| block.report().clone());
    let entries = entries.map(|report| Entry::ReportAnchored(Box::new(report)));
    let at = now(&ledger);
    decide_forced(&mut ledger, at, entries.collect());
    let due = ledger.next_deadline().unwrap().plus_ms(1_000_000);
    decide_forced(&mut ledger, due, Vec::new());
    assert_eq!(newest(&ledger, &tenant), Some((4, rival[2].hash(), 0)));
    let reset = tenant.reset(1, 2, first.hash());
    let at = now(&ledger);
    let reset = Entry::TenantReset(Box::new(reset));
    decide_forced(&mut ledger, at, vec![reset]);
    assert!(ledger.has_pending(), "the branch waits still");
    let proposed = ledger.propose(now(&ledger), validator().public_key());
    assert_eq!(proposed.unwrap(), None);
    assert!(!ledger.has_pending());
    submit(&mut ledger, &other, &branch).unwrap();
    let at = now(&ledger);
    decide_at(&mut ledger, at);
    assert_eq!(tip(&ledger, &other), (Height(3), branch[1].hash()));
}

#[test]
fn a_reset_voids_and_what_follows_is_final_anew() {
    let (mut ledger, steps, blocks) = grown();
    let mut old = steps[4].clone();
    let id = old.chain_id();
    // One that waits on what will be void, and one that only this validator holds.
    let waiting = old.mine(&["waits"]);
    let waiting = old.seal(&waiting, 1);
    submit(&mut ledger, &old, std::slice::from_ref(&waiting)).unwrap();
    let reset = old.reset(1, 2, blocks[0].hash());
    assert_eq!(ledger.accept_reset(reset.clone()), Ok(true));
    assert_eq!(ledger.accept_reset(reset.clone()), Ok(false), "once");
    let decided = ledger.propose(now(&ledger), validator().public_key());
    let signed = certificate(&ledger, decided.unwrap().unwrap());
    ledger.decide(signed).unwrap();
    drop(ledger.take_batch());
    ledger.finish().unwrap();
    assert_eq!(newest(&ledger, &old), Some((1, blocks[0].hash(), 1)));
    assert_eq!(tip(&ledger, &old), (Height(1), blocks[0].hash()));
    assert!(!ledger.has_pending());
    let main = ledger.tenants()[&id].main().page(1, 9);
    assert_eq!(main, [blocks[0].id()]);
    assert_eq!(ledger.next_deadline(), None);
    let void = submit(&mut ledger, &old, &blocks[1..2]);
    assert_eq!(void, Err(Refusal::Void { height: Height(2) }));
    let child = submit(&mut ledger, &old, &[waiting]);
    assert!(child.is_err(), "{child:?}");
    let trust = Trust::new(&genesis(), genesis().hash()).unwrap();
    let receipt = ledger.reset_receipt(id, 1).unwrap();
    let receipt = ResetReceipt::decode(&receipt.encode()).unwrap();
    let executed = receipt.verify(&old.genesis, &trust).unwrap();
    assert_eq!(executed.reset(), &reset);
    assert_eq!(ledger.executed_reset(id, 1).unwrap().reset, reset);
    assert!(ledger.receipt(id, Height(2), None).is_none());
    let mut new = steps[1].fork(7);
    let second = new.mine(&["new"]);
    let second = new.seal(&second, 2);
    submit(&mut ledger, &new, std::slice::from_ref(&second)).unwrap();
    let at = now(&ledger);
    decide_at(&mut ledger, at);
    let due = ledger.next_deadline().unwrap();
    decide_at(&mut ledger, due);
    assert_eq!(newest(&ledger, &new), Some((2, second.hash(), 1)));
    let receipt = ledger.receipt(id, Height(2), None).unwrap();
    assert_eq!(receipt.verify(&trust).unwrap().block().resets(), 1);
}

#[test]
fn resets_that_break_a_rule_are_named_and_none_waits() {
    let (mut ledger, steps, blocks) = grown();
    let tenant = &steps[4];
    let (id, first) = (tenant.chain_id(), blocks[0].hash());
    let stranger = TestTenant::private("secret", 6, START);
    let mut foreign = stranger.reset(1, 2, first);
    foreign.chain_id = id;
    let mut shop = TestTenant::new("shop", 1, START);
    let open = shop.mine_many(1);
    submit(&mut ledger, &shop, &open).unwrap();
    let at = now(&ledger);
    decide_at(&mut ledger, at);
    let refused = |ledger: &mut Ledger, reset| match ledger.accept_reset(reset) {
        Err(Refusal::Reset(error)) => error,
        other => panic!("{other:?}"),
    };
    let error = refused(&mut ledger, foreign.clone());
    assert_eq!(error, EnterpriseError::NotTheOwner(id));
    let error = refused(&mut ledger, shop.reset(1, 1, shop.chain_id().0));
    assert_eq!(error, EnterpriseError::NotPrivate(shop.chain_id()));
    let error = refused(&mut ledger, stranger.reset(1, 1, stranger.chain_id().0));
    assert_eq!(error, EnterpriseError::TenantUnknown(stranger.chain_id()));
    let error = refused(&mut ledger, tenant.reset(2, 2, first));
    assert!(matches!(error, EnterpriseError::ResetNumber { .. }));
    let error = refused(&mut ledger, tenant.reset(1, 4, blocks[2].hash()));
    assert!(matches!(error, EnterpriseError::ResetHeight { .. }));
    let error = refused(&mut ledger, tenant.reset(1, 3, first));
    assert!(matches!(error, EnterpriseError::Mismatch { .. }));
    assert_eq!(ledger.pending_resets().count(), 0);
    assert!(ledger.accept_reset_of_validator(foreign).is_err());
    // One that is early is kept for a validator that is ahead, and there is a limit to them.
    for from in (1..).take(RESETS_WAITING_MAX) {
        let early = tenant.reset(2, from, first);
        assert_eq!(ledger.accept_reset_of_validator(early), Ok(true));
    }
    let one_more = ledger.accept_reset_of_validator(tenant.reset(3, 1, first));
    let full = matches!(
        &one_more,
        Err(Refusal::Reset(EnterpriseError::TooLarge { .. }))
    );
    assert!(full, "{one_more:?}");
    let at = now(&ledger);
    let proposer = validator().public_key();
    assert_eq!(ledger.propose(at, proposer), Ok(None));
    assert!(!ledger.has_pending(), "nothing that could be decided now");
    assert_eq!(ledger.pending_resets().count(), RESETS_WAITING_MAX);
}

/// A ledger with a store that is behind it by nothing.
struct Kept {
    ledger: Ledger,
    store: Store,
    _directory: tempfile::TempDir,
}

impl Kept {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.redb");
        Store::create(&path, &genesis()).unwrap();
        Self {
            ledger: ledger(),
            store: Store::open(&path).unwrap(),
            _directory: directory,
        }
    }

    fn flush(&mut self) {
        let batch = self.ledger.take_batch();
        self.store.commit(&[batch]).unwrap();
    }

    fn decide(&mut self, at: TimestampMs) {
        let proposer = validator().public_key();
        let hash = self.ledger.propose(at, proposer).unwrap().unwrap();
        let signed = certificate(&self.ledger, hash);
        let decided = self.ledger.decide(signed).unwrap();
        let mut batch = self.ledger.take_batch();
        batch.decided = Some(decided);
        self.store.commit(&[batch]).unwrap();
        self.ledger.finish().unwrap();
    }

    /// What a restart makes of the store now is what is here.
    fn check(&mut self, what: &str) {
        let (mut again, mut rotation) = begun(&self.store, &genesis()).unwrap();
        for height in 1..=self.ledger.verifier().height().0 {
            let height = EnterpriseHeight(height);
            replay_block(&self.store, &mut again, &mut rotation, height).unwrap();
        }
        replay_held(&self.store, &mut again, NOW).unwrap();
        assert_eq!(again.log_entries(), self.ledger.log_entries(), "{what}");
        let root = |ledger: &Ledger| ledger.state().state_root();
        assert_eq!(root(&again), root(&self.ledger), "{what}");
        let mut waiting: Vec<_> = self.ledger.pending.iter().collect();
        let mut found: Vec<_> = again.pending.iter().collect();
        waiting.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, waiting, "{what}");
        for (id, tenant) in self.ledger.tenants() {
            let other = &again.tenants()[id];
            assert_eq!(other.state(), tenant.state(), "{what}");
            let page = |tenant: &TenantLedger| tenant.main().page(1, 99);
            assert_eq!(page(other), page(tenant), "{what}");
            assert_eq!(other.chain.tip(), tenant.chain.tip(), "{what}");
        }
        let manifest =
            |ledger: &mut Ledger| ledger.snapshot(&Rotation::default()).unwrap().manifest;
        assert_eq!(manifest(&mut again), manifest(&mut self.ledger), "{what}");
    }
}

#[test]
fn a_restart_in_every_state_changes_nothing() {
    let (mut kept, mut tenant) = (Kept::new(), secret());
    let first = tenant.mine_many(1);
    let after_first = tenant.clone();
    let blocks = tenant.mine_many(2);
    let blocks = tenant.seal_all(&[first, blocks].concat(), 1);
    submit(&mut kept.ledger, &tenant, &blocks).unwrap();
    kept.flush();
    kept.check("accepted");
    kept.decide(NOW);
    kept.check("anchored");
    let due = kept.ledger.next_deadline().unwrap();
    kept.decide(due);
    kept.check("final");
    let fourth = tenant.mine(&["on what will be void"]);
    let lighter = tenant.seal(&fourth, 2);
    submit(&mut kept.ledger, &tenant, &[lighter]).unwrap();
    let reset = tenant.reset(1, 2, blocks[0].hash());
    kept.ledger.accept_reset(reset).unwrap();
    kept.flush();
    kept.check("a reset waits");
    assert_eq!(kept.ledger.pending_resets().count(), 1);
    kept.decide(due.plus_ms(5));
    kept.check("executed, and what is void is in the store still");
    kept.flush();
    kept.check("executed");
    assert!(kept.store.resets().unwrap().is_empty());
    assert!(kept.store.held().unwrap().is_empty());
    let mut new = after_first.fork(3);
    let second = new.mine_many(2);
    let second = new.seal_all(&second, 2);
    submit(&mut kept.ledger, &new, &second).unwrap();
    kept.flush();
    kept.check("new blocks wait");
    kept.decide(due.plus_ms(9));
    let due = kept.ledger.next_deadline().unwrap();
    kept.decide(due);
    kept.check("final anew");
    let reset = new.reset(2, 1, new.chain_id().0);
    kept.ledger.accept_reset(reset).unwrap();
    kept.decide(due.plus_ms(5));
    kept.flush();
    kept.check("nothing final is left");
    assert_eq!(newest(&kept.ledger, &new), None);
}

#[test]
fn a_restored_ledger_goes_on_with_a_private_tenant_and_resets_below_the_snapshot() {
    let (mut whole, steps, blocks) = grown();
    let first = steps[4].reset(1, 3, blocks[1].hash());
    whole.accept_reset(first).unwrap();
    let at = now(&whole);
    decide_at(&mut whole, at);
    let mut new = steps[2].fork(3);
    let third = new.mine_many(2);
    let third = new.seal_all(&third, 2);
    submit(&mut whole, &new, &third[..1]).unwrap();
    let at = now(&whole);
    decide_at(&mut whole, at);
    let due = whole.next_deadline().unwrap();
    decide_at(&mut whole, due);
    submit(&mut whole, &new, &third[1..]).unwrap();
    decide_at(&mut whole, due.plus_ms(1));
    let (proof, bytes) = snapshot(&mut whole);
    let restored = restored(&proof, &bytes).unwrap();
    let mut short = restored.ledger;
    let id = new.chain_id();
    let live: Vec<BodyKey> = restored.bodies.iter().map(|(key, _)| *key).collect();
    assert_eq!(live, [(id, third[1].id())]);
    assert_eq!(short.tenants()[&id].bodies_from(), Height(4));
    let page = |ledger: &Ledger| ledger.tenants()[&id].main().page(1, 9);
    assert_eq!(page(&short), page(&whole));
    assert_eq!(short.log_entries(), whole.log_entries());
    assert_eq!(short.reset_receipt(id, 1), whole.reset_receipt(id, 1));
    // Another report of a final block than the one that counts is not kept, that one is.
    let other = steps[1].clone();
    let genuine = submit(&mut short, &other, &blocks[..1]).unwrap();
    assert_eq!((genuine.blocks, genuine.already_known), (0, 1));
    assert_eq!(short.take_batch().bodies.len(), 1);
    // A reset from below what the snapshot has points of, and blocks on what it leaves.
    let second = new.reset(2, 2, blocks[0].hash());
    let mut anew = steps[1].fork(9);
    let anew_blocks = anew.mine_many(2);
    let anew_blocks = anew.seal_all(&anew_blocks, 1);
    for ledger in [&mut whole, &mut short] {
        ledger.accept_reset(second.clone()).unwrap();
    }
    let mut at = now(&whole);
    for step in 0..4 {
        let (left, right) = (decide_at(&mut whole, at), decide_at(&mut short, at));
        assert_eq!(left, right, "step {step}");
        let manifests = [&mut whole, &mut short].map(|ledger| snapshot(ledger).0.manifest);
        assert_eq!(manifests[0], manifests[1], "step {step}");
        if step == 0 {
            for ledger in [&mut whole, &mut short] {
                submit(ledger, &anew, &anew_blocks).unwrap();
            }
            at = now(&whole);
        } else if let Some(due) = whole.next_deadline() {
            at = due;
        } else {
            break;
        }
    }
    assert_eq!(newest(&short, &anew), Some((3, anew.tip(), 2)));
}
