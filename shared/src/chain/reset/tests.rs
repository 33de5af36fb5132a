//! Chains whose owner resets them.

use alloc::{vec, vec::Vec};

use super::*;
use crate::{
    block::{Block, MinerRecord},
    chain::{ChainError, Inserted},
    enterprise::{FinalBlock, Reset},
    genesis::{Access, Genesis, Rules},
    identity::Identity,
    ids::{ChainId, NetworkId, PublicKey, Sequence, TimestampMs},
    miner::{Miner, Step},
    pow::Target,
    transaction::{Payload, Transaction, VerifiedTransaction},
};

const NOW: TimestampMs = TimestampMs(1_800_000_000_000);

fn owner() -> Identity {
    Identity::from_seed([9; 32])
}

fn genesis() -> Genesis {
    let mut rules = Rules::open_default(Target::for_hashes(16).to_compact());
    rules.stamp_bits = 0;
    Genesis {
        network_id: NetworkId::parse("club").unwrap(),
        rules,
        created_at: TimestampMs(1_700_000_000_000),
        owner: owner().public_key(),
        enterprise_genesis: None,
        predecessor: None,
        access: Access::Private {
            join_key: Identity::from_seed([8; 32]).public_key(),
            reporters: vec![owner().public_key()],
        },
    }
}

fn message(sequence: u64) -> VerifiedTransaction {
    let (genesis, payload) = (genesis(), Payload::Message("a".into()));
    Transaction::create(
        &Identity::from_seed([1; 32]),
        genesis.chain_id(),
        &genesis.rules,
        Sequence(sequence),
        genesis.created_at,
        payload,
    )
    .unwrap()
}

/// Mines blocks on top, each with the next message.
fn grow(chain: &mut Chain, miner: u8, count: u32) -> Vec<Block> {
    let mut blocks = Vec::new();
    for _ in 0..count {
        let tip = chain.tip();
        let record = MinerRecord {
            key: PublicKey([miner; 32]),
            free: [miner; 8],
        };
        let at = tip.timestamp.plus_ms(10_000);
        let template = chain.template(record, vec![message(tip.height.0.into())], at);
        let target = template.header.target.target();
        let Step::Found(solution) =
            Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
        else {
            unreachable!("sixteen hashes find one");
        };
        let block = template.solved(chain.genesis(), solution).unwrap();
        chain.insert(block.clone(), NOW).unwrap();
        blocks.push(block);
    }
    blocks
}

fn final_at(chain: &Chain, height: u32, resets: u32) -> FinalBlock {
    let hash = chain.hash_at(Height(height)).unwrap();
    let mut bytes = chain.chain_id().0.0.to_vec();
    bytes.extend(height.to_be_bytes());
    bytes.extend(hash.0);
    bytes.extend(chain.work_of(&hash).unwrap().to_be_bytes());
    if resets > 0 {
        bytes.extend(resets.to_be_bytes());
    }
    FinalBlock::from_checkpoint(&bytes).unwrap()
}

fn reset(chain_id: ChainId, number: u32, from: u32, stays: Hash) -> Executed {
    Executed::assumed(Reset::sign(&owner(), chain_id, number, Height(from), stays))
}

/// Eight blocks, of which the lowest are final.
fn grown(finals: u32) -> (Chain, Vec<Block>) {
    let mut chain = Chain::new(genesis());
    let blocks = grow(&mut chain, 3, 8);
    if finals > 0 {
        chain.set_final(final_at(&chain, finals, 0)).unwrap();
    }
    (chain, blocks)
}

fn hash(blocks: &[Block], height: usize) -> Hash {
    blocks[height - 1].hash()
}

#[test]
fn a_reset_voids_what_was_final_and_the_void_branch_is_refused_from_then_on() {
    let (mut chain, blocks) = grown(6);
    let executed = reset(chain.chain_id(), 1, 4, hash(&blocks, 3));
    let lowest = chain.reset(&executed).unwrap();
    assert_eq!(lowest, Some(hash(&blocks, 4)));
    assert_eq!(chain.tip().hash, hash(&blocks, 3));
    assert_eq!(chain.best_header().hash, hash(&blocks, 3));
    let newest = *chain.newest_final().unwrap();
    assert_eq!(newest, final_at(&chain, 3, 1));
    assert_eq!(chain.floor(), Some((Height(3), hash(&blocks, 3))));
    let change = chain.take_floor_change().unwrap();
    let gone: Vec<Hash> = change.abandoned.iter().map(Block::hash).collect();
    let expected: Vec<Hash> = blocks.iter().skip(3).rev().map(Block::hash).collect();
    assert_eq!(gone, expected, "tip first, whether final or not");
    assert_eq!(chain.next_sequence(&message(0).sender()), Sequence(3));

    let offered = chain.insert(blocks[3].clone(), NOW);
    assert!(matches!(offered, Err(ChainError::LeavesFinal { .. })));
    let offered = chain.insert(blocks[4].clone(), NOW);
    assert!(matches!(offered, Err(ChainError::UnknownParent { .. })));
    let anew = grow(&mut chain, 5, 2);
    assert_eq!(
        chain.tip().hash,
        anew[1].hash(),
        "with the same messages, lighter than what is void"
    );
    assert!(chain.set_final(final_at(&chain, 5, 1)).unwrap());
}

#[test]
fn a_restarted_chain_refuses_what_it_remembers_as_void() {
    let (chain, blocks) = grown(0);
    let mut again = Chain::new(chain.genesis().clone());
    again.mark_void(hash(&blocks, 4));
    for block in &blocks[..3] {
        again.insert(block.clone(), NOW).unwrap();
    }
    let offered = again.insert_header(blocks[3].header().clone(), NOW);
    assert!(matches!(offered, Err(ChainError::LeavesFinal { .. })));
}

