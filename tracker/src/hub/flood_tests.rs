//! What one member costs a room, and what many cost the hub.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each test picks its own kinds of messages"
)]

use std::collections::BTreeMap;

use api::ws::{ErrorCode, ServerMessage};
use shared::hash::Hash;
use shared::ids::{ChainId, NetworkId, PeerId, TimestampMs};
use shared::private::{NetworkKey, NetworkKeys};

use super::message::{Listing, parse};
use super::{ConnectionId, Hub, Input, Network, Output, PRESENCE_MS, PRESENCE_MS_MAX};
use crate::backplane::{Content, Message, Subject, TrackerId};
use crate::label::Label;
use crate::limits;

const NOW: TimestampMs = TimestampMs(1_000_000);
const OWN: TrackerId = TrackerId([1; 16]);
const OTHER: TrackerId = TrackerId([2; 16]);
const ROOM: ChainId = ChainId(Hash([1; 32]));

/// A hub of a cluster, its time, and what it ordered.
struct Bench {
    hub: Hub,
    now: TimestampMs,
    sent: BTreeMap<ConnectionId, Vec<ServerMessage>>,
    disconnected: Vec<ConnectionId>,
    paused: Vec<ConnectionId>,
    published: Vec<(Subject, Message)>,
}

impl Bench {
    /// With the open network `red`.
    fn new() -> Self {
        let mut hub = Hub::new(Vec::new());
        hub.join_cluster(OWN, None);
        let mut bench = Self {
            hub,
            now: NOW,
            sent: BTreeMap::new(),
            disconnected: Vec::new(),
            paused: Vec::new(),
            published: Vec::new(),
        };
        bench.register(None, "red", ROOM);
        bench
    }

    fn handle(&mut self, input: Input) {
        self.hub.handle(self.now, input);
        while let Some(output) = self.hub.poll() {
            match output {
                Output::Send { connections, text } => {
                    let message: ServerMessage = serde_json::from_str(&text).unwrap();
                    for connection in connections {
                        let heard = self.sent.entry(connection).or_default();
                        heard.push(message.clone());
                    }
                }
                Output::Disconnect { connection, .. } => self.disconnected.push(connection),
                Output::Pause { connection, .. } => self.paused.push(connection),
                Output::Publish { to, message } => self.published.push((to, message)),
                Output::WakeAt { .. }
                | Output::GiveBack { .. }
                | Output::Follow { .. }
                | Output::Unfollow { .. }
                | Output::Adopt { .. }
                | Output::Register { .. }
                | Output::Check { .. }
                | Output::CheckReports { .. }
                | Output::CheckReset { .. }
                | Output::Ask(_)
                | Output::CheckBlock { .. }
                | Output::CheckTransaction { .. } => {}
            }
        }
    }

    fn register(&mut self, connection: Option<ConnectionId>, name: &str, chain_id: ChainId) {
        let network = Network {
            label: Label::plain(&NetworkId::parse(name).unwrap()),
            chain_id,
            genesis: "00".into(),
            listing: Listing::Listed,
            tip: None,
            anchor: None,
        };
        self.handle(Input::Registered {
            connection,
            network,
        });
    }

    fn connect(&mut self, number: u64) -> ConnectionId {
        let connection = ConnectionId(number);
        self.handle(Input::Connected {
            connection,
            peer: peer(number),
            nonce: [0; 32],
            host: "tracker.test".into(),
        });
        connection
    }

    fn say(&mut self, connection: ConnectionId, text: &str) {
        let (message, bytes) = (parse(text.to_owned()), text.len());
        self.handle(Input::Received {
            connection,
            message,
            bytes,
        });
    }

    /// Connects and joins `red`, bare.
    fn member(&mut self, number: u64) -> ConnectionId {
        let connection = self.connect(number);
        self.say(connection, JOIN);
        connection
    }

    /// Connects and enters the private room as `peer`.
    fn enter(&mut self, number: u64, peer: PeerId) -> ConnectionId {
        let connection = self.connect(number);
        let keys = quiet_keys();
        let admission = keys.admission("tracker.test", peer, &[0; 32]);
        let (room, join_key) = (keys.room().0, keys.join_key());
        let text = format!(
            r#"{{"type":"join_room","room":"{room}","join_key":"{join_key}","peer_id":"{peer}","admission":"{admission}"}}"#
        );
        self.say(connection, &text);
        connection
    }

