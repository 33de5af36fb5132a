//! The runs.

use shared::enterprise::{LightClient, LightError, Split, ValidatorSet, Vote};
use shared::hash::Hash;

use crate::actors::Actor;
use crate::actors::corrupt_sync::CorruptSync;
use crate::actors::double_voter::DoubleVoter;
use crate::actors::equivocating_proposer::EquivocatingProposer;
use crate::actors::invalid_proposer::InvalidProposer;
use crate::actors::lying_snapshot::LyingSnapshot;
use crate::actors::replayer::Replayer;
use crate::actors::silent::Silent;
use crate::actors::stale_snapshot::StaleSnapshot;
use crate::actors::stale_voter::StaleVoter;
use crate::actors::truncated_snapshot::TruncatedSnapshot;
use crate::world::{Draw, Faults, Loss, Setup, World, identity};

/// Plays a run to its end, with all checks; answers its fingerprint and height.
fn play(setup: Setup) -> (Hash, u64) {
    let world = finished(setup);
    (world.observer.trace(), world.observer.height())
}

pub(crate) fn finished(setup: Setup) -> World {
    let (seed, calm) = (setup.seed, setup.faulty_ms);
    let mut world = World::new(setup);
    world.play(calm + 1_000);
    world.stop_submitting();
    // Timeouts have grown while nothing could be decided, to ten seconds at most.
    world.play(calm + 25_000);
    // The faults are over: what comes now is decided.
    let before = world.observer.height();
    world.mine_everywhere();
    for _ in 0..3 {
        world.hand_in_everywhere();
        world.play(world.now() + 8_000);
    }
    assert!(
        world.observer.height() > before && before > 0,
        "seed {seed}: no progress, heights {:?}",
        world.heights()
    );
    world.finish();
    assert!(
        world.observer.promises() > 0,
        "seed {seed}: nothing was promised"
    );
    world
}

fn all_faults(seed: u64) -> Faults {
    let mut draw = Draw::new(seed ^ 0x5eed);
    Faults {
        drop: draw.below(8),
        duplicate: draw.below(10),
        reorder: draw.below(20),
        delay_ms: draw.below(60),
        skew_ms: draw.below(400),
        crash_every_ms: [0, 1_500, 4_000][draw.index(3)],
        cut_every_ms: [0, 2_000, 4_000][draw.index(3)],
        crash_at_write: None,
        loses: None,
    }
}

fn actor(kind: usize) -> Box<dyn Actor> {
    match kind {
        0 => Box::new(Silent),
        1 => Box::new(DoubleVoter),
        2 => Box::<EquivocatingProposer>::default(),
        3 => Box::<InvalidProposer>::default(),
        4 => Box::<StaleVoter>::default(),
        5 => Box::<Replayer>::default(),
        6 => Box::<CorruptSync>::default(),
        7 => Box::<LyingSnapshot>::default(),
        8 => Box::<StaleSnapshot>::default(),
        _ => Box::<TruncatedSnapshot>::default(),
    }
}

const ACTORS: usize = 10;

/// One seed of the general run: the size, the actors and the faults are drawn.
fn general(seed: u64) -> Setup {
    let mut draw = Draw::new(seed);
    let validators = [4, 7, 5, 4][draw.index(4)];
    let mut setup = Setup::new(seed, validators);
    setup.faults = all_faults(seed);
    setup.snapshot_every = [6, 20, 1_024][draw.index(3)];
    // A draw of its own, so that the other faults of a seed stay what they were.
    let private = Draw::new(seed ^ 0x9121).index(4);
    setup.private_every_ms = [(0, 0), (150, 0), (150, 900), (90, 400)][private];
    let faulty = usize::from((validators - 1) / 3);
    for _ in 0..faulty {
        let index = draw.index(usize::from(validators));
        match draw.index(ACTORS + 3) {
            kind if kind < ACTORS => setup.actors.push((index, actor(kind))),
            kind if kind == ACTORS && setup.twins.is_empty() && setup.actors.is_empty() => {
                setup.twins.push(index);
                break;
            }
            kind if kind == ACTORS + 1 && setup.actors.is_empty() => {
                let loss = [Loss::Log, Loss::Disk][draw.index(2)];
                setup.faults.loses = Some((index, loss));
                setup.faults.crash_every_ms = 1_500;
                break;
            }
            _ => {}
        }
    }
    with_wrong_clocks(&mut setup, faulty);
    if draw.percent(30) && setup.twins.is_empty() && setup.faults.loses.is_none() {
        with_changes(&mut setup, &mut draw);
    }
    setup
}

