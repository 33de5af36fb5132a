//! Private networks that are reported, with a real validator: reports anchored and final, resets, outages, and who hears of it.

use api::ws::{ClientMessage, ErrorCode, ServerMessage};
use api::{TipReference, UpdateStatus};
use shared::block::Block;
use shared::enterprise::{EnterpriseGenesis, FinalBlock, LightClient, ResetReceipt, Trust};
use shared::hash::Hash;
use shared::private::{NetworkKey, NetworkKeys};
use tempfile::tempdir;

use crate::support::{Client, Network, Running, identity};
use crate::validator::{Validator, anchored_at};

fn keys(byte: u8) -> NetworkKeys {
    NetworkKey::from_bytes([byte; 32]).keys()
}

async fn enterprise(tracker: &Running) -> EnterpriseGenesis {
    let response = tracker.get("/api/enterprise-genesis").await;
    let genesis: serde_json::Value = response.json().await.unwrap();
    let bytes = hex::decode(genesis["genesis"].as_str().unwrap()).unwrap();
    EnterpriseGenesis::decode(&bytes).unwrap()
}

/// What a member that enters is told of the network.
#[derive(Debug)]
struct Entered {
    tip: Option<TipReference>,
    anchored: Option<u32>,
    resets: u32,
}

async fn entered(tracker: &Running, keys: &NetworkKeys, seed: u8) -> (Client, Entered) {
    let mut client = Client::connect(tracker).await;
    client.enter(tracker, keys, identity(seed).peer_id()).await;
    let entered = client.until(|message| match message {
        ServerMessage::RoomJoined {
            tip,
            anchor,
            resets,
            ..
        } => Some(Entered {
            tip: tip.clone(),
            anchored: anchor.as_ref().map(|anchor| anchor.height),
            resets: *resets,
        }),
        _ => None,
    });
    let entered = entered.await;
    (client, entered)
}

async fn reported(client: &mut Client, network: &Network, keys: &NetworkKeys, blocks: &[Block]) {
    let answer = client.answered(&network.reports(keys, blocks)).await;
    assert!(answer.is_accepted, "{answer:?}");
    assert_eq!(answer.hash, blocks.last().unwrap().hash().to_string());
}

/// Asks until the proof of another final block comes.
async fn proved(
    client: &mut Client,
    network: &Network,
    keys: &NetworkKeys,
    light: &mut LightClient,
) -> FinalBlock {
    loop {
        let network_id = keys.room().0.to_string();
        client
            .send(&ClientMessage::GetFinality {
                network_id,
                size: 0,
                known: light.header().as_ref().map(ToString::to_string),
            })
            .await;
        let proof = client.until(|message| match message {
            ServerMessage::Finality { proof, .. } => Some(proof.clone()),
            _ => None,
        });
        if let Some(proof) = proof.await {
            let proof = hex::decode(proof).unwrap();
            if let Some(block) = light.accept(network.chain_id(), &proof).unwrap() {
                return block;
            }
        }
    }
}

async fn reset_result(client: &mut Client) -> (u32, UpdateStatus) {
    let result = client.until(|message| match message {
        ServerMessage::ResetResult { number, status, .. } => Some((*number, *status)),
        _ => None,
    });
    result.await
}

async fn receipt_of(client: &mut Client, keys: &NetworkKeys, number: u32) -> Vec<u8> {
    let network_id = keys.room().0.to_string();
    client
        .send(&ClientMessage::GetReset { network_id, number })
        .await;
    let receipt = client.until(|message| match message {
        ServerMessage::ResetReceipt { receipt, .. } => Some(receipt.clone()),
        _ => None,
    });
    hex::decode(receipt.await.unwrap()).unwrap()
}

async fn tip_at(client: &mut Client, height: u32, hash: Hash) {
    let is_it = |message: &ServerMessage| match message {
        ServerMessage::Tip {
            height: found,
            hash: tip,
            ..
        } => (*found == height && *tip == hash.to_string()).then_some(()),
        _ => None,
    };
    client.until(is_it).await;
}

/// Nothing that a client heard, and nothing that anyone may ask for, has a mark of the network.
async fn nothing_shows(tracker: &Running, strangers: &mut [Client], marks: &[String]) {
    let mut texts = Vec::new();
    for stranger in strangers {
        let heard = stranger.drain().await;
        texts.extend(heard.iter().map(|message| format!("{message:?}")));
    }
    for path in ["/api/networks", "/api/network-list", "/health"] {
        texts.push(tracker.get(path).await.text().await.unwrap());
    }
    for (text, mark) in texts
        .iter()
        .flat_map(|text| marks.iter().map(move |mark| (text, mark)))
    {
        assert!(!text.contains(mark), "{mark} in {text}");
    }
    for mark in marks {
        for what in ["genesis", "finality"] {
            let path = format!("/api/networks/{mark}/{what}");
            assert_eq!(tracker.get(&path).await.status(), 404, "{path}");
        }
    }
}

