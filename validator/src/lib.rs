//! The validator: keeps the enterprise chain that anchors every tenant.
//!
//! It checks tenant blocks with the shared rules, executes them in each tenant's own chain, decides enterprise blocks
//! behind an agreement that a set of one fills alone ([`agreement`]), makes each decision durable before it
//! answers ([`engine`], [`store`]), and serves what it knows over HTTP ([`http`]). Deciding parts ([`ledger`],
//! [`agreement`]) are pure; the engine is the one loop that owns them.
//!
//! It starts only over data that verifies from the genesis to the tip ([`start`]).

pub mod agreement;
mod config;
pub mod engine;
pub mod export;
pub mod http;
pub mod ledger;
pub mod start;
pub mod store;
pub mod view;

use std::io;
use std::sync::Arc;

use shared::ids::ChainId;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::agreement::{AgreementError, Solo};
use crate::engine::Engine;
use crate::http::{App, Events};
use crate::start::{Files, Opened, StartError};
use crate::store::HeadFile;

pub use config::{Config, PORT_DEFAULT};

/// Why the validator does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not start over its data.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It cannot decide in its validator set.
    #[error("{0}")]
    Agreement(#[from] AgreementError),
    /// The listener or a thread failed.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Runs the validator on a listener until `shutdown` resolves; everything accepted is durable at any time.
///
/// # Errors
/// [`Error`], whose text says what to do.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let files = Files::new(&config.data, &config.id);
    let opening = {
        let (files, config) = (files.clone(), config.clone());
        move || start::open(&files, &config.id, config.enterprise_genesis)
    };
    let opened = tokio::task::spawn_blocking(opening)
        .await
        .map_err(io::Error::other)??;
    let (end, ending) = watch::channel(false);
    let (app, engine) = begin(&config, &files, opened, ending)?;
    let view = app.handle.view();
    tracing::info!(
        address = %listener.local_addr()?, chain = %app.genesis.hash(), height = view.head.height.0,
        tenants = view.tenants.len(), "the validator serves"
    );
    let presenting = tokio::spawn(http::present(Arc::clone(&app)));
    let exporting = tokio::spawn(export::keep(Arc::clone(&app), files.export));
    let ended = async move {
        shutdown.await;
        // Streams and background tasks watch it.
        end.send_replace(true);
    };
    let served = service::serve(listener, http::router(Arc::clone(&app)), ended).await;
    for task in [presenting, exporting] {
        task.await.map_err(io::Error::other)?;
    }
    drop(app);
    let joined = tokio::task::spawn_blocking(move || engine.join())
        .await
        .map_err(io::Error::other)?;
    joined.map_err(|_| io::Error::other("the engine panicked"))?;
    Ok(served?)
}

/// Starts the engine over an opened chain.
fn begin(
    config: &Config,
    files: &Files,
    opened: Opened,
    ending: watch::Receiver<bool>,
) -> Result<(Arc<App>, std::thread::JoinHandle<()>), Error> {
    let Opened {
        ledger,
        store,
        identity,
    } = opened;
    let (store, genesis) = (Arc::new(store), ledger.genesis().clone());
    let key = identity.public_key();
    let chain = ChainId(genesis.hash());
    let agreement = Box::new(Solo::new(identity, chain, ledger.verifier().validators())?);
    let head = HeadFile::new(files.head.clone());
    let engine = Engine {
        ledger,
        agreement,
        store: Arc::clone(&store),
        head,
        proposer: key,
    };
    let (handle, thread) = engine.start()?;
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let app = App {
        handle,
        store,
        genesis,
        id: config.id.clone(),
        key,
        started_at: service::now_ms(),
        events: Events::default(),
        ending,
        updates: Semaphore::new(http::UPDATES_MAX),
        checks: Semaphore::new(processors),
        streams: Arc::new(Semaphore::new(http::STREAMS_MAX)),
    };
    Ok((Arc::new(app), thread))
}
