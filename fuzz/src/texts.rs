//! JSON: the tracker's messages and the export file.

use api::{
    Anchor, EXPORT_VERSION, Export, ExportMetadata, TenantBlock, TenantTransaction, TipReference,
    UpdateStatus,
    ws::{ClientMessage, ErrorCode, IceServer, Limits, ServerMessage, Signal},
};
use node_wasm::{
    engine::Engine,
    seam::{Config, Input},
};
use serde_bytes::ByteBuf;
use shared::{block::UncheckedBlock, transaction::Transaction};

use crate::corpus::{self, NOW, blocks, genesis, texts, transactions};
use crate::reported;

/// Every message of a client and most of the tracker's, and what is nearly one.
pub(crate) fn tracker_messages() -> Vec<Vec<u8>> {
    let client = client_messages();
    let client = client.iter().map(serde_json::to_vec);
    let server = [server_messages(), room_answers()].concat();
    let server = server.iter().map(serde_json::to_vec);
    let mut all: Vec<Vec<u8>> = client.chain(server).filter_map(Result::ok).collect();
    all.extend(texts());
    all
}

/// A file of version 2.0 that proves itself, and the same as a legacy file.
pub(crate) fn exports() -> Vec<Vec<u8>> {
    let legacy = Export {
        export_metadata: ExportMetadata {
            export_version: String::from("1.0"),
            ..export().export_metadata
        },
        ..export()
    };
    [export(), legacy]
        .iter()
        .filter_map(|file| serde_json::to_vec(file).ok())
        .collect()
}

/// A file that a user was given, imported twice into an empty node.
pub(crate) fn import(bytes: &[u8]) {
    let config = Config {
        genesis: ByteBuf::from(genesis().encode()),
        identity_seed: ByteBuf::from([1; 32]),
        seed: ByteBuf::from([2; 32]),
        listed: None,
        recent_blocks: None,
        helpers: None,
        network_key: None,
    };
    let Ok(mut engine) = Engine::new(config) else {
        return;
    };
    let text = String::from_utf8_lossy(bytes).into_owned();
    let records = Vec::new();
    let inputs = [
        Input::Restored { records },
        Input::Import {
            request: 1,
            text: text.clone(),
        },
        Input::Import { request: 2, text },
    ];
    for input in inputs {
        // A refusal is an answer; only a panic is a finding.
        let _refused = engine.handle(NOW, input);
        while engine.poll().is_some() {}
    }
    let file: Option<Export> = serde_json::from_slice(bytes).ok();
    if let Some(file) = file {
        let again = serde_json::to_vec(&file).unwrap_or_default();
        let read = serde_json::from_slice::<Export>(&again).ok();
        assert_eq!(read, Some(file), "an export does not survive");
    }
}

fn export() -> Export {
    let chain = tenant_blocks();
    let height = u32::try_from(chain.len()).unwrap_or(0);
    Export {
        total_blocks: height,
        chain,
        pending: tenant_transactions(),
        network_id: genesis().network_id.to_string(),
        chain_id: genesis().chain_id().to_string(),
        genesis: hex::encode(genesis().encode()),
        finality: None,
        exported_at: NOW.0,
        last_sync_block: 1,
        export_metadata: ExportMetadata {
            connected_to_tracker: true,
            current_height: height,
            unsynced_blocks: 1,
            export_version: EXPORT_VERSION.to_owned(),
        },
    }
}

fn tenant_blocks() -> Vec<TenantBlock> {
    let check = |bytes: Vec<u8>| UncheckedBlock::decode(&bytes).ok()?.check(&genesis()).ok();
    let blocks = blocks().into_iter().filter_map(check);
    blocks.map(|block| TenantBlock::from(&block)).collect()
}

fn tenant_transactions() -> Vec<TenantTransaction> {
    let rules = genesis().rules;
    let decode = |bytes: Vec<u8>| Transaction::decode(&bytes, &rules).ok();
    let decoded = transactions().into_iter().filter_map(decode);
    decoded
        .map(|transaction| TenantTransaction::from(&transaction))
        .collect()
}

fn signal() -> Signal {
    Signal {
        session: "01".repeat(24),
        key: "02".repeat(32),
        fingerprint: "03".repeat(32),
        signature: "04".repeat(64),
        payload: String::from("v=0\r\na=fingerprint:sha-256 AB:CD\r\n"),
    }
}

