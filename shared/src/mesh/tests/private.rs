//! Private networks: what the tracker sees, and what is not taken from it.

use super::super::*;
use super::world::{World, genesis};
use crate::private::NetworkKey;

fn keys(byte: u8) -> NetworkKeys {
    NetworkKey::from_bytes([byte; 32]).keys()
}

fn connected(count: u8) -> World {
    let mut world = World::private(count, &keys(7));
    (0..world.ends.len()).for_each(|end| world.connect(end));
    world.settle();
    world
}

#[test]
fn members_of_a_private_network_link_and_the_tracker_reads_nothing() {
    let world = connected(3);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert_eq!(world.transports(a, b), [Some(Transport::Direct); 2]);
    }
    assert!(world.signals.is_empty() && world.registered.is_empty());
    // A description, a key, the genesis: nothing of it is anywhere in what passed.
    let secrets = [
        b"fingerprint".to_vec(),
        world.ends[0].mesh.public_key().0.to_vec(),
        genesis().chain_id().0.0.to_vec(),
        genesis().encode()[..16].to_vec(),
    ];
    assert!(world.seen.len() > 6);
    for (frame, secret) in world
        .seen
        .iter()
        .flat_map(|f| secrets.iter().map(move |s| (f, s)))
    {
        assert!(!frame.windows(secret.len()).any(|window| window == secret));
    }
    let nonces: BTreeSet<&[u8]> = world.seen.iter().map(|frame| &frame[1..25]).collect();
    assert_eq!(nonces.len(), world.seen.len(), "a nonce came twice");
}

#[test]
fn messages_go_sealed_over_the_relay_where_no_direct_channel_opens() {
    let mut world = World::private(2, &keys(7));
    world.direct_works = false;
    (0..2).for_each(|end| world.connect(end));
    world.settle();
    assert_eq!(world.transports(0, 1), [Some(Transport::Relay); 2]);
    let text = b"\0\x05a message that only members read".repeat(2_000);
    let peer = world.peer(1);
    let bytes = text.clone();
    world.give(0, Input::SendRequested { peer, bytes });
    world.settle();
    assert_eq!(world.ends[1].delivered, [(world.peer(0), text)]);
    let words = b"only members";
    let is_read = |frame: &Vec<u8>| frame.windows(words.len()).any(|window| window == words);
    assert!(!world.seen.iter().any(is_read));
}

#[test]
fn unsealed_foreign_and_changed_frames_are_refused() {
    let mut world = connected(2);
    let (from, to) = (world.peer(1), world.peer(0));
    let hello = wire::wrap(wire::Incarnation(1), wire::Incarnation(0), b"\x01\x03\x01");
    let nonce = [3; 24];
    let good = Sealed::Link(hello.clone()).seal(&keys(7), (from, to), &nonce);
    let mut changed = good.clone();
    *changed.last_mut().unwrap() ^= 1;
    let mut other_kind = good.clone();
    other_kind[0] = 2;
    for (frame, what) in [
        (hello.clone(), "unsealed"),
        (
            Sealed::Link(hello.clone()).seal(&keys(8), (from, to), &nonce),
            "of another network",
        ),
        (
            Sealed::Link(hello).seal(&keys(7), (to, from), &nonce),
            "back to its sender",
        ),
        (changed, "changed"),
        (other_kind, "of another kind"),
        (good[..30].to_vec(), "cut"),
        (Vec::new(), "empty"),
    ] {
        let fact = FromTracker::Relayed { from, frame };
        let result = world.ends[0]
            .mesh
            .handle(world.now, Input::TrackerReceived(fact));
        assert!(matches!(result, Err(MeshError::Sealed { .. })), "{what}");
    }
}

#[test]
fn unsealed_signals_are_refused_in_a_private_network() {
    let mut open = World::connected(2);
    let (from, _, kind, signal) = open.signals.swap_remove(0);
    let mut world = connected(2);
    let fact = FromTracker::Signalled { from, kind, signal };
    let result = world.ends[1]
        .mesh
        .handle(world.now, Input::TrackerReceived(fact));
    assert!(matches!(result, Err(MeshError::Sealed { .. })));
}

#[test]
fn a_member_gives_the_genesis_to_who_has_the_key_and_not_without_end() {
    let mut world = connected(1);
    let (own, asker) = (world.peer(0), PeerId(crate::hash::Hash([5; 32])));
    let mut answers = 0;
    for turn in 0..20 {
        let frame = Sealed::GenesisWanted.seal(&keys(7), (asker, own), &[turn; 24]);
        let fact = FromTracker::Relayed { from: asker, frame };
        let mesh = &mut world.ends[0].mesh;
        mesh.handle(world.now, Input::TrackerReceived(fact))
            .unwrap();
        while let Some(output) = mesh.poll() {
            if let Output::Tracker(ToTracker::Relay { to, frame, .. }) = output {
                let told = Sealed::open(&keys(7), (own, to), &frame).unwrap();
                assert_eq!((to, told), (asker, Sealed::Genesis(genesis().encode())));
                answers += 1;
            }
        }
    }
    assert_eq!(answers, limits::GENESIS_ANSWERS_BURST);
}
