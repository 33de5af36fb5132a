//! The tracker: lets the browsers of a tenant find each other, checks and forwards tenant updates.
//!
//! Two pure machines decide: [`hub`] (connections, rooms, who hears what) and [`ledger`] (networks, verified chains,
//! what the validator has). Around them are thin drivers: `engine` (the hub's lock and the connections' queues),
//! `recorder` (the ledger's thread and its commits), [`store`] (redb), `forwarder` (posts to the validators that [`breaker`] lets it ask), `socket`
//! (`/ws`, at the `pace` of each), `edge` (what [`addresses`] decides), `http` and `operations`.
//!
//! What the tracker cannot do: read or forge what peers sign; it sees who is in which room and the blocks it reports.

pub mod addresses;
pub mod backplane;
pub mod breaker;
pub mod config;
pub mod derived;
mod edge;
pub mod ending;
mod engine;
#[expect(unused_qualifications, reason = "of the code that `IntoParams` writes")]
mod enterprise;
mod fair;
mod forwarder;
mod http;
pub mod hub;
mod inbox;
pub mod label;
pub mod ledger;
pub mod limits;
mod metrics;
mod operations;
mod origin;
mod pace;
mod queue;
mod recorder;
mod socket;
pub mod store;
pub mod turn;
mod turns;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::TimestampMs;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::backplane::{Backplane, Nats, NatsTask, TrackerId};
pub use self::config::{Config, OperationsBind};
use self::derived::Derived;
use self::edge::Edge;
use self::ending::Ending;
use self::engine::Engine;
use self::enterprise::Enterprise;
use self::forwarder::Circuits;
pub use self::http::asyncapi_document;
use self::hub::{Hub, PublicUrl};
use self::ledger::{Forwarding, Ledger};
use self::metrics::Metrics;
use self::operations::Draining;
use self::origin::Origins;
use self::recorder::{Desk, LedgerSender, Recorder};
use self::store::{Store, StoreError};
use self::turn::{Turn, TurnError};

/// The tracker ended for another reason than its shutdown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] service::TlsError),
    /// The operations port cannot be used.
    #[error(transparent)]
    Operations(#[from] service::BindError),
    /// The TURN secret cannot be used.
    #[error(transparent)]
    Turn(#[from] TurnError),
    /// The port or a thread failed.
    #[error("the tracker cannot serve: {0}")]
    Io(#[from] io::Error),
    /// The thread that keeps the ledger broke.
    #[error("the tracker's ledger broke; its log says why")]
    Ledger,
}

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    id: String,
    engine: Arc<Engine>,
    ledger: LedgerSender,
    origins: Origins,
    /// How the ways to the validators stand; none of a tracker without.
    circuits: Circuits,
    enterprise: Arc<Enterprise>,
    /// The way to other trackers, if there are any.
    cluster: Option<Nats>,
    connections: Arc<Semaphore>,
    connections_max: usize,
    edge: Edge,
    draining: Draining,
    metrics: Metrics,
}

/// Serves on `listener` until `shutdown`; then lets the clients move, closes the connections, finishes what is begun
/// and writes its files.
///
/// # Errors
/// The store, the certificate or the operations port cannot be used, or the disk refused a commit.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    run_with(listener, config, shutdown, std::future::pending()).await
}

fn say_ready(config: &Config, address: SocketAddr, tls: bool) {
    tracing::info!(%address, id = config.id, tls, "the tracker is ready");
    if !config.www.join("index.html").is_file() {
        let www = config.www.display();
        tracing::warn!(%www, "no app is here, so that no page is found: build it, or say with --www where it is");
    }
}

fn ask_for_names(config: &Config, address: SocketAddr) {
    if config.public_hosts.is_empty() && !address.ip().is_loopback() {
        tracing::warn!(
            "an admission to a private room is for whatever host its client names: say with --public-host by which names browsers come"
        );
    }
}