#[test]
fn a_reset_from_the_first_block_on_leaves_nothing_final() {
    let (mut chain, blocks) = grown(2);
    let executed = reset(chain.chain_id(), 1, 1, chain.chain_id().0);
    assert_eq!(chain.reset(&executed), Ok(Some(hash(&blocks, 1))));
    assert_eq!((chain.newest_final(), chain.floor()), (None, None));
    assert_eq!(chain.tip().height, Height::GENESIS);
    let anew = grow(&mut chain, 5, 1);
    assert_eq!(chain.tip().hash, anew[0].hash());
}

#[test]
fn a_reset_of_another_chain_or_one_that_contradicts_what_is_final_changes_nothing() {
    let (mut chain, blocks) = grown(6);
    let before = (chain.tip(), *chain.newest_final().unwrap());
    let (stays, other) = (hash(&blocks, 3), ChainId(Hash([7; 32])));
    assert!(matches!(
        chain.reset(&reset(other, 1, 4, stays)),
        Err(FinalityError::OtherChain { .. })
    ));
    assert!(matches!(
        chain.reset(&reset(chain.chain_id(), 1, 4, Hash([7; 32]))),
        Err(FinalityError::Contradicts { known, .. }) if known == stays
    ));
    // Above what is known to be final here there is nothing to void, and what became final after a reset is not void by it.
    let above = reset(chain.chain_id(), 1, 7, hash(&blocks, 6));
    assert_eq!(chain.reset(&above), Ok(None));
    let old = reset(chain.chain_id(), 1, 2, hash(&blocks, 1));
    let (mut later, _) = grown(0);
    later.set_final(final_at(&later, 6, 1)).unwrap();
    assert_eq!(later.reset(&old), Ok(None));
    assert_eq!(before, (chain.tip(), *chain.newest_final().unwrap()));
    assert_eq!(chain.take_floor_change(), None);
}

#[test]
fn a_second_reset_goes_further_back_than_the_first() {
    let (mut chain, blocks) = grown(6);
    let id = chain.chain_id();
    chain.reset(&reset(id, 1, 5, hash(&blocks, 4))).unwrap();
    let anew = grow(&mut chain, 5, 2);
    chain.set_final(final_at(&chain, 6, 1)).unwrap();
    let second = reset(id, 2, 3, hash(&blocks, 2));
    assert_eq!(chain.reset(&second), Ok(Some(hash(&blocks, 3))));
    assert_eq!(chain.tip().hash, hash(&blocks, 2));
    assert_eq!(*chain.newest_final().unwrap(), final_at(&chain, 2, 2));
    let offered = chain.insert_header(anew[0].header().clone(), NOW);
    assert!(matches!(offered, Err(ChainError::UnknownParent { .. })));
}

#[test]
fn below_the_floor_of_a_pruned_chain_bodies_are_needed_again() {
    let (mut chain, blocks) = grown(7);
    assert_eq!(chain.prune_to(Height(6)).len(), 6);
    let executed = reset(chain.chain_id(), 1, 4, hash(&blocks, 3));
    assert_eq!(chain.reset(&executed), Ok(Some(hash(&blocks, 4))));
    assert_eq!(
        (chain.tip().height, chain.bodies_from()),
        (Height::GENESIS, Height(1))
    );
    assert_eq!(
        chain.best_header().hash,
        hash(&blocks, 3),
        "the headers stay"
    );
    assert!(!chain.has_final(), "nothing is mined meanwhile");
    let change = chain.take_floor_change().unwrap();
    let gone: Vec<Height> = change.abandoned.iter().map(|b| b.header().height).collect();
    assert_eq!(gone, [Height(8), Height(7)], "those whose bodies were here");
    for block in &blocks[..3] {
        chain.insert(block.clone(), NOW).unwrap();
    }
    assert!(chain.has_final());
    assert_eq!(chain.tip().hash, hash(&blocks, 3));
    assert_eq!(chain.next_sequence(&message(0).sender()), Sequence(3));
    assert!(matches!(
        chain.insert(blocks[3].clone(), NOW),
        Err(ChainError::LeavesFinal { .. })
    ));
    grow(&mut chain, 5, 1);
    assert_eq!(chain.tip().height, Height(4));
}

#[test]
fn what_is_above_the_pruned_floor_is_undone_and_nothing_is_asked_for_again() {
    let (mut chain, blocks) = grown(7);
    chain.prune_to(Height(3));
    let executed = reset(chain.chain_id(), 1, 5, hash(&blocks, 4));
    assert_eq!(chain.reset(&executed), Ok(Some(hash(&blocks, 5))));
    assert_eq!(
        (chain.tip().height, chain.bodies_from()),
        (Height(4), Height(4))
    );
    let Ok(Inserted::AlreadyKnown) = chain.insert(blocks[3].clone(), NOW) else {
        panic!("the body of block 4 is here");
    };
    assert_eq!(chain.next_sequence(&message(0).sender()), Sequence(4));
}

#[test]
fn of_a_final_block_whose_header_never_came_only_the_word_is_taken_back() {
    let (full, blocks) = grown(0);
    let mut chain = Chain::new(genesis());
    for block in &blocks[..3] {
        chain.insert(block.clone(), NOW).unwrap();
    }
    chain.set_final(final_at(&full, 6, 0)).unwrap();
    let executed = reset(chain.chain_id(), 1, 4, hash(&blocks, 3));
    assert_eq!(chain.reset(&executed), Ok(None));
    assert_eq!(*chain.newest_final().unwrap(), final_at(&chain, 3, 1));
    assert_eq!(chain.tip().hash, hash(&blocks, 3));
    grow(&mut chain, 5, 1);
    assert!(chain.set_final(final_at(&chain, 4, 1)).unwrap());
}
