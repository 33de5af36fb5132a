use std::vec::Vec;

use super::signal::{Fingerprint, Signal};
use super::*;

mod members;
mod pairing;
mod private;
mod world;
use world::{HOST, World, chain};

const DIRECT: [Option<Transport>; 2] = [Some(Transport::Direct); 2];
const RELAY: [Option<Transport>; 2] = [Some(Transport::Relay); 2];

/// Sends one message each way and answers whether both arrived, and nothing else.
fn exchange(world: &mut World, a: usize, b: usize) -> bool {
    let long: Vec<u8> = (0..50_000_u32).map(|i| (i % 250) as u8).collect();
    for end in [a, b] {
        world.ends[end].delivered.clear();
    }
    world.send(a, b, &long);
    world.send(b, a, b"short");
    world.settle();
    world.ends[b].delivered == [(world.peer(a), long)]
        && world.ends[a].delivered == [(world.peer(b), b"short".to_vec())]
}

#[test]
fn two_tabs_find_each_other_and_go_direct() {
    let mut world = World::connected(2);
    assert_eq!(world.transports(0, 1), DIRECT);
    let relayed = world.relayed;
    assert!(exchange(&mut world, 0, 1));
    assert_eq!(world.relayed, relayed, "messages take the direct channel");
    assert_eq!(world.ends[0].ups[&world.peer(1)], 1, "the switch is silent");
    assert!(world.ends.iter().all(|end| end.errors.is_empty()));
}

#[test]
fn relay_carries_everything_where_no_direct_channel_opens() {
    let mut world = World::new(2);
    world.direct_works = false;
    world.connect(0);
    world.connect(1);
    world.settle();
    assert_eq!(world.transports(0, 1), RELAY);
    assert!(exchange(&mut world, 0, 1));
    world.advance(300_000);
    assert_eq!(
        world.transports(0, 1),
        RELAY,
        "failing attempts disturb nothing"
    );
    assert_eq!(world.ends[0].ups[&world.peer(1)], 1);
    assert!(exchange(&mut world, 0, 1));
    world.direct_works = true;
    world.advance(90_000);
    assert_eq!(
        world.transports(0, 1),
        DIRECT,
        "dialling goes on with back-off"
    );
}

#[test]
fn open_channel_that_carries_nothing_is_not_used() {
    let mut world = World::new(2);
    world.direct_carries = false;
    world.connect(0);
    world.connect(1);
    world.settle();
    assert_eq!(world.transports(0, 1), RELAY);
    assert!(exchange(&mut world, 0, 1));
}

#[test]
fn failed_channel_falls_back_to_the_relay_and_the_node_syncs_anew() {
    let mut world = World::connected(2);
    world.direct_works = false;
    world.break_channels();
    world.settle();
    assert_eq!(world.transports(0, 1), RELAY);
    assert_eq!(world.ends[0].ups[&world.peer(1)], 2);
    assert!(exchange(&mut world, 0, 1));
    world.direct_works = true;
    world.advance(60_000);
    assert_eq!(world.transports(0, 1), DIRECT);
}

#[test]
fn silent_channel_is_given_up_within_half_a_minute() {
    let mut world = World::connected(2);
    world.direct_carries = false;
    world.advance(31_000);
    assert_eq!(world.transports(0, 1), RELAY);
    assert!(exchange(&mut world, 0, 1));
}

#[test]
fn keep_alive_keeps_a_quiet_link_up() {
    let mut world = World::connected(2);
    world.advance(3_600_000);
    assert_eq!(world.transports(0, 1), DIRECT);
    assert_eq!(world.ends[0].ups[&world.peer(1)], 1);
}

#[test]
fn direct_link_outlives_the_tracker() {
    let mut world = World::connected(2);
    world.disconnect(0);
    world.disconnect(1);
    world.settle();
    world.advance(120_000);
    assert_eq!(world.transports(0, 1), DIRECT);
    assert!(exchange(&mut world, 0, 1));
    world.connect(1);
    world.connect(0);
    world.settle();
    assert_eq!(world.transports(0, 1), DIRECT);
    assert_eq!(
        world.ends[0].ups[&world.peer(1)],
        1,
        "the tracker's return changes nothing"
    );
}

#[test]
fn relayed_link_ends_with_the_tracker_and_returns_with_it() {
    let mut world = World::new(2);
    world.direct_works = false;
    world.connect(0);
    world.connect(1);
    world.settle();
    world.disconnect(1);
    world.settle();
    assert_eq!(world.transports(0, 1), [None, None]);
    assert!(world.ends.iter().all(|end| end.up.is_empty()));
    world.connect(1);
    world.settle();
    assert!(exchange(&mut world, 0, 1));
}

