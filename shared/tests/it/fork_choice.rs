//! The block tree against a small reference: after every step the tip is the heaviest valid chain whose bodies are all
//! here, and the first of equals.
//!
//! With a final block the same holds among the chains that contain it, from the moment it is told.
//!
//! The reference builds trees with its own bookkeeping (targets by the published function, work summed along the way) and
//! judges by looking at everything; it shares no code with the tree under test.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use shared::{
    block::{Block, UncheckedBlock, body_root},
    chain::{Chain, ChainError, Inserted},
    difficulty::{active_ms, next_target},
    enterprise::FinalBlock,
    genesis::Genesis,
    hash::Hash,
    header::{Header, VERSION},
    ids::{Height, Sequence, TimestampMs, Work},
    miner::{Miner, Step},
    state::SparseMap,
    transaction::VerifiedTransaction,
};

use crate::support::{CREATED, genesis, identity, message, miner};

const LATE: TimestampMs = TimestampMs(1_800_000_000_000);
const SENDERS: u8 = 3;

/// How one block of a generated tree comes about.
#[derive(Debug, Clone)]
struct Plan {
    /// Which earlier block it stands on, by index into what exists; 0 is the genesis.
    parent: prop::sample::Index,
    seconds: u64,
    sender: u8,
    fault: Fault,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    State,
    Sequence,
}

/// A block of the reference.
#[derive(Clone)]
struct Model {
    hash: Hash,
    parent: usize,
    height: Height,
    timestamp: TimestampMs,
    active: u64,
    work: Work,
    next: [u64; SENDERS as usize],
    /// It and all below it are valid.
    valid: bool,
    block: Option<Block>,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let fault =
        prop_oneof![8 => Just(Fault::None), 1 => Just(Fault::State), 1 => Just(Fault::Sequence)];
    let plan = (any::<prop::sample::Index>(), 1u64..120, 0..SENDERS, fault);
    let plan = plan.prop_map(|(parent, seconds, sender, fault)| Plan {
        parent,
        seconds,
        sender,
        fault,
    });
    prop::collection::vec(plan, 1..14)
}

fn grow(genesis: &Genesis, plans: &[Plan], messages: &[Vec<VerifiedTransaction>]) -> Vec<Model> {
    let mut tree = vec![Model {
        hash: genesis.chain_id().0,
        parent: 0,
        height: Height(0),
        timestamp: CREATED,
        active: 0,
        work: Work::ZERO,
        next: [0; SENDERS as usize],
        valid: true,
        block: None,
    }];
    for (number, plan) in plans.iter().enumerate() {
        // Mostly on one of the latest blocks, so that branches grow long.
        let back = plan.parent.index(tree.len().min(4));
        let parent = tree.len() - 1 - back;
        let model = child(genesis, &tree[parent], parent, plan, messages, number);
        tree.push(model);
    }
    tree
}

fn child(
    genesis: &Genesis,
    parent: &Model,
    index: usize,
    plan: &Plan,
    messages: &[Vec<VerifiedTransaction>],
    number: usize,
) -> Model {
    let who = usize::from(plan.sender);
    let wrong = u64::from(plan.fault == Fault::Sequence);
    let transaction = &messages[who][usize::try_from(parent.next[who] + wrong).unwrap()];
    let mut next = parent.next;
    next[who] += 1;
    let since = plan.seconds * 1_000;
    let target = next_target(&genesis.rules, parent.active, parent.height, since);
    // The miner's key makes equal plans on one parent different blocks.
    let miner = miner(u8::try_from(number).unwrap());
    let mut header = Header {
        version: VERSION,
        height: parent.height.next(),
        previous: parent.hash,
        body_root: body_root(&miner, [transaction.id()].into_iter()),
        state_root: if plan.fault == Fault::State {
            Hash([7; 32])
        } else {
            state_root(&next)
        },
        timestamp: parent.timestamp.plus_ms(since),
        target,
        nonce: 0,
    };
    let Step::Found(solution) = Miner::new(&header, &target.target(), 0, u32::MAX).step(u32::MAX)
    else {
        panic!("no nonce")
    };
    header = header.solved(solution);
    let block = UncheckedBlock {
        header: header.clone(),
        miner,
        transactions: vec![transaction.encode()],
    };
    Model {
        hash: header.hash(),
        parent: index,
        height: header.height,
        timestamp: header.timestamp,
        active: parent.active + active_ms(&genesis.rules, since),
        work: Work(parent.work.0 + header.work().0),
        next,
        valid: parent.valid && plan.fault == Fault::None,
        block: Some(block.check(genesis).unwrap()),
    }
}

