//! What the bounds on kept blocks refuse, and what is counted.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the orders that it asks for"
)]

use api::TenantBlock;
use shared::block::{Block, MinerRecord};
use shared::chain::{Chain, Template};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, Height, NetworkId};
use shared::miner::{Miner, Step};
use tempfile::tempdir;

use super::private_tests::{Bench, Quiet, verdict};
use super::tests::{NOW, drain, genesis, mine, registered, report};
use super::*;
use crate::hub::ConnectionId;
use crate::hub::message::Wish;
use crate::limits;
use crate::store::Store;

fn bounded(network_bytes_max: u64, total_bytes_max: u64) -> Capacity {
    Capacity {
        network_bytes_max,
        total_bytes_max,
    }
}

/// What blocks take up.
fn room_of(blocks: &[Block]) -> u64 {
    let sizes = blocks.iter().map(|block| block.encode().len() as u64);
    sizes.map(|size| size + limits::BLOCK_BESIDE_BYTES).sum()
}

fn named(name: &str) -> Genesis {
    Genesis {
        network_id: NetworkId::parse(name).unwrap(),
        ..genesis(1)
    }
}

fn register(ledger: &mut Ledger, genesis: &Genesis) {
    let wish = Wish {
        genesis: genesis.encode(),
        listing: Listing::Unlisted,
        label: None,
    };
    let connection = ConnectionId(1);
    ledger.handle(NOW, Input::RegistrationAsked { connection, wish });
    drain(ledger);
}

fn changes(outputs: &[Output]) -> Vec<Change> {
    let changes = outputs.iter().filter_map(|output| match output {
        Output::Persist(change) => Some(change.clone()),
        _ => None,
    });
    changes.collect()
}

/// The hashes of blocks that become durable, and of those that leave the store.
fn stored_and_gone(outputs: &[Output]) -> (Vec<Hash>, Vec<Hash>) {
    let (mut stored, mut gone) = (Vec::new(), Vec::new());
    for change in changes(outputs) {
        match change {
            Change::Block { hash, .. } => stored.push(hash),
            Change::BlockGone { hash, .. } => gone.push(hash),
            _ => {}
        }
    }
    (stored, gone)
}

fn hashes(blocks: &[Block]) -> Vec<Hash> {
    blocks.iter().map(Block::hash).collect()
}

fn solve(genesis: &Genesis, template: &Template) -> Block {
    let target = template.header.target.target();
    let Step::Found(solution) = Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
    else {
        panic!("an easy target is met");
    };
    template.solved(genesis, solution).unwrap()
}

/// The next block of the chain, changed before it is mined.
fn changed(chain: &Chain, mark: u8, change: impl FnOnce(&mut Template)) -> Block {
    let genesis = chain.genesis();
    let interval = u64::from(genesis.rules.interval_ms);
    let record = MinerRecord {
        key: genesis.owner,
        free: [mark; 8],
    };
    let at = chain.tip().timestamp.plus_ms(interval);
    let mut template = chain.template(record, Vec::new(), at);
    change(&mut template);
    solve(genesis, &template)
}

/// A block that breaks a rule which shows only when it is executed.
fn broken(chain: &Chain, mark: u8) -> Block {
    changed(chain, mark, |template| {
        template.header.state_root = Hash([9; 32])
    })
}

/// A ledger of two networks, and blocks of each.
fn two_networks(count: usize) -> (Ledger, [(ChainId, Vec<Block>); 2]) {
    let mut ledger = registered(&genesis(1));
    let other = named("other");
    register(&mut ledger, &other);
    let networks = [genesis(1), other].map(|genesis| {
        let mut chain = Chain::new(genesis);
        let blocks = (0..count).map(|_| mine(&mut chain, 0)).collect();
        (chain.chain_id(), blocks)
    });
    (ledger, networks)
}

