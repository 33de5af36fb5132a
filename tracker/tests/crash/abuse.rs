//! Clients that do harm, while two honest ones go on: each of their messages has to arrive, and what all that costs the process in
//! memory stays below what the limits add up to.
//!
//! All come from one address, which may have and do here what it likes: what holds is what one connection may.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::ws::{ClientMessage, ServerMessage};
use futures_util::SinkExt as _;
use shared::ids::PeerId;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tracker::limits;

use crate::client::Link;
use crate::process::{Process, free_address, tracker_with};
use crate::support::{Client, Network, identity};

/// A tracker whose clients' address has no limits of its own, and an honest pair on it.
struct Stage {
    process: Process,
    address: SocketAddr,
    network: Network,
    pair: [Client; 2],
    /// The most memory that it had in peace.
    quiet: usize,
    _data: TempDir,
}

impl Stage {
    async fn start() -> Self {
        let (data, address) = (tempfile::tempdir().unwrap(), free_address());
        let unlimited = [
            "--address-connections",
            "--address-arrivals",
            "--address-requests",
        ];
        let flags: Vec<_> = unlimited.into_iter().flat_map(|flag| [flag, "0"]).collect();
        let mut process = tracker_with(data.path(), address, &flags);
        assert!(process.serves(address).await, "{}", process.log());
        let network = Network::new("honest", 1);
        let mut one = Client::dial(address).await;
        one.create(&network).await;
        one.join(&network, &identity(11)).await;
        let mut other = Client::dial(address).await;
        other.join(&network, &identity(12)).await;
        let quiet = process.memory_peak();
        Self {
            process,
            address,
            network,
            pair: [one, other],
            quiet,
            _data: data,
        }
    }

    /// One message from one to the other; how long it took.
    async fn relayed(&mut self, number: usize) -> Duration {
        let [one, other] = &mut self.pair;
        let frame = format!("{number:08}");
        let target = id(12);
        let started = Instant::now();
        let message = ClientMessage::Relay {
            target,
            frame: frame.clone(),
        };
        one.send(&message).await;
        other
            .until(|message| match message {
                ServerMessage::Relay { frame: found, .. } if *found == frame => Some(()),
                _ => None,
            })
            .await;
        started.elapsed()
    }

    /// The honest pair's messages, a client's own rate below its limit.
    async fn is_served(&mut self, messages: usize) {
        let mut worst = Duration::ZERO;
        for number in 0..messages {
            sleep(Duration::from_millis(60)).await;
            worst = worst.max(self.relayed(number).await);
        }
        println!("the slowest of {messages} messages under abuse: {worst:?}");
    }

    fn took_no_more_than(&self, allowed: usize) {
        let more = self.process.memory_peak() - self.quiet;
        println!("{} MiB more, allowed are {}", more / MIB, allowed / MIB);
        assert!(more < allowed, "{more} bytes more, allowed are {allowed}");
    }
}

fn id(seed: u8) -> String {
    PeerId::of(&identity(seed).public_key()).to_string()
}

/// Connections that send so much and then, if at all, a byte now and then; ends when the tracker has ended all.
async fn stalled(address: SocketAddr, bytes: &'static [u8], drip: Option<u8>) {
    let mut held = JoinSet::new();
    for _ in 0..EACH {
        held.spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let (mut reads, mut writes) = stream.split();
            let mut answer = Vec::new();
            let drips = async {
                while let Some(byte) = drip
                    && writes.write_all(&[byte]).await.is_ok()
                {
                    sleep(Duration::from_millis(500)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                _ = reads.read_to_end(&mut answer) => {}
                () = drips => {}
            }
        });
    }
    while let Some(ended) = held.join_next().await {
        ended.unwrap();
    }
}

/// A WebSocket, whose bytes the caller writes.
async fn upgraded(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let upgraded = tokio_tungstenite::client_async(format!("ws://{address}/ws"), stream).await;
    upgraded.unwrap().0
}

