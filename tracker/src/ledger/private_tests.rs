#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the orders that it asks for"
)]

use api::{ReportedBlock, TrackerIntegration};
use shared::block::{Block, MinerRecord};
use shared::chain::Chain;
use shared::enterprise::Reset;
use shared::genesis::{Access, Rules};
use shared::hash::Hash;
use shared::identity::Identity;
use shared::ids::{Height, NetworkId};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use shared::private::{NetworkKey, NetworkKeys};
use shared::report::{Report, UncheckedSealed};
use tempfile::tempdir;

use super::*;
use crate::hub::message::Wish;
use crate::hub::{ConnectionId, ResetOutcome, RoomNetwork, UpdateOutcome};
use crate::limits;
use crate::store::Store;

const NOW: TimestampMs = TimestampMs(100_000_000);
const MEMBER: ConnectionId = ConnectionId(1);
/// The network's name, which must be nowhere that strangers look.
const NAME: &str = "quiet";

fn reporter() -> Identity {
    Identity::from_seed([2; 32])
}

/// A private network as its members have it.
#[derive(Clone)]
pub(super) struct Quiet {
    keys: NetworkKeys,
    pub(super) chain: Chain,
}

impl Quiet {
    pub(super) fn new(key: u8) -> Self {
        let keys = NetworkKey::from_bytes([key; 32]).keys();
        let mut reporters = vec![reporter().public_key(), identity(7).public_key()];
        reporters.sort();
        Self {
            chain: Chain::new(Genesis {
                network_id: NetworkId::parse(NAME).unwrap(),
                rules: Rules::open_default(Target::for_hashes(16).to_compact()),
                created_at: TimestampMs(1_000_000),
                owner: identity(1).public_key(),
                enterprise_genesis: None,
                predecessor: None,
                access: Access::Private {
                    join_key: keys.join_key(),
                    reporters,
                },
            }),
            keys,
        }
    }

    pub(super) fn id(&self) -> ChainId {
        self.chain.chain_id()
    }

    fn genesis(&self) -> Option<Vec<u8>> {
        Some(self.chain.genesis().encode())
    }

    /// Mines an empty block on the tip; `mark` tells blocks of two branches apart.
    pub(super) fn mine(&mut self, mark: u8) -> Block {
        let genesis = self.chain.genesis().clone();
        let interval = u64::from(genesis.rules.interval_ms);
        let at = self.chain.tip().timestamp.plus_ms(interval);
        let record = MinerRecord {
            key: genesis.owner,
            free: [mark; 8],
        };
        let template = self.chain.template(record, Vec::new(), at);
        let target = template.header.target.target();
        let mut miner = Miner::new(&template.header, &target, 0, u32::MAX);
        let Step::Found(solution) = miner.step(u32::MAX) else {
            panic!("an easy target is met");
        };
        let block = template.solved(&genesis, solution).unwrap();
        self.chain.insert(block.clone(), at).unwrap();
        block
    }

    fn sealed(&self, by: &Identity, block: &Block) -> UncheckedSealed {
        let sealed = self
            .keys
            .seal_body(self.id(), &block.hash(), &block.encode());
        let report = Report::sign(by, self.id(), block.header().clone(), &sealed);
        UncheckedSealed::new(report, sealed).unwrap()
    }

    fn report_by(&self, by: &Identity, block: &Block) -> ReportedBlock {
        shape(&self.sealed(by, block))
    }

    fn report(&self, block: &Block) -> ReportedBlock {
        self.report_by(&reporter(), block)
    }

    pub(super) fn reset(&self, number: u32, from: u32, stays: Hash) -> Reset {
        Reset::sign(&identity(1), self.id(), number, Height(from), stays)
    }
}

fn shape(block: &UncheckedSealed) -> ReportedBlock {
    ReportedBlock {
        block_id: block.report().header.height.0,
        block_hash: block.report().header.hash().to_string(),
        raw: hex::encode(block.encode()),
    }
}

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

