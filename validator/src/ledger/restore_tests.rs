//! A ledger from a snapshot is the one that executed everything.

use shared::enterprise::{EnterpriseBlock, SnapshotManifest, SnapshotProof, Trust};

use super::tests::{NOW, START, TestTenant, certificate, genesis, ledger, submit, tip, validator};
use super::*;
use crate::replica::Rotation;

pub(super) fn decide_at(ledger: &mut Ledger, now: TimestampMs) -> EnterpriseBlock {
    let proposed = ledger.propose(now, validator().public_key()).unwrap();
    let certificate = certificate(ledger, proposed.unwrap());
    let decided = ledger.decide(certificate).unwrap();
    ledger.finish().unwrap();
    decided.block().clone()
}

/// A snapshot as a validator alone signs it, with all its bytes.
pub(super) fn snapshot(ledger: &mut Ledger) -> (SnapshotProof, Vec<u8>) {
    let made = ledger.snapshot(&Rotation::default()).unwrap();
    let root = made.manifest.root();
    let chain = ledger.verifier().chain_id();
    let signature = SnapshotManifest::sign(&root, &validator(), chain);
    let proof = SnapshotProof {
        links: ledger.links().to_vec(),
        checkpoint: ledger.checkpoint().unwrap(),
        manifest: made.manifest,
        signatures: vec![(0, signature)],
    };
    let bytes = made.chunks.into_iter().flat_map(|(_, chunk)| chunk);
    (proof, bytes.collect())
}

/// Final blocks, a branch that was replaced, one above it that is not final, a tenant without a final block.
fn full() -> (Ledger, TestTenant, TestTenant) {
    let mut ledger = ledger();
    let (mut shop, mut notary) = (
        TestTenant::new("shop", 1, START),
        TestTenant::new("shop", 2, START),
    );
    submit(&mut ledger, &shop, &shop.clone().mine_many(3)).unwrap();
    shop.mine_many(3);
    decide_at(&mut ledger, NOW);
    let due = ledger.next_deadline().unwrap();
    decide_at(&mut ledger, due);
    let replaced = shop.fork(7).mine_many(2);
    submit(&mut ledger, &shop, &replaced).unwrap();
    let blocks = notary.mine_many(1);
    submit(&mut ledger, &notary, &blocks).unwrap();
    decide_at(&mut ledger, due.plus_ms(10));
    let heavier = shop.mine_many(3);
    submit(&mut ledger, &shop, &heavier).unwrap();
    decide_at(&mut ledger, due.plus_ms(20));
    (ledger, shop, notary)
}

pub(super) fn restored(proof: &SnapshotProof, bytes: &[u8]) -> Result<Restored, RestoreError> {
    let proof = SnapshotProof::decode(&proof.encode()).unwrap();
    Ledger::restore(&genesis(), &proof, bytes, Signatures::Verify)
}

#[test]
fn a_restored_ledger_goes_on_as_the_one_that_executed_everything() {
    let (mut whole, mut shop, mut notary) = full();
    let (proof, bytes) = snapshot(&mut whole);
    let mut short = restored(&proof, &bytes).unwrap().ledger;
    assert_eq!(snapshot(&mut short).0.manifest, proof.manifest);
    assert_eq!(short.transactions(), whole.transactions());
    let names = |ledger: &Ledger| ledger.names.clone();
    assert_eq!(names(&short), names(&whole));
    // A branch from the middle, what follows the tips, and a fork below the newest final block.
    let fork = TestTenant::new("shop", 1, START).fork(9).mine_many(1);
    let (more, others) = (shop.mine_many(2), notary.mine_many(2));
    for ledger in [&mut whole, &mut short] {
        submit(ledger, &shop, &more).unwrap();
        submit(ledger, &notary, &others).unwrap();
        assert!(matches!(
            submit(ledger, &shop, &fork),
            Err(Refusal::LeavesFinal { .. })
        ));
    }
    let mut now = NOW.plus_ms(200_000);
    for _ in 0..4 {
        now = now.plus_ms(100_000);
        if !whole.needs_block(now) {
            break;
        }
        let (left, right) = (decide_at(&mut whole, now), decide_at(&mut short, now));
        assert_eq!(left, right);
        let manifests = [&mut whole, &mut short].map(|ledger| snapshot(ledger).0.manifest);
        assert_eq!(manifests[0], manifests[1]);
    }
    assert_eq!(tip(&short, &shop), tip(&whole, &shop));
    assert_eq!(short.state().incidents(shop.chain_id()).count(), 1);
    assert_eq!(short.log_entries(), whole.log_entries());
}

