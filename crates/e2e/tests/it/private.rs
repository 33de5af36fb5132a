//! A private network: in by the link or the passphrase, and nothing of it at the tracker.

use crate::{confirmed, mine, same_tip};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Look, Page, Stack, artifacts_dir, eventually};
use serde_json::json;

const NAME: &str = "orchard-board";
const WORDS: &str = "the price is 40 EUR a crate";

#[tokio::test]
async fn members_come_in_by_link_or_passphrase_and_the_tracker_learns_nothing() -> Result<()> {
    let stack = Stack::start().await?;
    let (alice, bob, carol) = (
        Browser::start(&stack.folder().join("alice")).await?,
        Browser::start(&stack.folder().join("bob")).await?,
        Browser::start(&stack.folder().join("carol")).await?,
    );
    let owner = alice.open(&stack.app_url).await?;
    choose(&owner, "passphrase").await?;
    photograph(&owner, "private-start").await?;
    owner.create_network(NAME).await?;
    owner.find("private-tag").await?;
    let (link, passphrase) = invite(&owner).await?;
    photograph(&owner, "private-invite").await?;
    owner.click("inviting-close").await?;

    let friend = bob.open(&link).await?;
    friend.has_direct_peers(1).await?;
    let address = friend.run("return location.href", vec![]).await?;
    let key = link.split("#/p/").nth(1).context("a private link")?;
    ensure!(
        !address.as_str().context("an address")?.contains(key),
        "the key stays in the address"
    );

    let third = carol.open(&stack.app_url).await?;
    by_passphrase(&third, &mistyped(&passphrase)).await?;
    third.shows("notice", "typing mistake").await?;
    third.click("notice-dismiss").await?;
    by_passphrase(&third, &passphrase).await?;
    third.has_direct_peers(2).await?;

    owner.send(WORDS).await?;
    for page in [&friend, &third] {
        page.shows("pending-item", WORDS).await?;
    }
    mine(&third).await?;
    for page in [&owner, &friend, &third] {
        confirmed(page, &[WORDS]).await?;
    }
    same_tip(&owner, &third).await?;
    tracker_knows_nothing(&stack, &owner).await?;
    stranger_stays_out(&stack, &owner).await?;

    // What was joined once opens again by itself.
    friend.reload().await?;
    friend.has_direct_peers(2).await?;
    confirmed(&friend, &[WORDS]).await?;
    friend.find("private-tag").await?;
    the_owner_moves_the_network(&owner, &friend, &third).await
}

/// The owner takes the friend along and leaves the third behind.
async fn the_owner_moves_the_network(
    owner: &Page<'_>,
    friend: &Page<'_>,
    left: &Page<'_>,
) -> Result<()> {
    owner.has_direct_peers(2).await?;
    let old = owner.status().await?["chainId"].clone();
    let key = left.status().await?["publicKey"].clone();
    owner.click("invite").await?;
    owner.find("move").await?;
    let script = "const boxes = [...document.querySelectorAll('[data-testid=\"moving-member\"]')]; \
                  const box = boxes.find((one) => one.value === arguments[0]); if (box) box.checked = false; \
                  return boxes.filter((one) => one.checked).length";
    let chosen = owner.run(script, vec![key]).await?;
    ensure!(chosen == 1, "{chosen} members are chosen");
    photograph(owner, "private-move").await?;
    owner.click("move").await?;
    left.shows("notice", "without this tab").await?;
    for page in [owner, friend] {
        eventually("the page is in the new network", async || {
            let status = page
                .run_async(
                    "return window.distli.node ? await window.distli.node.status() : null",
                    vec![],
                )
                .await?;
            let is_new = status["chainId"].is_string() && status["chainId"] != old;
            Ok(is_new.then_some(()))
        })
        .await?;
        page.has_direct_peers(1).await?;
    }
    owner.send("only we two read this").await?;
    friend
        .shows("pending-item", "only we two read this")
        .await?;
    let status = left.status().await?;
    ensure!(
        status["chainId"] == old,
        "who was left behind is in {status}"
    );
    Ok(())
}

