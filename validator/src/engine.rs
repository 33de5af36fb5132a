//! The one loop that owns the replica and its files: a thread that takes what comes in batches and carries orders out.
//!
//! Group commit: whatever arrived while the last orders were carried out shares the next ones. The store is written by a
//! thread of its own, which also shows and answers what is durable then. When a write fails, nothing more is taken: the memory
//! is ahead of the disk, and a restart brings both together again. Readers go on.
//!
//! It decides nothing: see [`crate::replica`].
//!
//! Limits: [`QUEUE_MAX`] waiting commands (senders wait for room), [`BATCH_MAX`] a cycle.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::enterprise::{EnterpriseError, Reset, SetChange};
use shared::ids::{PublicKey, TimestampMs};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::agreement::Evidence;
use crate::clients::{Clients, Reply, Submitted, transactions_of};
use crate::evidence::Contradictions;
use crate::ledger::{Ledger, Receipt, Refusal, Submission};
use crate::replica::{Input, Message, Now, Output, Replica, ReplicaError, StoreOrder};
use crate::store::{HeadFile, Store, StoreError};
use crate::transport::Links;
use crate::transport::tls::Members;
use crate::view::{TenantView, View};
use crate::vote_log::VoteLog;
use crate::writer::{Desk, Job, PAUSE_MS, Serve, Writer};

/// Commands that wait for the engine.
pub const QUEUE_MAX: usize = 1_024;
/// Commands of one cycle.
const BATCH_MAX: usize = 512;

/// Said in the log when a write has failed.
pub(crate) const TAKES_NO_MORE: &str =
    "the validator takes no more writes: free space or mend the disk, then restart it";

/// Why a write has no answer of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// A write failed; the validator takes no more until it is restarted.
    #[error(
        "the store cannot be written ({0}); free space or mend the disk and restart the validator"
    )]
    Failed(Arc<str>),
    /// Too few validators are reached for a promise.
    #[error(
        "the blocks are stored here, but too few other validators are reached to promise that they are kept; send them \
         again"
    )]
    NotAcknowledged,
    /// The validator is ending.
    #[error("the validator is shutting down")]
    Ending,
}

/// The answer to a submission: the verdict, once what was taken is durable.
pub type Verdict = Result<Taken, Refusal>;

/// What was taken, and where it leaves the tenant.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What was new.
    pub receipt: Receipt,
    /// The tenant then; none before its first block is decided.
    pub tenant: Option<Arc<TenantView>>,
}

/// What is on its way to the engine.
enum Command {
    Submit(Submitted),
    Reset(Box<Reset>, Reply),
    Read(Reading),
    Peer(PeerEvent),
    Change(Box<SetChange>, oneshot::Sender<Result<(), EnterpriseError>>),
}

/// A reader's look at the ledger, between two batches.
type Reading = Box<dyn FnOnce(&Ledger) + Send>;

/// What the transport hears.
#[derive(Debug)]
pub enum PeerEvent {
    /// A link is up.
    Linked(PublicKey),
    /// A link is down.
    Unlinked(PublicKey),
    /// A message came.
    Heard(PublicKey, Message),
    /// Checked blocks came.
    Update {
        /// From whom.
        from: PublicKey,
        /// Named in the answer.
        ticket: u64,
        /// The blocks.
        submissions: Vec<Submission>,
    },
}

/// The way to the engine. When the last one is dropped, the engine ends.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<Arc<View>>,
    pending: Arc<AtomicU64>,
}