#[test]
fn a_network_takes_blocks_up_to_its_bound_while_others_are_served() {
    let (ledger, [(id, blocks), (other, others)]) = two_networks(5);
    let mut ledger = ledger.with_capacity(bounded(room_of(&blocks[..3]), u64::MAX));
    let outputs = report(&mut ledger, id, &blocks);
    let refusal = verdict(&outputs).unwrap_err();
    assert!(refusal.contains("--network-mib-max"), "{refusal}");
    assert_eq!(stored_and_gone(&outputs).0, hashes(&blocks[..3]));
    assert_eq!(ledger.summary().kept_bytes, room_of(&blocks[..3]));
    // What is kept is known, and its report accepted.
    let outputs = report(&mut ledger, id, &blocks[..3]);
    assert_eq!((verdict(&outputs), changes(&outputs)), (Ok(3), Vec::new()));
    let outputs = report(&mut ledger, id, &blocks[3..]);
    assert!(verdict(&outputs).is_err() && changes(&outputs).is_empty());
    // The other network goes on, and the bound that is raised lets this one.
    assert_eq!(verdict(&report(&mut ledger, other, &others[..3])), Ok(3));
    let mut ledger = ledger.with_capacity(bounded(u64::MAX, u64::MAX));
    assert_eq!(verdict(&report(&mut ledger, id, &blocks[3..])), Ok(5));
    let all = room_of(&blocks) + room_of(&others[..3]);
    assert_eq!(ledger.summary().kept_bytes, all);
}

#[test]
fn all_networks_together_take_blocks_up_to_their_bound() {
    let (ledger, [(id, blocks), (other, others)]) = two_networks(3);
    let total = room_of(&blocks[..2]) + room_of(&others[..1]);
    let mut ledger = ledger.with_capacity(bounded(u64::MAX, total));
    assert_eq!(verdict(&report(&mut ledger, id, &blocks[..2])), Ok(2));
    let outputs = report(&mut ledger, other, &others);
    let refusal = verdict(&outputs).unwrap_err();
    assert!(refusal.contains("--total-mib-max"), "{refusal}");
    assert_eq!(stored_and_gone(&outputs).0, hashes(&others[..1]));
    assert!(verdict(&report(&mut ledger, id, &blocks[2..])).is_err());
    let summary = ledger.summary();
    assert_eq!((summary.kept_bytes, summary.kept_bytes_max), (total, total));
}

#[test]
fn a_full_network_answers_a_program_with_the_bound_and_a_shown_block_takes_no_room() {
    let (ledger, [(id, blocks), _]) = two_networks(1);
    let mut ledger = ledger.with_capacity(bounded(0, u64::MAX));
    ledger.handle(
        NOW,
        Input::BlocksReported {
            asker: Asker::Request(RequestId(1)),
            network: NetworkName::Chain(id),
            blocks: vec![TenantBlock::from(&blocks[0])],
        },
    );
    let outputs = drain(&mut ledger);
    assert!(
        matches!(
            outputs[..],
            [Output::Answer {
                verdict: Err(Refusal::NetworkFull { .. }),
                ..
            }]
        ),
        "{outputs:?}"
    );
    ledger.handle(
        NOW,
        Input::BlockShown {
            connection: ConnectionId(1),
            chain_id: id,
            block: Box::new(TenantBlock::from(&blocks[0])),
        },
    );
    let outputs = drain(&mut ledger);
    assert!(matches!(outputs[..], [Output::Tell(_)]), "{outputs:?}");
    assert_eq!(ledger.summary().kept_bytes, 0);
}

