//! `bench tracker`: the tracker as a real process beside `matchbox_server`, driven by one generator in one run.
//!
//! Rooms of [`rooms::ROOM`], messages of 2 KB, loopback. The servers run on one core and the generator on the other; what
//! counts is the server's own processor time (`/proc`), so that neighbours of a shared machine disturb little. Both
//! servers take turns, so that both see the same machine. Our limits stay on: every connection has an address of its own,
//! and sends fewer messages than its token buckets hold.

mod abuse;
pub(crate) mod bare;
mod idle;
mod load;
mod rooms;
mod server;
mod updates;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;

use self::server::{Kind, Server};
use crate::figure;

/// A part of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// Relays per second of processor time.
    Relays,
    /// The time a relay takes at a set rate.
    Latency,
    /// The same time while strangers do harm.
    Abuse,
    /// Joined connections per second of processor time.
    Connections,
    /// Idle connections: how many are held, and what one costs in memory.
    Idle,
    /// What a thousand joins send.
    Joins,
    /// Updates made durable.
    Updates,
    /// The outbox after an outage.
    Outbox,
}

/// What is to be measured, and beside what.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The figures; all when none is named.
    pub(crate) only: Vec<Subject>,
    /// The other server's program.
    pub(crate) matchbox: PathBuf,
}

impl Plan {
    /// Measures on this thread.
    pub(crate) fn run(&self) -> Result<()> {
        server::prepare_generator()?;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build()?.block_on(self.measure())
    }

    async fn measure(&self) -> Result<()> {
        if self.has(Subject::Relays) {
            load::relays(self).await?;
        }
        if self.has(Subject::Latency) {
            load::latency(self).await?;
        }
        if self.has(Subject::Abuse) {
            abuse::abuse(self).await?;
        }
        if self.has(Subject::Connections) {
            load::connections(self).await?;
        }
        if self.has(Subject::Joins) {
            idle::join_bytes(self).await?;
        }
        if self.has(Subject::Idle) {
            idle::idle(self).await?;
        }
        if self.has(Subject::Updates) {
            updates::durable().await?;
        }
        if self.has(Subject::Outbox) {
            updates::drain().await?;
        }
        Ok(())
    }

    fn has(&self, subject: Subject) -> bool {
        self.only.is_empty() || self.only.contains(&subject)
    }

    /// A new server of one kind, alone on its core.
    async fn start(&self, kind: Kind) -> Result<Arc<Server>> {
        let server = match kind {
            Kind::Ours => Server::tracker(None).await?,
            Kind::Matchbox => Server::matchbox(&self.matchbox).await?,
            Kind::Bare => Server::bare().await?,
        };
        Ok(Arc::new(server))
    }
}

/// Prints both and the ratio of ours to theirs.
fn compare(ratio: &str, name: &str, [ours, theirs]: [f64; 2], unit: &str) {
    figure(name, ours, unit);
    figure(&format!("{name}_matchbox"), theirs, unit);
    figure(ratio, ours / theirs, "ratio");
}