/// The same; `hurry`, which is first polled after `shutdown`, ends the time that clients get to move.
///
/// # Errors
/// As for [`run`].
pub async fn run_with(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
    hurry: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let tls = tls_of(&config)?;
    let operations = operations_listener(&config).await?;
    let (app, mut recorded) = start(&config).await?;
    let address = listener.local_addr()?;
    let mut background = background_of(&app, operations, tls.clone());
    say_ready(&config, address, tls.is_some());
    ask_for_names(&config, address);
    allow_files(app.connections_max);
    let door: Arc<dyn service::Door> = Arc::new(app.edge.clone());
    let options = service::ServeOptions {
        tls,
        door: Some(door),
        room: Some(Arc::clone(app.edge.room())),
    };
    let router = http::router(Arc::clone(&app), &config.www);
    let (begun, mut has_begun) = watch::channel(None);
    let mut early = None;
    let stopping = async {
        tokio::select! {
            () = shutdown => {}
            ended = &mut recorded => early = Some(ended),
        }
        app.draining.begin();
        app.engine.drain();
        begun.send_replace(Some(Instant::now()));
    };
    let patience = Duration::from_secs(config.drain_seconds.into());
    let over = async {
        let at = has_begun.wait_for(Option::is_some).await.map(|at| *at);
        let at = at.ok().flatten().unwrap_or_else(Instant::now);
        tokio::select! {
            () = tokio::time::sleep_until(at + patience) => {}
            () = hurry => {}
        }
        app.engine.close_all(Ending::Stopping);
    };
    let permits = u32::try_from(app.connections_max).unwrap_or(u32::MAX);
    let moved = async {
        let served = service::serve_with(listener, router, options, stopping).await;
        // All of them are free when nobody is connected any more.
        let _ = app.connections.acquire_many(permits).await;
        served
    };
    let served = {
        let mut moved = std::pin::pin!(moved);
        tokio::select! {
            served = &mut moved => served,
            () = over => {
                let closing = Duration::from_millis(DRAIN_MS);
                tokio::time::timeout(closing, moved).await.unwrap_or(Ok(()))
            }
        }
    };
    background.shutdown().await;
    app.ledger.stop();
    let ended = match early {
        Some(ended) => ended,
        None => recorded.await,
    };
    ended.map_err(|_| Error::Ledger)??;
    Ok(served?)
}

/// Lets the process have so many connections, and what else is open beside them.
fn allow_files(connections_max: usize) {
    let wanted = connections_max.saturating_add(service::CONNECTIONS_MAX);
    let wanted = wanted.saturating_add(limits::FILES_RESERVE);
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    if let Err(error) = service::allow_open_files(wanted) {
        tracing::warn!("{error} (--connections-max)");
    }
}

fn tls_of(config: &Config) -> Result<Option<service::Tls>, Error> {
    Ok(match (&config.tls_cert, &config.tls_key) {
        (Some(certificate), Some(key)) => Some(service::Tls::open(certificate, key)?),
        _ => None,
    })
}

async fn operations_listener(config: &Config) -> Result<Option<TcpListener>, Error> {
    Ok(match config.ops_bind {
        OperationsBind::Off => None,
        OperationsBind::At(at) => {
            Some(service::bind(at.ip(), at.port(), "operations port", "--ops-bind").await?)
        }
    })
}

/// What goes on beside the connections.
fn background_of(
    app: &Arc<App>,
    operations: Option<TcpListener>,
    tls: Option<service::Tls>,
) -> JoinSet<()> {
    let mut background = JoinSet::new();
    serve_operations(&mut background, operations, app);
    if let Some(tls) = tls {
        background.spawn(tls.reload_on_hangup());
    }
    let engine = Arc::clone(&app.engine);
    background.spawn(async move { engine.run_timer().await });
    background
}

fn serve_operations(tasks: &mut JoinSet<()>, listener: Option<TcpListener>, app: &Arc<App>) {
    let Some(listener) = listener else { return };
    let router = operations::router(Arc::clone(app));
    tasks.spawn(async move {
        if let Err(error) = service::serve(listener, router, std::future::pending()).await {
            tracing::error!(%error, "the operations port ended");
        }
    });
}

