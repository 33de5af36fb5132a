//! The tracker: lets the browsers of a tenant find each other, checks and forwards tenant updates.
//!
//! Two pure machines decide: [`hub`] (connections, rooms, who hears what) and [`ledger`] (networks, verified chains,
//! what the validator has). Around them are thin drivers: `engine` (the hub's lock and the connections' queues),
//! `recorder` (the ledger's thread and its commits), [`store`] (redb), `forwarder` (posts to the validator), `socket`
//! (`/ws`) and `http`.
//!
//! What the tracker cannot do: read or forge what peers sign; it sees who is in which room and the blocks it reports.

pub mod backplane;
pub mod config;
pub mod derived;
mod engine;
mod enterprise;
mod forwarder;
mod http;
pub mod hub;
pub mod label;
pub mod ledger;
pub mod limits;
mod origin;
mod recorder;
mod socket;
pub mod store;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::TimestampMs;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

use self::backplane::{Backplane, Nats, NatsTask, TrackerId};
pub use self::config::Config;
use self::derived::Derived;
use self::engine::Engine;
use self::enterprise::Enterprise;
use self::hub::Hub;
use self::ledger::{Forwarding, Ledger};
use self::origin::Origins;
use self::recorder::{Desk, LedgerSender, Recorder};
use self::store::{Store, StoreError};

/// The tracker ended for another reason than its shutdown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
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
    /// The validator's address, if there is one.
    validator: Option<String>,
    enterprise: Enterprise,
    /// The way to other trackers, if there are any.
    cluster: Option<Nats>,
    connections: Arc<Semaphore>,
    connections_max: usize,
}

/// Serves on `listener` until `shutdown`; then closes the connections, finishes what is begun and writes its files.
///
/// # Errors
/// The store cannot be used, or the disk refused a commit.
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (app, mut recorded) = start(&config).await?;
    let router = http::router(Arc::clone(&app), &config.www);
    let address = listener.local_addr()?;
    tracing::info!(%address, id = config.id, "the tracker is ready");
    let timer = tokio::spawn({
        let engine = Arc::clone(&app.engine);
        async move { engine.run_timer().await }
    });
    let mut early = None;
    let stopping = async {
        tokio::select! {
            () = shutdown => {}
            ended = &mut recorded => early = Some(ended),
        }
        app.engine.close_all("the tracker stops");
    };
    let served = service::serve(listener, router, stopping).await;
    timer.abort();
    let permits = u32::try_from(app.connections_max).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(
        Duration::from_millis(DRAIN_MS),
        app.connections.acquire_many(permits),
    )
    .await;
    app.ledger.stop();
    let ended = match early {
        Some(ended) => ended,
        None => recorded.await,
    };
    ended.map_err(|_| Error::Ledger)??;
    served?;
    tracing::info!("the tracker has stopped");
    Ok(())
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
    let opened = tokio::task::spawn_blocking(move || {
        let store = Store::open(&data)?;
        let ledger = store.restore(forwarding, TimestampMs(service::now_ms()))?;
        compare(&Derived::find(&data), &ledger);
        Ok::<_, StoreError>((store, ledger))
    });
    let (store, ledger) = opened.await.map_err(io::Error::other)??;
    let (sender, receiver) = recorder::ledger_channel();
    let mut hub = Hub::new(config.ice_servers.clone());
    let cluster = match &config.nats_url {
        Some(_) => Some(join_cluster(&mut hub)?),
        None => None,
    };
    let (nats, carrier) = cluster.unzip();
    let backplane = nats
        .clone()
        .map(|nats| Arc::new(nats) as Arc<dyn Backplane>);
    let engine = Arc::new(Engine::new(hub, sender.clone(), backplane));
    if let (Some(carrier), Some(url)) = (carrier, config.nats_url.clone()) {
        let engine = Arc::clone(&engine);
        tokio::spawn(async move {
            if let Err(error) = carrier.run(url, engine).await {
                tracing::error!(%error, "the backplane can't be used: this tracker is alone");
            }
        });
    }
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
    let recorded = spawn_recorder(recorder, desk)?;
    if !validators.is_empty() {
        let validators = validators.clone();
        tokio::spawn(forwarder::run(posted, sender.clone(), validators));
    }
    let connections_max = config.connections_max.min(Semaphore::MAX_PERMITS);
    let app = App {
        id: config.id.clone(),
        engine,
        ledger: sender,
        origins: Origins::new(&config.allow_origins),
        validator: validators.first().cloned(),
        enterprise: Enterprise::new(validators).map_err(io::Error::other)?,
        cluster: nats,
        connections: Arc::new(Semaphore::new(connections_max)),
        connections_max,
    };
    Ok((Arc::new(app), recorded))
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
fn join_cluster(hub: &mut Hub) -> io::Result<(Nats, NatsTask)> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(io::Error::other)?;
    let own = TrackerId(id);
    hub.join_cluster(own);
    Ok(Nats::new(own))
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
