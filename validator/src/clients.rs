//! Clients of the engine that wait for the replica's answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::enterprise::Reset;
use shared::ids::ChainId;
use tokio::sync::oneshot;

use crate::body::Body;
use crate::engine::{Taken, Unavailable, Verdict};
use crate::ledger::{Receipt, Refusal, Submission};
use crate::replica::Input;
use crate::writer::Answer;

/// Where an answer goes.
pub(crate) type Reply = oneshot::Sender<Result<Verdict, Unavailable>>;

/// A submission on its way to the engine.
#[derive(Debug)]
pub(crate) struct Submitted {
    pub(crate) submission: Submission,
    pub(crate) transactions: u64,
    pub(crate) reply: Reply,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Clients {
    last: u64,
    waiting: BTreeMap<u64, (Reply, u64, ChainId)>,
}

impl Clients {
    pub(crate) fn enter(&mut self, submitted: Submitted) -> Input {
        let Submitted {
            submission,
            transactions,
            reply,
        } = submitted;
        Input::Submit {
            client: self.wait((reply, transactions, submission.chain_id)),
            submission,
        }
    }

    pub(crate) fn enter_reset(&mut self, reset: Box<Reset>, reply: Reply) -> Input {
        let client = self.wait((reply, 0, reset.chain_id));
        Input::Reset { client, reset }
    }

    fn wait(&mut self, waiting: (Reply, u64, ChainId)) -> u64 {
        self.last = self.last.saturating_add(1);
        self.waiting.insert(self.last, waiting);
        self.last
    }

    pub(crate) fn answer(
        &mut self,
        client: u64,
        verdict: Result<Receipt, Refusal>,
        is_acknowledged: bool,
    ) -> Option<Answer> {
        let (reply, transactions, chain_id) = self.waiting.remove(&client)?;
        let tenant = None;
        let verdict = if is_acknowledged {
            Ok(verdict.map(|receipt| Taken { receipt, tenant }))
        } else {
            Err(Unavailable::NotAcknowledged)
        };
        Some(Answer {
            reply,
            verdict,
            transactions,
            chain_id,
        })
    }

    pub(crate) fn refuse(&mut self, reason: &Arc<str>) -> Vec<Answer> {
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let refused = waiting.map(|(reply, transactions, chain_id)| Answer {
            reply,
            verdict: Err(Unavailable::Failed(Arc::clone(reason))),
            transactions,
            chain_id,
        });
        refused.collect()
    }
}

/// The transactions that others see in a submission.
pub(crate) fn transactions_of(submission: &Submission) -> u64 {
    let counts = submission.blocks.iter().map(Body::transactions);
    u64::try_from(counts.sum::<usize>()).unwrap_or(u64::MAX)
}
