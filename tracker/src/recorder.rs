//! The driver of the ledger: one thread that owns the machine and the store.
//!
//! It takes up to [`limits::LEDGER_BATCH_MAX`] facts, for [`limits::LEDGER_BATCH_MS`] at most, makes what they changed durable by one commit, and only then
//! performs the orders that followed, in their order. So whatever anyone is told is on the disk, and one flush serves
//! many. When the disk refuses, the thread ends and the tracker with it: the machine is then ahead of the disk.
//!
//! It also writes `tracker_integration.json`, a derived file for other programs, at most once in
//! [`limits::EXPORT_INTERVAL_MS`] and [`limits::EXPORT_REST_FACTOR`] times what a write takes, and at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::{BlockchainUpdate, TenantBlock};
use service::Stopwatch;
use shared::ids::{ChainId, TimestampMs};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::addresses::Source;
use crate::engine::Engine;
use crate::inbox::{Busy, Inbox, Next, Place};
use crate::ledger::{
    Asker, Change, Input, Ledger, NetworkName, Output, Refusal, RequestId, Summary, UpdateVerdict,
    bytes_of_blocks,
};
use crate::limits;
use crate::store::{Store, StoreError};

/// Where facts for the ledger go.
#[derive(Clone, Debug)]
pub(crate) struct LedgerSender {
    inbox: Arc<Inbox<Asked, Fact>>,
    /// How things stood when that was last asked, and when that was.
    summary: Arc<tokio::sync::Mutex<Option<Told>>>,
}

/// How things stood, and when.
#[derive(Debug)]
struct Told {
    at: Instant,
    summary: Result<Summary, Busy>,
}

/// Where the recorder reads them; with it ends what takes them.
#[derive(Debug)]
pub(crate) struct LedgerReceiver {
    inbox: Arc<Inbox<Asked, Fact>>,
}

impl Drop for LedgerReceiver {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// What is on its way to the forwarder.
#[derive(Debug)]
pub(crate) enum Posting {
    /// An update.
    Update {
        chain_id: ChainId,
        update: Box<BlockchainUpdate>,
    },
    /// A signed reset of a private network.
    Reset {
        chain_id: ChainId,
        number: u32,
        reset: Vec<u8>,
    },
    /// The proof of the newest final block.
    Finality { chain_id: ChainId },
    /// Which resets of a private network were executed.
    Resets { chain_id: ChainId },
}

/// What a stranger asks.
#[derive(Debug)]
enum Asked {
    /// Over `/ws`.
    Ask(Input),
    /// Over HTTP: to check and keep blocks.
    Report {
        network: NetworkName,
        blocks: Vec<TenantBlock>,
        reply: oneshot::Sender<Result<UpdateVerdict, Refusal>>,
    },
}

/// What is our own.
#[derive(Debug)]
enum Fact {
    /// What came to pass.
    Input(Input),
    /// How things stand.
    Summarise(oneshot::Sender<Summary>),
    /// End after what is already here.
    Stop,
}

/// A new channel to a recorder.
pub(crate) fn ledger_channel() -> (LedgerSender, LedgerReceiver) {
    let inbox = Inbox::new();
    let there = Arc::clone(&inbox);
    let sender = LedgerSender {
        inbox,
        summary: Arc::default(),
    };
    (sender, LedgerReceiver { inbox: there })
}

impl LedgerSender {
    /// Hands over what a stranger asks from this address. Never waits.
    pub(crate) fn ask(&self, source: Source, input: Input) -> Result<(), Busy> {
        let bytes = input.bytes();
        self.inbox.ask(source, Asked::Ask(input), bytes)
    }

    /// Has blocks checked and kept; returns when they are durable.
    pub(crate) async fn report(
        &self,
        source: Source,
        network: NetworkName,
        blocks: Vec<TenantBlock>,
    ) -> Result<Result<UpdateVerdict, Refusal>, Busy> {
        let (reply, answer) = oneshot::channel();
        let bytes = bytes_of_blocks(&blocks);
        let asked = Asked::Report {
            network,
            blocks,
            reply,
        };
        self.inbox.ask(source, asked, bytes)?;
        answer.await.map_err(|_| Busy)
    }

    /// Hands over a fact of our own. Never waits and is never refused.
    pub(crate) fn tell(&self, input: Input) {
        // A recorder that has ended ends the tracker; nobody waits for this fact then.
        let _ = self.inbox.tell(Fact::Input(input));
    }

