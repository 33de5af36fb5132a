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

#[test]
fn new_block_goes_whole_to_all_of_a_full_mesh_but_its_sender() {
    let chain = grown(1, 3);
    let block = chain.block_at(Height(1)).unwrap();
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    for number in 2..7 {
        bench.give(Input::PeerConnected { peer: peer(number) });
    }
    bench.taken();
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes: new_block(block),
    });
    let sent = bench.sent();
    let whole: Vec<PeerId> = sent
        .iter()
        .filter(|(_, message)| matches!(message, Message::NewBlock { .. }))
        .map(|(to, _)| *to)
        .collect();
    assert_eq!(whole, (3..7).map(peer).collect::<Vec<_>>());
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
        Message::GetBlocks {
            hashes: vec![header.hash()]
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
