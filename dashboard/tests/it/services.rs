//! A validator and a tracker that say what a test wants, and a running dashboard.

use api::{EnterpriseBlock, Health, HealthStatus, NetworkListItem, Status, Tenant, Tenants};
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::StreamExt as _;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::BroadcastStream;

async fn free_port() -> TcpListener {
    service::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, "test", "--port")
        .await
        .unwrap()
}

async fn serve(router: Router) -> SocketAddr {
    let listener = free_port().await;
    let address = listener.local_addr().unwrap();
    tokio::spawn(service::serve(listener, router, std::future::pending()));
    address
}

/// A running dashboard.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), dashboard::Error>>,
}

impl Running {
    pub(crate) async fn start(validator_url: &str, tracker_url: &str) -> Self {
        let listener = free_port().await;
        let address = listener.local_addr().unwrap();
        let config = dashboard::Config {
            bind: address.ip(),
            port: address.port(),
            validator_url: validator_url.to_owned(),
            tracker_url: tracker_url.to_owned(),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async {
            let _ = stopped.await;
        };
        let ended = tokio::spawn(dashboard::run(listener, config, stopped));
        Self {
            address,
            stop,
            ended,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap().unwrap();
    }
}

/// A validator with a chain of one block that anchors what it is told to.
pub(crate) struct FakeValidator {
    address: SocketAddr,
    chain: Arc<Mutex<Chain>>,
    events: broadcast::Sender<Option<(&'static str, String)>>,
}

struct Chain {
    blocks: Vec<EnterpriseBlock>,
    tenants: Vec<Tenant>,
}

impl Chain {
    fn status(&self) -> Status {
        let tip = self.blocks.last().unwrap();
        Status {
            height: tip.height,
            latest_hash: tip.hash.clone(),
            validator: "validator-1".to_owned(),
            active_tenants: self.tenants.len() as u64,
            active_validators: vec!["validator-1".to_owned()],
            pending_transactions: 0,
            total_blocks: tip.height + 1,
            total_transactions: tip.height,
            chain_health: "healthy".to_owned(),
            uptime: 0,
            latest_block_time: 0,
            validator_status: "active".to_owned(),
            holds: None,
            consensus: None,
        }
    }

    fn tenants(&self) -> Tenants {
        Tenants {
            tenants: self.tenants.clone(),
            total_tenants: self.tenants.len(),
            next_cursor: None,
        }
    }

    fn grow(&mut self) -> EnterpriseBlock {
        let height = self.blocks.len() as u64 + 1;
        let block = EnterpriseBlock {
            height,
            hash: format!("hash {height}"),
            previous_hash: format!("hash {}", height - 1),
            timestamp: height,
            validator: "validator-1".to_owned(),
            transaction_count: 1,
            transactions: vec![],
            merkle_root: String::new(),
            header: None,
            certificate: None,
            tenant_block_count: 1,
        };
        self.blocks.push(block.clone());
        block
    }
}

impl FakeValidator {
    pub(crate) async fn start() -> Self {
        let mut chain = Chain {
            blocks: vec![],
            tenants: vec![],
        };
        chain.grow();
        let chain = Arc::new(Mutex::new(chain));
        let (events, _) = broadcast::channel(16);
        let router = Router::new()
            .route(
                "/api/events",
                get({
                    let events = events.clone();
                    move || {
                        let events = BroadcastStream::new(events.subscribe())
                            .take_while(|event| std::future::ready(matches!(event, Ok(Some(_)))))
                            .filter_map(|event| std::future::ready(event.ok().flatten()))
                            .map(|(name, data)| {
                                Ok::<_, Infallible>(Event::default().event(name).data(data))
                            });
                        std::future::ready(Sse::new(events))
                    }
                }),
            )
            .route("/api/status", answer(&chain, Chain::status))
            .route("/api/tenants", answer(&chain, Chain::tenants))
            .route(
                "/api/blocks",
                answer(&chain, |chain| {
                    chain.blocks.iter().rev().cloned().collect::<Vec<_>>()
                }),
            );
        Self {
            address: serve(router).await,
            chain,
            events,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes an enterprise block with one message of a tenant, and tells every stream.
    pub(crate) fn anchor(&self, tenant: &str, message: &str) {
        let mut chain = self.chain.lock().unwrap();
        let block = chain.grow();
        chain.tenants.push(Tenant {
            tenant_id: tenant.to_owned(),
            chain_id: "00".to_owned(),
            block_count: 1,
            transaction_count: 1,
            last_activity: 1,
            recent_messages: vec![format!("Block #1: {message}")],
            height: 1,
            tip_hash: String::new(),
            final_height: 0,
            final_hash: None,
            private: false,
            resets: 0,
        });
        self.tell("block", &block);
        self.tell("status", &chain.status());
        self.tell("tenants", &chain.tenants());
    }

    /// Makes an enterprise block and tells every stream only that something was left out.
    pub(crate) fn anchor_unseen(&self) {
        let mut chain = self.chain.lock().unwrap();
        chain.grow();
        self.tell("resync", &());
    }

    /// Ends every open stream.
    pub(crate) fn cut_streams(&self) {
        let _ = self.events.send(None);
    }

    fn tell(&self, name: &'static str, value: &impl serde::Serialize) {
        let data = serde_json::to_string(value).unwrap();
        let _ = self.events.send(Some((name, data)));
    }
}

fn answer<T: serde::Serialize + 'static>(
    chain: &Arc<Mutex<Chain>>,
    of: fn(&Chain) -> T,
) -> axum::routing::MethodRouter {
    let chain = Arc::clone(chain);
    get(move || {
        let answer = of(&chain.lock().unwrap());
        std::future::ready(Json(serde_json::to_value(answer).unwrap()))
    })
}

/// A tracker with one network of two peers.
pub(crate) struct FakeTracker(SocketAddr);

impl FakeTracker {
    pub(crate) async fn start() -> Self {
        let health = Health {
            status: HealthStatus::Healthy,
            timestamp: 0,
            service: "tracker".to_owned(),
            version: String::new(),
            checks: BTreeMap::new(),
        };
        let networks = [NetworkListItem {
            id: "demo".to_owned(),
            name: "demo".to_owned(),
            peer_count: 2,
        }];
        let router = Router::new()
            .route("/health", get(|| async { Json(health) }))
            .route("/api/network-list", get(|| async { Json(networks) }));
        Self(serve(router).await)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0)
    }
}