fn state_root(next: &[u64; SENDERS as usize]) -> Hash {
    let mut state = SparseMap::new();
    for (who, next) in next.iter().enumerate() {
        state.set(
            &identity(u8::try_from(who).unwrap()).public_key(),
            Sequence(*next),
        );
    }
    state.root()
}

/// What the tree under test may and must hold.
struct Reference<'a> {
    tree: &'a [Model],
    by_hash: BTreeMap<Hash, usize>,
    /// Bodies given and taken.
    here: BTreeSet<usize>,
    tip: usize,
    final_block: usize,
    /// A final block that was here when a newer one became final.
    floor: usize,
}

impl Reference<'_> {
    fn complete(&self, mut index: usize) -> bool {
        while index != 0 {
            if !self.here.contains(&index) {
                return false;
            }
            index = self.tree[index].parent;
        }
        true
    }

    /// True if the block is below, at or above the final one; while that is not here, what is below its height may be.
    fn is_with_final(&self, index: usize, chain: &Chain) -> bool {
        let model = &self.tree[self.final_block];
        if self.final_block != 0 && chain.header(&model.hash).is_none() {
            let is_beside_floor =
                !self.is_above(index, self.floor) && !self.is_above(self.floor, index);
            return self.tree[index].height < model.height && !is_beside_floor;
        }
        self.is_above(index, self.final_block) || self.is_above(self.final_block, index)
    }

    fn is_above(&self, mut index: usize, below: usize) -> bool {
        while index != below && index != 0 {
            index = self.tree[index].parent;
        }
        index == below
    }

    /// The chain's tip must be the heaviest complete valid block; another of the same weight may not replace it.
    fn judge(&mut self, chain: &Chain) {
        let complete = (0..self.tree.len()).filter(|index| {
            self.tree[*index].valid && self.complete(*index) && self.is_with_final(*index, chain)
        });
        let heaviest = complete.map(|index| self.tree[index].work).max().unwrap();
        let tip = self.by_hash[&chain.tip().hash];
        assert_eq!(
            self.tree[tip].work, heaviest,
            "the tip is as heavy as it can be"
        );
        assert!(
            self.tree[tip].valid && self.complete(tip) && self.is_with_final(tip, chain),
            "the tip is valid and complete, and the final block on its chain"
        );
        if self.tree[self.tip].work == heaviest && self.is_with_final(self.tip, chain) {
            assert_eq!(tip, self.tip, "first seen wins a tie");
        }
        self.tip = tip;
        self.follows(chain);
    }

    /// Everything the chain says agrees with the reference's path to the tip.
    fn follows(&self, chain: &Chain) {
        let (mut at, mut confirmed) = (self.tip, 0);
        assert_eq!(chain.tip().work, self.tree[at].work);
        assert_eq!(chain.state_root(), state_root(&self.tree[at].next));
        while at != 0 {
            let model = &self.tree[at];
            assert_eq!(chain.hash_at(model.height), Some(model.hash));
            for transaction in model.block.as_ref().unwrap().transactions() {
                assert_eq!(
                    chain.contains_transaction(&transaction.id()),
                    Some(model.height)
                );
                confirmed += 1;
            }
            at = model.parent;
        }
        assert_eq!(
            chain.tip().height,
            Height(confirmed),
            "one transaction a block"
        );
    }
}

/// Gives blocks in the order of `order`, a header alone where `headers` says so first, until nothing more is taken.
fn deliver(
    genesis: &Genesis,
    tree: &[Model],
    order: &[usize],
    headers_first: bool,
    mut finals: Vec<(usize, usize)>,
) -> Chain {
    let mut chain = Chain::new(genesis.clone());
    let by_hash = tree
        .iter()
        .enumerate()
        .map(|(index, model)| (model.hash, index))
        .collect();
    let mut reference = Reference {
        tree,
        by_hash,
        here: BTreeSet::new(),
        tip: 0,
        final_block: 0,
        floor: 0,
    };
    if headers_first {
        for model in tree.iter().skip(1) {
            let block = model.block.as_ref().unwrap();
            chain.insert_header(block.header().clone(), LATE).unwrap();
        }
        let heaviest = tree.iter().map(|model| model.work).max().unwrap();
        assert_eq!(chain.best_header().work, heaviest);
    }
    let mut waiting: Vec<usize> = order.to_vec();
    let mut given = 0;
    loop {
        let before = waiting.len();
        waiting.retain(|index| {
            if finals.first().is_some_and(|(at, _)| *at <= given) {
                let (_, final_block) = finals.remove(0);
                finalise(&mut chain, &mut reference, final_block);
            }
            given += 1;
            !give(&mut chain, &mut reference, *index)
        });
        if waiting.len() == before {
            break;
        }
    }
    assert!(
        waiting
            .iter()
            .all(|index| !tree[*index].valid || !reference.is_with_final(*index, &chain)),
        "every valid block is taken in the end"
    );
    chain
}