#[test]
fn receipts_of_old_blocks_are_made_without_their_bodies() {
    let (mut whole, shop, _) = full();
    let (proof, bytes) = snapshot(&mut whole);
    let short = restored(&proof, &bytes).unwrap().ledger;
    let trust = Trust::new(&genesis(), genesis().hash()).unwrap();
    let id = shop.chain_id();
    for height in (1..=3).map(Height) {
        let receipt = short.receipt(id, height, None).unwrap();
        receipt.verify(&trust).unwrap();
        let transaction = whole.tenants()[&id].chain.open().unwrap();
        let transaction = transaction.block_at(height).unwrap();
        let transaction = transaction.transactions()[0].id();
        assert!(whole.receipt(id, height, Some(transaction)).is_some());
        assert!(short.receipt(id, height, Some(transaction)).is_none());
    }
    assert_eq!(short.consistency(1, 3), whole.consistency(1, 3));
}

#[test]
fn a_body_that_a_snapshot_left_out_is_taken_again() {
    let (mut whole, shop, _) = full();
    let (proof, bytes) = snapshot(&mut whole);
    let mut short = restored(&proof, &bytes).unwrap().ledger;
    let chain = whole.tenants()[&shop.chain_id()].chain.open().unwrap();
    let block = chain.block_at(Height(1)).unwrap().clone();
    let receipt = submit(&mut short, &shop, std::slice::from_ref(&block)).unwrap();
    assert_eq!((receipt.blocks, receipt.already_known), (0, 1));
    assert!(!short.has_pending());
    let batch = short.take_batch();
    assert_eq!(
        batch.bodies,
        [((shop.chain_id(), block.hash()), block.encode())]
    );
    assert!(batch.hold.is_empty());
}

#[test]
fn no_changed_byte_of_a_proof_of_a_snapshot_is_taken() {
    let (mut whole, ..) = full();
    let (proof, bytes) = snapshot(&mut whole);
    let encoded = proof.encode();
    for index in 0..encoded.len() {
        let mut changed = encoded.clone();
        changed[index] ^= 1;
        let taken = SnapshotProof::decode(&changed);
        let taken = taken.and_then(|proof| proof.verify(&genesis()));
        assert!(taken.is_err(), "byte {index}");
    }
    for length in 0..encoded.len() {
        assert!(SnapshotProof::decode(&encoded[..length]).is_err());
    }
    // The chunks are under the root; what is cut is noticed all the same, and nothing panics.
    for length in (0..bytes.len()).step_by(7) {
        assert!(restored(&proof, &bytes[..length]).is_err(), "{length}");
    }
    for index in (0..bytes.len()).step_by(11) {
        let mut changed = bytes.clone();
        changed[index] ^= 0x10;
        drop(restored(&proof, &changed));
    }
}

#[test]
fn history_is_hashed_and_handed_over_once() {
    let (mut whole, ..) = full();
    assert!(whole.take_history().is_empty(), "not a chunk yet");
    let (proof, _) = snapshot(&mut whole);
    assert_eq!(proof.manifest.shared_chunks(), 0);
    let long = vec![7; 3 * history::CHUNK_BYTES];
    let mut grown = history::History::continued(Vec::new(), Vec::new());
    grown.stored(1);
    grown.extend(&long);
    let handed: Vec<u32> = grown
        .take_unstored()
        .iter()
        .map(|(index, _)| *index)
        .collect();
    assert_eq!((handed, grown.chunks().len()), (vec![1, 2], 3));
    assert!(grown.take_unstored().is_empty() && grown.tail().is_empty());
}
