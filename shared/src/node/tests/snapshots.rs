use super::*;
use crate::{
    ids::Height,
    message::SNAPSHOT_PART_BYTES,
    node::{MiningWhen, limits},
    snapshot::Snapshot,
};

const RECENT: Keep = Keep::Recent {
    blocks: limits::KEEP_BLOCKS_MIN,
};

fn stored(bench: &Bench, prefix: &str) -> usize {
    bench
        .disk
        .keys()
        .filter(|key| key.starts_with(prefix))
        .count()
}

/// The tracker confirmed a chain up to a height.
fn confirm(bench: &mut Bench, chain: &Chain, height: u32) {
    let tip = Some((Height(height), chain.hash_at(Height(height)).unwrap()));
    bench.give(Input::TrackerConnected { tip });
}

/// A machine that keeps recent bodies only, on the disk of one that held all of a chain.
fn recent(seed: u8, chain: &Chain) -> Bench {
    let disk = Bench::holding(seed, chain).disk;
    let mut bench = Bench::keeping(RECENT, seed, chain.tip().timestamp, disk);
    bench.pass(3_000);
    bench
}

/// A machine that pruned a chain of 600 blocks, final and confirmed to 580.
fn pruned(chain: &Chain) -> Bench {
    let mut bench = recent(1, chain);
    confirm(&mut bench, chain, 580);
    finalise(&mut bench, chain, 580);
    assert_eq!(bench.node.status().bodies_from, Height(537));
    bench
}

/// A newcomer that knows what is final and nothing else.
fn newcomer(seed: u8, keep: Keep, chain: &Chain, height: u32) -> Bench {
    let checkpoint = final_block(chain, height).encode();
    let disk = BTreeMap::from([("final".to_string(), checkpoint)]);
    Bench::keeping(keep, seed, chain.tip().timestamp, disk)
}

#[test]
fn old_bodies_go_and_a_restart_comes_to_the_same_tip() {
    let chain = grown(600, 3);
    let bench = pruned(&chain);
    assert_eq!(stored(&bench, "block/"), 600 - 536);
    assert_eq!(
        (stored(&bench, "headers/"), stored(&bench, "snapshot/")),
        (2, 1)
    );
    let mut bench = Bench::keeping(RECENT, 1, bench.now, bench.disk);
    let status = bench.node.status();
    assert_eq!(
        (status.tip, status.bodies_from),
        (chain.tip().hash, Height(537))
    );
    assert_eq!(bench.node.chain().state_root(), chain.state_root());
    assert!(
        !bench
            .events()
            .iter()
            .any(|event| matches!(event, Event::StorageDamaged { .. }))
    );
    bench.pass(3_000);
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    bench.mine();
    assert_eq!(bench.node.status().height, Height(601));
    let headers = bench.node.chain().headers_after(&[], 2_000);
    assert_eq!(headers.len(), 601, "all headers are here");
}

#[test]
fn what_is_not_final_or_not_confirmed_or_recent_is_never_dropped() {
    let chain = grown(600, 3);
    let mut bench = recent(1, &chain);
    assert_eq!(bench.node.status().bodies_from, Height(1));
    finalise(&mut bench, &chain, 200);
    assert_eq!(bench.node.status().bodies_from, Height(1), "not confirmed");
    confirm(&mut bench, &chain, 150);
    assert_eq!(bench.node.status().bodies_from, Height(151));
    confirm(&mut bench, &chain, 600);
    assert_eq!(bench.node.status().bodies_from, Height(151), "not final");
    finalise(&mut bench, &chain, 600);
    assert_eq!(bench.node.status().bodies_from, Height(537), "recent");
    let mut archive = Bench::holding(2, &chain);
    archive.pass(3_000);
    confirm(&mut archive, &chain, 600);
    finalise(&mut archive, &chain, 600);
    assert_eq!(archive.node.status().bodies_from, Height(1));
}

