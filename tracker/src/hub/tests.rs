use api::ws::ServerMessage;
use shared::hash::Hash;
use shared::ids::NetworkId;

use api::TipReference;

use super::message::{Listing, parse};
use super::*;

const NOW: TimestampMs = TimestampMs(1_000_000);

fn peer(byte: u8) -> PeerId {
    PeerId(Hash([byte; 32]))
}

fn chain(byte: u8) -> ChainId {
    ChainId(Hash([byte; 32]))
}

fn id(number: u64) -> ConnectionId {
    ConnectionId(number)
}

/// A hub with what it ordered, by kind.
struct Bench {
    hub: Hub,
    sent: BTreeMap<ConnectionId, Vec<ServerMessage>>,
    disconnected: Vec<ConnectionId>,
    paused: Vec<(ConnectionId, TimestampMs)>,
    ledger: Vec<Output>,
    wake_at: Option<TimestampMs>,
}

impl Bench {
    fn new() -> Self {
        Self {
            hub: Hub::new(Vec::new()),
            sent: BTreeMap::new(),
            disconnected: Vec::new(),
            paused: Vec::new(),
            ledger: Vec::new(),
            wake_at: None,
        }
    }

    fn handle(&mut self, now: TimestampMs, input: Input) {
        self.hub.handle(now, input);
        while let Some(output) = self.hub.poll() {
            match output {
                Output::Send { connections, text } => {
                    let message: ServerMessage = serde_json::from_str(&text).unwrap();
                    for connection in connections {
                        self.sent
                            .entry(connection)
                            .or_default()
                            .push(message.clone());
                    }
                }
                Output::Disconnect { connection, .. } => self.disconnected.push(connection),
                Output::Pause { connection, until } => self.paused.push((connection, until)),
                Output::WakeAt { at } => self.wake_at = Some(at),
                Output::Publish { .. }
                | Output::Follow { .. }
                | Output::Unfollow { .. }
                | Output::Adopt { .. }
                | Output::Register { .. }
                | Output::Check { .. }
                | Output::CheckBlock { .. }
                | Output::CheckTransaction { .. } => self.ledger.push(output),
            }
        }
    }

    fn connect(&mut self, number: u64) {
        let peer = peer(u8::try_from(number).unwrap());
        self.handle(
            NOW,
            Input::Connected {
                connection: id(number),
                peer,
                nonce: [0; 32],
                host: "tracker.test".into(),
            },
        );
    }

    fn text(&mut self, number: u64, text: &str) {
        let (message, bytes) = (parse(text.to_owned()), text.len());
        self.handle(
            NOW,
            Input::Received {
                connection: id(number),
                message,
                bytes,
            },
        );
    }

    fn register(&mut self, name: &str, chain_id: ChainId, listing: Listing) {
        let label = Label::plain(&NetworkId::parse(name).unwrap());
        let network = Network {
            label,
            chain_id,
            genesis: "00".into(),
            listing,
            tip: None,
            anchor: None,
        };
        self.handle(
            NOW,
            Input::Registered {
                connection: None,
                network,
            },
        );
    }

    /// Connects and joins, bare: the provisional id is the connection's number repeated.
    fn member(&mut self, number: u64, name: &str) {
        self.connect(number);
        self.text(
            number,
            &format!(r#"{{"type":"join_network","network_id":"{name}"}}"#),
        );
    }

    fn heard(&mut self, number: u64) -> Vec<ServerMessage> {
        self.sent.remove(&id(number)).unwrap_or_default()
    }
}

fn relay_to(byte: u8) -> String {
    format!(
        r#"{{"type":"relay","target":"{}","frame":"AA=="}}"#,
        peer(byte)
    )
}

#[test]
fn a_message_reaches_the_named_peer_and_nobody_else() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.register("blue", chain(2), Listing::Listed);
    for (number, name) in [(1, "red"), (2, "red"), (3, "red"), (4, "blue")] {
        bench.member(number, name);
    }
    bench.sent.clear();
    bench.text(1, &relay_to(2));
    let relayed = ServerMessage::Relay {
        target: peer(1).to_string(),
        frame: "AA==".into(),
    };
    assert_eq!(bench.heard(2), [relayed]);
    assert!(bench.sent.is_empty(), "{:?}", bench.sent);
}

#[test]
fn nobody_reaches_another_network_or_itself() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.register("blue", chain(2), Listing::Listed);
    bench.member(1, "red");
    bench.member(2, "blue");
    bench.sent.clear();
    for target in [2, 1, 9] {
        bench.text(1, &relay_to(target));
        let heard = bench.heard(1);
        assert!(
            matches!(
                &heard[..],
                [ServerMessage::Error {
                    code: ErrorCode::PeerUnknown,
                    ..
                }]
            ),
            "{heard:?}"
        );
    }
    assert!(bench.sent.is_empty());
}

