//! Trees, proofs and what a stranger says of them.

use super::*;
use proptest::prelude::*;

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|i| leaf_hash(&[&i.to_be_bytes()])).collect()
}

#[test]
fn every_leaf_of_small_trees_is_proved_and_only_in_its_place() {
    for size in 1..=33usize {
        let leaves = leaves(size);
        let root = root(&leaves);
        for (index, leaf) in leaves.iter().enumerate() {
            let proof = inclusion_proof(&leaves, index).unwrap();
            let verify =
                |i: usize, n: usize| verify_inclusion(i as u64, n as u64, leaf, &proof, &root);
            assert_eq!(verify(index, size), Ok(()));
            assert!(verify(index + 1, size).is_err());
            assert!(verify(size, size).is_err());
        }
        assert_eq!(inclusion_proof(&leaves, size), None);
    }
}

#[test]
fn every_prefix_of_small_trees_is_consistent() {
    for size in 1..=33usize {
        let leaves = leaves(size);
        for first in 1..=size {
            let proof = consistency_proof(&leaves, first).unwrap();
            let (old, new) = (root(&leaves[..first]), root(&leaves));
            assert_eq!(
                verify_consistency(first as u64, size as u64, &old, &new, &proof),
                Ok(()),
                "{first}/{size}"
            );
            let wrong = Hash([9; 32]);
            assert!(verify_consistency(first as u64, size as u64, &wrong, &new, &proof).is_err());
            assert!(verify_consistency(first as u64, size as u64, &old, &wrong, &proof).is_err());
        }
    }
}

#[test]
fn frontier_and_tree_say_what_the_plain_definition_says_at_every_size() {
    let all = leaves(70);
    let (mut frontier, mut tree) = (Frontier::default(), Tree::default());
    assert_eq!((frontier.root(), tree.root()), (root(&[]), root(&[])));
    for (index, leaf) in all.iter().enumerate() {
        frontier.push(*leaf);
        tree.push(*leaf);
        let size = index + 1;
        assert_eq!(frontier.size(), size as u64);
        assert_eq!(frontier.root(), root(&all[..size]), "{size}");
        assert_eq!(tree.root(), root(&all[..size]), "{size}");
        assert_eq!(Tree::new(all[..size].to_vec()).root(), tree.root());
    }
    for size in 1..=all.len() {
        for index in 0..size {
            let plain = inclusion_proof(&all[..size], index);
            assert_eq!(tree.inclusion(index, size), plain, "{index}/{size}");
            let plain = consistency_proof(&all[..size], index + 1);
            assert_eq!(tree.consistency(index + 1, size), plain, "{index}/{size}");
        }
    }
    assert_eq!(tree.inclusion(70, 70), None);
    assert_eq!(tree.inclusion(0, 71), None);
    assert_eq!(tree.consistency(0, 70), None);
    assert_eq!(tree.consistency(5, 71), None);
}

#[test]
fn replaced_leaves_give_the_root_over_the_new_ones() {
    for size in 1..=40 {
        let mut plain = leaves(size);
        let mut tree = Tree::new(plain.clone());
        let changed: BTreeMap<usize, Hash> = (0..size)
            .step_by(3)
            .map(|i| (i, leaf_hash(&[&[9]])))
            .collect();
        let expected = tree.root_with(&changed);
        for (index, leaf) in changed {
            plain[index] = leaf;
            tree.set(index, leaf);
        }
        assert_eq!(
            (expected, tree.root()),
            (root(&plain), root(&plain)),
            "{size}"
        );
    }
}

proptest! {
    #[test]
    fn whatever_a_stranger_says_is_answered(
        index: u64, size: u64, first: u64, proof in prop::collection::vec(prop::array::uniform32(0u8..).prop_map(Hash), 0..70),
    ) {
        let hash = Hash([1; 32]);
        let _ = verify_inclusion(index, size, &hash, &proof, &hash);
        let _ = verify_consistency(first, size, &hash, &hash, &proof);
    }
}
