//! Proofs of finality: asked for while blocks wait to become final, verified here, kept as they came.
//!
//! Only a network whose genesis pins an enterprise chain can prove anything. The proof comes through the tracker, which is
//! not believed: [`LightClient`] checks it from the pinned genesis on, and that its log extends the one verified before.
//! The newest proof is stored as it came and verified again at every start; it is also what an exported file carries. So is
//! the first contradiction of the validators ([`Split`]), for the user to see and hand on.
//!
//! One question at a time, every [`limits::PROOF_INTERVAL_MS`] or longer while something confirmed is not final; after a
//! failure the pause doubles up to [`limits::PROOF_INTERVAL_MS_MAX`]. Each names the newest known header: of validators that have
//! another one at its height, that one is the answer, and the split is shown.

use alloc::{string::ToString, vec::Vec};

use super::{Event, Node, Output, limits, question::Question, records::Key};
use crate::{
    enterprise::{FinalBlock, LightClient, LightError, Split},
    genesis::Genesis,
    ids::{Height, TimestampMs},
};

/// Where the proofs stand.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    pub(super) light: Option<LightClient>,
    /// The newest accepted proof, as it came.
    newest: Vec<u8>,
    /// The first contradiction of the validators that was seen.
    split: Option<Split>,
    pub(super) question: Question,
}

impl Proofs {
    pub(super) fn new(genesis: &Genesis) -> Self {
        Self {
            light: genesis.enterprise_genesis.map(LightClient::new),
            ..Self::default()
        }
    }

    /// The newest proof is about a void block; what it showed of the validators stays known.
    pub(super) fn forget(&mut self, ask_at: TimestampMs) {
        self.newest.clear();
        self.question.ask_at = ask_at;
    }
}

impl Node {
    /// The newest proof of finality, as it came; nothing before the first.
    #[must_use]
    pub fn proof(&self) -> Option<&[u8]> {
        Some(self.proofs.newest.as_slice()).filter(|bytes| !bytes.is_empty())
    }

    /// The verified part of the enterprise chain; none in a network that pins no enterprise chain.
    #[must_use]
    pub const fn light_client(&self) -> Option<&LightClient> {
        self.proofs.light.as_ref()
    }

    /// The first contradiction of the validators that was seen, also before this start; what it shows stays true.
    #[must_use]
    pub const fn split(&self) -> Option<&Split> {
        self.proofs.split.as_ref()
    }

    /// Takes a split from the store or from outside.
    pub(super) fn take_split(&mut self, bytes: &[u8]) -> Result<(), LightError> {
        let light = self.proofs.light.as_ref().ok_or(LightError::NotPinned)?;
        self.proofs.split = Some(light.check_split(bytes)?);
        Ok(())
    }

    /// Takes a proof from the store or from outside; the final block it proves, if that is news.
    pub(super) fn take_proof(&mut self, bytes: &[u8]) -> Result<Option<FinalBlock>, LightError> {
        let Some(light) = &mut self.proofs.light else {
            return Err(LightError::NotPinned);
        };
        let accepted = light.accept(self.chain.chain_id(), bytes)?;
        if accepted.is_some() {
            self.proofs.newest = bytes.to_vec();
        }
        Ok(accepted)
    }

    pub(super) fn on_proof(&mut self, now: TimestampMs, bytes: &[u8]) {
        match self.take_proof(bytes) {
            Ok(news) => {
                let ask_at = now.plus_ms(limits::PROOF_INTERVAL_MS);
                self.proofs.question.on_answered(ask_at);
                if let Some(block) = news {
                    self.on_proved(now, &block, bytes);
                }
            }
            Err(error) => {
                self.proofs.question.on_failed(now);
                self.on_proof_refused(&error);
            }
        }
    }

    /// What was final under fewer resets than were followed is old, under more it waits for their receipts.
    fn on_proved(&mut self, now: TimestampMs, block: &FinalBlock, bytes: &[u8]) {
        if block.resets() < self.resets() {
            return self.proofs.forget(now.plus_ms(limits::PROOF_INTERVAL_MS));
        }
        self.persist(alloc::vec![Key::Proof.put(bytes.to_vec())]);
        self.skip_resets(block);
        if block.resets() == self.resets() {
            self.on_finalised(now, block);
        }
    }

    fn on_proof_refused(&mut self, error: &LightError) {
        if let LightError::Split { proof, .. } = error {
            self.on_split(proof);
        }
        self.event(Event::ProofRefused {
            reason: error.to_string(),
        });
    }

    /// One is kept, however many follow: it is enough to show the split.
    fn on_split(&mut self, split: &Split) {
        if self.proofs.split.is_none() {
            let height = split.height();
            self.proofs.split = Some(split.clone());
            self.persist(alloc::vec![Key::Split.put(split.bytes().to_vec())]);
            self.event(Event::EnterpriseSplit { height });
        }
    }

    /// Asks for the next proof if something waits to become final and it is time.
    pub(super) fn ask_proof(&mut self, now: TimestampMs) {
        let Some(light) = &self.proofs.light else {
            return;
        };
        let size = light.log_size();
        let known = light.header();
        let is_wanted = self.waits_for_proof();
        if self.proofs.question.is_asked(now, is_wanted) {
            self.outputs.push_back(Output::AskProof { size, known });
        }
    }

    pub(super) fn proof_due_at(&self) -> Option<TimestampMs> {
        self.waits_for_proof()
            .then(|| self.proofs.question.due_at())
    }

    fn waits_for_proof(&self) -> bool {
        let confirmed = self
            .reporter
            .confirmed
            .map_or(Height::GENESIS, |(height, _)| height);
        let last = self
            .chain
            .newest_final()
            .map_or(Height::GENESIS, FinalBlock::height);
        let is_wanted = confirmed > last
            || (self.proofs.newest.is_empty() && confirmed > Height::GENESIS)
            || self.waits_for_newer_proof();
        self.proofs.light.is_some() && self.reporter.is_connected() && is_wanted
    }
}
