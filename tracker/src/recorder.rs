//! The driver of the ledger: one thread that owns the machine and the store.
//!
//! It takes up to [`limits::LEDGER_BATCH_MAX`] facts, makes what they changed durable by one commit, and only then
//! performs the orders that followed, in their order. So whatever anyone is told is on the disk, and one flush serves
//! many. When the disk refuses, the thread ends and the tracker with it: the machine is then ahead of the disk.
//!
//! It also writes `tracker_integration.json`, a derived file for other programs, at most once in
//! [`limits::EXPORT_INTERVAL_MS`] and [`limits::EXPORT_REST_FACTOR`] times what a write takes, and at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use api::{BlockchainUpdate, TenantBlock};
use service::Stopwatch;
use shared::ids::{ChainId, TimestampMs};
use tokio::sync::{mpsc, oneshot};

use crate::engine::Engine;
use crate::ledger::{
    Asker, Change, Input, Ledger, NetworkName, Output, Refusal, RequestId, Summary, UpdateVerdict,
    bytes_of_blocks,
};
use crate::limits;
use crate::store::{Store, StoreError};

/// Where facts for the ledger go.
#[derive(Clone, Debug)]
pub(crate) struct LedgerSender {
    commands: Sender<Command>,
    waiting: Arc<Waiting>,
}

/// Requests of strangers that wait, and their bytes.
#[derive(Debug, Default)]
struct Waiting {
    requests: AtomicUsize,
    bytes: AtomicUsize,
}

/// The place of one of them until it is durable; it is free again when this is dropped.
#[derive(Debug)]
struct Place {
    waiting: Arc<Waiting>,
    bytes: usize,
}