/// A ledger, its store, and what it ordered; the store has what was to be persisted before anything else is looked at.
pub(super) struct Bench {
    pub(super) ledger: Ledger,
    pub(super) store: Store,
    pub(super) data: tempfile::TempDir,
    now: TimestampMs,
}

impl Bench {
    pub(super) fn new() -> Self {
        let data = tempdir().unwrap();
        Self {
            ledger: Ledger::new(Forwarding::On),
            store: Store::open(data.path()).unwrap(),
            data,
            now: NOW,
        }
    }

    /// Loses everything but the store.
    pub(super) fn restart(self) -> (Self, Vec<Output>) {
        drop(self.store);
        let store = Store::open(self.data.path()).unwrap();
        let mut bench = Self {
            ledger: store.restore(Forwarding::On, self.now).unwrap(),
            store,
            ..self
        };
        let outputs = bench.handle(Input::Woken);
        (bench, outputs)
    }

    fn handle(&mut self, input: Input) -> Vec<Output> {
        self.ledger.handle(self.now, input);
        let outputs: Vec<_> = std::iter::from_fn(|| self.ledger.poll()).collect();
        let changes = outputs.iter().filter_map(|output| match output {
            Output::Persist(change) => Some(change.clone()),
            _ => None,
        });
        self.store.commit(&changes.collect::<Vec<_>>()).unwrap();
        outputs
    }

    /// Whatever is planned comes due.
    fn wait(&mut self, ms: u64) -> Vec<Output> {
        self.now = self.now.plus_ms(ms);
        self.handle(Input::Woken)
    }

    fn report(
        &mut self,
        of: &Quiet,
        genesis: Option<Vec<u8>>,
        reports: Vec<ReportedBlock>,
    ) -> Vec<Output> {
        self.report_if(true, of, genesis, reports)
    }

    fn report_if(
        &mut self,
        may_register: bool,
        of: &Quiet,
        genesis: Option<Vec<u8>>,
        reports: Vec<ReportedBlock>,
    ) -> Vec<Output> {
        let report = Box::new(MemberReport {
            room: of.keys.room(),
            genesis,
            reports,
        });
        self.handle(Input::Reported {
            connection: MEMBER,
            report,
            may_register,
        })
    }

    pub(super) fn reported(&mut self, of: &Quiet, blocks: &[Block]) -> Vec<Output> {
        let reports = blocks.iter().map(|block| of.report(block)).collect();
        self.report(of, of.genesis(), reports)
    }

    fn answer(&mut self, of: &Quiet, answer: Answer) -> Vec<Output> {
        let chain_id = of.id();
        self.handle(Input::Answered { chain_id, answer })
    }

    pub(super) fn reset(&mut self, of: &Quiet, reset: &Reset) -> Vec<Output> {
        self.handle(Input::ResetAsked {
            connection: MEMBER,
            room: of.keys.room(),
            reset: reset.encode(),
        })
    }

    pub(super) fn reset_answered(
        &mut self,
        of: &Quiet,
        number: u32,
        answer: ResetAnswer,
    ) -> Vec<Output> {
        self.handle(Input::ResetAnswered {
            chain_id: of.id(),
            number,
            answer,
        })
    }
}

pub(super) fn accepted(block: &Block) -> Answer {
    Answer::Accepted(Acceptance {
        height: block.header().height,
        hash: block.hash(),
        enterprise_height: 7,
        enterprise_hash: Hash([0xee; 32]),
    })
}

/// What a member that reported is told: accepted or refused with a reason, and the tip.
pub(super) fn verdict(outputs: &[Output]) -> Result<u32, String> {
    let verdicts = outputs.iter().filter_map(|output| match output {
        Output::Tell(fact) => match &**fact {
            hub::Input::UpdateChecked { outcome, .. } => Some(match outcome {
                UpdateOutcome::Accepted(tip) => Ok(tip.height),
                UpdateOutcome::Refused(_, reason) => Err(reason.clone()),
            }),
            hub::Input::RelayChecked {
                verdict: Err(reason),
                ..
            } => Some(Err(reason.clone())),
            _ => None,
        },
        _ => None,
    });
    let verdicts: Vec<_> = verdicts.collect();
    let [verdict] = &verdicts[..] else {
        panic!("{outputs:?}")
    };
    verdict.clone()
}

