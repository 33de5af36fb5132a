//! A running tracker, clients of it, networks to join, and a validator's double that confirms or is out.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use api::ws::{ClientMessage, ServerMessage};
use api::{ReportedBlock, TenantBlock};
use futures_util::{SinkExt, StreamExt};
use shared::block::{Block, MinerRecord};
use shared::chain::Chain;
use shared::enterprise::Reset;
use shared::genesis::{Access, Genesis, Rules};
use shared::hash::Hash;
use shared::header::HEADER_BYTES;
use shared::identity::Identity;
use shared::ids::{ChainId, Height, NetworkId, PeerId, Sequence, TimestampMs};
use shared::miner::{Miner, Step};
use shared::pow::Target;
use shared::private::NetworkKeys;
use shared::report::{Report, UncheckedSealed};
use shared::transaction::{Payload, Transaction};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tracker::hub::{JOIN_DOMAIN, join_bytes};

use crate::schema::{self, Side};

/// A tracker on a free port.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tracker::Error>>,
}

impl Running {
    /// Starts a tracker over `data` without a validator.
    pub(crate) async fn start(data: &Path) -> Self {
        Self::start_with(data, |_| {}).await
    }

    /// Starts a tracker that reports to `validator`.
    pub(crate) async fn reporting_to(data: &Path, validator: SocketAddr) -> Self {
        Self::start_with(data, |config| {
            config.enterprise_bc_url = Some(format!("http://{validator}"))
        })
        .await
    }

    pub(crate) async fn start_with(data: &Path, change: impl FnOnce(&mut tracker::Config)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = tracker::Config {
            data: data.into(),
            www: data.join("www"),
            ..tracker::Config::default()
        };
        change(&mut config);
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(tracker::run(listener, config, shutdown));
        Self {
            address,
            stop,
            task,
        }
    }

    /// Stops it and waits until its files are written.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("http://{}{path}", self.address))
            .await
            .unwrap()
    }

    pub(crate) async fn post(&self, path: &str, body: &impl serde::Serialize) -> reqwest::Response {
        let url = format!("http://{}{path}", self.address);
        reqwest::Client::new()
            .post(url)
            .json(body)
            .send()
            .await
            .unwrap()
    }
}

/// One connection to `/ws`.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) provisional: PeerId,
    pub(crate) nonce: [u8; 32],
}

impl Client {
    pub(crate) async fn connect(tracker: &Running) -> Self {
        Self::dial(tracker.address).await
    }

    pub(crate) async fn dial(address: SocketAddr) -> Self {
        let url = format!("ws://{address}/ws");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        Self::welcomed(socket).await
    }

    /// The same, over a stream to the tracker.
    pub(crate) async fn over(stream: TcpStream, tracker: &Running) -> Self {
        let url = format!("ws://{}/ws", tracker.address);
        let stream = MaybeTlsStream::Plain(stream);
        let connected = tokio_tungstenite::client_async(url, stream).await;
        Self::welcomed(connected.unwrap().0).await
    }

    async fn welcomed(socket: WebSocketStream<MaybeTlsStream<TcpStream>>) -> Self {
        let mut client = Self {
            socket,
            provisional: PeerId(Hash([0; 32])),
            nonce: [0; 32],
        };
        let ServerMessage::Welcome { peer_id, nonce, .. } = client.receive().await else {
            panic!("no welcome")
        };
        client.provisional = peer_id.parse().unwrap();
        client.nonce = shared::hash::parse_hex(&nonce).unwrap();
        client
    }

    pub(crate) async fn send(&mut self, message: &ClientMessage) {
        let text = serde_json::to_string(message).unwrap();
        schema::check(Side::Client, &text);
        self.send_text(text).await;
    }

    /// Whether the tracker still takes something.
    pub(crate) async fn try_send(&mut self, message: &ClientMessage) -> bool {
        let text = serde_json::to_string(message).unwrap();
        self.socket.send(Message::text(text)).await.is_ok()
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.socket.send(Message::binary(bytes)).await.unwrap();
    }

    /// The next message; none when the tracker closed the connection.
    pub(crate) async fn receive_or_end(&mut self) -> Option<ServerMessage> {
        let text = self.text_or_end().await?;
        Some(serde_json::from_str(&text).unwrap())
    }