impl Handle {
    /// Submits checked blocks and waits until the verdict is durable.
    ///
    /// # Errors
    /// [`Unavailable`] when the engine takes no writes.
    pub async fn submit(&self, submission: Submission) -> Result<Verdict, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let transactions = transactions_of(&submission);
        let command = Command::Submit(Submitted {
            submission,
            transactions,
            reply,
        });
        let room = self.commands.reserve().await;
        let room = room.map_err(|_| Unavailable::Ending)?;
        self.pending.fetch_add(transactions, Ordering::Relaxed);
        room.send(command);
        answer.await.unwrap_or(Err(Unavailable::Ending))
    }

    /// Hands in a reset of a private tenant and waits until it is acknowledged; it waits for a block then.
    ///
    /// # Errors
    /// [`Unavailable`] when the engine takes no writes, or too few validators are reached.
    pub async fn reset(&self, reset: Reset) -> Result<Verdict, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Reset(Box::new(reset), reply);
        let sent = self.commands.send(command).await;
        sent.map_err(|_| Unavailable::Ending)?;
        answer.await.unwrap_or(Err(Unavailable::Ending))
    }

    /// Looks at the ledger between two batches: for proofs, which are made of what a picture does not hold. It has to be
    /// short, a few tree paths, as updates wait meanwhile.
    ///
    /// # Errors
    /// [`Unavailable::Ending`] when the engine has ended.
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let reading: Reading = Box::new(move |ledger| {
            // A reader that has gone away needs no answer.
            let _ = reply.send(look(ledger));
        });
        let sent = self.commands.send(Command::Read(reading)).await;
        sent.map_err(|_| Unavailable::Ending)?;
        answer.await.map_err(|_| Unavailable::Ending)
    }

    /// Hands in a set change that a quorum signed; it waits for a block, also on the other validators, and is not kept over a
    /// restart of all.
    ///
    /// # Errors
    /// [`Unavailable::Ending`] when the engine has ended.
    pub async fn change_set(
        &self,
        change: SetChange,
    ) -> Result<Result<(), EnterpriseError>, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let sent = self
            .commands
            .send(Command::Change(Box::new(change), reply))
            .await;
        sent.map_err(|_| Unavailable::Ending)?;
        answer.await.map_err(|_| Unavailable::Ending)
    }

    /// Hands in what the transport heard; waits for room.
    ///
    /// # Errors
    /// [`Unavailable::Ending`] when the engine has ended.
    pub async fn peer(&self, event: PeerEvent) -> Result<(), Unavailable> {
        let sent = self.commands.send(Command::Peer(event)).await;
        sent.map_err(|_| Unavailable::Ending)
    }

    /// The picture as it is now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// A receiver that is told of every new picture.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// Transactions received and neither decided nor refused.
    #[must_use]
    pub fn pending_transactions(&self) -> u64 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Commands that wait for the engine.
    #[must_use]
    pub fn waiting(&self) -> usize {
        QUEUE_MAX.saturating_sub(self.commands.capacity())
    }

    /// Whether the engine runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.commands.is_closed()
    }
}

/// A clock for both times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock(service::SteadyClock);

impl Clock {
    /// The time on both clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            wall: TimestampMs(service::now_ms()),
            // Above zero, which is "long ago".
            steady: TimestampMs(self.0.elapsed_ms().saturating_add(STEADY_START_MS)),
        }
    }
}

const STEADY_START_MS: u64 = 1_000_000;

/// The parts that the engine owns.
pub struct Engine {
    /// What decides.
    pub replica: Replica,
    /// Where it is kept.
    pub store: Arc<Store>,
    /// The head file beside it.
    pub head: HeadFile,
    /// The vote log; none for a validator alone, or for one that abstains.
    pub log: Option<VoteLog>,
    /// Where a new vote log is made.
    pub log_path: std::path::PathBuf,
    /// The links to other validators.
    pub links: Links,
    /// Who may link.
    pub members: Members,
    /// The clock.
    pub clock: Clock,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine on a thread of its own, which ends when all handles are gone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> io::Result<(Handle, std::thread::JoinHandle<()>)> {
        let (commands, received) = mpsc::channel(QUEUE_MAX);
        let consensus = Arc::new(self.replica.consensus(self.clock.now()));
        let kept = self.store.evidence().map_err(io::Error::other)?;
        let evidence = Arc::new(Contradictions::of(&kept));
        let view = View::new(self.replica.ledger(), consensus);
        let shown = Arc::new(View { evidence, ..view });
        let (publish, view) = watch::channel(Arc::clone(&shown));
        let pending = Arc::new(AtomicU64::new(0));
        let waiting = Builder::new_current_thread().enable_time().build()?;
        let (writer, writing) = Writer::start(Desk {
            store: Arc::clone(&self.store),
            head: self.head,
            links: self.links.clone(),
            view: publish,
            pending: Arc::clone(&pending),
            pause: if self.log.is_some() { PAUSE_MS } else { 0 },
        })?;
        let run = Run {
            replica: self.replica,
            log: self.log,
            log_path: self.log_path,
            links: self.links,
            members: self.members,
            clock: self.clock,
            clients: Clients::default(),
            shown,
            writer,
        };
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                run.run(received, &waiting);
                // The engine's end of the writer is gone: it finishes what waits.
                if writing.join().is_err() {
                    tracing::error!("the writer panicked");
                }
            })?;
        let handle = Handle {
            commands,
            view,
            pending,
        };
        Ok((handle, thread))
    }
}