/// Of the f that may be faulty those that are nothing else have a clock that is up to ten seconds ahead or behind.
fn with_wrong_clocks(setup: &mut Setup, faulty: usize) {
    // A draw of its own, so that the other faults of a seed stay what they were.
    let mut draw = Draw::new(setup.seed ^ 0xc10c);
    let others = setup.actors.len() + setup.twins.len();
    let others = others + usize::from(setup.faults.loses.is_some());
    for _ in others..faulty {
        let index = draw.index(usize::from(setup.validators));
        let offset = i64::try_from(draw.below(20_001)).unwrap() - 10_000;
        if setup.actors.iter().all(|(actor, _)| *actor != index) {
            setup.clocks.push((index, offset));
        }
    }
}

/// One validator comes, then another goes or changes its key.
fn with_changes(setup: &mut Setup, draw: &mut Draw) {
    let all: Vec<u8> = (1..=setup.validators).collect();
    let (new, newer) = (setup.validators + 1, setup.validators + 2);
    let grown = [all.as_slice(), &[new]].concat();
    let gone = draw.index(all.len());
    let mut shrunk = grown.clone();
    if draw.percent(50) {
        shrunk.remove(gone);
    } else {
        shrunk[gone] = newer;
    }
    setup.newcomers = 2;
    setup.are_followed = draw.percent(50);
    setup.changes = vec![
        (500 + draw.below(2_000), grown),
        (2_500 + draw.below(3_000), shrunk),
    ];
}

fn key_of(seed: u8) -> shared::ids::PublicKey {
    identity(seed).public_key()
}

/// The set after a run, as seeds.
fn final_set(world: &World) -> Vec<u8> {
    let set = world.newest().verifier().validators().clone();
    let seeds = (1..=20).filter(|seed| set.index_of(&key_of(*seed)).is_some());
    seeds.collect()
}

#[test]
fn a_validator_that_is_taken_in_votes_and_one_that_is_let_go_votes_no_more() {
    for are_followed in [true, false] {
        let mut setup = Setup::new(200, 4);
        setup.newcomers = 1;
        setup.are_followed = are_followed;
        setup.changes = vec![(1_500, vec![1, 2, 3, 4, 5]), (3_500, vec![2, 3, 4, 5])];
        let world = finished(setup);
        assert_eq!(final_set(&world), [2, 3, 4, 5]);
        let links = world.newest().links();
        let heights: Vec<u64> = links
            .iter()
            .map(|link| link.checkpoint.header.height.0)
            .collect();
        let [first, second] = heights[..] else {
            panic!("two changes, not {heights:?}")
        };
        let (came, went) = (
            world.observer.signed(key_of(5)),
            world.observer.signed(key_of(1)),
        );
        assert!(
            came.first().is_some_and(|height| *height > first),
            "votes too early: {came:?}"
        );
        assert!(came.iter().any(|height| *height > second), "it never votes");
        assert!(
            went.last().is_some_and(|height| *height <= second),
            "votes too long: {went:?}"
        );
    }
}

#[test]
fn a_chain_of_one_grows_to_four_and_shrinks_to_one() {
    let mut setup = Setup::new(201, 1);
    setup.newcomers = 3;
    setup.faulty_ms = 8_000;
    let sets: [&[u8]; 6] = [
        &[1, 2],
        &[1, 2, 3],
        &[1, 2, 3, 4],
        &[2, 3, 4],
        &[3, 4],
        &[4],
    ];
    let at = |index: usize| 1_000 * (1 + u64::try_from(index).unwrap());
    setup.changes = sets
        .iter()
        .enumerate()
        .map(|(index, set)| (at(index), set.to_vec()))
        .collect();
    let world = finished(setup);
    assert_eq!(final_set(&world), [4]);
}

