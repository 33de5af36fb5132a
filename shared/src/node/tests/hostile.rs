use proptest::prelude::*;

use super::*;
use crate::ids::Height;

/// Gives a message that must be blamed on its sender, and nothing else must change.
fn blamed(bytes: Vec<u8>) -> String {
    let chain = grown(2, 3);
    let mut bench = Bench::holding(1, &chain);
    bench.now = bench.now.plus_ms(INTERVAL_MS);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.give(Input::PeerConnected { peer: peer(3) });
    let before = (bench.node.status(), bench.disk.clone());
    let error = bench
        .try_give(Input::MessageReceived {
            peer: peer(2),
            bytes,
        })
        .unwrap_err();
    let NodeError::Blamed {
        peer: blamed,
        reason,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(blamed, peer(2));
    let after = bench.node.status();
    assert_eq!(
        (after.tip, after.pending, after.outbox, after.peers),
        (before.0.tip, 0, 0, 1)
    );
    assert_eq!(bench.disk, before.1);
    assert!(
        bench
            .taken()
            .iter()
            .any(|order| matches!(order, Output::Disconnect { peer: of, .. } if *of == peer(2)))
    );
    bench.give(Input::PeerConnected { peer: peer(2) });
    assert_eq!(bench.node.peers().count(), 1, "it stays refused");
    bench.pass(super::super::limits::REFUSAL_MS);
    bench.give(Input::PeerConnected { peer: peer(2) });
    assert!(bench.node.peers().any(|id| id == peer(2)), "for a while");
    reason
}

/// The block after `grown(2, 3)`, changed before and after grinding.
fn forged(
    before: impl Fn(&mut crate::block::UncheckedBlock),
    after: impl Fn(&mut crate::block::UncheckedBlock),
) -> Vec<u8> {
    let chain = grown(2, 3);
    let now = chain.tip().timestamp.plus_ms(INTERVAL_MS);
    let miner = MinerRecord {
        key: PublicKey([8; 32]),
        free: [0; 8],
    };
    let template = chain.template(miner, vec![transaction(3, 2, "honest")], now);
    let transactions = template
        .transactions
        .iter()
        .map(|transaction| transaction.encode())
        .collect();
    let mut block = crate::block::UncheckedBlock {
        header: template.header,
        miner,
        transactions,
    };
    before(&mut block);
    block.header = block
        .header
        .solved(grind(&block.header, &block.header.target.target()));
    after(&mut block);
    Message::NewBlock {
        block: Bytes(block.encode()),
    }
    .encode()
}

#[test]
fn block_without_work_is_blamed() {
    let reason = blamed(forged(
        |_| {},
        |block| {
            while block.header.target.target().is_met_by(&block.header.hash()) {
                block.header.nonce += 1;
            }
        },
    ));
    assert!(reason.contains("does not meet target"), "{reason}");
}

#[test]
fn false_state_body_and_signature_are_blamed() {
    let state = blamed(forged(
        |block| block.header.state_root = Hash([1; 32]),
        |_| {},
    ));
    assert!(state.contains("state root"), "{state}");
    let body = blamed(forged(|_| {}, |block| block.transactions.clear()));
    assert!(body.contains("body root"), "{body}");
    let signature = blamed(forged(
        |block| {
            *block.transactions[0].last_mut().unwrap() ^= 1;
            let ids = block
                .transactions
                .iter()
                .map(|bytes| crate::hash::sha256(&[bytes]));
            block.header.body_root = crate::block::body_root(&block.miner, ids);
        },
        |_| {},
    ));
    assert!(signature.contains("signature"), "{signature}");
}

#[test]
fn false_target_and_time_are_blamed() {
    let target = blamed(forged(
        |block| block.header.target = Target::for_hashes(2).to_compact(),
        |_| {},
    ));
    assert!(target.contains("target"), "{target}");
    let time = blamed(forged(|block| block.header.timestamp = BIRTH, |_| {}));
    assert!(time.contains("timestamp"), "{time}");
}

#[test]
fn one_false_transaction_spoils_its_message() {
    let mut bytes = transaction(5, 0, "b").encode();
    *bytes.last_mut().unwrap() ^= 1;
    let transactions = vec![Bytes(transaction(4, 0, "a").encode()), Bytes(bytes)];
    let reason = blamed(Message::Transactions { transactions }.encode());
    assert!(reason.contains("signature"), "{reason}");
}

#[test]
fn another_chain_unlinked_headers_and_garbage_are_blamed() {
    let status = crate::message::Status {
        chain_id: Hash([1; 32]),
        height: 0,
        tip: Hash::ZERO,
        work: [0; 32],
        clock_ms: 0,
        pending: 0,
        pending_digest: Hash::ZERO,
        bodies_from: 1,
    };
    assert!(blamed(Message::Status(status).encode()).contains("follows chain"));
    let chain = grown(2, 3);
    let headers = [2, 1].map(|height| {
        Bytes(
            chain
                .block_at(Height(height))
                .unwrap()
                .header()
                .encode()
                .to_vec(),
        )
    });
    assert!(
        blamed(
            Message::Headers {
                headers: headers.to_vec()
            }
            .encode()
        )
        .contains("continue")
    );
    assert!(blamed(vec![1, 200]).contains("malformed"));
}

#[test]
fn message_of_a_stranger_changes_nothing() {
    let mut bench = Bench::alone(1, BIRTH);
    let result = bench.try_give(Input::MessageReceived {
        peer: peer(7),
        bytes: vec![1, 2, 3],
    });
    assert_eq!(result, Err(NodeError::UnknownPeer { peer: peer(7) }));
}

#[test]
fn cheap_old_branch_is_not_stored() {
    let chain = grown(40, 3);
    let mut old = grown(2, 3);
    let branch = extend(&mut old, 6, Vec::new());
    let mut bench = Bench::holding(1, &chain);
    let before = bench.disk.clone();
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes: new_block(&branch),
    });
    assert_eq!(bench.disk, before);
    assert!(bench.node.chain().block(&branch.hash()).is_none());
    let mut near = grown(30, 3);
    let branch = extend(&mut near, 6, Vec::new());
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes: new_block(&branch),
    });
    assert!(
        bench.node.chain().block(&branch.hash()).is_some(),
        "a near one is"
    );
}

