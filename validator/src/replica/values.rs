//! Blocks on their way to a decision: building, judging, fetching what they need, deciding.

use std::collections::{BTreeMap, BTreeSet};

use shared::enterprise::{Certificate, EnterpriseBlock, EnterpriseHeight, Round};
use shared::hash::Hash;
use shared::ids::{PublicKey, Signature, TimestampMs};

use super::{
    ByHash, KEYS_MAX, Keys, Lacking, LogRecord, Message, Now, Output, Replica, ReplicaError,
    StoreOrder,
};
use crate::agreement;
use crate::body::UncheckedBody;
use crate::ledger::{Judgement, ProposalError, Timeliness};
use crate::store::BodyKey;

/// Blocks that one peer may send for one height, each for another round.
pub const ROUNDS_MAX: usize = 16;
/// How long a block waits for tenant blocks that are on their way, in ms, before they are asked for.
pub const ASK_BODIES_MS: u64 = 30;
/// How long it waits for an answer, in ms, before the next one is asked.
const ASK_AGAIN_MS: u64 = 500;

/// The blocks of the height.
#[derive(Debug, Default)]
pub(super) struct Values {
    wanted: Option<(EnterpriseHeight, Round)>,
    waiting: ByHash<Waiting>,
    judged: BTreeMap<PublicKey, BTreeSet<u32>>,
    lacking: Option<Lacking>,
}

/// A block that lacks tenant blocks.
#[derive(Debug)]
struct Waiting {
    from: PublicKey,
    round: u32,
    block: EnterpriseBlock,
    /// Of a decided block.
    certificate: Option<Certificate>,
    missing: Keys,
    ask_at: TimestampMs,
}

impl Values {
    pub(super) const fn want(&mut self, height: EnterpriseHeight, round: Round) {
        self.wanted = Some((height, round));
    }

    pub(super) const fn wanted(&self) -> Option<(EnterpriseHeight, Round)> {
        self.wanted
    }

    /// Whether a certificate waits for its block.
    pub(super) const fn is_lacking(&self) -> bool {
        self.lacking.is_some()
    }

    pub(super) fn next_ask(&self) -> Option<TimestampMs> {
        self.waiting.values().map(|waiting| waiting.ask_at).min()
    }

    fn has_asked_for(&self, key: &BodyKey) -> bool {
        self.waiting
            .values()
            .any(|waiting| waiting.missing.contains(key))
    }
}

impl Replica {
    /// Builds the block that was asked for, if there is something to put into it.
    pub(super) fn build(&mut self, now: Now) -> Result<(), ReplicaError> {
        let Some((height, round)) = self.values.wanted else {
            return Ok(());
        };
        if height != self.next_height() || !self.ledger.needs_block(now.wall) {
            return Ok(());
        }
        let Some(block_hash) = self.ledger.propose(now.wall, self.key)? else {
            return Ok(());
        };
        self.values.wanted = None;
        self.log_block(now, &block_hash);
        let built = agreement::Input::ValueBuilt {
            height,
            round,
            block_hash,
        };
        self.tell(now, built)
    }

    /// Makes a valid block outlive a crash of all validators.
    fn log_block(&mut self, now: Now, hash: &Hash) {
        if self.is_alone() {
            return;
        }
        let bodies = self.ledger.arrived_bodies(hash);
        let Some(block) = self.ledger.proposal(hash) else {
            return;
        };
        let height = block.header().height;
        let block = block.encode();
        let record = LogRecord::Block {
            height,
            block,
            bodies,
        };
        self.log(now, record);
    }

    pub(super) fn send_value(&mut self, round: u32, hash: &Hash) {
        if let Some(block) = self.ledger.proposal(hash) {
            let block = block.encode();
            self.publish(Message::Block { round, block });
        }
    }