/// Whether the address is given back what it was charged with.
fn not_registered(outputs: &[Output]) -> bool {
    let is_one = |output: &Output| match output {
        Output::Tell(fact) => matches!(&**fact, hub::Input::NotRegistered { .. }),
        _ => false,
    };
    outputs.iter().any(is_one)
}

/// Whether, beside that, there is nothing but a verdict.
fn only_gives_back(outputs: &[Output]) -> bool {
    not_registered(outputs) && outputs.len() == 2
}

fn room_facts(outputs: &[Output]) -> Vec<RoomNetwork> {
    let facts = outputs.iter().filter_map(|output| match output {
        Output::Tell(fact) => match &**fact {
            hub::Input::RoomReported(network) => Some(network.clone()),
            _ => None,
        },
        _ => None,
    });
    facts.collect()
}

fn reset_outcomes(outputs: &[Output]) -> Vec<(Option<ConnectionId>, u32, ResetOutcome)> {
    let facts = outputs.iter().filter_map(|output| match output {
        Output::Tell(fact) => match &**fact {
            hub::Input::ResetChecked {
                connection,
                number,
                outcome,
                ..
            } => Some((*connection, *number, outcome.clone())),
            _ => None,
        },
        _ => None,
    });
    facts.collect()
}

/// The reported heights that go out, first and last.
fn forwarded(outputs: &[Output]) -> Option<(u32, u32)> {
    outputs.iter().find_map(|output| match output {
        Output::Forward { update, .. } => {
            assert!(update.new_blocks.is_empty(), "{update:?}");
            let reports = &update.new_reports;
            Some((reports.first()?.block_id, reports.last()?.block_id))
        }
        _ => None,
    })
}

fn resets_forwarded(outputs: &[Output]) -> usize {
    let is_one = |output: &&Output| matches!(output, Output::ForwardReset { .. });
    outputs.iter().filter(is_one).count()
}

fn asks_resets(outputs: &[Output]) -> bool {
    let is_one = |output: &Output| matches!(output, Output::AskResets { .. });
    outputs.iter().any(is_one)
}

pub(super) fn is_persist(output: &Output) -> bool {
    matches!(output, Output::Persist(_))
}

#[test]
fn a_report_is_durable_before_it_is_acknowledged_and_goes_out_with_its_genesis() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let blocks = [quiet.mine(0), quiet.mine(0)];
    let outputs = bench.reported(&quiet, &blocks);
    assert_eq!(verdict(&outputs), Ok(2));
    let last = outputs.iter().rposition(is_persist).unwrap();
    let first = outputs.iter().position(|output| !is_persist(output));
    assert!(last < first.unwrap(), "{outputs:?}");
    assert_eq!(forwarded(&outputs), Some((1, 2)));
    let update = outputs.iter().find_map(|output| match output {
        Output::Forward { update, .. } => Some(update),
        _ => None,
    });
    let genesis = hex::encode(quiet.chain.genesis().encode());
    assert_eq!(update.unwrap().genesis, Some(genesis));
    let [network] = &room_facts(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    assert_eq!(
        (network.room, network.chain_id),
        (quiet.keys.room(), quiet.id())
    );
    // Later reports need no genesis.
    let third = quiet.mine(0);
    let third = quiet.report(&third);
    assert_eq!(verdict(&bench.report(&quiet, None, vec![third])), Ok(3));
}

