//! Collections page by page: nothing is left out, nothing comes twice, whatever is decided in between.

use api::{EnterpriseBlock, Tenant, Tenants, Transactions};
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::enterprise::{EnterpriseHeight, VoteKind};
use shared::hash::Hash;
use shared::identity::Identity;
use shared::ids::ChainId;
use validator::agreement::{Evidence, Message};
use validator::store::Store;

use crate::server::{Server, hour_ago, problem};
use crate::tenant::TestTenant;

/// A page and where its `Link` header leads.
async fn page<T: DeserializeOwned>(server: &Server, path: &str) -> (T, Option<String>) {
    let response = server.fetch(path).await;
    let link = response.headers().get("link").cloned();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error} {text}"));
    let next = link.map(|link| {
        let link = link.to_str().unwrap();
        let query = link.strip_prefix("<?").unwrap();
        let query = query.strip_suffix(">; rel=\"next\"").unwrap();
        format!("{}?{query}", path.split('?').next().unwrap())
    });
    (body, next)
}

/// All pages of a collection, by their links, with something done after each.
async fn all<T: DeserializeOwned>(
    server: &Server,
    path: &str,
    mut between: impl AsyncFnMut(usize),
) -> Vec<T> {
    let (mut pages, mut next) = (Vec::new(), Some(path.to_owned()));
    while let Some(path) = next {
        let (body, link) = page(server, &path).await;
        pages.push(body);
        next = link;
        between(pages.len()).await;
    }
    pages
}

fn texts(pages: &[Transactions]) -> Vec<String> {
    let pages = pages.iter().flat_map(|page| &page.transactions);
    pages.map(|shown| shown.transaction_data.clone()).collect()
}

#[tokio::test]
async fn transactions_are_paged_without_gaps_while_more_are_decided() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut shop = TestTenant::new("shop", 1, hour_ago());
    let mut bank = TestTenant::new("bank", 2, hour_ago());
    let first = [
        shop.mine(&["a", "b", "c"]),
        shop.mine(&[]),
        shop.mine(&["d"]),
    ];
    server.accepted(&shop.update(&first)).await;
    server
        .accepted(&bank.update(&[bank.clone().mine(&["e", "f"])]))
        .await;
    bank.mine(&["e", "f"]);
    let mut later = 0;
    for (path, wanted) in [
        ("/api/transactions?limit=2", "fedcba"),
        ("/api/network-transactions/shop?limit=1", "dcba"),
        ("/api/transactions?limit=3&network=bank", "fe"),
    ] {
        let started = later;
        let pages: Vec<Transactions> = all(&server, path, async |_| {
            later += 1;
            let block = bank.mine(&[&format!("later {later}")]);
            server.accepted(&bank.update(&[block])).await;
        })
        .await;
        let mut found = texts(&pages);
        found.retain(|text| !text.starts_with("later"));
        assert_eq!(found.concat(), wanted, "{path}");
        assert!(later > started);
        for page in pages.split_last().unwrap().1 {
            assert!(page.next_cursor.is_some());
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn transactions_of_replaced_blocks_neither_show_nor_shift_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut shop = TestTenant::new("shop", 1, hour_ago());
    let root = shop.mine(&["root"]);
    server.accepted(&shop.update(&[root])).await;
    let mut fork = shop.fork(7);
    let lost = shop.mine(&["lost one", "lost two"]);
    server.accepted(&shop.update(&[lost])).await;
    let pages: (Transactions, _) = page(&server, "/api/transactions?limit=1").await;
    assert_eq!(texts(&[pages.0]), ["lost two"]);
    let won = [fork.mine(&["won"]), fork.mine(&["more"])];
    server.accepted(&fork.update(&won)).await;
    // The cursor was given before the two were replaced.
    let rest: Vec<Transactions> = all(&server, &pages.1.unwrap(), async |_| {}).await;
    assert_eq!(texts(&rest), ["root"]);
    let whole: Vec<Transactions> = all(&server, "/api/transactions?limit=1", async |_| {}).await;
    assert_eq!(texts(&whole), ["more", "won", "root"]);
    server.stop().await;
}

#[tokio::test]
async fn blocks_tenants_and_tenant_blocks_are_paged() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut tenants: Vec<TestTenant> = ["ant", "bee", "cat", "dog", "eel"]
        .into_iter()
        .zip(1..)
        .map(|(label, seed)| TestTenant::new(label, seed, hour_ago()))
        .collect();
    for tenant in &mut tenants {
        let blocks = tenant.mine_many(5);
        server.accepted(&tenant.update(&blocks)).await;
    }
    let pages: Vec<Vec<EnterpriseBlock>> = all(&server, "/api/blocks?limit=2", async |_| {}).await;
    let heights: Vec<Vec<u64>> = pages
        .iter()
        .map(|page| page.iter().map(|block| block.height).collect())
        .collect();
    assert_eq!(heights, [vec![5, 4], vec![3, 2], vec![1]]);

    let pages: Vec<Tenants> = all(&server, "/api/tenants?limit=2", async |_| {}).await;
    let names: Vec<Vec<&str>> = pages
        .iter()
        .map(|page| page.tenants.iter().map(|t| t.tenant_id.as_str()).collect())
        .collect();
    assert_eq!(names, [vec!["ant", "bee"], vec!["cat", "dog"], vec!["eel"]]);
    assert!(pages.iter().all(|page| page.total_tenants == 5));

    let pages: Vec<Value> = all(&server, "/api/tenants/cat/blocks?limit=2", async |_| {}).await;
    let heights: Vec<u64> = pages
        .iter()
        .flat_map(|page| page["blocks"].as_array().unwrap())
        .map(|block| block["block_id"].as_u64().unwrap())
        .collect();
    assert_eq!(heights, [1, 2, 3, 4, 5]);
    assert_eq!(pages[0]["next_cursor"], "3");
    server.stop().await;
}