fn client_messages() -> Vec<ClientMessage> {
    let (network_id, id) = (genesis().network_id.to_string(), "05".repeat(32));
    let target = id.clone();
    let mut messages = vec![
        ClientMessage::CreateNetwork {
            genesis: hex::encode(genesis().encode()),
            listed: true,
            label: Some(String::from("another")),
        },
        ClientMessage::JoinNetwork {
            network_id: network_id.clone(),
            chain_id: Some(genesis().chain_id().to_string()),
            key: Some(id),
            signature: Some("06".repeat(64)),
        },
        ClientMessage::LeaveNetwork {},
        ClientMessage::ListNetworks {},
        ClientMessage::Ping {},
        ClientMessage::Offer {
            target: target.clone(),
            offer: signal(),
        },
        ClientMessage::Answer {
            target: target.clone(),
            answer: signal(),
        },
        ClientMessage::Candidate {
            target: target.clone(),
            candidate: signal(),
        },
        ClientMessage::Relay {
            target,
            frame: String::from("AAAA"),
        },
        ClientMessage::BlockchainUpdate {
            network_id,
            block_count: 2,
            latest_blocks: tenant_blocks(),
            latest_reports: Vec::new(),
            genesis: None,
        },
    ];
    messages.extend(room_messages());
    messages.extend(
        tenant_blocks()
            .into_iter()
            .map(|block| ClientMessage::Block {
                block: Box::new(block),
            }),
    );
    let transactions = tenant_transactions().into_iter();
    messages.extend(transactions.map(|transaction| ClientMessage::Transaction { transaction }));
    messages
}

/// What members of a private room say of its network.
fn room_messages() -> Vec<ClientMessage> {
    let room = || reported::room().0.to_string();
    vec![
        ClientMessage::JoinRoom {
            room: room(),
            join_key: "09".repeat(32),
            peer_id: "05".repeat(32),
            admission: "06".repeat(64),
        },
        ClientMessage::BlockchainUpdate {
            network_id: room(),
            block_count: 2,
            latest_blocks: Vec::new(),
            latest_reports: corpus::reported_blocks(),
            genesis: Some(hex::encode(reported::genesis().encode())),
        },
        ClientMessage::ResetNetwork {
            network_id: room(),
            reset: hex::encode(reported::reset().encode()),
        },
        ClientMessage::GetFinality {
            network_id: room(),
            size: 1 << 54,
            known: Some(format!("7:{}", "ab".repeat(32))),
        },
        ClientMessage::GetReset {
            network_id: room(),
            number: 1,
        },
    ]
}

fn server_messages() -> Vec<ServerMessage> {
    let (network_id, id) = (genesis().network_id.to_string(), "07".repeat(32));
    vec![
        ServerMessage::Welcome {
            peer_id: id.clone(),
            nonce: "08".repeat(16),
            ice_servers: vec![IceServer {
                urls: vec![String::from("stun:192.0.2.1:3478")],
                username: Some(String::from("user")),
                credential: Some(String::from("word")),
            }],
            limits: Limits {
                message_bytes_max: 65_536,
                update_bytes_max: 1_048_576,
                join_timeout_ms: 10_000,
                ping_interval_ms: 15_000,
                message_burst: 100,
                messages_per_second: 50,
                relay_bytes_per_second: 1_000_000,
            },
        },
        ServerMessage::IceServers {
            ice_servers: vec![IceServer {
                urls: vec![String::from("turn:192.0.2.1:3478")],
                username: Some(String::from("1700000000:07")),
                credential: Some(String::from("AAAA")),
            }],
        },
        ServerMessage::Joined {
            network_id: network_id.clone(),
            chain_id: genesis().chain_id().to_string(),
            genesis: hex::encode(genesis().encode()),
            peer_id: id.clone(),
            peers: vec![id.clone()],
            tip: None,
            anchor: None,
        },
        ServerMessage::Peers {
            peers: vec![id.clone()],
        },
        ServerMessage::PeerJoined {
            peer_id: id.clone(),
        },
        ServerMessage::Offer {
            target: id.clone(),
            offer: signal(),
        },
        ServerMessage::Relay {
            target: id.clone(),
            frame: String::from("AAAA"),
        },
        ServerMessage::Tip {
            network_id: network_id.clone(),
            chain_id: genesis().chain_id().to_string(),
            height: 2,
            hash: id.clone(),
        },
        ServerMessage::Error {
            code: ErrorCode::NetworkExists,
            message: String::from("another genesis holds the label"),
            network_id: Some(network_id),
            suggestion: Some(String::from("another")),
            target: Some(id),
        },
    ]
}

/// What members of a private room are told.
fn room_answers() -> Vec<ServerMessage> {
    let id = "07".repeat(32);
    vec![
        ServerMessage::RoomJoined {
            room: id.clone(),
            peer_id: id.clone(),
            peers: Vec::new(),
            tip: Some(TipReference {
                height: 2,
                hash: id.clone(),
            }),
            anchor: Some(Anchor {
                network_id: id.clone(),
                chain_id: id.clone(),
                height: 1,
                hash: id.clone(),
                enterprise_height: 1 << 54,
                enterprise_hash: id.clone(),
            }),
            resets: 1,
        },
        ServerMessage::UpdateResult {
            network_id: id.clone(),
            status: UpdateStatus::Refused,
            height: 2,
            hash: id.clone(),
            reason: Some(String::from("not a reporter")),
        },
        ServerMessage::ResetResult {
            network_id: id.clone(),
            number: 1,
            status: UpdateStatus::Accepted,
            reason: None,
        },
        ServerMessage::Finality {
            network_id: id.clone(),
            proof: Some(String::from("00ff")),
        },
        ServerMessage::ResetReceipt {
            network_id: id.clone(),
            number: 1,
            receipt: Some(String::from("00ff")),
        },
    ]
}
