//! Credentials for TURN as browsers get them, and what a real coturn says to them.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::ws::{IceServer, ServerMessage};
use futures_util::StreamExt as _;
use shared::ids::TimestampMs;
use tracker::turn::Turn;

use crate::support::{Client, Running, skip_without};

const SECRET: &str = "of tracker and turn server";

/// A coturn of this test.
struct Coturn(Child);

impl Coturn {
    /// None, and that is said, where the program is missing.
    async fn start(port: u16, log: &std::path::Path) -> Option<Self> {
        let output = std::fs::File::create(log).unwrap();
        let spawned = Command::new("turnserver")
            .args([
                "-n",
                "--no-tls",
                "--no-dtls",
                "--no-cli",
                "--allow-loopback-peers",
            ])
            .args([
                "--use-auth-secret",
                "--static-auth-secret",
                SECRET,
                "--realm",
                "distli",
            ])
            .args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"])
            .args([
                "--listening-port",
                &port.to_string(),
                "--log-file",
                "stdout",
            ])
            .arg("--pidfile")
            .arg(log.with_extension("pid"))
            .stdout(output)
            .stderr(Stdio::null())
            .spawn();
        let server = match spawned {
            Ok(process) => Self(process),
            Err(error) => {
                skip_without("turnserver", "coturn", &error);
                return None;
            }
        };
        for _ in 0..200 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
            {
                return Some(server);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("coturn does not listen");
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The TURN server that a browser is told of when it connects.
async fn told(tracker: &Running) -> IceServer {
    let url = format!("ws://{}/ws", tracker.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let first = socket.next().await.unwrap().unwrap().into_text().unwrap();
    let Ok(ServerMessage::Welcome { ice_servers, .. }) = serde_json::from_str(&first) else {
        panic!("no welcome: {first}")
    };
    let mut servers = ice_servers.into_iter();
    let turn = servers.find(|server| server.credential.is_some());
    turn.expect("a credential is told")
}

fn allocates(port: u16, server: &IceServer) -> bool {
    let (user, password) = (server.username.as_ref(), server.credential.as_ref());
    let output = Command::new("turnutils_uclient")
        .args(["-y", "-n", "1", "-m", "1", "-p", &port.to_string()])
        .args(["-u", user.unwrap(), "-w", password.unwrap(), "127.0.0.1"])
        .output();
    output.unwrap().status.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn coturn_takes_the_credential_that_a_browser_is_told_and_no_expired_or_changed_one() {
    let data = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let secret = data.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let mut credentials = Vec::new();
    for hours in [12, 0] {
        let folder = data.path().join(hours.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let tracker = Running::start_with(&folder, |config| {
            config.turn_urls = vec![format!("turn:127.0.0.1:{port}")];
            config.turn_secret_file = Some(secret.clone());
            config.turn_lifetime_hours = hours;
        });
        let tracker = tracker.await;
        credentials.push(told(&tracker).await);
        tracker.stop().await;
    }
    let [valid, expired] = &credentials[..] else {
        panic!("two credentials")
    };
    assert_eq!(valid.urls, [format!("turn:127.0.0.1:{port}")]);
    let Some(_server) = Coturn::start(port, &data.path().join("log")).await else {
        return;
    };
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let mut changed = valid.clone();
    changed.username = changed.username.map(|user| user.replace(':', "0:"));
    assert!(allocates(port, valid));
    assert!(!allocates(port, expired));
    assert!(
        !allocates(port, &changed),
        "the end of a credential can't be moved"
    );
}

#[tokio::test]
async fn a_connection_that_lasts_is_told_another_credential() {
    let data = tempfile::tempdir().unwrap();
    let secret = data.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let urls = vec![String::from("turn:t.example")];
    let stun = IceServer {
        urls: vec![String::from("stun:s.example")],
        username: None,
        credential: None,
    };
    // No life at all, which no flag allows: then the least time between two credentials counts, a second.
    let tracker = Running::start_with(data.path(), |config| {
        config.ice_servers = vec![stun.clone()];
        config.turn_urls = urls.clone();
        config.turn_secret_file = Some(secret.clone());
        config.turn_lifetime_hours = 0;
    });
    let tracker = tracker.await;
    let mut client = Client::connect(&tracker).await;
    let renewed = |message: &ServerMessage| match message {
        ServerMessage::IceServers { ice_servers } => Some(ice_servers.clone()),
        _ => None,
    };
    let turn = Turn::open(urls, &secret, 0).unwrap();
    let mut before = 0;
    for _ in 0..2 {
        let servers = client.until(renewed).await;
        let username = servers[1].username.as_deref().unwrap();
        let (end, _) = username.split_once(':').unwrap();
        let end: u64 = end.parse().unwrap();
        assert!(end > before, "{end} after {before}");
        before = end;
        let made = turn.credential(TimestampMs(end * 1_000), client.provisional);
        assert_eq!(servers, [stun.clone(), made]);
    }
    tracker.stop().await;
}
