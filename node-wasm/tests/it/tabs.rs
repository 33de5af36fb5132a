//! Tabs that find each other, talk, mine and part.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use node_wasm::seam::{Event, Input, MiningWhen, Transport};

use crate::world::World;

#[test]
fn message_is_pending_in_both_tabs_and_mined_into_one_chain() {
    let mut world = World::connected(2);
    for tab in &world.tabs {
        let peers = tab.engine.status().peers;
        assert_eq!((peers.len(), peers[0].transport), (1, Transport::Direct));
    }
    world.say(0, "hello, <b>world</b>");
    world.run(1_000);
    for tab in &world.tabs {
        let pending = tab.engine.pending();
        assert_eq!(
            pending[0].transaction.text.as_deref(),
            Some("hello, <b>world</b>")
        );
        assert_eq!(pending[0].transaction.from, world.tabs[0].public_key());
    }
    world.mine(1, MiningWhen::Pending);
    world.run_until("both have the block", |world| {
        world.height(0) == 1 && world.height(1) == 1
    });
    assert_eq!(world.tips().len(), 1);
    world.run(5_000);
    assert_eq!(world.height(1), 1, "mining stops when nothing is pending");
    for tab in &world.tabs {
        assert!(tab.engine.pending().is_empty());
        assert_eq!(
            tab.engine.blocks(None, 50)[0].transactions[0]
                .text
                .as_deref(),
            Some("hello, <b>world</b>")
        );
    }
    let confirmed = |event: &Event| matches!(event, Event::Confirmed { height: 1, .. });
    assert!(world.tabs[0].events.iter().any(confirmed));
}

#[test]
fn connections_are_made_with_the_servers_that_the_tracker_told_last() {
    let mut world = World::new(3);
    world.connect(0);
    world.connect(1);
    world.run(2_000);
    let renewed = r#"{"type":"ice_servers","ice_servers":[{"urls":["turn:renewed"],"username":"1:00","credential":"AA=="}]}"#;
    // One that is not as it should be takes nothing away.
    let malformed = r#"{"type":"ice_servers","ice_servers":[{"username":"2:00"}]}"#;
    for text in [renewed, malformed] {
        let text = text.to_owned();
        world.give(0, Input::TrackerMessage { text });
    }
    world.connect(2);
    world.run(2_000);
    assert_eq!(world.tabs[0].made_with, ["stun:example", "turn:renewed"]);
    for tab in [1, 2] {
        assert_eq!(world.tabs[tab].made_with, ["stun:example"; 2]);
    }
    for tab in &world.tabs {
        let peers = tab.engine.status().peers;
        let is_direct = |transport| transport == Transport::Direct;
        assert!(peers.iter().all(|peer| is_direct(peer.transport)));
        assert_eq!(peers.len(), 2);
    }
    let refused =
        |event: &&Event| matches!(event, Event::Refused { source, .. } if source == "tracker");
    assert_eq!(world.tabs[0].events.iter().filter(refused).count(), 1);
}

#[test]
fn a_message_of_a_newer_tracker_is_ignored() {
    let mut world = World::connected(2);
    let text = r#"{"type":"what_nobody_knows_yet","peers":7}"#.to_owned();
    world.give(0, Input::TrackerMessage { text });
    world.run(1_000);
    let refused = |event: &Event| matches!(event, Event::Refused { .. });
    assert!(!world.tabs[0].events.iter().any(refused));
    assert_eq!(world.tabs[0].engine.status().peers.len(), 1);
}

#[test]
fn everything_works_over_the_relay_alone() {
    let mut world = World::new(2);
    world.direct_works = false;
    world.connect(0);
    world.connect(1);
    world.run(2_000);
    assert_eq!(
        world.tabs[0].engine.status().peers[0].transport,
        Transport::Relay
    );
    world.say(0, "relayed");
    world.mine(1, MiningWhen::Pending);
    world.run_until("both have the block", |world| {
        world.height(0) == 1 && world.height(1) == 1
    });
    assert_eq!(world.tabs[0].sent_over_channels, 0);
}

