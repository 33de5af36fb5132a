//! The examples of `docs/protocol.md` are what this code does: each is made anew and compared, and none is missing there.
//!
//! `DISTLI_WRITE_VECTORS=1` writes them into the document; that is an act to be reviewed, as for `own_vectors`.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use std::{collections::BTreeMap, env, fmt::Write as _, fs};

use shared::{
    block::{UncheckedBlock, body_root},
    chain::Chain,
    difficulty::next_target,
    frame::{FrameKind, Lane, split},
    genesis::Genesis,
    hash::Hash,
    header::Header,
    identity::Identity,
    ids::{Height, PeerId, PublicKey, Sequence},
    mesh::Sealed,
    message::{Bytes, Message, Status},
    pow::CompactTarget,
    private::NetworkKey,
    state::SparseMap,
    transaction::{DOMAIN, Payload, Transaction},
};

use crate::support::{at, genesis, identity, message, miner, rules, solve};

const SPECIFICATION: &str = include_str!("../../../docs/protocol.md");
const FENCE: &str = "```text example=";
const LINE_CHARS: usize = 112;

/// The text of every example in the document, without white space.
fn written() -> BTreeMap<String, String> {
    let blocks = SPECIFICATION.split(FENCE).skip(1).map(|rest| {
        let (name, rest) = rest.split_once('\n').unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        (name.to_owned(), bare(text))
    });
    blocks.collect()
}

fn bare(text: &str) -> String {
    text.split_whitespace().collect()
}

fn made() -> BTreeMap<&'static str, String> {
    let genesis = genesis();
    let chain_id = genesis.chain_id();
    let key = identity(9).public_key();
    let mut examples = BTreeMap::from([
        ("genesis", hex::encode(genesis.encode())),
        ("chain-id", chain_id.to_string()),
        ("public-key", key.to_string()),
        ("peer-id", PeerId::of(&key).to_string()),
        ("state-roots", state_roots()),
        ("targets", targets()),
        ("work", work()),
    ]);
    transaction(&genesis, &mut examples);
    block(&genesis, &mut examples);
    wire(&mut examples);
    private(&mut examples);
    examples
}

fn transaction(genesis: &Genesis, examples: &mut BTreeMap<&'static str, String>) {
    let payload = Payload::Message("Grüße, 1,000 EUR <b>".into());
    let (chain, rules) = (genesis.chain_id(), rules());
    let made =
        Transaction::create(&identity(9), chain, &rules, Sequence(258), at(1), payload).unwrap();
    let bytes = made.encode();
    let content = &bytes[..bytes.len() - 64];
    let signed = [DOMAIN.as_bytes(), chain.0.as_bytes(), content].concat();
    examples.insert("transaction", hex::encode(&bytes));
    examples.insert("transaction-signed", hex::encode(signed));
    examples.insert("transaction-id", made.id().to_string());
}

fn block(genesis: &Genesis, examples: &mut BTreeMap<&'static str, String>) {
    let chain = Chain::new(genesis.clone());
    let transactions: Vec<_> = (0..2).map(|n| message(9, n)).collect();
    let ids: Vec<_> = transactions.iter().map(|one| one.id()).collect();
    let block = solve(genesis, &chain.template(miner(4), transactions, at(10)));
    let root = body_root(&miner(4), ids.iter().copied());
    assert_eq!(root, block.header().body_root);
    let bytes = block.encode();
    let again = UncheckedBlock::decode(&bytes)
        .unwrap()
        .check(genesis)
        .unwrap();
    assert_eq!(again.hash(), block.hash());
    let header = block.header().encode();
    assert_eq!(Header::decode(&header).as_ref(), Ok(block.header()));
    examples.insert("block", hex::encode(bytes));
    examples.insert("block-hash", block.hash().to_string());
    examples.insert("body-root", root.to_string());
    examples.insert("state-root", block.header().state_root.to_string());
}

fn state_roots() -> String {
    let mut state = SparseMap::new();
    let mut text = String::new();
    for (sender, next) in [(1, 1), (2, 1), (1, 2), (3, 7)] {
        state.set(&PublicKey([sender; 32]), Sequence(next));
        writeln!(text, "{sender:02x}×32 {next} {}", state.root()).unwrap();
    }
    text
}