#[test]
fn a_restart_counts_what_the_store_holds_and_keeps_it_above_a_lowered_bound() {
    let data = tempdir().unwrap();
    let store = Store::open(data.path()).unwrap();
    let mut ledger = Ledger::new(Forwarding::On);
    let wish = Wish {
        genesis: genesis(1).encode(),
        listing: Listing::Listed,
        label: None,
    };
    let connection = ConnectionId(1);
    ledger.handle(NOW, Input::RegistrationAsked { connection, wish });
    store.commit(&changes(&drain(&mut ledger))).unwrap();
    let mut chain = Chain::new(genesis(1));
    let id = chain.chain_id();
    // One beside the main chain counts too.
    let beside = mine(&mut chain.clone(), 1);
    let mut blocks: Vec<_> = (0..4).map(|_| mine(&mut chain, 0)).collect();
    let next = blocks.pop().unwrap();
    blocks.push(beside);
    let outputs = report(&mut ledger, id, &blocks);
    assert_eq!(verdict(&outputs), Ok(3));
    store.commit(&changes(&outputs)).unwrap();
    let restored = store.restore(Forwarding::On, NOW).unwrap();
    assert_eq!(restored.summary(), ledger.summary());
    assert_eq!(restored.summary().kept_bytes, room_of(&blocks));
    let mut restored = restored.with_capacity(bounded(room_of(&blocks[..1]), u64::MAX));
    drain(&mut restored);
    let outputs = report(&mut restored, id, &blocks);
    assert_eq!((verdict(&outputs), changes(&outputs)), (Ok(3), Vec::new()));
    let outputs = report(&mut restored, id, std::slice::from_ref(&next));
    assert!(verdict(&outputs).is_err());
    let mut restored = restored.with_capacity(bounded(room_of(&blocks), u64::MAX));
    let outputs = report(&mut restored, id, std::slice::from_ref(&next));
    assert!(verdict(&outputs).is_err(), "not one byte more");
    let space = room_of(&blocks) + room_of(std::slice::from_ref(&next));
    let mut restored = restored.with_capacity(bounded(space, u64::MAX));
    assert_eq!(verdict(&report(&mut restored, id, &[next])), Ok(4));
}

/// The room of so many reports of a private network, by what is counted.
fn room_in(bench: &Bench) -> u64 {
    bench.ledger.summary().kept_bytes
}

#[test]
fn a_private_network_is_bounded_and_a_reset_counts_back_also_over_restarts() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let blocks: Vec<_> = (0..4).map(|_| quiet.mine(0)).collect();
    assert_eq!(verdict(&bench.reported(&quiet, &blocks[..1])), Ok(1));
    let one = room_in(&bench);
    assert!(one > room_of(&blocks[..1]), "sealed bodies are counted");
    // Empty blocks are of one length.
    let capacity = bounded(2 * one, u64::MAX);
    bench.ledger = bench.ledger.with_capacity(capacity);
    let refusal = verdict(&bench.reported(&quiet, &blocks)).unwrap_err();
    assert!(refusal.contains("--network-mib-max"), "{refusal}");
    assert_eq!(room_in(&bench), 2 * one);
    // What is kept is known.
    assert_eq!(verdict(&bench.reported(&quiet, &blocks[..2])), Ok(2));
    let (mut bench, _) = bench.restart();
    bench.ledger = bench.ledger.with_capacity(capacity);
    assert_eq!(room_in(&bench), 2 * one);
    assert!(verdict(&bench.reported(&quiet, &blocks[2..])).is_err());
    let reset = quiet.reset(1, 2, blocks[0].hash());
    bench.reset(&quiet, &reset);
    assert_eq!(room_in(&bench), 2 * one, "not before it is executed");
    bench.reset_answered(&quiet, 1, ResetAnswer::Executed);
    assert_eq!(room_in(&bench), one);
    let (mut bench, _) = bench.restart();
    bench.ledger = bench.ledger.with_capacity(capacity);
    assert_eq!(room_in(&bench), one);
    assert_eq!(verdict(&bench.reported(&quiet, &blocks[1..2])), Ok(2));
    assert_eq!(room_in(&bench), 2 * one);
}

#[test]
fn a_private_network_for_which_there_is_no_room_is_not_kept() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    bench.ledger = bench.ledger.with_capacity(bounded(u64::MAX, 100));
    let block = quiet.mine(0);
    let outputs = bench.reported(&quiet, std::slice::from_ref(&block));
    let refusal = verdict(&outputs).unwrap_err();
    assert!(refusal.contains("--total-mib-max"), "{refusal}");
    assert!(changes(&outputs).is_empty(), "{outputs:?}");
    let summary = bench.ledger.summary();
    assert_eq!((summary.kept_bytes, summary.networks), (0, 0));
}