#[test]
fn reloaded_page_replaces_its_old_link() {
    for (end, cleanly) in [(0, true), (1, true), (0, false), (1, false)] {
        let mut world = World::connected(2);
        world.advance(5_000);
        world.reload(end, cleanly);
        world.connect(end);
        world.settle();
        world.advance(10_000);
        assert_eq!(
            world.transports(0, 1),
            DIRECT,
            "end {end}, cleanly {cleanly}"
        );
        assert!(exchange(&mut world, 0, 1));
        assert_eq!(world.ends[1 - end].ups[&world.peer(end)], 2);
    }
}

#[test]
fn tampered_signals_are_refused_and_the_relay_stays() {
    let other_fingerprint = |signal: &mut Signal| signal.fingerprint = Fingerprint([1; 32]);
    let other_payload = |signal: &mut Signal| signal.payload.push(' ');
    let other_certificate =
        |signal: &mut Signal| signal.payload = signal.payload.replace(":0A", ":0B");
    let other_key = |signal: &mut Signal| signal.key = Identity::from_seed([99; 32]).public_key();
    for tamper in [
        other_fingerprint,
        other_payload,
        other_certificate,
        other_key,
    ] {
        let mut world = World::new(2);
        world.tamper = Some(tamper);
        world.connect(0);
        world.connect(1);
        world.settle();
        assert_eq!(world.transports(0, 1), RELAY);
        assert!(
            matches!(world.ends[1].errors[0], MeshError::Signal { peer, .. } if peer == world.peer(0))
        );
    }
}

#[test]
fn man_in_the_middle_with_his_own_valid_key_is_refused() {
    let mut world = World::new(2);
    world.direct_works = false;
    world.connect(0);
    world.connect(1);
    world.settle();
    let (from, to, kind, mut signal) = world.signals[0].clone();
    let mallory = Identity::from_seed([99; 32]);
    let envelope = signal::Envelope {
        chain: chain(),
        from,
        to,
        kind,
        sender_role: Role::Initiator,
    };
    // A new attempt number, so that it is not refused as a replay first.
    signal.session.0[23] = 200;
    let forged = Signal::sign(
        &mallory,
        &envelope,
        signal.session,
        signal.fingerprint,
        signal.payload,
    );
    world.give(
        1,
        Input::TrackerReceived(FromTracker::Signalled {
            from,
            kind,
            signal: forged,
        }),
    );
    world.settle();
    assert_eq!(
        world.ends[1].errors,
        [MeshError::Signal {
            peer: from,
            reason: SignalError::Key
        }]
    );
}

#[test]
fn replayed_signals_are_refused() {
    let mut world = World::connected(2);
    world.break_channels();
    world.settle();
    let replays = world.signals.clone();
    for (from, to, kind, signal) in replays {
        let end = usize::from(to == world.peer(1));
        world.ends[end].errors.clear();
        world.give(
            end,
            Input::TrackerReceived(FromTracker::Signalled { from, kind, signal }),
        );
        world.settle();
        assert_eq!(
            world.ends[end].errors,
            [MeshError::Signal {
                peer: from,
                reason: SignalError::Stale
            }]
        );
    }
}

#[test]
fn oversized_signals_are_refused_unread() {
    let mut world = World::new(2);
    world.tamper = Some(|signal| signal.payload = "x".repeat(limits::SDP_BYTES_MAX + 1));
    world.connect(0);
    world.connect(1);
    world.settle();
    let found = limits::SDP_BYTES_MAX + 1;
    let reason = SignalError::TooLong {
        found,
        allowed: limits::SDP_BYTES_MAX,
    };
    assert_eq!(
        world.ends[1].errors[0],
        MeshError::Signal {
            peer: world.peer(0),
            reason
        }
    );
}

#[test]
fn nine_peers_mesh_fully() {
    let world = World::connected(9);
    for end in &world.ends {
        assert_eq!(end.up.len(), 8);
        assert!(
            end.mesh
                .peers()
                .all(|(_, transport)| transport == Transport::Direct)
        );
    }
}

#[test]
fn disconnected_peer_is_left_alone() {
    let mut world = World::connected(2);
    let peer = world.peer(1);
    world.give(0, Input::DisconnectRequested { peer });
    world.advance(300_000);
    assert_eq!(world.transports(0, 1)[0], None);
    world.advance(600_000);
    assert_eq!(world.transports(0, 1), DIRECT, "for ten minutes");
}

