use super::{super::limits, *};

fn pushed(message: &Message) -> Vec<Hash> {
    let Message::Transactions { transactions } = message else {
        return Vec::new();
    };
    let ids = transactions.iter();
    ids.map(|bytes| crate::hash::sha256(&[&bytes.0])).collect()
}

/// Transactions sent whole, and those sent by id.
fn told(bench: &mut Bench) -> [Vec<(PeerId, Hash)>; 2] {
    let (mut whole, mut ids) = (Vec::new(), Vec::new());
    for (to, message) in bench.sent() {
        whole.extend(pushed(&message).into_iter().map(|id| (to, id)));
        if let Message::HaveTransactions { ids: named } = message {
            ids.extend(named.into_iter().map(|id| (to, id)));
        }
    }
    [whole, ids]
}

#[test]
fn in_a_full_mesh_the_maker_sends_and_the_others_announce() {
    let mut bench = Bench::alone(1, BIRTH.plus_ms(100_000));
    for number in 2..5 {
        bench.give(Input::PeerConnected { peer: peer(number) });
    }
    bench.taken();
    bench.submit("own");
    let [whole, _] = told(&mut bench);
    assert_eq!(whole.len(), 3);
    bench.pass(1_000);
    bench.taken();
    let foreign = transaction(9, 0, "foreign");
    let transactions = vec![Bytes(foreign.encode())];
    bench.receive(peer(2), &Message::Transactions { transactions });
    bench.pass(limits::ANNOUNCE_MS + 100);
    let [whole, ids] = told(&mut bench);
    assert_eq!(whole, []);
    assert_eq!(ids, [3, 4].map(|number| (peer(number), foreign.id())));
}

#[test]
fn transactions_of_a_burst_go_together() {
    let mut bench = Bench::alone(1, BIRTH.plus_ms(100_000));
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.taken();
    for text in ["one", "two", "three"] {
        bench.submit(text);
    }
    bench.pass(limits::PUSH_PAUSE_MS);
    let sent = bench.sent();
    let pushes: Vec<usize> = sent
        .iter()
        .map(|(_, message)| pushed(message).len())
        .collect();
    let pushes: Vec<usize> = pushes.into_iter().filter(|count| *count > 0).collect();
    assert_eq!(pushes, [1, 2], "the first at once, the others together");
}

#[test]
fn transaction_is_verified_once_wherever_it_comes_from_next() {
    // A signature that does not hold: only who takes it as verified before accepts it.
    let mut chain = Chain::new(genesis());
    let miner = MinerRecord {
        key: PublicKey([3; 32]),
        free: [0; 8],
    };
    let mut bytes = transaction(9, 0, "forged").encode();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = Transaction::decode(&bytes, &genesis().rules).unwrap();
    let id = forged.id();
    let forged = VerifiedTransaction::already_verified(forged);
    let block = extend(&mut chain, miner.key.0[0], vec![forged]);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    bench.give(Input::PeerConnected { peer: peer(2) });
    bench.node.verified.insert(id);
    let transactions = vec![Bytes(bytes)];
    bench.receive(peer(2), &Message::Transactions { transactions });
    assert!(bench.node.mempool().contains(&id));
    bench.give(Input::MessageReceived {
        peer: peer(2),
        bytes: new_block(&block),
    });
    assert_eq!(bench.node.status().tip, block.hash());
}

#[test]
fn what_found_no_place_is_not_verified_again() {
    let mut bench = Bench::alone(1, BIRTH.plus_ms(100_000));
    bench.give(Input::PeerConnected { peer: peer(2) });
    let pair = ["first", "second"].map(|text| transaction(9, 0, text));
    let transactions = pair.iter().map(|found| Bytes(found.encode())).collect();
    bench.receive(peer(2), &Message::Transactions { transactions });
    assert!(
        !bench.node.mempool().contains(&pair[1].id()),
        "the place is taken"
    );
    assert!(bench.node.is_verified(&pair[1].id()));
    assert!(!bench.node.is_verified(&transaction(9, 1, "unseen").id()));
}
