//! The validator: keeps the enterprise chain that anchors every tenant.
//!
//! It checks tenant blocks with the shared rules, executes them in each tenant's own chain, decides enterprise blocks
//! behind an agreement that a set of one fills alone ([`agreement`]), makes each decision durable before it
//! answers ([`engine`], [`store`]), and serves what it knows over HTTP ([`http`]). Deciding parts ([`ledger`],
//! [`agreement`]) are pure; the engine is the one loop that owns them.
//!
//! It starts only over data that verifies from the genesis to the tip ([`start`]).

pub mod agreement;
pub mod backup;
mod config;
pub mod engine;
pub mod export;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod network;
pub mod replica;
pub mod start;
pub mod store;
pub mod transport;
pub mod view;
pub mod vote_log;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use shared::ids::PublicKey;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::agreement::Tendermint;
use crate::engine::{Clock, Engine};
use crate::http::{App, Events};
use crate::ledger::PROPOSAL_AHEAD_MAX_MS;
use crate::metrics::Metrics;
use crate::network::{Network, NetworkError};
use crate::replica::{Now, Replica, ReplicaError, Start};
use crate::start::{Files, Opened, StartError};
use crate::store::HeadFile;
use crate::transport::tls::Members;
use crate::transport::{Links, Tls, TlsError, Transport};
use crate::vote_log::Found;

pub use config::{Config, PORT_DEFAULT};

/// Why the validator does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It does not start over its data.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The vote log contradicts itself.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The genesis file is not used.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The links cannot be secured.
    #[error(transparent)]
    Tls(#[from] TlsError),
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
    let network = network_of(&config, &files)?;
    let opening = {
        let (files, config, network) = (files.clone(), config.clone(), network.clone());
        move || {
            let genesis = network.as_ref().map(|network| &network.genesis);
            start::open(&files, &config.id, config.enterprise_genesis, genesis)
        }
    };
    let opened = tokio::task::spawn_blocking(opening)
        .await
        .map_err(io::Error::other)??;
    let (end, ending) = watch::channel(false);
    let (app, engine, transport) = begin(&config, &files, opened, ending.clone())?;
    let view = app.handle.view();
    tracing::info!(
        address = %listener.local_addr()?, chain = %app.genesis.hash(), height = view.head.height.0,
        tenants = view.tenants.len(), validators = view.consensus.validators.len(), "the validator serves"
    );
    let mut tasks = vec![
        tokio::spawn(http::present(Arc::clone(&app))),
        tokio::spawn(export::keep(Arc::clone(&app), files.export)),
        tokio::spawn(metrics::keep(Arc::clone(&app))),
        tokio::spawn(backup::operate(
            Arc::clone(&app),
            backup::socket(&config.data, &config.id),
        )),
    ];
    if let Some(transport) = transport {
        let (bind, peers) = addresses(&config, network.as_ref(), &transport.key)?;
        let listener = TcpListener::bind(&bind).await.map_err(|error| {
            io::Error::other(format!(
                "cannot take the others' links on {bind}: {error}. Choose another --peer-bind"
            ))
        })?;
        tasks.push(tokio::spawn(transport.run(listener, peers, ending)));
    }
    let ended = async move {
        shutdown.await;
        // Streams and background tasks watch it.
        end.send_replace(true);
    };
    let served = service::serve(listener, http::router(Arc::clone(&app)), ended).await;
    for task in tasks {
        task.await.map_err(io::Error::other)?;
    }
    drop(app);
    let joined = tokio::task::spawn_blocking(move || engine.join())
        .await
        .map_err(io::Error::other)?;
    joined.map_err(|_| io::Error::other("the engine panicked"))?;
    Ok(served?)
}

/// The network that the validator belongs to, unless it is alone.
fn network_of(config: &Config, files: &Files) -> Result<Option<Network>, NetworkError> {
    match &config.genesis {
        Some(path) => Network::read(path).map(Some),
        None if files.network.exists() => Network::read(&files.network).map(Some),
        None => Ok(None),
    }
}

