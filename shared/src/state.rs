//! The state after a block as a compact sparse Merkle map; its root is in every header.
//!
//! Byte-exact definition. Keys are 256 bits, read from the most significant bit of the first byte. The value now kept is
//! each sender's next sequence number: key = SHA-256("distli/state/sequence/1" ‖ sender), value = u64 big-endian; number
//! 0 is absence. The root of a set of entries is
//!
//! - no entry: 32 zero bytes;
//! - one entry: SHA-256(0x00 ‖ key ‖ value), at whatever depth;
//! - more, at depth d: SHA-256(0x01 ‖ root of those with bit d = 0 ‖ root of those with bit d = 1), d counted from 0.
//!
//! So the root depends on the entries only, not on the order of changes. Nodes are immutable and shared: a clone costs
//! nothing and is a snapshot; a change copies one path.

use alloc::{sync::Arc, vec::Vec};

use crate::{
    hash::{Hash, sha256},
    ids::{PublicKey, Sequence},
};

/// Each sender's next sequence number.
#[derive(Debug, Clone, Default)]
pub struct SparseMap {
    root: Option<Arc<Node>>,
    len: usize,
}

impl SparseMap {
    /// The empty map.
    #[must_use]
    pub const fn new() -> Self {
        Self { root: None, len: 0 }
    }

    /// The root hash.
    #[must_use]
    pub fn root(&self) -> Hash {
        hash_of(self.root.as_ref())
    }

    /// Senders with an entry.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True without an entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The sender's next sequence number.
    #[must_use]
    pub fn get(&self, sender: &PublicKey) -> Sequence {
        let key = key_of(sender);
        let mut node = self.root.as_ref();
        for depth in 0..=KEY_BITS {
            match node.map(Arc::as_ref) {
                None => break,
                Some(Node::Leaf {
                    key: found, value, ..
                }) => {
                    return if *found == key { *value } else { Sequence(0) };
                }
                Some(Node::Branch { left, right, .. }) => {
                    node = if bit(&key, depth) {
                        right.as_ref()
                    } else {
                        left.as_ref()
                    };
                }
            }
        }
        Sequence(0)
    }

    /// Sets the sender's next sequence number and returns the previous one; 0 removes the entry.
    pub fn set(&mut self, sender: &PublicKey, value: Sequence) -> Sequence {
        let previous = self.get(sender);
        if previous == value {
            return previous;
        }
        let key = key_of(sender);
        if value == Sequence(0) {
            self.root = self.root.as_ref().and_then(|root| without(root, 0, &key));
            self.len = self.len.saturating_sub(1);
        } else {
            self.root = Some(with(self.root.as_ref(), 0, key, value));
            self.len = self
                .len
                .saturating_add(usize::from(previous == Sequence(0)));
        }
        previous
    }
}

impl SparseMap {
    /// The map of these keys and values; none unless the keys ascend strictly and no value is 0.
    #[must_use]
    pub fn from_entries(entries: &[(Hash, Sequence)]) -> Option<Self> {
        let ascends = entries.is_sorted_by(|(left, _), (right, _)| left < right);
        if !ascends || entries.iter().any(|(_, value)| *value == Sequence(0)) {
            return None;
        }
        Some(Self {
            root: built(entries, 0),
            len: entries.len(),
        })
    }

    /// The keys and values, ascending by key.
    pub fn entries(&self) -> impl Iterator<Item = (Hash, Sequence)> {
        let mut pending: Vec<&Arc<Node>> = self.root.iter().collect();
        core::iter::from_fn(move || {
            loop {
                match pending.pop()?.as_ref() {
                    Node::Leaf { key, value, .. } => return Some((*key, *value)),
                    Node::Branch { left, right, .. } => {
                        pending.extend(right);
                        pending.extend(left);
                    }
                }
            }
        })
    }
}

impl PartialEq for SparseMap {
    fn eq(&self, other: &Self) -> bool {
        self.root() == other.root()
    }
}

impl Eq for SparseMap {}

#[derive(Debug)]
enum Node {
    Leaf {
        hash: Hash,
        key: Hash,
        value: Sequence,
    },
    Branch {
        hash: Hash,
        left: Option<Arc<Self>>,
        right: Option<Arc<Self>>,
    },
}

impl Node {
    fn leaf(key: Hash, value: Sequence) -> Arc<Self> {
        let hash = sha256(&[&[0], &key.0, &value.0.to_be_bytes()]);
        Arc::new(Self::Leaf { hash, key, value })
    }

    fn branch(left: Option<Arc<Self>>, right: Option<Arc<Self>>) -> Arc<Self> {
        let hash = sha256(&[&[1], &hash_of(left.as_ref()).0, &hash_of(right.as_ref()).0]);
        Arc::new(Self::Branch { hash, left, right })
    }
}

/// The node of these entries, whose keys ascend and agree in the first `depth` bits.
fn built(entries: &[(Hash, Sequence)], depth: u16) -> Option<Arc<Node>> {
    match entries {
        [] => None,
        [(key, value)] => Some(Node::leaf(*key, *value)),
        _ => {
            let (zeros, ones) =
                entries.split_at(entries.partition_point(|(key, _)| !bit(key, depth)));
            let below = depth.saturating_add(1);
            Some(Node::branch(built(zeros, below), built(ones, below)))
        }
    }
}