    /// A peer sends a block that is or will be proposed in a round.
    pub(super) fn take_proposed(
        &mut self,
        now: Now,
        from: PublicKey,
        round: u32,
        bytes: &[u8],
    ) -> Result<(), ReplicaError> {
        let limits = self.ledger.genesis().blocks();
        let block = match EnterpriseBlock::decode(bytes, limits) {
            Ok(block) => block,
            Err(error) => {
                tracing::warn!(peer = %from, %error, "a proposed block is malformed");
                return Ok(());
            }
        };
        let (height, next) = (block.header().height, self.next_height());
        if height == next.next() {
            if let Some(peer) = self.peers.get_mut(&from) {
                peer.early = Some((round, bytes.to_vec()));
            }
            return Ok(());
        }
        let rounds = self.values.judged.entry(from).or_default();
        if height != next || rounds.len() >= ROUNDS_MAX || !rounds.insert(round) {
            return Ok(());
        }
        if !self.may_have_proposed(&block, round) {
            let proposer = block.header().proposer;
            tracing::warn!(peer = %from, %proposer, round, "a block names a proposer of another round");
            return Ok(());
        }
        self.judge(now, from, round, block)
    }

    /// Whether the header's proposer leads this round, or one before it in which the block was proposed first.
    fn may_have_proposed(&self, block: &EnterpriseBlock, round: u32) -> bool {
        let rounds = usize::try_from(round).unwrap_or(usize::MAX);
        let leaders = self.proposers.iter().take(rounds.saturating_add(1));
        leaders
            .into_iter()
            .any(|key| *key == block.header().proposer)
    }

    fn judge(
        &mut self,
        now: Now,
        from: PublicKey,
        round: u32,
        block: EnterpriseBlock,
    ) -> Result<(), ReplicaError> {
        let (height, proposer) = (block.header().height, block.header().proposer);
        let verdict = |block_hash, is_valid| agreement::Input::ValueJudged {
            height,
            round: Round(round),
            proposer,
            block_hash,
            is_valid,
        };
        let hash = block.hash();
        match self
            .ledger
            .judge(block.clone(), Timeliness::Fresh(now.wall))
        {
            Judgement::Valid(hash) => {
                self.log_block(now, &hash);
                self.tell(now, verdict(hash, true))
            }
            Judgement::Invalid(reason) => {
                tracing::warn!(peer = %from, %hash, reason, "a proposed block is invalid");
                self.tell(now, verdict(hash, false))
            }
            Judgement::MissingBodies(missing) => {
                self.wait_for(Waiting {
                    from,
                    round,
                    block,
                    certificate: None,
                    missing: missing.into_iter().collect(),
                    ask_at: now.steady.plus_ms(ASK_BODIES_MS),
                });
                Ok(())
            }
        }
    }

    fn wait_for(&mut self, waiting: Waiting) {
        let certificate = waiting.certificate.clone();
        let before = self.values.waiting.entry(waiting.block.hash());
        let before = before.or_insert(waiting);
        before.certificate = before.certificate.take().or(certificate);
    }

    /// Tenant blocks that were asked for.
    pub(super) fn take_bodies(&mut self, bodies: Vec<(shared::ids::ChainId, Vec<u8>)>) {
        for (chain_id, bytes) in bodies {
            let id = UncheckedBody::decode(&bytes).map(|body| body.id());
            let is_asked = id.is_ok_and(|id| self.values.has_asked_for(&(chain_id, id)));
            if is_asked && let Err(error) = self.ledger.add_body(chain_id, &bytes) {
                tracing::warn!(%chain_id, %error, "a tenant block is not taken");
            }
        }
    }

    /// Judges blocks whose tenant blocks have all come; asks for those that have not.
    pub(super) fn judge_waiting(&mut self, now: Now) -> Result<(), ReplicaError> {
        let ledger = &self.ledger;
        for waiting in self.values.waiting.values_mut() {
            waiting.missing.retain(|key| !ledger.has_body(key));
        }
        let is_whole =
            |(hash, waiting): (&Hash, &Waiting)| waiting.missing.is_empty().then_some(*hash);
        let whole: Vec<Hash> = self.values.waiting.iter().filter_map(is_whole).collect();
        for hash in whole {
            let Some(waiting) = self.values.waiting.remove(&hash) else {
                continue;
            };
            match waiting.certificate {
                Some(certificate) => {
                    self.take_decided(now, waiting.from, waiting.block, certificate)?;
                }
                None => self.judge(now, waiting.from, waiting.round, waiting.block)?,
            }
        }
        self.ask_for_bodies(now);
        Ok(())
    }