    /// How things stand, or stood a moment ago: who asks at once shares one answer.
    pub(crate) async fn summary(&self) -> Result<Summary, Busy> {
        let mut last = self.summary.lock().await;
        let age = Duration::from_millis(SUMMARY_AGE_MS);
        if let Some(told) = last.as_ref().filter(|told| told.at.elapsed() < age) {
            return told.summary.clone();
        }
        let summary = self.ask_summary().await;
        *last = Some(Told {
            at: Instant::now(),
            summary: summary.clone(),
        });
        summary
    }

    async fn ask_summary(&self) -> Result<Summary, Busy> {
        let (reply, answer) = oneshot::channel();
        self.inbox.tell(Fact::Summarise(reply))?;
        let answer = tokio::time::timeout(Duration::from_millis(SUMMARY_TIMEOUT_MS), answer);
        answer.await.map_err(|_| Busy)?.map_err(|_| Busy)
    }

    pub(crate) fn stop(&self) {
        let _ = self.inbox.tell(Fact::Stop);
    }
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) ledger: Ledger,
    pub(crate) store: Store,
    pub(crate) engine: Arc<Engine>,
    pub(crate) receiver: LedgerReceiver,
    pub(crate) postings: mpsc::UnboundedSender<Posting>,
    /// Where `tracker_integration.json` goes.
    pub(crate) integration_path: PathBuf,
}

/// What a recorder keeps while it runs.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    replies: BTreeMap<RequestId, oneshot::Sender<Result<UpdateVerdict, Refusal>>>,
    next_request: u64,
    /// The places of what is taken and not yet durable.
    taken: Vec<Place>,
    wake_at: Option<TimestampMs>,
    /// When the derived file is written next, if it is out of date.
    export_at: Option<TimestampMs>,
    /// The earliest time for the next write of it.
    export_from: TimestampMs,
    is_stopping: bool,
}

impl Desk {
    /// The fact that was asked for; who asks by HTTP is answered later.
    fn input_of(&mut self, asked: Asked) -> Input {
        match asked {
            Asked::Ask(input) => input,
            Asked::Report {
                network,
                blocks,
                reply,
            } => {
                let request = RequestId(self.next_request);
                self.next_request = self.next_request.wrapping_add(1);
                self.replies.insert(request, reply);
                let asker = Asker::Request(request);
                Input::BlocksReported {
                    asker,
                    network,
                    blocks,
                }
            }
        }
    }
}

impl Recorder {
    /// Performs what the restored ledger orders, so that the hub knows every network before anyone can connect.
    ///
    /// # Errors
    /// The disk refused a commit.
    pub(crate) fn begin(&mut self) -> Result<Desk, StoreError> {
        let mut desk = Desk {
            export_at: Some(TimestampMs(0)),
            ..Desk::default()
        };
        self.perform(&mut desk)?;
        Ok(desk)
    }

    /// Works until told to stop.
    ///
    /// # Errors
    /// The disk refused a commit.
    pub(crate) fn run(mut self, mut desk: Desk) -> Result<(), StoreError> {
        while !desk.is_stopping || self.receiver.inbox.has_asked() {
            let began = Instant::now();
            match self.receiver.inbox.next(pause(&desk)) {
                Some(next) => self.take(&mut desk, next),
                None => self.wake(&mut desk),
            }
            for _ in 1..limits::LEDGER_BATCH_MAX {
                if began.elapsed() >= Duration::from_millis(limits::LEDGER_BATCH_MS) {
                    break;
                }
                let Some(next) = self.receiver.inbox.next(Duration::ZERO) else {
                    break;
                };
                self.take(&mut desk, next);
            }
            self.perform(&mut desk)?;
            self.receiver.inbox.give_back(desk.taken.drain(..));
            self.export_if_due(&mut desk);
        }
        desk.export_at = desk.export_at.map(|_| TimestampMs(0));
        self.export_if_due(&mut desk);
        Ok(())
    }

    fn take(&mut self, desk: &mut Desk, next: Next<Asked, Fact>) {
        match next {
            Next::Asked(source, asked, place) => {
                desk.taken.push(place);
                let began = Instant::now();
                let input = desk.input_of(asked);
                self.ledger.handle(now(), input);
                let cost = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
                self.receiver.inbox.charge(source, cost);
            }
            Next::Fact(Fact::Input(input)) => self.ledger.handle(now(), input),
            Next::Fact(Fact::Summarise(reply)) => {
                // The asker may have gone away.
                let _ = reply.send(self.ledger.summary());
            }
            Next::Fact(Fact::Stop) => desk.is_stopping = true,
        }
    }

