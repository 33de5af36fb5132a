use api::ws::ServerMessage;
use shared::hash::Hash;
use shared::ids::NetworkId;

use api::{Anchor, TipReference};
use shared::private::{NetworkKey, NetworkKeys};

use super::message::{Listing, MessageError, parse};
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
    given_back: Vec<ConnectionId>,
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
            given_back: Vec::new(),
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
                Output::GiveBack { connection } => self.given_back.push(connection),
                Output::Publish { .. }
                | Output::Follow { .. }
                | Output::Unfollow { .. }
                | Output::Adopt { .. }
                | Output::Register { .. }
                | Output::Check { .. }
                | Output::CheckReports { .. }
                | Output::CheckReset { .. }
                | Output::Ask(_)
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
fn a_registration_beyond_its_addresss_allowance_is_answered_and_counts_as_no_mistake() {
    let mut bench = Bench::new();
    bench.connect(1);
    bench.sent.clear();
    let refused = || MessageError {
        code: ErrorCode::RateLimited,
        message: "later".into(),
    };
    for _ in 0..=limits::MISTAKES_MAX {
        let (connection, message) = (id(1), Err(refused()));
        let bytes = 0;
        bench.handle(
            NOW,
            Input::Received {
                connection,
                message,
                bytes,
            },
        );
    }
    bench.handle(NOW.plus_ms(limits::JOIN_TIMEOUT_MS), Input::Woken);
    assert_eq!(bench.disconnected, []);
    assert!(bench.ledger.is_empty(), "nothing is registered");
    let answers = bench.heard(1);
    let is_answered = |message: &ServerMessage| matches!(message, ServerMessage::Error { code, .. } if *code == ErrorCode::RateLimited);
    assert!(answers.iter().all(is_answered), "{answers:?}");
    assert_eq!(answers.len(), 101);
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
        .iter()
        .map(|item| (item.id.clone(), item.peer_count))
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
    // A ping or pong of WebSocket's own is one more.
    let connection = id(1);
    bench.handle(NOW, Input::ControlReceived { connection });
    let (paused, until) = *bench.paused.last().unwrap();
    assert_eq!(paused, id(1));
    // Of the burst the join took its share.
    assert_eq!(
        until.since(NOW),
        u64::from(limits::JOIN_WEIGHT + 21) * 1_000 / u64::from(limits::MESSAGES_PER_SECOND)
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
fn members_are_not_drowned_by_who_comes_and_goes_without_end() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.register("blue", chain(2), Listing::Listed);
    bench.member(1, "red");
    bench.member(2, "red");
    bench.sent.clear();
    let join = |name: &str| format!(r#"{{"type":"join_network","network_id":"{name}"}}"#);
    // Where it is already, nobody hears of it.
    bench.text(2, &join("red"));
    assert!(matches!(bench.heard(2)[0], ServerMessage::Joined { .. }));
    assert!(bench.heard(1).is_empty());
    for _ in 0..1_000 {
        bench.text(2, &join("blue"));
        bench.text(2, &join("red"));
    }
    let is_news = |message: &ServerMessage| {
        matches!(
            message,
            ServerMessage::PeerJoined { .. } | ServerMessage::PeerLeft { .. }
        )
    };
    let told = bench.heard(1).iter().filter(|one| is_news(one)).count();
    // The two that came at first are of it.
    assert_eq!(told + 2, limits::ROOM_NEWS_BURST as usize);
    // It is a member all the same.
    bench.sent.clear();
    bench.text(1, &relay_to(2));
    assert_eq!(bench.heard(2).len(), 1);
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

fn quiet_keys() -> NetworkKeys {
    NetworkKey::from_bytes([3; 32]).keys()
}

impl Bench {
    /// Connects and enters the private room.
    fn enter(&mut self, number: u64) {
        self.connect(number);
        let (keys, byte) = (quiet_keys(), u8::try_from(number).unwrap());
        let admission = keys.admission("tracker.test", peer(byte), &[0; 32]);
        let (room, join_key, peer) = (keys.room().0, keys.join_key(), peer(byte));
        self.text(
            number,
            &format!(
                r#"{{"type":"join_room","room":"{room}","join_key":"{join_key}","peer_id":"{peer}","admission":"{admission}"}}"#
            ),
        );
    }

    fn room_reported(&mut self, height: u32, anchored: Option<u32>) {
        let reference = |height: u32| TipReference {
            height,
            hash: format!("{height:064}"),
        };
        self.handle(
            NOW,
            Input::RoomReported(RoomNetwork {
                room: quiet_keys().room(),
                chain_id: chain(9),
                tip: (height > 0).then(|| reference(height)),
                anchor: anchored.map(|height| Anchor {
                    network_id: quiet_keys().room().0.to_string(),
                    chain_id: chain(9).to_string(),
                    height,
                    hash: reference(height).hash,
                    enterprise_height: 4,
                    enterprise_hash: "ee".into(),
                }),
                resets: 0,
            }),
        );
    }
}

/// What may be said of a private network, and only in its room.
fn room_sayings() -> [String; 4] {
    let room = quiet_keys().room().0;
    let said = |rest: &str| format!(r#"{{"network_id":"{room}",{rest}}}"#);
    [
        said(
            r#""type":"blockchain_update","block_count":1,"latest_blocks":[],"genesis":"00","latest_reports":[]"#,
        ),
        said(r#""type":"reset_network","reset":"00""#),
        said(r#""type":"get_finality","size":3"#),
        said(r#""type":"get_reset","number":1"#),
    ]
}

#[test]
fn only_members_of_its_room_report_a_private_network_and_ask_about_it() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.enter(1);
    bench.member(2, "red");
    bench.connect(3);
    bench.room_reported(1, None);
    bench.sent.clear();
    for saying in room_sayings() {
        for outsider in [2, 3] {
            bench.text(outsider, &saying);
            let heard = bench.heard(outsider);
            assert!(
                matches!(
                    heard[..],
                    [ServerMessage::Error {
                        code: ErrorCode::NotJoined,
                        ..
                    }]
                ),
                "{saying}: {heard:?}"
            );
        }
        assert!(bench.ledger.is_empty(), "{saying}");
        bench.text(1, &saying);
        assert_eq!(bench.ledger.drain(..).count(), 1, "{saying}");
        assert!(bench.sent.is_empty(), "{saying}: {:?}", bench.sent);
    }
}

#[test]
fn what_is_known_of_a_private_network_is_told_to_its_room_and_to_who_enters() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.enter(1);
    bench.member(2, "red");
    bench.text(2, r#"{"type":"list_networks"}"#);
    bench.sent.clear();
    bench.room_reported(5, None);
    let heard = bench.heard(1);
    assert!(
        matches!(heard[..], [ServerMessage::Tip { height: 5, .. }]),
        "{heard:?}"
    );
    bench.room_reported(5, Some(4));
    let heard = bench.heard(1);
    assert!(
        matches!(&heard[..], [ServerMessage::Anchor(anchor)] if anchor.height == 4),
        "{heard:?}"
    );
    let (room, connection) = (quiet_keys().room(), Some(id(1)));
    let outcome = ResetOutcome::Executed;
    bench.handle(
        NOW,
        Input::ResetChecked {
            connection,
            room,
            number: 1,
            outcome,
        },
    );
    let heard = bench.heard(1);
    assert!(
        matches!(heard[..], [ServerMessage::ResetResult { number: 1, .. }]),
        "{heard:?}"
    );
    bench.enter(4);
    let heard = bench.heard(4);
    let entered = heard.iter().find_map(|message| {
        if let ServerMessage::RoomJoined {
            tip,
            anchor,
            resets,
            ..
        } = message
        {
            Some((tip.is_some(), anchor.is_some(), *resets))
        } else {
            None
        }
    });
    assert_eq!(entered, Some((true, true, 1)));
    assert_eq!(bench.heard(2), []);
}

#[test]
fn answers_for_a_private_room_reach_only_who_asked_and_is_still_in_it() {
    let mut bench = Bench::new();
    bench.register("red", chain(1), Listing::Listed);
    bench.enter(1);
    bench.enter(2);
    bench.sent.clear();
    let room = quiet_keys().room();
    let question = Question::Reset { number: 1 };
    let refused = || ResetOutcome::Refused("why".into());
    let answers = || {
        let (connection, chain_id) = (id(1), room.as_chain());
        let hash = chain(9).to_string();
        let tip = TipReference { height: 1, hash };
        [
            Input::QuestionAnswered {
                connection,
                room,
                question,
                answer: Some(vec![7]),
            },
            Input::ResetChecked {
                connection: Some(connection),
                room,
                number: 1,
                outcome: refused(),
            },
            Input::UpdateChecked {
                connection,
                chain_id,
                outcome: UpdateOutcome::Accepted(tip),
            },
        ]
    };
    for answer in answers() {
        bench.handle(NOW, answer);
    }
    let heard = bench.heard(1);
    assert!(
        matches!(
            heard[..],
            [
                ServerMessage::ResetReceipt {
                    receipt: Some(_),
                    ..
                },
                ServerMessage::ResetResult { .. },
                ServerMessage::UpdateResult { .. }
            ]
        ),
        "{heard:?}"
    );
    bench.text(1, r#"{"type":"join_network","network_id":"red"}"#);
    bench.sent.clear();
    for answer in answers() {
        bench.handle(NOW, answer);
    }
    assert!(bench.sent.is_empty(), "{:?}", bench.sent);
    // Of what nobody reports there is no proof, and no validator is asked.
    bench.text(2, &room_sayings()[2]);
    let heard = bench.heard(2);
    assert!(
        matches!(heard[..], [ServerMessage::Finality { proof: None, .. }]),
        "{heard:?}"
    );
    assert!(bench.ledger.is_empty());
}

#[test]
fn too_long_fields_of_reports_and_resets_are_refused_before_they_are_read() {
    let room = quiet_keys().room().0;
    let genesis = "00".repeat(shared::limits::GENESIS_BYTES_MAX + 1);
    let reports = vec![r#"{"block_id":1,"block_hash":"","raw":""}"#; limits::UPDATE_BLOCKS_MAX + 1];
    let reports = reports.join(",");
    let reset = "00".repeat(shared::enterprise::Reset::BYTES + 1);
    for text in [
        format!(
            r#"{{"type":"blockchain_update","network_id":"{room}","block_count":1,"latest_blocks":[],"genesis":"{genesis}"}}"#
        ),
        format!(
            r#"{{"type":"blockchain_update","network_id":"{room}","block_count":1,"latest_blocks":[],"latest_reports":[{reports}]}}"#
        ),
        format!(r#"{{"type":"reset_network","network_id":"{room}","reset":"{reset}"}}"#),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::TooLarge, "{error}");
    }
    for text in [
        r#"{"type":"get_finality","network_id":"quiet","size":0}"#.to_owned(),
        format!(r#"{{"type":"get_finality","network_id":"{room}","size":0,"known":"1:&size=0"}}"#),
        format!(r#"{{"type":"reset_network","network_id":"{room}","reset":"0x"}}"#),
        format!(
            r#"{{"type":"blockchain_update","network_id":"{room}","block_count":1,"latest_blocks":[{}],"genesis":"00"}}"#,
            r#"{"block_id":1,"block_hash":"","previous_hash":"","timestamp":0,"header":"","miner":"","transactions":[]}"#
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::BadMessage, "{error}");
    }
}

#[test]
fn refused_registrations_are_given_back_and_bounded_by_their_connection() {
    let mut bench = Bench::new();
    bench.connect(1);
    let create = r#"{"type":"create_network","genesis":"00ff"}"#;
    for number in 0..limits::MESSAGE_BURST {
        let (before, back) = (bench.ledger.len(), bench.given_back.len());
        bench.text(1, create);
        let is_asked = bench.ledger.len() > before;
        assert_eq!(is_asked, number < limits::CREATION_BURST);
        if is_asked {
            bench.handle(
                NOW,
                Input::RegistrationRefused {
                    connection: id(1),
                    code: ErrorCode::BadMessage,
                    reason: "no genesis".into(),
                    suggestion: None,
                },
            );
        }
        assert_eq!(bench.given_back.len(), back + 1, "each once");
    }
    assert!(bench.paused.is_empty());
    bench.text(1, create);
    assert_eq!(bench.paused.len(), 1, "and it is read from more slowly");
    // A network that is registered is not given back, one that was there already is.
    let back = bench.given_back.len();
    for expected in [back, back + 1] {
        let network = Network {
            label: Label::plain(&NetworkId::parse("demo").unwrap()),
            chain_id: chain(1),
            genesis: "00".into(),
            listing: Listing::Listed,
            tip: None,
            anchor: None,
        };
        let connection = Some(id(1));
        bench.handle(
            NOW,
            Input::Registered {
                connection,
                network,
            },
        );
        assert_eq!(bench.given_back.len(), expected);
    }
}
