//! What the documents say against what the tracker says: each message and each route at least once.

use api::ws::{ClientMessage, ErrorCode, ServerMessage, Signal};
use api::{BlockchainUpdate, TenantBlock};
use serde_json::{Value, json};
use shared::hash::Hash;
use shared::private::{NetworkKey, NetworkKeys};
use tempfile::tempdir;

use crate::schema::{DOCUMENT, SEEN, Side, errors, name_of, strict_components};
use crate::support::{Client, Network, Running, identity};
use crate::validator::Validator as EnterpriseChain;

fn signal() -> Signal {
    Signal {
        session: "00".repeat(16),
        key: "00".repeat(32),
        fingerprint: "00".repeat(32),
        signature: "00".repeat(64),
        payload: "{}".into(),
    }
}

/// Everything that a member may say.
fn sayings(network: &mut Network, target: &str) -> Vec<ClientMessage> {
    let target = || target.to_owned();
    let block = TenantBlock::from(&network.mine("hello"));
    let transaction = block.transactions[0].clone();
    let network_id = network.label().to_owned();
    vec![
        ClientMessage::ListNetworks {},
        ClientMessage::Ping {},
        ClientMessage::Offer {
            target: target(),
            offer: signal(),
        },
        ClientMessage::Answer {
            target: target(),
            answer: signal(),
        },
        ClientMessage::Candidate {
            target: target(),
            candidate: signal(),
        },
        ClientMessage::Relay {
            target: target(),
            frame: "AA==".into(),
        },
        ClientMessage::Relay {
            target: "00".repeat(32),
            frame: "AA==".into(),
        },
        ClientMessage::Block {
            block: Box::new(block.clone()),
        },
        ClientMessage::Transaction { transaction },
        ClientMessage::BlockchainUpdate {
            network_id,
            block_count: 1,
            latest_blocks: vec![block],
            latest_reports: Vec::new(),
            genesis: None,
        },
    ]
}

/// Everything that a member of a private room may say of its network.
fn room_sayings(network: &mut Network, keys: &NetworkKeys) -> [ClientMessage; 4] {
    let network_id = || keys.room().0.to_string();
    let block = network.mine("hello");
    // Another's: refused at once.
    let mut other = Network::private("quiet", 2, Hash([1; 32]), keys);
    other.mine("hello");
    let reset = other.reset(keys, 1, 1, other.chain_id().0);
    [
        network.reports(keys, &[block]),
        reset,
        ClientMessage::GetFinality {
            network_id: network_id(),
            size: 0,
            known: Some(format!("7:{}", "ab".repeat(32))),
        },
        ClientMessage::GetReset {
            network_id: network_id(),
            number: 1,
        },
    ]
}

/// A message without a member that the document requires is refused.
async fn required_members_are_required(client: &mut Client, message: &ClientMessage) {
    let whole = serde_json::to_value(message).unwrap();
    let name = name_of(Side::Client, &whole);
    let required = &DOCUMENT["components"]["messages"][&name]["payload"]["required"];
    for member in required.as_array().unwrap() {
        let member = member.as_str().unwrap();
        let mut cut = whole.clone();
        cut.as_object_mut().unwrap().remove(member).unwrap();
        client.send_text(cut.to_string()).await;
        let code = client.until(|message| match message {
            ServerMessage::Error { code, .. } => Some(*code),
            _ => None,
        });
        assert_eq!(code.await, ErrorCode::BadMessage, "{name} without {member}");
    }
}

/// What is said with other trackers or a TURN server only: their own tests hear it and hold it against the document.
const TOLD_ELSEWHERE: [&str; 2] = ["tracker.trackers", "tracker.ice_servers"];

#[tokio::test]
async fn every_message_is_as_the_document_says() {
    let (data, enterprise_data) = (tempdir().unwrap(), tempdir().unwrap());
    let enterprise = EnterpriseChain::start(enterprise_data.path(), None).await;
    let tracker = Running::start_with(data.path(), |config| {
        config.enterprise_bc_url = Some(format!("http://{}", enterprise.address));
        config.drain_seconds = 30;
    })
    .await;
    let mut network = Network::new("demo", 1);
    let mut one = Client::connect(&tracker).await;
    one.create(&network).await;
    one.join(&network, &identity(11)).await;
    let mut two = Client::connect(&tracker).await;
    let bare = ClientMessage::JoinNetwork {
        network_id: "demo".into(),
        chain_id: None,
        key: None,
        signature: None,
    };
    required_members_are_required(&mut two, &bare).await;
    two.send(&bare).await;
    let two_id = two.provisional.to_string();
    let sayings = sayings(&mut network, &two_id);
    let mut rude = Client::connect(&tracker).await;
    for saying in &sayings {
        required_members_are_required(&mut rude, saying).await;
        one.send(saying).await;
    }
    let mut member = Client::connect(&tracker).await;
    let keys = NetworkKey::from_bytes([7; 32]).keys();
    let entry = member.entry(&tracker, &keys, identity(12).peer_id());
    required_members_are_required(&mut rude, &entry).await;
    member.send(&entry).await;
    member
        .until(|message| matches!(message, ServerMessage::RoomJoined { .. }).then_some(()))
        .await;
    let mut quiet = Network::private("quiet", 1, Hash([1; 32]), &keys);
    for saying in room_sayings(&mut quiet, &keys) {
        required_members_are_required(&mut rude, &saying).await;
        member.send(&saying).await;
    }
    let mut answers = 0;
    while answers < 4 {
        let is_answer = matches!(
            member.receive().await,
            ServerMessage::UpdateResult { .. }
                | ServerMessage::ResetResult { .. }
                | ServerMessage::Finality { .. }
                | ServerMessage::ResetReceipt { .. }
        );
        answers += usize::from(is_answer);
    }
    one.until(|message| matches!(message, ServerMessage::Anchor(_)).then_some(()))
        .await;
    two.send(&ClientMessage::LeaveNetwork {}).await;
    one.until(|message| matches!(message, ServerMessage::PeerLeft { .. }).then_some(()))
        .await;
    two.drain().await;
    let moved = async {
        one.until(|message| matches!(message, ServerMessage::Moving { .. }).then_some(()))
            .await;
        drop((one, two, rude, member));
    };
    tokio::join!(tracker.stop(), moved);
    enterprise.stop().await;

    let seen = SEEN.lock().unwrap().clone();
    let described = DOCUMENT["components"]["messages"].as_object().unwrap();
    let missing = described.keys().filter(|name| !seen.contains(*name));
    let missing = missing.filter(|name| !TOLD_ELSEWHERE.contains(&name.as_str()));
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "never said: {missing:?}");
}

