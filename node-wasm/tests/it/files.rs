//! Export, import, the localStorage window.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use node_wasm::engine::{WINDOW_BLOCKS_MAX, WINDOW_BYTES_MAX};
use node_wasm::seam::{Event, Input, MiningWhen};
use serde_json::{Value, json};

use crate::world::World;

/// A tab with some blocks, and an empty one that is not connected to it.
fn exporter_and_importer() -> (World, Value) {
    let mut world = World::new(2);
    world.say(0, "first");
    world.mine(0, MiningWhen::Always);
    world.run_until("there is a chain", |world| world.height(0) >= 5);
    world.mine(0, MiningWhen::Off);
    world.say(0, "waiting");
    world.run(200);
    let text = world.tabs[0].engine.export_chain(world.now);
    let file = serde_json::from_str(&text).unwrap();
    (world, file)
}

fn import(world: &mut World, tab: usize, file: &Value) -> Event {
    world.tabs[tab].events.clear();
    let text = file.to_string();
    world.give(tab, Input::Import { request: 42, text });
    world.run(0);
    let is_answer = |event: &&Event| {
        matches!(
            event,
            Event::Imported { request: 42, .. } | Event::ImportRefused { request: 42, .. }
        )
    };
    world.tabs[tab]
        .events
        .iter()
        .find(is_answer)
        .cloned()
        .expect("an answer")
}

#[test]
fn exported_chain_is_taken_by_an_empty_node_once() {
    let (mut world, file) = exporter_and_importer();
    let height = world.height(0) as usize;
    assert_eq!(file["export_metadata"]["export_version"], "2.0");
    assert_eq!(file["total_blocks"], height);
    assert_eq!(file["pending"][0]["text"], "waiting");
    assert_eq!(
        import(&mut world, 1, &file),
        Event::Imported {
            request: 42,
            accepted: height,
            already_known: 0
        }
    );
    assert_eq!(world.tips().len(), 1);
    assert_eq!(
        import(&mut world, 1, &file),
        Event::Imported {
            request: 42,
            accepted: 0,
            already_known: height
        }
    );
}

#[test]
fn message_that_lost_its_place_is_kept_and_shown() {
    let mut world = World::with_one_key(2);
    world.say(0, "came first");
    world.mine(0, MiningWhen::Pending);
    world.run_until("it is in a block", |world| world.height(0) == 1);
    world.say(1, "came second");
    world.run(200);
    assert_eq!(world.tabs[1].engine.conflicts(), []);
    let file = serde_json::from_str(&world.tabs[0].engine.export_chain(world.now)).unwrap();
    let Event::Imported { accepted: 1, .. } = import(&mut world, 1, &file) else {
        panic!("refused")
    };
    for _ in 0..2 {
        let lost = world.tabs[1].engine.conflicts();
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].transaction.text.as_deref(), Some("came second"));
        world.reload(1);
    }
}

#[test]
fn tampered_file_is_refused_as_a_whole_with_a_reason() {
    let (mut world, good) = exporter_and_importer();
    let changes: [(&str, &str, Value); 6] = [
        ("/chain/0/transactions/0/text", "tampered", json!("other")),
        ("/chain/1/block_hash", "tampered", json!("00".repeat(32))),
        ("/chain/2/timestamp", "tampered", json!(1)),
        ("/chain/0/miner", "invalid", json!("11".repeat(40))),
        ("/chain_id", "tampered", json!("22".repeat(32))),
        ("/genesis", "genesis", json!("00")),
    ];
    for (place, reason_has, value) in changes {
        let mut file = good.clone();
        *file.pointer_mut(place).unwrap() = value;
        let Event::ImportRefused { reason, .. } = import(&mut world, 1, &file) else {
            panic!("{place} was taken")
        };
        assert!(reason.contains(reason_has), "{place}: {reason}");
        assert_eq!(world.height(1), 0);
    }
}

#[test]
fn reordered_missing_and_foreign_blocks_are_refused() {
    let (mut world, good) = exporter_and_importer();
    let mut gap = good.clone();
    gap["chain"].as_array_mut().unwrap().remove(0);
    let Event::ImportRefused { reason, .. } = import(&mut world, 1, &gap) else {
        panic!("a gap was taken")
    };
    assert!(reason.contains("does not connect"), "{reason}");

    let mut legacy = good.clone();
    legacy["export_metadata"]["export_version"] = json!("1.0");
    let Event::ImportRefused { reason, .. } = import(&mut world, 1, &legacy) else {
        panic!("1.0 was taken")
    };
    assert!(reason.contains("unverified legacy"), "{reason}");

    let mut foreign = good;
    let other = crate::world::genesis("other");
    foreign["genesis"] = json!(hex::encode(other.encode()));
    foreign["chain_id"] = json!(other.chain_id().to_string());
    let Event::ImportRefused { reason, .. } = import(&mut world, 1, &foreign) else {
        panic!("another chain was taken")
    };
    assert!(reason.contains("another chain"), "{reason}");
    assert!(matches!(
        import(&mut world, 1, &json!([])),
        Event::ImportRefused { .. }
    ));
    assert_eq!(world.height(1), 0);
}

#[test]
fn window_holds_the_newest_blocks_and_stays_small() {
    let mut world = World::new(1);
    world.mine(0, MiningWhen::Always);
    world.run_until("there is a chain", |world| {
        world.height(0) > WINDOW_BLOCKS_MAX + 2
    });
    world.mine(0, MiningWhen::Off);
    for _ in 0..10 {
        world.say(0, &"x".repeat(4_000));
    }
    world.run(200);
    let text = world.tabs[0].engine.window(world.now);
    assert!(text.len() < 2 * WINDOW_BYTES_MAX + 1_000);
    let window: Value = serde_json::from_str(&text).unwrap();
    let blocks = window["chain"].as_array().unwrap();
    assert_eq!(blocks.len(), WINDOW_BLOCKS_MAX as usize);
    assert_eq!(blocks.last().unwrap()["block_id"], world.height(0));
    assert_eq!(window["pending"].as_array().unwrap().len(), 10);
    assert_eq!(window["lastSaved"], world.now.0);
    assert_eq!(window["chain_id"], world.genesis.chain_id().to_string());
}

#[test]
fn window_refills_a_node_that_has_the_blocks_below() {
    let (mut world, file) = exporter_and_importer();
    let mut first = file.clone();
    first["chain"].as_array_mut().unwrap().truncate(2);
    let Event::Imported { accepted: 2, .. } = import(&mut world, 1, &first) else {
        panic!("refused")
    };
    let mut rest = file;
    rest["chain"].as_array_mut().unwrap().drain(..2);
    let Event::Imported { .. } = import(&mut world, 1, &rest) else {
        panic!("refused")
    };
    assert_eq!(world.tips().len(), 1);
}