impl Place {
    fn take(waiting: &Arc<Waiting>, bytes: usize) -> Result<Self, Busy> {
        let requests = waiting.requests.fetch_add(1, Ordering::Relaxed);
        let before = waiting.bytes.fetch_add(bytes, Ordering::Relaxed);
        let waiting = Arc::clone(waiting);
        let place = Self { waiting, bytes };
        let is_full = requests >= limits::LEDGER_QUEUE_MAX
            || (requests > 0 && before.saturating_add(bytes) > limits::LEDGER_QUEUE_BYTES_MAX);
        if is_full { Err(Busy) } else { Ok(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.waiting.requests.fetch_sub(1, Ordering::Relaxed);
        self.waiting.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Where the recorder reads them.
#[derive(Debug)]
pub(crate) struct LedgerReceiver {
    commands: Receiver<Command>,
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
    /// Which resets of a private network were executed.
    Resets { chain_id: ChainId },
}

/// The ledger takes no more now, or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tracker is busy; try again")]
pub(crate) struct Busy;

#[derive(Debug)]
enum Command {
    /// A stranger's request.
    Ask { input: Input, place: Place },
    /// A stranger's report over HTTP.
    Report {
        place: Place,
        network: NetworkName,
        blocks: Vec<TenantBlock>,
        reply: oneshot::Sender<Result<UpdateVerdict, Refusal>>,
    },
    /// A fact of our own.
    Fact(Input),
    /// How things stand.
    Summarise(oneshot::Sender<Summary>),
    /// End after what is already here.
    Stop,
}

/// A new channel to a recorder.
pub(crate) fn ledger_channel() -> (LedgerSender, LedgerReceiver) {
    let (sender, receiver) = channel();
    (
        LedgerSender {
            commands: sender,
            waiting: Arc::default(),
        },
        LedgerReceiver { commands: receiver },
    )
}

impl LedgerSender {
    /// Hands over a stranger's request. Never waits.
    pub(crate) fn ask(&self, input: Input) -> Result<(), Busy> {
        let place = Place::take(&self.waiting, input.bytes())?;
        self.send(Command::Ask { input, place })
    }

    /// Has blocks checked and kept; returns when they are durable.
    pub(crate) async fn report(
        &self,
        network: NetworkName,
        blocks: Vec<TenantBlock>,
    ) -> Result<Result<UpdateVerdict, Refusal>, Busy> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Report {
            place: Place::take(&self.waiting, bytes_of_blocks(&blocks))?,
            network,
            blocks,
            reply,
        })?;
        answer.await.map_err(|_| Busy)
    }

    /// Hands over a fact of our own. Never waits and is never refused.
    pub(crate) fn tell(&self, input: Input) {
        // A recorder that has ended ends the tracker; nobody waits for this fact then.
        let _ = self.commands.send(Command::Fact(input));
    }

    pub(crate) async fn summary(&self) -> Result<Summary, Busy> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(Command::Summarise(reply))
            .map_err(|_| Busy)?;
        let answer = tokio::time::timeout(Duration::from_millis(SUMMARY_TIMEOUT_MS), answer);
        answer.await.map_err(|_| Busy)?.map_err(|_| Busy)
    }

    pub(crate) fn stop(&self) {
        let _ = self.commands.send(Command::Stop);
    }

    fn send(&self, command: Command) -> Result<(), Busy> {
        self.commands.send(command).map_err(|_| Busy)
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
        while !desk.is_stopping {
            match self.receiver.commands.recv_timeout(pause(&desk)) {
                Ok(command) => self.take(&mut desk, command),
                Err(RecvTimeoutError::Timeout) => self.wake(&mut desk),
                Err(RecvTimeoutError::Disconnected) => desk.is_stopping = true,
            }
            for _ in 1..limits::LEDGER_BATCH_MAX {
                let Ok(command) = self.receiver.commands.try_recv() else {
                    break;
                };
                self.take(&mut desk, command);
            }
            self.perform(&mut desk)?;
            desk.taken.clear();
            self.export_if_due(&mut desk);
        }
        desk.export_at = desk.export_at.map(|_| TimestampMs(0));
        self.export_if_due(&mut desk);
        Ok(())
    }

    fn take(&mut self, desk: &mut Desk, command: Command) {
        let now = now();
        match command {
            Command::Ask { input, place } => {
                desk.taken.push(place);
                self.ledger.handle(now, input);
            }
            Command::Report {
                place,
                network,
                blocks,
                reply,
            } => {
                desk.taken.push(place);
                let request = RequestId(desk.next_request);
                desk.next_request = desk.next_request.wrapping_add(1);
                desk.replies.insert(request, reply);
                let asker = Asker::Request(request);
                self.ledger.handle(
                    now,
                    Input::BlocksReported {
                        asker,
                        network,
                        blocks,
                    },
                );
            }
            Command::Fact(input) => self.ledger.handle(now, input),
            Command::Summarise(reply) => {
                // The asker may have gone away.
                let _ = reply.send(self.ledger.summary());
            }
            Command::Stop => desk.is_stopping = true,
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
/// With nothing planned the thread sleeps so long; a command wakes it.
const IDLE_MS: u64 = 3_600_000;

#[cfg(test)]
mod tests {
    use shared::hash::Hash;

    use super::*;
    use crate::hub::ConnectionId;
    use crate::hub::message::{Listing, Wish};

    fn asked(bytes: usize) -> Input {
        Input::RegistrationAsked {
            connection: ConnectionId(1),
            wish: Wish {
                genesis: vec![0; bytes],
                listing: Listing::Listed,
                label: None,
            },
        }
    }

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

    #[test]
    fn what_waits_for_the_ledger_is_bounded_by_number_and_by_bytes() {
        let (sender, receiver) = ledger_channel();
        let mib = 1_024 * 1_024;
        let taken = (0..200).filter(|_| sender.ask(asked(mib)).is_ok()).count();
        assert_eq!(taken * mib, limits::LEDGER_QUEUE_BYTES_MAX);
        assert_eq!(sender.ask(asked(1)), Err(Busy));
        sender.tell(Input::Answered {
            chain_id: ChainId(Hash([0; 32])),
            answer: crate::ledger::Answer::NameTaken,
        });
        drop(receiver.commands.try_recv().unwrap());
        assert!(sender.ask(asked(mib)).is_ok(), "one has left");
        while receiver.commands.try_recv().is_ok() {}
        let taken = (0..2_000).filter(|_| sender.ask(asked(1)).is_ok()).count();
        assert_eq!(taken, limits::LEDGER_QUEUE_MAX);
    }
}
