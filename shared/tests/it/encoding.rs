//! Canonical bytes of genesis, header and block: what decodes is what would be encoded, bit for bit.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use proptest::prelude::*;
use shared::{
    block::UncheckedBlock,
    chain::Chain,
    genesis::Genesis,
    hash::Hash,
    header::{Header, LAST_VERSION, VERSION},
    ids::{Height, TimestampMs},
    pow::Target,
};

use crate::support::{at, genesis, message, next_block};

/// Bytes with some places changed, cut or grown: near enough to valid to get past the first field.
fn damaged(bytes: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let len = bytes.len();
    let changes = prop::collection::vec((0..len, any::<u8>()), 0..4);
    (changes, 0..4usize, 0..3usize).prop_map(move |(changes, cut, grow)| {
        let mut bytes = bytes.clone();
        for (index, value) in changes {
            bytes[index] = value;
        }
        bytes.truncate(len.saturating_sub(cut.saturating_sub(2)));
        bytes.extend(std::iter::repeat_n(0, grow.saturating_sub(1)));
        bytes
    })
}

fn block_bytes() -> Vec<u8> {
    let chain = Chain::new(genesis());
    next_block(&chain, 1, vec![message(5, 0), message(6, 0)], at(3)).encode()
}

fn header() -> impl Strategy<Value = Header> {
    let hash = || any::<[u8; 32]>().prop_map(Hash);
    let solution = (VERSION..=LAST_VERSION, any::<u32>());
    let numbers = (any::<u32>(), 0..=TimestampMs::MAX.0, solution, 1u64..);
    (hash(), hash(), hash(), numbers).prop_map(|(previous, body_root, state_root, numbers)| {
        let (height, timestamp, (version, nonce), hashes) = numbers;
        Header {
            version,
            height: Height(height),
            previous,
            body_root,
            state_root,
            timestamp: TimestampMs(timestamp),
            target: Target::for_hashes(hashes).to_compact(),
            nonce,
        }
    })
}

proptest! {
    #[test]
    fn any_header_comes_back(header in header()) {
        let bytes = header.encode();
        prop_assert_eq!(Header::decode(&bytes), Ok(header.clone()));
        let twice = [bytes, bytes].concat();
        prop_assert_eq!(Header::decode_many(&twice), Ok(vec![header.clone(), header]));
        prop_assert!(Header::decode_many(&twice[..231]).is_err());
    }

    #[test]
    fn a_header_that_decodes_encodes_to_its_bytes(mut bytes: [u8; 116], known: bool) {
        if known {
            bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
            bytes[108..110].copy_from_slice(&[0x1d, 0x01]);
        }
        if let Ok(header) = Header::decode(&bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }

    #[test]
    fn a_genesis_that_decodes_encodes_to_its_bytes(bytes in damaged(genesis().encode())) {
        if let Ok(genesis) = Genesis::decode(&bytes) {
            prop_assert_eq!(genesis.encode(), bytes);
        }
    }

    #[test]
    fn a_block_that_decodes_encodes_to_its_bytes(bytes in damaged(block_bytes())) {
        if let Ok(block) = UncheckedBlock::decode(&bytes) {
            prop_assert_eq!(block.encode(), bytes);
        }
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes: Vec<u8>) {
        let _ = (Header::decode(&bytes), UncheckedBlock::decode(&bytes), Genesis::decode(&bytes));
    }
}