#[test]
fn light_client_follows_the_changes_of_the_set_and_no_others() {
    let mut setup = Setup::new(202, 4);
    setup.newcomers = 4;
    setup.changes = vec![
        (1_000, vec![1, 2, 3, 5]),
        (2_500, vec![1, 2, 6, 5]),
        (4_000, vec![7, 8, 6, 5]),
    ];
    let world = finished(setup);
    assert_eq!(
        final_set(&world),
        [5, 6, 7, 8],
        "nobody of the first set is left"
    );
    let ledger = world.newest();
    let tenant = *ledger.tenants().keys().next().unwrap();
    let pinned = ledger.genesis().hash();
    let proof = ledger.finality_proof(tenant, 0).unwrap();
    assert_eq!(proof.links.len(), 3);
    let mut client = LightClient::new(pinned);
    assert!(client.accept(tenant, &proof.encode()).unwrap().is_some());
    for left_out in 0..3 {
        let mut short = proof.clone();
        short.links.remove(left_out);
        assert!(
            LightClient::new(pinned)
                .accept(tenant, &short.encode())
                .is_err()
        );
    }
    // Whoever was a quorum once goes on from there with a set of its own: who knows better shows that they signed both.
    let mut forged = proof.clone();
    let link = &mut forged.links[0];
    let others = ledger.genesis().validators().clone();
    link.next = ValidatorSet::new(others.validators()[..1].to_vec()).unwrap();
    link.checkpoint.header.next_validators = link.next.hash();
    let (height, hash) = (link.checkpoint.header.height, link.checkpoint.header.hash());
    let certificate = &mut link.checkpoint.certificate;
    certificate.block_hash = hash;
    let vote = Vote::precommit(height, certificate.round, hash);
    let chain = ledger.genesis().chain_id();
    let signed = (1..=4).map(|seed| {
        let index = others.index_of(&key_of(seed)).unwrap();
        (index, vote.sign(&identity(seed), chain))
    });
    certificate.signatures = signed.collect();
    certificate.signatures.sort_by_key(|(index, _)| *index);
    forged.links.truncate(1);
    let refused = client.accept(tenant, &forged.encode());
    let Err(LightError::Split { proof: split, .. }) = refused else {
        panic!("not noticed: {refused:?}")
    };
    assert_eq!((split.height(), split.culprits().len() > 1), (height, true));
    assert_eq!(Split::decode(split.bytes(), pinned), Ok(*split));
    assert!(client.accept(tenant, &proof.encode()).unwrap().is_none());

    let bytes = proof.encode();
    let (genesis, links) = (ledger.genesis().encode().len() + 6, proof.links.iter());
    let length: usize = links.map(|link| link.encode().len() + 4).sum();
    for at in genesis..genesis + 2 + length {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let refused = LightClient::new(pinned).accept(tenant, &changed).is_err();
        assert!(refused, "byte {at} of the links may be changed");
    }
}

#[test]
fn four_validators_decide_what_any_of_them_is_given() {
    let (_, height) = play(Setup::new(1, 4));
    assert!(height > 40, "only {height} blocks");
}

#[test]
fn one_validator_is_the_same_code() {
    let (_, height) = play(Setup::new(2, 1));
    assert!(height > 40, "only {height} blocks");
}

#[test]
fn seven_validators_with_every_fault_agree_and_lose_nothing() {
    let mut setup = Setup::new(3, 7);
    setup.faults = Faults {
        drop: 3,
        duplicate: 5,
        reorder: 10,
        delay_ms: 30,
        skew_ms: 300,
        crash_every_ms: 1_500,
        cut_every_ms: 2_500,
        crash_at_write: None,
        loses: None,
    };
    play(setup);
}

#[test]
fn same_seed_gives_the_same_run() {
    assert_eq!(play(general(77)), play(general(77)));
}