/// The engine at work.
struct Run {
    replica: Replica,
    log: Option<VoteLog>,
    log_path: std::path::PathBuf,
    links: Links,
    members: Members,
    clock: Clock,
    clients: Clients,
    /// The newest picture, which the writer shows when it is durable.
    shown: Arc<View>,
    writer: Writer,
}

impl Run {
    fn run(mut self, mut commands: mpsc::Receiver<Command>, waiting: &Runtime) {
        // What the start changed (held blocks that no longer fit) goes first.
        self.replica.ledger_mut().take_changed();
        let mut failure = self.cycle(Vec::new()).err();
        loop {
            failure = failure.or_else(|| self.writer.failure());
            if let Some(reason) = &failure {
                let answers = self.clients.refuse(reason);
                self.writer.put(Job {
                    answers,
                    ..Job::default()
                });
            }
            let mut next = match self.next(&mut commands, waiting, failure.is_some()) {
                Next::Command(first) => Some(first),
                Next::Tick => None,
                Next::Ended => return,
            };
            let mut batch = Vec::new();
            while let Some(command) = next.take() {
                match command {
                    Command::Read(look) => look(self.replica.ledger()),
                    Command::Submit(submitted) => batch.push(self.clients.enter(submitted)),
                    Command::Reset(reset, reply) => {
                        batch.push(self.clients.enter_reset(reset, reply));
                    }
                    Command::Peer(event) => batch.push(event.into()),
                    Command::Change(change, reply) => {
                        // Whoever asked may have gone away.
                        let _ = reply.send(self.replica.change_set(*change));
                        batch.push(Input::Tick);
                    }
                }
                if batch.len() < BATCH_MAX {
                    next = commands.try_recv().ok();
                }
            }
            if failure.is_none() {
                failure = self.cycle(batch).err();
            }
        }
    }

    /// Waits for the next command, or until the replica has to be told the time.
    fn next(
        &self,
        commands: &mut mpsc::Receiver<Command>,
        waiting: &Runtime,
        has_failed: bool,
    ) -> Next {
        let now = self.clock.now();
        let due = self.replica.next_tick(now).filter(|_| !has_failed);
        let received = match due {
            None => commands.blocking_recv(),
            Some(due) => {
                let pause = Duration::from_millis(due.since(now.steady));
                let received = async { tokio::time::timeout(pause, commands.recv()).await };
                match waiting.block_on(received) {
                    Ok(received) => received,
                    Err(_) => return Next::Tick,
                }
            }
        };
        received.map_or(Next::Ended, Next::Command)
    }

    /// Hands a batch in and carries the orders out; says why when that failed.
    fn cycle(&mut self, batch: Vec<Input>) -> Result<(), Arc<str>> {
        let mut job = Job::default();
        if let Err(error) = self.work(batch, &mut job) {
            tracing::error!(%error, "{TAKES_NO_MORE}");
            let reason: Arc<str> = error.to_string().into();
            job.view = Some(Arc::new(self.shown.failed(&reason)));
            self.writer.put(job);
            return Err(reason);
        }
        let changed = self.replica.ledger_mut().take_changed();
        let consensus = Arc::new(self.replica.consensus(self.clock.now()));
        let ledger = self.replica.ledger();
        let is_new = !self.shown.consensus.looks_like(&consensus)
            || self.shown.head.height != ledger.verifier().height()
            || !job.evidence.is_empty();
        if !changed.is_empty() || is_new {
            self.shown = Arc::new(self.shown.after(ledger, consensus, changed));
            job.view = Some(Arc::clone(&self.shown));
        }
        for answer in &mut job.answers {
            answer.show(&self.shown);
        }
        if self.log.is_some() {
            // What an answer says is in the logs of a quorum; the store follows.
            self.writer.answer(std::mem::take(&mut job.answers));
        }
        self.writer.put(job);
        Ok(())
    }