struct Bad(&'static str, Option<Vec<u8>>, Vec<ReportedBlock>);

#[test]
fn reports_that_do_not_count_are_refused_and_nothing_of_them_is_kept() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let before = quiet.chain.genesis().clone();
    let mut other = Quiet::new(4);
    let foreign = other.mine(0);
    let foreign = other.report(&foreign);
    let block = quiet.mine(0);
    let good = quiet.report(&block);
    let genesis = quiet.genesis();
    let open = Genesis {
        access: Access::Open,
        ..before.clone()
    };
    let nobody = Genesis {
        access: Access::Private {
            join_key: quiet.keys.join_key(),
            reporters: vec![identity(9).public_key()],
        },
        ..before
    };
    let mut forged = quiet.sealed(&reporter(), &block).report().clone();
    forged.signature.0[5] ^= 1;
    let body = quiet.sealed(&reporter(), &block).encode();
    let body = body[Report::BYTES..].to_vec();
    let forged = shape(&UncheckedSealed::new(forged, body).unwrap());
    let mut swapped = good.clone();
    let end = swapped.raw.len();
    swapped.raw.replace_range(end - 2.., "00");
    let mut renamed = good.clone();
    renamed.block_id = 2;
    let orphan = {
        let mut ahead = quiet.clone();
        let second = ahead.mine(0);
        ahead.report(&second)
    };
    let bad = [
        Bad(
            "is not a reporter",
            genesis.clone(),
            vec![quiet.report_by(&identity(9), &block)],
        ),
        Bad(
            "a report of chain",
            Some(nobody.encode()),
            vec![good.clone()],
        ),
        Bad("signature does not hold", genesis.clone(), vec![forged]),
        Bad("the report names", genesis.clone(), vec![swapped]),
        Bad("its bytes say", genesis.clone(), vec![renamed]),
        Bad("unknown", genesis.clone(), vec![orphan]),
        Bad("of another room", other.genesis(), vec![foreign]),
        Bad("an open network's", Some(open.encode()), vec![good.clone()]),
        Bad("genesis:", Some(vec![1; 40]), vec![good.clone()]),
        Bad("send it along", None, vec![good.clone()]),
    ];
    for Bad(reason, genesis, reports) in bad {
        let outputs = bench.report(&quiet, genesis, reports);
        let found = verdict(&outputs).expect_err(reason);
        assert!(found.contains(reason), "{reason}: {found}");
        assert!(only_gives_back(&outputs), "{reason}: {outputs:?}");
    }
    assert_eq!(bench.ledger.summary().networks, 0);
    // Without a block nothing is kept either.
    assert_eq!(
        verdict(&bench.report(&quiet, genesis.clone(), vec![])),
        Ok(0)
    );
    assert_eq!(bench.ledger.summary().networks, 0);
    assert_eq!(verdict(&bench.report(&quiet, genesis, vec![good])), Ok(1));
}

#[test]
fn a_replayed_report_and_another_reporters_of_the_block_change_nothing() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let block = quiet.mine(0);
    bench.reported(&quiet, std::slice::from_ref(&block));
    let other = vec![quiet.report_by(&identity(7), &block)];
    for reports in [vec![quiet.report(&block)], other] {
        let outputs = bench.report(&quiet, None, reports);
        assert_eq!(verdict(&outputs), Ok(1));
        assert!(only_gives_back(&outputs), "{outputs:?}");
    }
}

#[test]
fn an_address_that_may_register_no_more_reports_only_what_is_known() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let first = quiet.mine(0);
    let first = [quiet.report(&first)];
    let refused = bench.report_if(false, &quiet, quiet.genesis(), first.to_vec());
    assert!(verdict(&refused).unwrap_err().contains("too fast"));
    assert!(!refused.iter().any(is_persist) && !not_registered(&refused));
    // Nothing of it is here, so that its reporter does not take it for kept.
    let tip_is_genesis = |output: &Output| match output {
        Output::Tell(fact) => match &**fact {
            hub::Input::UpdateChecked {
                outcome: UpdateOutcome::Refused(tip, _),
                ..
            } => tip.height == 0,
            _ => false,
        },
        _ => false,
    };
    assert!(refused.iter().any(tip_is_genesis), "{refused:?}");
    // What is charged and registers nothing is given back.
    let nothing = bench.report(&quiet, quiet.genesis(), Vec::new());
    assert!(not_registered(&nothing), "{nothing:?}");
    let taken = bench.report(&quiet, quiet.genesis(), first.to_vec());
    assert_eq!(verdict(&taken), Ok(1));
    assert!(!not_registered(&taken), "{taken:?}");
    let again = bench.report(&quiet, quiet.genesis(), first.to_vec());
    assert!(not_registered(&again), "{again:?}");
    let second = quiet.mine(0);
    let second = vec![quiet.report(&second)];
    let known = bench.report_if(false, &quiet, quiet.genesis(), second);
    assert_eq!(verdict(&known), Ok(2));
}

