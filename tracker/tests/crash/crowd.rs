//! Crowds that send long messages and stay: what all of them hold is bounded, and others are served.
//!
//! Each address is one of loopback's.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tracker::limits;

use crate::process::{Process, free_address, tracker_with};

type Socket = WebSocketStream<TcpStream>;

async fn started(more: &[&str]) -> (Process, SocketAddr, TempDir) {
    let (data, address) = (tempfile::tempdir().unwrap(), free_address());
    let mut process = tracker_with(data.path(), address, more);
    assert!(process.serves(address).await, "{}", process.log());
    (process, address, data)
}

/// A connection from the address 127.0.0.`from`.
async fn connect(tracker: SocketAddr, from: u8) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(local(from)).unwrap();
    socket.connect(tracker).await.unwrap()
}

/// A WebSocket from there.
async fn dial(tracker: SocketAddr, from: u8) -> Socket {
    let stream = connect(tracker, from).await;
    let upgraded = tokio_tungstenite::client_async(format!("ws://{tracker}/ws"), stream).await;
    let mut socket = upgraded.unwrap().0;
    assert!(socket.next().await.unwrap().unwrap().is_text(), "welcome");
    socket
}

fn local(from: u8) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, from), 0).into()
}

/// How a long message was answered.
#[derive(Debug)]
enum Answer {
    /// It was read; the connection goes on.
    Read(Box<Socket>),
    /// The connection ended; why, if that came through before the reset.
    Ended(Option<CloseCode>),
}

impl Answer {
    fn is_read(&self) -> bool {
        matches!(self, Self::Read(_))
    }
}

/// Sends the longest message that may be, which is none that means anything.
async fn send_long(mut socket: Socket) -> Answer {
    let message = Message::text("x".repeat(limits::UPDATE_BYTES_MAX));
    // It may be ended before all is sent; the answer says why.
    let _ = socket.send(message).await;
    answered(socket).await
}

/// The same in many parts with pings between them.
async fn send_parts(mut socket: Socket) -> Answer {
    let parts = limits::UPDATE_BYTES_MAX / PART_BYTES;
    for part in 1..=parts {
        let kind = if part == 1 {
            Data::Text
        } else {
            Data::Continue
        };
        let frame = Frame::message(vec![b'x'; PART_BYTES], OpCode::Data(kind), part == parts);
        let sent = socket.feed(Message::Frame(frame)).await;
        let ping = Message::Ping(vec![0; 100].into());
        // Few enough that they are read at once.
        if sent.is_err() || part % 4 == 0 && socket.send(ping).await.is_err() {
            break;
        }
    }
    answered(socket).await
}

async fn answered(mut socket: Socket) -> Answer {
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => {
                assert!(text.contains("bad_message"), "{text}");
                return Answer::Read(Box::new(socket));
            }
            Some(Ok(Message::Close(frame))) => return Answer::Ended(frame.map(|it| it.code)),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Answer::Ended(None),
        }
    }
}

/// So many connections of an address with a long message each.
async fn crowd(tracker: SocketAddr, from: u8, connections: usize) -> Vec<Answer> {
    let mut sockets = Vec::new();
    for _ in 0..connections {
        sockets.push(dial(tracker, from).await);
    }
    let mut sending = JoinSet::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        if number % 2 == 0 {
            sending.spawn(send_long(socket));
        } else {
            sending.spawn(send_parts(socket));
        }
    }
    sending.join_all().await
}

