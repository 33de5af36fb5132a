use proptest::prelude::*;

use super::{super::limits, *};
use crate::compact::{CompactBlock, Draft, ShortId, ShortIdKey};

const PEERS: u8 = 20;

/// A chain of one block with so many transactions of as many senders.
fn block_of(transactions: u8) -> (Chain, Block) {
    let mut chain = Chain::new(genesis());
    let transactions = (0..transactions).map(|sender| transaction(10 + sender, 0, "new"));
    let block = extend(&mut chain, 3, transactions.collect());
    (chain, block)
}

/// A machine with more peers than a full mesh has, whose mempool holds the transactions at these places of the block.
fn meshed(block: &Block, held: impl Iterator<Item = usize>) -> Bench {
    let mut bench = Bench::alone(1, block.header().timestamp);
    for number in 2..2 + PEERS {
        bench.give(Input::PeerConnected { peer: peer(number) });
    }
    let transactions: Vec<Bytes> = held
        .map(|index| Bytes(block.transactions()[index].encode()))
        .collect();
    if !transactions.is_empty() {
        bench.receive(peer(2), &Message::Transactions { transactions });
    }
    bench.taken();
    bench
}

fn in_short(block: &Block) -> CompactBlock {
    CompactBlock::of(block, 7, |_| false)
}

fn is_request_for(message: &Message, block: &Block) -> bool {
    if let Message::GetBlocks { hashes } = message {
        return hashes.contains(&block.hash());
    }
    matches!(
        message,
        Message::GetCompactBlock { hash } | Message::GetBlockTransactions { hash, .. } if *hash == block.hash()
    )
}

#[test]
fn beyond_a_full_mesh_three_get_it_in_short_and_the_rest_its_header() {
    let (_, block) = block_of(5);
    let mut bench = meshed(&block, 0..4);
    bench.pass(300);
    bench.taken();
    bench.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    let sent = bench.sent();
    let mut short = Vec::new();
    for (_, message) in &sent {
        if let Message::CompactBlock(compact) = message {
            short.push(compact);
        }
    }
    assert_eq!(short.len(), limits::PUSH_PEERS);
    for compact in &short {
        assert_eq!(compact.short_ids.len(), 4, "they were told of these");
        assert_eq!(compact.prefilled.len(), 1, "and not of the last");
    }
    assert_ne!(short[0].nonce, short[1].nonce);
    let told = |message: &Message| matches!(message, Message::NewHeader { .. });
    let told = sent.iter().filter(|(_, message)| told(message)).count();
    assert_eq!(told, usize::from(PEERS) - limits::PUSH_PEERS);
}

#[test]
fn block_in_short_is_rebuilt_from_what_is_pending() {
    let (_, block) = block_of(5);
    let mut bench = meshed(&block, 0..5);
    bench.receive(peer(3), &Message::CompactBlock(in_short(&block)));
    assert_eq!(bench.node.status().tip, block.hash());
    let sent = bench.sent();
    assert!(
        !sent
            .iter()
            .any(|(_, message)| is_request_for(message, &block))
    );
}

#[test]
fn missing_transactions_are_asked_for_and_complete_the_block() {
    let (_, block) = block_of(5);
    let mut bench = meshed(&block, [0, 2, 3].into_iter());
    bench.receive(peer(3), &Message::CompactBlock(in_short(&block)));
    let (hash, indexes) = (block.hash(), vec![1, 4]);
    let requests: Vec<(PeerId, Message)> = bench
        .sent()
        .into_iter()
        .filter(|(_, message)| is_request_for(message, &block))
        .collect();
    assert_eq!(
        requests,
        [(peer(3), Message::GetBlockTransactions { hash, indexes })]
    );
    // Another one's offer meanwhile changes nothing: one request is in flight.
    bench.receive(peer(4), &Message::CompactBlock(in_short(&block)));
    assert!(
        !bench
            .sent()
            .iter()
            .any(|(_, message)| is_request_for(message, &block))
    );
    let transactions = [1, 4].map(|index: usize| Bytes(block.transactions()[index].encode()));
    let transactions = transactions.to_vec();
    bench.receive(peer(3), &Message::BlockTransactions { hash, transactions });
    assert_eq!(bench.node.status().tip, block.hash());
}

