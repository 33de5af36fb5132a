use super::*;
use crate::{
    ids::Height,
    node::{Abandoned, MiningWhen, limits},
};

/// Three common blocks, then two of `final_chain` and ten of `heavy`, whose miner is another.
fn forked() -> (Chain, Chain) {
    let (mut final_chain, mut heavy) = (grown(3, 3), grown(3, 3));
    for _ in 0..2 {
        extend(&mut final_chain, 5, Vec::new());
    }
    extend(
        &mut heavy,
        6,
        vec![transaction(1, 0, "only on the heavy branch")],
    );
    for _ in 0..9 {
        extend(&mut heavy, 6, Vec::new());
    }
    (final_chain, heavy)
}

fn abandoned(events: &[Event]) -> Vec<Abandoned> {
    let branch = |event: &Event| {
        if let Event::BranchAbandoned(branch) = event {
            Some(*branch)
        } else {
            None
        }
    };
    events.iter().filter_map(branch).collect()
}

#[test]
fn a_branch_without_the_final_block_is_abandoned_and_its_transactions_wait_again() {
    let (final_chain, heavy) = forked();
    let sent = heavy.block_at(Height(4)).unwrap().transactions()[0].id();
    let mut bench = Bench::holding(1, &heavy);
    offer(&mut bench, &final_chain, 4..=5);
    assert_eq!(bench.node.status().tip, heavy.tip().hash);
    bench.taken();
    finalise(&mut bench, &final_chain, 4);
    assert_eq!(bench.node.status().tip, final_chain.tip().hash);
    let expected = Abandoned {
        from: Height(4),
        to: Height(13),
        tip: heavy.tip().hash,
        final_height: Height(4),
    };
    assert_eq!(abandoned(&bench.events()), [expected]);
    assert!(bench.node.outbox().contains(&sent) && bench.node.mempool().contains(&sent));
    let bench = bench.restart(1);
    let status = bench.node.status();
    assert_eq!(status.tip, final_chain.tip().hash);
    assert_eq!((status.final_height, status.abandoned), (Height(4), 1));
    assert_eq!(bench.node.abandoned().collect::<Vec<_>>(), [&expected]);
    assert!(bench.node.outbox().contains(&sent));
    let stored = bench.disk.keys().filter(|key| key.starts_with("block/"));
    assert_eq!(stored.count(), 5, "the abandoned blocks are deleted");
}

#[test]
fn what_lost_its_place_to_the_final_chain_is_a_visible_conflict() {
    let (mut final_chain, mut own) = (grown(3, 3), grown(3, 3));
    let kept = transaction(1, 0, "kept").id();
    extend(&mut final_chain, 5, vec![transaction(1, 0, "kept")]);
    let lost = transaction(1, 0, "lost").id();
    extend(&mut own, 6, vec![transaction(1, 0, "lost")]);
    extend(&mut own, 6, Vec::new());
    let mut bench = Bench::holding(1, &own);
    finalise(&mut bench, &final_chain, 4);
    assert!(bench.node.outbox().contains(&lost), "not decided yet");
    offer(&mut bench, &final_chain, 4..=4);
    assert_eq!(bench.node.status().tip, final_chain.tip().hash);
    let conflicts: Vec<_> = bench
        .node
        .conflicts()
        .map(|lost| (lost.transaction.id(), lost.kept))
        .collect();
    assert_eq!(conflicts, [(lost, Some(kept))]);
}

#[test]
fn a_final_block_that_is_not_here_cuts_the_chain_below_it_until_it_comes() {
    let (final_chain, heavy) = forked();
    let mut bench = Bench::holding(1, &heavy);
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    bench.pass(3_000);
    assert!(bench.job.is_some());
    finalise(&mut bench, &final_chain, 5);
    let status = bench.node.status();
    assert_eq!((status.height, status.final_height), (Height(4), Height(5)));
    assert!(status.syncing && bench.job.is_none(), "not mined in vain");
    let mut bench = bench.restart(1);
    assert_eq!(bench.node.status().height, Height(4));
    offer(&mut bench, &final_chain, 4..=5);
    let status = bench.node.status();
    assert_eq!(status.tip, final_chain.tip().hash);
    assert_eq!(status.abandoned, 2, "what was above, and what was below");
    bench.pass(3_000);
    assert!(!bench.node.status().syncing);
}

#[test]
fn a_far_heavier_branch_without_the_final_block_is_refused_and_nobody_blamed() {
    let (final_chain, heavy) = forked();
    let mut bench = Bench::holding(1, &final_chain);
    bench.now = heavy.tip().timestamp;
    finalise(&mut bench, &final_chain, 4);
    bench.taken();
    bench.give(Input::PeerConnected { peer: peer(2) });
    for height in 4..=13 {
        bench.receive(
            peer(2),
            &Message::NewBlock {
                block: Bytes(heavy.block_at(Height(height)).unwrap().encode()),
            },
        );
    }
    let headers = heavy.headers_after(&[], 2_000);
    let headers = headers
        .iter()
        .map(|header| Bytes(header.encode().to_vec()))
        .collect();
    bench.receive(peer(2), &Message::Headers { headers });
    assert_eq!(bench.node.status().tip, final_chain.tip().hash);
    assert_eq!(bench.node.peers().count(), 1);
    let told: Vec<Event> = bench
        .events()
        .into_iter()
        .filter(|event| matches!(event, Event::PeerBesideFinal { .. }))
        .collect();
    let height = Height(4);
    assert_eq!(
        told,
        [Event::PeerBesideFinal {
            peer: peer(2),
            height
        }]
    );
    let stored = bench.disk.keys().filter(|key| key.starts_with("block/"));
    assert_eq!(stored.count(), 5);
}

