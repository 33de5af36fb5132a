//! The dashboard between a fake validator, a fake tracker and a page, over real sockets.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test helpers: a failure is the test's failure"
)]

mod services;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use dashboard::sse::{Event, Reader};
use dashboard::{Published, State, app};
use futures_util::{Stream, StreamExt as _};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use services::{FakeTracker, FakeValidator, Running};
use std::pin::Pin;
use tokio::sync::watch;
use tower::ServiceExt as _;

/// What a page sees, event by event.
struct Page(Pin<Box<dyn Stream<Item = Event> + Send>>);

impl Page {
    async fn open(address: std::net::SocketAddr) -> Self {
        let response = reqwest::get(format!("http://{address}/api/stream"))
            .await
            .unwrap();
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        let mut reader = Reader::default();
        let events = response.bytes_stream().flat_map(move |bytes| {
            futures_util::stream::iter(reader.push(&bytes.unwrap()).unwrap())
        });
        Self(Box::pin(events))
    }

    /// The first snapshot that `wanted` accepts; the stream must not end before.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(event) = self.0.next().await {
            assert_eq!(event.name, "snapshot");
            let snapshot: Value = serde_json::from_str(&event.data).unwrap();
            if wanted(&snapshot) {
                return snapshot;
            }
        }
        panic!("the stream ended before: {what}");
    }
}

fn idle() -> (
    watch::Sender<Published>,
    watch::Sender<bool>,
    impl service::App,
) {
    let (publish, published) = watch::channel(Published::of(Default::default()));
    let (stop, stopping) = watch::channel(false);
    (publish, stop, app(State::new(published, stopping)))
}

async fn get(router: impl service::App, path: &str) -> axum::response::Response {
    let request = Request::get(path).body(Body::empty()).unwrap();
    router.oneshot(request).await.unwrap()
}

#[tokio::test]
async fn a_tenant_block_reaches_an_open_page() {
    let validator = FakeValidator::start().await;
    let tracker = FakeTracker::start().await;
    let dashboard = Running::start(&validator.url(), &tracker.url()).await;
    let mut page = Page::open(dashboard.address).await;
    let all = page
        .until("both connected", |snapshot| {
            snapshot["health"]["status"] == "healthy"
        })
        .await;
    assert_eq!(all["status"]["height"], 1);
    assert_eq!(all["tenants"]["total_tenants"], 0);
    assert_eq!(all["tracker"]["networks"][0]["peer_count"], 2);
    assert_eq!(all["validator"]["reachable"], true);

    validator.anchor("demo", "<b>hello</b>");
    let next = page
        .until("block 2", |snapshot| {
            snapshot["blocks"][0]["height"] == 2 && snapshot["tenants"]["total_tenants"] == 1
        })
        .await;
    assert_eq!(
        next["tenants"]["tenants"][0]["recent_messages"],
        json!(["Block #1: <b>hello</b>"])
    );
    dashboard.stop().await;
}

#[tokio::test]
async fn what_the_stream_left_out_is_asked_for() {
    let validator = FakeValidator::start().await;
    let tracker = FakeTracker::start().await;
    let dashboard = Running::start(&validator.url(), &tracker.url()).await;
    let mut page = Page::open(dashboard.address).await;
    let reachable = |snapshot: &Value| snapshot["validator"]["reachable"] == true;
    page.until("connected", reachable).await;
    validator.anchor_unseen();
    let next = page
        .until("block 2", |snapshot| snapshot["blocks"][0]["height"] == 2)
        .await;
    assert_eq!(next["status"]["height"], 2);
    dashboard.stop().await;
}

#[tokio::test]
async fn a_validator_that_comes_back_is_followed_again() {
    let validator = FakeValidator::start().await;
    let tracker = FakeTracker::start().await;
    let dashboard = Running::start(&validator.url(), &tracker.url()).await;
    let mut page = Page::open(dashboard.address).await;
    let connected = |snapshot: &Value| snapshot["validator"]["reachable"] == true;
    page.until("connected", connected).await;
    validator.cut_streams();
    let lost = page.until("lost", |snapshot| !connected(snapshot)).await;
    assert_eq!(lost["health"]["status"], "degraded");
    assert_eq!(lost["status"]["height"], 1, "what was seen stays");
    page.until("connected again", connected).await;
    dashboard.stop().await;
}

#[tokio::test]
async fn without_any_service_the_page_is_served_and_health_says_why() {
    let dashboard = Running::start("http://127.0.0.1:1", "http://127.0.0.1:1/").await;
    let mut page = Page::open(dashboard.address).await;
    let lost = page
        .until("both lost", |snapshot| {
            snapshot["validator"]["reason"].is_string() && snapshot["tracker"]["reason"].is_string()
        })
        .await;
    assert_eq!(lost["status"], Value::Null);
    assert_eq!(lost["tenants"], Value::Null);
    let checks = &lost["health"]["checks"];
    assert!(
        checks["validator"].as_str().unwrap().contains("refused"),
        "{checks}"
    );
    dashboard.stop().await;
}

#[tokio::test]
async fn an_open_stream_does_not_hold_the_shutdown_up() {
    let dashboard = Running::start("http://127.0.0.1:1", "http://127.0.0.1:1").await;
    let mut page = Page::open(dashboard.address).await;
    page.until("anything", |_| true).await;
    dashboard.stop().await;
    while page.0.next().await.is_some() {}
}

#[tokio::test]
async fn every_file_of_the_page_is_served_under_a_strict_policy() {
    let (_publish, _stop, router) = idle();
    let files = [
        ("/", "text/html; charset=utf-8"),
        ("/dashboard.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/tokens.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ];
    for (path, media_type) in files {
        let response = get(router.clone(), path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], media_type);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

/// The page's files name only files that are served.
#[tokio::test]
async fn every_file_that_the_page_names_is_served() {
    let (_publish, _stop, router) = idle();
    let mut unread = vec!["/".to_owned()];
    let mut read = Vec::new();
    while let Some(path) = unread.pop() {
        let response = get(router.clone(), &path).await;
        assert_eq!(
            response.status(),
            StatusCode::OK,
            "{path} is named but not served"
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        read.push(path);
        for name in named_files(&text) {
            let name = format!("/{name}");
            if !read.contains(&name) && !unread.contains(&name) {
                unread.push(name);
            }
        }
    }
    assert!(read.len() > 3, "only {read:?} were found");
}

fn named_files(text: &str) -> Vec<String> {
    text.split(['"', '\''])
        .filter(|word| {
            [".js", ".css", ".svg"]
                .iter()
                .any(|end| word.ends_with(end))
        })
        .filter(|word| !word.contains(char::is_whitespace))
        .map(|word| {
            word.trim_start_matches("./")
                .trim_start_matches('/')
                .to_owned()
        })
        .collect()
}

#[tokio::test]
async fn an_unknown_path_is_a_problem_document() {
    let (_publish, _stop, router) = idle();
    let response = get(router, "/../etc/passwd").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/problem+json"
    );
}