#[test]
fn a_message_that_is_not_as_described_would_be_noticed() {
    let good = json!({"type": "update_result", "network_id": "a", "status": "accepted", "height": 1, "hash": "00"});
    assert_eq!(errors("tracker.update_result", &good), Vec::<String>::new());
    for (member, value) in [
        ("height", json!("1")),
        ("status", json!("perhaps")),
        ("type", json!("tip")),
        ("unknown", json!(1)),
    ] {
        let mut changed = good.clone();
        changed[member] = value;
        assert!(
            !errors("tracker.update_result", &changed).is_empty(),
            "{member}"
        );
    }
}

async fn check_answer(
    document: &Value,
    operation: &Value,
    asked: &str,
    response: reqwest::Response,
) {
    let status = response.status().as_u16().to_string();
    let described = &operation["responses"];
    let described = described
        .get(&status)
        .unwrap_or_else(|| &described["default"]);
    let found = response.headers()["content-type"].to_str().unwrap();
    let media_type = found.split(';').next().unwrap().to_owned();
    let content = &described["content"][&media_type];
    assert!(
        content.is_object(),
        "{asked}: {status} {media_type} is not described"
    );
    if !media_type.ends_with("json") {
        return;
    }
    let mut schema = content["schema"].clone();
    schema["components"] = strict_components(document);
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let text = response.text().await.unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    let errors: Vec<String> = validator
        .iter_errors(&answer)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{asked}: {errors:#?} in {text}");
}

/// An update of a block that the tracker does not have yet.
fn update_of(network: &mut Network) -> BlockchainUpdate {
    BlockchainUpdate {
        network_id: network.label().to_owned(),
        chain_id: None,
        genesis: None,
        peer_id: "test".into(),
        new_blocks: vec![TenantBlock::from(&network.mine("hello"))],
        new_reports: Vec::new(),
        timestamp: service::now_ms(),
    }
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let (data, enterprise_data) = (tempdir().unwrap(), tempdir().unwrap());
    let enterprise = EnterpriseChain::start(enterprise_data.path(), None).await;
    let operations = crate::operations::free_address().await;
    let tracker = Running::start_with(data.path(), |config| {
        config.enterprise_bc_url = Some(format!("http://{}", enterprise.address));
        config.ops_bind = tracker::OperationsBind::At(operations);
    })
    .await;
    let mut network = Network::new("demo", 1);
    let mut client = Client::connect(&tracker).await;
    client.create(&network).await;
    client.join(&network, &identity(11)).await;
    let document: Value = tracker.get("/api/openapi.json").await.json().await.unwrap();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let response = match method.as_str() {
                "servers" => continue,
                "get" if item.get("servers").is_some() => {
                    reqwest::get(format!("http://{operations}{path}"))
                        .await
                        .unwrap()
                }
                "get" => tracker.get(&path.replace("{id}", "demo")).await,
                "post" => tracker.post(path, &update_of(&mut network)).await,
                other => panic!("{path} has the method {other}"),
            };
            let expected = match path.as_str() {
                // No upgrade is asked for, and no block is final yet.
                "/ws" => 400,
                "/api/networks/{id}/finality" => 404,
                _ => 200,
            };
            assert_eq!(response.status(), expected, "{path}");
            check_answer(&document, operation, path, response).await;
            asked += 1;
        }
    }
    assert!(asked > 10, "only {asked} operations");
    for path in ["/api/networks/nobody/genesis", "/api/nothing"] {
        let operation = &document["paths"]["/api/networks"]["get"];
        let response = tracker.get(path).await;
        assert_eq!(response.status(), 404);
        check_answer(&document, operation, path, response).await;
    }
    let mut broken = serde_json::to_value(update_of(&mut network)).unwrap();
    broken["new_blocks"][0]["block_hash"] = json!("00");
    let operation = &document["paths"]["/api/blockchain-update"]["post"];
    let response = tracker.post("/api/blockchain-update", &broken).await;
    assert_eq!(response.status(), 422);
    check_answer(&document, operation, "a refused update", response).await;
    tracker.stop().await;
    enterprise.stop().await;
}
