//! One network over three trackers: whatever of them dies, its members stay linked and find each other.

use crate::{confirmed, fetch, mine, number, same_tip};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Cluster, Page, Service, eventually};

const NETWORK: &str = "spread";

/// Notes from now on the fewest direct links that the page's node ever says it has.
const WATCH_LINKS: &str = "
    const node = window.distli.node;
    const direct = ({peers}) => peers.filter(({transport}) => transport === 'direct').length;
    window.fewest = direct(await node.status());
    node.addEventListener('status', ({detail}) => { window.fewest = Math.min(window.fewest, direct(detail)); });";

async fn fewest_links(page: &Page<'_>) -> Result<u64> {
    let fewest = page.run("return window.fewest", vec![]).await?;
    fewest.as_u64().context("a number of links")
}

/// Waits until the page's node is connected to a tracker other than this page's own.
async fn turned_from(page: &Page<'_>, own: &str) -> Result<()> {
    let own = own.replace("http", "ws");
    page.status_where("it is connected to another tracker", |status| {
        let url = status["trackerUrl"].as_str().unwrap_or_default();
        status["tracker"] == "connected" && !url.starts_with(&own)
    })
    .await
    .map(drop)
}

/// Opens the network at a tracker; that knows it as soon as it heard of it from the others.
async fn open<'b>(browser: &'b Browser, tracker: &str) -> Result<Page<'b>> {
    eventually("the tracker knows the network", async || {
        let known = fetch(&format!("{tracker}/api/networks/{NETWORK}/genesis")).await;
        Ok(known.is_ok().then_some(()))
    })
    .await?;
    let page = browser.open(&format!("{tracker}/#/n/{NETWORK}")).await?;
    page.find("message-input").await?;
    Ok(page)
}

async fn all_have(pages: &[&Page<'_>], text: &str) -> Result<()> {
    for page in pages {
        confirmed(page, &[text]).await?;
    }
    Ok(())
}

/// A tracker is asked to end: it sends its member elsewhere first, and ends well.
async fn moves_when_its_tracker_ends(
    tracker: &mut Service,
    member: &Page<'_>,
    own: &str,
    all: &[&Page<'_>],
) -> Result<()> {
    member.run_async(WATCH_LINKS, vec![]).await?;
    let ended = tracker.terminate().await?;
    ensure!(ended.success(), "the tracker ended with {ended}");
    turned_from(member, own).await?;
    member.send("after a move").await?;
    all_have(all, "after a move").await?;
    ensure!(
        fewest_links(member).await? == 3,
        "a link was lost: {}",
        member.status().await?
    );
    Ok(())
}

#[tokio::test]
async fn members_stay_linked_and_find_each_other_whatever_of_the_cluster_dies() -> Result<()> {
    let Some(mut cluster) = Cluster::start().await? else {
        return Ok(());
    };
    let at = cluster.pages.clone();
    let [first, second, third] = at.as_slice() else {
        anyhow::bail!("there are three trackers");
    };
    let folder = cluster.folder();
    let browser = async |name: &str| Browser::start(&folder.join(name)).await;
    let (alices, bobs, carols) = (
        browser("alice").await?,
        browser("bob").await?,
        browser("carol").await?,
    );
    let alice = alices.open(first).await?;
    alice.create_network(NETWORK).await?;
    let bob = open(&bobs, second).await?;
    let carol = open(&carols, third).await?;
    let members = [&alice, &bob, &carol];
    for page in members {
        page.has_direct_peers(2).await?;
        page.run_async(WATCH_LINKS, vec![]).await?;
    }
    mine(&alice).await?;
    carol.send("over three trackers").await?;
    all_have(&members, "over three trackers").await?;

    // A tracker is killed: its member turns to another.
    cluster.trackers[1].kill();
    turned_from(&bob, second).await?;
    bob.send("after a tracker was killed").await?;
    all_have(&members, "after a tracker was killed").await?;

    // The server between them is killed. They are told of nobody new, and go on.
    cluster.nats.kill();
    carol.send("without the server").await?;
    all_have(&members, "without the server").await?;
    cluster.nats.start().await?;

    // A tracker stands still: no socket closes, and its member turns to another all the same.
    cluster.trackers[2].signal("STOP")?;
    turned_from(&carol, third).await?;
    bob.send("while a tracker stands still").await?;
    all_have(&members, "while a tracker stands still").await?;

    // Nobody ever lost a link by it.
    for page in members {
        ensure!(
            fewest_links(page).await? == 2,
            "a link was lost: {}",
            page.status().await?
        );
    }

    // Both come back, and a newcomer at the one that was killed meets all.
    cluster.trackers[2].signal("CONT")?;
    cluster.trackers[1].start().await?;
    let daves = browser("dave").await?;
    let dave = open(&daves, second).await?;
    dave.has_direct_peers(3).await?;
    dave.send("from a newcomer").await?;
    let all = [&alice, &bob, &carol, &dave];
    all_have(&all, "from a newcomer").await?;
    moves_when_its_tracker_ends(&mut cluster.trackers[1], &dave, second, &all).await?;
    let height = same_tip(&alice, &dave).await?;
    eventually("the enterprise chain has all of it, once", async || {
        let tenants = fetch(&format!("{}/api/tenants", cluster.validator_url)).await?;
        let tenants = tenants["tenants"].as_array().context("tenants")?.clone();
        let [tenant] = tenants.as_slice() else {
            return Ok(None);
        };
        Ok(
            (tenant["tenant_id"] == NETWORK && number(tenant, "block_count") >= height)
                .then_some(()),
        )
    })
    .await
}