    /// The other tracker says something of a room.
    fn elsewhere(&mut self, room: ChainId, content: Content) {
        let message = Message::About(room, content);
        self.handle(Input::ClusterSaid {
            from: OTHER,
            message,
        });
    }

    fn heard(&mut self, connection: ConnectionId) -> Vec<ServerMessage> {
        self.sent.remove(&connection).unwrap_or_default()
    }
}

fn peer(number: u64) -> PeerId {
    PeerId(shared::hash::sha256(&[&number.to_be_bytes()]))
}

fn peers(numbers: std::ops::Range<u64>) -> Vec<PeerId> {
    numbers.map(peer).collect()
}

fn quiet_keys() -> NetworkKeys {
    NetworkKey::from_bytes([3; 32]).keys()
}

const JOIN: &str = r#"{"type":"join_network","network_id":"red"}"#;

#[test]
fn a_network_that_was_here_is_not_told_to_other_trackers_again() {
    let mut bench = Bench::new();
    let creator = bench.connect(1);
    let chain_id = ChainId(Hash([2; 32]));
    let told = |bench: &Bench| {
        let told = bench.published.iter();
        told.filter(|(_, message)| matches!(message, Message::Network { .. }))
            .count()
    };
    for _ in 0..3 {
        bench.register(Some(creator), "blue", chain_id);
        assert_eq!(told(&bench), 1, "of the first alone");
    }
}

const MIB: usize = 1024 * 1024;

/// A message for a room of so many bytes, and some.
fn large(bytes: usize) -> ServerMessage {
    let peers = vec!["x".repeat(bytes)];
    ServerMessage::Peers { peers }
}

impl Bench {
    /// A member shows the room something that was found right.
    fn show(&mut self, connection: ConnectionId, bytes: usize) {
        self.handle(Input::RelayChecked {
            connection,
            chain_id: ROOM,
            verdict: Ok(Box::new(large(bytes))),
        });
    }

    /// How much of what was shown a member heard, in messages.
    fn shown(&mut self, connection: ConnectionId) -> usize {
        let heard = self.heard(connection).into_iter();
        heard
            .filter(|message| matches!(message, ServerMessage::Peers { .. }))
            .count()
    }

    fn shown_elsewhere(&mut self) -> usize {
        let told = std::mem::take(&mut self.published).into_iter();
        told.filter(|(_, message)| matches!(message, Message::About(_, Content::Room { .. })))
            .count()
    }
}

#[test]
fn a_room_is_shown_only_so_much_however_many_show_it_and_whoever_comes_and_goes() {
    let mut bench = Bench::new();
    let listener = bench.member(1);
    let showing = [bench.member(2), bench.member(3)];
    bench.elsewhere(ROOM, Content::Members(peers(10..11)));
    bench.sent.clear();
    for _ in 0..10 {
        for connection in showing {
            bench.show(connection, MIB);
        }
    }
    // Each text is a little longer than that.
    assert_eq!(bench.shown(listener), 3);
    assert_eq!(bench.shown_elsewhere(), 3);
    for number in 1..=3 {
        let connection = ConnectionId(number);
        bench.handle(Input::Closed { connection });
    }
    let (again, listener) = (bench.member(4), bench.member(5));
    bench.elsewhere(ROOM, Content::Members(peers(10..11)));
    bench.sent.clear();
    bench.show(again, MIB);
    assert_eq!((bench.shown(listener), bench.shown_elsewhere()), (0, 0));
    bench.now = bench.now.plus_ms(1_000);
    bench.show(again, MIB);
    assert_eq!((bench.shown(listener), bench.shown_elsewhere()), (1, 1));
    for _ in 0..10 {
        bench.show(again, 60 * 1024);
    }
    let rate = u64::from(limits::ROOM_SHOWN_BYTES_PER_SECOND);
    assert!(bench.shown(listener) * 60 * 1024 <= usize::try_from(rate).unwrap());
}

