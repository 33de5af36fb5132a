//! Receipts and checkpoints: what proves finality, and that nothing else does.

use super::tests::{anchor, certificate, decided, genesis, header, tenant};
use super::*;
use crate::block::transaction_leaf;
use crate::genesis::Genesis;
use crate::hash::Hash;
use crate::header::Header;
use crate::ids::{NetworkId, TimestampMs};
use crate::merkle::{self, Tree};

/// Two tenants of four validators, five blocks each, all final.
struct World {
    genesis: EnterpriseGenesis,
    trust: Trust,
    tenants: [Genesis; 2],
    headers: [Vec<Header>; 2],
    transactions: Vec<Hash>,
    finals: Vec<FinalBlock>,
    tree: Tree,
    /// Each decided block with the verifier before it.
    blocks: Vec<(Verifier, EnterpriseBlock)>,
}

fn world(validators: u8) -> World {
    let genesis = genesis(validators);
    let mut other = tenant();
    other.network_id = NetworkId::parse("cafe").unwrap();
    let tenants = [tenant(), other];
    let transactions: Vec<Hash> = (0..5).map(|mark| Hash([mark; 32])).collect();
    let leaves: Vec<Hash> = transactions.iter().map(transaction_leaf).collect();
    let mut entries = Vec::new();
    let headers = tenants.each_ref().map(|tenant| {
        let id = tenant.chain_id();
        entries.push(Entry::TenantRegistered(Box::new(tenant.clone())));
        let (mut previous, mut headers) = (id.0, Vec::new());
        for height in 1..=5 {
            let header = Header {
                body_root: merkle::root(&leaves),
                ..header(height, previous, height)
            };
            previous = header.hash();
            entries.push(anchor(id, &header));
            headers.push(header);
        }
        headers
    });
    let mut world = World {
        trust: Trust::new(&genesis, genesis.hash()).unwrap(),
        genesis,
        tenants,
        headers,
        transactions,
        finals: Vec::new(),
        tree: Tree::default(),
        blocks: Vec::new(),
    };
    world.build(entries, validators);
    world
}

impl World {
    /// One block with everything, then two in which all becomes final.
    fn build(&mut self, entries: Vec<Entry>, validators: u8) {
        let mut state = Tenants::new(&self.genesis);
        let mut verifier = Verifier::new(&self.genesis);
        let delay = self.tenants[0].rules.finality_delay_ms;
        for (wait, entries) in [(5_000, entries), (delay, vec![]), (1, vec![])] {
            let now = verifier.time().plus_ms(wait);
            let effects = state
                .execute(EnterpriseHeader::VERSION, now, &entries)
                .unwrap();
            let data_root = EnterpriseBlock::data_root(&entries);
            let proposer = self.genesis.validators().validators()[0].key;
            let header = verifier.next_header(now, data_root, &effects, proposer);
            let block = EnterpriseBlock::new(header, entries).unwrap();
            self.finals.extend(effects.finals());
            for final_block in effects.finals() {
                self.tree.push(final_block.leaf());
            }
            state.apply(effects);
            let signed = certificate(&verifier, &block, 1..=validators);
            self.blocks.push((verifier.clone(), block.clone()));
            verifier.advance(block, signed).unwrap();
        }
    }

    fn checkpoint(&self, index: usize, signers: &[u8]) -> Checkpoint {
        let (verifier, block) = &self.blocks[index];
        Checkpoint {
            header: block.header().clone(),
            certificate: certificate(verifier, block, signers.iter().copied()),
        }
    }

    /// The receipt of a tenant's block with a transaction, by the validators `signers`.
    fn receipt(&self, tenant: usize, height: usize, signers: &[u8]) -> Receipt {
        let (chain_id, header) = (
            self.tenants[tenant].chain_id(),
            &self.headers[tenant][height - 1],
        );
        let index = self
            .finals
            .iter()
            .position(|block| block.hash() == header.hash())
            .unwrap();
        let leaves: Vec<Hash> = self.transactions.iter().map(transaction_leaf).collect();
        Receipt {
            transaction: Some((self.transactions[3], merkle::path(&leaves, 3).unwrap())),
            chain_id,
            header: header.clone(),
            work: self.finals[index].work(),
            resets: 0,
            index: u64::try_from(index).unwrap(),
            path: self.tree.inclusion(index, self.finals.len()).unwrap(),
            checkpoint: self.checkpoint(2, signers),
        }
    }
}