#[test]
fn mined_blocks_are_reported_and_confirmed() {
    let mut world = World::connected(2);
    world.mine(0, MiningWhen::Always);
    world.run_until("three blocks are synced", |world| {
        world
            .tabs
            .iter()
            .all(|tab| tab.engine.status().synced_height >= 3)
    });
    world.mine(0, MiningWhen::Off);
    world.run(10_000);
    let tip = world.tracker.chain.as_ref().unwrap().tip();
    assert_eq!(tip.hash.to_string(), world.tabs[0].engine.status().tip_hash);
    assert!(
        world.tabs[0]
            .events
            .iter()
            .any(|event| matches!(event, Event::Synced { .. }))
    );
}

#[test]
fn tabs_go_on_without_the_tracker_and_report_when_it_is_back() {
    let mut world = World::connected(2);
    world.lose_tracker();
    world.say(0, "nobody listens");
    world.mine(1, MiningWhen::Pending);
    world.run_until("both have the block", |world| {
        world.height(0) == 1 && world.height(1) == 1
    });
    assert_eq!(world.tracker.chain.as_ref().unwrap().tip().height.0, 0);
    world.connect(0);
    world.connect(1);
    world.run_until("the tracker has it", |world| {
        world.tracker.chain.as_ref().unwrap().tip().height.0 == 1
    });
    world.run_until("both know", |world| {
        world
            .tabs
            .iter()
            .all(|tab| tab.engine.status().synced_height == 1)
    });
}

#[test]
fn reloaded_tab_has_its_chain_and_its_outbox_from_storage() {
    let mut world = World::new(1);
    world.say(0, "kept");
    world.mine(0, MiningWhen::Pending);
    world.run_until("mined", |world| world.height(0) == 1);
    world.mine(0, MiningWhen::Off);
    world.say(0, "waiting");
    world.run(500);
    let tips = world.tips();
    world.reload(0);
    assert_eq!(world.tips(), tips);
    let pending = world.tabs[0].engine.pending();
    assert_eq!(pending.len(), 1);
    assert_eq!(
        (
            pending[0].transaction.text.as_deref(),
            pending[0].transaction.sequence
        ),
        (Some("waiting"), 1)
    );
}

#[test]
fn newcomer_syncs_from_a_tab() {
    let mut world = World::new(2);
    world.connect(0);
    world.mine(0, MiningWhen::Always);
    world.run_until("there is a chain", |world| world.height(0) >= 12);
    world.mine(0, MiningWhen::Off);
    world.connect(1);
    world.run_until("the newcomer has it", |world| {
        world.height(1) == world.height(0)
    });
    assert_eq!(world.tips().len(), 1);
}

#[test]
fn reloaded_tab_is_linked_again_and_catches_up() {
    let mut world = World::connected(3);
    world.reload(2);
    world.say(0, "while you were away");
    world.mine(1, MiningWhen::Pending);
    world.run_until("mined", |world| {
        world.height(0) == 1 && world.height(1) == 1
    });
    world.connect(2);
    world.run_until("caught up", |world| world.height(2) == 1);
    let peers = world.tabs[2].engine.status().peers;
    assert_eq!(peers.len(), 2);
}

#[test]
fn diverged_tabs_agree_when_they_meet_and_lose_no_message() {
    let mut world = World::connected(2);
    world.lose_tracker();
    for tab in [0, 1] {
        world.reload(tab);
    }
    for tab in [0, 1] {
        world.say(tab, "apart");
        world.mine(tab, MiningWhen::Pending);
    }
    world.run_until("each has its own block", |world| {
        world.height(0) >= 1 && world.height(1) >= 1
    });
    assert_eq!(world.tips().len(), 2);
    world.connect(0);
    world.connect(1);
    world.run_until("one chain with both messages", |world| {
        let messages = |tab: usize| -> usize {
            world.tabs[tab]
                .engine
                .blocks(None, 50)
                .iter()
                .map(|block| block.transactions.len())
                .sum()
        };
        world.tips().len() == 1 && messages(0) == 2 && messages(1) == 2
    });
}