#[test]
fn who_leaves_hears_and_says_nothing_more() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.member(1, "red");
    bench.member(2, "red");
    bench.text(2, r#"{"type":"leave_network"}"#);
    bench.sent.clear();
    bench.text(1, &relay_to(2));
    bench.text(2, &relay_to(1));
    assert!(matches!(
        bench.heard(1)[..],
        [ServerMessage::Error {
            code: ErrorCode::PeerUnknown,
            ..
        }]
    ));
    assert!(matches!(
        bench.heard(2)[..],
        [ServerMessage::Error {
            code: ErrorCode::NotJoined,
            ..
        }]
    ));
    let tip = TipReference {
        height: 1,
        hash: String::new(),
    };
    bench.handle(
        NOW,
        Input::TipMoved {
            chain_id: chain(1),
            tip,
        },
    );
    assert!(bench.heard(2).is_empty());
}

#[test]
fn who_moves_to_another_room_leaves_the_first() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.register("blue", chain(2), Listing::Listed);
    bench.member(1, "red");
    bench.member(2, "red");
    bench.sent.clear();
    bench.text(2, r#"{"type":"join_network","network_id":"blue"}"#);
    let left = ServerMessage::PeerLeft {
        peer_id: peer(2).to_string(),
    };
    assert_eq!(bench.heard(1)[0], left);
    let counts: Vec<_> = bench
        .hub
        .listing()
        .into_iter()
        .map(|item| (item.id, item.peer_count))
        .collect();
    assert_eq!(counts, [("blue".to_owned(), 1), ("red".to_owned(), 1)]);
}

#[test]
fn a_failed_join_keeps_the_place() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.member(1, "red");
    bench.member(2, "red");
    bench.text(2, r#"{"type":"join_network","network_id":"nowhere"}"#);
    bench.sent.clear();
    bench.text(1, &relay_to(2));
    assert_eq!(bench.heard(2).len(), 1);
}

#[test]
fn who_does_nothing_is_disconnected_in_time() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.connect(1);
    bench.member(2, "red");
    let due = NOW.plus_ms(limits::JOIN_TIMEOUT_MS);
    assert_eq!(bench.wake_at, Some(due));
    bench.handle(due, Input::Woken);
    assert_eq!(bench.disconnected, [id(1)]);
}

#[test]
fn only_subscribers_get_the_list_and_only_listed_networks_are_in_it() {
    let mut bench = Bench::new();
    bench.register("open", chain(1), Listing::Listed);
    bench.register("hidden", chain(2), Listing::Unlisted);
    bench.connect(1);
    bench.text(1, r#"{"type":"list_networks"}"#);
    bench.member(2, "open");
    bench.member(3, "hidden");
    bench.sent.clear();
    bench.handle(NOW.plus_ms(limits::LIST_INTERVAL_MS), Input::Woken);
    let heard = bench.heard(1);
    let [ServerMessage::NetworkListUpdate { networks }] = &heard[..] else {
        panic!("{heard:?}")
    };
    assert_eq!(networks.len(), 1);
    assert_eq!(
        (networks[0].id.as_str(), networks[0].peer_count),
        ("open", 1)
    );
    assert!(bench.sent.is_empty(), "nobody else: {:?}", bench.sent);
}

#[test]
fn a_burst_is_slowed_down_and_nothing_of_it_is_lost() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.member(1, "red");
    bench.member(2, "red");
    bench.sent.clear();
    let offer = format!(
        r#"{{"type":"candidate","target":"{}","candidate":{}}}"#,
        peer(2),
        CANDIDATE
    );
    for _ in 0..limits::MESSAGE_BURST + 20 {
        bench.text(1, &offer);
    }
    assert_eq!(
        bench.heard(2).len(),
        usize::try_from(limits::MESSAGE_BURST).unwrap() + 20
    );
    let (paused, until) = *bench.paused.last().unwrap();
    assert_eq!(paused, id(1));
    // One of the burst was spent on the join.
    assert_eq!(
        until.since(NOW),
        21 * 1_000 / u64::from(limits::MESSAGES_PER_SECOND)
    );
}