/// Opens the store and starts the machines' drivers; the receiver hears how the recorder ended.
async fn start(config: &Config) -> Result<(Arc<App>, Recorded), Error> {
    let urls = config.enterprise_bc_url.as_deref().unwrap_or_default();
    let urls = urls.split(',').map(str::trim).filter(|url| !url.is_empty());
    let validators: Vec<String> = urls.map(str::to_owned).collect();
    let forwarding = if validators.is_empty() {
        Forwarding::Off
    } else {
        Forwarding::On
    };
    let data = config.data.clone();
    let opened = tokio::task::spawn_blocking(move || open(&data, forwarding));
    let (store, ledger) = opened.await.map_err(io::Error::other)??;
    let ledger = ledger.with_capacity(config.capacity());
    let (sender, receiver) = recorder::ledger_channel();
    let mut hub = Hub::new(config.ice_servers.clone()).with_turn(turn_of(config)?);
    let cluster = match &config.nats_url {
        Some(_) => Some(join_cluster(&mut hub, config.public_url.clone())?),
        None => None,
    };
    let (nats, carrier) = cluster.unzip();
    let backplane = nats
        .clone()
        .map(|nats| Arc::new(nats) as Arc<dyn Backplane>);
    let (questions, asked) = mpsc::unbounded_channel();
    let engine = Arc::new(Engine::new(hub, sender.clone(), backplane, questions));
    let enterprise = Enterprise::start(validators.clone(), asked, Arc::clone(&engine))?;
    let (postings, posted) = mpsc::unbounded_channel();
    let integration_path = config.data.join(derived::FILE_NAME);
    let mut recorder = Recorder {
        ledger,
        store,
        engine: Arc::clone(&engine),
        receiver,
        postings,
        integration_path,
    };
    let desk = recorder.begin()?;
    // The others are met with the registry at hand.
    if let (Some(carrier), Some(url)) = (carrier, config.nats_url.clone()) {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            if let Err(error) = carrier.run(url, engine).await {
                tracing::error!(%error, "the backplane can't be used: this tracker is alone");
            }
        });
    }
    let recorded = spawn_recorder(recorder, desk)?;
    let circuits = Circuits::new(validators.len());
    if !validators.is_empty() {
        let (ledger, circuits) = (sender.clone(), circuits.clone());
        tokio::spawn(forwarder::run(posted, ledger, validators, circuits));
    }
    let connections_max = config.connections_max.min(Semaphore::MAX_PERMITS);
    let app = App {
        id: config.id.clone(),
        engine,
        ledger: sender,
        origins: Origins::new(&config.allow_origins, &config.public_hosts),
        circuits,
        enterprise,
        cluster: nats,
        connections: Arc::new(Semaphore::new(connections_max)),
        connections_max,
        edge: Edge::new(config.allowance(), &config.trusted_proxies),
        draining: Draining::default(),
        metrics: Metrics::new(),
    };
    Ok((Arc::new(app), recorded))
}

/// Opens the store and reads everything back.
fn open(data: &Path, forwarding: Forwarding) -> Result<(Store, Ledger), StoreError> {
    let store = Store::open(data)?;
    let ledger = store.restore(forwarding, TimestampMs(service::now_ms()))?;
    compare(&Derived::find(data), &ledger);
    Ok((store, ledger))
}

/// Says what the derived file of the last run and the store do not agree on.
fn compare(derived: &Derived, ledger: &Ledger) {
    if let Derived::Torn(reason) = derived {
        let file = derived::FILE_NAME;
        tracing::warn!(
            file,
            reason,
            "the derived file is damaged; it is made anew from the store"
        );
    }
    for network in derived.ahead_of(&ledger.integration()) {
        tracing::warn!(
            network,
            "the store holds less than it did; the browsers report the rest again"
        );
    }
}

/// Gives the hub a name in the cluster, and a way to the others.
fn join_cluster(hub: &mut Hub, public_url: Option<PublicUrl>) -> io::Result<(Nats, NatsTask)> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let own = TrackerId(id);
    hub.join_cluster(own, public_url);
    Ok(Nats::new(own))
}

fn turn_of(config: &Config) -> Result<Option<Turn>, TurnError> {
    let Some(secret) = config.turn_secret_file.as_deref() else {
        return Ok(None);
    };
    let lifetime_seconds = u64::from(config.turn_lifetime_hours).saturating_mul(3_600);
    Turn::open(config.turn_urls.clone(), secret, lifetime_seconds).map(Some)
}

/// Runs the recorder on a thread of its own: it waits for the disk.
fn spawn_recorder(recorder: Recorder, desk: Desk) -> io::Result<Recorded> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("tracker-ledger".into())
        .spawn(move || {
            let result = recorder.run(desk);
            if let Err(error) = &result {
                tracing::error!(%error, "the ledger ends");
            }
            // The tracker may be gone already.
            let _ = sender.send(result);
        })?;
    Ok(receiver)
}

/// How the recorder ended.
type Recorded = oneshot::Receiver<Result<(), StoreError>>;

/// How long the connections may take to close.
const DRAIN_MS: u64 = 2_000;
