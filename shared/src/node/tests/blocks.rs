use super::*;
use crate::ids::Height;

#[test]
fn orphan_waits_for_its_parent() {
    let chain = grown(2, 3);
    let [first, second] = [1, 2].map(|height| chain.block_at(Height(height)).unwrap());
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes: new_block(second),
    });
    assert_eq!(bench.node.status().height, Height(0));
    assert!(
        bench
            .sent()
            .iter()
            .any(|(_, message)| matches!(message, Message::GetHeaders { .. }))
    );
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes: new_block(first),
    });
    assert_eq!(bench.node.status().tip, second.hash());
    assert!(
        bench
            .disk
            .contains_key(&alloc::format!("block/{}", second.hash()))
    );
}

#[test]
fn orphans_of_one_peer_are_bounded() {
    let chain = grown(40, 3);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    bench.give(Input::PeerConnected { peer: peer(2) });
    for height in 10..40 {
        let bytes = new_block(chain.block_at(Height(height)).unwrap());
        bench.give(Input::MessageReceived {
            peer: peer(2),
            bytes,
        });
    }
    assert_eq!(
        bench.node.orphans.len(),
        super::super::limits::ORPHANS_PER_PEER_MAX
    );
}

#[test]
fn block_from_the_future_is_held_and_taken_in_time() {
    let chain = grown(1, 3);
    let block = chain.block_at(Height(1)).unwrap();
    let mut bench = Bench::alone(
        1,
        block.header().timestamp.minus_ms(2 * INTERVAL_MS + 10_000),
    );
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes: new_block(block),
    });
    assert_eq!(bench.node.status().height, Height(0));
    bench.pass(11_000);
    assert_eq!(bench.node.status().tip, block.hash());
}

/// How the peers 2 to 6 of a full mesh hear of the first block of `chain`, which came in by `input`.
fn heard_in_a_full_mesh(chain: &Chain, input: Input) -> Vec<(PeerId, Message)> {
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    for number in 2..7 {
        bench.give(Input::PeerConnected { peer: peer(number) });
    }
    bench.taken();
    bench.give(input);
    let is_block = |message: &Message| {
        matches!(
            message,
            Message::NewBlock { .. } | Message::CompactBlock(_) | Message::NewHeader { .. }
        )
    };
    let sent = bench.sent();
    sent.into_iter()
        .filter(|(_, message)| is_block(message))
        .collect()
}

#[test]
fn who_brings_a_block_into_a_full_mesh_sends_it_to_all_and_who_got_it_only_names_it() {
    let chain = grown(1, 3);
    let block = chain.block_at(Height(1)).unwrap();
    let bytes = block.encode();
    let brought = heard_in_a_full_mesh(&chain, Input::BlockOffered { bytes });
    assert_eq!(brought.len(), 5);
    assert!(
        brought
            .iter()
            .all(|(_, message)| !matches!(message, Message::NewHeader { .. }))
    );

    let bytes = new_block(block);
    let got = heard_in_a_full_mesh(
        &chain,
        Input::MessageReceived {
            peer: peer(2),
            bytes,
        },
    );
    let header = Bytes(block.header().encode().to_vec());
    let named = Message::NewHeader { header };
    assert_eq!(
        got,
        (3..7)
            .map(|number| (peer(number), named.clone()))
            .collect::<Vec<_>>()
    );
}

#[test]
fn announced_header_leads_to_the_body() {
    let chain = grown(1, 3);
    let mut newcomer = Bench::alone(2, chain.tip().timestamp);
    newcomer.give(Input::PeerConnected { peer: peer(1) });
    let header = chain.block_at(Height(1)).unwrap().header();
    newcomer.receive(
        peer(1),
        &Message::NewHeader {
            header: Bytes(header.encode().to_vec()),
        },
    );
    assert!(newcomer.sent().contains(&(
        peer(1),
        Message::GetCompactBlock {
            hash: header.hash()
        }
    )));
}

#[test]
fn offered_block_is_accepted_once_and_refused_with_a_reason() {
    let chain = grown(1, 3);
    let block = chain.block_at(Height(1)).unwrap();
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    bench.taken();
    bench.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    bench.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    let mut tampered = block.encode();
    *tampered.last_mut().unwrap() ^= 1;
    tampered[115] ^= 1;
    bench.give(Input::BlockOffered { bytes: tampered });
    let events = bench.events();
    assert!(events.contains(&Event::BlockAccepted {
        hash: block.hash(),
        already_known: false
    }));
    assert!(events.contains(&Event::BlockAccepted {
        hash: block.hash(),
        already_known: true
    }));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::BlockRefused { peer: None, .. }))
    );
}
