//! Several hubs over a backplane that delays, loses, and is cut; in virtual time, by seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::ws::ServerMessage;
use api::{Anchor, TipReference};
use shared::hash::{Hash, sha256};
use shared::ids::{ChainId, PeerId, TimestampMs};
use shared::private::{NetworkKey, NetworkKeys};

use super::message::{Listing, parse};
use super::telling::TELL_AGAIN_MS;
use super::{
    ConnectionId, Hub, Input, Network, Output, PRESENCE_MS, PRESENCE_MS_MAX, ResetOutcome,
    RoomNetwork,
};
use crate::backplane::{Content, Message, Subject, TrackerId, decode, encode};
use crate::label::Label;
use crate::limits;

const START: u64 = 1_000_000;
/// What a driver carries out in a ms.
const CARRIED_PER_MS: usize = 20;

fn chain(byte: u8) -> ChainId {
    ChainId(Hash([byte; 32]))
}

/// In place of a genesis, and of the chain that a ledger would find in it.
fn chain_of(genesis: &[u8]) -> ChainId {
    match genesis {
        [byte] => chain(*byte),
        genesis => ChainId(sha256(&[genesis])),
    }
}

fn network_of(label: &str, genesis: &[u8]) -> Network {
    Network {
        label: Label::parse(label).unwrap(),
        chain_id: chain_of(genesis),
        genesis: hex::encode(genesis).into(),
        listing: Listing::Unlisted,
        tip: None,
        anchor: None,
    }
}

fn tracker(index: usize) -> TrackerId {
    TrackerId([u8::try_from(index).unwrap(); 16])
}

/// A tracker with its clients.
struct Node {
    id: TrackerId,
    hub: Hub,
    follows: BTreeSet<ChainId>,
    heard: BTreeMap<ConnectionId, Vec<ServerMessage>>,
    ended: Vec<ConnectionId>,
    wake_at: Option<u64>,
    is_cut: bool,
    /// Orders that its driver has not carried out yet; it carries out [`CARRIED_PER_MS`].
    queued: usize,
}

impl Node {
    fn new(index: usize, id: TrackerId) -> Self {
        let mut hub = Hub::new(Vec::new());
        let url = format!("wss://t{index}.example/ws");
        hub.join_cluster(id, Some(url.parse().unwrap()));
        Self {
            id,
            hub,
            follows: BTreeSet::new(),
            heard: BTreeMap::new(),
            ended: Vec::new(),
            wake_at: None,
            is_cut: false,
            queued: 0,
        }
    }
}

struct World {
    now: u64,
    nodes: Vec<Node>,
    /// When, to whom, bytes.
    wire: VecDeque<(u64, usize, Vec<u8>)>,
    draw: u64,
    lost_percent: u64,
    next_connection: u64,
    published: Vec<(Subject, Message)>,
}

impl World {
    fn new(trackers: usize, seed: u64) -> Self {
        let mut world = Self {
            now: START,
            nodes: (0..trackers)
                .map(|index| Node::new(index, tracker(index)))
                .collect(),
            wire: VecDeque::new(),
            draw: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            lost_percent: 0,
            next_connection: 1,
            published: Vec::new(),
        };
        for index in 0..trackers {
            for byte in [1, 2] {
                world.hold(index, network_of(&format!("net{byte}"), &[byte]));
            }
            world.give(index, Input::ClusterReached);
        }
        world
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.draw ^= self.draw << 13;
        self.draw ^= self.draw >> 7;
        self.draw ^= self.draw << 17;
        self.draw % limit
    }

    /// The ledger has a network.
    fn hold(&mut self, index: usize, network: Network) {
        let connection = None;
        let registered = Input::Registered {
            connection,
            network,
        };
        self.give(index, registered);
    }

    /// A client registers a network.
    fn register(&mut self, index: usize, network: Network) {
        let connection = Some(ConnectionId(0));
        let registered = Input::Registered {
            connection,
            network,
        };
        self.give(index, registered);
    }

    /// A tracker without memory takes the place of another, by a name of its own.
    fn replace(&mut self, index: usize) {
        self.nodes[index] = Node::new(index, tracker(index + 100));
        self.give(index, Input::ClusterReached);
    }

