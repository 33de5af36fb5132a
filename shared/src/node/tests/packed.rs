use super::*;
use crate::{ids::Height, packing::pack};

fn packed(message: &Message) -> Vec<u8> {
    let packed = Bytes(pack(&message.encode()[1..]));
    Message::Packed { packed }.encode()
}

#[test]
fn history_is_served_packed_and_several_bodies_at_once() {
    let chain = grown(20, 3);
    let mut bench = Bench::holding(1, &chain);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.taken();
    let hashes: Vec<Hash> = (1..=16)
        .map(|height| chain.block_at(Height(height)).unwrap().hash())
        .collect();
    bench.receive(peer(2), &Message::GetBlocks { hashes });
    let sent = bench.sent();
    let [(_, Message::Packed { packed })] = &sent[..] else {
        panic!("{sent:?}")
    };
    let Ok(Message::Blocks { blocks }) = Message::unpack(packed) else {
        panic!("blocks")
    };
    assert_eq!(blocks.len(), 16);
    let plain: usize = blocks.iter().map(|block| block.0.len()).sum();
    assert!(packed.0.len() < plain);
}

#[test]
fn long_chain_comes_over_packed() {
    let chain = grown(300, 3);
    let mut net = Net::new(vec![
        Bench::holding(1, &chain),
        Bench::alone(2, chain.tip().timestamp),
    ]);
    net.benches[0].now = net.benches[1].now;
    net.link(0, 1);
    net.run(3_000);
    assert_eq!(net.benches[1].node.status().tip, chain.tip().hash);
}

#[test]
fn packed_history_that_nobody_asked_for_is_not_unpacked() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.taken();
    let packed = Bytes(vec![0xff; 100]);
    bench.receive(peer(2), &Message::Packed { packed });
    assert!(bench.taken().is_empty());
    assert_eq!(bench.node.peers().count(), 1);
}

#[test]
fn packed_bomb_is_blamed() {
    let chain = grown(2, 3);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    bench.give(Input::PeerConnected { peer: peer(2) });
    for height in [1, 2] {
        let header = chain.block_at(Height(height)).unwrap().header();
        let header = Bytes(header.encode().to_vec());
        bench.receive(peer(2), &Message::NewHeader { header });
    }
    let asked = |(_, message): &(PeerId, Message)| matches!(message, Message::GetBlocks { .. });
    assert!(bench.sent().iter().any(asked));
    let bomb = packed(&Message::NewBlock {
        block: Bytes(vec![0; 8 << 20]),
    });
    let refused = bench.try_give(Input::MessageReceived {
        peer: peer(2),
        bytes: bomb,
    });
    let Err(NodeError::Blamed { reason, .. }) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("unpack to more"), "{reason}");
}