    fn work(&mut self, batch: Vec<Input>, job: &mut Job) -> Result<(), EngineError> {
        let now = self.clock.now();
        for input in batch {
            self.replica.handle(now, input)?;
        }
        self.replica.settle(now)?;
        while let Some(output) = self.replica.poll() {
            self.perform(output, job)?;
        }
        Ok(())
    }

    fn perform(&mut self, output: Output, job: &mut Job) -> Result<(), EngineError> {
        match output {
            Output::Log(record) => {
                if let Some(log) = &mut self.log {
                    log.append(&record);
                }
            }
            Output::SyncLog => {
                if let Some(log) = &mut self.log {
                    log.sync().map_err(EngineError::Log)?;
                }
            }
            Output::BeginLog => {
                // The block that allows it has to outlive a crash, or an older height would be voted on again.
                self.writer.finish(std::mem::take(job));
                let chain = self.replica.ledger().genesis().chain_id();
                let log = VoteLog::create(&self.log_path, chain).map_err(EngineError::Log)?;
                self.log = Some(log);
                tracing::info!("a new vote log is begun: this validator votes again");
            }
            Output::Send(to, message) => self.links.send(&to, &message),
            Output::Broadcast(message) => self.links.broadcast(&message),
            Output::Store(order) => self.order(order, job)?,
            Output::Members(keys) => {
                tracing::info!(count = keys.len(), "these may link from now on");
                self.links.retain(&keys);
                self.members.set(keys);
            }
            Output::Evidence(evidence) => self.keep(evidence, job),
        }
        Ok(())
    }

    fn keep(&mut self, proof: Evidence, job: &mut Job) {
        let mut evidence = Contradictions::clone(&self.shown.evidence);
        if !evidence.note(&proof) {
            return;
        }
        let height = proof.first.height();
        tracing::error!(validator = %proof.offender, %height, "a validator has contradicted itself");
        job.evidence.push(proof);
        let (view, evidence) = (View::clone(&self.shown), Arc::new(evidence));
        self.shown = Arc::new(View { evidence, ..view });
    }

    fn order(&mut self, order: StoreOrder, job: &mut Job) -> Result<(), EngineError> {
        match order {
            StoreOrder::Commit(batch) => {
                let decided = batch.decided.as_ref();
                let height = decided.map(|decided| decided.block().header().height);
                job.batches.push(*batch);
                let log = self.log.as_mut();
                let log = log.filter(|log| height.is_some_and(|at| log.should_be_cut(at)));
                if let Some(log) = log {
                    // All that the log holds is in this batch and those before it.
                    self.writer.finish(std::mem::take(job));
                    log.cut().map_err(EngineError::Log)?;
                }
            }
            StoreOrder::ServeBlocks(to, first) => job.serves.push(Serve::Blocks(to, first)),
            StoreOrder::ServeBodies(to, keys) => job.serves.push(Serve::Bodies(to, keys)),
            StoreOrder::ServeChunk {
                to,
                height,
                index,
                key,
            } => job.serves.push(Serve::Chunk(to, height, index, key)),
            StoreOrder::Reply {
                client,
                verdict,
                is_acknowledged,
            } => {
                let answer = self.clients.answer(client, verdict, is_acknowledged);
                job.answers.extend(answer);
            }
        }
        Ok(())
    }
}

impl From<PeerEvent> for Input {
    fn from(event: PeerEvent) -> Self {
        match event {
            PeerEvent::Linked(key) => Self::Linked(key),
            PeerEvent::Unlinked(key) => Self::Unlinked(key),
            PeerEvent::Heard(from, message) => Self::Heard { from, message },
            PeerEvent::Update {
                from,
                ticket,
                submissions,
            } => Self::Update {
                from,
                ticket,
                submissions,
            },
        }
    }
}

/// What the engine wakes for.
enum Next {
    Command(Command),
    Tick,
    Ended,
}

/// Why a cycle failed.
#[derive(Debug, thiserror::Error)]
enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error("the vote log cannot be written: {0}")]
    Log(io::Error),
}
