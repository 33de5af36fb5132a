use super::{super::limits, *};
use crate::{ids::Height, message::Bytes};

#[test]
fn newcomer_gets_thousands_of_blocks_from_several_peers_although_one_never_answers() {
    let chain = grown(4_500, 3);
    let holders = (1..=3).map(|seed| Bench::holding(seed, &chain));
    let mut benches: Vec<Bench> = holders.collect();
    benches.push(Bench::restored(4, chain.tip().timestamp, BTreeMap::new()));
    let mut net = Net::new(benches);
    for holder in 0..3 {
        net.link(holder, 3);
    }
    net.run(40);
    net.mute = vec![0];
    net.run(60_000);
    assert_eq!(net.benches[3].node.status().tip, chain.tip().hash);
    assert!(!net.benches[3].node.status().syncing);
    assert_eq!(net.benches[3].node.peers().count(), 3);
}

#[test]
fn bodies_are_asked_of_all_peers_at_most_so_many_each() {
    let chain = grown(120, 3);
    let mut bench = Bench::restored(4, chain.tip().timestamp, BTreeMap::new());
    let status = {
        let mut holder = Bench::holding(1, &chain);
        holder.give(Input::PeerConnected { peer: peer(9) });
        holder.sent().remove(0).1
    };
    for number in [1, 2, 3] {
        bench.give(Input::PeerConnected { peer: peer(number) });
        bench.receive(peer(number), &status);
    }
    bench.taken();
    let headers = chain
        .headers_after(&[], 2_000)
        .iter()
        .map(|header| Bytes(header.encode().to_vec()))
        .collect();
    bench.receive(peer(1), &Message::Headers { headers });
    let mut asked: BTreeMap<PeerId, Vec<Hash>> = BTreeMap::new();
    for (to, message) in bench.sent() {
        if let Message::GetBlocks { hashes } = message {
            asked.entry(to).or_default().extend(hashes);
        }
    }
    assert_eq!(
        asked.values().map(Vec::len).collect::<Vec<_>>(),
        [limits::BODIES_PER_PEER_FIRST; 3]
    );
    let mut all: Vec<Hash> = asked.into_values().flatten().collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(
        all.len(),
        3 * limits::BODIES_PER_PEER_FIRST,
        "no body is asked for twice"
    );
}

#[test]
fn stalled_bodies_are_asked_of_another_peer() {
    let chain = grown(3, 3);
    let mut bench = Bench::restored(4, chain.tip().timestamp, BTreeMap::new());
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
    bench.taken();
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.receive(peer(2), &status);
    assert!(
        !bench
            .sent()
            .iter()
            .any(|(_, message)| matches!(message, Message::GetBlocks { .. }))
    );
    bench.pass(limits::STALL_MS + 1);
    let asked = bench
        .sent()
        .into_iter()
        .find(|(_, message)| matches!(message, Message::GetBlocks { .. }))
        .unwrap();
    assert_eq!(asked.0, peer(2));
}

#[test]
fn peer_three_blocks_behind_catches_up_and_then_follows() {
    let chain = grown(10, 3);
    let mut behind = Bench::holding(2, &grown(7, 3));
    behind.now = chain.tip().timestamp;
    let mut net = Net::new(vec![Bench::holding(1, &chain), behind]);
    net.link(0, 1);
    net.run(1_000);
    assert_eq!(net.benches[1].node.status().tip, chain.tip().hash);
    net.benches[0].give(Input::MiningSet {
        when: super::super::MiningWhen::Always,
    });
    net.run(1_000);
    net.benches[0].mine();
    net.run(100);
    assert_eq!(net.benches[1].node.status().height, Height(11));
}

#[test]
fn heavier_branch_wins_from_both_sides() {
    let (mut short, mut long) = (grown(4, 3), grown(4, 3));
    extend(&mut short, 5, Vec::new());
    for _ in 0..3 {
        extend(&mut long, 6, Vec::new());
    }
    let mut first = Bench::holding(1, &short);
    first.now = long.tip().timestamp;
    let mut net = Net::new(vec![first, Bench::holding(2, &long)]);
    net.link(0, 1);
    net.run(2_000);
    for bench in &net.benches {
        assert_eq!(bench.node.status().tip, long.tip().hash);
    }
}

