use super::*;
use api::{EnterpriseTransaction, HealthStatus, Tenant};

fn status(height: u64) -> Status {
    Status {
        height,
        latest_hash: hash(height, 'a'),
        validator: "validator-1".to_owned(),
        active_tenants: 1,
        active_validators: vec!["validator-1".to_owned()],
        pending_transactions: 0,
        total_blocks: height + 1,
        total_transactions: height,
        chain_health: "healthy".to_owned(),
        uptime: 1,
        latest_block_time: 1,
        validator_status: "active".to_owned(),
        holds: None,
        consensus: None,
    }
}

fn hash(height: u64, branch: char) -> String {
    format!("{branch}{height}")
}

fn block(height: u64, branch: char) -> EnterpriseBlock {
    EnterpriseBlock {
        height,
        hash: hash(height, branch),
        previous_hash: hash(height.saturating_sub(1), branch),
        timestamp: height,
        validator: "validator-1".to_owned(),
        transaction_count: 0,
        transactions: vec![],
        merkle_root: String::new(),
        header: Some("00".repeat(100)),
        certificate: None,
        tenant_block_count: 1,
    }
}

fn tenant(name: &str, last_activity: u64) -> Tenant {
    Tenant {
        tenant_id: name.to_owned(),
        chain_id: String::new(),
        block_count: 1,
        transaction_count: 1,
        last_activity,
        recent_messages: vec!["Block #1: hi".to_owned()],
        height: 1,
        tip_hash: String::new(),
        final_height: 0,
        final_hash: None,
        private: false,
        resets: 0,
    }
}

fn tracker_answer(peer_count: usize, status: HealthStatus, timestamp: u64) -> Input {
    Input::TrackerAnswered {
        networks: vec![NetworkListItem {
            id: "demo".to_owned(),
            name: "demo".to_owned(),
            peer_count,
        }],
        health: Health {
            status,
            timestamp,
            service: "tracker".to_owned(),
            version: String::new(),
            checks: BTreeMap::new(),
        },
    }
}

fn synced(blocks: Vec<EnterpriseBlock>) -> Input {
    let height = blocks.iter().map(|block| block.height).max().unwrap_or(0);
    Input::ValidatorSynced(Box::new(Synced {
        status: status(height),
        tenants: Tenants::default(),
        blocks,
    }))
}

fn block_event(block: EnterpriseBlock) -> Input {
    Input::ValidatorChanged(Change::Block(Box::new(block)))
}

fn lost(source: Source) -> Input {
    Input::SourceLost {
        source,
        reason: "connection refused".to_owned(),
    }
}

fn heights(view: &View) -> Vec<u64> {
    let snapshot = view.snapshot(0);
    snapshot.blocks.iter().map(|block| block.height).collect()
}

fn outputs(view: &mut View) -> Vec<Output> {
    std::iter::from_fn(|| view.poll()).collect()
}

#[test]
fn changes_within_the_window_are_published_once() {
    let mut view = View::default();
    view.handle(100, synced(vec![block(1, 'a')]));
    view.handle(105, block_event(block(2, 'a')));
    assert_eq!(outputs(&mut view), [Output::WakeAt(100 + COALESCE_MS)]);
    view.handle(100 + COALESCE_MS, Input::Woken);
    let published = outputs(&mut view);
    let [Output::Publish(snapshot)] = published.as_slice() else {
        panic!("one snapshot expected, found {published:?}");
    };
    assert_eq!(snapshot.blocks.len(), 2);
    assert_eq!(snapshot.at, 100 + COALESCE_MS);
}

#[test]
fn waking_too_early_asks_again() {
    let mut view = View::default();
    view.handle(100, synced(vec![]));
    view.handle(101, Input::Woken);
    let wake = Output::WakeAt(100 + COALESCE_MS);
    assert_eq!(outputs(&mut view), [wake.clone(), wake]);
}

#[test]
fn an_unchanged_answer_of_the_tracker_publishes_nothing() {
    let mut view = View::default();
    view.handle(0, tracker_answer(2, HealthStatus::Healthy, 0));
    view.handle(COALESCE_MS, Input::Woken);
    outputs(&mut view);
    view.handle(1000, tracker_answer(2, HealthStatus::Healthy, 1000));
    assert_eq!(outputs(&mut view), []);
    view.handle(2000, tracker_answer(3, HealthStatus::Healthy, 2000));
    assert_eq!(outputs(&mut view).len(), 1);
}

#[test]
fn blocks_are_newest_first_and_bounded() {
    let mut view = View::default();
    let last = BLOCKS_MAX as u64 + 5;
    for height in 1..=last {
        view.handle(height, block_event(block(height, 'a')));
    }
    let expected: Vec<u64> = (6..=last).rev().collect();
    assert_eq!(heights(&view), expected);
}