#[test]
fn announced_block_is_asked_for_in_short_and_served_so() {
    let (_, block) = block_of(5);
    let mut asker = meshed(&block, 0..5);
    let header = Bytes(block.header().encode().to_vec());
    asker.receive(peer(3), &Message::NewHeader { header });
    let request = Message::GetCompactBlock { hash: block.hash() };
    assert!(asker.sent().contains(&(peer(3), request.clone())));
    let mut server = meshed(&block, 0..5);
    server.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    server.taken();
    server.receive(peer(5), &request);
    let sent = server.sent();
    let [(to, answer @ Message::CompactBlock(_))] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(*to, peer(5));
    asker.receive(peer(3), answer);
    assert_eq!(asker.node.status().tip, block.hash());
}

#[test]
fn block_beside_the_newest_needs_none_of_its_transactions() {
    let (mut chain, block) = block_of(5);
    let mut bench = meshed(&block, 0..5);
    bench.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    chain = Chain::new(chain.genesis().clone());
    let rival = extend(&mut chain, 4, block.transactions().to_vec());
    bench.taken();
    bench.receive(peer(3), &Message::CompactBlock(in_short(&rival)));
    assert!(bench.node.chain().block(&rival.hash()).is_some());
}

#[test]
fn equal_short_ids_lead_to_the_whole_block() {
    let (_, block) = block_of(5);
    let mut bench = meshed(&block, 0..5);
    let mut compact = in_short(&block);
    compact.short_ids[1] = compact.short_ids[0];
    bench.receive(peer(3), &Message::CompactBlock(compact));
    let hashes = vec![block.hash()];
    let sent = bench.sent();
    let whole = |(_, message): &(PeerId, Message)| {
        *message
            == Message::GetBlocks {
                hashes: hashes.clone(),
            }
    };
    assert!(sent.iter().any(whole), "{sent:?}");
    assert_eq!(
        bench.node.peers().count(),
        usize::from(PEERS),
        "nobody is blamed"
    );
    bench.receive(
        peer(3),
        &Message::Blocks {
            blocks: vec![Bytes(block.encode())],
        },
    );
    assert_eq!(bench.node.status().tip, block.hash());
}

#[test]
fn short_id_of_another_pending_transaction_leads_to_the_whole_block() {
    let (_, block) = block_of(5);
    let mut bench = meshed(&block, 0..5);
    let other = transaction(9, 0, "other");
    let transactions = vec![Bytes(other.encode())];
    bench.receive(peer(2), &Message::Transactions { transactions });
    let mut compact = in_short(&block);
    compact.short_ids[1] = ShortIdKey::new(&block.hash(), 7).short_id(&other.id());
    bench.taken();
    bench.receive(peer(3), &Message::CompactBlock(compact));
    assert_eq!(bench.node.status().height.0, 0);
    let asked_whole =
        |(_, message): &(PeerId, Message)| matches!(message, Message::GetBlocks { .. });
    assert!(bench.sent().iter().any(asked_whole));
    assert_eq!(bench.node.peers().count(), usize::from(PEERS));
}

#[test]
fn transactions_that_nobody_asked_for_change_nothing() {
    let (_, block) = block_of(5);
    let mut bench = meshed(&block, 0..3);
    let hash = block.hash();
    let of = |indexes: &[usize]| {
        let transactions = indexes.iter().map(|index| &block.transactions()[*index]);
        let transactions = transactions.map(|found| Bytes(found.encode())).collect();
        Message::BlockTransactions { hash, transactions }
    };
    bench.receive(peer(3), &of(&[3, 4]));
    bench.receive(peer(3), &Message::CompactBlock(in_short(&block)));
    bench.taken();
    bench.receive(peer(4), &of(&[3, 4]));
    assert_eq!(bench.node.status().height.0, 0, "peer 3 was asked");
    assert!(bench.taken().is_empty());
    // The asked one sends others than asked for: the block is asked for whole.
    bench.receive(peer(3), &of(&[4, 3]));
    assert_eq!(bench.node.status().height.0, 0);
    let asked_whole =
        |(_, message): &(PeerId, Message)| matches!(message, Message::GetBlocks { .. });
    assert!(bench.sent().iter().any(asked_whole));
    bench.receive(peer(3), &of(&[3, 4]));
    assert_eq!(bench.node.status().height.0, 0);
}

