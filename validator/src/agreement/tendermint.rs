//! The Tendermint core behind the seam: one core state a height, begun when there is something to decide.
//!
//! An idle chain runs no timers. A height begins when this validator has work, when it judged a proposed block valid, when
//! the proposer of a round proposes, or when more than a third of the validators speak of it, so that no single faulty one
//! can make the others work. What is said before that waits.
//!
//! Invariants: no vote or proposal is signed that contradicts one in the log of the height; after a core that broke off
//! nothing is signed.

use std::collections::{BTreeMap, VecDeque};

use malachite::{Round as CoreRound, Validity, ValueOrigin, ValuePayload, VoteExtensionPolicy};
use shared::enterprise::{EnterpriseHeight, Round, Timeouts, ValidatorSet};
use shared::identity::Identity;
use shared::ids::{ChainId, PublicKey, TimestampMs};
use tendermint::{
    LocallyProposedValue, MisbehaviorEvidence, Params, ProposedValue, State, ThresholdParams,
};

use super::context::{Address, BlockId, Context, Height, Set};
use super::host::Host;
use super::message::{Kind, Message};
use super::record::input_of;
use super::{Agreement, AgreementError, Input, NextHeight, Output};

/// Messages of one validator that wait for their height to begin.
pub const WAITING_MAX: usize = 64;

type CoreInput = tendermint::Input<Context>;

/// The agreement of one validator.
pub struct Tendermint {
    height: EnterpriseHeight,
    phase: Phase,
    core: State<Context>,
    set: Set,
    validators: ValidatorSet,
    waiting: BTreeMap<EnterpriseHeight, BTreeMap<PublicKey, Vec<Message>>>,
    host: Host,
}

/// How far the height is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Running,
    Decided,
    Stopped,
}

