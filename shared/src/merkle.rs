//! RFC 6962 Merkle trees: roots, inclusion and consistency proofs, one verify path for each.
//!
//! Trees are over leaf hashes; domain tags are part of the leaf data. Verification takes what a stranger says (index,
//! sizes, proof) and answers with an error, whatever it is.

use alloc::{collections::BTreeMap, vec::Vec};

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

/// On which side of a node its sibling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The sibling is to the left.
    Left,
    /// The sibling is to the right.
    Right,
}

/// The audit path of the leaf at `index` with the sides of its siblings, lowest first; none if there is no such leaf.
///
/// For trees whose size the verifier does not know: the sides say what index and size would.
#[must_use]
pub fn path(leaves: &[Hash], index: usize) -> Option<Vec<(Side, Hash)>> {
    let proof = inclusion_proof(leaves, index)?;
    let (mut sides, mut from, mut to) = (Vec::new(), 0, leaves.len());
    while to - from > 1 {
        let at = from + split(to - from);
        if index < at {
            sides.push(Side::Right);
            to = at;
        } else {
            sides.push(Side::Left);
            from = at;
        }
    }
    sides.reverse();
    Some(sides.into_iter().zip(proof).collect())
}

/// Verifies that `leaf` is in the tree with this root.
///
/// # Errors
/// The path leads to another root.
pub fn verify_path(leaf: &Hash, path: &[(Side, Hash)], root: &Hash) -> Result<(), ProofError> {
    let found = path.iter().fold(*leaf, |node, (side, sibling)| match side {
        Side::Left => node_hash(sibling, &node),
        Side::Right => node_hash(&node, sibling),
    });
    same(&found, root)
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

/// A growing tree without its leaves: its size and the roots of its perfect parts, largest first.
///
/// At most 64 hashes, whatever the size; enough to append and to say the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    parts: Vec<Hash>,
}

impl Frontier {
    /// The leaves appended so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.parts.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.parts.push(node);
        self.size = self.size.saturating_add(1);
    }

    /// The root of the tree over all leaves appended so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut parts = self.parts.iter().rev();
        let Some(smallest) = parts.next() else {
            return root(&[]);
        };
        parts.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

/// A tree with all its nodes: a changed leaf costs its path, a proof for any size some of its nodes.
///
/// `levels[0]` are the leaves; a node above is the hash of two, and a last one without a sibling goes up as it is.
#[derive(Debug, Clone, Default)]
pub struct Tree {
    levels: Vec<Vec<Hash>>,
}

impl Tree {
    /// The tree over these leaf hashes.
    #[must_use]
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = alloc::vec![leaves];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(pair_hash).collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The leaves.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        let index = self.leaves().len();
        match self.levels.first_mut() {
            Some(leaves) => leaves.push(leaf),
            None => self.levels.push(alloc::vec![leaf]),
        }
        self.renew(index);
    }

    /// Replaces a leaf hash; one that is not there stays so.
    pub fn set(&mut self, index: usize, leaf: Hash) {
        if let Some(place) = self
            .levels
            .first_mut()
            .and_then(|leaves| leaves.get_mut(index))
        {
            *place = leaf;
            self.renew(index);
        }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_else(|| root(&[]))
    }

    /// The root with some leaves replaced.
    #[must_use]
    pub fn root_with(&self, changed: &BTreeMap<usize, Hash>) -> Hash {
        let mut nodes = changed.clone();
        for level in self.levels.iter().take(self.levels.len().saturating_sub(1)) {
            let node = |index: usize| nodes.get(&index).or_else(|| level.get(index)).copied();
            let mut above = BTreeMap::new();
            for index in nodes.keys().map(|index| index & !1) {
                let hash = match (node(index), node(index.saturating_add(1))) {
                    (Some(left), Some(right)) => node_hash(&left, &right),
                    (Some(lone), None) => lone,
                    (None, _) => continue,
                };
                above.insert(index >> 1, hash);
            }
            nodes = above;
        }
        nodes.get(&0).copied().unwrap_or_else(|| self.root())
    }

    /// The audit path of a leaf in the tree over the first `size` leaves; none if it is not in it or that is not here.
    #[must_use]
    pub fn inclusion(&self, index: usize, size: usize) -> Option<Vec<Hash>> {
        if index >= size || size > self.leaves().len() {
            return None;
        }
        let mut proof = Vec::new();
        let (mut from, mut to) = (0, size);
        while to - from > 1 {
            let at = from + split(to - from);
            if index < at {
                proof.push(self.range(at, to));
                to = at;
            } else {
                proof.push(self.range(from, at));
                from = at;
            }
        }
        proof.reverse();
        Some(proof)
    }

    /// The proof that the first `old` leaves are a prefix of the first `new`; none unless 0 < old ≤ new ≤ all.
    #[must_use]
    pub fn consistency(&self, old: usize, new: usize) -> Option<Vec<Hash>> {
        if old == 0 || old > new || new > self.leaves().len() {
            return None;
        }
        let mut proof = Vec::new();
        let (mut from, mut to, mut whole) = (0, new, true);
        while old < to {
            let at = from + split(to - from);
            if old <= at {
                proof.push(self.range(at, to));
                to = at;
            } else {
                proof.push(self.range(from, at));
                from = at;
                whole = false;
            }
        }
        if !whole {
            proof.push(self.range(from, to));
        }
        proof.reverse();
        Some(proof)
    }

    /// The root over the leaves from `from` to below `to`, which lie as an RFC 6962 split leaves them.
    fn range(&self, from: usize, to: usize) -> Hash {
        let len = to.saturating_sub(from);
        if len.is_power_of_two() {
            let level = self
                .levels
                .get(usize::try_from(len.ilog2()).unwrap_or(usize::MAX));
            let node = level.and_then(|level| level.get(from / len));
            return node.copied().unwrap_or(Hash::ZERO);
        }
        let at = from + split(len);
        node_hash(&self.range(from, at), &self.range(at, to))
    }

    /// Computes the nodes above a leaf anew.
    fn renew(&mut self, index: usize) {
        let (mut index, mut height) = (index, 0);
        while let Some(level) = self.levels.get(height).filter(|level| level.len() > 1) {
            let first = index & !1;
            let end = level.len().min(first.saturating_add(2));
            let hash = pair_hash(level.get(first..end).unwrap_or_default());
            (index, height) = (index >> 1, height.saturating_add(1));
            match self.levels.get_mut(height) {
                Some(above) => match above.get_mut(index) {
                    Some(place) => *place = hash,
                    None => above.push(hash),
                },
                None => {
                    // A new top: its other node is the top so far.
                    self.levels.push(alloc::vec![hash]);
                }
            }
        }
    }
}

/// A node over one or two.
fn pair_hash(pair: &[Hash]) -> Hash {
    match pair {
        [left, right] => node_hash(left, right),
        [lone] => *lone,
        _ => Hash::ZERO,
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
mod tests;