#[test]
fn what_other_trackers_show_an_open_room_counts_and_what_is_confirmed_for_a_private_one_comes() {
    let mut bench = Bench::new();
    let (open, private) = (bench.member(1), bench.enter(2, peer(2)));
    let quiet = quiet_keys().room().as_chain();
    let text = serde_json::to_string(&large(MIB)).unwrap();
    for room in [ROOM, quiet] {
        bench.elsewhere(room, Content::Members(peers(10..11)));
        bench.sent.clear();
        for _ in 0..10 {
            let text = text.clone();
            bench.elsewhere(room, Content::Room { text });
        }
        let expected = if room == ROOM { (3, 0) } else { (0, 10) };
        assert_eq!((bench.shown(open), bench.shown(private)), expected);
    }
}

#[test]
fn a_join_ranks_a_large_room_once() {
    use super::join::RANKINGS;
    let mut bench = Bench::new();
    for number in 1..=u64::try_from(limits::SAMPLE_PEERS).unwrap() + 30 {
        bench.member(number);
    }
    let newcomer = bench.connect(500);
    // The first time and where it is already; each answer has the peers twice.
    for _ in 0..2 {
        RANKINGS.set(0);
        bench.say(newcomer, JOIN);
        assert_eq!(RANKINGS.get(), 1);
        let heard = bench.heard(newcomer).into_iter();
        let told = heard.filter_map(|message| match message {
            ServerMessage::Joined { peers, .. } | ServerMessage::Peers { peers } => Some(peers),
            _ => None,
        });
        let told: Vec<_> = told.collect();
        assert_eq!(told.len(), 2);
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0].len(), limits::SAMPLE_PEERS);
    }
}

#[test]
fn a_full_room_keeps_the_peers_elsewhere_that_are_repeated_and_takes_no_others() {
    let mut bench = Bench::new();
    bench.member(1);
    let most = u64::try_from(limits::ROOM_PEERS_MAX).unwrap();
    let elsewhere = peers(1_000..1_000 + most - 1);
    for _ in 0..2 * PRESENCE_MS_MAX / PRESENCE_MS {
        bench.elsewhere(ROOM, Content::Members(elsewhere.clone()));
        bench.handle(Input::Woken);
        assert_eq!(bench.hub.peer_count(ROOM), limits::ROOM_PEERS_MAX);
        bench.now = bench.now.plus_ms(PRESENCE_MS);
    }
    bench.elsewhere(ROOM, Content::Joined(peer(9_999)));
    assert_eq!(bench.hub.peer_count(ROOM), limits::ROOM_PEERS_MAX);
}

/// Whether a join was refused, or let in.
fn is_refused(heard: &[ServerMessage]) -> bool {
    let code = heard.iter().find_map(|message| match message {
        ServerMessage::Error { code, .. } => Some(Some(*code)),
        ServerMessage::RoomJoined { .. } => Some(None),
        _ => None,
    });
    match code.unwrap() {
        Some(ErrorCode::Full) => true,
        Some(code) => panic!("{code:?}"),
        None => false,
    }
}

#[test]
fn who_is_in_a_full_room_takes_its_own_place_again() {
    let mut bench = Bench::new();
    let room = quiet_keys().room().as_chain();
    bench.enter(9, peer(9));
    let dead = bench.enter(1, peer(1));
    let most = u64::try_from(limits::ROOM_PEERS_MAX).unwrap();
    let elsewhere = peers(1_000..1_000 + most - 2);
    bench.elsewhere(room, Content::Members(elsewhere));
    let cases = [
        (2, peer(1), false),
        (3, peer(1_000), false),
        (4, peer(4), true),
    ];
    for (number, own, refused) in cases {
        let connection = bench.enter(number, own);
        let heard = bench.heard(connection);
        assert_eq!(is_refused(&heard), refused, "{number}");
        assert_eq!(bench.hub.peer_count(room), limits::ROOM_PEERS_MAX);
    }
    assert_eq!(bench.disconnected, [dead]);
}