fn with_actor(kind: usize) -> World {
    let mut setup = Setup::new(100 + u64::try_from(kind).unwrap(), 4);
    setup.actors.push((1, actor(kind)));
    setup.faults.delay_ms = 15;
    finished(setup)
}

#[test]
fn silent_validator_stops_nobody() {
    let world = with_actor(0);
    assert!(world.changed("agreement") > 0, "it spoke");
}

#[test]
fn double_voter_is_shown_and_splits_nothing() {
    let world = with_actor(1);
    assert!(
        !world.evidence.is_empty(),
        "the double votes leave no evidence"
    );
}

#[test]
fn equivocating_proposer_is_shown_and_splits_nothing() {
    let world = with_actor(2);
    assert!(
        !world.evidence.is_empty(),
        "the two proposals leave no evidence"
    );
}

#[test]
fn invalid_blocks_are_not_decided() {
    let world = with_actor(3);
    let bad = world.bad_blocks();
    assert!(bad.len() > 2, "only {} bad blocks were proposed", bad.len());
    assert!(!bad.iter().any(|bad| world.observer.has_decided(bad)));
}

#[test]
fn stale_voter_stops_nobody() {
    let world = with_actor(4);
    assert!(world.changed("agreement") > 0, "it voted in time");
}

#[test]
fn replayed_messages_change_nothing() {
    let world = with_actor(5);
    assert!(world.changed("agreement") > 0, "it repeated nothing");
}

#[test]
fn corrupt_sync_server_is_noticed() {
    let mut setup = Setup::new(106, 4);
    setup.actors.push((1, actor(6)));
    setup.faults.crash_every_ms = 800;
    let world = finished(setup);
    let lies = world.changed("blocks");
    assert!(lies > 0, "nobody asked the liar");
    assert!(
        world.noticed() > 0,
        "none of those who got {lies} false answers asks another"
    );
}

#[test]
fn idle_networks_make_no_blocks_and_stay_alive() {
    let mut setup = Setup::new(107, 4);
    setup.faulty_ms = 2_000;
    let mut world = World::new(setup);
    world.play(2_000);
    world.stop_submitting();
    world.play(20_000);
    assert_eq!(
        world.newest().next_deadline(),
        None,
        "all that was anchored is final"
    );
    let (height, beats) = (world.observer.height(), world.beats());
    world.play(80_000);
    assert!(height > 10, "only {height} blocks");
    assert_eq!(world.observer.height(), height, "blocks that say nothing");
    for (before, after) in beats.iter().zip(world.beats()) {
        assert!(after > before + 60, "a heart stands still");
    }
    world.mine_everywhere();
    world.hand_in_everywhere();
    world.play(82_000);
    assert!(world.observer.height() > height, "it slept too deeply");
}

/// A proposal and the precommits are waited for, 400 and 50 ms, and some messages.
const TRIED_AGAIN_MS: u64 = 500;

#[test]
fn a_dead_leader_costs_nothing_once_its_absence_is_decided_until_it_is_tried_again() {
    for dead in 0..4 {
        let mut setup = Setup::new(109, 4);
        setup.faulty_ms = 60_000;
        let mut world = World::new(setup);
        world.play(2_000);
        world.kill(dead);
        world.play(22_000);
        let after = world.observer.firsts_after(2_000);
        let known = after.iter().position(|(_, _, round)| *round > 0);
        let known = after
            .get(known.unwrap()..)
            .unwrap_or_else(|| panic!("validator {dead} was never missed"));
        assert!(known.len() > 100, "only {} blocks", known.len());
        let gaps: Vec<_> = known
            .windows(2)
            .map(|pair| (pair[1].0, pair[1].1 - pair[0].1, pair[1].2))
            .collect();
        // Clients pause: heights at which nobody was missed say how long one takes without the dead one.
        let calm = gaps.iter().filter(|(.., round)| *round == 0);
        let longest = calm.map(|(_, gap, _)| *gap).max().unwrap();
        assert!(longest < 500, "a calm height takes {longest} ms");
        for (height, gap, round) in gaps {
            assert!(
                gap < longest + TRIED_AGAIN_MS,
                "without validator {dead} height {height} takes {gap} ms and {round} rounds"
            );
        }
        let tried_again = known.iter().skip(1).filter(|(_, _, round)| *round > 0);
        let tried_again = tried_again.count();
        assert!(tried_again <= 4, "it is waited for {tried_again} times");
    }
}