    /// The same as it came.
    pub(crate) async fn text_or_end(&mut self) -> Option<String> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next())
                .await
                .expect("nothing came");
            match next {
                Some(Ok(Message::Text(text))) => {
                    schema::check(Side::Tracker, &text);
                    return Some(text.to_string());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    pub(crate) async fn receive(&mut self) -> ServerMessage {
        self.receive_or_end()
            .await
            .expect("the connection was closed")
    }

    /// The next message that `pick` takes; others are passed over, but shown if it never comes.
    pub(crate) async fn until<T>(
        &mut self,
        mut pick: impl FnMut(&ServerMessage) -> Option<T>,
    ) -> T {
        let mut passed = Vec::new();
        let search = async {
            loop {
                let message = self.receive().await;
                if let Some(picked) = pick(&message) {
                    return picked;
                }
                passed.push(message);
            }
        };
        let found = tokio::time::timeout(PATIENCE, search).await;
        found.unwrap_or_else(|_| panic!("it never came; passed over: {passed:?}"))
    }

    /// All messages up to the answer to a request that every client may make; so "nothing came" needs no waiting.
    pub(crate) async fn drain(&mut self) -> Vec<ServerMessage> {
        self.send(&ClientMessage::ListNetworks {}).await;
        let mut before = Vec::new();
        loop {
            match self.receive().await {
                ServerMessage::NetworkListUpdate { .. } => return before,
                message => before.push(message),
            }
        }
    }

    pub(crate) async fn create(&mut self, network: &Network) {
        self.send(&ClientMessage::CreateNetwork {
            genesis: network.genesis_hex(),
            listed: true,
            label: None,
        })
        .await;
        self.until(|message| matches!(message, ServerMessage::NetworkCreated { .. }).then_some(()))
            .await;
    }

    /// Joins with a key and returns the peers that were there.
    pub(crate) async fn join(&mut self, network: &Network, identity: &Identity) -> Vec<String> {
        let join = self.join_message(network, identity);
        self.send(&join).await;
        self.until(|message| match message {
            ServerMessage::Joined { peers, peer_id, .. } => {
                assert_eq!(*peer_id, identity.peer_id().to_string());
                Some(peers.clone())
            }
            ServerMessage::Error { message, .. } => panic!("{message}"),
            _ => None,
        })
        .await
    }

    /// Enters a private network's room as `peer`.
    pub(crate) async fn enter(&mut self, tracker: &Running, keys: &NetworkKeys, peer: PeerId) {
        let entry = self.entry(tracker, keys, peer);
        self.send(&entry).await;
    }

    pub(crate) fn entry(
        &self,
        tracker: &Running,
        keys: &NetworkKeys,
        peer: PeerId,
    ) -> ClientMessage {
        let host = tracker.address.to_string();
        ClientMessage::JoinRoom {
            room: keys.room().0.to_string(),
            join_key: keys.join_key().to_string(),
            peer_id: peer.to_string(),
            admission: keys.admission(&host, peer, &self.nonce).to_string(),
        }
    }

    pub(crate) fn join_message(&self, network: &Network, identity: &Identity) -> ClientMessage {
        let chain = network.chain_id();
        let signature = identity.sign(
            JOIN_DOMAIN,
            chain,
            &join_bytes(self.provisional, &self.nonce),
        );
        ClientMessage::JoinNetwork {
            network_id: network.label().into(),
            chain_id: Some(chain.to_string()),
            key: Some(identity.public_key().to_string()),
            signature: Some(signature.to_string()),
        }
    }

    /// Reports blocks and returns the answer's status, height and reason.
    pub(crate) async fn report(&mut self, network: &Network, blocks: &[Block]) -> UpdateAnswer {
        let shapes = blocks.iter().map(TenantBlock::from).collect();
        self.report_shapes(network, shapes).await
    }

    pub(crate) async fn report_shapes(
        &mut self,
        network: &Network,
        latest_blocks: Vec<TenantBlock>,
    ) -> UpdateAnswer {
        let network_id = network.label().to_owned();
        let block_count = latest_blocks.len() as u64;
        self.answered(&ClientMessage::BlockchainUpdate {
            network_id,
            block_count,
            latest_blocks,
            latest_reports: Vec::new(),
            genesis: None,
        })
        .await
    }

    /// Sends an update and waits for what becomes of it.
    pub(crate) async fn answered(&mut self, update: &ClientMessage) -> UpdateAnswer {
        self.send(update).await;
        self.until(|message| match message {
            ServerMessage::UpdateResult {
                status,
                height,
                hash,
                reason,
                ..
            } => Some(UpdateAnswer {
                is_accepted: *status == api::UpdateStatus::Accepted,
                height: *height,
                hash: hash.clone(),
                reason: reason.clone().unwrap_or_default(),
            }),
            ServerMessage::Error { message, .. } => panic!("{message}"),
            _ => None,
        })
        .await
    }
}

#[derive(Debug)]
pub(crate) struct UpdateAnswer {
    pub(crate) is_accepted: bool,
    pub(crate) height: u32,
    pub(crate) hash: String,
    pub(crate) reason: String,
}

/// A network whose blocks the test mines.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) chain: Chain,
    miner: Identity,
    sequence: u64,
    now: TimestampMs,
}

impl Network {
    /// A network of this name; `seed` tells networks of one name apart.
    pub(crate) fn new(label: &str, seed: u8) -> Self {
        let miner = Identity::from_seed([seed; 32]);
        let mut rules = Rules::open_default(Target::for_hashes(16).to_compact());
        rules.stamp_bits = 4;
        // Its blocks are an interval apart, and a long test mines more than a day of them.
        let created_at = TimestampMs(service::now_ms()).minus_ms(30 * 86_400_000);
        let genesis = Genesis {
            network_id: NetworkId::parse(label).unwrap(),
            rules,
            created_at,
            owner: miner.public_key(),
            enterprise_genesis: None,
            predecessor: None,
            access: Access::Open,
        };
        Self {
            chain: Chain::new(genesis),
            miner,
            sequence: 0,
            now: created_at,
        }
    }

