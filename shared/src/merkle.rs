//! RFC 6962 Merkle trees: roots, inclusion and consistency proofs, one verify path for each.
//!
//! Trees are over leaf hashes; domain tags are part of the leaf data. Verification takes what a stranger says (index,
//! sizes, proof) and answers with an error, whatever it is.

use alloc::vec::Vec;

use crate::hash::{Hash, sha256};

/// Hash of a leaf: SHA-256(0x00 ‖ data).
#[must_use]
pub fn leaf_hash(parts: &[&[u8]]) -> Hash {
    let mut all: Vec<&[u8]> = Vec::with_capacity(parts.len().saturating_add(1));
    all.push(&[0]);
    all.extend_from_slice(parts);
    sha256(&all)
}

/// Hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], &left.0, &right.0])
}

/// Root of the tree over these leaf hashes; SHA-256 of nothing for none.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Audit path of the leaf at `index`, lowest sibling first; none if there is no such leaf.
#[must_use]
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut part, mut index) = (leaves, index);
    while part.len() > 1 {
        let at = split(part.len());
        let (left, right) = part.split_at(at);
        if index < at {
            proof.push(root(right));
            part = left;
        } else {
            proof.push(root(left));
            part = right;
            index -= at;
        }
    }
    proof.reverse();
    Some(proof)
}

/// Verifies that `leaf` is at `index` in the tree of `size` leaves with this root.
///
/// # Errors
/// The index is outside the tree, the proof has another length, or it leads to another root.
pub fn verify_inclusion(
    index: u64,
    size: u64,
    leaf: &Hash,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { found: index, size });
    }
    // RFC 9162, section 2.1.3.2.
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length { found: proof.len() });
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length { found: proof.len() });
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root {
            found: hash,
            wanted: *root,
        })
    }
}

/// Proof that the tree over the first `first` leaves is a prefix of the tree over all; none unless 0 < first ≤ all.
#[must_use]
pub fn consistency_proof(leaves: &[Hash], first: usize) -> Option<Vec<Hash>> {
    if first == 0 || first > leaves.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut part, mut first, mut whole) = (leaves, first, true);
    // RFC 6962, section 2.1.2, unrolled from the root down.
    while first < part.len() {
        let at = split(part.len());
        let (left, right) = part.split_at(at);
        if first <= at {
            proof.push(root(right));
            part = left;
        } else {
            proof.push(root(left));
            part = right;
            first -= at;
            whole = false;
        }
    }
    if !whole {
        proof.push(root(part));
    }
    proof.reverse();
    Some(proof)
}

/// Verifies that the tree (first, first_root) is a prefix of the tree (second, second_root).
///
/// An empty first tree is a prefix of every tree; its proof is empty and its root SHA-256 of nothing.
///
/// # Errors
/// The sizes are not in order, the proof has another length, or it leads to another root.
pub fn verify_consistency(
    first: u64,
    second: u64,
    first_root: &Hash,
    second_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if first > second {
        return Err(ProofError::Index {
            found: first,
            size: second,
        });
    }
    if first == 0 || first == second {
        let wanted = if first == 0 {
            sha256(&[])
        } else {
            *second_root
        };
        return match proof {
            [] => same(first_root, &wanted),
            _ => Err(ProofError::Length { found: proof.len() }),
        };
    }
    let (seed, path) = if first.is_power_of_two() {
        (*first_root, proof)
    } else {
        let (seed, path) = proof.split_first().ok_or(ProofError::Length { found: 0 })?;
        (*seed, path)
    };
    verify_consistency_path(first, second, (first_root, second_root), seed, path)
}

// RFC 9162, section 2.1.4.2, from step 4 on.
fn verify_consistency_path(
    first: u64,
    second: u64,
    roots: (&Hash, &Hash),
    seed: Hash,
    path: &[Hash],
) -> Result<(), ProofError> {
    let (mut node, mut last) = (first - 1, second - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old, mut new) = (seed, seed);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Length { found: path.len() });
        }
        if node & 1 == 1 || node == last {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length { found: path.len() });
    }
    same(&old, roots.0)?;
    same(&new, roots.1)
}

fn same(found: &Hash, wanted: &Hash) -> Result<(), ProofError> {
    if found == wanted {
        Ok(())
    } else {
        Err(ProofError::Root {
            found: *found,
            wanted: *wanted,
        })
    }
}

/// The largest power of two below `len`, for `len` ≥ 2.
const fn split(len: usize) -> usize {
    1 << (len - 1).ilog2()
}

/// A proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The index or the smaller size is outside the tree.
    #[error("{found} is outside a tree of {size} leaves")]
    Index {
        /// The index or size.
        found: u64,
        /// The tree's size.
        size: u64,
    },
    /// Too few or too many hashes.
    #[error("a proof of {found} hashes does not fit these sizes")]
    Length {
        /// How many.
        found: usize,
    },
    /// The proof leads elsewhere.
    #[error("the proof leads to root {found}, not {wanted}")]
    Root {
        /// Where it leads.
        found: Hash,
        /// The root given.
        wanted: Hash,
    },
}

#[cfg(test)]
mod tests {
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
                assert!(
                    verify_consistency(first as u64, size as u64, &wrong, &new, &proof).is_err()
                );
                assert!(
                    verify_consistency(first as u64, size as u64, &old, &wrong, &proof).is_err()
                );
            }
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
}