    fn networks(&self, index: usize) -> usize {
        self.nodes[index].hub.figures().networks
    }

    /// Whether the driver of a tracker still takes an order.
    fn takes(&mut self, index: usize) -> bool {
        let node = &mut self.nodes[index];
        let takes = node.queued < limits::CLUSTER_QUEUE_MAX;
        node.queued += usize::from(takes);
        takes
    }

    fn give(&mut self, index: usize, input: Input) {
        self.nodes[index].hub.handle(TimestampMs(self.now), input);
        while let Some(output) = self.nodes[index].hub.poll() {
            match output {
                Output::Publish { .. } | Output::Follow { .. } | Output::Unfollow { .. }
                    if !self.takes(index) => {}
                Output::Publish { to, message } => self.publish(index, to, message),
                Output::Follow { chain_id } => _ = self.nodes[index].follows.insert(chain_id),
                Output::Unfollow { chain_id } => _ = self.nodes[index].follows.remove(&chain_id),
                Output::Adopt { wish } => {
                    let label = wish.label.unwrap().to_string();
                    let network = network_of(&label, &wish.genesis);
                    let hub = &mut self.nodes[index].hub;
                    if hub.network_of_chain(network.chain_id).is_none() {
                        let connection = None;
                        let registered = Input::Registered {
                            connection,
                            network,
                        };
                        hub.handle(TimestampMs(self.now), registered);
                    }
                }
                Output::Send { connections, text } => {
                    let message: ServerMessage = serde_json::from_str(&text).unwrap();
                    for connection in connections {
                        let heard = self.nodes[index].heard.entry(connection).or_default();
                        heard.push(message.clone());
                    }
                }
                Output::Disconnect { connection, .. } => self.nodes[index].ended.push(connection),
                Output::WakeAt { at } => self.nodes[index].wake_at = Some(at.0),
                Output::Pause { .. }
                | Output::GiveBack { .. }
                | Output::Register { .. }
                | Output::Check { .. }
                | Output::CheckBlock { .. }
                | Output::CheckTransaction { .. }
                | Output::CheckReports { .. }
                | Output::CheckReset { .. }
                | Output::Ask(_) => {}
            }
        }
    }