#[test]
fn a_branch_found_broken_leaves_the_store_and_is_counted_back() {
    let genesis = genesis(1);
    let mut ledger = registered(&genesis);
    let mut chain = Chain::new(genesis);
    let id = chain.chain_id();
    let first = mine(&mut chain, 0);
    let mut fork = chain.clone();
    let main = [first, mine(&mut chain, 0), mine(&mut chain, 0)];
    report(&mut ledger, id, &main);
    // Heavier than the main chain only with its third block, and executed only then.
    let mut branch = vec![broken(&fork, 1)];
    for _ in 0..2 {
        mine(&mut fork, 1);
        let previous = branch.last().unwrap().hash();
        branch.push(changed(&fork, 1, |template| {
            template.header.previous = previous
        }));
    }
    let outputs = report(&mut ledger, id, &branch[..2]);
    assert_eq!(stored_and_gone(&outputs), (hashes(&branch[..2]), vec![]));
    let kept = room_of(&main) + room_of(&branch[..2]);
    assert_eq!(ledger.summary().kept_bytes, kept);
    let outputs = report(&mut ledger, id, &branch[2..]);
    assert!(verdict(&outputs).is_err());
    let (stored, mut gone) = stored_and_gone(&outputs);
    gone.sort();
    let mut expected = hashes(&branch[..2]);
    expected.sort();
    assert_eq!((stored, gone), (vec![], expected));
    assert_eq!(ledger.summary().kept_bytes, room_of(&main));
}

#[test]
fn a_broken_block_beside_the_main_chain_does_not_keep_the_tracker_from_starting() {
    let genesis = genesis(1);
    let data = tempdir().unwrap();
    let store = Store::open(data.path()).unwrap();
    let mut ledger = Ledger::new(Forwarding::On);
    let wish = Wish {
        genesis: genesis.encode(),
        listing: Listing::Listed,
        label: None,
    };
    let connection = ConnectionId(1);
    ledger.handle(NOW, Input::RegistrationAsked { connection, wish });
    store.commit(&changes(&drain(&mut ledger))).unwrap();
    let mut chain = Chain::new(genesis);
    let mut fork = chain.clone();
    let id = chain.chain_id();
    let main: Vec<_> = (0..5).map(|_| mine(&mut chain, 0)).collect();
    // The store reads blocks of one height by their hash: it comes before the one on the main chain.
    let bad = (1..=u8::MAX).map(|mark| broken(&fork, mark));
    let bad = { bad }.find(|bad| bad.hash() < main[0].hash()).unwrap();
    let mut branch = vec![bad];
    for _ in 0..3 {
        mine(&mut fork, 1);
        let previous = branch.last().unwrap().hash();
        branch.push(changed(&fork, 1, |template| {
            template.header.previous = previous
        }));
    }
    for blocks in [&main, &branch] {
        let outputs = report(&mut ledger, id, blocks);
        assert_eq!(verdict(&outputs), Ok(5));
        store.commit(&changes(&outputs)).unwrap();
    }
    let mut restored = store.restore(Forwarding::On, NOW).unwrap();
    assert_eq!(restored.summary(), ledger.summary());
    assert_eq!(
        restored.summary().kept_bytes,
        room_of(&main) + room_of(&branch)
    );
    drain(&mut restored);
    assert_eq!(verdict(&report(&mut restored, id, &main)), Ok(5));
}

/// A block on this chain's genesis, so long after it.
fn first(root: &Chain, mark: u64, intervals: u64) -> Block {
    let genesis = root.genesis();
    let record = MinerRecord {
        key: genesis.owner,
        free: mark.to_be_bytes(),
    };
    let pause = u64::from(genesis.rules.interval_ms) * intervals;
    let at = genesis.created_at.plus_ms(pause);
    solve(genesis, &root.template(record, Vec::new(), at))
}