/// Where to listen, and where the others are.
fn addresses(
    config: &Config,
    network: Option<&Network>,
    key: &PublicKey,
) -> io::Result<(String, BTreeMap<PublicKey, String>)> {
    let Some(network) = network else {
        return Err(io::Error::other(
            "the store belongs to a network of several validators, and its genesis file is missing: start with --genesis",
        ));
    };
    let mut peers = network.addresses.clone();
    for info in network.genesis.validators().validators() {
        let told = config
            .peers
            .iter()
            .find(|(name, _)| *name == info.name.as_str());
        if let Some((_, address)) = told {
            peers.insert(info.key, address.clone());
        }
    }
    let own = peers.remove(key).unwrap_or_default();
    let bind = config.peer_bind.clone().unwrap_or(own);
    Ok((bind, peers))
}

/// What runs: the routes' state, the engine's thread, and the transport of a validator that is not alone.
type Begun = (Arc<App>, std::thread::JoinHandle<()>, Option<Transport>);

/// Starts the engine over an opened chain.
fn begin(
    config: &Config,
    files: &Files,
    opened: Opened,
    ending: watch::Receiver<bool>,
) -> Result<Begun, Error> {
    let Opened {
        ledger,
        store,
        secret,
        rotation,
        log,
        votes,
    } = opened;
    let metrics = Metrics::new(ledger.verifier().height().0);
    let store = Arc::new(store.measured(metrics.commits()));
    let genesis = ledger.genesis().clone();
    let (identity, chain) = (secret.identity(), genesis.chain_id());
    let key = identity.public_key();
    let set = ledger.verifier().validators().clone();
    let is_alone = set.validators().len() == 1;
    let clock = Clock::default();
    let agreement = Tendermint::new(identity, chain, genesis.timeouts(), &set);
    let start = start_of(votes, clock.now(), is_alone);
    let replica = Replica::new(
        ledger,
        rotation,
        Box::new(agreement),
        key,
        clock.now(),
        start,
    )?;
    let links = Links::default();
    let engine = Engine {
        replica,
        store: Arc::clone(&store),
        head: HeadFile::new(files.head.clone()),
        log: log.filter(|_| !is_alone),
        log_path: files.votes.clone(),
        links: links.clone(),
        clock,
    };
    let (handle, thread) = engine.start()?;
    let transport = if is_alone {
        None
    } else {
        let members = Members::new(set.validators().iter().map(|info| info.key));
        let tls = Tls::new(secret.seed(), members)?;
        let handle = handle.clone();
        Some(Transport {
            tls,
            chain,
            key,
            handle,
            links,
        })
    };
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let app = App {
        handle,
        store,
        genesis,
        id: config.id.clone(),
        key,
        started_at: service::now_ms(),
        events: Events::default(),
        metrics,
        ending,
        updates: Semaphore::new(http::UPDATES_MAX),
        checks: Semaphore::new(processors),
        streams: Arc::new(Semaphore::new(http::STREAMS_MAX)),
    };
    Ok((Arc::new(app), thread, transport))
}

/// What the vote log says; without a whole one the validator abstains until a block is younger than this start.
fn start_of(votes: Found, now: Now, is_alone: bool) -> Start {
    let reason = match votes {
        Found::Intact(records) => {
            return Start {
                records,
                abstains_until: None,
            };
        }
        _ if is_alone => return Start::default(),
        Found::Missing => "there is no vote log".to_owned(),
        Found::Damaged(reason) => format!("the vote log is damaged: {reason}"),
    };
    tracing::warn!(
        reason,
        "this validator follows and does not vote until a block is decided that is younger than its start"
    );
    Start {
        records: Vec::new(),
        abstains_until: Some(now.wall.plus_ms(PROPOSAL_AHEAD_MAX_MS)),
    }
}