#[test]
fn a_clock_that_is_ten_seconds_off_stops_nobody() {
    for (seed, offset) in [(111, 10_000), (112, -10_000)] {
        let mut setup = Setup::new(seed, 4);
        setup.clocks.push((1, offset));
        let world = finished(setup);
        let height = world.observer.height();
        assert!(height > 40, "only {height} blocks at {offset} ms");
    }
}

#[test]
fn twins_with_one_key_split_nothing() {
    let mut setup = Setup::new(108, 4);
    setup.twins.push(2);
    setup.faults.delay_ms = 20;
    setup.faults.cut_every_ms = 1_500;
    play(setup);
}

#[test]
fn lost_vote_log_makes_a_validator_abstain_until_it_is_safe() {
    for loss in [Loss::Log, Loss::Disk] {
        let mut setup = Setup::new(110, 4);
        setup.faults.loses = Some((0, loss));
        setup.faults.crash_every_ms = 700;
        setup.faulty_ms = 8_000;
        play(setup);
    }
}

#[test]
fn crash_at_every_write_contradicts_and_loses_nothing() {
    let mut quiet = Setup::new(120, 4);
    quiet.faulty_ms = 1_500;
    let mut world = World::new(quiet);
    world.play(1_500);
    let writes = world.writes(0);
    assert!(writes > 40, "only {writes} writes");
    for write in 1..=writes {
        let mut setup = Setup::new(120, 4);
        setup.faulty_ms = 1_500;
        setup.faults.crash_at_write = Some((0, write));
        play(setup);
    }
}

#[test]
fn private_tenants_are_reported_and_reset_alike_whatever_fails() {
    let mut resets = 0;
    for seed in 300..308 {
        let mut setup = Setup::new(seed, 4);
        setup.faults = all_faults(seed);
        setup.private_every_ms = (120, 500);
        setup.snapshot_every = [8, 1_024][usize::try_from(seed % 2).unwrap()];
        if seed % 4 == 3 {
            setup.faults.loses = Some((1, Loss::Disk));
            setup.faults.crash_every_ms = 1_500;
        }
        resets += finished(setup).observer.resets();
    }
    assert!(resets > 8, "only {resets} resets");
}

#[test]
fn crash_at_every_write_loses_no_report_and_no_reset() {
    let setup = || {
        let mut setup = Setup::new(122, 4);
        setup.faulty_ms = 1_500;
        setup.submit_every_ms = 400;
        setup.private_every_ms = (100, 300);
        setup
    };
    let mut world = World::new(setup());
    world.play(1_500);
    let writes = world.writes(0);
    assert!(
        writes > 20 && world.observer.resets() > 0,
        "{writes} writes"
    );
    for write in 1..=writes {
        let mut setup = setup();
        setup.faults.crash_at_write = Some((0, write));
        play(setup);
    }
}

/// As many further seeds as the time allows; the last that is printed is the one that fails.
#[test]
fn random_validators_agree_and_lose_nothing() {
    let number = |name: &str| -> Option<u64> {
        let text = std::env::var(name).ok();
        text.map(|text| text.parse().unwrap())
    };
    let (first, asked) = (
        number("DISTLI_SIM_FIRST").unwrap_or(1_000),
        number("DISTLI_SIM_SEEDS"),
    );
    let seeds = asked.unwrap_or(40);
    let time = number("DISTLI_SIM_SECONDS").unwrap_or(120) * 1_000;
    let clock = service::SteadyClock::default();
    let mut played = 0;
    for seed in first..first + seeds {
        if clock.elapsed_ms() > time {
            break;
        }
        println!("seed {seed}");
        play(general(seed));
        played += 1;
    }
    println!("{played} of {seeds} seeds played");
    let least = asked.unwrap_or(1);
    assert!(
        played >= least,
        "only {played} of {seeds} seeds in {time} ms"
    );
}