#[test]
fn another_history_replaces_what_does_not_fit() {
    let mut view = View::default();
    view.handle(
        0,
        synced((1..=5).map(|height| block(height, 'a')).collect()),
    );
    // The same height with another hash, on the same parent: what was above it goes.
    let mut fork = block(4, 'b');
    fork.previous_hash = hash(3, 'a');
    view.handle(0, block_event(fork));
    assert_eq!(heights(&view), [4, 3, 2, 1]);
    // A parent that is not the one held: all of it was another chain.
    view.handle(0, block_event(block(5, 'c')));
    assert_eq!(heights(&view), [5]);
    // A validator with emptied data starts over.
    view.handle(0, synced(vec![block(1, 'd')]));
    assert_eq!(heights(&view), [1]);
}

#[test]
fn an_older_status_does_not_undo_a_newer_one() {
    let mut view = View::default();
    view.handle(0, synced(vec![block(7, 'a')]));
    let older = Change::Status(Box::new(status(6)));
    view.handle(0, Input::ValidatorChanged(older));
    assert_eq!(view.snapshot(0).status.unwrap().height, 7);
    view.handle(0, synced(vec![block(1, 'b')]));
    assert_eq!(view.snapshot(0).status.unwrap().height, 1);
}

#[test]
fn a_lost_source_keeps_what_was_seen_and_degrades_the_verdict() {
    let mut view = View::default();
    let verdict = |view: &View| view.snapshot(9_000).health.unwrap();
    assert_eq!(verdict(&view).status, HealthStatus::Degraded);
    view.handle(1_000, synced(vec![block(1, 'a')]));
    view.handle(1_000, tracker_answer(1, HealthStatus::Healthy, 0));
    assert_eq!(verdict(&view).status, HealthStatus::Healthy);
    view.handle(2_000, lost(Source::Validator));
    view.handle(8_000, lost(Source::Validator));
    assert_eq!(verdict(&view).status, HealthStatus::Degraded);
    assert_eq!(
        verdict(&view).checks["validator"],
        "unreachable for 7 s: connection refused"
    );
    assert_eq!(view.snapshot(0).status.unwrap().height, 1);
    view.handle(9_000, synced(vec![]));
    assert_eq!(verdict(&view).status, HealthStatus::Healthy);
}

#[test]
fn a_tracker_that_is_not_healthy_degrades_the_verdict() {
    let mut view = View::default();
    view.handle(0, synced(vec![]));
    view.handle(0, tracker_answer(1, HealthStatus::Degraded, 0));
    assert_eq!(
        view.snapshot(0).health.unwrap().status,
        HealthStatus::Degraded
    );
}

#[test]
fn long_texts_many_tenants_and_many_transactions_are_cut() {
    let mut view = View::default();
    let mut long = tenant("long", 1_000_000);
    long.recent_messages = vec!["ü".repeat(TEXT_CHARS_MAX + 1)];
    let mut tenants: Vec<Tenant> = (0..TENANTS_MAX as u64 + 3)
        .map(|number| tenant(&format!("t{number}"), number))
        .collect();
    tenants.push(long);
    let total_tenants = tenants.len();
    let tenants = Tenants {
        tenants,
        total_tenants,
        next_cursor: None,
    };
    view.handle(0, Input::ValidatorChanged(Change::Tenants(tenants)));
    let mut full = block(1, 'a');
    full.transactions = (0..BLOCK_TRANSACTIONS_MAX + 1).map(transaction).collect();
    view.handle(0, block_event(full));

    let snapshot = view.snapshot(0);
    let shown = snapshot.tenants.unwrap();
    assert_eq!(shown.tenants.len(), TENANTS_MAX);
    assert_eq!(shown.total_tenants, total_tenants);
    assert_eq!(shown.tenants[0].tenant_id, "long");
    let text = &shown.tenants[0].recent_messages[0];
    assert_eq!(text.chars().count(), TEXT_CHARS_MAX + 1);
    assert!(text.ends_with('…'));
    assert_eq!(
        snapshot.blocks[0].transactions.len(),
        BLOCK_TRANSACTIONS_MAX
    );
    assert_eq!(snapshot.blocks[0].header, None);
}

fn transaction(number: usize) -> EnterpriseTransaction {
    EnterpriseTransaction {
        tx_id: number.to_string(),
        tenant_network: "demo".to_owned(),
        tenant_block_id: 1,
        transaction_data: "hi".to_owned(),
        timestamp: 0,
        from_peer: String::new(),
        chain_id: String::new(),
        enterprise_height: 1,
    }
}
