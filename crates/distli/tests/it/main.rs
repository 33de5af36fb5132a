//! The real command as a process.

#![expect(
    clippy::unwrap_used,
    reason = "test helpers: a failure is the test's failure"
)]

use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

fn distli_dev(data: &Path, dashboard_port: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_distli"));
    command
        .arg("dev")
        .args(["--tracker-port", "0", "--validator-port", "0"])
        .args(["--dashboard-port", dashboard_port])
        .arg("--data")
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Reads the announcement and returns the `localhost:<port>` of the browser app, the dashboard and the validator.
async fn announced(child: &mut Child) -> Vec<String> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut found = Vec::new();
    while found.len() < 3 {
        let line = lines.next_line().await.unwrap().unwrap();
        if let Some((_, address)) = line.split_once("http://") {
            found.push(address.split('/').next().unwrap().to_owned());
        }
    }
    found
}

async fn health(address: &str) -> String {
    let address = address.replace("localhost", "127.0.0.1");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn terminate(mut child: Child) -> std::process::ExitStatus {
    let id = child.id().unwrap().to_string();
    Command::new("kill").arg(id).status().await.unwrap();
    child.wait().await.unwrap()
}

#[tokio::test]
async fn starts_all_three_says_where_and_ends_cleanly_twice_over_the_same_data() {
    let data = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let mut child = distli_dev(data.path(), "0").spawn().unwrap();
        for address in announced(&mut child).await {
            let answer = health(&address).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{address}: {answer}");
        }
        let status = terminate(child).await;
        assert!(status.success(), "{status}");
    }
}

#[tokio::test]
async fn a_busy_port_is_named_with_the_remedy_and_nothing_stays() {
    let data = tempfile::tempdir().unwrap();
    let busy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let output = distli_dev(data.path(), &port).output().await.unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    for part in ["dashboard", &port, "in use", "--dashboard-port"] {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
    assert_eq!(std::fs::read_dir(data.path()).unwrap().count(), 0);
}
