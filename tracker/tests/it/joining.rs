//! Registration, joins, signalling, and that networks do not see each other.

use api::ws::{ClientMessage, ErrorCode, ServerMessage, Signal};
use tempfile::tempdir;

use crate::support::{Client, Network, Running, identity};

fn signal(payload: &str) -> Signal {
    Signal {
        session: "1".into(),
        key: "00".into(),
        fingerprint: "AA".into(),
        signature: "11".into(),
        payload: payload.into(),
    }
}

fn error_code(message: &ServerMessage) -> Option<ErrorCode> {
    match message {
        ServerMessage::Error { code, .. } => Some(*code),
        _ => None,
    }
}

#[tokio::test]
async fn peers_of_one_network_find_and_reach_each_other() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let network = Network::new("demo", 1);
    let (ann, bob) = (identity(2), identity(3));
    let mut first = Client::connect(&tracker).await;
    first.create(&network).await;
    assert!(first.join(&network, &ann).await.is_empty());
    let mut second = Client::connect(&tracker).await;
    assert_eq!(
        second.join(&network, &bob).await,
        [ann.peer_id().to_string()]
    );
    let joined = |message: &ServerMessage| match message {
        ServerMessage::PeerJoined { peer_id } => Some(peer_id.clone()),
        _ => None,
    };
    assert_eq!(first.until(joined).await, bob.peer_id().to_string());

    let target = bob.peer_id().to_string();
    first
        .send(&ClientMessage::Offer {
            target: target.clone(),
            offer: signal("sdp \"quoted\""),
        })
        .await;
    first
        .send(&ClientMessage::Relay {
            target,
            frame: "AAEC".into(),
        })
        .await;
    let offer = |message: &ServerMessage| match message {
        ServerMessage::Offer { target, offer } => Some((target.clone(), offer.clone())),
        _ => None,
    };
    assert_eq!(
        second.until(offer).await,
        (ann.peer_id().to_string(), signal("sdp \"quoted\""))
    );
    let relayed = |message: &ServerMessage| match message {
        ServerMessage::Relay { target, frame } => Some((target.clone(), frame.clone())),
        _ => None,
    };
    assert_eq!(
        second.until(relayed).await,
        (ann.peer_id().to_string(), "AAEC".into())
    );

    drop(second);
    let left = |message: &ServerMessage| match message {
        ServerMessage::PeerLeft { peer_id } => Some(peer_id.clone()),
        _ => None,
    };
    assert_eq!(first.until(left).await, bob.peer_id().to_string());
    tracker.stop().await;
}

#[tokio::test]
async fn two_networks_do_not_see_each_other() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let (red, blue) = (Network::new("red", 1), Network::new("blue", 2));
    let (ann, bob) = (identity(3), identity(4));
    let mut in_red = Client::connect(&tracker).await;
    in_red.create(&red).await;
    in_red.join(&red, &ann).await;
    in_red.drain().await;
    let mut in_blue = Client::connect(&tracker).await;
    in_blue.create(&blue).await;
    assert!(
        in_blue.join(&blue, &bob).await.is_empty(),
        "nobody of the other network is named"
    );

    let target = bob.peer_id().to_string();
    in_red
        .send(&ClientMessage::Offer {
            target: target.clone(),
            offer: signal("x"),
        })
        .await;
    in_red
        .send(&ClientMessage::Relay {
            target,
            frame: "AA==".into(),
        })
        .await;
    assert_eq!(in_red.until(error_code).await, ErrorCode::PeerUnknown);
    assert_eq!(in_red.until(error_code).await, ErrorCode::PeerUnknown);
    let heard = in_blue.drain().await;
    let only_own = heard
        .iter()
        .all(|message| matches!(message, ServerMessage::NetworkInfo { .. }));
    assert!(only_own, "{heard:?}");
    tracker.stop().await;
}

