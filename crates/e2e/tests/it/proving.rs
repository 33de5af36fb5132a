//! A private network that its owner has proved final, and reset: members see it, nobody else reads it.

use crate::private::photograph;
use crate::{confirmed, fetch, mine, number, same_tip};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Page, Stack};
use serde_json::json;

const NAME: &str = "harvest-board";
const FIRST: &str = "the cellar key is under the third stone";
const SECOND: &str = "we pay the pickers on friday";

/// A private network whose blocks become final after twelve seconds.
const CREATE: &str = "
    const { DistliNode } = await import('/node/distli-node.js');
    const node = await DistliNode.create({networkId: a[0], access: 'private', rules: {intervalMs: 2000}});
    await node.close();";

#[tokio::test]
async fn members_see_a_private_network_final_once_its_owner_chose_so_and_nobody_reads_it()
-> Result<()> {
    let stack = Stack::start().await?;
    let alice = Browser::start(&stack.folder().join("alice")).await?;
    let bob = Browser::start(&stack.folder().join("bob")).await?;
    let (owner, friend) = founded(&stack, &alice, &bob).await?;
    ensure!(
        friend
            .find("proving-open")
            .await?
            .attr("hidden")
            .await?
            .is_some()
    );

    // Until then nothing is known outside.
    let status = owner.status().await?;
    ensure!(
        status["reporter"] == true && status["reporting"] == false,
        "{status}"
    );
    let chain = status["chainId"].as_str().context("a chain id")?.to_owned();
    ensure!(
        tenants(&stack).await? == 0,
        "the validator knows the network unasked"
    );
    has_nothing_of(
        &stack,
        &[NAME.as_bytes(), FIRST.as_bytes(), &hex_bytes(&chain)?],
    )?;

    owner.click("proving-open").await?;
    photograph(&owner, "private-finality").await?;
    owner.click("prove").await?;
    for page in [&owner, &friend] {
        let status = page
            .status_where("the blocks are final here", |status| {
                number(status, "finalHeight") >= number(status, "height").max(2)
            })
            .await?;
        let signers = status["signers"].as_array().map_or(0, Vec::len);
        ensure!(signers == 1, "this browser verified nothing: {status}");
        ensure!(number(&status, "anchoredHeight") >= 2, "{status}");
        page.shows("block-item", "Final").await?;
    }
    photograph(&owner, "private-final-dialog").await?;
    owner.click("proving-close").await?;
    photograph(&friend, "private-final").await?;

    // What the validators hold of it is sealed.
    ensure!(tenants(&stack).await? == 1);
    has_nothing_of(&stack, &[FIRST.as_bytes(), SECOND.as_bytes()])?;
    let listed = reqwest::get(format!("{}/api/network-list", stack.app_url)).await?;
    ensure!(listed.text().await? == "[]", "a private network is listed");

    // The choice outlives the page, and can be taken back.
    owner.reload().await?;
    owner
        .status_where("the choice is kept", |status| status["reporting"] == true)
        .await?;
    owner.click("proving-open").await?;
    owner.click("prove").await?;
    owner
        .status_where("it is taken back", |status| status["reporting"] == false)
        .await
        .map(drop)
}

#[tokio::test]
async fn the_owner_resets_what_is_final_and_members_follow_by_the_receipt() -> Result<()> {
    let stack = Stack::start().await?;
    let alice = Browser::start(&stack.folder().join("alice")).await?;
    let bob = Browser::start(&stack.folder().join("bob")).await?;
    let (owner, friend) = founded(&stack, &alice, &bob).await?;
    owner.click("proving-open").await?;
    owner.click("prove").await?;
    for page in [&owner, &friend] {
        page.status_where("two blocks are final", |status| {
            number(status, "finalHeight") >= 2
        })
        .await?;
    }
    let void = block_hash(&friend, 2).await?;
    let stays = block_hash(&friend, 1).await?;

    owner.click("reset-from").await?;
    owner.find("reset-from").await?.clear().await?;
    owner.type_into("reset-from", "2").await?;
    owner.click("reset-sure").await?;
    photograph(&owner, "private-reset").await?;
    owner.click("reset").await?;
    for page in [&owner, &friend] {
        page.status_where("the reset is followed", |status| status["resets"] == 1)
            .await?;
        page.shows("notice", "reset finality from block 2").await?;
    }
    photograph(&friend, "private-was-reset").await?;

    // What was said in the void block is in another one, and that becomes final as well.
    for page in [&owner, &friend] {
        confirmed(page, &[FIRST, SECOND]).await?;
        page.status_where("it is final anew", |status| {
            number(status, "finalHeight") >= 2
        })
        .await?;
        ensure!(block_hash(page, 1).await? == stays, "what stays is there");
        ensure!(block_hash(page, 2).await? != void, "the void block is gone");
    }
    same_tip(&owner, &friend).await?;

    // Who was there before starts where it was, and who comes now needs no receipt.
    friend.reload().await?;
    let status = friend
        .status_where("it starts anew", |status| {
            number(status, "finalHeight") >= 2
        })
        .await?;
    ensure!(status["resets"] == 1 && block_hash(&friend, 2).await? != void);
    Ok(())
}

/// The owner's page and a friend's who followed the invite, with a message of each in a block of its own.
async fn founded<'a>(
    stack: &Stack,
    alice: &'a Browser,
    bob: &'a Browser,
) -> Result<(Page<'a>, Page<'a>)> {
    let owner = alice.open(&stack.app_url).await?;
    owner.run_async(CREATE, vec![json!(NAME)]).await?;
    owner.goto(&format!("{}/#/n/{NAME}", stack.app_url)).await?;
    owner.find("message-input").await?;
    let link = owner
        .run_async("return (await window.distli.node.invite()).link", vec![])
        .await?;
    let friend = bob.open(link.as_str().context("a link")?).await?;
    friend.has_direct_peers(1).await?;
    mine(&owner).await?;
    for (page, words) in [(&owner, FIRST), (&friend, SECOND)] {
        page.send(words).await?;
        for page in [&owner, &friend] {
            confirmed(page, &[words]).await?;
        }
    }
    Ok((owner, friend))
}

async fn block_hash(page: &Page<'_>, height: u32) -> Result<String> {
    let script = "return (await window.distli.node.blocks({from: a[0], limit: 1}))[0]?.block_hash";
    let hash = page.run_async(script, vec![json!(height)]).await?;
    Ok(hash.as_str().unwrap_or_default().to_owned())
}

async fn tenants(stack: &Stack) -> Result<usize> {
    let all = fetch(&format!("{}/api/tenants", stack.validator_url)).await?;
    Ok(all["tenants"].as_array().map_or(0, Vec::len))
}

fn hex_bytes(text: &str) -> Result<Vec<u8>> {
    let digits = |at: usize| text.get(at..at + 2).context("two digits");
    (0..text.len() / 2)
        .map(|at| Ok(u8::from_str_radix(digits(at * 2)?, 16)?))
        .collect()
}

/// Fails if a file of the tracker or the validators holds one of these.
fn has_nothing_of(stack: &Stack, secrets: &[&[u8]]) -> Result<()> {
    let mut folders = vec![
        stack.folder().join("tracker"),
        stack.folder().join("validator"),
    ];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            // The validator has a socket there.
            if !path.is_file() {
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path)?;
            for secret in secrets {
                let has = bytes.windows(secret.len()).any(|part| part == *secret);
                ensure!(
                    !has,
                    "{:?} is in {}",
                    String::from_utf8_lossy(secret),
                    path.display()
                );
            }
        }
    }
    ensure!(files >= 2, "{files} files were looked at");
    Ok(())
}