    /// The same, anchoring to an enterprise chain that makes its blocks final almost at once.
    pub(crate) fn pinned(label: &str, seed: u8, enterprise: Hash) -> Self {
        let network = Self::new(label, seed);
        let mut genesis = network.chain.genesis().clone();
        genesis.enterprise_genesis = Some(enterprise);
        genesis.rules.finality_delay_ms = 1;
        Self {
            chain: Chain::new(genesis),
            ..network
        }
    }

    /// The same, private: its blocks are reported by its miner.
    pub(crate) fn private(label: &str, seed: u8, enterprise: Hash, keys: &NetworkKeys) -> Self {
        let network = Self::pinned(label, seed, enterprise);
        let mut genesis = network.chain.genesis().clone();
        genesis.access = Access::Private {
            join_key: keys.join_key(),
            reporters: vec![network.miner.public_key()],
        };
        Self {
            chain: Chain::new(genesis),
            ..network
        }
    }

    /// A block of a private network as its miner reports it.
    pub(crate) fn sealed(&self, keys: &NetworkKeys, block: &Block) -> ReportedBlock {
        let (id, bytes) = (self.chain_id(), block.encode());
        let sealed = keys.seal_body(id, &block.hash(), &bytes[HEADER_BYTES..]);
        let report = Report::sign(&self.miner, id, block.header().clone(), &sealed);
        let block = UncheckedSealed::new(report, sealed).unwrap();
        ReportedBlock::from(&block.check(self.chain.genesis()).unwrap())
    }

    /// The report of these blocks.
    pub(crate) fn reports(&self, keys: &NetworkKeys, blocks: &[Block]) -> ClientMessage {
        let reports = blocks.iter().map(|block| self.sealed(keys, block));
        ClientMessage::BlockchainUpdate {
            network_id: keys.room().0.to_string(),
            block_count: u64::from(self.chain.tip().height.0),
            latest_blocks: Vec::new(),
            latest_reports: reports.collect(),
            genesis: Some(self.genesis_hex()),
        }
    }

    /// The owner, who is the miner, voids everything from a height on.
    pub(crate) fn reset(
        &self,
        keys: &NetworkKeys,
        number: u32,
        from: u32,
        stays: Hash,
    ) -> ClientMessage {
        let reset = Reset::sign(&self.miner, self.chain_id(), number, Height(from), stays);
        ClientMessage::ResetNetwork {
            network_id: keys.room().0.to_string(),
            reset: hex::encode(reset.encode()),
        }
    }

    pub(crate) fn label(&self) -> &str {
        self.chain.genesis().network_id.as_str()
    }

    pub(crate) fn chain_id(&self) -> ChainId {
        self.chain.chain_id()
    }

    pub(crate) fn genesis_hex(&self) -> String {
        hex::encode(self.chain.genesis().encode())
    }

    /// Mines a block with one message on the tip.
    pub(crate) fn mine(&mut self, text: &str) -> Block {
        let genesis = self.chain.genesis().clone();
        self.now = self.now.plus_ms(u64::from(genesis.rules.interval_ms));
        let payload = Payload::Message(text.into());
        let sequence = Sequence(self.sequence);
        let transaction = Transaction::create(
            &self.miner,
            genesis.chain_id(),
            &genesis.rules,
            sequence,
            self.now,
            payload,
        )
        .unwrap();
        self.sequence += 1;
        let record = MinerRecord {
            key: self.miner.public_key(),
            free: [0; 8],
        };
        let template = self.chain.template(record, vec![transaction], self.now);
        let target = template.header.target.target();
        let Step::Found(solution) =
            Miner::new(&template.header, &target, 0, u32::MAX).step(u32::MAX)
        else {
            panic!("an easy target is met");
        };
        let block = template.solved(&genesis, solution).unwrap();
        self.chain.insert(block.clone(), self.now).unwrap();
        block
    }

    pub(crate) fn mine_many(&mut self, count: usize, text: &str) -> Vec<Block> {
        (0..count)
            .map(|index| self.mine(&format!("{text} {index}")))
            .collect()
    }
}

pub(crate) fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

/// Says, also where a test's output is kept back, that it is skipped without this program of a Debian package.
///
/// Fails where `DISTLI_SERVERS_NEEDED` is set, as `make` does: there nothing may be skipped.
pub(crate) fn skip_without(program: &str, package: &str, error: &std::io::Error) {
    let text = format!("{program} is not here ({error}); on Debian, apt-get install {package}");
    let is_needed = std::env::var_os("DISTLI_SERVERS_NEEDED").is_some();
    assert!(!is_needed, "{text}; `make servers` does it");
    let line = format!("SKIPPED: {text}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
