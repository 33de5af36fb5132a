//! Finality on the ledger: deadlines, receipts, refused forks, and the same after a replay.

use shared::enterprise::{
    CheckpointError, DecidedBlock, LightClient, LightError, Receipt as FinalReceipt, Split, Trust,
};
use shared::merkle;

use super::tests::{
    Bodies, NOW, START, TestTenant, certificate, genesis, ledger, replayed, submit, tip, validator,
};
use super::*;

/// Decides one block at a time of the clock.
fn decide_at(ledger: &mut Ledger, now: TimestampMs) -> DecidedBlock {
    let hash = ledger
        .propose(now, validator().public_key())
        .unwrap()
        .unwrap();
    let certificate = certificate(ledger, hash);
    let decided = ledger.decide(certificate).unwrap();
    ledger.finish().unwrap();
    decided
}

fn after(tenant: &TestTenant, intervals: u64) -> TimestampMs {
    NOW.plus_ms(intervals * tenant.genesis.rules.interval() + 1)
}

#[test]
fn a_due_deadline_needs_a_block_and_its_receipts_verify() {
    let (mut ledger, mut tenant) = (ledger(), TestTenant::new("shop", 1, START));
    let id = tenant.chain_id();
    let blocks = tenant.mine_many(3);
    submit(&mut ledger, &tenant, &blocks).unwrap();
    decide_at(&mut ledger, NOW);
    let due = ledger.next_deadline().unwrap();
    assert_eq!(due, NOW.plus_ms(tenant.genesis.rules.finality_delay_ms));
    assert!(!ledger.needs_block(due.minus_ms(1)) && ledger.needs_block(due));
    assert!(
        ledger.receipt(id, Height(1), None).is_none(),
        "anchored is not final"
    );
    let decided = decide_at(&mut ledger, due);
    assert!(decided.block().entries().is_empty());
    assert_eq!(
        (decided.block().header().log_size, ledger.next_deadline()),
        (3, None)
    );
    assert!(!ledger.needs_block(after(&tenant, 99)));
    let trust = Trust::new(&genesis(), genesis().hash()).unwrap();
    for block in &blocks {
        let transaction = block.transactions()[0].id();
        let height = ledger.height_of_transaction(id, &transaction).unwrap();
        let receipt = ledger.receipt(id, height, Some(transaction)).unwrap();
        let receipt = FinalReceipt::decode(&receipt.encode()).unwrap();
        let proved = receipt.verify(&trust).unwrap();
        assert_eq!(proved.block().hash(), block.hash());
        assert_eq!(proved.transaction(), Some(&transaction));
    }
    let root = decided.block().header().log_root;
    let leaf = ledger.log_entries()[1].leaf();
    let path = ledger.inclusion(1, 3).unwrap();
    assert_eq!(merkle::verify_inclusion(1, 3, &leaf, &path, &root), Ok(()));
    let older = merkle::root(&[ledger.log_entries()[0].leaf(), leaf]);
    let proof = ledger.consistency(2, 3).unwrap();
    assert_eq!(
        merkle::verify_consistency(2, 3, &older, &root, &proof),
        Ok(())
    );
}

#[test]
fn a_fork_below_the_newest_final_block_is_refused_and_judged_an_incident_everywhere() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut main = TestTenant::new("shop", 1, START);
    let trunk = main.mine_many(1);
    let mut other = main.fork(9);
    let top = main.mine_many(1);
    let mut bodies = Bodies::new();
    let mut decided = Vec::new();
    for ledger in [&mut one, &mut two] {
        submit(ledger, &main, &[trunk.clone(), top.clone()].concat()).unwrap();
        bodies.extend(ledger.take_batch().bodies);
        let mut blocks = vec![decide_at(ledger, NOW)];
        blocks.push(decide_at(ledger, after(&main, 6)));
        decided = blocks;
    }
    let fork = other.mine_many(3);
    let refusal = submit(&mut one, &main, &fork).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::LeavesFinal {
            height: Height(2),
            final_height: Height(2)
        }
    );
    assert!(one.has_pending(), "the refusal is put on record");
    let hash = one
        .propose(after(&main, 7), validator().public_key())
        .unwrap()
        .unwrap();
    let block = one.proposal(&hash).unwrap().clone();
    assert_eq!(two.judge(block, Timeliness::Synced), Judgement::Valid(hash));
    for ledger in [&mut one, &mut two] {
        let certificate = certificate(ledger, hash);
        let last = ledger.decide(certificate).unwrap();
        ledger.finish().unwrap();
        let incidents: Vec<_> = ledger.state().incidents(main.chain_id()).collect();
        assert_eq!(incidents, [&fork[0].hash()]);
        assert_eq!(tip(ledger, &main), (Height(2), main.tip()));
        if decided.len() < 3 {
            decided.push(last);
        }
    }
    assert!(submit(&mut one, &main, &fork[..1]).is_err());
    let at = after(&main, 8);
    let again = one.propose(at, validator().public_key()).unwrap();
    assert_eq!(again, None, "on record once");
    let replay = replayed(decided, &bodies);
    assert_eq!(replay.state().state_root(), one.state().state_root());
    assert_eq!(replay.log_entries(), one.log_entries());
}

