//! Larger networks and networks without a tracker: what members do for each other.

use super::super::link::Origin;
use super::super::packet::{Ends, Greeting, Packet, Wish};
use super::super::wire::{Incarnation, LinkMessage};
use super::*;

fn chosen(world: &World, end: usize) -> BTreeSet<PeerId> {
    let links = &world.ends[end].mesh.links;
    links
        .iter()
        .filter(|(_, link)| link.is_told && link.origin == Origin::Chosen)
        .map(|(peer, _)| *peer)
        .collect()
}

fn alive(world: &World) -> BTreeSet<usize> {
    (0..world.ends.len())
        .filter(|end| !world.ends[*end].is_dead)
        .collect()
}

/// Kills every second end by this choice.
fn kill_half(world: &mut World, choice: u64) {
    let mut ends: Vec<usize> = (0..world.ends.len()).collect();
    ends.sort_by_cached_key(|end| sha256(&[&choice.to_be_bytes(), &world.peer(*end).0.0]));
    for end in ends.into_iter().take(world.ends.len() / 2) {
        world.kill(end);
    }
}

#[test]
fn larger_networks_keep_a_bounded_degree_and_stay_connected() {
    let mut world = World::connected(60);
    world.advance(5_000);
    for end in 0..60 {
        let links = world.ends[end].up.len();
        assert!((6..=limits::LINKS_MAX).contains(&links), "{links}");
        assert!(chosen(&world, end).len() >= limits::CHOSEN_PEERS_MIN);
    }
    assert_eq!(world.reached_from(0).len(), 60);
}

#[test]
fn survivors_are_connected_ten_seconds_after_half_of_all_died_without_a_tracker() {
    for choice in 0..8 {
        let mut world = World::connected(48);
        world.advance(5_000);
        world.kill_tracker();
        world.advance(1_000);
        kill_half(&mut world, choice);
        world.advance(10_000);
        let survivors = alive(&world);
        let start = *survivors.first().unwrap();
        assert_eq!(world.reached_from(start), survivors, "choice {choice}");
        for end in survivors {
            let links = world.ends[end].up.len();
            assert!((4..=limits::LINKS_MAX).contains(&links), "{links}");
        }
    }
}

#[test]
fn survivors_are_connected_ten_seconds_after_half_of_all_died_unnoticed_by_the_tracker() {
    for choice in 0..4 {
        let mut world = World::connected(48);
        world.advance(5_000);
        kill_half(&mut world, choice);
        world.advance(10_000);
        let survivors = alive(&world);
        let start = *survivors.first().unwrap();
        assert_eq!(world.reached_from(start), survivors, "choice {choice}");
    }
}

#[test]
fn newcomer_known_to_one_member_reaches_the_others_without_a_tracker() {
    let mut world = World::new(7);
    for end in 0..6 {
        world.connect(end);
    }
    world.settle();
    for end in 1..6 {
        world.disconnect(end);
    }
    world.settle();
    world.connect(6);
    world.settle();
    assert_eq!(
        world.ends[6].up.len(),
        1,
        "the tracker names one member only"
    );
    world.kill_tracker();
    world.advance(5_000);
    for other in 0..6 {
        assert_eq!(world.transports(6, other), DIRECT, "{other}");
        assert!(exchange(&mut world, 6, other));
    }
}

#[test]
fn broken_channel_is_dialled_again_over_a_member() {
    let mut world = World::connected(3);
    world.advance(1_000);
    world.kill_tracker();
    world.settle();
    world.break_one_channel(0);
    world.advance(15_000);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert_eq!(world.transports(a, b), DIRECT, "pair {a} {b}");
    }
}

