use super::*;
use crate::{ids::Height, node::MiningWhen};

/// Heights of the blocks in each report ordered so far.
fn reports(bench: &mut Bench) -> Vec<Vec<u32>> {
    let heights = |order| {
        let Output::Report { blocks } = order else {
            return None;
        };
        Some(
            blocks
                .iter()
                .map(|block: &Block| block.header().height.0)
                .collect(),
        )
    };
    bench.taken().into_iter().filter_map(heights).collect()
}

fn reporting(chain: &Chain, tip: Option<Height>) -> Bench {
    let mut bench = Bench::holding(1, chain);
    bench.pass(3_000);
    bench.taken();
    let tip = tip.map(|height| (height, chain.hash_at(height).unwrap()));
    bench.give(Input::TrackerConnected { tip });
    bench
}

fn confirm(bench: &mut Bench, chain: &Chain, height: u32) {
    let hash = chain.hash_at(Height(height)).unwrap();
    bench.give(Input::ReportConfirmed {
        height: Height(height),
        hash,
    });
}

#[test]
fn everything_is_reported_oldest_first_fifty_at_a_time_one_in_flight() {
    let chain = grown(120, 3);
    let mut bench = reporting(&chain, None);
    assert_eq!(reports(&mut bench), [(1..=50).collect::<Vec<_>>()]);
    bench.pass(1_000);
    assert!(reports(&mut bench).is_empty());
    confirm(&mut bench, &chain, 50);
    assert_eq!(
        bench.node.status().synced,
        Some((Height(50), chain.hash_at(Height(50)).unwrap()))
    );
    assert_eq!(reports(&mut bench), [(51..=100).collect::<Vec<_>>()]);
    confirm(&mut bench, &chain, 100);
    confirm(&mut bench, &chain, 120);
    assert_eq!(reports(&mut bench), [(101..=120).collect::<Vec<_>>()]);
    assert!(bench.disk.contains_key("synced"));
}

#[test]
fn report_starts_above_what_the_tracker_holds() {
    let chain = grown(10, 3);
    let mut bench = reporting(&chain, Some(Height(7)));
    assert_eq!(reports(&mut bench), [vec![8, 9, 10]]);
}

#[test]
fn failed_report_is_repeated_after_a_growing_pause() {
    let chain = grown(3, 3);
    let mut bench = reporting(&chain, Some(Height(2)));
    assert_eq!(reports(&mut bench), [vec![3]]);
    bench.give(Input::ReportFailed);
    assert!(reports(&mut bench).is_empty());
    bench.pass(super::super::limits::REPORT_RETRY_MS);
    assert_eq!(
        reports(&mut bench),
        [vec![1, 2, 3]],
        "the second try starts further back"
    );
    bench.give(Input::ReportFailed);
    bench.pass(super::super::limits::REPORT_RETRY_MS);
    assert!(reports(&mut bench).is_empty());
    bench.pass(super::super::limits::REPORT_RETRY_MS);
    assert_eq!(reports(&mut bench), [vec![3]]);
    assert_eq!(
        bench.node.status().synced.map(|(height, _)| height),
        Some(Height(2)),
        "only what was confirmed"
    );
}

#[test]
fn unanswered_report_is_repeated() {
    let chain = grown(1, 3);
    let mut bench = reporting(&chain, None);
    reports(&mut bench);
    bench.pass(super::super::limits::REPORT_TIMEOUT_MS + super::super::limits::REPORT_RETRY_MS);
    assert_eq!(reports(&mut bench), [vec![1]]);
}

#[test]
fn what_happened_without_the_tracker_is_reported_when_it_returns() {
    let mut chain = grown(3, 3);
    let mut bench = reporting(&chain, Some(Height(3)));
    bench.give(Input::TrackerLost);
    bench.now = chain.tip().timestamp.plus_ms(2 * INTERVAL_MS);
    for _ in 0..2 {
        let block = extend(&mut chain, 5, Vec::new());
        bench.give(Input::BlockOffered {
            bytes: block.encode(),
        });
    }
    bench.pass(10_000);
    assert!(reports(&mut bench).is_empty());
    bench.give(Input::TrackerConnected {
        tip: Some((Height(3), chain.hash_at(Height(3)).unwrap())),
    });
    assert_eq!(reports(&mut bench), [vec![4, 5]]);
}

#[test]
fn after_a_reorganisation_the_new_branch_is_reported() {
    let base = grown(3, 3);
    let (mut short, mut long) = (base.clone(), base.clone());
    extend(&mut short, 5, Vec::new());
    extend(&mut long, 6, Vec::new());
    extend(&mut long, 6, Vec::new());
    let mut bench = reporting(&short, Some(Height(4)));
    bench.now = long.tip().timestamp;
    for height in [4, 5] {
        bench.give(Input::BlockOffered {
            bytes: long.block_at(Height(height)).unwrap().encode(),
        });
    }
    bench.pass(4_000);
    assert_eq!(reports(&mut bench), [vec![4, 5]]);
}

#[test]
fn miner_reports_at_once_and_others_leave_it_the_time() {
    let mut miner = reporting(&grown(1, 3), Some(Height(1)));
    miner.give(Input::MiningSet {
        when: MiningWhen::Always,
    });
    miner.mine();
    assert_eq!(reports(&mut miner), [vec![2]]);
    let block = miner.node.chain().block_at(Height(2)).unwrap().clone();
    let mut other = reporting(&grown(1, 3), Some(Height(1)));
    other.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    other.pass(900);
    other.give(Input::TrackerConnected {
        tip: Some((Height(2), block.hash())),
    });
    other.pass(60_000);
    assert!(reports(&mut other).is_empty());
    assert_eq!(other.node.status().synced, Some((Height(2), block.hash())));
}

#[test]
fn tracker_that_is_ahead_is_not_told_the_whole_chain_again() {
    let chain = grown(60, 3);
    let mut bench = reporting(&chain, Some(Height(60)));
    bench.give(Input::TrackerConnected {
        tip: Some((Height(61), Hash([7; 32]))),
    });
    bench.pass(60_000);
    assert!(reports(&mut bench).is_empty());
}

#[test]
fn a_block_that_the_tracker_told_of_counts_as_synced_once_a_peer_brings_it() {
    let mut chain = grown(3, 3);
    let mut bench = reporting(&chain, Some(Height(3)));
    let block = extend(&mut chain, 5, Vec::new());
    let told = (Height(4), block.hash());
    bench.give(Input::TrackerConnected { tip: Some(told) });
    assert_eq!(
        bench.node.status().synced.map(|(height, _)| height),
        Some(Height(3))
    );
    bench.give(Input::BlockOffered {
        bytes: block.encode(),
    });
    assert_eq!(bench.node.status().synced, Some(told));
    assert!(reports(&mut bench).is_empty());
}

#[test]
fn tracker_on_another_branch_of_equal_work_is_told_once() {
    let base = grown(3, 3);
    let (mut ours, mut theirs) = (base.clone(), base.clone());
    extend(&mut ours, 5, Vec::new());
    let other = extend(&mut theirs, 6, Vec::new());
    for is_known in [true, false] {
        let mut bench = reporting(&ours, Some(Height(3)));
        if is_known {
            bench.give(Input::BlockOffered {
                bytes: other.encode(),
            });
        }
        assert_eq!(reports(&mut bench), [vec![4]]);
        bench.give(Input::ReportConfirmed {
            height: Height(4),
            hash: other.hash(),
        });
        bench.pass(120_000);
        assert!(reports(&mut bench).is_empty());
        assert_eq!(
            bench.node.status().synced.map(|(height, _)| height),
            Some(Height(3))
        );
    }
}