#[test]
fn a_receipt_comes_back_from_its_bytes_and_proves_its_block_and_transaction() {
    for validators in [1, 4, 7] {
        let world = world(validators);
        assert_eq!(world.finals.len(), 10);
        let quorum = u8::try_from(quorum(usize::from(validators))).unwrap();
        let signers: Vec<u8> = (1..=quorum).collect();
        for (tenant, height) in [(0, 1), (0, 5), (1, 3)] {
            let receipt = world.receipt(tenant, height, &signers);
            let bytes = receipt.encode();
            assert!(bytes.len() <= RECEIPT_BYTES_MAX);
            assert_eq!(Receipt::decode(&bytes), Ok(receipt.clone()));
            let proved = receipt.verify(&world.trust).unwrap();
            assert_eq!(
                proved.block().hash(),
                world.headers[tenant][height - 1].hash()
            );
            assert_eq!(proved.block().chain_id(), world.tenants[tenant].chain_id());
            assert_eq!(proved.transaction(), Some(&world.transactions[3]));
            assert_eq!(
                (proved.height().0, proved.signers().len()),
                (3, usize::from(quorum))
            );
            let bare = Receipt {
                transaction: None,
                ..receipt
            };
            assert_eq!(Receipt::decode(&bare.encode()), Ok(bare.clone()));
            assert_eq!(bare.verify(&world.trust).unwrap().transaction(), None);
        }
    }
}

/// Whether bytes are taken for a receipt of this trust root.
fn is_taken(bytes: &[u8], trust: &Trust) -> bool {
    Receipt::decode(bytes).is_ok_and(|receipt| receipt.verify(trust).is_ok())
}

#[test]
fn no_mutated_receipt_is_accepted() {
    let world = world(4);
    let receipt = world.receipt(0, 2, &[1, 2, 4]);
    let bytes = receipt.encode();
    assert!(is_taken(&bytes, &world.trust));
    let (mut tried, mut accepted) = (0_u32, 0_u32);
    let mut attempt = |bytes: &[u8]| {
        tried += 1;
        accepted += u32::from(is_taken(bytes, &world.trust));
    };
    for at in 0..bytes.len() {
        let mut mutated = bytes.clone();
        for bit in 0..8 {
            mutated[at] = bytes[at] ^ (1 << bit);
            attempt(&mutated);
        }
        for added in [3, 7, 100] {
            mutated[at] = bytes[at].wrapping_add(added);
            attempt(&mutated);
        }
        attempt(&bytes[..at]);
        let mut longer = bytes.clone();
        longer.insert(at, bytes[at] ^ 1);
        attempt(&longer);
        let mut shorter = bytes.clone();
        shorter.remove(at);
        attempt(&shorter);
    }
    attempt(&[bytes.as_slice(), &[0]].concat());
    for swapped in swapped(&world, &receipt) {
        attempt(&swapped.encode());
    }
    assert!(tried >= 10_000, "{tried} are too few");
    println!("figure receipts_mutated_tried {tried} count");
    println!("figure receipts_mutated_accepted {accepted} count");
    assert_eq!(accepted, 0);
}

/// Receipts with well-formed parts that do not belong together.
fn swapped(world: &World, receipt: &Receipt) -> Vec<Receipt> {
    let change = |changes: &dyn Fn(&mut Receipt)| {
        let mut changed = receipt.clone();
        changes(&mut changed);
        changed
    };
    let other_block = world.receipt(0, 3, &[1, 2, 4]);
    let other_tenant = world.receipt(1, 2, &[1, 2, 4]);
    let same_set_elsewhere = {
        let (verifier, block) = &world.blocks[1];
        certificate(verifier, block, [1, 2, 4])
    };
    vec![
        change(&|r| r.header = other_block.header.clone()),
        change(&|r| r.work = other_block.work),
        change(&|r| r.index = other_block.index),
        change(&|r| r.path = other_block.path.clone()),
        change(&|r| r.chain_id = other_tenant.chain_id),
        change(&|r| r.header = other_tenant.header.clone()),
        change(&|r| r.checkpoint = world.checkpoint(0, &[1, 2, 4])),
        change(&|r| r.checkpoint.certificate = same_set_elsewhere.clone()),
        change(&|r| r.checkpoint = world.checkpoint(2, &[1, 2])),
        change(&|r| r.checkpoint = world.checkpoint(2, &[])),
        change(&|r| {
            let first = r.checkpoint.certificate.signatures[0];
            r.checkpoint.certificate.signatures[1] = first;
        }),
        change(&|r| r.checkpoint.certificate.signatures.swap(0, 1)),
        change(&|r| r.checkpoint.certificate.signatures[2].0 = 7),
        change(&|r| r.transaction.as_mut().unwrap().0 = world.transactions[2]),
        change(&|r| r.transaction.as_mut().unwrap().1.clear()),
    ]
}

