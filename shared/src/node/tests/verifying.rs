use super::{
    super::{VerifyId, limits},
    *,
};
use crate::message::Bytes;

/// Blocks long enough to be shared, and a newcomer that asked one peer for all of them.
fn asking(helpers: u8) -> (Chain, Bench) {
    let chain = grown(40, 3);
    let (now, disk) = (chain.tip().timestamp, BTreeMap::new());
    let mut bench = Bench::started(Keep::Archive, helpers, 4, now, disk);
    let mut holder = Bench::holding(1, &chain);
    holder.give(Input::PeerConnected { peer: peer(9) });
    let status = holder.sent().remove(0).1;
    bench.give(Input::PeerConnected { peer: peer(1) });
    bench.receive(peer(1), &status);
    let headers = chain.headers_after(&[], 2_000);
    let headers = headers.iter().map(|header| Bytes(header.encode().to_vec()));
    let headers = headers.collect();
    bench.receive(peer(1), &Message::Headers { headers });
    bench.taken();
    (chain, bench)
}

fn bodies(chain: &Chain, heights: core::ops::RangeInclusive<u32>) -> Vec<Bytes> {
    let block = |height| chain.block_at(crate::ids::Height(height)).unwrap();
    heights
        .map(|height| Bytes(block(height).encode()))
        .collect()
}

/// Bodies asked for, enough to be worth sharing.
fn some_bodies(chain: &Chain) -> Vec<Bytes> {
    let blocks = bodies(chain, 1..=16);
    let bytes: usize = blocks.iter().map(|block| block.0.len()).sum();
    assert!(bytes >= limits::SHARED_BYTES_MIN, "{bytes} are not shared");
    blocks
}

fn jobs(bench: &mut Bench) -> Vec<(VerifyId, Vec<Vec<u8>>)> {
    let job = |order| {
        if let Output::Verify { job, blocks } = order {
            Some((job, blocks))
        } else {
            None
        }
    };
    bench.taken().into_iter().filter_map(job).collect()
}

#[test]
fn helpers_get_equal_parts_and_the_chain_is_whole_when_they_answered() {
    let (chain, mut bench) = asking(2);
    let blocks = some_bodies(&chain);
    bench.receive(peer(1), &Message::Blocks { blocks });
    let jobs = jobs(&mut bench);
    let parts: Vec<usize> = jobs.iter().map(|(_, blocks)| blocks.len()).collect();
    assert_eq!(parts, [6, 6]);
    assert_eq!(bench.node.status().height.0, 4, "its own part");
    for (job, blocks) in jobs.into_iter().rev() {
        let valid = alloc::vec![true; blocks.len()];
        bench.give(Input::Verified { job, valid });
    }
    assert_eq!(bench.node.status().height.0, 16);
}

#[test]
fn without_helpers_or_below_what_is_worth_it_nothing_is_shared() {
    let (chain, mut alone) = asking(0);
    let blocks = some_bodies(&chain);
    alone.receive(peer(1), &Message::Blocks { blocks });
    assert_eq!(alone.node.status().height.0, 16);
    assert!(jobs(&mut alone).is_empty());

    let (chain, mut bench) = asking(1);
    let blocks = bodies(&chain, 1..=1);
    bench.receive(peer(1), &Message::Blocks { blocks });
    assert!(jobs(&mut bench).is_empty());
}

#[test]
fn what_a_helper_does_not_answer_for_is_verified_here_and_asked_of_nobody_else() {
    for answers in [false, true] {
        let (chain, mut bench) = asking(1);
        let blocks = some_bodies(&chain);
        bench.receive(peer(1), &Message::Blocks { blocks });
        let (job, _) = jobs(&mut bench).remove(0);
        if answers {
            // The helper failed.
            bench.give(Input::Verified {
                job,
                valid: Vec::new(),
            });
        } else {
            bench.pass(limits::VERIFYING_MS);
        }
        assert_eq!(bench.node.status().height.0, 16);
        let blocks = bodies(&chain, 17..=32);
        bench.receive(peer(1), &Message::Blocks { blocks });
        assert!(jobs(&mut bench).is_empty(), "there is no helper any more");
        assert_eq!(bench.node.status().height.0, 32);
    }
}

#[test]
fn a_block_that_a_helper_finds_invalid_is_judged_again_and_its_sender_blamed() {
    let (chain, mut bench) = asking(1);
    let mut blocks = some_bodies(&chain);
    // A bit of the last signature.
    *blocks[15].0.last_mut().unwrap() ^= 1;
    bench.receive(peer(1), &Message::Blocks { blocks });
    let (job, shared) = jobs(&mut bench).remove(0);
    let mut valid = alloc::vec![true; shared.len()];
    *valid.last_mut().unwrap() = false;
    let result = bench.try_give(Input::Verified { job, valid });
    assert!(matches!(result, Err(NodeError::Blamed { peer: blamed, .. }) if blamed == peer(1)));
    assert_eq!(bench.node.status().height.0, 15);
    assert_eq!(bench.node.peers().count(), 0);
}

#[test]
fn an_answer_to_no_job_changes_nothing() {
    let (_, mut bench) = asking(1);
    let valid = alloc::vec![true; 3];
    bench.give(Input::Verified {
        job: VerifyId(9),
        valid,
    });
    assert_eq!(bench.node.status().height.0, 0);
}
