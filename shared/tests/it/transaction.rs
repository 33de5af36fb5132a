//! Transactions: canonical bytes, stamps, limits, signatures.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use proptest::prelude::*;
use shared::{
    hash::{Hash, sha256},
    identity::SignatureError,
    ids::{ChainId, Sequence, TimestampMs},
    transaction::{OVERHEAD_BYTES, Payload, Transaction, TransactionError},
};

use crate::support::{genesis, identity, message_of, rules};

fn chain() -> ChainId {
    genesis().chain_id()
}

fn create(payload: Payload) -> Result<Transaction, TransactionError> {
    let created = Transaction::create(
        &identity(1),
        chain(),
        &rules(),
        Sequence(3),
        TimestampMs(9),
        payload,
    );
    created.map(|verified| (*verified).clone())
}

#[test]
fn the_stamp_is_over_what_stands_before_the_signature() {
    let mut rules = rules();
    rules.stamp_bits = 12;
    let payload = Payload::Message("hello".into());
    let made = Transaction::create(
        &identity(1),
        chain(),
        &rules,
        Sequence(0),
        TimestampMs(9),
        payload,
    )
    .unwrap();
    let bytes = made.encode();
    assert!(made.stamp_bits() >= 12);
    assert_eq!(
        sha256(&[&bytes[..bytes.len() - 64]]).leading_zeros(),
        made.stamp_bits()
    );
    assert_eq!(made.id(), sha256(&[&bytes]));
    rules.stamp_bits = made.stamp_bits() + 1;
    let refused = TransactionError::Stamp {
        found: made.stamp_bits(),
        allowed: rules.stamp_bits,
    };
    assert_eq!(Transaction::decode(&bytes, &rules), Err(refused));
}

#[test]
fn a_higher_stamp_makes_a_new_id_for_the_same_content() {
    let (genesis, rules) = (genesis(), rules());
    let low = message_of(&genesis, 1, 0, "text");
    let high = low
        .restamped(&identity(1), genesis.chain_id(), &rules, 9)
        .unwrap();
    assert!(high.stamp_bits() >= 9);
    assert_eq!(
        (high.payload(), high.sequence()),
        (low.payload(), low.sequence())
    );
    let stranger = low.restamped(&identity(2), genesis.chain_id(), &rules, 9);
    assert_eq!(
        stranger,
        Err(TransactionError::Signature(SignatureError::Key))
    );
}

#[test]
fn every_changed_bit_is_noticed() {
    let made = create(Payload::Record(vec![1, 2, 3])).unwrap();
    let bytes = made.encode();
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let outcome =
            Transaction::decode(&changed, &rules()).and_then(|parsed| parsed.verify(chain()));
        assert!(outcome.is_err(), "bit {bit}");
    }
}

#[test]
fn a_signature_is_for_one_chain() {
    let made = create(Payload::Message("x".into())).unwrap();
    assert!(made.clone().verify(chain()).is_ok());
    assert!(made.verify(ChainId(Hash::ZERO)).is_err());
}

#[test]
fn limits_hold_to_the_byte() {
    let longest = "x".repeat(4_096);
    assert!(create(Payload::Message(longest.clone())).is_ok());
    let error = TransactionError::MessageTooLong {
        found: 4_097,
        allowed: 4_096,
    };
    assert_eq!(create(Payload::Message(longest + "x")).unwrap_err(), error);
    assert_eq!(
        create(Payload::Message(String::new())).unwrap_err(),
        TransactionError::EmptyMessage
    );
    let most = 16_384 - OVERHEAD_BYTES as usize;
    assert!(create(Payload::Record(vec![0; most])).is_ok());
    let error = TransactionError::TooLarge {
        found: 16_385,
        allowed: 16_384,
    };
    assert_eq!(
        create(Payload::Record(vec![0; most + 1])).unwrap_err(),
        error
    );
    assert!(create(Payload::Record(vec![])).is_ok());
}

#[test]
fn unknown_kinds_and_algorithms_are_refused() {
    let bytes = create(Payload::Message("x".into())).unwrap().encode();
    let with = |index: usize, value: u8| {
        let mut changed = bytes.clone();
        changed[index] = value;
        Transaction::decode(&changed, &rules()).unwrap_err()
    };
    assert_eq!(with(0, 3), TransactionError::Kind { found: 3 });
    assert_eq!(with(1, 2), TransactionError::Algorithm { found: 2 });
    assert_eq!(with(52, 0xff), TransactionError::NotUtf8);
}

proptest! {
    #[test]
    fn decoding_is_the_inverse_of_encoding(
        seed: [u8; 32], sequence: u64, time in 0u64..1 << 48, text in "\\PC{1,200}", record: Vec<u8>, message: bool,
    ) {
        let identity = shared::identity::Identity::from_seed(seed);
        let payload = if message { Payload::Message(text) } else { Payload::Record(record) };
        let time = TimestampMs(time);
        let made =
            Transaction::create(&identity, chain(), &rules(), Sequence(sequence), time, payload.clone()).unwrap();
        let bytes = made.encode();
        prop_assert_eq!(bytes.len(), made.encoded_len());
        let parsed = Transaction::decode(&bytes, &rules()).unwrap();
        prop_assert_eq!(&parsed, &*made);
        prop_assert_eq!(parsed.payload(), &payload);
        prop_assert_eq!((parsed.sequence(), parsed.timestamp()), (Sequence(sequence), time));
        prop_assert_eq!(parsed.verify(chain()).unwrap().id(), sha256(&[&bytes]));
    }

    #[test]
    fn bytes_that_decode_are_the_bytes_that_encode(mut bytes in prop::collection::vec(any::<u8>(), 0..300), fix: bool) {
        if fix && bytes.len() >= 120 {
            // Nearly right, so that some get through.
            let len = u32::try_from(bytes.len() - 120).unwrap();
            bytes[0] = 2;
            bytes[1] = 1;
            bytes[48..52].copy_from_slice(&len.to_be_bytes());
        }
        if let Ok(parsed) = Transaction::decode(&bytes, &rules()) {
            prop_assert_eq!(parsed.encode(), bytes);
        }
    }
}
