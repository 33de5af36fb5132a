use super::*;
use crate::{ids::Height, node::MiningWhen};

#[test]
fn mining_starts_with_something_pending_and_stops_when_it_is_confirmed() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::MiningSet {
        when: MiningWhen::WhenPending,
    });
    assert!(bench.job.is_none());
    bench.submit("hello");
    bench.mine();
    assert!(bench.job.is_none());
    assert_eq!(bench.node.status().height, Height(1));
    assert_eq!(
        (bench.node.status().pending, bench.node.status().outbox),
        (0, 0)
    );
}

#[test]
fn mined_block_is_durable_before_it_is_sent() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    bench.taken();
    bench.mine();
    let orders = bench.taken();
    let persisted = orders.iter().position(|order| {
        matches!(order, Output::Persist { records } if records.iter().any(|change| change.key.starts_with("block/")))
    });
    let is_block = |bytes: &[u8]| matches!(Message::decode(bytes), Ok(Message::NewBlock { .. }));
    let sent = orders
        .iter()
        .position(|order| matches!(order, Output::Send { bytes, .. } if is_block(bytes)));
    assert!(persisted.unwrap() < sent.unwrap());
}

#[test]
fn better_tip_stops_the_job_at_once_and_brings_another() {
    let chain = grown(1, 3);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    let before = bench.job.clone().unwrap();
    bench.taken();
    bench.give(Input::BlockOffered {
        bytes: chain.block_at(Height(1)).unwrap().encode(),
    });
    let orders = bench.taken();
    let stop = orders
        .iter()
        .position(|order| matches!(order, Output::StopMining))
        .unwrap();
    let mine = orders
        .iter()
        .position(|order| matches!(order, Output::Mine { .. }))
        .unwrap();
    assert!(stop < mine);
    assert_eq!(
        bench.job.as_ref().unwrap().header.previous,
        chain.tip().hash
    );
    assert!(bench.job.unwrap().id > before.id);
}

#[test]
fn job_is_renewed_as_time_passes_and_when_it_is_exhausted() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    let first = bench.job.clone().unwrap();
    bench.pass(super::super::limits::JOB_MS);
    let second = bench.job.clone().unwrap();
    assert!(second.header.timestamp > first.header.timestamp);
    bench.give(Input::JobExhausted { job: second.id });
    bench.pass(5);
    assert!(bench.job.unwrap().header.timestamp > second.header.timestamp);
}

#[test]
fn late_block_gets_an_easier_target() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    let first = bench.job.clone().unwrap();
    bench.pass(12 * INTERVAL_MS);
    assert!(bench.job.unwrap().target > first.target);
}

#[test]
fn many_new_transactions_do_not_restart_the_workers_each_time() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::MiningSet {
        when: MiningWhen::WhenPending,
    });
    bench.give(Input::PeerConnected { peer: peer(2) });
    for sequence in 0..20 {
        bench.receive(
            peer(2),
            &Message::Transactions {
                transactions: vec![Bytes(transaction(3, sequence, "x").encode())],
            },
        );
        bench.pass(10);
    }
    let jobs = bench
        .taken()
        .iter()
        .filter(|order| matches!(order, Output::Mine { .. }))
        .count();
    assert_eq!(jobs, 1);
    bench.pass(super::super::limits::JOB_CHANGE_MS);
    bench.mine();
    assert_eq!(
        bench
            .node
            .chain()
            .block_at(Height(1))
            .unwrap()
            .transactions()
            .len(),
        20
    );
}

#[test]
fn nothing_is_mined_before_the_first_sync_had_its_chance() {
    let chain = grown(30, 3);
    let mut newcomer = Bench::restored(2, chain.tip().timestamp, BTreeMap::new());
    newcomer.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    assert!(newcomer.job.is_none());
    let mut net = Net::new(vec![Bench::holding(1, &chain), newcomer]);
    net.link(0, 1);
    net.run(2_000);
    let job = net.benches[1].job.clone().unwrap();
    assert_eq!(job.header.previous, chain.tip().hash);
    let mined = net.benches[1].taken();
    assert!(mined.iter().all(
        |order| !matches!(order, Output::Mine { job } if job.header.previous != chain.tip().hash)
    ));
}

#[test]
fn lone_node_waits_for_peers_while_the_tracker_is_ahead() {
    let mut bench = Bench::restored(1, BIRTH, BTreeMap::new());
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    bench.give(Input::TrackerConnected {
        tip: Some((Height(5), Hash([7; 32]))),
    });
    bench.pass(10_000);
    assert!(bench.job.is_none());
    bench.pass(10_000);
    assert!(bench.job.is_some());
}

#[test]
fn silent_peer_does_not_keep_a_node_from_mining() {
    let mut bench = Bench::restored(1, BIRTH, BTreeMap::new());
    bench.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.pass(super::super::limits::SYNC_STALL_MS);
    assert!(bench.job.is_some());
}

#[test]
fn equal_tips_are_decided_although_nothing_is_pending() {
    let (mut left, mut right) = (grown(2, 3), grown(2, 3));
    extend(&mut left, 5, Vec::new());
    extend(&mut right, 6, Vec::new());
    let mut net = Net::new(vec![Bench::holding(1, &left), Bench::holding(2, &right)]);
    for bench in &mut net.benches {
        bench.give(Input::MiningSet {
            when: MiningWhen::WhenPending,
        });
    }
    net.link(0, 1);
    net.run(5_000);
    net.benches[0].mine();
    net.run(5_000);
    assert_eq!(
        net.benches[0].node.status().tip,
        net.benches[1].node.status().tip
    );
    assert!(net.benches.iter().all(|bench| bench.job.is_none()));
}
