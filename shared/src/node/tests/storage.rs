use super::*;
use crate::ids::Height;

#[test]
fn restart_comes_to_the_same_tip() {
    let chain = grown(20, 3);
    let mut bench = Bench::alone(1, chain.tip().timestamp);
    for height in 1..=20 {
        bench.give(Input::BlockOffered {
            bytes: chain.block_at(Height(height)).unwrap().encode(),
        });
    }
    let restarted = bench.restart(1);
    assert_eq!(restarted.node.status().tip, chain.tip().hash);
}

#[test]
fn of_two_equal_tips_a_restart_keeps_the_one_that_was_first() {
    let (mut left, mut right) = (grown(2, 3), grown(2, 3));
    let branches = [
        extend(&mut left, 5, Vec::new()),
        extend(&mut right, 6, Vec::new()),
    ];
    for [first, second] in [[0, 1], [1, 0]] {
        let mut bench = Bench::holding(1, &grown(2, 3));
        bench.now = left.tip().timestamp;
        bench.give(Input::BlockOffered {
            bytes: branches[first].encode(),
        });
        bench.give(Input::BlockOffered {
            bytes: branches[second].encode(),
        });
        assert_eq!(bench.restart(1).node.status().tip, branches[first].hash());
    }
}

#[test]
fn damaged_block_is_set_aside_reported_and_mended_by_an_import() {
    let chain = grown(10, 3);
    let healthy = Bench::holding(1, &chain);
    let damaged = alloc::format!("block/{}", chain.hash_at(Height(4)).unwrap());
    let mut disk = healthy.disk.clone();
    disk.get_mut(&damaged).unwrap()[200] ^= 1;
    let mut bench = Bench::restored(1, chain.tip().timestamp, disk);
    let events = bench.events();
    let reported = |wanted: &str| {
        events
            .iter()
            .any(|event| matches!(event, Event::StorageDamaged { key, .. } if key == wanted))
    };
    assert!(reported(&damaged) && reported("tip"), "{events:?}");
    assert_eq!(bench.node.status().height, Height(3));
    assert!(
        bench
            .disk
            .contains_key(&alloc::format!("damaged/{damaged}"))
            && !bench.disk.contains_key(&damaged)
    );
    bench.give(Input::BlockOffered {
        bytes: chain.block_at(Height(4)).unwrap().encode(),
    });
    assert_eq!(bench.node.status().tip, chain.tip().hash);
    assert_eq!(bench.restart(1).node.status().tip, chain.tip().hash);
}

#[test]
fn every_damaged_record_is_reported_and_none_panics() {
    let mut bench = Bench::alone(1, BIRTH);
    bench.submit("hello");
    let keys: Vec<String> = bench.disk.keys().cloned().collect();
    for key in &keys {
        let mut disk = bench.disk.clone();
        disk.get_mut(key).unwrap().push(7);
        let mut restarted = Bench::restored(1, BIRTH, disk);
        let events = restarted.events();
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::StorageDamaged { key: of, .. } if of == key)),
            "{key}: {events:?}"
        );
        assert!(
            restarted
                .disk
                .contains_key(&alloc::format!("damaged/{key}"))
        );
    }
}

#[test]
fn unknown_records_are_set_aside() {
    let disk = BTreeMap::from([("what/ever".to_string(), vec![1])]);
    let mut bench = Bench::restored(1, BIRTH, disk);
    assert!(matches!(
        bench.events().as_slice(),
        [Event::StorageDamaged { .. }]
    ));
    assert!(bench.disk.contains_key("damaged/what/ever"));
}

#[test]
fn nothing_is_done_before_the_store_was_read_and_that_once() {
    let config = Config {
        genesis: genesis(),
        identity: Identity::from_seed([1; 32]),
        seed: [1; 32],
        keep: Keep::Archive,
        helpers: 0,
    };
    let mut node = Node::new(config);
    assert_eq!(
        node.handle(BIRTH, Input::Woken),
        Err(NodeError::NotRestored)
    );
    assert_eq!(
        node.handle(
            BIRTH,
            Input::Restored {
                records: Vec::new()
            }
        ),
        Ok(())
    );
    assert_eq!(
        node.handle(
            BIRTH,
            Input::Restored {
                records: Vec::new()
            }
        ),
        Err(NodeError::AlreadyRestored)
    );
}
