//! The thread that owns the store: commits what was decided, then serves, shows and answers what follows from it.
//!
//! The engine goes on deciding meanwhile; what the store does not have yet is in the vote log. Jobs that wait are committed
//! in one transaction. It decides nothing.
//!
//! With a log that holds them meanwhile, commits are at least [`PAUSE_MS`] apart: each costs the same whatever is in it.
//!
//! Limits: [`JOBS_MAX`] jobs wait, then the engine waits.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use shared::enterprise::EnterpriseHeight;
use shared::ids::{ChainId, PublicKey};
use tokio::sync::{oneshot, watch};

use crate::agreement::Evidence;
use crate::engine::{TAKES_NO_MORE, Unavailable, Verdict};
use crate::replica::{blocks, bodies, chunk};
use crate::store::{Batch, BodyKey, ChunkKey, HeadFile, Store, StoreError};
use crate::transport::Links;
use crate::view::View;

/// Jobs that wait for the writer.
pub(crate) const JOBS_MAX: usize = 64;
/// Jobs of one transaction.
const MERGED_MAX: usize = 64;
/// The shortest time between two commits beside a log, in ms.
pub(crate) const PAUSE_MS: u64 = 100;

/// What one cycle of the engine leaves to do, in this order.
#[derive(Default)]
pub(crate) struct Job {
    /// To commit.
    pub(crate) batches: Vec<Batch>,
    /// To keep.
    pub(crate) evidence: Vec<Evidence>,
    /// To send from the store.
    pub(crate) serves: Vec<Serve>,
    /// To show.
    pub(crate) view: Option<Arc<View>>,
    /// To answer.
    pub(crate) answers: Vec<Answer>,
    /// To tell when all is done.
    pub(crate) done: Option<SyncSender<()>>,
}

impl Job {
    pub(crate) const fn is_empty(&self) -> bool {
        self.batches.is_empty()
            && self.evidence.is_empty()
            && self.serves.is_empty()
            && self.view.is_none()
            && self.answers.is_empty()
            && self.done.is_none()
    }
}

/// What a validator asked for.
pub(crate) enum Serve {
    /// Decided blocks from a height on.
    Blocks(PublicKey, EnterpriseHeight),
    /// Tenant blocks.
    Bodies(PublicKey, Vec<BodyKey>),
    /// A chunk of the snapshot of a height.
    Chunk(PublicKey, EnterpriseHeight, u32, ChunkKey),
}

/// An answer to a client.
pub(crate) struct Answer {
    pub(crate) reply: oneshot::Sender<Result<Verdict, Unavailable>>,
    pub(crate) verdict: Result<Verdict, Unavailable>,
    pub(crate) transactions: u64,
    pub(crate) chain_id: ChainId,
}

impl Answer {
    /// Puts the tenant into the answer as a picture shows it.
    pub(crate) fn show(&mut self, view: &View) {
        if let Ok(Ok(taken)) = &mut self.verdict {
            taken.tenant = view.tenants.get(&self.chain_id).cloned();
        }
    }

    /// What is answered waits no more, also in a picture that is shown before.
    fn settle(answers: &[Self], pending: &AtomicU64) {
        let settled = answers.iter().map(|answer| answer.transactions).sum();
        pending.fetch_sub(settled, Ordering::Relaxed);
    }

    fn send(self) {
        // A sender that has gone away finds its blocks known when it asks again.
        let _ = self.reply.send(self.verdict);
    }
}

/// The way to the writer.
pub(crate) struct Writer {
    jobs: SyncSender<Job>,
    failure: Arc<OnceLock<Arc<str>>>,
    pending: Arc<AtomicU64>,
}

/// What the writer works with.
pub(crate) struct Desk {
    pub(crate) store: Arc<Store>,
    pub(crate) head: HeadFile,
    pub(crate) links: Links,
    pub(crate) view: watch::Sender<Arc<View>>,
    pub(crate) pending: Arc<AtomicU64>,
    /// The shortest time between two commits, in ms.
    pub(crate) pause: u64,
}