#[test]
fn a_pending_branch_that_finality_overtook_leaves_the_queue() {
    let (mut one, mut two) = (ledger(), ledger());
    let mut main = TestTenant::new("shop", 1, START);
    let mut other = main.fork(9);
    let (ours, theirs) = (main.mine_many(1), other.mine_many(2));
    submit(&mut one, &main, &ours).unwrap();
    let decided = [
        decide_at(&mut one, NOW),
        decide_at(&mut one, after(&main, 6)),
    ];
    submit(&mut two, &main, &theirs).unwrap();
    for decided in &decided {
        for key in crate::store::anchored(decided.block()) {
            two.add_body(key.0, &one.body(&key).unwrap()).unwrap();
        }
        let verdict = two.judge(decided.block().clone(), Timeliness::Synced);
        assert_eq!(verdict, Judgement::Valid(decided.block().hash()));
        two.decide(decided.certificate().clone()).unwrap();
        two.finish().unwrap();
    }
    assert_eq!(tip(&two, &main), (Height(1), main.tip()));
    let block = decide_at(&mut two, after(&main, 7));
    assert_eq!(
        block.block().entries().len(),
        1,
        "the lowest is an incident, the rest hangs in the air"
    );
    assert!(!two.has_pending());
    let next = main.mine_many(1);
    submit(&mut two, &main, &next).unwrap();
    decide_at(&mut two, after(&main, 8));
    assert_eq!(tip(&two, &main), (Height(2), main.tip()));
}

/// A ledger with one final block, and the tenant.
fn with_a_final_block() -> (Ledger, TestTenant) {
    let (mut ledger, mut tenant) = (ledger(), TestTenant::new("shop", 1, START));
    let blocks = tenant.mine_many(2);
    submit(&mut ledger, &tenant, &blocks).unwrap();
    decide_at(&mut ledger, NOW);
    decide_at(&mut ledger, after(&tenant, 6));
    (ledger, tenant)
}

#[test]
fn a_light_client_follows_proofs_that_extend_each_other_and_no_others() {
    let (mut ledger, mut tenant) = with_a_final_block();
    let id = tenant.chain_id();
    let mut client = LightClient::new(genesis().hash());
    let first = ledger
        .finality_proof(id, client.log_size())
        .unwrap()
        .encode();
    let block = client.accept(id, &first).unwrap().unwrap();
    assert_eq!((block.height(), client.log_size()), (Height(2), 2));
    assert_eq!(client.signers().len(), 1);
    assert_eq!(client.accept(id, &first), Ok(None), "no news");

    let more = tenant.mine_many(1);
    submit(&mut ledger, &tenant, &more).unwrap();
    decide_at(&mut ledger, after(&tenant, 7));
    decide_at(&mut ledger, after(&tenant, 14));
    let from_nothing = ledger.finality_proof(id, 0).unwrap().encode();
    let wanted = LightError::OtherBase {
        found: 0,
        allowed: 2,
    };
    assert_eq!(client.accept(id, &from_nothing), Err(wanted));
    let second = ledger.finality_proof(id, 2).unwrap().encode();
    let block = client.accept(id, &second).unwrap().unwrap();
    assert_eq!((block.hash(), client.log_size()), (more[0].hash(), 3));
    assert!(matches!(
        client.accept(id, &first),
        Err(LightError::OtherBase { .. } | LightError::Checkpoint(CheckpointError::Older { .. }))
    ));
    assert_eq!(client.log_size(), 3, "a refused proof changes nothing");

    let stranger = ChainId(Hash([9; 32]));
    let mut other = LightClient::new(genesis().hash());
    assert!(matches!(
        other.accept(stranger, &first),
        Err(LightError::OtherTenant { .. })
    ));
    assert!(LightClient::new(Hash([1; 32])).accept(id, &first).is_err());
}

#[test]
fn no_changed_byte_of_a_proof_is_taken() {
    let (ledger, tenant) = with_a_final_block();
    let id = tenant.chain_id();
    let proof = ledger.finality_proof(id, 0).unwrap().encode();
    for at in 0..proof.len() {
        let mut changed = proof.clone();
        changed[at] ^= 1 << (at % 8);
        let taken = LightClient::new(genesis().hash()).accept(id, &changed);
        // The size that the asker knew counts for nothing to one that knows none.
        let is_size = proof.len() - 9 <= at && at < proof.len() - 1;
        assert_eq!(taken.is_ok(), is_size, "byte {at} of {}", proof.len());
    }
    for length in 0..proof.len() {
        let cut = &proof[..length];
        assert!(LightClient::new(genesis().hash()).accept(id, cut).is_err());
    }
}

#[test]
fn two_decided_blocks_of_one_height_are_shown_as_a_split() {
    let (mut one, mut tenant) = with_a_final_block();
    let (mut two, _) = with_a_final_block();
    let id = tenant.chain_id();
    let block = tenant.mine_many(1);
    submit(&mut one, &tenant, &block).unwrap();
    submit(&mut two, &tenant, &block).unwrap();
    decide_at(&mut one, after(&tenant, 7));
    decide_at(&mut two, after(&tenant, 8));
    let mut client = LightClient::new(genesis().hash());
    client
        .accept(id, &one.finality_proof(id, 0).unwrap().encode())
        .unwrap();
    let contradiction = two.finality_proof(id, 2).unwrap().encode();
    let Err(LightError::Split { proof, .. }) = client.accept(id, &contradiction) else {
        panic!("not noticed")
    };
    assert_eq!(proof.culprits(), [validator().public_key()]);
    no_changed_byte_shows_a_split(&proof);
}

fn no_changed_byte_shows_a_split(split: &Split) {
    let (bytes, pinned) = (split.bytes(), genesis().hash());
    assert_eq!(Split::decode(bytes, pinned).as_ref(), Ok(split));
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1 << (at % 8);
        let shown = Split::decode(&changed, pinned);
        assert!(shown.is_err(), "byte {at} may be changed");
        assert!(Split::decode(&bytes[..at], pinned).is_err());
    }
}