    fn wake(&mut self, desk: &mut Desk) {
        let now = now();
        if desk.wake_at.is_some_and(|at| at <= now) {
            desk.wake_at = None;
            self.ledger.handle(now, Input::Woken);
        }
    }

    /// Commits what is to be persisted, then performs the rest in order.
    fn perform(&mut self, desk: &mut Desk) -> Result<(), StoreError> {
        let mut changes: Vec<Change> = Vec::new();
        let mut orders = Vec::new();
        while let Some(output) = self.ledger.poll() {
            if let Output::Persist(change) = output {
                changes.push(change);
            } else {
                orders.push(output);
            }
        }
        if !changes.is_empty() {
            self.store.commit(&changes)?;
            desk.export_at = desk.export_at.or(Some(desk.export_from));
        }
        for order in orders {
            self.perform_one(desk, order);
        }
        Ok(())
    }

    fn perform_one(&self, desk: &mut Desk, order: Output) {
        match order {
            Output::Tell(fact) => self.engine.handle(*fact),
            Output::Answer { request, verdict } => {
                if let Some(reply) = desk.replies.remove(&request) {
                    // The asker may have gone away; the blocks are kept all the same.
                    let _ = reply.send(verdict);
                }
            }
            Output::Forward { chain_id, update } => {
                // The forwarder ends only when the tracker does; the outbox is derived from the store at the next start.
                let _ = self.postings.send(Posting::Update { chain_id, update });
            }
            Output::ForwardReset {
                chain_id,
                number,
                reset,
            } => {
                let posting = Posting::Reset {
                    chain_id,
                    number,
                    reset,
                };
                let _ = self.postings.send(posting);
            }
            Output::AskFinality { chain_id } => {
                let _ = self.postings.send(Posting::Finality { chain_id });
            }
            Output::AskResets { chain_id } => {
                let _ = self.postings.send(Posting::Resets { chain_id });
            }
            Output::WakeAt { at } => desk.wake_at = Some(at),
            Output::Persist(_) => {}
        }
    }

    fn export_if_due(&self, desk: &mut Desk) {
        if desk.export_at.is_none_or(|at| at > now()) {
            return;
        }
        let watch = Stopwatch::start();
        desk.export_at = None;
        let bytes = serde_json::to_vec_pretty(&self.ledger.integration())
            .expect("the file has string keys and no failing parts, so it serialises");
        if let Err(error) = service::atomic_write(&self.integration_path, &bytes) {
            tracing::warn!(path = %self.integration_path.display(), %error, "cannot write the integration file");
        }
        let took = Duration::from_secs_f64(watch.seconds());
        desk.export_from = now().plus_ms(rest_ms(took));
    }
}

/// How long nothing is exported after an export that took so long, in ms.
fn rest_ms(took: Duration) -> u64 {
    let rest = took.saturating_mul(limits::EXPORT_REST_FACTOR).as_millis();
    let rest = u64::try_from(rest).unwrap_or(u64::MAX);
    rest.max(limits::EXPORT_INTERVAL_MS)
}

fn pause(desk: &Desk) -> Duration {
    let next = [desk.wake_at, desk.export_at].into_iter().flatten().min();
    Duration::from_millis(next.map_or(IDLE_MS, |at| at.since(now())))
}

fn now() -> TimestampMs {
    TimestampMs(service::now_ms())
}

const SUMMARY_TIMEOUT_MS: u64 = 2_000;
/// How old an answer may be.
const SUMMARY_AGE_MS: u64 = 100;
/// With nothing planned the thread sleeps so long; a command wakes it.
const IDLE_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_takes_no_more_than_a_twentieth_of_the_time() {
        assert_eq!(rest_ms(Duration::ZERO), limits::EXPORT_INTERVAL_MS);
        assert_eq!(
            rest_ms(Duration::from_millis(50)),
            limits::EXPORT_INTERVAL_MS
        );
        assert_eq!(rest_ms(Duration::from_secs(3)), 60_000);
        assert_eq!(rest_ms(Duration::MAX), u64::MAX);
    }
}