/// How many were read; of the others it is known that they were too many.
fn read_of(answers: &[Answer]) -> usize {
    let code = |answer: &Answer| match answer {
        Answer::Read(_) => None,
        Answer::Ended(code) => *code,
    };
    for code in answers.iter().filter_map(code) {
        assert_eq!(code, CloseCode::Again);
    }
    answers.iter().filter(|answer| answer.is_read()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_of_many_hold_no_more_than_all_may_and_who_holds_gives_way() {
    let unlimited = [
        "--address-connections",
        "--address-arrivals",
        "--address-requests",
    ];
    let flags: Vec<_> = unlimited.into_iter().flat_map(|flag| [flag, "0"]).collect();
    let (process, tracker, _data) = started(&flags).await;
    let quiet = process.memory_peak();
    let answers = crowd(tracker, 1, CROWD).await;
    let read = read_of(&answers);
    let held = (process.memory_peak() - quiet) / MIB;
    println!("{read} of {CROWD} long messages were read, and {held} MiB were held");
    assert!((10..CROWD).contains(&read), "{read}");
    assert!(
        held * MIB < limits::READING_BYTES_MAX + SLACK_BYTES,
        "{held} MiB"
    );
    // All of them stay, and are read as they should; at their pings they give way.
    let mut sockets = JoinSet::new();
    for answer in answers {
        if let Answer::Read(mut socket) = answer {
            sockets.spawn(async move { while socket.next().await.is_some() {} });
        }
    }
    let ping = Duration::from_millis(limits::PING_INTERVAL_MS);
    sleep(ping + Duration::from_secs(5)).await;
    assert!(send_long(dial(tracker, 1).await).await.is_read());
    assert!(!sockets.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_leaves_room_for_the_long_messages_of_others() {
    let (_process, tracker, _data) = started(&[]).await;
    let mut answers = crowd(tracker, 2, 60).await;
    while let one @ Answer::Read(_) = send_long(dial(tracker, 2).await).await {
        answers.push(one);
    }
    let read = read_of(&answers);
    println!("{read} long messages of one address are held");
    assert!((8..=16).contains(&read), "{read}");
    let answer = announce_long(tracker, 2).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after: 10\r\n"), "{answer}");
    assert!(answer.contains("/problems/crowded"), "{answer}");
    let client = reqwest::Client::builder().local_address(local(3).ip());
    let client = client.build().unwrap();
    for _ in 0..40 {
        // What one connection sends does not add up.
        let request = client
            .post(format!("http://{tracker}/api/blockchain-update"))
            .header("content-type", "application/json")
            .body("x".repeat(limits::BODY_BYTES_MAX));
        let other = request.send().await.unwrap();
        assert_eq!(other.status(), StatusCode::BAD_REQUEST);
        other.bytes().await.unwrap();
    }
    assert!(send_long(dial(tracker, 3).await).await.is_read());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pings_without_end_is_answered_as_seldom_as_who_sends_messages() {
    let (process, tracker, _data) = started(&[]).await;
    let quiet = process.memory_peak();
    let mut flood = Vec::new();
    for _ in 0..1_000 {
        flood.extend([0x89, 0xfd, 0, 0, 0, 0]);
        flood.resize(flood.len() + 125, b'x');
    }
    let flood: Arc<[u8]> = flood.into();
    let mut unread = JoinSet::new();
    for _ in 0..PINGING {
        let (mut socket, flood) = (dial(tracker, 1).await, Arc::clone(&flood));
        unread.spawn(timeout(PINGED, async move {
            while socket.get_mut().write_all(&flood).await.is_ok() {}
        }));
    }
    let (mut read, mut write) = dial(tracker, 1).await.into_inner().into_split();
    let flooding = async { while write.write_all(&flood).await.is_ok() {} };
    let mut answers = 0;
    let reading = async {
        let mut buffer = vec![0; PART_BYTES];
        while let Ok(bytes @ 1..) = read.read(&mut buffer).await {
            answers += bytes;
        }
    };
    let _over = timeout(PINGED, async { tokio::join!(flooding, reading) }).await;
    unread.join_all().await;
    let pongs = u64::try_from(answers / PONG_BYTES).unwrap();
    let held = process.memory_peak() - quiet;
    println!("{pongs} pings were answered, and {held} bytes held");
    let burst = u64::from(limits::MESSAGE_BURST);
    // What was owed when the time ended may come, and what is sent besides.
    let most = burst + u64::from(limits::MESSAGES_PER_SECOND) * (PINGED.as_secs() + 2);
    assert!((burst..=most).contains(&pongs), "{pongs}");
    assert!(held < SLACK_BYTES / 4, "{held} bytes more");
    drop(dial(tracker, 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_byte_by_byte_holds_no_more_than_its_bytes() {
    let (process, tracker, _data) = started(&[]).await;
    let quiet = process.memory_peak();
    let head = format!(
        "POST /api/blockchain-update HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {DRIPS}\r\n\r\n"
    );
    let mut dripping = JoinSet::new();
    for _ in 0..DRIPPING {
        let (mut stream, head) = (connect(tracker, 1).await, head.clone());
        stream.set_nodelay(true).unwrap();
        dripping.spawn(async move {
            stream.write_all(head.as_bytes()).await.unwrap();
            for _ in 1..DRIPS {
                stream.write_all(b" ").await.unwrap();
                sleep(Duration::from_millis(2)).await;
            }
            stream
        });
    }
    let _streams = timeout(PATIENCE, dripping.join_all()).await.unwrap();
    let held = process.memory_peak() - quiet;
    println!("{} bytes in as many parts hold {held}", DRIPS * DRIPPING);
    assert!(held < SLACK_BYTES / 4, "{held} bytes more");
}

/// What is answered to who says that a body of the most bytes follows.
async fn announce_long(tracker: SocketAddr, from: u8) -> String {
    let mut stream = connect(tracker, from).await;
    let length = limits::BODY_BYTES_MAX;
    let head = format!(
        "POST /api/blockchain-update HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    timeout(PATIENCE, reading).await.unwrap().unwrap();
    answer
}

const MIB: usize = 1_024 * 1_024;
const PART_BYTES: usize = 8 * 1_024;
const PINGING: usize = 8;
/// Connections with a body that comes byte by byte, and the bytes of each.
const DRIPPING: usize = 50;
const DRIPS: usize = 1_500;
/// Shorter than a client may take to join.
const PINGED: Duration = Duration::from_secs(5);
/// A header of two bytes and the payload.
const PONG_BYTES: usize = 127;
/// Three times as many as may hold a long message at once.
const CROWD: usize = 400;
/// What connections cost beside that, messages that are looked at, and what the allocator keeps.
const SLACK_BYTES: usize = 64 * MIB;
/// Longer than any answer of a tracker that lives takes.
const PATIENCE: Duration = Duration::from_secs(60);
