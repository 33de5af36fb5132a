//! The Tendermint core behind the seam: one core state a height, begun when there is something to decide.
//!
//! An idle chain runs no timers. A height begins when this validator has work, when it judged a proposed block valid, when
//! the proposer of a round proposes, or when more than a third of the validators speak of it, so that no single faulty one
//! can make the others work. What is said before that waits.
//!
//! Invariants: no vote or proposal is signed that contradicts one in the log of the height; after a core that broke off
//! nothing is signed.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;

use malachite::{
    CertificateError, CommitCertificate, NilOrVal, Round as CoreRound, Timeout, TimeoutKind,
    Validity, ValueOrigin, ValuePayload, Vote as _, VoteExtensionPolicy, VoteType,
};
use shared::enterprise::{Certificate, EnterpriseHeight, Round, Timeouts, ValidatorSet};
use shared::identity::Identity;
use shared::ids::{ChainId, PublicKey, Signature, TimestampMs};
use tendermint::{
    ConsensusMsg, Effect, LivenessMsg, LocallyProposedValue, MisbehaviorEvidence, Params,
    ProposedValue, Resumable as _, Resume, SignedConsensusMsg, State, ThresholdParams,
};

use super::context::{Address, BlockId, Context, Height, Set, Vote};
use super::message::{Kind, Message, is_proposal_signed, is_vote_signed, sign_proposal, sign_vote};
use super::record::{Record, input_of};
use super::{Agreement, AgreementError, Evidence, Input, NextHeight, Output};

/// Messages of one validator that wait for their height to begin.
pub const WAITING_MAX: usize = 64;
/// Precommits of a height whose signatures are known to hold; those of further ones are verified again in the certificate.
const PRECOMMITS_MAX: usize = 1_024;

type CoreInput = tendermint::Input<Context>;
type CertificateVerdict = Result<(), CertificateError<Context>>;

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

/// What the core asks for: signatures, timers, the log, the network.
struct Host {
    identity: Identity,
    chain: ChainId,
    timeouts: Timeouts,
    validators: ValidatorSet,
    timers: Vec<(TimestampMs, Timeout)>,
    /// Precommits of this height whose signatures hold.
    precommits: Vec<(Vote, Signature)>,
    outputs: VecDeque<Output>,
    now: TimestampMs,
    is_replaying: bool,
}