#[tokio::test]
async fn one_tenant_is_as_in_the_list_and_tells_its_final_height() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut slow = TestTenant::new("slow", 1, hour_ago());
    let mut fast = TestTenant::with("fast", 2, hour_ago(), |genesis| {
        genesis.rules.finality_delay_ms = 1;
    });
    let blocks = slow.mine_many(2);
    server.accepted(&slow.update(&blocks)).await;
    let blocks = fast.mine_many(3);
    server.accepted(&fast.update(&blocks)).await;
    while server.get::<Tenant>("/api/tenants/fast").await.final_height < 3 {}
    let listed: Tenants = server.get("/api/tenants").await;
    let [fast_shape, slow_shape] = listed.tenants.as_slice() else {
        panic!("two tenants expected, found {listed:?}");
    };
    assert_eq!((slow_shape.height, slow_shape.final_height), (2, 0));
    assert_eq!(slow_shape.final_hash, None);
    assert_eq!(fast_shape.final_hash, Some(fast.tip().to_string()));
    let by_id: Tenant = server
        .get(&format!("/api/tenants/{}", fast.chain_id()))
        .await;
    assert_eq!(&by_id, fast_shape);
    let none: Value = server.get("/api/tenants/fast/incidents").await;
    assert_eq!(none["incidents"], Value::Array(Vec::new()));
    assert_eq!(server.get_status("/api/tenants/nobody").await, 404);
    server.stop().await;
}

