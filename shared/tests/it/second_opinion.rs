//! The crate `ct-merkle`, another implementation of RFC 9162's trees, as a second opinion on ours: it makes the same roots and the
//! same proofs, and takes ours.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use sha2::Sha256;
use shared::hash::Hash;
use shared::merkle;

const LEAVES: u64 = 130;

fn data(index: u64) -> Vec<u8> {
    index.to_be_bytes().to_vec()
}

fn digests(proof: &[Hash]) -> Vec<sha2::digest::Output<Sha256>> {
    proof.iter().map(|hash| hash.0.into()).collect()
}

#[test]
fn another_implementation_makes_the_same_roots_and_proofs_and_takes_ours() {
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut ours = merkle::Tree::default();
    let mut leaves = Vec::new();
    let mut roots = Vec::new();
    for size in 1..=LEAVES {
        let leaf = merkle::leaf_hash(&[&data(size)]);
        theirs.push(data(size));
        ours.push(leaf);
        leaves.push(leaf);
        roots.push(theirs.root());
        let root = theirs.root();
        assert_eq!(root.as_bytes().as_slice(), merkle::root(&leaves).0);
        let size = leaves.len();
        for index in 0..size {
            let proof = ours.inclusion(index, size).unwrap();
            assert_eq!(
                theirs.prove_inclusion(index).as_bytes(),
                proof.iter().flat_map(|hash| hash.0).collect::<Vec<_>>()
            );
            let proof = InclusionProof::<Sha256>::from_digests(digests(&proof).iter());
            let place = u64::try_from(index).unwrap();
            assert!(
                root.verify_inclusion(&data(place + 1), place, &proof)
                    .is_ok()
            );
            assert!(root.verify_inclusion(&data(place), place, &proof).is_err());
        }
        for first in 1..size {
            let proof = ours.consistency(first, size).unwrap();
            assert_eq!(
                theirs.prove_consistency(size - first).as_bytes(),
                proof.iter().flat_map(|hash| hash.0).collect::<Vec<_>>()
            );
            let proof = ConsistencyProof::<Sha256>::from_digests(digests(&proof).iter());
            assert!(root.verify_consistency(&roots[first - 1], &proof).is_ok());
        }
    }
}