#[test]
fn branches_that_grew_apart_for_long_meet_and_go_on_together() {
    let (mut short, mut long) = (grown(4, 3), grown(4, 3));
    for _ in 0..40 {
        extend(&mut short, 5, Vec::new());
    }
    for _ in 0..50 {
        extend(&mut long, 6, Vec::new());
    }
    let mut first = Bench::holding(1, &short);
    first.now = long.tip().timestamp;
    let mut net = Net::new(vec![first, Bench::holding(2, &long)]);
    net.link(0, 1);
    net.run(2_000);
    for miner in [0, 1] {
        net.benches[miner].give(Input::MiningSet {
            when: super::super::MiningWhen::Always,
        });
        net.run(3_000);
        net.benches[miner].mine();
        net.benches[miner].give(Input::MiningSet {
            when: super::super::MiningWhen::Off,
        });
        net.run(1_000);
    }
    for bench in &net.benches {
        assert_eq!(bench.node.status().height, Height(56));
    }
}

#[test]
fn heavier_branch_that_nobody_gives_does_not_keep_the_others_away() {
    let (honest, mut held_back) = (grown(6, 3), grown(1, 4));
    for _ in 0..12 {
        extend(&mut held_back, 6, Vec::new());
    }
    let now = held_back.tip().timestamp;
    let mut net = Net::new(vec![
        Bench::alone(1, now),
        Bench::holding(2, &honest),
        Bench::alone(3, now),
    ]);
    net.mute = vec![2];
    net.link(0, 2);
    for height in 1..=held_back.tip().height.0 {
        let header = held_back.block_at(Height(height)).unwrap().header();
        let header = Bytes(header.encode().to_vec());
        net.benches[0].receive(id(2), &Message::NewHeader { header });
    }
    net.link(0, 1);
    net.run(60_000);
    let status = net.benches[0].node.status();
    assert_eq!(
        (status.tip, status.best_height),
        (honest.tip().hash, held_back.tip().height)
    );
}

#[test]
fn claims_that_lead_nowhere_are_not_followed_for_ever() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.give(Input::PeerConnected { peer: peer(2) });
    let status = claim([1; 32]);
    bench.receive(peer(2), &status);
    bench.receive(
        peer(2),
        &Message::Headers {
            headers: Vec::new(),
        },
    );
    bench.taken();
    bench.receive(peer(2), &status);
    bench.pass(60_000);
    assert!(
        !bench
            .sent()
            .iter()
            .any(|(_, message)| matches!(message, Message::GetHeaders { .. }))
    );
}

#[test]
fn unanswered_header_request_goes_to_another_peer_and_then_back() {
    let status = claim([1; 32]);
    let mut bench = Bench::alone(1, BIRTH);
    let mut asked = Vec::new();
    for number in 2..7 {
        bench.give(Input::PeerConnected { peer: peer(number) });
        bench.receive(peer(number), &status);
    }
    for _ in 0..20 {
        bench.pass(1_000);
        let requests = bench
            .sent()
            .into_iter()
            .filter(|(_, message)| matches!(message, Message::GetHeaders { .. }));
        asked.extend(requests.map(|(to, _)| to));
    }
    asked.truncate(8);
    let all: Vec<PeerId> = [2, 3, 4, 5, 6].map(peer).to_vec();
    let mut first = asked[..5].to_vec();
    first.sort_unstable();
    assert_eq!(first, all, "those that did not answer come last");
    assert_eq!(asked.len(), 8, "and are asked again");
}

fn claim(work: [u8; 32]) -> Message {
    Message::Status(crate::message::Status {
        chain_id: genesis().chain_id().0,
        height: 9,
        tip: Hash([7; 32]),
        work,
        clock_ms: BIRTH.0,
        pending: 0,
        pending_digest: Hash::ZERO,
        bodies_from: 1,
    })
}