fn with(node: Option<&Arc<Node>>, depth: u16, key: Hash, value: Sequence) -> Arc<Node> {
    let Some(node) = node else {
        return Node::leaf(key, value);
    };
    match node.as_ref() {
        Node::Leaf { key: found, .. } if *found == key => Node::leaf(key, value),
        Node::Leaf { key: found, .. } => {
            // The old leaf moves one level down; the new entry follows it or parts from it there.
            let (left, right) = if bit(found, depth) {
                (None, Some(node))
            } else {
                (Some(node), None)
            };
            with_below(left, right, depth, key, value)
        }
        Node::Branch { left, right, .. } => {
            with_below(left.as_ref(), right.as_ref(), depth, key, value)
        }
    }
}

fn with_below(
    left: Option<&Arc<Node>>,
    right: Option<&Arc<Node>>,
    depth: u16,
    key: Hash,
    value: Sequence,
) -> Arc<Node> {
    if bit(&key, depth) {
        Node::branch(
            left.cloned(),
            Some(with(right, depth.saturating_add(1), key, value)),
        )
    } else {
        Node::branch(
            Some(with(left, depth.saturating_add(1), key, value)),
            right.cloned(),
        )
    }
}

fn without(node: &Arc<Node>, depth: u16, key: &Hash) -> Option<Arc<Node>> {
    match node.as_ref() {
        Node::Leaf { key: found, .. } if found == key => None,
        Node::Leaf { .. } => Some(Arc::clone(node)),
        Node::Branch { left, right, .. } => {
            let below = |child: &Option<Arc<Node>>| {
                child
                    .as_ref()
                    .and_then(|c| without(c, depth.saturating_add(1), key))
            };
            let (left, right) = if bit(key, depth) {
                (left.clone(), below(right))
            } else {
                (below(left), right.clone())
            };
            match (left, right) {
                (None, None) => None,
                (Some(only), None) | (None, Some(only)) if matches!(*only, Node::Leaf { .. }) => {
                    Some(only)
                }
                (left, right) => Some(Node::branch(left, right)),
            }
        }
    }
}

fn hash_of(node: Option<&Arc<Node>>) -> Hash {
    match node.map(Arc::as_ref) {
        None => Hash::ZERO,
        Some(Node::Leaf { hash, .. } | Node::Branch { hash, .. }) => *hash,
    }
}

fn key_of(sender: &PublicKey) -> Hash {
    sha256(&[b"distli/state/sequence/1", &sender.0])
}

fn bit(key: &Hash, depth: u16) -> bool {
    let byte = key.0.get(usize::from(depth / 8)).copied().unwrap_or(0);
    byte & (0x80 >> (depth % 8)) != 0
}

const KEY_BITS: u16 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    /// The definition in the module's documentation, as it stands there.
    fn reference_root(entries: &[(Hash, Sequence)], depth: u16) -> Hash {
        match entries {
            [] => Hash::ZERO,
            [(key, value)] => sha256(&[&[0], &key.0, &value.0.to_be_bytes()]),
            _ => {
                let (ones, zeros): (Vec<_>, Vec<_>) =
                    entries.iter().partition(|(key, _)| bit(key, depth));
                let (left, right) = (
                    reference_root(&zeros, depth + 1),
                    reference_root(&ones, depth + 1),
                );
                sha256(&[&[1], &left.0, &right.0])
            }
        }
    }

    fn sender(number: u8) -> PublicKey {
        PublicKey([number; 32])
    }

    #[test]
    fn an_empty_map_has_the_zero_root() {
        assert_eq!(SparseMap::new().root(), Hash::ZERO);
        assert_eq!(SparseMap::new().get(&sender(1)), Sequence(0));
    }

    #[test]
    fn a_clone_is_a_snapshot() {
        let mut map = SparseMap::new();
        map.set(&sender(1), Sequence(1));
        let before = map.clone();
        map.set(&sender(1), Sequence(2));
        assert_eq!(before.get(&sender(1)), Sequence(1));
        assert_eq!(map.set(&sender(1), Sequence(1)), Sequence(2));
        assert_eq!(map, before);
    }

    proptest! {
        #[test]
        fn the_map_follows_its_definition(changes in prop::collection::vec((0u8..40, 0u64..4), 0..120)) {
            let mut map = SparseMap::new();
            let mut model = BTreeMap::new();
            for (who, value) in changes {
                let previous = map.set(&sender(who), Sequence(value));
                let expected = if value == 0 { model.remove(&who) } else { model.insert(who, value) };
                prop_assert_eq!(previous, Sequence(expected.unwrap_or(0)));
            }
            let entries: Vec<_> = model.iter().map(|(who, v)| (key_of(&sender(*who)), Sequence(*v))).collect();
            prop_assert_eq!(map.root(), reference_root(&entries, 0));
            prop_assert_eq!(map.len(), model.len());
            let mut sorted = entries;
            sorted.sort_unstable();
            prop_assert_eq!(map.entries().collect::<Vec<_>>(), sorted.clone());
            let again = SparseMap::from_entries(&sorted).unwrap();
            prop_assert_eq!((again.root(), again.len()), (map.root(), map.len()));
        }
    }
}
