//! The accept loop over real sockets.

#![expect(
    clippy::unwrap_used,
    reason = "test helpers: a failure is the test's failure"
)]

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

async fn start(router: Router) -> Running {
    let listener = service::bind(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, "test", "--port")
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let ended = tokio::spawn(async move {
        let stopped = async {
            let _ = stopped.await;
        };
        service::serve(listener, router, stopped).await
    });
    Running {
        address,
        stop,
        ended,
    }
}

async fn request(stream: &mut TcpStream) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_handler_sees_its_peer_and_the_loop_ends_on_shutdown() {
    let router = Router::new().route(
        "/",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.to_string() }),
    );
    let running = start(router).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    request(&mut stream).await;
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(&stream.local_addr().unwrap().to_string()));

    // The kept-alive connection is idle: it must not hold the shutdown up.
    running.stop.send(()).unwrap();
    running.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn a_running_request_is_answered_after_the_shutdown_signal() {
    let (started, mut has_started) = tokio::sync::mpsc::channel::<()>(1);
    let (release, released) = tokio::sync::watch::channel(false);
    let router = Router::new().route(
        "/",
        get(move || {
            let (started, mut released) = (started.clone(), released.clone());
            async move {
                started.send(()).await.unwrap();
                released.wait_for(|released| *released).await.unwrap();
                "finished"
            }
        }),
    );
    let running = start(router).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    request(&mut stream).await;
    has_started.recv().await.unwrap();
    running.stop.send(()).unwrap();
    release.send(true).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("finished"), "{answer}");
    running.ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_nothing_is_closed() {
    let running = start(Router::new()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let mut answer = Vec::new();
    // Virtual time: the runtime jumps to the header timeout, nobody waits.
    stream.read_to_end(&mut answer).await.unwrap();
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_reads_nothing_of_its_answer_is_closed() {
    let answer = || async { vec![b'x'; LONG] };
    let running = start(Router::new().route("/", get(answer))).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    request(&mut stream).await;
    // Virtual time: it passes when the answer has filled the system's buffers.
    tokio::time::sleep(Duration::from_millis(service::WRITE_TIMEOUT_MS + 1_000)).await;
    let mut read = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut read).await;
    assert!(read.len() < LONG, "the whole answer was kept for it");
}

/// More than the system's buffers take.
const LONG: usize = 64 << 20;