#[test]
fn a_member_of_a_full_room_joins_it_again_with_its_key() {
    use shared::identity::Identity;
    let mut bench = Bench::new();
    let connection = bench.member(1);
    let most = u64::try_from(limits::ROOM_PEERS_MAX).unwrap();
    bench.elsewhere(ROOM, Content::Members(peers(1_000..1_000 + most - 1)));
    let identity = Identity::from_seed([7; 32]);
    let bytes = super::join_bytes(peer(1), &[0; 32]);
    let signature = identity.sign(super::JOIN_DOMAIN, ROOM, &bytes);
    let key = identity.public_key();
    let join = format!(
        r#"{{"type":"join_network","network_id":"red","key":"{key}","signature":"{signature}"}}"#
    );
    bench.sent.clear();
    bench.say(connection, &join);
    let heard = bench.heard(connection);
    let own = identity.peer_id().to_string();
    assert!(
        heard.iter().any(
            |message| matches!(message, ServerMessage::Joined { peer_id, .. } if *peer_id == own)
        ),
        "{heard:?}"
    );
}

const LIST: &str = r#"{"type":"list_networks"}"#;

/// The networks and their counts, as a client was told last.
fn listed(heard: Vec<ServerMessage>) -> Option<Vec<(String, usize)>> {
    let mut told = heard.into_iter().filter_map(|message| match message {
        ServerMessage::NetworkListUpdate { networks } => Some(networks),
        _ => None,
    });
    let networks = told.next_back()?.into_iter();
    assert!(told.next().is_none(), "it is told once");
    Some(networks.map(|item| (item.id, item.peer_count)).collect())
}

#[test]
fn the_list_is_made_once_a_second_and_its_counts_are_told_then() {
    let count = |count| Some(vec![("red".to_owned(), count)]);
    let mut bench = Bench::new();
    let (asking, other) = (bench.connect(1), bench.connect(2));
    bench.say(asking, LIST);
    assert_eq!(listed(bench.heard(asking)), count(0));
    // After a quiet second what changed is there at once.
    bench.member(3);
    bench.say(other, LIST);
    assert_eq!(listed(bench.heard(other)), count(1));
    assert_eq!(listed(bench.heard(asking)), count(1), "it is pushed, too");
    let made = bench.hub.listing();
    for number in 4..9 {
        bench.member(number);
        bench.say(other, LIST);
        assert_eq!(listed(bench.heard(other)), count(1));
        assert!(std::sync::Arc::ptr_eq(&made, &bench.hub.listing()));
    }
    bench.now = bench.now.plus_ms(limits::LIST_INTERVAL_MS);
    bench.handle(Input::Woken);
    assert_eq!(listed(bench.heard(other)), count(6));
    assert_eq!(listed(bench.heard(asking)), count(6));
}

#[test]
fn a_list_that_nobody_subscribed_to_is_made_anew_when_it_changed() {
    let mut bench = Bench::new();
    assert_eq!(bench.hub.listing()[0].peer_count, 0);
    bench.member(1);
    bench.handle(Input::Woken);
    assert_eq!(bench.hub.listing()[0].peer_count, 1);
    bench.member(2);
    bench.handle(Input::Woken);
    assert_eq!(bench.hub.listing()[0].peer_count, 1, "not yet");
    bench.now = bench.now.plus_ms(limits::LIST_INTERVAL_MS);
    bench.handle(Input::Woken);
    assert_eq!(bench.hub.listing()[0].peer_count, 2);
}

#[test]
fn who_creates_a_network_finds_it_in_the_list() {
    let mut bench = Bench::new();
    let creator = bench.connect(1);
    bench.say(creator, LIST);
    bench.heard(creator);
    bench.register(Some(creator), "blue", ChainId(Hash([2; 32])));
    let names: Vec<_> = bench
        .hub
        .listing()
        .iter()
        .map(|item| item.id.clone())
        .collect();
    assert_eq!(names, ["blue", "red"]);
}

#[test]
fn a_question_for_the_list_counts_as_a_join() {
    let mut bench = Bench::new();
    let asking = bench.connect(1);
    for _ in 0..limits::MESSAGE_BURST / limits::JOIN_WEIGHT {
        bench.say(asking, LIST);
    }
    assert_eq!(bench.paused, []);
    bench.say(asking, LIST);
    assert_eq!(bench.paused, [asking]);
}
