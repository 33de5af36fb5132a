//! Every target for a while. `FUZZ_SECONDS=<n>` for each (2 by default), `FUZZ_SEED=<n>` repeats a sequence,
//! `FUZZ_TARGET=<name> FUZZ_INPUT=<hex>` runs one input. A finding prints all three.

#![expect(clippy::panic, reason = "a test binary whose findings are to be read")]

mod memory;

use std::{
    collections::BTreeSet,
    env,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use api::ws::{ClientMessage, ServerMessage};
use shared::{
    enterprise::{
        BlockLimits, Branch, Certificate, Checkpoint, EnterpriseBlock, EnterpriseGenesis,
        EnterpriseHeader, Entry, FinalBlock, FinalityProof, Receipt, Reset, ResetReceipt,
        SnapshotManifest, SnapshotProof, Split,
    },
    report::{Report, UncheckedSealed},
    snapshot::Snapshot,
};

use fuzz::{Mutator, TARGETS, Target, target};

/// Bytes that handling an input may take at once, whatever it says: machines with their tables, and a few copies of it.
const HELD_BYTES_MAX: usize = 6 * 1024 * 1024;

#[test]
fn decoders_survive_whatever_strangers_send() {
    let seconds = number("FUZZ_SECONDS").unwrap_or(2);
    let seed = number("FUZZ_SEED").unwrap_or(1);
    for target in TARGETS {
        let (inputs, held) = run(target, seed, Duration::from_secs(seconds));
        println!(
            "{}: {inputs} inputs, at most {held} bytes held",
            target.name
        );
        assert!(inputs > 50, "{} hardly ran", target.name);
    }
}

#[test]
fn input_of_the_environment_holds() {
    let (Ok(name), Ok(input)) = (env::var("FUZZ_TARGET"), env::var("FUZZ_INPUT")) else {
        return;
    };
    let target = target(&name).expect("FUZZ_TARGET names a target");
    (target.run)(&hex::decode(input).expect("FUZZ_INPUT is hex"));
}

#[test]
fn good_inputs_are_good_and_mutations_repeat() {
    for target in TARGETS {
        let corpus = (target.corpus)();
        assert!(
            !corpus.is_empty(),
            "{} has nothing to start from",
            target.name
        );
        corpus.iter().for_each(|bytes| (target.run)(bytes));
    }
    let good = target("block")
        .map(|target| (target.corpus)())
        .unwrap_or_default();
    assert!(
        good.iter()
            .all(|bytes| shared::block::UncheckedBlock::decode(bytes).is_ok())
    );
    let update = target("update_json")
        .map(|target| (target.corpus)())
        .unwrap_or_default();
    let update: Option<api::BlockchainUpdate> = update
        .last()
        .and_then(|text| serde_json::from_slice(text).ok());
    assert_eq!(update.map(|update| update.new_blocks.len()), Some(2));
    let draw = |seed| {
        let mut mutator = Mutator::new(seed, good.clone());
        (0..50).map(|_| mutator.draw()).collect::<Vec<_>>()
    };
    assert_eq!(draw(3), draw(3));
    assert_ne!(draw(3), draw(4));
}

/// A target's good inputs.
fn good(name: &str) -> Vec<Vec<u8>> {
    target(name)
        .map(|target| (target.corpus)())
        .unwrap_or_default()
}

#[test]
fn every_kind_of_what_validators_say_is_among_the_good_inputs() {
    let wire = good("validator_wire");
    let kinds = |is_one: fn(&[u8]) -> bool| -> BTreeSet<u8> {
        let decoded = wire.iter().filter(|bytes| is_one(bytes));
        decoded.filter_map(|bytes| bytes.first().copied()).collect()
    };
    let messages = kinds(|bytes| validator::replica::Message::decode(bytes).is_ok());
    assert_eq!(messages, (1..=16).collect());
    let agreed = kinds(|bytes| validator::agreement::Message::decode(bytes).is_ok());
    assert_eq!(agreed, (1..=4).collect());
    let records = kinds(|bytes| validator::replica::LogRecord::decode(bytes).is_ok());
    assert_eq!(records, (1..=4).collect());
    let shown = wire
        .iter()
        .filter(|bytes| validator::agreement::Evidence::decode(bytes).is_ok());
    assert!(shown.count() > 0);
}

#[test]
fn a_split_is_shown_by_no_bytes_with_one_bit_changed() {
    let splits = good("split");
    let genesis = good("enterprise").into_iter();
    let mut genesis = genesis.filter_map(|bytes| EnterpriseGenesis::decode(&bytes).ok());
    let pinned = genesis.next().map(|genesis| genesis.hash());
    let pinned = pinned.expect("a genesis is among the good inputs");
    assert_eq!(splits.len(), 3, "before, at and after a change of the set");
    for bytes in splits {
        let split = Split::decode(&bytes, pinned).expect("a good one");
        assert_eq!(split.culprits().len(), 2, "three and three of four");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let shown = Split::decode(&changed, pinned);
            assert!(shown.is_err(), "byte {at} may be changed");
        }
    }
}

