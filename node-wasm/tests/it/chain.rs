//! The shared crate itself on this target: proof of work, validation, signatures, determinism.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use shared::block::{MinerRecord, UncheckedBlock};
use shared::chain::{Chain, Inserted};
use shared::identity::{Identity, verify};
use shared::ids::{ChainId, Sequence};
use shared::miner::{Miner, Step};
use shared::transaction::{Payload, Transaction};

use crate::world::genesis;

#[test]
fn mined_block_is_decoded_checked_and_connected() {
    let genesis = genesis("net");
    let (mut chain, identity) = (Chain::new(genesis.clone()), Identity::from_seed([1; 32]));
    let now = genesis.created_at.plus_ms(5_000);
    let payload = Payload::Message(String::from("hello"));
    let transaction = Transaction::create(
        &identity,
        chain.chain_id(),
        &genesis.rules,
        Sequence(0),
        now,
        payload,
    )
    .unwrap();
    let miner = MinerRecord {
        key: identity.public_key(),
        free: [0; 8],
    };
    let template = chain.template(miner, Vec::from([transaction]), now);
    let target = template.header.target.target();
    let mut search = Miner::new(&template.header, &target, 0, u32::MAX);
    let Step::Found(solution) = search.step(1_000_000) else {
        panic!("no nonce")
    };
    let bytes = template.solved(&genesis, solution).unwrap().encode();
    let block = UncheckedBlock::decode(&bytes)
        .unwrap()
        .check(&genesis)
        .unwrap();
    assert!(matches!(
        chain.insert(block, now),
        Ok(Inserted::Connected { .. })
    ));
    assert_eq!(chain.tip().height.0, 1);

    let mut tampered = bytes;
    if let Some(last) = tampered.last_mut() {
        *last ^= 1;
    }
    let refused = UncheckedBlock::decode(&tampered).unwrap().check(&genesis);
    assert!(refused.is_err());
}

#[test]
fn signature_holds_for_its_domain_and_chain_only() {
    let identity = Identity::from_seed([3; 32]);
    let (chain, other) = (ChainId([1; 32].into_hash()), ChainId([2; 32].into_hash()));
    let signature = identity.sign("distli/test/1", chain, b"bytes");
    let key = identity.public_key();
    assert!(verify("distli/test/1", chain, &key, b"bytes", &signature).is_ok());
    assert!(verify("distli/test/2", chain, &key, b"bytes", &signature).is_err());
    assert!(verify("distli/test/1", other, &key, b"bytes", &signature).is_err());
    assert!(verify("distli/test/1", chain, &key, b"Bytes", &signature).is_err());
}

#[test]
fn chain_id_of_a_fixed_genesis_is_the_same_on_every_target() {
    let id = genesis("net").chain_id().to_string();
    assert_eq!(id, include_str!("chain_id.txt").trim());
}

trait IntoHash {
    fn into_hash(self) -> shared::hash::Hash;
}

impl IntoHash for [u8; 32] {
    fn into_hash(self) -> shared::hash::Hash {
        shared::hash::Hash(self)
    }
}