#[test]
fn an_invalid_header_beside_the_final_block_is_blamed_all_the_same() {
    let (final_chain, heavy) = forked();
    let mut bench = Bench::holding(1, &final_chain);
    finalise(&mut bench, &final_chain, 5);
    bench.give(Input::PeerConnected { peer: peer(2) });
    let mut header = heavy.block_at(Height(4)).unwrap().header().clone();
    header.target = Target::for_hashes(2).to_compact();
    header = header.solved(grind(&header, &header.target.target()));
    let bytes = Message::NewHeader {
        header: Bytes(header.encode().to_vec()),
    };
    let refused = bench.try_give(Input::MessageReceived {
        peer: peer(2),
        bytes: bytes.encode(),
    });
    assert!(matches!(refused, Err(NodeError::Blamed { .. })));
}

#[test]
fn finality_never_goes_backwards_and_contradictions_are_told() {
    let (final_chain, heavy) = forked();
    let mut bench = Bench::holding(1, &final_chain);
    finalise(&mut bench, &final_chain, 4);
    bench.taken();
    finalise(&mut bench, &final_chain, 2);
    finalise(&mut bench, &final_chain, 4);
    assert_eq!(bench.events(), [], "no news");
    for height in [4, 5] {
        finalise(&mut bench, &heavy, height);
        let events = bench.events();
        if height == 4 {
            assert!(matches!(events.as_slice(), [Event::FinalityRefused { .. }]));
        }
    }
    let other = final_block(&grown(3, 7), 3);
    bench.give(Input::Finalised { block: other });
    assert!(matches!(
        bench.events().as_slice(),
        [Event::FinalityRefused { .. }]
    ));
}

#[test]
fn blocks_stored_beside_a_final_block_of_another_tab_are_left_behind_at_start() {
    let (final_chain, heavy) = forked();
    let sent = heavy.block_at(Height(4)).unwrap().transactions()[0].id();
    let mut disk = Bench::holding(1, &heavy).disk;
    disk.insert("final".to_string(), final_block(&final_chain, 4).encode());
    let mut bench = Bench::restored(1, heavy.tip().timestamp, disk);
    let events = bench.events();
    assert_eq!(abandoned(&events).len(), 1, "{events:?}");
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::StorageDamaged { .. })),
        "{events:?}"
    );
    assert_eq!(bench.node.status().height, Height(3));
    assert!(bench.node.outbox().contains(&sent));
    let mut again = bench.restart(1);
    let told = again.events();
    assert!(
        matches!(told.as_slice(), [Event::TipChanged { height: Height(3), .. }, Event::TransactionPending { id }] if *id == sent),
        "{told:?}"
    );
    assert_eq!(again.node.status().abandoned, 1);
}

#[test]
fn finality_of_the_branch_that_peers_have_is_synced_to_and_reaches_all() {
    let (final_chain, heavy) = forked();
    let mut benches = vec![Bench::holding(1, &heavy), Bench::holding(2, &final_chain)];
    benches[1].now = benches[0].now;
    finalise(&mut benches[1], &final_chain, 5);
    finalise(&mut benches[0], &final_chain, 5);
    let mut net = Net::new(benches);
    net.link(0, 1);
    net.run(5_000);
    for bench in &net.benches {
        assert_eq!(bench.node.status().tip, final_chain.tip().hash);
        assert_eq!(bench.node.peers().count(), 1);
    }
    let sent = heavy.block_at(Height(4)).unwrap().transactions()[0].id();
    assert!(net.benches[1].node.mempool().contains(&sent), "sent again");
}

#[test]
fn abandoned_branches_are_bounded() {
    let mut chain = grown(1, 3);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    offer(&mut bench, &chain, 1..=1);
    for _ in 0..=limits::ABANDONED_MAX {
        let mut side = chain.clone();
        extend(&mut side, 6, Vec::new());
        let height = side.tip().height.0;
        bench.now = side.tip().timestamp;
        offer(&mut bench, &side, height..=height);
        extend(&mut chain, 5, Vec::new());
        finalise(&mut bench, &chain, height);
        offer(&mut bench, &chain, height..=height);
    }
    assert_eq!(bench.node.status().tip, chain.tip().hash);
    assert_eq!(bench.node.status().abandoned, limits::ABANDONED_MAX);
    let stored = bench
        .disk
        .keys()
        .filter(|key| key.starts_with("abandoned/"));
    assert_eq!(stored.count(), limits::ABANDONED_MAX);
}
