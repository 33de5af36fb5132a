//! Posts updates to the first validator that [`Breaker`] lets it ask and that answers, and reports the answer. It decides
//! nothing: see [`crate::ledger`].

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::{BlockchainUpdate, ProblemBody, TenantUpdateAccepted};
use shared::ids::{ChainId, Height, TimestampMs};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::breaker::Breaker;
use crate::ledger::{Acceptance, Answer, Input};
use crate::limits;
use crate::recorder::{LedgerSender, Posting};

/// Posts until the recorder ends; at most as many at once as the ledger lets out.
pub(crate) async fn run(
    mut postings: mpsc::UnboundedReceiver<Posting>,
    ledger: LedgerSender,
    validators: Vec<String>,
) {
    let urls = validators
        .iter()
        .map(|base| format!("{}/api/tenant-update", base.trim_end_matches('/')));
    let urls: Arc<[String]> = urls.collect();
    let breaker = Arc::new(Mutex::new(Breaker::new(urls.len())));
    let client = reqwest::Client::builder()
        .timeout(Duration::from_millis(limits::FORWARD_TIMEOUT_MS))
        .tcp_nodelay(true)
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no HTTP client: nothing is forwarded"),
    };
    let mut posts = JoinSet::new();
    loop {
        tokio::select! {
            posting = postings.recv() => {
                let Some(Posting { chain_id, update }) = posting else { return };
                let (client, urls, ledger) = (client.clone(), Arc::clone(&urls), ledger.clone());
                let breaker = Arc::clone(&breaker);
                posts.spawn(async move {
                    let answer = post_to_one(&client, &urls, &breaker, &update).await;
                    log(chain_id, &update, &answer);
                    ledger.tell(Input::Answered { chain_id, answer });
                });
            }
            Some(_) = posts.join_next(), if !posts.is_empty() => {}
        }
    }
}

/// The answer of the first validator that gives one.
async fn post_to_one(
    client: &reqwest::Client,
    urls: &[String],
    breaker: &Mutex<Breaker>,
    update: &BlockchainUpdate,
) -> Answer {
    let breaker = || breaker.lock().unwrap_or_else(PoisonError::into_inner);
    let now = || TimestampMs(service::now_ms());
    let mut failed = Answer::Failed {
        reason: "every validator failed repeatedly and is left alone for a while".into(),
    };
    for (index, url) in urls.iter().enumerate() {
        if !breaker().allows(now(), index) {
            continue;
        }
        let answer = post(client, url, update).await;
        if !matches!(answer, Answer::Failed { .. }) {
            breaker().succeeded(index);
            return answer;
        }
        breaker().failed(now(), index);
        failed = answer;
    }
    failed
}

async fn post(client: &reqwest::Client, url: &str, update: &BlockchainUpdate) -> Answer {
    let response = match client.post(url).json(update).send().await {
        Ok(response) => response,
        Err(error) => {
            return Answer::Failed {
                reason: format!("validator not reached: {}", root_cause(&error)),
            };
        }
    };
    let status = response.status();
    let body = match bounded_body(response).await {
        Ok(body) => body,
        Err(reason) => return Answer::Failed { reason },
    };
    if status.is_success() {
        return accepted(&body).unwrap_or_else(|reason| Answer::Failed { reason });
    }
    let problem: ProblemBody = serde_json::from_slice(&body).unwrap_or_default();
    if problem.kind.ends_with("/network-exists") {
        return Answer::NameTaken;
    }
    if problem.kind.ends_with("/unknown-parent")
        && let Some(height) = problem.tenant_height
    {
        let hash = problem
            .tenant_hash
            .as_deref()
            .and_then(|text| text.parse().ok());
        return Answer::Behind {
            tip: (Height(height), hash),
        };
    }
    let reason = format!("the validator answered {status}: {}", problem.detail);
    if status.is_client_error() {
        Answer::Refused { reason }
    } else {
        Answer::Failed { reason }
    }
}

/// A confirmation counts only if it names the tenant's tip by hash.
fn accepted(body: &[u8]) -> Result<Answer, String> {
    let accepted: TenantUpdateAccepted = serde_json::from_slice(body)
        .map_err(|error| format!("the validator's answer is not understood: {error}"))?;
    let hash = accepted
        .tenant_hash
        .parse()
        .map_err(|_| "the validator names no hash".to_owned())?;
    Ok(Answer::Accepted(Acceptance {
        height: Height(accepted.tenant_height),
        hash,
        enterprise_height: accepted.enterprise_block_height,
        enterprise_hash: accepted.enterprise_block_hash,
    }))
}

async fn bounded_body(mut response: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => {
                return Err(format!(
                    "the validator's answer broke off: {}",
                    root_cause(&error)
                ));
            }
        }
        if body.len() > limits::BODY_BYTES_MAX {
            return Err("the validator's answer is too long".into());
        }
    }
}

fn log(chain_id: ChainId, update: &BlockchainUpdate, answer: &Answer) {
    let (is_problem, outcome) = match answer {
        Answer::Accepted(to) => (
            false,
            format!(
                "confirmed up to #{} in #{}",
                to.height.0, to.enterprise_height
            ),
        ),
        Answer::Behind { tip } => (false, format!("behind, at #{}", tip.0.0)),
        Answer::NameTaken => (false, "another chain has this name there".to_owned()),
        Answer::Refused { reason } | Answer::Failed { reason } => (true, reason.clone()),
    };
    let (network, blocks) = (&update.network_id, update.new_blocks.len());
    if is_problem {
        tracing::warn!(%network, %chain_id, blocks, outcome, "an update waits");
    } else {
        tracing::info!(%network, blocks, outcome, "an update was answered");
    }
}

/// The innermost error: "connection refused" rather than "error sending request".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}