#[test]
fn a_receipt_of_another_enterprise_or_validator_set_proves_nothing() {
    let (ours, theirs) = (world(4), world(7));
    let receipt = theirs.receipt(0, 1, &[1, 2, 3, 4, 5]);
    assert!(receipt.verify(&theirs.trust).is_ok());
    assert!(matches!(
        receipt.verify(&ours.trust),
        Err(ReceiptError::Enterprise(EnterpriseError::Mismatch { .. }))
    ));
    let pinned = ours.genesis.hash();
    assert!(Trust::new(&theirs.genesis, pinned).is_err());
    // The same validators under another chain: the signatures cover the chain.
    let later = EnterpriseGenesis::new(
        NetworkId::parse("other").unwrap(),
        TimestampMs(1),
        ours.genesis.validators().clone(),
    );
    let other = Trust::new(&later, later.hash()).unwrap();
    let receipt = ours.receipt(0, 1, &[1, 2, 3]);
    assert!(matches!(
        receipt.verify(&other),
        Err(ReceiptError::Enterprise(EnterpriseError::Signature(_)))
    ));
}

#[test]
fn a_newer_checkpoint_must_hold_all_that_an_older_one_held() {
    let world = world(4);
    let [first, second, third] = [0, 1, 2].map(|index| world.checkpoint(index, &[1, 2, 3]));
    assert_eq!((first.header.log_size, second.header.log_size), (0, 10));
    assert_eq!(Checkpoint::decode(&third.encode()), Ok(third.clone()));
    assert_eq!(second.verify_after(&first, &[], &world.trust), Ok(()));
    assert_eq!(third.verify_after(&second, &[], &world.trust), Ok(()));
    assert_eq!(
        first.verify_after(&second, &[], &world.trust),
        Err(CheckpointError::Older { found: 1, known: 2 })
    );
    let mut older = second.clone();
    older.header.log_size = 6;
    older.header.log_root = merkle::root(&world.tree.leaves()[..6]);
    let proof = world.tree.consistency(6, 10).unwrap();
    assert_eq!(third.verify_after(&older, &proof, &world.trust), Ok(()));
    older.header.log_root = Hash([5; 32]);
    assert!(matches!(
        third.verify_after(&older, &proof, &world.trust),
        Err(CheckpointError::Inconsistent(_))
    ));
}

#[test]
fn two_decided_headers_at_one_height_are_a_proof_of_a_split_that_names_who_signed_both() {
    let world = world(4);
    let (verifier, block) = &world.blocks[0];
    let first = world.checkpoint(0, &[1, 2, 3]);
    let (other, signed) = decided(verifier, &Tenants::new(&world.genesis), vec![], [2, 3, 4]);
    assert_ne!(other.hash(), block.hash());
    let second = Checkpoint {
        header: other.header().clone(),
        certificate: signed,
    };
    let proof = SplitProof::new(first.clone(), second.clone(), &world.trust).unwrap();
    assert_eq!(proof.culprits(&world.trust).len(), 2);
    assert_eq!(SplitProof::decode(&proof.encode(), &world.trust), Ok(proof));
    assert_eq!(
        second.verify_after(&first, &[], &world.trust),
        Err(CheckpointError::Split { height: 1 })
    );
    let again = world.checkpoint(0, &[2, 3, 4]);
    let same = SplitProof::new(first.clone(), again, &world.trust);
    assert_eq!(same, Err(EnterpriseError::NoSplit(block.hash())));
    let later = world.checkpoint(1, &[1, 2, 3]);
    assert!(SplitProof::new(first.clone(), later, &world.trust).is_err());
    let mut forged = second;
    forged.certificate.signatures.truncate(2);
    assert!(SplitProof::new(first, forged, &world.trust).is_err());
}