#[tokio::test]
async fn unlisted_networks_are_in_no_list() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let (open, hidden) = (Network::new("open", 1), Network::new("hidden", 2));
    let mut client = Client::connect(&tracker).await;
    client.create(&open).await;
    let create = ClientMessage::CreateNetwork {
        genesis: hidden.genesis_hex(),
        listed: false,
        label: None,
    };
    client.send(&create).await;
    client.join(&hidden, &identity(3)).await;
    client.send(&ClientMessage::ListNetworks {}).await;
    let listed = |message: &ServerMessage| match message {
        ServerMessage::NetworkListUpdate { networks } => Some(
            networks
                .iter()
                .map(|network| network.id.clone())
                .collect::<Vec<_>>(),
        ),
        _ => None,
    };
    assert_eq!(client.until(listed).await, ["open"]);
    assert_eq!(
        tracker.get("/api/networks").await.text().await.unwrap(),
        r#"{"open":0}"#
    );
    let list = tracker.get("/api/network-list").await.text().await.unwrap();
    assert_eq!(list, r#"[{"id":"open","name":"open","peer_count":0}]"#);
    tracker.stop().await;
}

#[tokio::test]
async fn an_unknown_network_is_answered_so() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut client = Client::connect(&tracker).await;
    client
        .send_text(r#"{"type":"join_network","network_id":"nowhere"}"#.into())
        .await;
    assert_eq!(client.until(error_code).await, ErrorCode::NetworkUnknown);
    tracker.stop().await;
}

#[tokio::test]
async fn another_genesis_under_a_taken_name_lives_beside_it() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let (first, second) = (Network::new("demo", 1), Network::new("demo", 2));
    let mut client = Client::connect(&tracker).await;
    client.create(&first).await;
    let genesis = second.genesis_hex();
    client
        .send(&ClientMessage::CreateNetwork {
            genesis: genesis.clone(),
            listed: true,
            label: None,
        })
        .await;
    let taken = |message: &ServerMessage| match message {
        ServerMessage::Error {
            code: ErrorCode::NetworkExists,
            suggestion,
            ..
        } => suggestion.clone(),
        _ => None,
    };
    let label = client.until(taken).await;
    assert_eq!(
        label,
        format!("demo~{}", &second.chain_id().to_string()[..8])
    );
    client
        .send(&ClientMessage::CreateNetwork {
            genesis,
            listed: true,
            label: Some(label.clone()),
        })
        .await;
    let created = |message: &ServerMessage| match message {
        ServerMessage::NetworkCreated { network_id, .. } => Some(network_id.clone()),
        _ => None,
    };
    assert_eq!(client.until(created).await, label);
    client.join(&second, &identity(3)).await;
    tracker.stop().await;
}

#[tokio::test]
async fn a_bare_join_of_an_open_network_works() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let network = Network::new("demo", 1);
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    client
        .send_text(r#"{"type":"join_network","network_id":"demo"}"#.into())
        .await;
    let joined = |message: &ServerMessage| match message {
        ServerMessage::Joined {
            peer_id, genesis, ..
        } => Some((peer_id.clone(), genesis.clone())),
        _ => None,
    };
    assert_eq!(
        client.until(joined).await,
        (client.provisional.to_string(), network.genesis_hex())
    );
    tracker.stop().await;
}

#[tokio::test]
async fn a_join_proof_counts_for_its_connection_network_and_key_only() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let (network, other) = (Network::new("demo", 1), Network::new("other", 2));
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    let replayed = Client::connect(&tracker)
        .await
        .join_message(&network, &identity(3));
    let moved = match client.join_message(&other, &identity(3)) {
        ClientMessage::JoinNetwork { key, signature, .. } => ClientMessage::JoinNetwork {
            network_id: "demo".into(),
            chain_id: Some(network.chain_id().to_string()),
            key,
            signature,
        },
        _ => unreachable!(),
    };
    let stolen = match client.join_message(&network, &identity(3)) {
        ClientMessage::JoinNetwork {
            network_id,
            chain_id,
            signature,
            ..
        } => ClientMessage::JoinNetwork {
            network_id,
            chain_id,
            key: Some(identity(4).public_key().to_string()),
            signature,
        },
        _ => unreachable!(),
    };
    for bad in [replayed, moved, stolen] {
        client.send(&bad).await;
        assert_eq!(
            client.until(error_code).await,
            ErrorCode::BadProof,
            "{bad:?}"
        );
    }
    client.join(&network, &identity(3)).await;
    tracker.stop().await;
}

#[tokio::test]
async fn a_peer_that_joins_again_takes_its_own_place() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let network = Network::new("demo", 1);
    let mut old = Client::connect(&tracker).await;
    old.create(&network).await;
    old.join(&network, &identity(2)).await;
    let mut new = Client::connect(&tracker).await;
    assert!(new.join(&network, &identity(2)).await.is_empty());
    while old.receive_or_end().await.is_some() {}
    assert_eq!(
        tracker.get("/api/networks").await.text().await.unwrap(),
        r#"{"demo":1}"#
    );
    tracker.stop().await;
}