#[test]
fn a_branch_too_light_to_be_kept_leaves_the_store_and_is_counted_back() {
    let genesis = genesis(1);
    let mut ledger = registered(&genesis);
    let mut chain = Chain::new(genesis);
    let id = chain.chain_id();
    let root = chain.clone();
    let main = [mine(&mut chain, 0), mine(&mut chain, 0)];
    report(&mut ledger, id, &main);
    let count = shared::limits::SIDE_HEADERS_MAX as u64;
    let side: Vec<_> = (1..=count).map(|mark| first(&root, mark, 1)).collect();
    for blocks in side.chunks(limits::UPDATE_BLOCKS_MAX) {
        let outputs = report(&mut ledger, id, blocks);
        assert_eq!(hashes(blocks), stored_and_gone(&outputs).0);
    }
    // Empty blocks are of one length.
    let kept = room_of(&main) + room_of(&side);
    assert_eq!(ledger.summary().kept_bytes, kept);
    // One that is lighter than all of them is not taken, and nothing is written for it.
    let light = first(&root, 0, 60);
    let outputs = report(&mut ledger, id, std::slice::from_ref(&light));
    let refusal = verdict(&outputs).unwrap_err();
    assert!(refusal.contains("lighter than all"), "{refusal}");
    assert_eq!(stored_and_gone(&outputs).0, []);
    // One that is as heavy takes the place of another, unless it is the one that goes.
    let outputs = report(&mut ledger, id, &[first(&root, count + 1, 1)]);
    let (stored, gone) = stored_and_gone(&outputs);
    assert!(gone.len() == 1 && stored.len() <= 1);
    assert_eq!(ledger.summary().kept_bytes, kept);
    // A branch whose first block is light and which is heavy as a whole comes in.
    let mut heavy = root;
    heavy.insert(light.clone(), NOW).unwrap();
    let mut blocks = vec![light];
    while heavy.tip().work <= side[0].header().work() {
        blocks.push(mine(&mut heavy, 7));
    }
    let outputs = report(&mut ledger, id, &blocks);
    assert_eq!(stored_and_gone(&outputs).0, hashes(&blocks));
    assert_eq!(ledger.summary().kept_bytes, kept);
    assert_eq!(ledger.books[&id].chain.tip().height, Height(2));
}

#[test]
fn a_long_light_chain_among_many_branches_is_read_back_as_it_was() {
    let directory = tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let genesis = genesis(1);
    let mut ledger = Ledger::new(Forwarding::On);
    let wish = Wish {
        genesis: genesis.encode(),
        listing: Listing::Listed,
        label: None,
    };
    let connection = ConnectionId(1);
    ledger.handle(NOW, Input::RegistrationAsked { connection, wish });
    store.commit(&changes(&drain(&mut ledger))).unwrap();
    let root = Chain::new(genesis);
    let id = root.chain_id();
    let side = first(&root, 1, 1);
    // Slow blocks are light ones: many are heavier than the one at the first height.
    let mut slow = root.clone();
    let mut main = Vec::new();
    while slow.tip().work <= side.header().work() {
        let pause = 60 * u64::from(root.genesis().rules.interval_ms);
        let at = slow.tip().timestamp.plus_ms(pause);
        let record = MinerRecord {
            key: root.genesis().owner,
            free: [0; 8],
        };
        let block = solve(slow.genesis(), &slow.template(record, Vec::new(), at));
        slow.insert(block.clone(), NOW).unwrap();
        main.push(block);
    }
    assert!(main.len() > 2, "{}", main.len());
    let count = shared::limits::SIDE_HEADERS_MAX as u64;
    let sides: Vec<_> = (1..=count).map(|mark| first(&root, mark, 1)).collect();
    for blocks in [&main, &sides]
        .into_iter()
        .flat_map(|blocks| blocks.chunks(50))
    {
        let outputs = report(&mut ledger, id, blocks);
        store.commit(&changes(&outputs)).unwrap();
    }
    let restored = store.restore(Forwarding::On, NOW).unwrap();
    assert_eq!(restored.summary(), ledger.summary());
    assert_eq!(restored.books[&id].tip(), ledger.books[&id].tip());
}