/// Neither list nor registry nor file of the tracker has the name, the chain, the genesis or a word.
async fn tracker_knows_nothing(stack: &Stack, page: &Page<'_>) -> Result<()> {
    let status = page.status().await?;
    let chain = status["chainId"].as_str().context("a chain id")?;
    let list = reqwest::get(format!("{}/api/network-list", stack.app_url)).await?;
    ensure!(list.text().await? == "[]", "a private network is listed");
    for name in [NAME, chain] {
        let url = format!("{}/api/networks/{name}/genesis", stack.app_url);
        let status = reqwest::get(url).await?.status();
        ensure!(status == 404, "the tracker answered {status} about {name}");
    }
    let mut folders = vec![stack.folder().to_owned()];
    let is_profile = |path: &std::path::Path| {
        ["alice", "bob", "carol", "dave"]
            .iter()
            .any(|name| path.ends_with(name))
    };
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() && !is_profile(&path) {
                folders.push(path);
            } else if path.is_file() {
                let bytes = std::fs::read(&path)?;
                for secret in [NAME, WORDS] {
                    let has = bytes
                        .windows(secret.len())
                        .any(|part| part == secret.as_bytes());
                    ensure!(!has, "{secret:?} is in {}", path.display());
                }
            }
        }
    }
    Ok(())
}

/// The name and even the chain id open nothing for who was not invited.
async fn stranger_stays_out(stack: &Stack, page: &Page<'_>) -> Result<()> {
    let dave = Browser::start(&stack.folder().join("dave")).await?;
    let status = page.status().await?;
    let chain = status["chainId"].as_str().context("a chain id")?;
    let stranger = dave
        .open(&format!("{}/#/n/{NAME}@{chain}", stack.app_url))
        .await?;
    let script = "return document.getElementById('opening-failure').hidden";
    eventually(
        "the stranger is told that there is no such network",
        async || Ok((stranger.run(script, vec![]).await? == false).then_some(())),
    )
    .await?;
    ensure!(stranger.all("message-input").await?.is_empty());
    Ok(())
}

async fn choose(page: &Page<'_>, access: &str) -> Result<()> {
    page.run(
        "const choice = document.getElementById('access'); choice.value = arguments[0]; choice.dispatchEvent(new Event('change'))",
        vec![json!(access)],
    )
    .await
    .map(drop)
}

/// The link and the passphrase that the dialog shows.
async fn invite(page: &Page<'_>) -> Result<(String, String)> {
    eventually("the page knows that the network is private", async || {
        let script = "return document.getElementById('invite').dataset.access";
        Ok((page.run(script, vec![]).await? == "private").then_some(()))
    })
    .await?;
    page.click("invite").await?;
    let script = "return [document.getElementById('invite-link').value, document.getElementById('invite-passphrase').textContent]";
    eventually("the dialog shows the invite", async || {
        let found: (String, String) = serde_json::from_value(page.run(script, vec![]).await?)?;
        Ok((!found.0.is_empty() && !found.1.is_empty()).then_some(found))
    })
    .await
}

async fn by_passphrase(page: &Page<'_>, passphrase: &str) -> Result<()> {
    for (id, text) in [("private-id", NAME), ("passphrase", passphrase)] {
        page.find(id).await?.clear().await?;
        page.type_into(id, text).await?;
    }
    page.click("join-passphrase").await
}

/// Two words exchanged.
fn mistyped(passphrase: &str) -> String {
    let mut words: Vec<&str> = passphrase.split('-').collect();
    words.reverse();
    words.join("-")
}

pub(crate) async fn photograph(page: &Page<'_>, name: &str) -> Result<()> {
    let folder = artifacts_dir()?;
    for (scheme, width, height) in [
        ("light", 1280, 900),
        ("dark", 1280, 900),
        ("light", 390, 844),
    ] {
        let look = Look {
            scheme,
            width,
            height,
        };
        let size = if width < 600 { "phone" } else { scheme };
        page.screenshot(look, &folder.join(format!("{name}-{size}.png")))
            .await?;
    }
    Ok(())
}