impl Host {
    fn publish(&mut self, kind: Kind) {
        self.outputs.push_back(Output::Publish(Message(kind)));
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one arm an effect of the core, each a line or two"
    )]
    fn perform(&mut self, effect: Effect<Context>) -> Result<Resume<Context>, Infallible> {
        let resume = match effect {
            Effect::CancelAllTimeouts(resume) => {
                self.timers.clear();
                resume.resume_with(())
            }
            Effect::CancelTimeout(timeout, resume) => {
                self.timers.retain(|(_, other)| *other != timeout);
                resume.resume_with(())
            }
            Effect::ScheduleTimeout(timeout, resume) => {
                self.schedule(timeout);
                resume.resume_with(())
            }
            Effect::StartRound(_, _, _, _, resume) => resume.resume_with(()),
            Effect::PublishConsensusMsg(message, resume) => {
                self.publish(match message {
                    SignedConsensusMsg::Vote(vote) => Kind::Vote(vote),
                    SignedConsensusMsg::Proposal(proposal) => Kind::Proposal(proposal),
                });
                resume.resume_with(())
            }
            Effect::PublishLivenessMsg(message, resume) => {
                self.publish(match message {
                    LivenessMsg::Vote(vote) => Kind::Vote(vote),
                    LivenessMsg::PolkaCertificate(certificate) => Kind::Polka(certificate),
                    LivenessMsg::SkipRoundCertificate(certificate) => Kind::Round(certificate),
                });
                resume.resume_with(())
            }
            Effect::RepublishVote(vote, resume) => {
                self.publish(Kind::Vote(vote));
                resume.resume_with(())
            }
            Effect::RepublishRoundCertificate(certificate, resume) => {
                self.publish(Kind::Round(certificate));
                resume.resume_with(())
            }
            Effect::GetValue(height, round, _, resume) => {
                self.outputs.push_back(Output::BuildValue {
                    height: EnterpriseHeight(height.0),
                    round: round_of(round),
                });
                resume.resume_with(())
            }
            Effect::RestreamProposal(height, round, _, _, value, resume) => {
                self.outputs.push_back(Output::SendValue {
                    height: EnterpriseHeight(height.0),
                    round: round_of(round),
                    block_hash: value.0,
                });
                resume.resume_with(())
            }
            Effect::Decide(certificate, _, resume) => {
                let verified = self.verified(&certificate);
                let certificate = self.certificate(certificate);
                self.outputs.push_back(Output::Decide {
                    certificate,
                    verified,
                });
                resume.resume_with(())
            }
            Effect::Finalize(_, _, evidence, resume) => {
                self.report(&evidence);
                resume.resume_with(())
            }
            Effect::SignVote(vote, resume) => {
                let signed = sign_vote(vote, &self.identity, self.chain);
                self.remember(&signed.message, &signed.signature);
                resume.resume_with(signed)
            }
            Effect::SignProposal(proposal, resume) => {
                resume.resume_with(sign_proposal(proposal, &self.identity, self.chain))
            }
            Effect::VerifySignature(signed, key, resume) => {
                let signature = &signed.signature;
                resume.resume_with(match &signed.message {
                    ConsensusMsg::Vote(vote) => {
                        let holds = vote.voter.0 == key
                            && is_vote_signed(vote, &key, self.chain, signature);
                        if holds {
                            self.remember(vote, signature);
                        }
                        holds
                    }
                    ConsensusMsg::Proposal(proposal) => {
                        is_proposal_signed(proposal, &key, self.chain, signature)
                    }
                })
            }
            // The ledger verifies it, and of its signatures those that were not verified vote by vote.
            Effect::VerifyCommitCertificate(_, _, _, resume) => resume.resume_with(Ok(())),
            Effect::VerifyExtendedCommitCertificate(_, _, _, _, resume) => {
                resume.resume_with(Err(CertificateError::VerificationError(None)))
            }
            Effect::VerifyPolkaCertificate(certificate, set, thresholds, resume) => {
                let votes: Vec<_> = certificate.votes(&Context).collect();
                let verdict = self.verify(&votes, &set, thresholds.quorum);
                resume.resume_with(verdict)
            }
            Effect::VerifyRoundCertificate(certificate, set, thresholds, resume) => {
                let votes: Vec<_> = certificate.votes(&Context).collect();
                let is_skip = certificate.cert_type == malachite::RoundCertificateType::Skip;
                let threshold = if is_skip {
                    thresholds.honest
                } else {
                    thresholds.quorum
                };
                let stray = votes
                    .iter()
                    .find(|vote| !is_skip && vote.vote_type() != VoteType::Precommit);
                resume.resume_with(match stray {
                    Some(vote) => Err(CertificateError::InvalidVoteType(vote.voter)),
                    None => self.verify(&votes, &set, threshold),
                })
            }
            Effect::WalAppend(height, input, resume) => {
                if !self.is_replaying
                    && let Some(record) = Record::of(height, input)
                {
                    self.outputs.push_back(Output::Log(record));
                }
                resume.resume_with(())
            }
            Effect::CertVerifiedSyncValue(_, _, resume) => resume.resume_with(()),
            Effect::CertRejectedSyncValue(_, _, _, resume) => resume.resume_with(()),
            Effect::ExtendVote(_, _, _, _, resume) => resume.resume_with(None),
            Effect::VerifyVoteExtension(_, _, _, _, _, _, resume) => {
                resume.resume_with(Err(tendermint::VoteExtensionError::InvalidVoteExtension))
            }
        };
        Ok(resume)
    }

    /// Distinct members of the set, each with a true signature, as many as the threshold asks for.
    #[expect(
        clippy::result_large_err,
        reason = "the error is the core's, and it asks for it by value"
    )]
    fn verify(
        &self,
        votes: &[malachite::SignedVote<Context>],
        set: &Set,
        threshold: malachite::ThresholdParam,
    ) -> CertificateVerdict {
        use malachite::ValidatorSet as _;
        let mut voters = std::collections::BTreeSet::new();
        for signed in votes {
            let voter = signed.voter;
            if set.get_by_address(&voter).is_none() {
                return Err(CertificateError::UnknownValidator(voter));
            }
            if !voters.insert(voter) {
                return Err(CertificateError::DuplicateVote(voter));
            }
        }
        let (signed, total) = (
            u64::try_from(voters.len()).unwrap_or(u64::MAX),
            set.total_voting_power(),
        );
        if !threshold.is_met(signed, total) {
            return Err(CertificateError::NotEnoughVotingPower {
                signed,
                total,
                expected: threshold.min_expected(total),
            });
        }
        let is_true = |signed: &malachite::SignedVote<Context>| {
            is_vote_signed(
                &signed.message,
                &signed.voter.0,
                self.chain,
                &signed.signature,
            )
        };
        if votes.iter().all(is_true) {
            Ok(())
        } else {
            Err(CertificateError::VerificationError(None))
        }
    }

    fn schedule(&mut self, timeout: Timeout) {
        self.timers.retain(|(_, other)| *other != timeout);
        let after = self.duration_ms(timeout);
        self.timers.push((self.now.plus_ms(after), timeout));
    }

    /// Timeouts grow with the round up to the genesis' maximum.
    fn duration_ms(&self, timeout: Timeout) -> u64 {
        let Timeouts {
            propose_ms,
            prevote_ms,
            precommit_ms,
            growth_ms,
            max_ms,
        } = self.timeouts;
        let round = timeout.round.as_u32().unwrap_or(0);
        let base = match timeout.kind {
            TimeoutKind::Propose => propose_ms,
            TimeoutKind::Prevote => prevote_ms,
            TimeoutKind::Precommit => precommit_ms,
            TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => propose_ms
                .saturating_add(prevote_ms)
                .saturating_add(precommit_ms),
        };
        let grown = base.saturating_add(growth_ms.saturating_mul(round));
        u64::from(grown.min(max_ms))
    }

    /// Notes a precommit whose signature holds.
    fn remember(&mut self, vote: &Vote, signature: &Signature) {
        if vote.kind == VoteType::Precommit && self.precommits.len() < PRECOMMITS_MAX {
            self.precommits.push((*vote, *signature));
        }
    }

    /// The signatures over what a certificate decides that are known to hold.
    fn verified(&self, commit: &CommitCertificate<Context>) -> Vec<(PublicKey, Signature)> {
        let is_of_it = |vote: &Vote| {
            vote.height == commit.height
                && vote.round == commit.round
                && vote.block == NilOrVal::Val(commit.value_id)
        };
        let votes = self.precommits.iter().filter(|(vote, _)| is_of_it(vote));
        votes
            .map(|(vote, signature)| (vote.voter.0, *signature))
            .collect()
    }

    fn certificate(&self, commit: CommitCertificate<Context>) -> Certificate {
        let mut signatures: Vec<(u16, Signature)> = commit
            .commit_signatures
            .into_iter()
            .filter_map(|signed| {
                let index = self.validators.index_of(&signed.address.0)?;
                Some((index, signed.signature))
            })
            .collect();
        signatures.sort_by_key(|(index, _)| *index);
        signatures.dedup_by_key(|(index, _)| *index);
        Certificate {
            height: EnterpriseHeight(commit.height.0),
            round: round_of(commit.round),
            block_hash: commit.value_id.0,
            signatures,
        }
    }

    fn report(&mut self, evidence: &MisbehaviorEvidence<Context>) {
        let votes = evidence.votes.iter().flat_map(|(address, pairs)| {
            pairs.iter().map(|(first, second)| Evidence {
                offender: address.0,
                first: Message(Kind::Vote(first.clone())),
                second: Message(Kind::Vote(second.clone())),
            })
        });
        let proposals = evidence.proposals.iter().flat_map(|(address, pairs)| {
            pairs.iter().map(|(first, second)| Evidence {
                offender: address.0,
                first: Message(Kind::Proposal(first.clone())),
                second: Message(Kind::Proposal(second.clone())),
            })
        });
        let outputs = votes.chain(proposals).map(Output::Evidence);
        self.outputs.extend(outputs);
    }
}

fn round_of(round: CoreRound) -> Round {
    Round(round.as_u32().unwrap_or(0))
}