    fn ask_for_bodies(&mut self, now: Now) {
        let linked: Vec<PublicKey> = self.linked_peers().collect();
        let Some(first) = linked.first().copied() else {
            return;
        };
        for waiting in self.values.waiting.values_mut() {
            if waiting.ask_at > now.steady {
                continue;
            }
            let keys = waiting.missing.iter().take(usize::from(KEYS_MAX)).copied();
            let ask = Message::GetBodies(keys.collect());
            let to = linked.iter().find(|key| **key == waiting.from).copied();
            let to = to.unwrap_or(first);
            self.outputs.push_back(Output::Send(to, ask));
            waiting.ask_at = now.steady.plus_ms(ASK_AGAIN_MS);
            // The next one is asked if this one does not answer.
            let after = linked.iter().cycle().skip_while(|key| **key != to).nth(1);
            waiting.from = after.copied().unwrap_or(first);
        }
    }

    /// A peer shows a block with its certificate.
    pub(super) fn take_decided(
        &mut self,
        now: Now,
        from: PublicKey,
        block: EnterpriseBlock,
        certificate: Certificate,
    ) -> Result<(), ReplicaError> {
        if block.header().height != self.next_height() {
            return Ok(());
        }
        match self.ledger.judge(block.clone(), Timeliness::Synced) {
            Judgement::Valid(_) => self.decided(now, certificate, &[]),
            Judgement::Invalid(reason) => {
                // A quorum signed it: these validators run other rules than this one.
                tracing::error!(peer = %from, reason, "a decided block is invalid here");
                Ok(())
            }
            Judgement::MissingBodies(missing) => {
                self.wait_for(Waiting {
                    from,
                    round: 0,
                    block,
                    certificate: Some(certificate),
                    missing: missing.into_iter().collect(),
                    ask_at: now.steady,
                });
                Ok(())
            }
        }
    }

    /// A certificate decides the height; `verified` are signatures in it that were verified already.
    pub(super) fn decided(
        &mut self,
        now: Now,
        certificate: Certificate,
        verified: &[(PublicKey, Signature)],
    ) -> Result<(), ReplicaError> {
        let decided = match self.ledger.decide_with(certificate.clone(), verified) {
            Ok(decided) => decided,
            Err(ProposalError::Unknown(hash)) => {
                tracing::warn!(%hash, "a block is decided that is not here; the others are asked for it");
                self.values.lacking = Some(Lacking { certificate });
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let header = decided.block().header().clone();
        let mut batch = self.ledger.take_batch();
        batch.decided = Some(decided);
        self.spread.handed_over();
        self.store(StoreOrder::Commit(Box::new(batch)));
        let set = self.set().clone();
        self.rotation.advance(&set, &header);
        let head = self.ledger.finish()?;
        self.make_snapshot();
        self.values = Values::default();
        self.sync.decided();
        if self.abstains_until.is_some_and(|until| header.time > until) {
            self.abstains_until = None;
            self.outputs.push_back(Output::BeginLog);
        }
        if !self.is_alone() {
            let (height, hash) = (head.height, head.hash);
            let status = Message::Status { height, hash };
            self.outputs.push_back(Output::Broadcast(status));
        }
        tracing::debug!(height = head.height.0, hash = %head.hash, round = certificate.round.0, "decided");
        self.enter(now)?;
        self.take_early(now)
    }

    /// Blocks of this height that came while the one before it was being decided.
    fn take_early(&mut self, now: Now) -> Result<(), ReplicaError> {
        let early: Vec<_> = self
            .peers
            .iter_mut()
            .filter_map(|(key, peer)| Some((*key, peer.early.take()?)))
            .collect();
        for (from, (round, bytes)) in early {
            self.take_proposed(now, from, round, &bytes)?;
        }
        Ok(())
    }

    /// The certificate that waits for its block, if it is of this block.
    pub(super) fn take_lacking(&mut self, block: &EnterpriseBlock) -> Option<Certificate> {
        let hash = block.hash();
        let lacking = self
            .values
            .lacking
            .take_if(|lacking| lacking.certificate.block_hash == hash)?;
        Some(lacking.certificate)
    }
}