#[test]
fn a_room_has_one_network_and_it_is_in_no_list_or_file_for_others() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let block = quiet.mine(0);
    bench.reported(&quiet, std::slice::from_ref(&block));
    let mut second = Quiet::new(3);
    let mut genesis = second.chain.genesis().clone();
    genesis.created_at = TimestampMs(2_000_000);
    second.chain = Chain::new(genesis);
    let block = second.mine(0);
    let refused = verdict(&bench.reported(&second, &[block])).unwrap_err();
    assert!(refused.contains("another network"), "{refused}");

    assert_eq!(bench.ledger.integration(), TrackerIntegration::default());
    let label = Label::plain(&quiet.chain.genesis().network_id);
    for network in [NetworkName::Label(label), NetworkName::Chain(quiet.id())] {
        let asker = Asker::Request(RequestId(1));
        let blocks = Vec::new();
        let outputs = bench.handle(Input::BlocksReported {
            asker,
            network,
            blocks,
        });
        assert!(
            matches!(
                outputs[..],
                [Output::Answer {
                    verdict: Err(Refusal::UnknownNetwork),
                    ..
                }]
            ),
            "{outputs:?}"
        );
    }
    // Its name is free for an open network.
    let open = Genesis {
        access: Access::Open,
        ..quiet.chain.genesis().clone()
    };
    let wish = Wish {
        genesis: open.encode(),
        listing: Listing::Listed,
        label: None,
    };
    let outputs = bench.handle(Input::RegistrationAsked {
        connection: MEMBER,
        wish,
    });
    assert!(outputs.iter().any(|output| matches!(output, Output::Tell(fact) if matches!(**fact, hub::Input::Registered { .. }))), "{outputs:?}");
    // What the validator says of the private network stays here: `/health` is for anyone.
    let reason = format!("{NAME} {}", quiet.id());
    bench.answer(&quiet, Answer::Refused { reason });
    let shown = bench.ledger.summary().last_failure.unwrap();
    assert!(
        !shown.contains(NAME) && !shown.contains(&quiet.id().to_string()),
        "{shown}"
    );
}