    fn publish(&mut self, from: usize, to: Subject, message: Message) {
        let bytes = encode(self.nodes[from].id, &message);
        self.published.push((to, message));
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            let is_for = match to {
                Subject::Networks => true,
                Subject::Network(chain_id) => node.follows.contains(&chain_id),
                Subject::Tracker(id) => id == node.id,
            };
            let is_cut = node.is_cut || self.nodes[from].is_cut;
            if index != from && is_for && !is_cut && self.below(100) >= self.lost_percent {
                let at = self.now + 1 + self.below(30);
                self.wire.push_back((at, index, bytes.clone()));
            }
        }
    }

    /// Lets time pass.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        while self.now < end {
            self.now += 1;
            let (due, later): (Vec<_>, Vec<_>) =
                self.wire.drain(..).partition(|(at, ..)| *at <= self.now);
            self.wire.extend(later);
            for (_, to, bytes) in due {
                let (from, message) = decode(&bytes).unwrap();
                self.give(to, Input::ClusterSaid { from, message });
            }
            for index in 0..self.nodes.len() {
                let queued = self.nodes[index].queued;
                self.nodes[index].queued = queued.saturating_sub(CARRIED_PER_MS);
                if self.nodes[index].wake_at.is_some_and(|at| at <= self.now) {
                    self.nodes[index].wake_at = None;
                    self.give(index, Input::Woken);
                }
            }
        }
    }

    fn join(&mut self, at: usize, network: u8, peer: u8) -> ConnectionId {
        let connection = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let connected = Input::Connected {
            connection,
            peer: peer_of(peer),
            nonce: [0; 32],
            host: "tracker.test".into(),
        };
        self.give(at, connected);
        let text = format!(r#"{{"type":"join_network","network_id":"net{network}"}}"#);
        self.say(at, connection, text);
        connection
    }

    /// Enters the private room of a key.
    fn enter(&mut self, at: usize, key: u8, peer: u8) -> ConnectionId {
        let connection = self.join(at, 1, 90 + peer);
        let (keys, peer) = (quiet_keys(key), peer_of(peer));
        let admission = keys.admission("tracker.test", peer, &[0; 32]);
        let (room, join_key) = (keys.room().0, keys.join_key());
        let text = format!(
            r#"{{"type":"join_room","room":"{room}","join_key":"{join_key}","peer_id":"{peer}","admission":"{admission}"}}"#
        );
        self.say(at, connection, text);
        connection
    }

    fn say(&mut self, at: usize, connection: ConnectionId, text: String) {
        let bytes = text.len();
        let message = parse(text);
        let input = Input::Received {
            connection,
            message,
            bytes,
        };
        self.give(at, input);
    }

    fn relay(&mut self, at: usize, connection: ConnectionId, to: u8, frame: &str) {
        let target = peer_of(to);
        let text = format!(r#"{{"type":"relay","target":"{target}","frame":"{frame}"}}"#);
        self.say(at, connection, text);
    }

    fn heard(&mut self, at: usize, connection: ConnectionId) -> Vec<ServerMessage> {
        self.nodes[at].heard.remove(&connection).unwrap_or_default()
    }

    /// The peers that a newcomer is told of.
    fn seen(&mut self, at: usize, network: u8, peer: u8) -> BTreeSet<String> {
        let connection = self.join(at, network, peer);
        let heard = self.heard(at, connection);
        let joined = heard.into_iter().find_map(|message| {
            if let ServerMessage::Joined { peers, .. } = message {
                Some(peers)
            } else {
                None
            }
        });
        self.give(at, Input::Closed { connection });
        joined.unwrap().into_iter().collect()
    }
}

fn quiet_keys(byte: u8) -> NetworkKeys {
    NetworkKey::from_bytes([byte; 32]).keys()
}

fn peer_of(byte: u8) -> PeerId {
    PeerId(Hash([byte; 32]))
}

fn names(peers: &[u8]) -> BTreeSet<String> {
    peers
        .iter()
        .map(|peer| peer_of(*peer).to_string())
        .collect()
}

fn relayed(messages: &[ServerMessage]) -> Vec<(String, String)> {
    let relayed = messages.iter().filter_map(|message| {
        if let ServerMessage::Relay { target, frame } = message {
            Some((target.clone(), frame.clone()))
        } else {
            None
        }
    });
    relayed.collect()
}

#[test]
fn members_of_one_network_at_three_trackers_see_and_reach_each_other() {
    let mut world = World::new(3, 1);
    let one = world.join(0, 1, 11);
    world.pass(50);
    let two = world.join(1, 1, 12);
    world.pass(50);
    let three = world.join(2, 1, 13);
    world.pass(100);
    assert_eq!(world.seen(0, 1, 99), names(&[11, 12, 13]));
    world.heard(0, one);
    world.relay(1, two, 11, "YWJj");
    world.relay(2, three, 12, "ZGVm");
    world.pass(50);
    let heard = world.heard(0, one);
    assert_eq!(
        relayed(&heard),
        [(peer_of(12).to_string(), "YWJj".to_owned())]
    );
    let heard = world.heard(1, two);
    assert_eq!(
        relayed(&heard),
        [(peer_of(13).to_string(), "ZGVm".to_owned())]
    );
    world.give(2, Input::Closed { connection: three });
    world.pass(50);
    let left = |message: &ServerMessage| matches!(message, ServerMessage::PeerLeft { peer_id } if *peer_id == peer_of(13).to_string());
    assert!(world.heard(0, one).iter().any(left));
    assert_eq!(world.seen(1, 1, 99), names(&[11, 12]));
}

#[test]
fn nothing_of_a_network_reaches_another_at_any_tracker() {
    let mut world = World::new(2, 2);
    let one = world.join(0, 1, 11);
    let other = world.join(1, 2, 12);
    world.pass(100);
    world.heard(1, other);
    world.relay(0, one, 12, "YWJj");
    world.pass(PRESENCE_MS * 2);
    let heard = world.heard(0, one);
    let unknown = |message: &ServerMessage| matches!(message, ServerMessage::Error { .. });
    assert!(
        heard.iter().any(unknown),
        "the sender is told that there is no such peer"
    );
    assert!(world.heard(1, other).is_empty());
    assert!(!world.nodes[1].follows.contains(&chain(1)));
}

#[test]
fn anchors_and_resets_of_a_private_network_reach_its_members_at_other_trackers() {
    let mut world = World::new(3, 5);
    let here = world.enter(0, 7, 11);
    let there = world.enter(1, 7, 12);
    let other = world.enter(1, 8, 13);
    world.pass(100);
    for (at, connection) in [(0, here), (1, there), (1, other)] {
        world.heard(at, connection);
    }
    let room = quiet_keys(7).room();
    let (hash, chain_id) = (chain(3).to_string(), chain(9));
    let anchor = Anchor {
        network_id: room.0.to_string(),
        chain_id: chain_id.to_string(),
        height: 4,
        hash: hash.clone(),
        enterprise_height: 1,
        enterprise_hash: "ee".into(),
    };
    let reported = RoomNetwork {
        room,
        chain_id,
        tip: Some(TipReference { height: 5, hash }),
        anchor: Some(anchor.clone()),
        resets: 0,
    };
    world.give(0, Input::RoomReported(reported));
    world.pass(50);
    let executed = Input::ResetChecked {
        connection: None,
        room,
        number: 1,
        outcome: ResetOutcome::Executed,
    };
    world.give(0, executed);
    world.pass(100);
    let heard = world.heard(1, there);
    let [
        ServerMessage::Anchor(found),
        ServerMessage::ResetResult { number: 1, .. },
    ] = &heard[..]
    else {
        panic!("{heard:?}")
    };
    assert_eq!(*found, anchor);
    assert_eq!(world.heard(0, here).len(), 3, "the tip, too");
    assert_eq!(world.heard(1, other), []);
}

#[test]
fn a_peer_that_moves_is_in_one_place_and_its_old_connection_ends() {
    let mut world = World::new(2, 3);
    let old = world.join(0, 1, 11);
    let watcher = world.join(0, 1, 12);
    world.pass(100);
    let new = world.join(1, 1, 11);
    world.pass(100);
    assert_eq!(world.nodes[0].ended, [old]);
    world.give(0, Input::Closed { connection: old });
    world.pass(PRESENCE_MS * 2);
    world.heard(1, new);
    world.relay(0, watcher, 11, "YWJj");
    world.pass(50);
    assert_eq!(relayed(&world.heard(1, new)).len(), 1);
    assert_eq!(world.seen(0, 1, 99), names(&[11, 12]));
}

#[test]
fn a_tracker_that_dies_is_forgotten_and_one_that_was_cut_off_is_found_again() {
    let mut world = World::new(2, 4);
    let one = world.join(0, 1, 11);
    world.join(1, 1, 12);
    world.pass(100);
    world.nodes[1].is_cut = true;
    world.pass(PRESENCE_MS_MAX + PRESENCE_MS + 100);
    assert_eq!(world.seen(0, 1, 99), names(&[11]));
    world.nodes[1].is_cut = false;
    world.pass(PRESENCE_MS + 100);
    assert_eq!(world.seen(0, 1, 99), names(&[11, 12]));
    world.heard(0, one);
}

#[test]
fn foreign_claims_of_another_tracker_reach_nobody() {
    let mut world = World::new(2, 5);
    let one = world.join(0, 1, 11);
    world.pass(50);
    world.heard(0, one);
    // Somebody who is not known to be a member there, and a tracker without members.
    use crate::backplane::Content;
    let claims = [
        Content::Forward {
            from: peer_of(77),
            to: peer_of(11),
            text: r#"{"type":"peer_left","peer_id":"x"}"#.into(),
        },
        Content::Room {
            text: r#"{"type":"peer_left","peer_id":"x"}"#.into(),
        },
    ];
    for content in claims {
        let (from, message) = (tracker(1), Message::About(chain(1), content));
        world.give(0, Input::ClusterSaid { from, message });
    }
    assert!(world.heard(0, one).is_empty());
}

/// Random joins, moves and closes under loss and cuts; after quiet all trackers agree on who is where.
#[test]
fn trackers_agree_on_the_members_after_loss_delay_and_partition() {
    for seed in 1..=12 {
        let mut world = World::new(3, seed);
        let mut places: BTreeMap<u8, (usize, ConnectionId)> = BTreeMap::new();
        world.lost_percent = 20;
        for step in 0..120 {
            let peer = 10 + u8::try_from(world.below(8)).unwrap();
            let at = usize::try_from(world.below(3)).unwrap();
            match world.below(10) {
                0..6 => {
                    let connection = world.join(at, 1, peer);
                    if let Some((before, old)) = places.insert(peer, (at, connection)) {
                        // The client itself has gone from there.
                        world.give(before, Input::Closed { connection: old });
                    }
                }
                6..8 => {
                    if let Some((at, connection)) = places.remove(&peer) {
                        world.give(at, Input::Closed { connection });
                    }
                }
                8 => world.nodes[at].is_cut = true,
                _ => world.nodes.iter_mut().for_each(|node| node.is_cut = false),
            }
            let pause = world.below(900);
            world.pass(pause);
            assert!(step < 120);
        }
        world.lost_percent = 0;
        world.nodes.iter_mut().for_each(|node| node.is_cut = false);
        world.pass(PRESENCE_MS_MAX + 2 * PRESENCE_MS);
        let members: Vec<u8> = places.keys().copied().collect();
        for at in 0..3 {
            // A tracker without members of its own learns of the others when it has one.
            let connection = world.join(at, 1, 98);
            world.pass(200);
            assert_eq!(
                world.seen(at, 1, 99),
                {
                    let mut all = names(&members);
                    all.insert(peer_of(98).to_string());
                    all
                },
                "seed {seed}, tracker {at}"
            );
            world.give(at, Input::Closed { connection });
            world.pass(200);
        }
    }
    // The same seed is the same run.
    let trace = |seed| {
        let mut world = World::new(2, seed);
        world.join(0, 1, 11);
        world.pass(1_000);
        let all = world
            .published
            .iter()
            .map(|(_, message)| encode(tracker(0), message));
        sha256(&[&all.collect::<Vec<_>>().concat()])
    };
    assert_eq!(trace(7), trace(7));
}

#[test]
fn a_newcomer_elsewhere_is_told_to_a_sample_of_a_large_room() {
    let mut world = World::new(2, 1);
    let crowd: Vec<_> = (1..=100).map(|peer| world.join(0, 1, peer)).collect();
    world.join(1, 1, 200);
    world.pass(100);
    let newcomer = peer_of(200).to_string();
    let told = crowd.iter().filter(|connection| {
        let heard = world.nodes[0].heard.get(connection);
        heard.into_iter().flatten().any(
            |message| matches!(message, ServerMessage::PeerJoined { peer_id } if *peer_id == newcomer),
        )
    });
    assert_eq!(told.count(), limits::SAMPLE_PEERS);
}

/// What a client was told of other trackers last.
fn others(messages: &[ServerMessage]) -> Option<Vec<String>> {
    let mut told = messages.iter().filter_map(|message| {
        if let ServerMessage::Trackers { trackers } = message {
            Some(trackers.clone())
        } else {
            None
        }
    });
    told.next_back()
}

#[test]
fn clients_are_told_of_the_other_trackers_until_those_go_or_fall_silent() {
    let url = |index: usize| format!("wss://t{index}.example/ws");
    let mut world = World::new(3, 1);
    world.pass(PRESENCE_MS + 100);
    let one = world.join(0, 1, 11);
    let heard = world.heard(0, one);
    assert_eq!(others(&heard), Some(vec![url(1), url(2)]));
    world.pass(2 * PRESENCE_MS);
    assert_eq!(others(&world.heard(0, one)), None, "nothing changed");
    world.give(1, Input::Draining);
    world.pass(100);
    assert_eq!(others(&world.heard(0, one)), Some(vec![url(2)]));
    world.pass(2 * PRESENCE_MS);
    assert_eq!(
        others(&world.heard(0, one)),
        None,
        "who goes says nothing more"
    );
    world.nodes[2].is_cut = true;
    world.pass(PRESENCE_MS_MAX + PRESENCE_MS + 100);
    assert_eq!(others(&world.heard(0, one)), Some(vec![]));
    world.nodes[2].is_cut = false;
    world.pass(PRESENCE_MS + 100);
    assert_eq!(others(&world.heard(0, one)), Some(vec![url(2)]));
}

/// Networks by their number, `many0` and on.
fn many(count: usize) -> impl Iterator<Item = Network> {
    (0..count).map(|number| network_of(&format!("many{number}"), &number.to_be_bytes()))
}

/// Connects a client and joins a network by its label.
fn join_label(world: &mut World, at: usize, label: &str) -> ConnectionId {
    let connection = world.join(at, 1, 50);
    let text = format!(r#"{{"type":"join_network","network_id":"{label}"}}"#);
    world.heard(at, connection);
    world.say(at, connection, text);
    connection
}

#[test]
fn a_tracker_that_was_away_learns_the_networks_that_were_registered_meanwhile() {
    let mut world = World::new(3, 6);
    world.nodes[1].is_cut = true;
    world.register(0, network_of("late", &[9]));
    world.pass(100);
    assert_eq!((world.networks(1), world.networks(2)), (2, 3));
    world.nodes[1].is_cut = false;
    world.pass(PRESENCE_MS + 200);
    assert_eq!(world.networks(1), 3, "it was only cut off");
    world.replace(1);
    world.pass(500);
    assert_eq!(world.networks(1), 3, "it has no disk of before");
    let connection = join_label(&mut world, 1, "late");
    let joined = |message: &ServerMessage| matches!(message, ServerMessage::Joined { .. });
    assert!(world.heard(1, connection).iter().any(joined));
}

#[test]
fn networks_are_told_in_slices_once_at_a_time_until_all_are_known_whatever_gets_lost() {
    let mut world = World::new(2, 8);
    for network in many(3_000) {
        world.hold(0, network);
    }
    world.lost_percent = 20;
    world.replace(1);
    let newcomer = world.nodes[1].id;
    world.published.clear();
    let told = |world: &World| {
        let networks = world.published.iter();
        networks
            .filter(|(to, message)| {
                *to == Subject::Tracker(newcomer) && matches!(message, Message::Network { .. })
            })
            .count()
    };
    let mut before = 0;
    for _ in 0..(TELL_AGAIN_MS - 2_000) / 10 {
        world.pass(10);
        let now = told(&world);
        assert!(now - before <= limits::TOLD_NETWORKS_MAX);
        before = now;
    }
    assert!(before <= 3_002, "{before} were told, to the one that asks");
    assert!((2_000..3_002).contains(&world.networks(1)));
    world.pass(3 * TELL_AGAIN_MS);
    world.lost_percent = 0;
    world.pass(2 * TELL_AGAIN_MS);
    assert_eq!(world.networks(1), 3_002);
    world.published.clear();
    world.pass(2 * TELL_AGAIN_MS);
    assert_eq!(told(&world), 0, "who knows all is told nothing");
}

#[test]
fn six_thousand_rooms_are_all_told_within_an_interval_through_the_bounded_queue() {
    let mut world = World::new(1, 9);
    for network in many(6_000) {
        let label = network.label.to_string();
        world.hold(0, network);
        join_label(&mut world, 0, &label);
    }
    assert!(
        world.nodes[0].follows.len() < 6_000,
        "some orders were lost"
    );
    world.pass(PRESENCE_MS);
    world.published.clear();
    world.pass(PRESENCE_MS);
    let told = world.published.iter().filter_map(|(_, message)| {
        if let Message::About(chain_id, Content::Members(_)) = message {
            Some(*chain_id)
        } else {
            None
        }
    });
    assert_eq!(told.collect::<BTreeSet<_>>().len(), 6_000);
    assert!(many(6_000).all(|network| world.nodes[0].follows.contains(&network.chain_id)));
}

#[test]
fn a_lost_order_to_follow_or_not_to_is_mended_by_the_next_round() {
    let mut world = World::new(2, 10);
    world.join(0, 1, 11);
    let two = world.join(1, 1, 12);
    world.nodes[0].follows.clear();
    world.nodes[0].follows.insert(chain(2));
    world.join(1, 2, 13);
    world.pass(2 * PRESENCE_MS + 200);
    assert_eq!(world.nodes[0].follows, BTreeSet::from([chain(1)]));
    world.give(1, Input::Closed { connection: two });
    world.pass(50);
    assert_eq!(world.seen(0, 1, 99), names(&[11]), "it hears the leave");
}
