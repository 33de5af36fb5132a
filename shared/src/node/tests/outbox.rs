use super::*;
use crate::{
    ids::Height,
    node::{Conflict, MiningWhen},
};

#[test]
fn submission_and_sequence_are_durable_before_the_first_send() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.taken();
    bench.submit("hello");
    let orders = bench.taken();
    let Some(Output::Persist { records }) = orders.first() else {
        panic!("{orders:?}")
    };
    let keys: Vec<&str> = records.iter().map(|change| change.key.as_str()).collect();
    assert!(
        keys.contains(&"identity/sequence") && keys.iter().any(|key| key.starts_with("outbox/"))
    );
    assert!(
        orders
            .iter()
            .any(|order| matches!(order, Output::Send { .. }))
    );
}

#[test]
fn transaction_reaches_all_and_is_confirmed_for_all() {
    let mut net = Net::new((1..=3).map(|seed| Bench::alone(seed, BIRTH)).collect());
    net.link(0, 1);
    net.link(1, 2);
    net.benches[0].submit("hello");
    net.run(super::super::limits::ANNOUNCE_MS + 200);
    assert_eq!(net.benches[2].node.status().pending, 1);
    net.benches[2].give(Input::MiningSet {
        when: MiningWhen::WhenPending,
    });
    net.benches[2].mine();
    net.run(100);
    for bench in &net.benches {
        assert_eq!(
            (
                bench.node.status().height,
                bench.node.status().pending,
                bench.node.status().outbox
            ),
            (Height(1), 0, 0)
        );
    }
    let events = net.benches[0].events();
    assert!(events.iter().any(|event| matches!(
        event,
        Event::TransactionConfirmed {
            height: Height(1),
            ..
        }
    )));
}

#[test]
fn reorganised_transactions_return_to_the_outbox() {
    let base = grown(2, 3);
    let (mut short, mut long) = (base.clone(), base.clone());
    let taken_back = transaction(4, 0, "mine");
    extend(&mut short, 5, vec![taken_back.clone()]);
    extend(&mut long, 6, Vec::new());
    extend(&mut long, 6, Vec::new());
    let mut bench = Bench::holding(1, &short);
    bench.now = long.tip().timestamp;
    bench.pass(3_000);
    for height in [3, 4] {
        bench.give(Input::BlockOffered {
            bytes: long.block_at(Height(height)).unwrap().encode(),
        });
    }
    assert_eq!(bench.node.status().tip, long.tip().hash);
    assert!(
        bench.node.outbox().contains(&taken_back.id())
            && bench.node.mempool().contains(&taken_back.id())
    );
    let mut restarted = bench.restart(1);
    assert!(restarted.node.outbox().contains(&taken_back.id()));
    restarted.pass(3_000);
    restarted.give(Input::MiningSet {
        when: MiningWhen::WhenPending,
    });
    restarted.mine();
    assert_eq!(
        restarted
            .node
            .chain()
            .contains_transaction(&taken_back.id()),
        Some(Height(5))
    );
}

#[test]
fn second_transaction_for_a_place_is_a_visible_conflict_that_survives_a_restart() {
    let mut chain = Chain::new(genesis());
    let other = transaction(1, 0, "from another copy of this key");
    let block = extend(&mut chain, 5, vec![other.clone()]);
    let mut bench = Bench::alone(1, block.header().timestamp);
    bench.submit("from here");
    let lost = bench.node.outbox().ids().next().unwrap();
    bench.taken();
    bench.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    let sender = other.sender();
    let expected = Conflict {
        sender,
        sequence: Sequence(0),
        kept: Some(other.id()),
        lost,
    };
    assert!(bench.events().contains(&Event::Conflict(expected)));
    assert!(bench.node.outbox().is_empty());
    let restarted = bench.restart(1);
    let shown: Vec<Hash> = restarted
        .node
        .conflicts()
        .map(|lost| lost.transaction.id())
        .collect();
    assert_eq!(shown, [lost]);
}

#[test]
fn next_submission_takes_the_next_sequence_after_a_restart() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.submit("first");
    let mut restarted = bench.restart(1);
    restarted.submit("second");
    let sequences: Vec<u64> = restarted
        .node
        .outbox()
        .iter()
        .map(|transaction| transaction.sequence().0)
        .collect();
    assert_eq!(sequences, [0, 1]);
    assert_eq!(restarted.node.status().pending, 2);
}

#[test]
fn key_without_a_stored_sequence_signs_after_the_first_sync() {
    let chain = grown(5, 1);
    let newcomer = Bench::restored(1, chain.tip().timestamp, BTreeMap::new());
    let mut net = Net::new(vec![Bench::holding(2, &chain), newcomer]);
    net.benches[1].submit("again");
    assert_eq!(net.benches[1].node.status().outbox, 0);
    net.link(0, 1);
    net.run(4_000);
    let submitted = net.benches[1]
        .events()
        .into_iter()
        .find(|event| matches!(event, Event::Submitted { .. }));
    assert!(
        matches!(
            submitted,
            Some(Event::Submitted {
                sequence: Sequence(5),
                ..
            })
        ),
        "{submitted:?}"
    );
}

#[test]
fn more_than_the_quota_waits_in_the_outbox_and_follows() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::MiningSet {
        when: MiningWhen::WhenPending,
    });
    for number in 0..150 {
        bench.submit(&alloc::format!("message {number}"));
    }
    assert_eq!(
        (bench.node.status().pending, bench.node.status().outbox),
        (64, 150)
    );
    for _ in 0..5 {
        bench.pass(1_000);
        if bench.job.is_some() {
            bench.mine();
        }
    }
    assert_eq!(
        (bench.node.status().pending, bench.node.status().outbox),
        (0, 0)
    );
    assert_eq!(
        bench
            .node
            .chain()
            .next_sequence(&Identity::from_seed([1; 32]).public_key()),
        Sequence(150)
    );
}

#[test]
fn message_that_breaks_the_rules_is_refused_with_a_reason() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.taken();
    bench.submit("");
    assert!(matches!(
        bench.events().as_slice(),
        [Event::SubmitRefused { request: 1, .. }]
    ));
}

#[test]
fn offered_transaction_is_pending_passed_on_and_taken_once() {
    let mut sender = Bench::alone(1, BIRTH);
    sender.submit("hello");
    let bytes = sender.node.mempool().iter().next().unwrap().encode();
    let mut bench = Bench::alone(2, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(3) });
    bench.taken();
    let mut forged = bytes.clone();
    *forged.last_mut().unwrap() ^= 1;
    for bytes in [forged, vec![1, 2, 3]] {
        bench.give(Input::TransactionOffered { bytes });
        assert_eq!(bench.node.status().pending, 0);
    }
    for _ in 0..2 {
        bench.give(Input::TransactionOffered {
            bytes: bytes.clone(),
        });
    }
    assert_eq!(bench.node.status().pending, 1);
    let sends = |orders: &[Output]| {
        orders
            .iter()
            .filter(|order| matches!(order, Output::Send { .. }))
            .count()
    };
    assert!(sends(&bench.taken()) > 0);
}

#[test]
fn latecomer_is_given_what_is_pending() {
    let mut net = Net::new((1..=2).map(|seed| Bench::alone(seed, BIRTH)).collect());
    net.benches[0].submit("hello");
    net.run(1_000);
    net.link(0, 1);
    net.run(1_000);
    assert_eq!(net.benches[1].node.status().pending, 1);
}