#[test]
fn pruning_interrupted_after_any_change_of_the_store_restarts_to_the_same_tip() {
    let chain = grown(700, 3);
    let mut bench = recent(1, &chain);
    let mut disk = bench.disk.clone();
    bench.taken();
    confirm(&mut bench, &chain, 700);
    finalise(&mut bench, &chain, 300);
    finalise(&mut bench, &chain, 690);
    let mut batches = 0;
    for order in bench.taken() {
        let Output::Persist { records } = order else {
            continue;
        };
        assert!(records.len() <= limits::PRUNE_BATCH);
        for change in records {
            match change.value {
                Some(value) => _ = disk.insert(change.key, value),
                None => _ = disk.remove(&change.key),
            }
        }
        batches += 1;
        let mut restarted = Bench::keeping(RECENT, 1, bench.now, disk.clone());
        let damaged = restarted.events();
        assert!(
            !damaged
                .iter()
                .any(|event| matches!(event, Event::StorageDamaged { .. })),
            "after {batches} changes: {damaged:?}"
        );
        restarted.pass(3_000);
        assert_eq!(restarted.node.status().tip, chain.tip().hash);
        assert_eq!(restarted.node.chain().state_root(), chain.state_root());
        let from = restarted.node.status().bodies_from.0 as usize;
        assert_eq!(
            stored(&restarted, "block/"),
            701 - from,
            "surplus is deleted"
        );
    }
    assert!(batches > 8, "{batches}");
    assert_eq!(disk, bench.disk);
}

#[test]
fn a_newcomer_with_a_checkpoint_is_usable_at_once_and_fills_in_the_rest_behind() {
    let chain = grown(700, 3);
    let mut net = Net::new(vec![
        Bench::holding(1, &chain),
        newcomer(2, Keep::Archive, &chain, 650),
    ]);
    finalise(&mut net.benches[0], &chain, 650);
    net.link(0, 1);
    net.run(1_000);
    let status = net.benches[1].node.status();
    assert_eq!(status.tip, chain.tip().hash);
    assert_eq!(net.benches[1].node.chain().state_root(), chain.state_root());
    let events = net.benches[1].events();
    assert!(
        events.iter().any(|event| matches!(
            event,
            Event::SnapshotTaken {
                height: Height(650),
                senders: 1
            }
        )),
        "{events:?}"
    );
    net.run(10_000);
    let bench = &net.benches[1];
    assert_eq!(bench.node.status().bodies_from, Height(1));
    assert_eq!(stored(bench, "block/"), 700);
    assert_eq!(
        (stored(bench, "headers/"), stored(bench, "snapshot/")),
        (0, 0)
    );
    assert_eq!(
        bench
            .node
            .chain()
            .contains_transaction(&transaction(3, 7, "grown").id()),
        Some(Height(8))
    );
    let bench = net.benches.remove(1).restart(2);
    assert_eq!(bench.node.status().tip, chain.tip().hash);
}

#[test]
fn a_fill_interrupted_at_any_time_goes_on_after_a_restart() {
    let chain = grown(400, 3);
    let mut bench = newcomer(2, Keep::Archive, &chain, 380);
    for round in 0..12 {
        let mut net = Net::new(vec![Bench::holding(1, &chain), bench]);
        finalise(&mut net.benches[0], &chain, 380);
        net.link(0, 1);
        net.run(100 + 60 * round);
        bench = net.benches.remove(1).restart(2);
        assert!(
            !bench
                .events()
                .iter()
                .any(|event| matches!(event, Event::StorageDamaged { .. }))
        );
    }
    assert_eq!(bench.node.status().tip, chain.tip().hash);
    assert_eq!(bench.node.status().bodies_from, Height(1));
}

#[test]
fn a_newcomer_that_keeps_recent_blocks_syncs_from_a_pruned_peer() {
    let chain = grown(600, 3);
    let mut net = Net::new(vec![pruned(&chain), newcomer(2, RECENT, &chain, 580)]);
    net.benches[1].now = net.benches[0].now;
    net.link(0, 1);
    net.run(3_000);
    let status = net.benches[1].node.status();
    assert_eq!(
        (status.tip, status.bodies_from),
        (chain.tip().hash, Height(581))
    );
    net.benches[0].give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    net.run(4_000);
    net.benches[0].mine();
    net.run(100);
    assert_eq!(net.benches[1].node.status().height, Height(601));
}