#[test]
fn an_update_is_answered_only_when_the_ledger_has_it() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.member(1, "red");
    bench.sent.clear();
    bench.text(
        1,
        r#"{"type":"blockchain_update","network_id":"red","block_count":0,"latest_blocks":[]}"#,
    );
    assert!(bench.heard(1).is_empty());
    let [
        Output::Check {
            connection,
            chain_id,
            ..
        },
    ] = &bench.ledger[..]
    else {
        panic!("{:?}", bench.ledger)
    };
    assert_eq!((*connection, *chain_id), (id(1), chain(1)));
    let tip = TipReference {
        height: 3,
        hash: "ab".into(),
    };
    bench.handle(
        NOW,
        Input::UpdateChecked {
            connection: id(1),
            chain_id: chain(1),
            outcome: UpdateOutcome::Accepted(tip),
        },
    );
    assert!(matches!(
        bench.heard(1)[..],
        [ServerMessage::UpdateResult { height: 3, .. }]
    ));
}

#[test]
fn a_checked_block_goes_to_the_room_and_a_bad_one_back_to_its_sender() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.member(1, "red");
    bench.member(2, "red");
    bench.sent.clear();
    let message = Box::new(ServerMessage::Peers { peers: Vec::new() });
    bench.handle(
        NOW,
        Input::RelayChecked {
            connection: id(1),
            chain_id: chain(1),
            verdict: Ok(message),
        },
    );
    assert_eq!((bench.heard(1).len(), bench.heard(2).len()), (0, 1));
    let verdict = Err("no work".to_owned());
    bench.handle(
        NOW,
        Input::RelayChecked {
            connection: id(1),
            chain_id: chain(1),
            verdict,
        },
    );
    assert_eq!((bench.heard(1).len(), bench.heard(2).len()), (1, 0));
}

const CANDIDATE: &str = r#"{"session":"1","key":"","fingerprint":"","signature":"","payload":""}"#;

#[test]
fn a_newcomer_of_a_large_room_and_a_sample_of_its_peers_are_told_of_each_other() {
    let mut bench = Bench::new();
    bench.register("large", chain(1), Listing::Listed);
    let most = u64::try_from(limits::SAMPLE_PEERS).unwrap();
    for number in 1..=most + 30 {
        bench.member(number, "large");
    }
    let newest = most + 30;
    let told = bench.heard(newest).into_iter().find_map(|message| {
        if let ServerMessage::Joined { peers, .. } = message {
            Some(peers)
        } else {
            None
        }
    });
    let told = told.unwrap();
    assert_eq!(told.len(), limits::SAMPLE_PEERS);
    let own = peer(u8::try_from(newest).unwrap()).to_string();
    let mut knowing = Vec::new();
    for number in 1..newest {
        let heard = bench.heard(number);
        if heard.iter().any(
            |message| matches!(message, ServerMessage::PeerJoined { peer_id } if *peer_id == own),
        ) {
            knowing.push(peer(u8::try_from(number).unwrap()).to_string());
        }
    }
    let (mut told, mut knowing) = (told, knowing);
    told.sort();
    knowing.sort();
    assert_eq!(told, knowing, "each of them knows the other");
    assert!(!told.contains(&own));
}

#[test]
fn a_room_hears_its_count_at_most_once_a_second_and_a_newcomer_at_once() {
    let mut bench = Bench::new();
    bench.register("large", chain(1), Listing::Unlisted);
    for number in 1..=40 {
        bench.member(number, "large");
    }
    let counts = |bench: &mut Bench, number| {
        let heard = bench.heard(number).into_iter();
        let counts = heard.filter_map(|message| {
            if let ServerMessage::NetworkInfo { peer_count, .. } = message {
                Some(peer_count)
            } else {
                None
            }
        });
        counts.collect::<Vec<_>>()
    };
    assert_eq!(counts(&mut bench, 1), [1]);
    assert_eq!(counts(&mut bench, 40), [40]);
    let due = NOW.plus_ms(limits::LIST_INTERVAL_MS);
    assert!(bench.wake_at.is_some_and(|at| at <= due));
    bench.handle(due, Input::Woken);
    assert_eq!(counts(&mut bench, 1), [40]);
    assert_eq!(counts(&mut bench, 40), [40]);
    bench.handle(due, Input::Closed { connection: id(40) });
    bench.handle(due.plus_ms(1), Input::Woken);
    assert_eq!(counts(&mut bench, 1), [0; 0]);
    bench.handle(due.plus_ms(limits::LIST_INTERVAL_MS), Input::Woken);
    assert_eq!(counts(&mut bench, 1), [39]);
    for number in 1..=39 {
        let connection = id(number);
        bench.handle(
            due.plus_ms(limits::LIST_INTERVAL_MS),
            Input::Closed { connection },
        );
    }
    bench.member(41, "large");
    assert_eq!(
        counts(&mut bench, 41),
        [1],
        "an empty room leaves nothing behind"
    );
}
