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
pub mod body;
mod clients;
mod config;
pub mod engine;
pub mod evidence;
pub mod export;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod network;
pub mod replica;
pub mod set_change;
pub mod start;
pub mod store;
pub mod transport;
pub mod view;
pub mod vote_log;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use shared::enterprise::{ValidatorInfo, ValidatorSet};
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
    let addresses = Addresses::new(
        &config,
        network.as_ref(),
        opened.ledger.verifier().validators(),
        &opened.secret.identity().public_key(),
    )?;
    let (app, engine, transport) = begin(&config, &files, opened, &addresses, ending.clone())?;
    let socket = backup::socket(&config.data, &config.id);
    let operator = backup::operate(Arc::clone(&app), socket);
    let view = app.handle.view();
    tracing::info!(
        address = %listener.local_addr()?, chain = %app.genesis.hash(), height = view.head.height.0,
        tenants = view.tenants.len(), validators = view.consensus.validators.len(), "the validator serves"
    );
    let mut tasks = vec![
        tokio::spawn(http::present(Arc::clone(&app))),
        tokio::spawn(export::keep(Arc::clone(&app), files.export)),
        tokio::spawn(metrics::keep(Arc::clone(&app))),
        tokio::spawn(operator),
    ];
    if let (Some(transport), Some(bind)) = (transport, addresses.bind) {
        let listener = TcpListener::bind(&bind).await.map_err(|error| {
            io::Error::other(format!(
                "cannot take the others' links on {bind}: {error}. Choose another --peer-bind"
            ))
        })?;
        tasks.push(tokio::spawn(transport.run(
            listener,
            addresses.peers,
            ending,
        )));
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

/// Where validators are reached by each other.
#[derive(Debug)]
struct Addresses {
    /// Where this one takes links; none while it is alone and takes none.
    bind: Option<String>,
    /// Where the others are.
    peers: BTreeMap<PublicKey, String>,
    /// Those named by their key: they may follow the chain, whether they are in the set or not.
    followers: BTreeSet<PublicKey>,
}

impl Addresses {
    fn new(
        config: &Config,
        network: Option<&Network>,
        set: &ValidatorSet,
        own: &PublicKey,
    ) -> io::Result<Self> {
        let mut peers = network.map_or_else(BTreeMap::new, |network| network.addresses.clone());
        let genesis = network.map(|network| network.genesis.validators().validators());
        let named = genesis.unwrap_or_default().iter().chain(set.validators());
        let named: Vec<&ValidatorInfo> = named.collect();
        let mut followers = BTreeSet::new();
        for (name, address) in &config.peers {
            if let Ok(key) = name.parse::<PublicKey>() {
                followers.insert(key);
                peers.insert(key, address.clone());
                continue;
            }
            let info = named.iter().find(|info| info.name.as_str() == name);
            let info = info.ok_or_else(|| {
                io::Error::other(format!(
                    "--peers names {name}, which is not in the set; name one that shall join by its public key"
                ))
            })?;
            peers.insert(info.key, address.clone());
        }
        followers.remove(own);
        let told = peers.remove(own).filter(|address| !address.is_empty());
        let bind = config.peer_bind.clone().or(told);
        let is_alone = set.validators().len() == 1 && set.index_of(own).is_some();
        let bind =
            bind.filter(|_| !is_alone || !followers.is_empty() || config.peer_bind.is_some());
        if bind.is_none() && (!is_alone || !followers.is_empty()) {
            return Err(io::Error::other(
                "this validator is one of several: say with --peer-bind where it takes the others' links, or give the genesis file with --genesis",
            ));
        }
        Ok(Self {
            bind,
            peers,
            followers,
        })
    }
}

/// What runs: the routes' state, the engine's thread, and the transport of a validator that is not alone.
type Begun = (Arc<App>, std::thread::JoinHandle<()>, Option<Transport>);

/// Starts the engine over an opened chain.
fn begin(
    config: &Config,
    files: &Files,
    opened: Opened,
    addresses: &Addresses,
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
    let is_alone = addresses.bind.is_none();
    if set.index_of(&key).is_none() {
        tracing::warn!(%key, "this validator is not in the set: it follows, and votes once a set change took it in");
    }
    let clock = Clock::default();
    let agreement = Tendermint::new(identity, chain, genesis.timeouts(), &set);
    let mut start = start_of(votes, clock.now(), is_alone);
    start.followers.clone_from(&addresses.followers);
    start.snapshot_every = config.snapshot_every;
    start.identity = Some(secret.identity());
    start.snapshots = store.snapshots().map_err(io::Error::other)?;
    let replica = Replica::new(
        ledger,
        rotation,
        Box::new(agreement),
        key,
        clock.now(),
        start,
    )?;
    let links = Links::default();
    let members = Members::default();
    let engine = Engine {
        replica,
        store: Arc::clone(&store),
        head: HeadFile::new(files.head.clone()),
        log: log.filter(|_| !is_alone),
        log_path: files.votes.clone(),
        links: links.clone(),
        members: members.clone(),
        clock,
    };
    let (handle, thread) = engine.start()?;
    let tls = Tls::new(secret.seed(), members)?;
    let transport = (!is_alone).then(|| Transport {
        tls,
        chain,
        key,
        handle: handle.clone(),
        links,
    });
    let app = App {
        handle,
        store,
        genesis,
        id: config.id.clone(),
        key,
        takes_links: !is_alone,
        started_at: service::now_ms(),
        events: Events::default(),
        metrics,
        ending,
        updates: Semaphore::new(http::UPDATES_MAX),
        checks: Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)),
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
                ..Start::default()
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
        abstains_until: Some(now.wall.plus_ms(PROPOSAL_AHEAD_MAX_MS)),
        ..Start::default()
    }
}
