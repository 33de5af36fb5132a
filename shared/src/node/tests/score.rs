use super::{super::limits, *};

fn unasked() -> Message {
    let packed = Bytes(vec![1; 50]);
    Message::Packed { packed }
}

fn send(bench: &mut Bench, message: &Message) -> Result<(), NodeError> {
    let (peer, bytes) = (peer(2), message.encode());
    bench.try_give(Input::MessageReceived { peer, bytes })
}

#[test]
fn peer_that_sends_only_what_nobody_asked_for_is_refused_in_the_end() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(2) });
    let allowed = limits::POINTS_MAX.div_ceil(limits::UNASKED_POINTS) - 1;
    for _ in 0..allowed {
        assert_eq!(send(&mut bench, &unasked()), Ok(()));
    }
    let refused = send(&mut bench, &unasked());
    assert!(
        matches!(refused, Err(NodeError::Blamed { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.node.peers().count(), 0);
}

#[test]
fn peer_that_does_so_now_and_then_is_not_refused() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(2) });
    for _ in 0..500 {
        bench.pass(limits::POINT_MS * u64::from(limits::UNASKED_POINTS));
        assert_eq!(send(&mut bench, &unasked()), Ok(()));
    }
}

#[test]
fn new_link_clears_no_points() {
    let mut bench = Bench::alone(1, BIRTH);
    let mut sent = 0;
    loop {
        bench.give(Input::PeerConnected { peer: peer(2) });
        if send(&mut bench, &unasked()).is_err() {
            break;
        }
        sent += 1;
        bench.give(Input::PeerLost { peer: peer(2) });
    }
    assert!(sent < limits::POINTS_MAX, "{sent}");
}

#[test]
fn flood_of_headers_that_connect_to_nothing_is_ended() {
    let mut bench = Bench::alone(1, BIRTH.plus_ms(1_000_000));
    bench.give(Input::PeerConnected { peer: peer(2) });
    let chain = grown(3, 3);
    let last = chain.block_at(crate::ids::Height(3)).unwrap().header();
    let header = Bytes(last.encode().to_vec());
    let message = Message::NewHeader { header };
    let sent = (0..2 * limits::POINTS_MAX).take_while(|_| send(&mut bench, &message).is_ok());
    assert!(sent.count() < limits::POINTS_MAX as usize);
}

#[test]
fn silent_peers_are_let_go_and_talking_ones_are_not() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.give(Input::PeerConnected { peer: peer(3) });
    for _ in 0..=limits::SILENT_ROUNDS_MAX {
        bench.pass(limits::KEEP_ALIVE_MS);
        bench.receive(peer(3), &Message::GetPending);
    }
    assert_eq!(bench.node.peers().collect::<Vec<_>>(), [peer(3)]);
    let let_go =
        |order: &Output| matches!(order, Output::Disconnect { peer: of, .. } if *of == peer(2));
    assert!(bench.taken().iter().any(let_go));
    // A device that slept for a day did not listen: that is one interval.
    bench.now = bench.now.plus_ms(24 * 60 * 60 * 1_000);
    bench.give(Input::Woken);
    assert_eq!(bench.node.peers().count(), 1);
}

#[test]
fn traffic_is_counted_by_subject() {
    let chain = grown(1, 3);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.give(Input::PeerConnected { peer: peer(3) });
    bench.taken();
    let before = bench.node.status().traffic;
    let first = chain.block_at(crate::ids::Height(1)).unwrap();
    let (block, header) = (new_block(first), Bytes(first.header().encode().to_vec()));
    let bytes = block.clone();
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes,
    });
    let after = bench.node.status().traffic;
    let length = u64::try_from(block.len()).unwrap();
    assert_eq!(after.received.blocks - before.received.blocks, length);
    let named = Message::NewHeader { header }.encode().len();
    assert_eq!(
        after.sent.blocks - before.sent.blocks,
        u64::try_from(named).unwrap(),
        "to peer 3"
    );
    let mut sent = 0;
    for order in bench.taken() {
        if let Output::Send { bytes, .. } = order {
            sent += bytes.len();
        }
    }
    let all = |counted: super::super::Counted| {
        counted.blocks + counted.transactions + counted.history + counted.other
    };
    let counted = all(after.sent) - all(before.sent);
    assert_eq!(counted, u64::try_from(sent).unwrap());
}