#[tokio::test]
async fn refused_forks_are_listed_and_paged() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut fast = TestTenant::with("fast", 2, hour_ago(), |genesis| {
        genesis.rules.finality_delay_ms = 1;
    });
    let first = fast.mine(&["first"]);
    server.accepted(&fast.update(&[first])).await;
    let forks: Vec<_> = (1..=3)
        .map(|mark| fast.fork(mark).mine(&["fork"]))
        .collect();
    let second = fast.mine(&["second"]);
    server.accepted(&fast.update(&[second])).await;
    while server.get::<Tenant>("/api/tenants/fast").await.final_height < 2 {}
    let mut hashes = Vec::new();
    for fork in forks {
        hashes.push(fork.hash().to_string());
        let refused = server.refused(&fast.update(&[fork])).await;
        assert_eq!(refused.kind, "/problems/leaves-final");
    }
    hashes.sort();
    let path = "/api/tenants/fast/incidents?limit=2";
    let pages: Vec<Value> = all(&server, path, async |_| {}).await;
    let found: Vec<&str> = pages
        .iter()
        .flat_map(|page| page["incidents"].as_array().unwrap())
        .map(|incident| incident["hash"].as_str().unwrap())
        .collect();
    assert_eq!(
        (pages.len(), found),
        (2, hashes.iter().map(String::as_str).collect())
    );
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_that_no_page_gave_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut shop = TestTenant::new("shop", 1, hour_ago());
    let blocks = shop.mine_many(1);
    server.accepted(&shop.update(&blocks)).await;
    for path in [
        "/api/blocks?cursor=x",
        "/api/transactions?cursor=7",
        "/api/network-transactions/shop?cursor=1.x",
        "/api/tenants/shop/blocks?cursor=-1",
        "/api/tenants/shop/incidents?cursor=00",
        "/api/log?cursor=+1",
    ] {
        let refused = problem(server.fetch(path).await).await;
        assert_eq!(
            (refused.status, refused.kind.as_str()),
            (400, "/problems/bad-cursor"),
            "{path}"
        );
    }
    for path in [
        "/api/blocks?cursor=99999",
        "/api/transactions?cursor=99999.3",
        "/api/log?from=4294967296",
    ] {
        assert_eq!(server.get_status(path).await, 200, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn contradictions_are_paged_by_height_and_counted_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    Server::start(directory.path()).await.stop().await;
    let (identity, chain) = (Identity::from_seed([1; 32]), ChainId(Hash::ZERO));
    let proofs = [5, 3, 4, 3].map(|height| {
        let slot = (VoteKind::Precommit, EnterpriseHeight(height), 0);
        let vote = |block| Message::signed_vote(&identity, chain, slot, block);
        Evidence {
            offender: identity.public_key(),
            first: vote(Some(Hash([7; 32]))),
            second: vote(None),
        }
    });
    let store = Store::open(&directory.path().join("enterprise_v.redb")).unwrap();
    store.keep_evidence(&proofs).unwrap();
    drop(store);
    let server = Server::start(directory.path()).await;
    let pages: Vec<Vec<Value>> = all(&server, "/api/evidence?limit=2", async |_| {}).await;
    let heights: Vec<Vec<u64>> = pages
        .iter()
        .map(|page| page.iter().map(|proof| proof["height"].as_u64().unwrap()))
        .map(Iterator::collect)
        .collect();
    assert_eq!(heights, [vec![3, 4], vec![5]], "one came twice");
    let status: api::Status = server.get("/api/status").await;
    assert_eq!(status.consensus.unwrap().evidence, 3);
    for cursor in ["5", "x.y", "5.", "5.00"] {
        let path = format!("/api/evidence?cursor={cursor}");
        assert_eq!(server.get_status(&path).await, 400, "{cursor}");
    }
    server.stop().await;
}

#[tokio::test]
async fn blocks_and_transactions_begin_at_a_height() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::start(directory.path()).await;
    let mut shop = TestTenant::new("shop", 1, hour_ago());
    let mut bank = TestTenant::new("bank", 2, hour_ago());
    for text in ["a", "b", "c"] {
        for tenant in [&mut shop, &mut bank] {
            let block = tenant.mine(&[text, &text.to_uppercase()]);
            server.accepted(&tenant.update(&[block])).await;
        }
    }
    for (from, wanted) in [
        (4, vec![4, 3, 2, 1]),
        (9, vec![6, 5, 4, 3, 2, 1]),
        (0, vec![]),
    ] {
        let path = format!("/api/blocks?limit=3&from={from}");
        let pages: Vec<Vec<EnterpriseBlock>> = all(&server, &path, async |_| {}).await;
        let heights: Vec<u64> = pages.concat().iter().map(|block| block.height).collect();
        assert_eq!(heights, wanted, "{path}");
    }
    for (path, wanted) in [
        ("/api/transactions?limit=3&from=4", "BbBbAaAa"),
        ("/api/transactions?limit=3&network=shop&from=2", "BbAa"),
        ("/api/network-transactions/bank?limit=1&from=1", "Aa"),
        ("/api/network-transactions/bank?limit=5&from=7", "CcBbAa"),
        ("/api/transactions?from=0", ""),
    ] {
        let pages: Vec<Transactions> = all(&server, path, async |_| {}).await;
        assert_eq!(texts(&pages).concat(), wanted, "{path}");
    }
    let refused = problem(server.fetch("/api/blocks?from=x").await).await;
    assert_eq!(refused.kind, "/problems/bad-query");
    server.stop().await;
}
