//! Posts updates and resets to the first validator that [`Breaker`] lets it ask and that answers, and asks it for resets; it reports
//! the answer. It decides nothing: see [`crate::ledger`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{
    BlockchainUpdate, ProblemBody, ResetAccepted, ResetRequest, Resets, TenantUpdateAccepted,
};
use shared::enterprise::Reset;
use shared::ids::{ChainId, Height, TimestampMs};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::breaker::{Breaker, State};
use crate::ledger::{Acceptance, Answer, Input, ResetAnswer};
use crate::limits;
use crate::recorder::{LedgerSender, Posting};

/// Posts until the recorder ends; at most as many at once as the ledger lets out.
pub(crate) async fn run(
    mut postings: mpsc::UnboundedReceiver<Posting>,
    ledger: LedgerSender,
    validators: Vec<String>,
    circuits: Circuits,
) {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_millis(limits::FORWARD_TIMEOUT_MS))
        .tcp_nodelay(true)
        .build();
    let client = match client {
        Ok(client) => client,
        Err(error) => return tracing::error!(%error, "no HTTP client: nothing is forwarded"),
    };
    let way = Arc::new(Way {
        circuits,
        client,
        validators,
    });
    let mut posts = JoinSet::new();
    loop {
        tokio::select! {
            posting = postings.recv() => {
                let Some(posting) = posting else { return };
                let (way, ledger) = (Arc::clone(&way), ledger.clone());
                posts.spawn(async move {
                    if let Some(answer) = way.carry(posting).await {
                        ledger.tell(answer);
                    }
                });
            }
            Some(_) = posts.join_next(), if !posts.is_empty() => {}
        }
    }
}

/// The way to the validators.
struct Way {
    client: reqwest::Client,
    validators: Vec<String>,
    circuits: Circuits,
}

/// The breaker, which `/metrics` and `/health` read.
#[derive(Clone, Debug)]
pub(crate) struct Circuits(Arc<Mutex<Breaker>>);

impl Circuits {
    /// For so many validators.
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Mutex::new(Breaker::new(count))))
    }

    /// How each stands.
    pub(crate) fn states(&self) -> Vec<State> {
        self.lock().states()
    }

    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a validator answered.
struct Reply {
    status: reqwest::StatusCode,
    body: Vec<u8>,
}

impl Way {
    /// What the validators say; none where nothing is as good as no answer.
    async fn carry(&self, posting: Posting) -> Option<Input> {
        match posting {
            Posting::Update { chain_id, update } => {
                let path = "/api/tenant-update";
                let reply = self.ask(path, |url| self.client.post(url).json(&*update));
                let answer = reply
                    .await
                    .map_or_else(|reason| Answer::Failed { reason }, answer_of);
                log(chain_id, &update, &answer);
                Some(Input::Answered { chain_id, answer })
            }
            Posting::Reset {
                chain_id,
                number,
                reset,
            } => {
                let reset = hex::encode(reset);
                let body = ResetRequest { reset };
                let reply = self.ask("/api/resets", |url| self.client.post(url).json(&body));
                let answer = reply
                    .await
                    .map_or_else(|reason| ResetAnswer::Failed { reason }, reset_answer_of);
                tracing::info!(%chain_id, number, ?answer, "a reset was answered");
                Some(Input::ResetAnswered {
                    chain_id,
                    number,
                    answer,
                })
            }
            Posting::Resets { chain_id } => {
                let path = format!("/api/tenants/{chain_id}/resets");
                let reply = self.ask(&path, |url| self.client.get(url)).await;
                match reply.and_then(|reply| resets_of(&reply)) {
                    Ok(resets) => Some(Input::ResetsTold { chain_id, resets }),
                    Err(reason) => {
                        tracing::warn!(%chain_id, reason, "no validator says which resets there were");
                        None
                    }
                }
            }
        }
    }

    /// The reply of the first validator that gives one; one that failed itself gives none.
    async fn ask(
        &self,
        path: &str,
        request: impl Fn(&str) -> reqwest::RequestBuilder,
    ) -> Result<Reply, String> {
        let breaker = || self.circuits.lock();
        let now = || TimestampMs(service::now_ms());
        let mut failed = "every validator failed repeatedly and is left alone for a while".into();
        for (index, base) in self.validators.iter().enumerate() {
            if !breaker().allows(now(), index) {
                continue;
            }
            let url = format!("{}{path}", base.trim_end_matches('/'));
            match reply_to(request(&url)).await {
                Ok(reply) => {
                    breaker().succeeded(index);
                    return Ok(reply);
                }
                Err(reason) => failed = reason,
            }
            breaker().failed(now(), index);
        }
        Err(failed)
    }
}

async fn reply_to(request: reqwest::RequestBuilder) -> Result<Reply, String> {
    let response = request.send().await;
    let response =
        response.map_err(|error| format!("validator not reached: {}", root_cause(&error)))?;
    let status = response.status();
    let body = bounded_body(response).await?;
    let reply = Reply { status, body };
    if status.is_success() || status.is_client_error() {
        return Ok(reply);
    }
    tracing::warn!(reason = reply.refusal(), "a validator failed");
    Err(format!("the validator answered {status}"))
}

impl Reply {
    fn problem(&self) -> ProblemBody {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn refusal(&self) -> String {
        let detail = self.problem().detail;
        format!("the validator answered {}: {detail}", self.status)
    }
}

fn answer_of(reply: Reply) -> Answer {
    if reply.status.is_success() {
        return accepted(&reply.body).unwrap_or_else(|reason| Answer::Failed { reason });
    }
    let problem = reply.problem();
    if problem.kind.ends_with("/network-exists") {
        return Answer::NameTaken;
    }
    if problem.kind.ends_with("/void") {
        return Answer::Void;
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
    Answer::Refused {
        reason: reply.refusal(),
    }
}

fn reset_answer_of(reply: Reply) -> ResetAnswer {
    if !reply.status.is_success() {
        return ResetAnswer::Refused {
            reason: reply.refusal(),
        };
    }
    match serde_json::from_slice::<ResetAccepted>(&reply.body) {
        Ok(accepted) if accepted.status == "executed" => ResetAnswer::Executed,
        Ok(_) => ResetAnswer::Waiting,
        Err(error) => ResetAnswer::Failed {
            reason: not_understood(&error),
        },
    }
}

fn resets_of(reply: &Reply) -> Result<Vec<Reset>, String> {
    if !reply.status.is_success() {
        return Err(reply.refusal());
    }
    let told: Resets = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
    let resets = told.resets.iter().map(|told| {
        let bytes = hex::decode(&told.reset).map_err(|error| error.to_string())?;
        Reset::decode(&bytes).map_err(|error| error.to_string())
    });
    resets.collect()
}

/// A confirmation counts only if it names the tenant's tip by hash.
fn accepted(body: &[u8]) -> Result<Answer, String> {
    let accepted: TenantUpdateAccepted =
        serde_json::from_slice(body).map_err(|error| not_understood(&error))?;
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

/// The error may repeat what the validator wrote, which is for the log alone.
fn not_understood(error: &serde_json::Error) -> String {
    tracing::warn!(%error, "the validator's answer is not understood");
    "the validator's answer is not understood".into()
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
        Answer::Void => (true, "its owner voided these blocks".to_owned()),
        Answer::NameTaken => (false, "another chain has this name there".to_owned()),
        Answer::Refused { reason } | Answer::Failed { reason } => (true, reason.clone()),
    };
    let network = &update.network_id;
    let blocks = update.new_blocks.len().max(update.new_reports.len());
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
