//! The event stream: who comes back gets what it missed, or is told that it has to ask.

use api::EnterpriseBlock;
use futures_util::StreamExt as _;

use crate::server::{Server, hour_ago};
use crate::tenant::TestTenant;

/// One server-sent event.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

/// Reads the stream until an event of this name has come; `last` is the id of the last event known.
async fn until(server: &Server, last: Option<&str>, name: &str) -> Vec<Event> {
    let mut request = reqwest::Client::new().get(server.url("/api/events"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let mut stream = request.send().await.unwrap().bytes_stream();
    let mut text = String::new();
    loop {
        let bytes = stream.next().await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&bytes).unwrap());
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        let events: Vec<Event> = whole.split("\n\n").map(parse).collect();
        if events.iter().any(|event| event.name == name) {
            return events;
        }
    }
}

fn parse(text: &str) -> Event {
    let field = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name));
        values.next().unwrap_or_default().to_owned()
    };
    Event {
        name: field("event: "),
        id: field("id: "),
        data: field("data: "),
    }
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// A server whose chain has so many blocks.
async fn with_blocks(directory: &std::path::Path, count: usize) -> (Server, TestTenant) {
    let server = Server::start(directory).await;
    let mut tenant = TestTenant::new("shop", 1, hour_ago());
    for _ in 0..count {
        let block = tenant.mine(&["message"]);
        server.accepted(&tenant.update(&[block])).await;
    }
    (server, tenant)
}

#[tokio::test]
async fn a_reader_that_comes_back_gets_the_blocks_that_it_missed() {
    let directory = tempfile::tempdir().unwrap();
    let (server, mut tenant) = with_blocks(directory.path(), 2).await;
    let first = until(&server, None, "tenants").await;
    assert_eq!(names(&first), ["status", "tenants"]);
    let last = &first[1].id;
    assert!(last.starts_with("2-"), "{last}");
    for _ in 0..3 {
        let block = tenant.mine(&["missed"]);
        server.accepted(&tenant.update(&[block])).await;
    }
    // The id is of the chain, not of the process.
    server.stop().await;
    let server = Server::start(directory.path()).await;
    let back = until(&server, Some(last), "tenants").await;
    assert_eq!(
        names(&back),
        ["block", "block", "block", "status", "tenants"]
    );
    for (height, event) in (3..).zip(&back[..3]) {
        let block: EnterpriseBlock = serde_json::from_str(&event.data).unwrap();
        assert_eq!((block.height, block.transaction_count), (height, 1));
        assert_eq!(event.id, format!("{height}-{}", &block.hash[..8]));
    }
    // Each event says where its reader stands: also half of them is a place to come back to.
    let again = until(&server, Some(&back[0].id), "tenants").await;
    assert_eq!(again[..2], back[1..3]);
    let nothing = until(&server, Some(&back[4].id), "tenants").await;
    assert_eq!(names(&nothing), ["status", "tenants"]);
    // The height alone is enough for who keeps no more.
    let bare = until(&server, Some("4"), "tenants").await;
    assert_eq!(names(&bare), ["block", "status", "tenants"]);
    server.stop().await;
}

#[tokio::test]
async fn a_reader_of_another_chain_is_told_to_ask_again() {
    let directory = tempfile::tempdir().unwrap();
    let (server, _) = with_blocks(directory.path(), 2).await;
    for last in [
        "1-00000000",
        "9",
        "99999999999999999999",
        "",
        "x",
        "-",
        "0-ffffffff",
    ] {
        let events = until(&server, Some(last), "tenants").await;
        assert_eq!(names(&events), ["resync", "status", "tenants"], "{last:?}");
        assert!(events[0].id.starts_with("2-"));
        let resync: serde_json::Value = serde_json::from_str(&events[0].data).unwrap();
        assert_eq!(resync["height"], 2, "{last:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_missed_more_than_is_told_is_told_to_ask_again() {
    let directory = tempfile::tempdir().unwrap();
    let most = usize::try_from(validator::http::REPLAY_MAX).unwrap();
    let (server, _) = with_blocks(directory.path(), most + 1).await;
    let all_but_one = until(&server, Some("1"), "tenants").await;
    assert_eq!(all_but_one.len(), most + 2);
    let too_many = until(&server, Some("0"), "tenants").await;
    assert_eq!(names(&too_many), ["resync", "status", "tenants"]);
    server.stop().await;
}