#[test]
fn peer_that_asks_without_end_is_not_answered_without_end_and_then_refused() {
    let chain = grown(100, 3);
    let mut bench = Bench::holding(1, &chain);
    bench.give(Input::PeerConnected { peer: peer(2) });
    let request = Message::GetHeaders {
        locator: vec![chain.chain_id().0],
    };
    let ask = |bench: &mut Bench| {
        let (peer, bytes) = (peer(2), request.encode());
        let asked = bench.try_give(Input::MessageReceived { peer, bytes });
        asked.map(|()| bench.sent().len())
    };
    bench.taken();
    let mut answered = 0_usize;
    while let Ok(1) = ask(&mut bench) {
        answered += 1;
    }
    assert!((1_000..1_500).contains(&answered), "{answered}");
    bench.pass(1_000);
    bench.taken();
    assert_eq!(ask(&mut bench), Ok(1), "a while later it is answered again");
    let refused = (0..2_000).find_map(|_| ask(&mut bench).err());
    assert!(matches!(refused, Some(NodeError::Blamed { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damaged_messages_never_panic(kind in 0usize..7, place: prop::sample::Index, bits: u8, cut: Option<prop::sample::Index>) {
        let chain = grown(2, 3);
        let block = chain.block_at(Height(2)).unwrap();
        let hash = block.hash();
        let messages = [
            new_block(block),
            Message::Headers { headers: vec![Bytes(block.header().encode().to_vec())] }.encode(),
            Message::GetHeaders { locator: vec![hash] }.encode(),
            Message::Transactions { transactions: vec![Bytes(transaction(3, 0, "x").encode())] }.encode(),
            Message::HaveTransactions { ids: vec![hash] }.encode(),
            Message::GetBlocks { hashes: vec![hash] }.encode(),
            Message::NewHeader { header: Bytes(block.header().encode().to_vec()) }.encode(),
        ];
        let mut bytes = messages[kind].clone();
        let at = place.index(bytes.len());
        bytes[at] ^= bits;
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut bench = Bench::alone(1, chain.tip().timestamp);
        bench.give(Input::PeerConnected { peer: peer(2) });
        let _ = bench.try_give(Input::MessageReceived { peer: peer(2), bytes });
        bench.pass(30_000);
    }
}