#[tokio::test]
async fn outsiders_neither_signal_nor_report() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut network = Network::new("demo", 1);
    let mut member = Client::connect(&tracker).await;
    member.create(&network).await;
    member.join(&network, &identity(2)).await;
    let mut outsider = Client::connect(&tracker).await;
    let target = identity(2).peer_id().to_string();
    outsider
        .send(&ClientMessage::Answer {
            target,
            answer: signal("x"),
        })
        .await;
    assert_eq!(outsider.until(error_code).await, ErrorCode::NotJoined);
    let block = api::TenantBlock::from(&network.mine("hi"));
    let update = ClientMessage::BlockchainUpdate {
        network_id: "demo".into(),
        block_count: 1,
        latest_blocks: vec![block],
        latest_reports: Vec::new(),
        genesis: None,
    };
    outsider.send(&update).await;
    assert_eq!(outsider.until(error_code).await, ErrorCode::NotJoined);
    tracker.stop().await;
}

#[tokio::test]
async fn who_creates_too_many_networks_is_refused() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let mut client = Client::connect(&tracker).await;
    for index in 0..30 {
        let genesis = Network::new(&format!("n{index}"), 1).genesis_hex();
        client
            .send(&ClientMessage::CreateNetwork {
                genesis,
                listed: false,
                label: None,
            })
            .await;
    }
    assert_eq!(client.until(error_code).await, ErrorCode::RateLimited);
    tracker.stop().await;
}

#[tokio::test]
async fn one_address_creates_so_many_networks_on_whatever_connections() {
    let data = tempdir().unwrap();
    let tracker = Running::start_with(data.path(), |config| config.address_creations = 4).await;
    let network = Network::new("first", 1);
    let mut first = Client::connect(&tracker).await;
    first.create(&network).await;
    let mut second = Client::connect(&tracker).await;
    second.create(&Network::new("second", 1)).await;
    let mut third = Client::connect(&tracker).await;
    let create = ClientMessage::CreateNetwork {
        genesis: Network::new("third", 1).genesis_hex(),
        listed: true,
        label: None,
    };
    third.send(&create).await;
    assert_eq!(third.until(error_code).await, ErrorCode::RateLimited);
    let networks = tracker.get("/api/networks/third/genesis").await;
    assert_eq!(networks.status(), 404);
    third.join(&network, &identity(3)).await;
    tracker.stop().await;
}

#[tokio::test]
async fn a_network_that_is_refused_for_another_reason_does_not_count_for_its_address() {
    let data = tempdir().unwrap();
    // Two at once.
    let tracker = Running::start_with(data.path(), |config| config.address_creations = 4).await;
    let network = Network::new("first", 1);
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    let create = |genesis: String| ClientMessage::CreateNetwork {
        genesis,
        listed: true,
        label: None,
    };
    for (genesis, code) in [
        (
            Network::new("first", 2).genesis_hex(),
            ErrorCode::NetworkExists,
        ),
        ("00ff".to_owned(), ErrorCode::BadMessage),
        (
            Network::new("first", 3).genesis_hex(),
            ErrorCode::NetworkExists,
        ),
    ] {
        client.send(&create(genesis)).await;
        assert_eq!(client.until(error_code).await, code);
    }
    // One that is here already takes no more place.
    client.create(&network).await;
    client.create(&Network::new("second", 1)).await;
    let third = Network::new("third", 1).genesis_hex();
    client.send(&create(third)).await;
    assert_eq!(client.until(error_code).await, ErrorCode::RateLimited);
    tracker.stop().await;
}

#[tokio::test]
async fn who_sends_nonsense_only_is_disconnected_and_others_go_on() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let network = Network::new("demo", 1);
    let mut calm = Client::connect(&tracker).await;
    calm.create(&network).await;
    let mut loud = Client::connect(&tracker).await;
    for _ in 0..=tracker::limits::MISTAKES_MAX {
        loud.send_text(r#"{"type":"dance"}"#.into()).await;
    }
    while loud.receive_or_end().await.is_some() {}
    calm.join(&network, &identity(2)).await;
    tracker.stop().await;
}