/// Says that a block is final.
fn finalise(chain: &mut Chain, reference: &mut Reference<'_>, index: usize) {
    let model = &reference.tree[index];
    let mut bytes = chain.chain_id().0.0.to_vec();
    bytes.extend(model.height.0.to_be_bytes());
    bytes.extend(model.hash.0);
    bytes.extend(model.work.to_be_bytes());
    chain
        .set_final(FinalBlock::from_checkpoint(&bytes).unwrap())
        .unwrap();
    let before = reference.final_block;
    if chain.header(&reference.tree[before].hash).is_some() {
        reference.floor = before;
    }
    reference.final_block = index;
    // What was dropped does not come back by itself, whatever becomes final later.
    let here = core::mem::take(&mut reference.here);
    reference.here = here
        .into_iter()
        .filter(|index| reference.is_with_final(*index, chain))
        .collect();
    reference.judge(chain);
}

/// Gives one block; false if its parent is not known yet.
fn give(chain: &mut Chain, reference: &mut Reference<'_>, index: usize) -> bool {
    let model = &reference.tree[index];
    let outcome = chain.insert(model.block.clone().unwrap(), LATE);
    let taken = match outcome {
        Ok(Inserted::AlreadyKnown) => panic!("every block is given once"),
        Ok(Inserted::Stored | Inserted::Connected { .. }) => {
            reference.here.insert(index);
            true
        }
        Err(ChainError::UnknownParent { .. }) => false,
        Err(ChainError::LeavesFinal { .. }) => {
            assert!(
                !reference.is_with_final(index, chain),
                "a block on the final chain is refused"
            );
            true
        }
        Err(ChainError::Invalid(error)) => {
            assert!(!model.valid, "a valid block is refused: {error}");
            true
        }
        Err(error) => panic!("{error}"),
    };
    reference.judge(chain);
    taken
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_tip_is_always_the_heaviest_valid_complete_chain(
        plans in plans(),
        shuffle in any::<prop::sample::Index>().prop_flat_map(|_| Just((1..15usize).collect::<Vec<_>>()).prop_shuffle()),
        headers_first: bool,
    ) {
        let genesis = genesis();
        let messages: Vec<Vec<_>> = MESSAGES.with(Clone::clone);
        let tree = grow(&genesis, &plans, &messages);
        let order: Vec<_> = shuffle.into_iter().filter(|index| *index < tree.len()).collect();
        let chain = deliver(&genesis, &tree, &order, headers_first, Vec::new());
        // In the order of their making the result has the same weight.
        let in_order: Vec<_> = (1..tree.len()).collect();
        let again = deliver(&genesis, &tree, &in_order, false, Vec::new());
        prop_assert_eq!(chain.tip().work, again.tip().work);
    }

    #[test]
    fn the_tip_is_always_the_heaviest_of_the_chains_with_the_final_block(
        plans in plans(),
        shuffle in any::<prop::sample::Index>().prop_flat_map(|_| Just((1..15usize).collect::<Vec<_>>()).prop_shuffle()),
        headers_first: bool,
        picks: [prop::sample::Index; 2],
        times: [prop::sample::Index; 2],
    ) {
        let genesis = genesis();
        let messages: Vec<Vec<_>> = MESSAGES.with(Clone::clone);
        let tree = grow(&genesis, &plans, &messages);
        let order: Vec<_> = shuffle.into_iter().filter(|index| *index < tree.len()).collect();
        // The first final block is any valid one, the second any valid one above it.
        let valid: Vec<_> = (1..tree.len()).filter(|index| tree[*index].valid).collect();
        prop_assume!(!valid.is_empty());
        let first = valid[picks[0].index(valid.len())];
        let is_above = |mut index: usize| {
            while index > first {
                index = tree[index].parent;
            }
            index == first
        };
        let above: Vec<_> = valid.iter().copied().filter(|index| is_above(*index)).collect();
        let second = above[picks[1].index(above.len())];
        let mut at = times.map(|time| time.index(tree.len()));
        at.sort_unstable();
        let finals = vec![(at[0], first), (at[1], second)];
        let chain = deliver(&genesis, &tree, &order, headers_first, finals);
        prop_assert!(chain.has_final() || chain.header(&tree[second].hash).is_none() || !order.contains(&second));
    }
}

thread_local! {
    static MESSAGES: Vec<Vec<VerifiedTransaction>> =
        (0..SENDERS).map(|sender| (0..20).map(|sequence| message(sender, sequence)).collect()).collect();
}
