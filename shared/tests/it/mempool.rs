//! The mempool: order, conflicts, quotas, eviction by stamp.

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use shared::{
    genesis::Genesis,
    hash::Hash,
    ids::{PeerId, Sequence},
    mempool::{Accepted, Mempool, MempoolError, MempoolLimits},
    transaction::VerifiedTransaction,
};

use crate::support::{genesis, identity, message_of};

fn limits() -> MempoolLimits {
    MempoolLimits::of(&genesis().rules)
}

fn pending(sender: u8, sequence: u64) -> VerifiedTransaction {
    message_of(&genesis(), sender, sequence, "text")
}

/// A first transaction whose stamp has exactly so many zero bits.
fn stamped(genesis: &Genesis, sender: u8, bits: u8) -> VerifiedTransaction {
    let mut made = (0..).map(|n| message_of(genesis, sender, 0, &format!("text {n:05}")));
    made.find(|t| t.stamp_bits() == bits).unwrap()
}

fn added(accepted: Result<Accepted, MempoolError>) -> Vec<Hash> {
    match accepted {
        Ok(Accepted::Added { evicted }) => evicted.iter().map(|t| t.id()).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ready_transactions_come_in_sequence_without_gaps() {
    let mut mempool = Mempool::new(limits());
    for (sender, sequence) in [(1, 1), (2, 0), (1, 0), (3, 1), (1, 3)] {
        added(mempool.insert(pending(sender, sequence), Sequence(0), None));
    }
    let ready: Vec<_> = mempool
        .ready()
        .iter()
        .map(|t| (t.sender(), t.sequence().0))
        .collect();
    let key = |n| identity(n).public_key();
    assert_eq!(ready, [(key(2), 0), (key(1), 0), (key(1), 1)]);
    assert_eq!(mempool.len(), 5);
    assert_eq!(
        mempool.bytes(),
        mempool.iter().map(|t| t.encoded_len()).sum::<usize>()
    );
}

#[test]
fn a_second_id_for_a_place_is_a_conflict() {
    let mut mempool = Mempool::new(limits());
    let first = pending(1, 0);
    added(mempool.insert(first.clone(), Sequence(0), None));
    assert_eq!(
        mempool.insert(first.clone(), Sequence(0), None),
        Ok(Accepted::AlreadyKnown)
    );
    let second = message_of(&genesis(), 1, 0, "other");
    let conflict = MempoolError::Conflict {
        existing: first.id(),
    };
    assert_eq!(mempool.insert(second, Sequence(0), None), Err(conflict));
    assert_eq!(mempool.at(&first.sender(), Sequence(0)), Some(first.id()));
}

#[test]
fn confirmed_sequences_leave_and_the_next_becomes_ready() {
    let mut mempool = Mempool::new(limits());
    for sequence in 0..4 {
        added(mempool.insert(pending(1, sequence), Sequence(0), None));
    }
    let sender = identity(1).public_key();
    let removed = mempool.remove_confirmed(&sender, Sequence(3));
    assert_eq!(
        removed.iter().map(|t| t.sequence().0).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(mempool.ready().len(), 1);
    let stale = MempoolError::Stale {
        found: Sequence(2),
        allowed: Sequence(3),
    };
    assert_eq!(mempool.insert(pending(1, 2), Sequence(3), None), Err(stale));
    assert_eq!(mempool.remove_confirmed(&sender, Sequence(4)).len(), 1);
    assert!(mempool.is_empty() && mempool.bytes() == 0);
}

#[test]
fn a_sender_may_be_a_quota_ahead() {
    let mut mempool = Mempool::new(limits());
    for sequence in 0..64 {
        added(mempool.insert(pending(1, sequence), Sequence(0), None));
    }
    let ahead = MempoolError::TooFarAhead {
        found: Sequence(64),
        allowed: Sequence(64),
    };
    assert_eq!(
        mempool.insert(pending(1, 64), Sequence(0), None),
        Err(ahead)
    );
    let quota = MempoolError::SenderQuota {
        found: 64,
        allowed: 64,
    };
    assert_eq!(
        mempool.insert(pending(1, 64), Sequence(1), None),
        Err(quota)
    );
}

#[test]
fn one_peer_cannot_fill_the_mempool() {
    let mut mempool = Mempool::new(MempoolLimits {
        peer_quota: 2,
        ..limits()
    });
    let peer = PeerId(Hash([1; 32]));
    added(mempool.insert(pending(1, 0), Sequence(0), Some(peer)));
    added(mempool.insert(pending(2, 0), Sequence(0), Some(peer)));
    let quota = MempoolError::PeerQuota {
        found: 2,
        allowed: 2,
    };
    assert_eq!(
        mempool.insert(pending(3, 0), Sequence(0), Some(peer)),
        Err(quota)
    );
    added(mempool.insert(pending(3, 0), Sequence(0), None));
    mempool.remove(&pending(1, 0).id());
    added(mempool.insert(pending(4, 0), Sequence(0), Some(peer)));
}

#[test]
fn the_lowest_stamp_goes_first_and_the_minimum_rises() {
    let genesis = genesis();
    let mut mempool = Mempool::new(MempoolLimits {
        transactions_max: 8,
        ..limits()
    });
    assert_eq!(mempool.relay_minimum(), 0);
    let mut ids = Vec::new();
    for (sender, bits) in [
        (1, 5),
        (2, 4),
        (3, 6),
        (4, 5),
        (5, 5),
        (6, 5),
        (7, 5),
        (8, 4),
    ] {
        let transaction = stamped(&genesis, sender, bits);
        ids.push(transaction.id());
        added(mempool.insert(transaction, Sequence(0), None));
    }
    assert_eq!(mempool.relay_minimum(), 4);
    // It could be mined at once, so that only the full pool speaks against it.
    let low = MempoolError::StampTooLow {
        found: 3,
        allowed: 5,
    };
    assert_eq!(
        mempool.insert(stamped(&genesis, 9, 3), Sequence(0), None),
        Err(low)
    );
    let equal = MempoolError::StampTooLow {
        found: 4,
        allowed: 5,
    };
    assert_eq!(
        mempool.insert(stamped(&genesis, 9, 4), Sequence(0), None),
        Err(equal)
    );
    // Of the two with four bits the later one goes.
    assert_eq!(
        added(mempool.insert(stamped(&genesis, 9, 5), Sequence(0), None)),
        [ids[7]]
    );
    assert_eq!(
        added(mempool.insert(stamped(&genesis, 10, 7), Sequence(0), None)),
        [ids[1]]
    );
    assert_eq!(mempool.len(), 8);
}

#[test]
fn bytes_are_bounded_too() {
    let genesis = genesis();
    let size = stamped(&genesis, 1, 4).encoded_len();
    let mut mempool = Mempool::new(MempoolLimits {
        bytes_max: size * 2,
        ..limits()
    });
    added(mempool.insert(stamped(&genesis, 1, 4), Sequence(0), None));
    added(mempool.insert(stamped(&genesis, 2, 5), Sequence(0), None));
    assert_eq!(
        added(mempool.insert(stamped(&genesis, 3, 6), Sequence(0), None)),
        [stamped(&genesis, 1, 4).id()]
    );
    assert!(mempool.bytes() <= size * 2);
}

#[test]
fn what_could_be_mined_at_once_is_taken_however_full_the_pool_is_of_what_waits_for_it() {
    let mut mempool = Mempool::new(MempoolLimits {
        transactions_max: 8,
        ..limits()
    });
    for sequence in 1..=4 {
        added(mempool.insert(pending(1, sequence), Sequence(0), None));
    }
    assert_eq!((mempool.relay_minimum(), mempool.ready().len()), (1, 0));
    let unstamped = |sequence: u64| {
        let made = (2..100).map(|sender| pending(sender, sequence));
        made.into_iter()
            .find(|made| made.stamp_bits() == 0)
            .unwrap()
    };
    let refused = mempool.insert(unstamped(1), Sequence(0), None);
    assert!(matches!(refused, Err(MempoolError::StampTooLow { .. })));
    added(mempool.insert(unstamped(0), Sequence(0), None));
    assert_eq!(mempool.ready().len(), 1);
}