#[test]
fn unknown_network_is_registered_once() {
    let world = World::connected(3);
    assert_eq!(world.registered, BTreeMap::from([("test".into(), chain())]));
    let is_in = |end: &world::End| end.joined && end.refusals.is_empty();
    assert!(world.ends.iter().all(is_in));
}

fn label_beside() -> String {
    format!("test~{}", &chain().to_string()[..8])
}

#[test]
fn network_whose_label_is_taken_lives_beside_the_other() {
    let mut world = World::new(2);
    let other = ChainId(crate::hash::Hash([8; 32]));
    world.registered.insert("test".into(), other);
    world.connect(0);
    world.connect(1);
    world.settle();
    assert_eq!(world.registered.get(&label_beside()), Some(&chain()));
    assert_eq!(world.transports(0, 1), DIRECT);
}

#[test]
fn network_that_finds_no_place_is_refused_with_a_reason() {
    let mut world = World::new(1);
    let other = ChainId(crate::hash::Hash([8; 32]));
    world.registered.insert("test".into(), other);
    world.registered.insert(label_beside(), other);
    world.connect(0);
    world.settle();
    assert_eq!(
        world.ends[0].refusals,
        ["the tracker holds another network under the name test"]
    );
    world.registered.remove(&label_beside());
    world.advance(limits::REFUSED_MS);
    assert!(
        !world.ends[0].connected,
        "the driver is told to connect anew"
    );
    world.connect(0);
    world.settle();
    assert!(world.ends[0].mesh.is_joined());
}

#[test]
fn tracker_that_lets_us_into_another_chain_is_refused() {
    let mut world = World::new(1);
    world.give(0, Input::TrackerOpened);
    world.give(
        0,
        Input::TrackerReceived(FromTracker::Welcomed {
            provisional: vec![0; 32],
            nonce: vec![9; 32],
            host: String::from(HOST),
        }),
    );
    let chain = ChainId(crate::hash::Hash([8; 32]));
    world.give(
        0,
        Input::TrackerReceived(FromTracker::Joined {
            chain,
            peers: Vec::new(),
        }),
    );
    world.settle();
    assert!(!world.ends[0].mesh.is_joined());
    assert_eq!(world.ends[0].refusals.len(), 1);
}

#[test]
fn tracker_that_does_not_answer_is_closed() {
    let mut world = World::new(1);
    world.give(0, Input::TrackerOpened);
    world.ends[0].connected = true;
    world.advance(limits::JOIN_STEP_MS);
    assert!(!world.ends[0].connected);
}

#[test]
fn machine_at_rest_orders_no_wake_up_in_the_past() {
    let mut world = World::connected(3);
    for _ in 0..100 {
        world.advance(997);
        assert!(
            world
                .ends
                .iter()
                .all(|end| end.wake_at.is_some_and(|at| at > world.now))
        );
    }
}

/// Random troubles, with deliveries cut short anywhere between them; then rest. The world asserts after each step that
/// `PeerUp` and `PeerDown` alternate and that nothing comes from a peer that is not up.
#[test]
fn after_any_troubles_everyone_is_linked_directly_again() {
    for seed in 0..60 {
        let mut world = World::connected(4);
        let mut random = seed;
        for _ in 0..60 {
            trouble(&mut world, &mut random);
        }
        world.direct_works = true;
        world.direct_carries = true;
        world.settle();
        for end in 0..4 {
            if !world.ends[end].connected {
                world.connect(end);
            }
        }
        world.advance(400_000);
        for (a, b) in [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)] {
            assert_eq!(world.transports(a, b), DIRECT, "seed {seed}, pair {a} {b}");
            assert!(exchange(&mut world, a, b), "seed {seed}, pair {a} {b}");
        }
    }
}

fn trouble(world: &mut World, random: &mut u64) {
    let mut draw = |below: u64| {
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((*random >> 33) % below).unwrap()
    };
    let (end, other) = (draw(4), draw(4));
    match draw(9) {
        0 | 1 if world.ends[end].connected => world.disconnect(end),
        0..=2 if !world.ends[end].connected => world.connect(end),
        3 => world.reload(end, draw(2) == 0),
        4 => world.break_channels(),
        5 => world.break_one_channel(draw(64)),
        6 => world.direct_works = draw(2) == 0,
        7 => world.direct_carries = draw(3) > 0,
        _ if end != other => world.send(end, other, &[7; 40_000]),
        _ => {}
    }
    let steps = draw(40);
    world.deliver(steps);
    if draw(3) == 0 {
        let ms = draw(30_000);
        world.advance(ms as u64);
    }
}
