//! Every message survives its bytes, every limit holds.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::compact::{Prefilled, ShortId};

fn samples() -> Vec<Message> {
    let hash = Hash([7; 32]);
    vec![
        Message::Status(Status {
            chain_id: hash,
            height: 3,
            tip: hash,
            work: [1; 32],
            clock_ms: u64::MAX,
            pending: 9,
            pending_digest: hash,
            bodies_from: 2,
        }),
        Message::GetHeaders {
            locator: vec![hash; LOCATOR_MAX],
        },
        Message::Headers {
            headers: vec![Bytes(vec![5; 116]); HEADERS_MAX],
        },
        Message::NewHeader {
            header: Bytes(vec![5; 116]),
        },
        Message::GetBlocks {
            hashes: vec![hash; BLOCKS_MAX],
        },
        Message::Blocks {
            blocks: vec![Bytes(vec![1; 300_000])],
        },
        Message::NewBlock {
            block: Bytes(vec![]),
        },
        Message::NoBlocks { hashes: vec![hash] },
        Message::HaveTransactions {
            ids: vec![hash; IDS_MAX],
        },
        Message::GetTransactions { ids: vec![hash] },
        Message::Transactions {
            transactions: vec![Bytes(vec![2; 100]); TRANSACTIONS_MAX],
        },
        Message::GetPending,
        Message::CompactBlock(CompactBlock {
            header: Bytes(vec![5; 116]),
            miner: Bytes(vec![6; 40]),
            nonce: u64::MAX,
            short_ids: vec![ShortId([7; 6]); 4_000],
            prefilled: vec![Prefilled {
                index: 4_000,
                transaction: Bytes(vec![8; 200]),
            }],
        }),
        Message::GetCompactBlock { hash },
        Message::GetBlockTransactions {
            hash,
            indexes: vec![1, 300],
        },
        Message::BlockTransactions {
            hash,
            transactions: vec![Bytes(vec![2; 100]); 2],
        },
        Message::Packed {
            packed: Bytes(vec![1; 300]),
        },
        Message::GetSnapshot { hash, part: 3 },
        Message::Snapshot {
            hash,
            part: 127,
            parts: 128,
            bytes: Bytes(vec![3; SNAPSHOT_PART_BYTES]),
        },
        Message::NoSnapshot { hash },
    ]
}

#[test]
fn history_travels_packed_and_comes_out_as_it_was() {
    for message in samples() {
        let decoded = Message::decode(&message.packed(message.encode())).unwrap();
        if let Message::Packed { packed } = &decoded
            && message.may_be_packed()
        {
            assert!(packed.0.len() < message.encode().len() / 2);
            assert_eq!(Message::unpack(packed), Ok(message));
        } else {
            assert!(!message.may_be_packed());
            assert_eq!(decoded, message);
        }
    }
}

#[test]
fn bombs_and_what_is_not_history_are_refused() {
    let bomb = Bytes(pack(&vec![0; 8 * MESSAGE_BYTES_MAX]));
    let allowed = MESSAGE_BYTES_MAX;
    assert_eq!(
        Message::unpack(&bomb),
        Err(MessageError::Packed(UnpackError::TooLong { allowed }))
    );
    let nested = Message::Packed { packed: bomb };
    for message in [nested, Message::GetPending] {
        let packed = Bytes(pack(&message.encode()[1..]));
        assert_eq!(Message::unpack(&packed), Err(MessageError::Malformed));
    }
}

#[test]
fn every_message_survives_the_round_trip() {
    for message in samples() {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn blocks_come_before_transactions_and_these_before_history() {
    for message in samples() {
        let expected = match &message {
            Message::Status(_)
            | Message::GetHeaders { .. }
            | Message::NewHeader { .. }
            | Message::GetBlocks { .. }
            | Message::NewBlock { .. }
            | Message::NoBlocks { .. }
            | Message::CompactBlock(_)
            | Message::GetCompactBlock { .. }
            | Message::GetBlockTransactions { .. }
            | Message::BlockTransactions { .. }
            | Message::GetSnapshot { .. }
            | Message::NoSnapshot { .. } => Lane::Urgent,
            Message::HaveTransactions { .. }
            | Message::GetTransactions { .. }
            | Message::Transactions { .. }
            | Message::GetPending => Lane::Normal,
            Message::Headers { .. }
            | Message::Blocks { .. }
            | Message::Packed { .. }
            | Message::Snapshot { .. } => Lane::History,
        };
        assert_eq!(lane_of(&message.encode()), expected, "{message:?}");
    }
}

#[test]
fn a_list_over_its_limit_is_refused() {
    let hash = Hash([7; 32]);
    for message in [
        Message::GetHeaders {
            locator: vec![hash; LOCATOR_MAX + 1],
        },
        Message::GetHeaders { locator: vec![] },
        Message::Headers {
            headers: vec![Bytes::default(); HEADERS_MAX + 1],
        },
        Message::GetBlocks {
            hashes: vec![hash; BLOCKS_MAX + 1],
        },
        Message::HaveTransactions {
            ids: vec![hash; IDS_MAX + 1],
        },
        Message::Transactions {
            transactions: vec![Bytes::default(); TRANSACTIONS_MAX + 1],
        },
        Message::CompactBlock(CompactBlock {
            header: Bytes::default(),
            miner: Bytes::default(),
            nonce: 0,
            short_ids: vec![ShortId([7; 6]); usize::from(BLOCK_TRANSACTIONS_MAX) + 1],
            prefilled: vec![],
        }),
        Message::GetBlockTransactions {
            hash,
            indexes: vec![],
        },
        Message::Blocks { blocks: vec![] },
        Message::BlockTransactions {
            hash,
            transactions: vec![Bytes::default(); usize::from(BLOCK_TRANSACTIONS_MAX) + 1],
        },
        Message::Snapshot {
            hash,
            part: 0,
            parts: 129,
            bytes: Bytes(vec![0]),
        },
        Message::Snapshot {
            hash,
            part: 0,
            parts: 1,
            bytes: Bytes(vec![0; SNAPSHOT_PART_BYTES + 1]),
        },
    ] {
        assert!(matches!(
            Message::decode(&message.encode()),
            Err(MessageError::Count { .. })
        ));
    }
}

#[test]
fn other_versions_empty_and_trailing_bytes_are_refused() {
    let mut bytes = Message::GetPending.encode();
    assert_eq!(
        Message::decode(&[]),
        Err(MessageError::Length {
            found: 0,
            allowed: MESSAGE_BYTES_MAX
        })
    );
    bytes.push(0);
    assert_eq!(Message::decode(&bytes), Err(MessageError::Malformed));
    bytes[0] = 2;
    assert_eq!(
        Message::decode(&bytes),
        Err(MessageError::Version {
            found: 2,
            supported: 1
        })
    );
    assert!(matches!(
        Message::decode(&vec![1; MESSAGE_BYTES_MAX + 1]),
        Err(MessageError::Length { .. })
    ));
}

#[test]
fn a_claimed_length_reserves_no_memory() {
    // Headers, 2^32 - 1 of them, and nothing behind.
    assert_eq!(
        Message::decode(&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        Err(MessageError::Malformed)
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), tag in 0u8..22) {
        let _ = Message::decode(&bytes);
        if bytes.len() > 1 {
            bytes[0] = MESSAGE_VERSION;
            bytes[1] = tag;
        }
        let _ = Message::decode(&bytes);
    }
}