#[tokio::test]
async fn reports_of_a_private_network_are_final_and_void_for_its_members_and_for_nobody_else() {
    let (data, validator_data) = (tempdir().unwrap(), tempdir().unwrap());
    let validator = Validator::start(validator_data.path(), None).await;
    let tracker = Running::reporting_to(data.path(), validator.address).await;
    let enterprise = enterprise(&tracker).await;
    let (keys, others) = (keys(7), keys(8));
    let mut network = Network::private("quiet", 1, enterprise.hash(), &keys);
    let marks = [
        network.label().to_owned(),
        network.chain_id().to_string(),
        keys.room().0.to_string(),
    ];
    let mut outsider = Client::connect(&tracker).await;
    let open = Network::new("demo", 2);
    outsider.create(&open).await;
    outsider.join(&open, &identity(5)).await;
    let (elsewhere, _) = entered(&tracker, &others, 6).await;
    let mut strangers = [outsider, elsewhere];
    let (mut one, nothing) = entered(&tracker, &keys, 3).await;
    assert!(nothing.tip.is_none() && nothing.anchored.is_none());
    let (mut two, _) = entered(&tracker, &keys, 4).await;

    let first = network.mine("a secret");
    let mut after = network.clone();
    let blocks = [first, network.mine("another")];
    let report = network.reports(&keys, &blocks);
    strangers[1].send(&report).await;
    let refused = strangers[1].until(|message| match message {
        ServerMessage::Error { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(refused.await, ErrorCode::NotJoined);
    reported(&mut one, &network, &keys, &blocks).await;
    tip_at(&mut two, 2, blocks[1].hash()).await;
    anchored_at(&mut two, 2).await;
    let mut light = LightClient::new(enterprise.hash());
    let last = proved(&mut two, &network, &keys, &mut light).await;
    assert_eq!(last.hash(), blocks[1].hash());

    let reset = network.reset(&keys, 1, 2, blocks[0].hash());
    one.send(&reset).await;
    for member in [&mut one, &mut two] {
        assert_eq!(reset_result(member).await, (1, UpdateStatus::Accepted));
        tip_at(member, 1, blocks[0].hash()).await;
    }
    let receipt = receipt_of(&mut two, &keys, 1).await;
    let trust = Trust::new(&enterprise, enterprise.hash()).unwrap();
    let receipt = ResetReceipt::decode(&receipt).unwrap();
    let executed = receipt.verify(network.chain.genesis(), &trust).unwrap();
    assert!(executed.voids(&last));

    let second = after.mine("a third one");
    reported(&mut two, &after, &keys, std::slice::from_ref(&second)).await;
    anchored_at(&mut one, 2).await;
    nothing_shows(&tracker, &mut strangers, &marks).await;
    tracker.stop().await;

    let tracker = Running::reporting_to(data.path(), validator.address).await;
    let (mut three, known) = entered(&tracker, &keys, 9).await;
    let tip = known.tip.unwrap();
    assert_eq!((tip.height, tip.hash), (2, second.hash().to_string()));
    assert_eq!((known.anchored, known.resets), (Some(2), 1));
    let mut light = LightClient::new(enterprise.hash());
    loop {
        let last = proved(&mut three, &after, &keys, &mut light).await;
        assert_eq!(last.resets(), 1);
        if last.hash() == second.hash() {
            break;
        }
    }
    nothing_shows(&tracker, &mut [], &marks).await;
    tracker.stop().await;
    validator.stop().await;
}

#[tokio::test]
async fn reports_and_a_reset_wait_out_an_outage_and_a_restart_of_the_tracker() {
    let (data, validator_data) = (tempdir().unwrap(), tempdir().unwrap());
    let validator = Validator::start(validator_data.path(), None).await;
    let tracker = Running::reporting_to(data.path(), validator.address).await;
    let (enterprise, keys) = (enterprise(&tracker).await, keys(7));
    let mut network = Network::private("quiet", 1, enterprise.hash(), &keys);
    let (mut one, _) = entered(&tracker, &keys, 3).await;
    let blocks = network.mine_many(2, "a secret");
    reported(&mut one, &network, &keys, &blocks).await;
    let mut light = LightClient::new(enterprise.hash());
    while proved(&mut one, &network, &keys, &mut light).await.hash() != blocks[1].hash() {}
    let address = validator.stop().await;

    let third = network.mine("while nobody hears it");
    reported(&mut one, &network, &keys, std::slice::from_ref(&third)).await;
    one.send(&network.reset(&keys, 1, 2, blocks[0].hash()))
        .await;
    one.drain().await;
    tracker.stop().await;
    let tracker = Running::reporting_to(data.path(), address).await;
    let (mut two, known) = entered(&tracker, &keys, 4).await;
    assert_eq!((known.tip.unwrap().height, known.resets), (3, 0));
    let validator = Validator::start(validator_data.path(), Some(address)).await;
    assert_eq!(reset_result(&mut two).await, (1, UpdateStatus::Accepted));
    tip_at(&mut two, 1, blocks[0].hash()).await;
    anchored_at(&mut two, 1).await;
    tracker.stop().await;
    validator.stop().await;
}

#[tokio::test]
async fn reports_register_no_more_networks_of_an_address_than_it_may_create() {
    let data = tempdir().unwrap();
    // Two at once.
    let tracker = Running::start_with(data.path(), |config| config.address_creations = 4).await;
    let mut rooms = Vec::new();
    for seed in 1..=3 {
        let keys = keys(seed);
        let mut network = Network::private("quiet", seed, Hash([9; 32]), &keys);
        let block = network.mine("hello");
        let (client, _) = entered(&tracker, &keys, seed).await;
        rooms.push((client, network.reports(&keys, &[block]), network, keys));
    }
    let mut accepted = Vec::new();
    for (client, reports, ..) in &mut rooms {
        // Who reports again what is here is charged for nothing.
        for _ in 0..3 {
            accepted.push(client.answered(reports).await.is_accepted);
        }
    }
    assert_eq!(
        accepted,
        [true, true, true, true, true, true, false, false, false]
    );
    let (client, _, network, keys) = &mut rooms[0];
    let next = network.mine("hello");
    reported(client, network, keys, &[next]).await;
    tracker.stop().await;
}
