//! The HTTP side: the app's files, health, problems, origins.

use tempfile::tempdir;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::Running;

#[tokio::test]
async fn the_app_is_served_with_its_types_and_a_strict_policy() {
    let data = tempdir().unwrap();
    let www = data.path().join("www");
    std::fs::create_dir_all(www.join("pkg")).unwrap();
    std::fs::write(www.join("index.html"), "<!doctype html>").unwrap();
    std::fs::write(www.join("app.js"), "export {}").unwrap();
    std::fs::write(www.join("pkg/node.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let tracker = Running::start(data.path()).await;
    for (path, kind) in [
        ("/", "text/html"),
        ("/app.js", "text/javascript"),
        ("/pkg/node.wasm", "application/wasm"),
    ] {
        let response = tracker.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        assert!(
            response.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with(kind),
            "{path}"
        );
        assert_eq!(response.headers()["cache-control"], "no-cache");
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'"));
        let tag = response.headers()["etag"].clone();
        let url = format!("http://{}{path}", tracker.address);
        let again = reqwest::Client::new()
            .get(url)
            .header("if-none-match", tag)
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), 304, "{path}");
    }
    for path in [
        "/nothing",
        "/api/nothing",
        "/..%2f..%2fetc/passwd",
        "/api/networks/nothing/genesis",
    ] {
        let response = tracker.get(path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{path}"
        );
    }
    tracker.stop().await;
}

#[tokio::test]
async fn health_is_computed() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let health: api::Health = tracker.get("/health").await.json().await.unwrap();
    assert_eq!(health.status, api::HealthStatus::Healthy);
    assert!(health.checks["validator"].contains("none configured"));
    tracker.stop().await;
}

#[tokio::test]
async fn malformed_updates_are_problems() {
    let data = tempdir().unwrap();
    let tracker = Running::start(data.path()).await;
    let url = format!("http://{}/api/blockchain-update", tracker.address);
    let client = reqwest::Client::new();
    let cases = [
        ("{", 400),
        ("{}", 422),
        (
            r#"{"network_id":"../x","peer_id":"","new_blocks":[],"timestamp":0}"#,
            400,
        ),
        (
            r#"{"network_id":"nowhere","peer_id":"","new_blocks":[],"timestamp":0}"#,
            404,
        ),
    ];
    for (body, status) in cases {
        let request = client
            .post(&url)
            .header("content-type", "application/json")
            .body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{body}");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{body}"
        );
    }
    let long = vec![b' '; tracker::limits::BODY_BYTES_MAX + 1];
    let response = client
        .post(&url)
        .header("content-type", "application/json")
        .body(long)
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 413);
    tracker.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_may_not_connect_unless_listed() {
    let data = tempdir().unwrap();
    let tracker = Running::start_with(data.path(), |config| {
        config.allow_origins = vec!["https://app.example".into()]
    })
    .await;
    let connect = async |origin: &str| {
        let mut request = format!("ws://{}/ws", tracker.address)
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
        tokio_tungstenite::connect_async(request).await.map(drop)
    };
    let Err(tungstenite::Error::Http(response)) = connect("https://evil.example").await else {
        panic!("another origin must be refused");
    };
    assert_eq!(response.status(), 403);
    connect("https://app.example").await.unwrap();
    connect(&format!("http://{}", tracker.address))
        .await
        .unwrap();
    tracker.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed_are_turned_away() {
    let data = tempdir().unwrap();
    let tracker = Running::start_with(data.path(), |config| config.connections_max = 1).await;
    let url = format!("ws://{}/ws", tracker.address);
    let (first, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    let Err(tungstenite::Error::Http(response)) = tokio_tungstenite::connect_async(&url).await
    else {
        panic!("the second connection must be refused");
    };
    assert_eq!(response.status(), 503);
    drop(first);
    tracker.stop().await;
}
