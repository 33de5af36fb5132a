//! The one loop that owns ledger, agreement and store: a thread that takes updates in batches and answers when durable.
//!
//! Group commit: whatever arrived while the last block was written to disk shares the next one. An update is answered
//! only after the transaction that holds it returned. When a write fails, nothing more is taken: the memory is ahead of
//! the disk, and a restart brings both together again. Readers go on.
//!
//! When nothing is sent, the loop wakes for the next deadline at which enterprise time makes a tenant's block final.
//!
//! Limits: [`QUEUE_MAX`] waiting updates (senders wait for room), [`BATCH_MAX`] updates a cycle.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::ids::{PublicKey, TimestampMs};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use crate::agreement::{Agreement, AgreementError, Input, Output};
use crate::ledger::{Ledger, ProposalError, Receipt, Refusal, Submission};
use crate::store::{HeadFile, Store, StoreError};
use crate::view::View;

/// Updates that wait for the engine.
pub const QUEUE_MAX: usize = 1_024;
/// Updates of one cycle.
const BATCH_MAX: usize = 512;

/// Why a write has no answer of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// A write failed; the validator takes no more until it is restarted.
    #[error(
        "the store cannot be written ({0}); free space or mend the disk and restart the validator"
    )]
    Failed(Arc<str>),
    /// The validator is ending.
    #[error("the validator is shutting down")]
    Ending,
}

/// The answer to a submission: the verdict, once what was taken is durable.
pub type Verdict = Result<Receipt, Refusal>;

/// What is on its way to the engine.
enum Command {
    Submit(Submitted),
    Read(Reading),
}

/// A reader's look at the ledger, between two batches.
type Reading = Box<dyn FnOnce(&Ledger) + Send>;

/// A submission on its way to the engine.
#[derive(Debug)]
struct Submitted {
    submission: Submission,
    transactions: u64,
    reply: oneshot::Sender<Result<Verdict, Unavailable>>,
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

