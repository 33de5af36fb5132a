//! A browser proves that its own block is final, and goes on proving it with no server left.

use crate::{confirmed, mine, number};
use anyhow::{Context as _, Result, ensure};
use e2e::{Browser, Look, Page, Stack, artifacts_dir};
use serde_json::{Value, json};

/// A network whose blocks become final after twelve seconds.
pub(crate) const CREATE: &str = "
    const { DistliNode } = await import('/node/distli-node.js');
    const node = await DistliNode.create({networkId: 'notary', rules: {intervalMs: 2000}});
    await node.close();";

const IMPORT: &str =
    "return await window.distli.node.importChain(a[0]).then(() => 'taken', error => error.message)";

#[tokio::test]
async fn a_browser_proves_its_block_final_and_its_export_proves_it_with_no_server() -> Result<()> {
    let mut stack = Stack::start().await?;
    let browser = Browser::start(&stack.folder().join("alice")).await?;
    let other = Browser::start(&stack.folder().join("bob")).await?;
    let page = browser.open(&stack.app_url).await?;
    page.run_async(CREATE, vec![]).await?;
    let link = format!("{}/#/n/notary", stack.app_url);
    page.goto(&link).await?;
    page.find("message-input").await?;
    page.send("the contract").await?;
    mine(&page).await?;
    confirmed(&page, &["the contract"]).await?;
    page.shows("block-item", "Anchored").await?;
    let status = is_final(&page).await?;
    page.shows("block-item", "Final").await?;
    page.shows("final-height", "1").await?;
    shows_who_signed(&page, &status).await?;
    for (look, name) in LOOKS {
        let file = artifacts_dir()?.join(format!("app-final-{name}.png"));
        page.screenshot(look, &file).await?;
    }

    // The proof outlives the servers and the page.
    let export = exported(&page).await?;
    let bob = other.open(&link).await?;
    bob.find("message-input").await?;
    stack.tracker.kill();
    stack.validator.kill();
    page.reload().await?;
    is_final(&page).await?;
    page.find("final-proof").await?;

    // One that has nothing but the file proves the same, and refuses a file whose proof was touched.
    let mut forged = export.clone();
    let proof = export["finality"].as_str().context("a proof in the file")?;
    forged["finality"] = json!(flipped(proof)?);
    let answer = bob
        .run_async(IMPORT, vec![json!(forged.to_string())])
        .await?;
    let answer = answer.as_str().context("an answer")?;
    ensure!(
        answer.contains("does not hold"),
        "the forged proof was answered {answer}"
    );
    let answer = bob
        .run_async(IMPORT, vec![json!(export.to_string())])
        .await?;
    ensure!(answer == "taken", "the file was answered {answer}");
    is_final(&bob).await?;
    Ok(())
}

const LOOKS: [(Look, &str); 2] = [
    (
        Look {
            scheme: "light",
            width: 1280,
            height: 900,
        },
        "light",
    ),
    (
        Look {
            scheme: "dark",
            width: 390,
            height: 844,
        },
        "phone",
    ),
];

/// Waits until this browser has verified that the first block is final, and says who signed that.
pub(crate) async fn is_final(page: &Page<'_>) -> Result<Value> {
    let status = page
        .status_where("the first block is final", |status| {
            number(status, "finalHeight") >= 1
        })
        .await?;
    ensure!(
        status["signers"]
            .as_array()
            .is_some_and(|signers| !signers.is_empty()),
        "nobody signed: {status}"
    );
    ensure!(number(&status, "enterpriseHeight") >= 2, "{status}");
    Ok(status)
}

/// The height on the enterprise chain is text in the block, and a click shows the signers' names.
async fn shows_who_signed(page: &Page<'_>, status: &Value) -> Result<()> {
    let height = number(status, "enterpriseHeight");
    let summary = format!("Final at enterprise height {height}, 1 signature");
    page.shows("final-proof", &summary).await?;
    let signer = status["signers"][0].as_str().context("a name")?;
    page.click("final-proof-signers").await?;
    page.shows("final-proof", &format!("Signed by {signer}"))
        .await
}

async fn exported(page: &Page<'_>) -> Result<Value> {
    let text = page
        .run_async(
            "return (await window.distli.node.exportChain()).text",
            vec![],
        )
        .await?;
    Ok(serde_json::from_str(
        text.as_str().context("an export is text")?,
    )?)
}

/// The proof with one bit of its last signature flipped: what comes after it is nine bytes and no path.
fn flipped(proof: &str) -> Result<String> {
    let at = proof.len().checked_sub(20).context("a proof is longer")?;
    let digit = u8::from_str_radix(proof.get(at..=at).context("a digit")?, 16)?;
    Ok(format!(
        "{}{:x}{}",
        &proof[..at],
        digit ^ 1,
        &proof[at + 1..]
    ))
}