#[test]
fn every_kind_of_object_and_message_is_among_the_good_inputs() {
    let objects = good("enterprise");
    let is = [
        objects
            .iter()
            .any(|bytes| EnterpriseGenesis::decode(bytes).is_ok()),
        objects
            .iter()
            .any(|bytes| EnterpriseHeader::decode(bytes).is_ok()),
        objects
            .iter()
            .any(|bytes| Certificate::decode(bytes).is_ok()),
        objects
            .iter()
            .any(|bytes| FinalBlock::from_checkpoint(bytes).is_ok()),
        objects
            .iter()
            .any(|bytes| EnterpriseBlock::decode(bytes, BlockLimits::default()).is_ok()),
        objects.iter().any(|bytes| Receipt::decode(bytes).is_ok()),
        objects
            .iter()
            .any(|bytes| Checkpoint::decode(bytes).is_ok()),
        objects
            .iter()
            .any(|bytes| FinalityProof::decode(bytes).is_ok()),
        objects.iter().any(|bytes| Branch::decode(bytes).is_ok()),
    ];
    assert_eq!(is, [true; 9]);
    let entries = objects.iter().filter(|bytes| Entry::decode(bytes).is_ok());
    assert_eq!(entries.count(), 3, "a registration and two anchors");
    let reported = good("reported");
    let has = |is_one: fn(&[u8]) -> bool| reported.iter().any(|bytes| is_one(bytes));
    let is = [
        has(|bytes| Report::decode(bytes).is_ok()),
        has(|bytes| UncheckedSealed::decode(bytes).is_ok()),
        has(|bytes| Reset::decode(bytes).is_ok()),
        has(|bytes| ResetReceipt::decode(bytes).is_ok()),
        has(|bytes| SnapshotManifest::decode(bytes).is_ok()),
        has(|bytes| SnapshotProof::decode(bytes).is_ok()),
    ];
    assert_eq!(is, [true; 6]);
    let snapshots = good("snapshot");
    assert!(
        snapshots
            .iter()
            .all(|bytes| Snapshot::decode(bytes).is_ok())
            && snapshots.len() == 2
    );
    let texts = good("tracker_json");
    let client = texts
        .iter()
        .filter(|text| serde_json::from_slice::<ClientMessage>(text).is_ok());
    let server = texts
        .iter()
        .filter(|text| serde_json::from_slice::<ServerMessage>(text).is_ok());
    assert!(client.count() >= 13 && server.count() >= 8);
    let files = good("export_json")
        .into_iter()
        .filter_map(|text| serde_json::from_slice(&text).ok());
    let versions: Vec<String> = files
        .map(|file: api::Export| file.export_metadata.export_version)
        .collect();
    assert_eq!(versions, ["2.0", "1.0"]);
}

#[test]
fn panic_is_found() {
    let broken = Target {
        name: "broken",
        run: |bytes| assert!(bytes.len() % 7 != 3, "found"),
        corpus: || vec![vec![0; 64]],
    };
    let found = catch_unwind(AssertUnwindSafe(|| run(&broken, 1, Duration::from_secs(5))));
    assert!(found.is_err());
}

fn run(target: &Target, seed: u64, time: Duration) -> (u64, usize) {
    let mut mutator = Mutator::new(seed, (target.corpus)());
    let (began, mut inputs, mut most) = (now(), 0, 0);
    while began.elapsed() < time {
        let bytes = mutator.draw();
        let (result, held) =
            memory::held_by(|| catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes))));
        inputs += 1;
        most = most.max(held);
        if result.is_err() || held > HELD_BYTES_MAX {
            panic!(
                "{} fails ({held} bytes held) on input {inputs} of seed {seed}; repeat it: FUZZ_TARGET={} FUZZ_INPUT={} make fuzz",
                target.name,
                target.name,
                hex::encode(&bytes)
            );
        }
    }
    (inputs, most)
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[expect(clippy::disallowed_methods, reason = "the time budget of the run")]
fn now() -> Instant {
    Instant::now()
}