impl std::fmt::Debug for Tendermint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tendermint")
            .field("height", &self.height)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Tendermint {
    /// The agreement of the validator with this key, before its first height.
    #[must_use]
    pub fn new(
        identity: Identity,
        chain: ChainId,
        timeouts: Timeouts,
        validators: &ValidatorSet,
    ) -> Self {
        let set = Set::new(validators, &[]);
        let height = EnterpriseHeight(0);
        let address = Address(identity.public_key());
        Self {
            height,
            phase: Phase::Decided,
            core: core(address, height, set.clone(), false),
            set,
            validators: validators.clone(),
            waiting: BTreeMap::new(),
            host: Host {
                identity,
                chain,
                timeouts,
                validators: validators.clone(),
                timers: Vec::new(),
                precommits: Vec::new(),
                outputs: VecDeque::new(),
                now: TimestampMs(0),
                is_replaying: false,
            },
        }
    }

    /// Makes the core of the next height, and replays its log.
    fn enter(&mut self, next: NextHeight) -> Result<(), AgreementError> {
        let NextHeight {
            height,
            validators,
            proposers,
            records,
            votes,
        } = next;
        // A height that others decided first may have left some.
        let evidence = MisbehaviorEvidence {
            proposals: self.core.driver.take_proposal_evidence(),
            votes: self.core.driver.take_vote_evidence(),
        };
        self.host.report(&evidence);
        self.height = height;
        self.set = Set::new(&validators, &proposers);
        self.host.validators = validators.clone();
        self.validators = validators;
        self.host.timers.clear();
        self.host.precommits.clear();
        let address = Address(self.host.identity.public_key());
        self.core = core(address, height, self.set.clone(), votes);
        self.phase = Phase::Idle;
        self.waiting.retain(|at, _| *at >= height);
        let records: Vec<CoreInput> = records
            .into_iter()
            .filter(|record| record.height() == height)
            .map(|record| record.input)
            .collect();
        if !records.is_empty() {
            self.recover(records)?;
        } else if self.is_spoken_of() {
            self.begin()?;
        }
        Ok(())
    }

    fn recover(&mut self, records: Vec<CoreInput>) -> Result<(), AgreementError> {
        self.core.index_wal_entries(records.iter());
        self.host.is_replaying = true;
        self.phase = Phase::Running;
        self.process(self.start_input(true))?;
        for input in records {
            if self.phase == Phase::Running {
                self.process(input)?;
            }
        }
        self.core.reset_entries_index();
        self.host.is_replaying = false;
        self.feed_waiting()
    }

    /// Begins the height, with what has been said of it.
    fn begin(&mut self) -> Result<(), AgreementError> {
        self.phase = Phase::Running;
        self.process(self.start_input(false))?;
        self.feed_waiting()
    }

    fn start_input(&self, is_restart: bool) -> CoreInput {
        CoreInput::StartHeight(
            Height(self.height.0),
            self.set.clone(),
            is_restart,
            None,
            VoteExtensionPolicy::Disabled,
        )
    }

    fn feed_waiting(&mut self) -> Result<(), AgreementError> {
        let waiting = self.waiting.remove(&self.height).unwrap_or_default();
        for message in waiting.into_values().flatten() {
            self.feed(input_of(message))?;
        }
        Ok(())
    }

    fn feed(&mut self, input: CoreInput) -> Result<(), AgreementError> {
        if self.phase == Phase::Running {
            self.process(input)?;
        }
        Ok(())
    }

    /// Whether enough is said of this height to begin it.
    fn is_spoken_of(&self) -> bool {
        let Some(waiting) = self.waiting.get(&self.height) else {
            return false;
        };
        let is_proposed = |(from, messages): (&PublicKey, &Vec<Message>)| {
            messages.iter().any(|message| {
                matches!(message.0, Kind::Proposal(_))
                    && self.leads(from, CoreRound::Some(message.round()))
            })
        };
        let third = self.validators.validators().len().saturating_sub(1) / 3;
        waiting.len() > third || waiting.iter().any(is_proposed)
    }

    fn leads(&self, key: &PublicKey, round: CoreRound) -> bool {
        self.set
            .proposer(round)
            .is_some_and(|member| *key == member.key())
    }

    fn heard(&mut self, from: PublicKey, message: Message) -> Result<(), AgreementError> {
        if matches!(message.0, Kind::Vote(_))
            && let Some(author) = message.author()
            && author != from
        {
            return Err(AgreementError::NotTheAuthor { author, from });
        }
        if self.validators.index_of(&from).is_none() {
            return Ok(());
        }
        let at = message.height();
        if at == self.height && self.phase == Phase::Running {
            return self.process(input_of(message));
        }
        let is_coming = match self.phase {
            Phase::Idle => at == self.height || at == self.height.next(),
            Phase::Running | Phase::Decided => at == self.height.next(),
            Phase::Stopped => false,
        };
        if is_coming {
            let waiting = self.waiting.entry(at).or_default().entry(from).or_default();
            if waiting.len() < WAITING_MAX {
                waiting.push(message);
            }
            if self.phase == Phase::Idle && at == self.height && self.is_spoken_of() {
                return self.begin();
            }
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), AgreementError> {
        loop {
            let now = self.host.now;
            let due = self.host.timers.iter().position(|(at, _)| *at <= now);
            let Some(due) = due.filter(|_| self.phase == Phase::Running) else {
                return Ok(());
            };
            let (_, timeout) = self.host.timers.remove(due);
            self.process(CoreInput::TimeoutElapsed(timeout))?;
        }
    }

    fn process(&mut self, input: CoreInput) -> Result<(), AgreementError> {
        let Self { core, host, .. } = self;
        let result: Result<(), tendermint::Error<Context>> = tendermint::process!(
            input: input,
            state: core,
            metrics: &(),
            with: effect => host.perform(effect)
        );
        if let Some(Output::Decide { .. }) = self
            .host
            .outputs
            .iter()
            .find(|output| matches!(output, Output::Decide { .. }))
            .filter(|_| self.phase == Phase::Running)
        {
            self.phase = Phase::Decided;
            self.host.timers.clear();
        }
        match result {
            Ok(()) => Ok(()),
            Err(
                error @ (tendermint::Error::ReplayDivergence(..)
                | tendermint::Error::WalCorrupted(_)
                | tendermint::Error::UnexpectedResume(..)),
            ) => {
                self.phase = Phase::Stopped;
                self.host.timers.clear();
                Err(AgreementError::Stopped(error.to_string()))
            }
            Err(error) => {
                tracing::warn!(height = self.height.0, %error, "an input of the agreement failed");
                Ok(())
            }
        }
    }

    fn expect(&self, found: EnterpriseHeight) -> Result<(), AgreementError> {
        let expected = self.height;
        if found == expected {
            Ok(())
        } else {
            Err(AgreementError::OtherHeight { found, expected })
        }
    }
}

impl Agreement for Tendermint {
    fn handle(&mut self, now: TimestampMs, input: Input) -> Result<(), AgreementError> {
        self.host.now = self.host.now.max(now);
        if self.phase == Phase::Stopped {
            return Ok(());
        }
        match input {
            Input::Height(next) => self.enter(next),
            Input::WorkPending { height } => {
                self.expect(height)?;
                if self.phase == Phase::Idle {
                    self.begin()?;
                }
                Ok(())
            }
            Input::ValueBuilt {
                height,
                round,
                block_hash,
            } => {
                self.expect(height)?;
                if self.phase != Phase::Running || self.core.round() != CoreRound::Some(round.0) {
                    return Ok(());
                }
                self.host.outputs.push_back(Output::SendValue {
                    height,
                    round,
                    block_hash,
                });
                let (height, round) = (Height(height.0), CoreRound::Some(round.0));
                let value = LocallyProposedValue::new(height, round, BlockId(block_hash));
                self.feed(CoreInput::Propose(value))
            }
            Input::ValueJudged {
                height,
                round,
                proposer,
                block_hash,
                is_valid,
            } => {
                self.expect(height)?;
                if self.phase == Phase::Idle
                    && is_valid
                    && self.leads(&proposer, CoreRound::Some(round.0))
                {
                    self.begin()?;
                }
                let value = ProposedValue {
                    height: Height(height.0),
                    round: CoreRound::Some(round.0),
                    valid_round: CoreRound::Nil,
                    proposer: Address(proposer),
                    value: BlockId(block_hash),
                    validity: Validity::from_bool(is_valid),
                };
                self.feed(CoreInput::ProposedValue(value, ValueOrigin::Consensus))
            }
            Input::Message { from, message } => self.heard(from, message),
            Input::Tick => self.tick(),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.host.outputs.pop_front()
    }

    fn next_tick(&self) -> Option<TimestampMs> {
        self.host.timers.iter().map(|(at, _)| *at).min()
    }

    fn round(&self) -> Option<Round> {
        let is_begun = matches!(self.phase, Phase::Running | Phase::Decided);
        let round = self.core.round().as_u32().filter(|_| is_begun);
        round.map(Round)
    }
}

fn core(address: Address, height: EnterpriseHeight, set: Set, votes: bool) -> State<Context> {
    let params = Params {
        address,
        threshold_params: ThresholdParams::default(),
        value_payload: ValuePayload::ProposalAndParts,
        enabled: votes,
    };
    // What is said of heights to come waits before the core, so that its own queue stays empty.
    State::new(Context, Height(height.0), set, params, 1, 1)
}