/// Initial target, active time, parent's height, time since the parent, and the block's target; T = 10,000.
fn targets() -> String {
    let rules = rules();
    let mut text = String::new();
    for (active, parent, since) in [
        (0, 0, 10_000),
        (100_000, 10, 10_000),
        (300_000, 10, 10_000),
        (50_000, 100, 10_000),
        (1_000_000, 100, 89_999),
        (1_000_000, 100, 90_000),
        (1_000_000, 100, 150_000),
        (9_000_000, 100, 10_000),
    ] {
        let target = next_target(&rules, active, Height(parent), since);
        let initial = rules.initial_target;
        writeln!(text, "{initial} {active} {parent} {since} {target}").unwrap();
    }
    text
}

/// A compact target, the number it stands for, and its work.
fn work() -> String {
    let mut text = String::new();
    for bits in [0x1d00_ffff_u32, 0x200f_0f0f, 0x207f_ffff] {
        let target = CompactTarget::from_bits(bits).unwrap().target();
        let number = hex::encode(target.to_be_bytes());
        writeln!(text, "{bits:08x} {number} {}", target.work().0).unwrap();
    }
    text
}

fn wire(examples: &mut BTreeMap<&'static str, String>) {
    let hash = Hash([0xab; 32]);
    let status = Message::Status(Status {
        chain_id: hash,
        height: 300,
        tip: hash,
        work: [1; 32],
        clock_ms: 1_700_000_000_000,
        pending: 2,
        pending_digest: hash,
        bodies_from: 1,
    });
    let headers = Message::GetHeaders {
        locator: vec![hash, hash],
    };
    let block = Message::NewBlock {
        block: Bytes(vec![1, 2, 3]),
    };
    for (name, message) in [
        ("message-status", status),
        ("message-get-headers", headers.clone()),
        ("message-new-block", block),
    ] {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes), Ok(message));
        examples.insert(name, hex::encode(bytes));
    }
    let chunks = split(FrameKind::Node, Lane::Urgent, 7, &headers.encode()).unwrap();
    assert_eq!(chunks.len(), 1);
    examples.insert("chunk", hex::encode(chunks.concat()));
}

fn private(examples: &mut BTreeMap<&'static str, String>) {
    let keys = NetworkKey::from_bytes([7; 32]).keys();
    examples.insert("private-room", keys.room().0.to_string());
    let (from, to) = (PeerId(Hash([1; 32])), PeerId(Hash([2; 32])));
    let frame = Sealed::GenesisWanted.seal(&keys, (from, to), &[3; 24]);
    examples.insert("private-frame", hex::encode(frame));
    let secret = identity(9).agree(&Identity::from_seed([2; 32]).public_key());
    examples.insert("agreed-secret", hex::encode(secret.unwrap()));
}

#[test]
fn the_examples_of_the_specification_are_what_this_code_does() {
    let made = made();
    if env::var_os("DISTLI_WRITE_VECTORS").is_some() {
        return write(&made);
    }
    let written = written();
    for (name, text) in &made {
        assert_eq!(
            written.get(*name),
            Some(&bare(text)),
            "example {name} of docs/protocol.md should be\n{text}"
        );
    }
    for name in written.keys() {
        assert!(
            made.contains_key(name.as_str()),
            "example {name} of docs/protocol.md is made by no one"
        );
    }
}

/// Fills the fences that the document has.
fn write(made: &BTreeMap<&'static str, String>) {
    let mut parts = SPECIFICATION.split(FENCE);
    let mut text = parts.next().unwrap().to_owned();
    for rest in parts {
        let (name, rest) = rest.split_once('\n').unwrap();
        let (_, after) = rest.split_once("```").unwrap();
        writeln!(text, "{FENCE}{name}").unwrap();
        for line in made.get(name).unwrap().lines() {
            let chars: Vec<char> = line.chars().collect();
            for part in chars.chunks(LINE_CHARS) {
                writeln!(text, "{}", part.iter().collect::<String>()).unwrap();
            }
        }
        write!(text, "```{after}").unwrap();
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    fs::write(file, text).unwrap();
}