#[test]
fn places_that_do_not_exist_or_do_not_rise_are_blamed() {
    let (_, block) = block_of(5);
    for indexes in [vec![5], vec![1, 1], vec![2, 1]] {
        let mut bench = meshed(&block, 0..0);
        bench.give(Input::BlockOffered {
            bytes: block.encode(),
        });
        let hash = block.hash();
        let bytes = Message::GetBlockTransactions { hash, indexes }.encode();
        let peer = peer(2);
        let refused = bench.try_give(Input::MessageReceived { peer, bytes });
        assert!(
            matches!(refused, Err(NodeError::Blamed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn malformed_short_blocks_are_blamed() {
    let (_, block) = block_of(5);
    let good = in_short(&block);
    let whole = crate::compact::Prefilled {
        index: 5,
        transaction: Bytes(block.transactions()[0].encode()),
    };
    let faults: [fn(&mut CompactBlock, crate::compact::Prefilled); 4] = [
        |compact, _| compact.header.0.truncate(115),
        |compact, _| compact.miner.0.push(0),
        |compact, whole| compact.prefilled = vec![crate::compact::Prefilled { index: 9, ..whole }],
        |compact, _| {
            compact.short_ids = (0..1_001_u16)
                .map(|n| {
                    let [a, b] = n.to_be_bytes();
                    ShortId([a, b, 0, 0, 0, 0])
                })
                .collect()
        },
    ];
    for fault in faults {
        let mut bench = meshed(&block, 0..0);
        let mut compact = good.clone();
        fault(&mut compact, whole.clone());
        let bytes = Message::CompactBlock(compact).encode();
        let refused = bench.try_give(Input::MessageReceived {
            peer: peer(2),
            bytes,
        });
        assert!(
            matches!(refused, Err(NodeError::Blamed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn block_in_short_without_work_is_blamed_before_anything_is_stored() {
    let (_, block) = block_of(5);
    let mut bench = meshed(&block, 0..3);
    let mut header = block.header().clone();
    while header.target.target().is_met_by(&header.hash()) {
        header.nonce += 1;
    }
    let mut compact = in_short(&block);
    compact.header = Bytes(header.encode().to_vec());
    let bytes = Message::CompactBlock(compact).encode();
    let refused = bench.try_give(Input::MessageReceived {
        peer: peer(2),
        bytes,
    });
    assert!(matches!(refused, Err(NodeError::Blamed { .. })));
    assert!(bench.node.chain().header(&header.hash()).is_none());
    assert!(bench.node.downloads.is_empty());
}

#[test]
fn withheld_transactions_lead_to_the_next_announcer() {
    let mut chain = Chain::new(genesis());
    let first = extend(&mut chain, 3, vec![]);
    let block = extend(&mut chain, 3, vec![transaction(10, 0, "new")]);
    let mut bench = meshed(&block, 0..0);
    bench.give(Input::BlockOffered {
        bytes: first.encode(),
    });
    bench.receive(peer(3), &Message::CompactBlock(in_short(&block)));
    let header = Bytes(block.header().encode().to_vec());
    bench.receive(peer(4), &Message::NewHeader { header });
    bench.taken();
    // Blocks that nobody asked for are no excuse.
    for _ in 0..4 {
        bench.pass(limits::STALL_MS / 4);
        let blocks = vec![Bytes(first.encode())];
        bench.receive(peer(3), &Message::Blocks { blocks });
    }
    let of_next =
        |(to, message): &(PeerId, Message)| *to == peer(4) && is_request_for(message, &block);
    assert!(bench.sent().iter().any(of_next));
}

#[test]
fn body_withheld_behind_others_is_asked_of_another_peer() {
    let chain = grown(12, 3);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    for number in [2, 3] {
        bench.give(Input::PeerConnected { peer: peer(number) });
    }
    let headers = chain.headers_after(&[], 2_000);
    let headers = headers.iter().map(|header| Bytes(header.encode().to_vec()));
    let headers = Message::Headers {
        headers: headers.collect(),
    };
    let claim = |bench: &mut Bench, from| {
        let tip = chain.tip();
        let status = crate::message::Status {
            chain_id: chain.chain_id().0,
            height: tip.height.0,
            tip: tip.hash,
            work: tip.work.to_be_bytes(),
            clock_ms: bench.now.0,
            pending: 0,
            pending_digest: Hash::ZERO,
            bodies_from: 1,
        };
        bench.receive(from, &Message::Status(status));
    };
    claim(&mut bench, peer(2));
    bench.receive(peer(2), &headers);
    let first = chain.block_at(crate::ids::Height(1)).unwrap().hash();
    let asks_first = |sent: &[(PeerId, Message)], of| {
        sent.iter().any(|(to, message)| {
            *to == of && matches!(message, Message::GetBlocks { hashes } if hashes.contains(&first))
        })
    };
    assert!(asks_first(&bench.sent(), peer(2)));
    claim(&mut bench, peer(3));
    bench.taken();
    for height in 2..12 {
        bench.pass(1_000);
        let block = chain.block_at(crate::ids::Height(height)).unwrap();
        let blocks = vec![Bytes(block.encode())];
        bench.receive(peer(2), &Message::Blocks { blocks });
    }
    assert!(asks_first(&bench.sent(), peer(3)));
}

#[test]
fn twelve_nodes_spread_blocks_in_short() {
    let mut net = Net::new(
        (0..12)
            .map(|index| Bench::alone(u8::try_from(index + 1).unwrap(), BIRTH.plus_ms(100_000)))
            .collect(),
    );
    for a in 0..12 {
        for b in 0..a {
            net.link(a, b);
        }
    }
    net.run(1_000);
    net.benches[0].submit("one");
    net.benches[5].submit("two");
    net.run(2_000);
    net.benches[0].give(Input::MiningSet {
        when: super::super::MiningWhen::WhenPending,
    });
    net.benches[0].mine();
    let whole = |order: &Output| {
        let Output::Send { bytes, .. } = order else {
            return false;
        };
        matches!(
            Message::decode(bytes).unwrap(),
            Message::NewBlock { .. } | Message::GetBlocks { .. }
        )
    };
    assert!(!net.benches[0].orders.iter().any(whole));
    net.run(500);
    let tip = net.benches[0].node.status().tip;
    for bench in &net.benches {
        assert_eq!(bench.node.status().tip, tip);
        assert_eq!(bench.node.status().height.0, 1);
        assert_eq!(bench.node.status().pending, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rebuilt_block_is_the_original(
        count in 0_u8..24,
        held in any::<u32>(),
        told in any::<u32>(),
        nonce in any::<u64>(),
    ) {
        let (chain, block) = block_of(count);
        let rules = &chain.genesis().rules;
        let place = |id: &Hash| block.transactions().iter().position(|found| found.id() == *id).unwrap();
        let compact = CompactBlock::of(&block, nonce, |id| told >> place(id) & 1 == 0);
        prop_assert_eq!(compact.len(), usize::from(count));
        let others: Vec<_> = (0..4).map(|sequence| transaction(9, sequence, "other")).collect();
        let pending = block.transactions().iter().enumerate().filter(|(index, _)| held >> index & 1 == 1);
        let pending = pending.map(|(_, found)| found).chain(&others);
        let mut draft = Draft::new(block.header().clone(), &compact, rules).unwrap();
        draft.fill(pending);
        let missing = draft.missing();
        for index in &missing {
            prop_assert!(held >> index & 1 == 0 && told >> index & 1 == 1);
        }
        let supplied = missing.iter().map(|index| &block.transactions()[usize::from(*index)]);
        draft.supply(supplied.map(|found| Bytes(found.encode())).collect(), rules).unwrap();
        prop_assert_eq!(draft.finish().unwrap().encode(), block.encode());
    }
}