#[test]
fn strangers_that_dial_first_leave_places_for_our_own_choice() {
    let mut world = World::new(60);
    // All but the last thirty are one attacker's, and each greets the victim before it knows anyone.
    let victim = 59;
    for end in 0..30 {
        world.connect(end);
    }
    world.settle();
    world.connect(victim);
    for hostile in 0..30 {
        let frame = wire::wrap(
            Incarnation(77),
            Incarnation::NONE,
            &LinkMessage::Hello.chunk(),
        );
        let from = world.peer(hostile);
        world.give(
            victim,
            Input::TrackerReceived(FromTracker::Relayed { from, frame }),
        );
    }
    world.settle();
    let accepted = world.ends[victim].mesh.links.values();
    let accepted = accepted.filter(|link| link.origin == Origin::Accepted);
    assert!(accepted.count() <= limits::ACCEPTED_LINKS_MAX);
    for end in 30..59 {
        world.connect(end);
    }
    world.advance(30_000);
    let before = chosen(&world, victim);
    assert!(before.len() >= limits::CHOSEN_PEERS_MIN);
    // They go on greeting with ever new incarnations; what we chose stays.
    for round in 0..20 {
        for hostile in 0..30 {
            let from = world.peer(hostile);
            if before.contains(&from) {
                continue;
            }
            let frame = wire::wrap(
                Incarnation(1_000 + round),
                Incarnation::NONE,
                &LinkMessage::Hello.chunk(),
            );
            world.give(
                victim,
                Input::TrackerReceived(FromTracker::Relayed { from, frame }),
            );
        }
        world.advance(1_000);
    }
    assert!(chosen(&world, victim).is_superset(&before));
    assert!(world.ends[victim].mesh.links.len() <= limits::LINKS_MAX);
}

/// A greeting of a peer whose key the caller has.
fn greeting(key: &Identity, to: PeerId, incarnation: u64) -> Packet {
    let ends = Ends {
        chain: chain(),
        from: key.peer_id(),
        to,
    };
    let from = Incarnation(incarnation);
    Packet::Greeting(Greeting::sign(
        key,
        &ends,
        Wish::Link,
        from,
        Incarnation::NONE,
    ))
}

fn forwarded(from: PeerId, packet: &Packet) -> Vec<u8> {
    let packet = packet.encode();
    LinkMessage::Forwarded { from, packet }.chunk()
}

#[test]
fn member_can_neither_forge_nor_replay_what_it_forwards() {
    let mut world = World::connected(3);
    world.advance(1_000);
    let (stranger, other) = (
        Identity::from_seed([200; 32]),
        Identity::from_seed([201; 32]),
    );
    let to = world.peer(0);
    let mut with_other_incarnation = greeting(&stranger, to, 5);
    if let Packet::Greeting(greeting) = &mut with_other_incarnation {
        greeting.from = Incarnation(6);
    }
    // Signed by another key, for another receiver, and with a changed incarnation.
    let forged = [
        greeting(&other, to, 5),
        greeting(&stranger, world.peer(2), 5),
        with_other_incarnation,
    ];
    for packet in &forged {
        world.inject(0, 1, forwarded(stranger.peer_id(), packet));
        world.settle();
        assert!(!world.ends[0].mesh.links.contains_key(&stranger.peer_id()));
    }
    assert_eq!(world.ends[0].errors.len(), 3);
    // An offer for a session that nobody is in, though signed by the stranger himself.
    let envelope = signal::Envelope {
        chain: chain(),
        from: stranger.peer_id(),
        to,
        kind: SignalKind::Offer,
        sender_role: Role::between(stranger.peer_id(), to),
    };
    let session = signal::Session([3; 24]);
    let sdp = String::from("v=0");
    let offer = Signal::sign(&stranger, &envelope, session, Fingerprint([1; 32]), sdp);
    let offer = Packet::Signal(SignalKind::Offer, offer);
    world.inject(0, 1, forwarded(stranger.peer_id(), &offer));
    world.settle();
    assert!(world.ends[0].mesh.links.values().all(Link::is_proven));
    // Another life of a linked peer is not believed while its channel works.
    let linked = Identity::from_seed([world.key(2); 32]);
    world.inject(0, 1, forwarded(world.peer(2), &greeting(&linked, to, 99)));
    world.advance(10_000);
    assert_eq!(world.ends[0].ups[&world.peer(2)], 1);
    assert_eq!(world.transports(0, 2), DIRECT);
}