/// WebSockets that send so much and then nothing; ends when the tracker has ended all.
async fn stalled_upgraded(address: SocketAddr, bytes: Vec<u8>) {
    let mut held = JoinSet::new();
    for _ in 0..EACH {
        let bytes = bytes.clone();
        held.spawn(async move {
            let mut socket = upgraded(address).await;
            let stream = socket.get_mut();
            // It may be thrown out before all is sent.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
    }
    while let Some(ended) = held.join_next().await {
        ended.unwrap();
    }
}

/// Sends the same again and again on connections of its own, as soon as one ends on the next.
async fn shouts(address: SocketAddr, messages: Vec<Message>) {
    loop {
        let connected = tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await;
        let Ok((mut socket, _)) = connected else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        for message in messages.iter().cycle() {
            if socket.send(message.clone()).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Connects and leaves without end.
async fn comes_and_goes(address: SocketAddr) {
    loop {
        let connected = tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await;
        if connected.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A member that reads nothing for a while, and comes back when it has been thrown out for it.
async fn is_deaf(address: SocketAddr, network: Network, seed: u8, ended: Arc<AtomicUsize>) {
    loop {
        let mut client = Client::dial(address).await;
        client.join(&network, &identity(seed)).await;
        sleep(Duration::from_secs(3)).await;
        while client.text_or_end().await.is_some() {}
        ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends the deaf all that it may.
async fn tells_the_deaf(address: SocketAddr, network: Network) {
    let mut link = Link::join(address, &network).await.unwrap();
    for number in (0..DEAF).cycle() {
        let message = ClientMessage::Relay {
            target: id(DEAF_SEED + number),
            frame: "A".repeat(LOUD_BYTES),
        };
        if link.send(&message).await.is_err() {
            return;
        }
    }
}

/// Ends those that do harm, of which none may have failed to.
async fn end(mut harm: JoinSet<()>) {
    while let Some(ended) = harm.try_join_next() {
        ended.unwrap();
    }
    harm.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_clients_are_served_whatever_others_do() {
    let mut stage = Stage::start().await;
    let (address, network) = (stage.address, stage.network.clone());
    let mut harm = JoinSet::new();
    for (bytes, drip) in STALLS {
        harm.spawn(stalled(address, bytes, drip));
    }
    harm.spawn(stalled_upgraded(address, Vec::new()));
    let deep = format!(r#"{{"type":"relay","frame":{}"#, "[".repeat(60_000));
    let join = Message::text(r#"{"type":"join_network","network_id":"honest"}"#);
    let leave = Message::text(r#"{"type":"leave_network"}"#);
    let shouted = [
        vec![Message::text(deep)],
        vec![Message::binary(vec![0xa5; 4_096])],
        vec![Message::text("x".repeat(LONG_BYTES))],
        vec![join.clone()],
        vec![join, leave],
    ];
    for messages in &shouted {
        for _ in 0..SHOUTING {
            harm.spawn(shouts(address, messages.clone()));
        }
    }
    harm.spawn(comes_and_goes(address));
    let ended = Arc::new(AtomicUsize::new(0));
    for seed in DEAF_SEED..DEAF_SEED + DEAF {
        harm.spawn(is_deaf(address, network.clone(), seed, Arc::clone(&ended)));
    }
    for _ in 0..LOUD {
        harm.spawn(tells_the_deaf(address, network.clone()));
    }
    stage.is_served(MESSAGES).await;
    end(harm).await;
    let stalled = (STALLS.len() + 1) * EACH * STALLED_BYTES;
    // Each has one message that is read, one that is looked at, and answers that wait since it reads none of them.
    let shouting = shouted.len() * SHOUTING * (2 * LONG_BYTES + limits::QUEUE_MESSAGES_MAX * 256);
    let deaf = usize::from(DEAF) * (limits::QUEUE_BYTES_MAX + LOUD_BYTES);
    stage.took_no_more_than(stalled + shouting + deaf + SLACK_BYTES);
    let ended = ended.load(Ordering::Relaxed);
    assert!(ended > 0, "nobody was thrown out for reading nothing");
    let mut late = Client::dial(address).await;
    late.join(&network, &identity(19)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_half_of_something_is_let_go() {
    let mut stage = Stage::start().await;
    let (address, open) = (stage.address, stage.process.open_now());
    let mut harm = JoinSet::new();
    for (bytes, drip) in STALLS {
        harm.spawn(stalled(address, bytes, drip));
    }
    // An upgraded socket on which nothing comes, or the half of a frame.
    harm.spawn(stalled_upgraded(address, Vec::new()));
    harm.spawn(stalled_upgraded(address, vec![0x81, 0xff, 0, 0]));
    let sockets = harm.len() * EACH;
    while stage.process.open_now() < open + sockets / 2 {
        sleep(Duration::from_millis(10)).await;
    }
    let longest = Duration::from_millis(limits::REQUEST_TIMEOUT_MS) + Duration::from_secs(10);
    let all = timeout(longest, harm.join_all()).await;
    assert!(all.is_ok(), "somebody holds a connection with nothing");
    // The pings of the pair's own are answered meanwhile.
    stage.relayed(1).await;
    while stage.process.open_now() > open {
        sleep(Duration::from_millis(10)).await;
    }
    stage.took_no_more_than(sockets * STALLED_BYTES + SLACK_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_never_ends_holds_no_more_than_the_longest_may() {
    let mut stage = Stage::start().await;
    let address = stage.address;
    let announced = u64::try_from(limits::UPDATE_BYTES_MAX).unwrap();
    // A frame of the longest length without its last byte, one that is longer, and fragments without end.
    let mut unfinished = frame_header(0x81, announced);
    unfinished.resize(unfinished.len() + limits::UPDATE_BYTES_MAX - 1, b'x');
    let mut too_long = frame_header(0x81, 64 * announced);
    too_long.resize(too_long.len() + 4 * limits::UPDATE_BYTES_MAX, b'x');
    let mut fragments = Vec::new();
    for number in 0..64 {
        let opcode = if number == 0 { 0x01 } else { 0x00 };
        fragments.extend(frame_header(opcode, 128 * 1_024));
        fragments.resize(fragments.len() + 128 * 1_024, b'x');
    }
    let mut harm = JoinSet::new();
    for bytes in [unfinished, too_long, fragments] {
        harm.spawn(stalled_upgraded(address, bytes));
    }
    let connections = harm.len() * EACH;
    let growing = connections - EACH;
    stage.is_served(40).await;
    end(harm).await;
    // The frame that says at once that it is longer is not read. Of the others there is half as much again while they are put together.
    let held = growing * (limits::UPDATE_BYTES_MAX + limits::UPDATE_BYTES_MAX / 2);
    stage.took_no_more_than(held + connections * STALLED_BYTES + SLACK_BYTES);
}

/// The header of a masked frame, whose mask changes nothing.
fn frame_header(opcode: u8, bytes: u64) -> Vec<u8> {
    let mut header = vec![opcode, 0xff];
    header.extend(bytes.to_be_bytes());
    header.extend([0; 4]);
    header
}

const MIB: usize = 1_024 * 1_024;
/// Connections of each kind that stalls.
const EACH: usize = 20;
/// What is sent at once, and whether more follows byte by byte.
const STALLS: [(&[u8], Option<u8>); 5] = [
    (b"", None),
    (b"GET /ws HTTP/1.1\r\nhost: x\r\nupgr", None),
    (b"GET /ws HTTP/1.1\r\nhost: x\r\nupgr", Some(b'a')),
    (BODY, None),
    (BODY, Some(b' ')),
];
const BODY: &[u8] = b"POST /api/blockchain-update HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{";
/// Messages of the honest pair.
const MESSAGES: usize = 160;
/// Connections of each kind that shouts.
const SHOUTING: usize = 3;
/// Longer than a message may be.
const LONG_BYTES: usize = 100_000;
const DEAF: u8 = 3;
const DEAF_SEED: u8 = 30;
const LOUD: usize = 12;
const LOUD_BYTES: usize = 40_000;
/// What a connection costs on which nearly nothing comes: the buffers of its reads, writes and headers, its tasks.
const STALLED_BYTES: usize =
    2 * (limits::READ_BUFFER_BYTES + limits::WRITE_BUFFER_BYTES) + 16 * 1_024;
/// What the allocator keeps, and threads that begin only now.
const SLACK_BYTES: usize = 16 * MIB;
