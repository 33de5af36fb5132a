//! A tab that keeps recent blocks only. Nobody tells a browser yet what is final: the checkpoint is in its store, where it would be.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use node_wasm::seam::{Event, MiningWhen};
use shared::{
    block::MinerRecord,
    chain::Chain,
    enterprise::FinalBlock,
    ids::{Height, PublicKey},
    miner::{Miner, Step},
};

use crate::world::{World, genesis};

const BLOCKS: u32 = 300;
const FINAL: u32 = 290;
const KEPT: u32 = 64;

/// A chain of empty blocks, an interval apart.
fn grown() -> Chain {
    let mut chain = Chain::new(genesis("net"));
    for _ in 0..BLOCKS {
        let now = chain
            .tip()
            .timestamp
            .plus_ms(chain.genesis().rules.interval());
        let miner = MinerRecord {
            key: PublicKey([7; 32]),
            free: [0; 8],
        };
        let template = chain.template(miner, Vec::new(), now);
        let target = template.header.target.target();
        let Step::Found(solution) =
            Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
        else {
            panic!("no nonce")
        };
        let block = template.solved(chain.genesis(), solution).unwrap();
        chain.insert(block, now).unwrap();
    }
    chain
}

fn checkpoint(chain: &Chain) -> Vec<u8> {
    let hash = chain.hash_at(Height(FINAL)).unwrap();
    let mut bytes = chain.chain_id().0.0.to_vec();
    bytes.extend(FINAL.to_be_bytes());
    bytes.extend(hash.0);
    bytes.extend(chain.work_of(&hash).unwrap().to_be_bytes());
    FinalBlock::from_checkpoint(&bytes).unwrap().encode()
}

/// Two tabs that know the checkpoint and keep recent blocks: one holds the whole chain, the other nothing. The tracker has it all.
fn world() -> World {
    let (chain, mut world) = (grown(), World::new(2));
    world.now = chain.tip().timestamp.plus_ms(1_000);
    let blocks = (1..=BLOCKS).filter_map(|height| chain.block_at(Height(height)));
    let held = blocks.map(|block| (format!("block/{}", block.hash()), block.encode()));
    let storage = &mut world.tabs[0].storage;
    storage.extend(held);
    storage.insert("tip".to_owned(), chain.tip().hash.0.to_vec());
    for tab in 0..2 {
        world.tabs[tab]
            .storage
            .insert("final".to_owned(), checkpoint(&chain));
        world.tabs[tab].keeps = Some(KEPT);
        world.reload(tab);
    }
    world.tracker.chain = Some(chain);
    world
}

fn stored(world: &World, tab: usize) -> usize {
    let keys = world.tabs[tab].storage.keys();
    keys.filter(|key| key.starts_with("block/")).count()
}

fn from(world: &World, tab: usize) -> u32 {
    world.tabs[tab].engine.status().bodies_from
}

#[test]
fn old_blocks_go_once_the_tracker_has_them_and_a_reload_comes_back_to_the_same() {
    let mut world = world();
    world.run(5_000);
    assert_eq!(
        (world.height(0), from(&world, 0)),
        (BLOCKS, 1),
        "nobody else is known to have them"
    );
    world.connect(0);
    world.run(5_000);
    let lowest = BLOCKS - KEPT + 1;
    assert_eq!(
        (from(&world, 0), stored(&world, 0)),
        (lowest, KEPT as usize)
    );
    assert_eq!(
        world.tabs[0].engine.blocks(Some(1), BLOCKS).len(),
        KEPT as usize
    );
    let tip = world.tabs[0].engine.status().tip_hash;
    world.reload(0);
    world.run(3_000);
    let status = world.tabs[0].engine.status();
    assert_eq!((status.tip_hash, status.bodies_from), (tip, lowest));
    let damaged = |event: &Event| matches!(event, Event::StorageDamaged { .. });
    assert!(!world.tabs[0].events.iter().any(damaged));
    world.mine(0, MiningWhen::Always);
    world.run_until("it mines on", |world| world.height(0) > BLOCKS);
}

#[test]
fn a_pruned_tab_gives_a_newcomer_what_it_has() {
    let mut world = world();
    world.connect(0);
    world.run(5_000);
    assert_eq!(stored(&world, 0), KEPT as usize);
    world.connect(1);
    world.run_until("the newcomer is there", |world| world.height(1) == BLOCKS);
    assert_eq!(world.tips().len(), 1);
    assert_eq!(from(&world, 1), FINAL + 1, "the state came as a snapshot");
    assert_eq!(stored(&world, 1), (BLOCKS - FINAL) as usize);
    world.say(1, "from the newcomer");
    world.mine(0, MiningWhen::Pending);
    world.run_until("both have it", |world| {
        world.height(1) > BLOCKS && world.tips().len() == 1
    });
}