#[test]
fn member_that_floods_takes_a_few_places_for_a_while_and_no_more() {
    let mut world = World::connected(3);
    world.advance(1_000);
    world.kill_tracker();
    world.settle();
    let to = world.peer(0);
    for seed in 0..1_000_u16 {
        let mut bytes = [7; 32];
        bytes[..2].copy_from_slice(&seed.to_be_bytes());
        let stranger = Identity::from_seed(bytes);
        let packet = greeting(&stranger, to, 5);
        world.inject(0, 1, forwarded(stranger.peer_id(), &packet));
    }
    world.settle();
    let pending = |world: &World| {
        let links = world.ends[0].mesh.links.values();
        links.filter(|link| !link.is_told).count()
    };
    assert_eq!(pending(&world), limits::UNPROVEN_LINKS_PER_MEMBER_MAX);
    assert_eq!(world.transports(0, 2), DIRECT);
    world.advance(limits::UNPROVEN_MS + 1_000);
    assert_eq!(pending(&world), 0);
}

#[test]
fn member_forwards_at_a_bounded_rate_and_only_packets() {
    let mut world = World::connected(3);
    world.advance(1_000);
    let to = world.peer(2);
    let packet = greeting(&Identity::from_seed([200; 32]), to, 5).encode();
    let mut forwarded = |packet: &[u8]| {
        let packet = packet.to_vec();
        let link = world.ends[0].mesh.channel_to(world.peer(1)).unwrap();
        let bytes = LinkMessage::Forward { to, packet }.chunk();
        let input = Input::ChannelReceived { link, bytes };
        world.ends[0].mesh.handle(world.now, input).unwrap();
        let is_send = |output| matches!(output, Output::SendChannel { .. });
        core::iter::from_fn(|| world.ends[0].mesh.poll()).any(is_send)
    };
    assert!(!forwarded(b"anything else"));
    let count = (0..10_000).filter(|_| forwarded(&packet)).count();
    assert_eq!(count as u64, limits::FORWARDS_BURST - 1);
}

#[test]
fn dead_channel_is_noticed_within_six_seconds() {
    let mut world = World::connected(2);
    world.kill(1);
    world.advance(limits::CHANNEL_IDLE_MS + limits::CHANNEL_PONG_MS);
    assert_ne!(world.transport(0, 1), Some(Transport::Direct));
}

#[test]
fn sender_of_a_long_message_hears_that_the_other_end_lives() {
    let mut world = World::connected(2);
    world.advance(1_000);
    let link = world.ends[0].mesh.channel_to(world.peer(1)).unwrap();
    let chunks = crate::frame::split(
        crate::frame::FrameKind::Node,
        crate::frame::Lane::History,
        1,
        &[7; 200_000],
    )
    .unwrap();
    let mut signs = 0;
    for bytes in chunks {
        world.now = world.now.plus_ms(1_000);
        let input = Input::ChannelReceived { link, bytes };
        world.ends[0].mesh.handle(world.now, input).unwrap();
        while let Some(output) = world.ends[0].mesh.poll() {
            signs += usize::from(matches!(output, Output::SendChannel { .. }));
        }
    }
    assert!((6..=7).contains(&signs), "{signs}");
}

#[test]
fn channels_are_tried_at_once_after_sleep() {
    let mut world = World::connected(2);
    world.advance(1_000);
    // Both slept, and the path did not survive.
    world.direct_carries = false;
    world.now = world.now.plus_ms(3_600_000);
    world.advance(limits::CHANNEL_PONG_MS + 100);
    assert_eq!(world.transports(0, 1), RELAY, "the relay took over");
    world.direct_carries = true;
    world.advance(30_000);
    assert_eq!(world.transports(0, 1), DIRECT);
    // The path survived: nothing is lost.
    let ups = world.ends[0].ups[&world.peer(1)];
    world.now = world.now.plus_ms(3_600_000);
    world.advance(10_000);
    assert_eq!(world.ends[0].ups[&world.peer(1)], ups);
    assert_eq!(world.transports(0, 1), DIRECT);
}

