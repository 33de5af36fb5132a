//! This project's own bytes, pinned: genesis, transaction, block, and the hashes over them.
//!
//! `tests/vectors/core.json` is what peers in the world have stored and signed. A change here is a fork of every network;
//! writing the file anew (`DISTLI_WRITE_VECTORS=1`) is an act to be reviewed, not a way to a green test.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::{env, fs};

use serde_json::{Map, Value, json};
use shared::{
    block::UncheckedBlock,
    chain::Chain,
    genesis::{Access, Genesis, Predecessor, Rules},
    hash::Hash,
    header::{Header, Solution},
    ids::{ChainId, Height, NetworkId, PeerId, PublicKey, Sequence, Signature, TimestampMs},
    pow::Target,
    state::SparseMap,
    transaction::{Payload, Transaction},
};

use crate::support::{at, genesis, identity, miner, rules};

/// The file as it was when this was compiled: a browser has no files.
const PINNED: &str = include_str!("../vectors/core.json");

/// A private successor network: every optional field is there.
fn full_genesis() -> Genesis {
    Genesis {
        network_id: NetworkId::parse("full_network-1").unwrap(),
        rules: Rules::open_default(Target::for_hashes(1 << 21).to_compact()),
        created_at: TimestampMs(0x0123_4567_89ab),
        owner: identity(1).public_key(),
        enterprise_genesis: Some(Hash([2; 32])),
        predecessor: Some(Predecessor {
            chain_id: ChainId(Hash([3; 32])),
            height: Height(0x0102_0304),
            hash: Hash([4; 32]),
            signature: Signature([5; 64]),
        }),
        access: Access::Private {
            join_key: PublicKey([6; 32]),
            reporters: vec![PublicKey([7; 32]), PublicKey([8; 32])],
        },
    }
}

fn made() -> Value {
    let mut vectors = Map::new();
    let open = genesis();
    for (name, genesis) in [
        ("genesis_open", &open),
        ("genesis_private_successor", &full_genesis()),
    ] {
        let value = json!({"bytes": hex::encode(genesis.encode()), "chain_id": genesis.chain_id().to_string()});
        vectors.insert(name.into(), value);
    }
    let stamped = Rules {
        stamp_bits: 8,
        ..rules()
    };
    let payloads = [
        (
            "transaction_message",
            &stamped,
            Payload::Message("Grüße, 1,000 EUR <b>".into()),
        ),
        (
            "transaction_record",
            &rules(),
            Payload::Record(vec![0, 1, 0xff]),
        ),
    ];
    for (name, rules, payload) in payloads {
        let (sequence, time) = (Sequence(0x0102), at(1));
        let made = Transaction::create(
            &identity(9),
            open.chain_id(),
            rules,
            sequence,
            time,
            payload,
        )
        .unwrap();
        let value = json!({
            "bytes": hex::encode(made.encode()), "id": made.id().to_string(), "stamp_bits": made.stamp_bits(),
        });
        vectors.insert(name.into(), value);
    }
    vectors.insert("block".into(), block(&open));
    vectors.insert("states".into(), states());
    let key = identity(9).public_key();
    vectors.insert(
        "peer".into(),
        json!({"key": key.to_string(), "id": PeerId::of(&key).to_string()}),
    );
    Value::Object(vectors)
}

fn block(genesis: &Genesis) -> Value {
    let chain = Chain::new(genesis.clone());
    let transactions = (0..3).map(|n| crate::support::message(9, n)).collect();
    let template = chain.template(miner(4), transactions, at(10));
    let (version, nonce) = (template.header.version, 5);
    let block = template.solved(genesis, Solution { version, nonce });
    let block = block.unwrap();
    json!({
        "bytes": hex::encode(block.encode()),
        "header": hex::encode(block.header().encode()),
        "hash": block.hash().to_string(),
        "body_root": block.header().body_root.to_string(),
        "state_root": block.header().state_root.to_string(),
        "target": block.header().target.to_string(),
    })
}

/// State roots after each of some changes.
fn states() -> Value {
    let mut state = SparseMap::new();
    let changes = [(1, 1), (2, 1), (1, 2), (3, 7), (2, 0), (9, u64::MAX)];
    let roots = changes.map(|(sender, next)| {
        state.set(&PublicKey([sender; 32]), Sequence(next));
        json!({"sender": sender, "next": next.to_string(), "root": state.root().to_string()})
    });
    Value::Array(roots.into())
}

#[test]
fn the_bytes_are_those_of_the_vector_file() {
    let made = made();
    if env::var_os("DISTLI_WRITE_VECTORS").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/core.json");
        return fs::write(file, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let pinned: Value = serde_json::from_str(PINNED).unwrap();
    assert_eq!(made, pinned);
}

#[test]
fn the_vector_file_decodes_to_the_same_bytes() {
    let pinned: Value = serde_json::from_str(PINNED).unwrap();
    let bytes =
        |name: &str, field: &str| hex::decode(pinned[name][field].as_str().unwrap()).unwrap();
    for name in ["genesis_open", "genesis_private_successor"] {
        let genesis = Genesis::decode(&bytes(name, "bytes")).unwrap();
        assert_eq!(genesis.encode(), bytes(name, "bytes"));
        assert_eq!(genesis.chain_id().to_string(), pinned[name]["chain_id"]);
    }
    let chain = genesis().chain_id();
    for name in ["transaction_message", "transaction_record"] {
        let transaction = Transaction::decode(&bytes(name, "bytes"), &rules()).unwrap();
        assert_eq!(transaction.id().to_string(), pinned[name]["id"]);
        assert!(transaction.verify(chain).is_ok());
    }
    let block = UncheckedBlock::decode(&bytes("block", "bytes"))
        .unwrap()
        .check(&genesis())
        .unwrap();
    assert_eq!(block.encode(), bytes("block", "bytes"));
    assert_eq!(
        Header::decode(&bytes("block", "header")).as_ref(),
        Ok(block.header())
    );
    assert_eq!(block.hash().to_string(), pinned["block"]["hash"]);
}
