//! Batches committed together leave what they leave one by one.

use std::collections::BTreeMap;

use shared::enterprise::{EnterpriseGenesis, ValidatorInfo, ValidatorSet};
use shared::hash::sha256;
use shared::identity::Identity;
use shared::ids::{NetworkId, TimestampMs};

use super::*;

fn store(directory: &Path, name: &str) -> Store {
    let path = directory.join(name);
    let key = Identity::from_seed([1; 32]).public_key();
    let set = ValidatorSet::new(vec![ValidatorInfo {
        key,
        name: NetworkId::parse("v").unwrap(),
    }])
    .unwrap();
    let genesis = EnterpriseGenesis::new(NetworkId::parse("main").unwrap(), TimestampMs(1), set);
    Store::create(&path, &genesis).unwrap();
    Store::open(&path).unwrap()
}

/// Few keys, so that they come again: held, released, forgotten and held once more.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::default();
    for step in 0..4_u8 {
        let random = sha256(&[&number.to_be_bytes(), &[step]]).0;
        let key = (
            ChainId(Hash([random[0] % 3; 32])),
            Hash([random[1] % 5; 32]),
        );
        match random[2] % 4 {
            0 | 1 => {
                batch.bodies.push((key, random.to_vec()));
                batch.hold.insert(key, number);
            }
            2 => batch.release(key),
            _ => batch.drop_body(key),
        }
    }
    batch
}

type Content = (Vec<(BodyKey, u64)>, Vec<Option<Vec<u8>>>);

fn content(store: &Store) -> Content {
    let chains = (0..3).map(|byte| ChainId(Hash([byte; 32])));
    let keys = chains.flat_map(|chain| (0..5).map(move |byte| (chain, Hash([byte; 32]))));
    let bodies = keys.map(|key| store.body(&key).unwrap()).collect();
    let held: BTreeMap<_, _> = store.held().unwrap().into_iter().collect();
    (held.into_iter().collect(), bodies)
}

#[test]
fn batches_of_one_commit_leave_what_they_leave_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let alone = store(directory.path(), "alone");
    let together = store(directory.path(), "together");
    for round in 0..40 {
        let batches: Vec<Batch> = (0..5).map(|step| batch(round * 5 + step)).collect();
        for batch in &batches {
            alone.commit(std::slice::from_ref(batch)).unwrap();
        }
        together.commit(&batches).unwrap();
        assert_eq!(content(&together), content(&alone), "round {round}");
    }
    assert!(!content(&alone).0.is_empty());
}