impl Writer {
    /// Starts the thread, which ends when this is dropped and all jobs are done.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(desk: Desk) -> io::Result<(Self, std::thread::JoinHandle<()>)> {
        let (jobs, received) = sync_channel(JOBS_MAX);
        let failure = Arc::new(OnceLock::new());
        let (seen, pending) = (Arc::clone(&failure), Arc::clone(&desk.pending));
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || desk.run(&received, &seen))?;
        let writer = Self {
            jobs,
            failure,
            pending,
        };
        Ok((writer, thread))
    }

    /// Hands a job over; waits for room.
    pub(crate) fn put(&self, job: Job) {
        if !job.is_empty() {
            // A writer that has gone away has panicked; its clients hear that their answer is lost.
            let _ = self.jobs.send(job);
        }
    }

    /// Answers at once.
    pub(crate) fn answer(&self, answers: Vec<Answer>) {
        Answer::settle(&answers, &self.pending);
        for answer in answers {
            answer.send();
        }
    }

    /// Hands a job over and waits until it and all before it are done.
    pub(crate) fn finish(&self, mut job: Job) {
        let (done, finished) = sync_channel(1);
        job.done = Some(done);
        self.put(job);
        // As above.
        let _ = finished.recv();
    }

    /// Why nothing is written any more, if that is so.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.failure.get().cloned()
    }
}

impl Desk {
    fn run(mut self, jobs: &Receiver<Job>, failure: &OnceLock<Arc<str>>) {
        while let Ok(first) = jobs.recv() {
            let mut merged = vec![first];
            let began = service::SteadyClock::default();
            loop {
                let left = self.pause.saturating_sub(began.elapsed_ms());
                let is_wanted = merged.last().is_some_and(|job| job.done.is_some());
                if merged.len() >= MERGED_MAX || is_wanted {
                    break;
                }
                match jobs.recv_timeout(Duration::from_millis(left)) {
                    Ok(next) => merged.push(next),
                    Err(_) => break,
                }
            }
            if failure.get().is_none()
                && let Err(error) = self.commit(&mut merged)
            {
                tracing::error!(%error, "{TAKES_NO_MORE}");
                let reason: Arc<str> = error.to_string().into();
                let failed = self.view.borrow().failed(&reason);
                self.view.send_replace(Arc::new(failed));
                // Set once, here.
                let _ = failure.set(reason);
            }
            for job in merged {
                self.follow(job, failure.get());
            }
        }
    }

    fn commit(&mut self, jobs: &mut [Job]) -> Result<(), StoreError> {
        let batches = jobs.iter_mut().flat_map(|job| job.batches.drain(..));
        let batches: Vec<Batch> = batches.collect();
        let evidence = jobs.iter_mut().flat_map(|job| job.evidence.drain(..));
        let evidence: Vec<Evidence> = evidence.collect();
        if !evidence.is_empty() {
            self.store.keep_evidence(&evidence)?;
        }
        if batches.is_empty() {
            return Ok(());
        }
        self.store.commit(&batches)?;
        if let Some(head) = batches.iter().rev().find_map(Batch::head)
            && let Err(error) = self.head.write(head)
        {
            tracing::warn!(%error, "the head file could not be written");
        }
        Ok(())
    }

    /// What a job does once it is durable, or has failed.
    fn follow(&self, job: Job, failure: Option<&Arc<str>>) {
        for serve in job.serves {
            if let Err(error) = self.serve(serve) {
                tracing::error!(%error, "a validator cannot be served from the store");
            }
        }
        Answer::settle(&job.answers, &self.pending);
        if let Some(view) = job.view.filter(|_| failure.is_none()) {
            self.view.send_replace(view);
        }
        for mut answer in job.answers {
            if let Some(reason) = failure {
                answer.verdict = Err(Unavailable::Failed(Arc::clone(reason)));
            }
            answer.send();
        }
        if let Some(done) = job.done {
            // As above.
            let _ = done.send(());
        }
    }

    fn serve(&self, serve: Serve) -> Result<(), StoreError> {
        match serve {
            Serve::Blocks(to, first) => {
                let message = blocks(self.store.as_ref(), first)?;
                self.links.send(&to, &message);
            }
            Serve::Bodies(to, keys) => {
                let message = bodies(self.store.as_ref(), &keys)?;
                self.links.send(&to, &message);
            }
            Serve::Chunk(to, height, index, key) => {
                let message = chunk(self.store.as_ref(), height, index, key)?;
                self.links.send(&to, &message);
            }
        }
        Ok(())
    }
}