#[test]
fn without_a_final_block_bodies_are_asked_of_those_who_have_them_and_no_snapshot() {
    let chain = grown(600, 3);
    let mut holder = Bench::holding(3, &chain);
    finalise(&mut holder, &chain, 580);
    let newcomer = Bench::restored(2, chain.tip().timestamp, BTreeMap::new());
    let mut net = Net::new(vec![pruned(&chain), newcomer, holder]);
    for bench in &mut net.benches {
        bench.now = chain.tip().timestamp.plus_ms(3_000);
    }
    net.link(0, 1);
    net.run(3_000);
    assert_eq!(net.benches[1].node.status().height, Height(0));
    assert_eq!(net.benches[1].node.status().best_height, Height(600));
    net.link(1, 2);
    net.run(5_000);
    assert_eq!(net.benches[1].node.status().tip, chain.tip().hash);
    assert_eq!(net.benches[1].node.status().bodies_from, Height(1));
}

/// A newcomer that asked a peer for a snapshot; what an honest one would answer.
fn asked() -> (Bench, Chain, Snapshot) {
    let chain = grown(400, 3);
    let mut bench = newcomer(4, Keep::Archive, &chain, 390);
    let mut holder = Bench::holding(1, &chain);
    holder.give(Input::PeerConnected { peer: peer(9) });
    let status = holder.sent().remove(0).1;
    bench.give(Input::PeerConnected { peer: peer(1) });
    bench.receive(peer(1), &status);
    let headers = chain
        .headers_after(&[], 2_000)
        .iter()
        .map(|header| Bytes(header.encode().to_vec()))
        .collect();
    bench.receive(peer(1), &Message::Headers { headers });
    let hash = chain.hash_at(Height(390)).unwrap();
    let asked = Message::GetSnapshot { hash, part: 0 };
    assert!(bench.sent().contains(&(peer(1), asked)));
    let snapshot = chain.snapshot_at(Height(390)).unwrap();
    (bench, chain, snapshot)
}

fn answer(bench: &mut Bench, hash: Hash, parts: u32, bytes: Vec<u8>) -> Result<(), NodeError> {
    let message = Message::Snapshot {
        hash,
        part: 0,
        parts,
        bytes: Bytes(bytes),
    };
    bench.try_give(Input::MessageReceived {
        peer: peer(1),
        bytes: message.encode(),
    })
}

#[test]
fn a_lying_snapshot_is_refused_and_its_peer_banned() {
    let honest = asked().2.encode().unwrap();
    let last = honest.len() - 1;
    // The state, the active time, the work, the header, a cut.
    let changed = |index: usize| {
        let mut bytes = honest.clone();
        bytes[index] ^= 1;
        bytes
    };
    let lies = [
        changed(last),
        changed(116 + 7),
        changed(116 + 8 + 31),
        changed(6),
        honest[..last].to_vec(),
    ];
    for bytes in lies {
        let (mut bench, chain, _) = asked();
        let refused = answer(&mut bench, chain.hash_at(Height(390)).unwrap(), 1, bytes);
        assert!(
            matches!(refused, Err(NodeError::Blamed { .. })),
            "{refused:?}"
        );
        assert_eq!(bench.node.status().height, Height(0));
        assert_eq!(bench.node.peers().count(), 0);
        assert_eq!(stored(&bench, "snapshot/"), 0);
    }
    let (mut bench, chain, _) = asked();
    answer(&mut bench, chain.hash_at(Height(390)).unwrap(), 1, honest).unwrap();
    assert_eq!(bench.node.status().height, Height(390));
}