#[test]
fn reports_stay_in_the_outbox_over_failures_and_restarts_until_a_validator_names_them() {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let blocks = [quiet.mine(0), quiet.mine(0)];
    assert_eq!(forwarded(&bench.reported(&quiet, &blocks)), Some((1, 2)));
    let failures = [
        Answer::Failed {
            reason: "out".into(),
        },
        Answer::Refused {
            reason: "no".into(),
        },
        Answer::Void,
    ];
    for failure in failures {
        let outputs = bench.answer(&quiet, failure);
        assert_eq!(forwarded(&outputs), None, "there is a pause");
        let outputs = bench.wait(limits::BACKOFF_MAX_MS);
        assert_eq!(forwarded(&outputs), Some((1, 2)));
    }
    let (mut bench, outputs) = bench.restart();
    assert_eq!(forwarded(&outputs), Some((1, 2)));
    assert_eq!(bench.ledger.summary().unconfirmed_blocks, 2);
    let outputs = bench.answer(&quiet, accepted(&blocks[1]));
    let [network] = &room_facts(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    let anchor = network.anchor.clone().unwrap();
    assert_eq!(
        (anchor.network_id, anchor.height, anchor.hash),
        (
            quiet.keys.room().0.to_string(),
            2,
            blocks[1].hash().to_string()
        )
    );
    let (bench, outputs) = bench.restart();
    assert_eq!(bench.ledger.summary().unconfirmed_blocks, 0);
    assert_eq!(
        forwarded(&outputs),
        Some((2, 2)),
        "whether it still has them"
    );
}

/// Two reported and confirmed blocks.
fn confirmed() -> (Bench, Quiet, [Block; 2]) {
    let (mut bench, mut quiet) = (Bench::new(), Quiet::new(3));
    let blocks = [quiet.mine(0), quiet.mine(0)];
    bench.reported(&quiet, &blocks);
    bench.answer(&quiet, accepted(&blocks[1]));
    (bench, quiet, blocks)
}

#[test]
fn a_reset_goes_out_until_it_is_executed_also_after_a_restart_and_its_room_is_told() {
    let (mut bench, quiet, blocks) = confirmed();
    let reset = quiet.reset(1, 2, blocks[0].hash());
    let outputs = bench.reset(&quiet, &reset);
    assert!(is_persist(&outputs[0]), "{outputs:?}");
    assert_eq!(resets_forwarded(&outputs), 1);
    let again = bench.reset(&quiet, &reset);
    assert_eq!(resets_forwarded(&again), 0, "it is on its way");
    let reason = "out".into();
    bench.reset_answered(&quiet, 1, ResetAnswer::Failed { reason });
    assert_eq!(bench.ledger.summary().failing, 1);
    assert_eq!(resets_forwarded(&bench.wait(limits::BACKOFF_MAX_MS)), 1);

    let (mut bench, outputs) = bench.restart();
    assert_eq!(resets_forwarded(&outputs), 1);
    let outputs = bench.reset_answered(&quiet, 1, ResetAnswer::Waiting);
    assert_eq!(reset_outcomes(&outputs), []);
    assert_eq!(resets_forwarded(&bench.wait(limits::RESET_POLL_MS)), 1);
    bench.answer(&quiet, accepted(&blocks[1]));
    let outputs = bench.reset_answered(&quiet, 1, ResetAnswer::Executed);
    assert_eq!(
        reset_outcomes(&outputs),
        [(None, 1, ResetOutcome::Executed)]
    );
    let [network] = &room_facts(&outputs)[..] else {
        panic!("{outputs:?}")
    };
    let tip = network.tip.clone().map(|tip| tip.height);
    assert_eq!((tip, network.resets, &network.anchor), (Some(1), 1, &None));
    assert_eq!(
        forwarded(&outputs),
        Some((1, 1)),
        "for the anchor of what stays"
    );

    let (mut bench, _) = bench.restart();
    assert_eq!(bench.ledger.summary().unconfirmed_blocks, 1);
    let book = &bench.ledger.books[&quiet.id()];
    assert_eq!((book.resets, book.chain.tip().hash), (1, blocks[0].hash()));
    let mut after = quiet.clone();
    after.chain = Chain::new(quiet.chain.genesis().clone());
    after.chain.insert(blocks[0].clone(), NOW).unwrap();
    let new = after.mine(9);
    assert_eq!(verdict(&bench.reported(&after, &[new])), Ok(2));
}

#[test]
fn resets_that_are_not_the_owners_or_not_the_next_are_refused_to_their_sender() {
    let (mut bench, quiet, blocks) = confirmed();
    let stays = blocks[0].hash();
    let by_member = Reset::sign(&reporter(), quiet.id(), 1, Height(2), stays);
    let other = Quiet::new(4);
    let foreign = Reset::sign(&identity(1), other.id(), 1, Height(2), stays);
    for (reset, reason) in [(by_member, "owner"), (foreign, "owner")] {
        let outputs = bench.reset(&quiet, &reset);
        let [(Some(MEMBER), 1, ResetOutcome::Refused(found))] = &reset_outcomes(&outputs)[..]
        else {
            panic!("{outputs:?}")
        };
        assert!(found.contains(reason), "{found}");
        assert_eq!(outputs.len(), 1, "{outputs:?}");
    }
    // Of a room that nobody reports.
    let outputs = bench.reset(&other, &quiet.reset(1, 2, stays));
    assert!(matches!(
        reset_outcomes(&outputs)[..],
        [(Some(MEMBER), 1, ResetOutcome::Refused(_))]
    ));
    // The validators know better.
    bench.reset(&quiet, &quiet.reset(1, 2, stays));
    let second = bench.reset(&quiet, &quiet.reset(1, 1, quiet.id().0));
    assert!(matches!(
        reset_outcomes(&second)[..],
        [(Some(MEMBER), 1, ResetOutcome::Refused(_))]
    ));
    let reason = String::from("nothing is final at this height");
    let outputs = bench.reset_answered(
        &quiet,
        1,
        ResetAnswer::Refused {
            reason: reason.clone(),
        },
    );
    assert_eq!(
        reset_outcomes(&outputs),
        [(Some(MEMBER), 1, ResetOutcome::Refused(reason))]
    );
    let (mut bench, outputs) = bench.restart();
    assert_eq!(resets_forwarded(&outputs), 0);
    // Nobody to forward it to.
    bench.ledger.forwarding = Forwarding::Off;
    let outputs = bench.reset(&quiet, &quiet.reset(1, 2, stays));
    assert!(matches!(
        reset_outcomes(&outputs)[..],
        [(_, 1, ResetOutcome::Refused(_))]
    ));
}

#[test]
fn resets_on_their_way_are_bounded_over_all_networks() {
    let mut bench = Bench::new();
    let mut sent = 0;
    let networks: Vec<_> = (10..20)
        .map(|key| {
            let mut quiet = Quiet::new(key);
            let block = quiet.mine(0);
            bench.reported(&quiet, &[block]);
            sent += resets_forwarded(&bench.reset(&quiet, &quiet.reset(1, 1, quiet.id().0)));
            quiet
        })
        .collect();
    assert_eq!(sent, limits::FORWARDS_IN_FLIGHT_MAX);
    let mut answered = 0;
    for _ in 0..networks.len() {
        for quiet in &networks {
            let reason = "no".into();
            let outputs = bench.reset_answered(quiet, 1, ResetAnswer::Refused { reason });
            answered += reset_outcomes(&outputs).len();
            sent += resets_forwarded(&outputs);
        }
    }
    assert_eq!((sent, answered), (networks.len(), networks.len()));
}

#[test]
fn the_reset_that_is_due_for_the_longest_goes_first() {
    let mut bench = Bench::new();
    let mut networks: Vec<_> = (10..16).map(Quiet::new).collect();
    networks.sort_by_key(Quiet::id);
    let (last, first) = networks.split_last_mut().unwrap();
    for quiet in first.iter_mut().chain([&mut *last]) {
        let block = quiet.mine(0);
        bench.reported(quiet, &[block]);
    }
    for quiet in &first[..limits::FORWARDS_IN_FLIGHT_MAX] {
        let sent = bench.reset(quiet, &quiet.reset(1, 1, quiet.id().0));
        assert_eq!(resets_forwarded(&sent), 1);
    }
    for waits in [&*last, &first[limits::FORWARDS_IN_FLIGHT_MAX]] {
        bench.now = bench.now.plus_ms(1);
        let outputs = bench.reset(waits, &waits.reset(1, 1, waits.id().0));
        assert_eq!(resets_forwarded(&outputs), 0);
    }
    let reason = "out".into();
    let outputs = bench.reset_answered(&first[0], 1, ResetAnswer::Failed { reason });
    let sent = outputs.iter().find_map(|output| match output {
        Output::ForwardReset { chain_id, .. } => Some(*chain_id),
        _ => None,
    });
    assert_eq!(sent, Some(last.id()));
}

#[test]
fn a_reset_outlives_validators_that_lag_until_one_knows_the_network() {
    let (mut bench, quiet, blocks) = confirmed();
    bench.reset(&quiet, &quiet.reset(1, 2, blocks[0].hash()));
    for _ in 0..12 {
        let outputs = bench.reset_answered(&quiet, 1, ResetAnswer::TooEarly);
        assert_eq!(reset_outcomes(&outputs), []);
        bench.wait(limits::REFUSED_BACKOFF_MAX_MS);
    }
    let (mut bench, outputs) = bench.restart();
    assert_eq!(resets_forwarded(&outputs), 1);
    for _ in 0..12 {
        bench.reset_answered(&quiet, 1, ResetAnswer::TooEarly);
        bench.wait(limits::REFUSED_BACKOFF_MAX_MS);
    }
    bench.reset_answered(&quiet, 1, ResetAnswer::TooEarly);
    assert_eq!(resets_forwarded(&bench.wait(limits::BACKOFF_MAX_MS)), 0);
    assert_eq!(bench.ledger.summary().failing, 1);
    bench.answer(&quiet, accepted(&blocks[1]));
    assert_eq!(resets_forwarded(&bench.wait(limits::BACKOFF_MAX_MS)), 1);
    let outputs = bench.reset_answered(&quiet, 1, ResetAnswer::Executed);
    assert_eq!(
        reset_outcomes(&outputs),
        [(None, 1, ResetOutcome::Executed)]
    );
    assert_eq!(bench.ledger.summary().last_failure, None);
}

#[test]
fn resets_that_came_another_way_are_followed_in_turn_if_the_owner_signed_them() {
    let (mut bench, quiet, blocks) = confirmed();
    let (first, second) = (
        quiet.reset(1, 2, blocks[0].hash()),
        quiet.reset(2, 1, quiet.id().0),
    );
    // A block beside the chain, a void one, and a reset out of turn are reasons to ask.
    let mut fork = Quiet::new(3);
    fork.chain.insert(blocks[0].clone(), NOW).unwrap();
    let beside = fork.mine(5);
    assert!(asks_resets(&bench.reported(&fork, &[beside])));
    let heavier = fork.mine(5);
    assert!(
        !asks_resets(&bench.reported(&fork, &[heavier])),
        "not all the time"
    );
    bench.now = bench.now.plus_ms(limits::RESETS_ASK_MS);
    assert!(asks_resets(&bench.answer(&quiet, Answer::Void)));
    bench.now = bench.now.plus_ms(limits::RESETS_ASK_MS);
    assert!(asks_resets(&bench.reset(&quiet, &second)));

    let chain_id = quiet.id();
    let forged = Reset::sign(&reporter(), chain_id, 1, Height(1), chain_id.0);
    for resets in [vec![forged], vec![second.clone()], vec![]] {
        assert!(
            bench
                .handle(Input::ResetsTold { chain_id, resets })
                .is_empty()
        );
    }
    let resets = vec![first, second];
    let outputs = bench.handle(Input::ResetsTold { chain_id, resets });
    let told = reset_outcomes(&outputs);
    assert_eq!(
        told,
        [
            (None, 1, ResetOutcome::Executed),
            (None, 2, ResetOutcome::Executed)
        ]
    );
    assert_eq!(room_facts(&outputs).last().unwrap().tip, None);
    assert_eq!(bench.ledger.summary().unconfirmed_blocks, 0);
    let (mut bench, outputs) = bench.restart();
    assert_eq!(
        resets_forwarded(&outputs),
        0,
        "the one on its way was executed"
    );
    assert_eq!(bench.ledger.books[&chain_id].resets, 2);
    let outputs = bench.reset(&quiet, &quiet.reset(2, 1, chain_id.0));
    assert!(matches!(
        reset_outcomes(&outputs)[..],
        [(Some(MEMBER), 2, ResetOutcome::Refused(_))]
    ));
}
