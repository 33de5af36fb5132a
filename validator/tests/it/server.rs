//! A validator in this process on a free port, over a directory that outlives it.

use std::net::SocketAddr;
use std::path::Path;

use api::{BlockchainUpdate, ProblemBody, TenantUpdateAccepted};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use validator::Config;

/// A running validator.
pub(crate) struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), validator::Error>>,
    client: reqwest::Client,
}

impl Server {
    /// Starts the validator `v` over a directory; panics when it refuses.
    pub(crate) async fn start(directory: &Path) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let config = Config::new("v", directory.to_owned()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let ended = async move {
            let _ = stopped.await;
        };
        let task = tokio::spawn(validator::run(listener, config, ended));
        let client = reqwest::Client::new();
        let server = Self {
            address,
            stop,
            task,
            client,
        };
        // The listener takes connections before the validator has opened its data, so this waits.
        server.get::<api::Status>("/api/status").await;
        server
    }

    /// Ends it and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{path}: {status} {error} {text}"))
    }

    pub(crate) async fn get_status(&self, path: &str) -> u16 {
        self.fetch(path).await.status().as_u16()
    }

    pub(crate) async fn fetch(&self, path: &str) -> reqwest::Response {
        self.client.get(self.url(path)).send().await.unwrap()
    }

    /// Sends raw bytes as an update.
    pub(crate) async fn post(&self, body: Vec<u8>) -> reqwest::Response {
        let url = self.url("/api/tenant-update");
        self.client.post(url).body(body).send().await.unwrap()
    }

    /// Sends an update that must be accepted.
    pub(crate) async fn accepted(&self, update: &BlockchainUpdate) -> TenantUpdateAccepted {
        let response = self.post(serde_json::to_vec(update).unwrap()).await;
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status.as_u16(), 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Sends an update that must be refused with a problem document.
    pub(crate) async fn refused(&self, update: &BlockchainUpdate) -> ProblemBody {
        problem(self.post(serde_json::to_vec(update).unwrap()).await).await
    }
}

/// Reads a problem document.
pub(crate) async fn problem(response: reqwest::Response) -> ProblemBody {
    let status = response.status().as_u16();
    let media_type = response.headers()["content-type"]
        .to_str()
        .unwrap()
        .to_owned();
    let text = response.text().await.unwrap();
    assert_eq!(media_type, "application/problem+json", "{status} {text}");
    let problem: ProblemBody = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status);
    problem
}

/// An hour ago: tenants of the tests begin there, so that all their blocks are in the past.
pub(crate) fn hour_ago() -> shared::ids::TimestampMs {
    shared::ids::TimestampMs(service::now_ms()).minus_ms(3_600_000)
}