/// A true snapshot of a lower block would do no harm, but another for every block would keep the bodies away for ever.
#[test]
fn another_block_s_true_snapshot_is_not_what_was_asked_for() {
    let (mut bench, chain, _) = asked();
    let lower = chain.snapshot_at(Height(300)).unwrap().encode().unwrap();
    let refused = answer(&mut bench, chain.hash_at(Height(390)).unwrap(), 1, lower);
    assert!(
        matches!(refused, Err(NodeError::Blamed { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.node.status().height, Height(0));
}

#[test]
fn parts_of_a_wrong_length_or_number_are_blamed_and_late_ones_ignored() {
    for (parts, length) in [(2, 100), (3, SNAPSHOT_PART_BYTES - 1)] {
        let (mut bench, chain, _) = asked();
        let hash = chain.hash_at(Height(390)).unwrap();
        let refused = answer(&mut bench, hash, parts, vec![0; length]);
        assert!(matches!(refused, Err(NodeError::Blamed { .. })));
    }
    let (mut bench, chain, snapshot) = asked();
    let hash = chain.hash_at(Height(390)).unwrap();
    answer(&mut bench, hash, 2, vec![0; SNAPSHOT_PART_BYTES]).unwrap();
    let refused = answer(&mut bench, hash, 3, vec![0; SNAPSHOT_PART_BYTES]);
    assert!(
        matches!(refused, Err(NodeError::Blamed { .. })),
        "other number"
    );
    let (mut bench, ..) = asked();
    answer(&mut bench, Hash([1; 32]), 1, snapshot.encode().unwrap()).unwrap();
    assert_eq!(bench.node.peers().count(), 1);
}

#[test]
fn a_peer_that_never_answers_loses_the_request_and_bodies_come_instead() {
    let (mut bench, chain, _) = asked();
    bench.pass(limits::SNAPSHOT_STALL_MS);
    let sent = bench.sent();
    let first = chain.hash_at(Height(1)).unwrap();
    assert!(
        sent.iter().any(|(_, message)| matches!(message, Message::GetBlocks { hashes } if hashes.contains(&first))),
        "{sent:?}"
    );
}

#[test]
fn a_state_of_many_senders_travels_in_parts() {
    let mut state = crate::state::SparseMap::new();
    for number in 0..20_000_u32 {
        let mut key = [0; 32];
        key[..4].copy_from_slice(&number.to_be_bytes());
        state.set(&PublicKey(key), Sequence(1));
    }
    let header = grown(1, 3).block_at(Height(1)).unwrap().header().clone();
    let header = crate::header::Header {
        state_root: state.root(),
        ..header
    };
    let snapshot = Snapshot::new(header, 0, crate::ids::Work::ZERO, state);
    let bytes = snapshot.encode().unwrap();
    assert_eq!(bytes.chunks(SNAPSHOT_PART_BYTES).len(), 4);
    let mut whole = Vec::new();
    for part in bytes.chunks(SNAPSHOT_PART_BYTES) {
        let message = Message::Snapshot {
            hash: Hash::ZERO,
            part: 0,
            parts: 4,
            bytes: Bytes(part.to_vec()),
        };
        let Ok(Message::Snapshot { bytes, .. }) = Message::decode(&message.encode()) else {
            panic!("a part is a message")
        };
        whole.extend(bytes.0);
    }
    assert_eq!(Snapshot::decode(&whole).unwrap(), snapshot);
}

#[test]
fn an_own_transaction_below_a_snapshot_waits_for_its_body_and_is_no_conflict() {
    let mut chain = grown(150, 3);
    let own = transaction(2, 0, "sent before the store was lost");
    extend(&mut chain, 5, vec![own.clone()]);
    for _ in 0..151 {
        extend(&mut chain, 5, Vec::new());
    }
    let mut bench = newcomer(2, Keep::Archive, &chain, 300);
    bench
        .disk
        .insert(alloc::format!("outbox/{}", own.id()), own.encode());
    let bench = bench.restart(2);
    let mut net = Net::new(vec![Bench::holding(1, &chain), bench]);
    finalise(&mut net.benches[0], &chain, 300);
    net.link(0, 1);
    net.run(200);
    assert_eq!(net.benches[1].node.status().height, chain.tip().height);
    assert!(
        net.benches[1].node.outbox().contains(&own.id()),
        "undecided"
    );
    net.run(10_000);
    let bench = &mut net.benches[1];
    assert_eq!(bench.node.status().bodies_from, Height(1));
    assert!(bench.node.outbox().is_empty());
    assert_eq!(bench.node.conflicts().count(), 0);
    let confirmed = Event::TransactionConfirmed {
        id: own.id(),
        height: Height(151),
    };
    assert!(bench.events().contains(&confirmed));
}
