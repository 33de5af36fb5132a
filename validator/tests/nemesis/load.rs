//! Writers: each owns a tenant, mines blocks and hands them to whichever validator, again until they are acknowledged.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::block::Block;
use shared::ids::TimestampMs;

use crate::tenant::TestTenant;

const WRITERS: u8 = 4;

/// What clients were promised.
#[derive(Debug, Default)]
pub(crate) struct History {
    acknowledged: Mutex<BTreeSet<String>>,
    refused: AtomicUsize,
}

impl History {
    pub(crate) fn acknowledged(&self) -> BTreeSet<String> {
        self.acknowledged.lock().unwrap().clone()
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

/// One writer.
pub(crate) struct Writer {
    tenant: TestTenant,
    /// Mined and not acknowledged.
    waiting: Vec<Block>,
    all: Vec<Block>,
    client: reqwest::Client,
}

impl Writer {
    pub(crate) fn new(seed: u8) -> Self {
        let day_ago = TimestampMs(service::now_ms() - 86_400_000);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(5));
        Self {
            tenant: TestTenant::new(&format!("n{seed}"), seed, day_ago),
            waiting: Vec::new(),
            all: Vec::new(),
            client: client.build().unwrap(),
        }
    }

    /// Mines a block, and sends it with all that is not acknowledged; true if it is now.
    pub(crate) async fn send(&mut self, url: &str, history: &History) -> bool {
        self.send_with(&["nemesis"], url, history).await
    }

    /// The same with these messages in the block.
    pub(crate) async fn send_with(
        &mut self,
        messages: &[&str],
        url: &str,
        history: &History,
    ) -> bool {
        if self.waiting.len() < 20 {
            let block = self.tenant.mine(messages);
            self.all.push(block.clone());
            self.waiting.push(block);
        }
        let update = self.tenant.update(&self.waiting);
        let mut sent = self.post(url, &update).await;
        if sent == Some(409) {
            // This validator lacks what came before.
            let update = self.tenant.update(&self.all);
            sent = self.post(url, &update).await;
        }
        if sent == Some(200) {
            for block in self.waiting.drain(..) {
                let ids = block
                    .transactions()
                    .iter()
                    .map(|sent| sent.id().to_string());
                history.acknowledged.lock().unwrap().extend(ids);
            }
            true
        } else {
            history.refused.fetch_add(1, Ordering::Relaxed);
            false
        }
    }

    async fn post(&self, url: &str, update: &api::BlockchainUpdate) -> Option<u16> {
        let request = self.client.post(format!("{url}/api/tenant-update"));
        let answer = request.json(update).send().await.ok()?;
        Some(answer.status().as_u16())
    }
}

/// All writers at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(urls: Vec<String>, history: Arc<History>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = (1..=WRITERS).map(|seed| {
            let (urls, history, stop) = (urls.clone(), Arc::clone(&history), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut writer = Writer::new(seed);
                let mut turn = usize::from(seed);
                while !stop.load(Ordering::Relaxed) {
                    turn += 1;
                    let url = &urls[turn / 3 % urls.len()];
                    writer.send(url, &history).await;
                    tokio::time::sleep(Duration::from_millis(60)).await;
                }
            })
        });
        Self {
            tasks: tasks.collect(),
            stop,
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}