#[test]
fn tabs_of_a_profile_find_each_other_without_a_tracker() {
    let mut world = World::new(3);
    for end in 0..3 {
        world.ends[end].profile = Some(u8::from(end == 2));
        world.give(end, Input::LocalOpened);
    }
    world.advance(1_000);
    assert_eq!(world.transports(0, 1), DIRECT);
    assert!(exchange(&mut world, 0, 1));
    assert!(world.ends[2].up.is_empty(), "another profile hears nothing");
}

#[test]
fn tabs_of_a_profile_join_what_one_of_them_is_linked_to() {
    let mut world = World::connected(4);
    world.advance(1_000);
    world.kill_tracker();
    for end in 0..4 {
        world.ends[end].profile = Some(u8::from(end > 0));
        world.give(end, Input::LocalOpened);
    }
    world.reload(3, true);
    world.ends[3].profile = Some(1);
    world.advance(1_000);
    world.give(3, Input::LocalOpened);
    world.advance(10_000);
    for other in 0..3 {
        assert_eq!(world.transports(3, other), DIRECT, "{other}");
    }
}

#[test]
fn connections_are_made_at_a_bounded_rate() {
    let mut world = World::new(2);
    world.direct_works = false;
    world.connect(0);
    world.connect(1);
    world.settle();
    let before = world.ends[0].mesh.links_made;
    // The other end starts over again and again, and each time both are ready to dial at once.
    for _ in 0..500 {
        world.reload(1, true);
        world.connect(1);
        world.settle();
    }
    let made = u64::from(world.ends[0].mesh.links_made - before);
    assert!(made <= limits::DIALS_BURST, "{made}");
}

/// For so many minutes, every 15 s each of these ends says something to all its peers.
fn talk(world: &mut World, ends: core::ops::Range<usize>, minutes: usize) {
    for _ in 0..minutes * 4 {
        for end in ends.clone() {
            for peer in world.ends[end].up.clone() {
                let bytes = b"here I stand".to_vec();
                world.give(end, Input::SendRequested { peer, bytes });
            }
        }
        world.advance(15_000);
    }
}

#[test]
fn silent_strangers_that_hold_every_place_make_room_for_others() {
    let mut world = World::new(27);
    let victim = 26;
    for end in 0..16 {
        world.connect(end);
    }
    world.settle();
    world.connect(victim);
    world.settle();
    for hostile in 0..16 {
        let hello = LinkMessage::Hello.chunk();
        let frame = wire::wrap(Incarnation(77), Incarnation::NONE, &hello);
        let from = world.peer(hostile);
        let message = FromTracker::Relayed { from, frame };
        world.give(victim, Input::TrackerReceived(message));
    }
    world.settle();
    for end in 16..26 {
        world.connect(end);
    }
    let linked = |world: &World, ends: core::ops::Range<usize>| {
        let up = &world.ends[victim].up;
        ends.filter(|end| up.contains(&world.peer(*end))).count()
    };
    world.advance(1_000);
    let before = linked(&world, 0..16);
    assert!(before > limits::DIALLED_PEERS, "{before}");
    talk(&mut world, 16..27, 8);
    let (silent, honest) = (linked(&world, 0..16), linked(&world, 16..26));
    assert!(silent + 3 <= before, "{silent} of {before}");
    assert!(honest >= limits::CHOSEN_PEERS_MIN, "{honest}");
}

#[test]
fn no_choice_is_for_ever_and_the_mesh_stays_whole() {
    let mut world = World::connected(30);
    world.advance(1_000);
    let before = chosen(&world, 0);
    talk(&mut world, 0..30, 30);
    assert_ne!(chosen(&world, 0), before);
    assert_eq!(world.reached_from(0).len(), 30);
    for end in 0..30 {
        let links = world.ends[end].up.len();
        assert!((6..=limits::LINKS_MAX).contains(&links), "{links}");
    }
}