    /// Submissions that wait for the engine.
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

/// The parts that the engine owns.
pub struct Engine {
    /// The chain's rules and state.
    pub ledger: Ledger,
    /// Who decides.
    pub agreement: Box<dyn Agreement>,
    /// Where it is kept.
    pub store: Arc<Store>,
    /// The head file beside it.
    pub head: HeadFile,
    /// This validator's key.
    pub proposer: PublicKey,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("proposer", &self.proposer)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Starts the engine on a thread of its own, which ends when all handles are gone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self) -> io::Result<(Handle, std::thread::JoinHandle<()>)> {
        let (commands, received) = mpsc::channel(QUEUE_MAX);
        let (publish, view) = watch::channel(Arc::new(View::new(&self.ledger)));
        let pending = Arc::new(AtomicU64::new(0));
        let shown = Shown {
            view: publish,
            pending: Arc::clone(&pending),
        };
        let clock = Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || self.run(received, &shown, &clock))?;
        let handle = Handle {
            commands,
            view,
            pending,
        };
        Ok((handle, thread))
    }

    fn run(mut self, mut commands: mpsc::Receiver<Command>, shown: &Shown, clock: &Runtime) {
        // What the start changed (held blocks that no longer fit) goes first.
        self.ledger.take_changed();
        let mut failure = None;
        loop {
            let first = match self.next(&mut commands, clock, failure.is_some()) {
                Next::Command(first) => Some(first),
                Next::Deadline => None,
                Next::Ended => return,
            };
            let mut batch = Vec::new();
            let mut next = first;
            while let Some(command) = next.take() {
                match command {
                    Command::Submit(submitted) => batch.push(submitted),
                    Command::Read(look) => look(&self.ledger),
                }
                if batch.len() < BATCH_MAX {
                    next = commands.try_recv().ok();
                }
            }
            match &failure {
                None => failure = self.cycle(batch, shown),
                Some(reason) => refuse(batch, shown, reason),
            }
        }
    }

    /// Waits for the next command, or for the time at which something becomes final.
    fn next(
        &self,
        commands: &mut mpsc::Receiver<Command>,
        clock: &Runtime,
        has_failed: bool,
    ) -> Next {
        let due = self.ledger.next_deadline().filter(|_| !has_failed);
        let received = match due {
            None => commands.blocking_recv(),
            Some(due) => {
                let now = TimestampMs(service::now_ms());
                let pause = Duration::from_millis(due.since(now).max(PAUSE_MS_MIN));
                let waited = async { tokio::time::timeout(pause, commands.recv()).await };
                match clock.block_on(waited) {
                    Ok(received) => received,
                    Err(_) => return Next::Deadline,
                }
            }
        };
        received.map_or(Next::Ended, Next::Command)
    }

    /// Takes a batch, makes it durable, shows it and answers; says why when that failed.
    fn cycle(&mut self, batch: Vec<Submitted>, shown: &Shown) -> Option<Arc<str>> {
        let now = TimestampMs(service::now_ms());
        let mut answers = Vec::with_capacity(batch.len());
        let mut transactions = 0_u64;
        for command in batch {
            transactions = transactions.saturating_add(command.transactions);
            answers.push((command.reply, self.ledger.accept(now, command.submission)));
        }
        let decided = self.decide_pending(now);
        // Before the picture that shows them decided, so that no reader counts them twice.
        shown.pending.fetch_sub(transactions, Ordering::Relaxed);
        match decided {
            Ok(()) => {
                let changed = self.ledger.take_changed();
                if !changed.is_empty() {
                    shown.replace(|view| view.after(&self.ledger, changed));
                }
                for (reply, verdict) in answers {
                    // A sender that has gone away finds its blocks known when it asks again.
                    let _ = reply.send(Ok(verdict));
                }
                None
            }
            Err(error) => {
                tracing::error!(%error, "the validator takes no more writes");
                let reason: Arc<str> = error.to_string().into();
                shown.replace(|view| view.failed(&reason));
                for (reply, _) in answers {
                    let _ = reply.send(Err(Unavailable::Failed(Arc::clone(&reason))));
                }
                Some(reason)
            }
        }
    }

    /// Decides block after block until nothing is pending, and stores what is held besides.
    fn decide_pending(&mut self, now: TimestampMs) -> Result<(), EngineError> {
        while self.ledger.needs_block(now) {
            let height = self.ledger.verifier().height().next();
            self.agreement.handle(now, Input::WorkPending { height })?;
            while let Some(output) = self.agreement.poll() {
                self.perform(now, output)?;
            }
            if self.ledger.verifier().height() < height {
                return Err(EngineError::Stalled);
            }
        }
        let batch = self.ledger.take_batch();
        if !batch.is_empty() {
            self.store.commit(&batch)?;
        }
        Ok(())
    }

    fn perform(&mut self, now: TimestampMs, output: Output) -> Result<(), EngineError> {
        match output {
            Output::BuildValue { height, round } => {
                let block_hash = self.ledger.propose(now, self.proposer)?;
                self.agreement.handle(
                    now,
                    Input::ValueBuilt {
                        height,
                        round,
                        block_hash,
                    },
                )?;
            }
            Output::Decide { certificate } => {
                let decided = self.ledger.decide(certificate)?;
                let mut batch = self.ledger.take_batch();
                batch.decided = Some(decided);
                self.store.commit(&batch)?;
                let head = self.ledger.finish()?;
                if let Err(error) = self.head.write(head) {
                    tracing::warn!(%error, "the head file could not be written");
                }
                tracing::debug!(height = head.height.0, hash = %head.hash, "decided");
            }
        }
        Ok(())
    }
}

/// What the engine wakes for.
enum Next {
    Command(Command),
    Deadline,
    Ended,
}

/// The shortest wait for a deadline: the clock may be behind enterprise time.
const PAUSE_MS_MIN: u64 = 5;

/// What the engine shows to readers.
struct Shown {
    view: watch::Sender<Arc<View>>,
    pending: Arc<AtomicU64>,
}

impl Shown {
    fn replace(&self, next: impl FnOnce(&View) -> View) {
        let next = next(&self.view.borrow());
        self.view.send_replace(Arc::new(next));
    }
}

fn transactions_of(submission: &Submission) -> u64 {
    let counts = submission
        .blocks
        .iter()
        .map(|block| block.transactions().len());
    u64::try_from(counts.sum::<usize>()).unwrap_or(u64::MAX)
}

fn refuse(batch: Vec<Submitted>, shown: &Shown, reason: &Arc<str>) {
    for Submitted {
        reply,
        transactions,
        ..
    } in batch
    {
        shown.pending.fetch_sub(transactions, Ordering::Relaxed);
        let _ = reply.send(Err(Unavailable::Failed(Arc::clone(reason))));
    }
}

/// Why a cycle failed.
#[derive(Debug, thiserror::Error)]
enum EngineError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Agreement(#[from] AgreementError),
    #[error(transparent)]
    Proposal(#[from] ProposalError),
    #[error("the agreement did not decide")]
    Stalled,
}
