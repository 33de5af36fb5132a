//! Posts updates and resets to the first validator that [`Breaker`] lets it ask and that answers, and asks it for resets; it reports
//! the answer. It decides nothing: see [`crate::ledger`].

mod answers;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::{BlockchainUpdate, ResetRequest};
use shared::ids::{ChainId, TimestampMs};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::answers::{Reply, Said};
use crate::breaker::{Breaker, State};
use crate::ledger::{Answer, Input, ResetAnswer};
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
                    let lost = lost(&posting);
                    let carried = async move { way.carry(posting).await };
                    if let Some(answer) = outcome(carried, lost).await {
                        ledger.tell(answer);
                    }
                });
            }
            Some(_) = posts.join_next(), if !posts.is_empty() => {}
        }
    }
}

/// What the ledger is told if the task of a posting ends by a panic.
fn lost(posting: &Posting) -> Option<Input> {
    let reason = || "the tracker failed to ask a validator; its log says how".into();
    match posting {
        Posting::Update { chain_id, .. } => Some(Input::Answered {
            chain_id: *chain_id,
            answer: Answer::Failed { reason: reason() },
        }),
        Posting::Reset {
            chain_id, number, ..
        } => Some(Input::ResetAnswered {
            chain_id: *chain_id,
            number: *number,
            answer: ResetAnswer::Failed { reason: reason() },
        }),
        Posting::Finality { .. } | Posting::Resets { .. } => None,
    }
}

/// What came of a posting; `lost` after a panic, so that its place in the ledger is free again. (A release ends as a whole.)
async fn outcome(
    carried: impl Future<Output = Option<Input>> + Send + 'static,
    lost: Option<Input>,
) -> Option<Input> {
    // A set ends what it holds when it is dropped.
    let mut task = JoinSet::new();
    task.spawn(carried);
    match task.join_next().await? {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a posting broke off");
            lost
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

impl Way {
    /// What the validators say; none where nothing is as good as no answer.
    async fn carry(&self, posting: Posting) -> Option<Input> {
        match posting {
            Posting::Update { chain_id, update } => {
                let request = |url: &str| self.client.post(url).json(&*update);
                let answer = self.ask("/api/tenant-update", request, Reply::to_update);
                let answer = answer
                    .await
                    .unwrap_or_else(|reason| Answer::Failed { reason });
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
                let request = |url: &str| self.client.post(url).json(&body);
                let answer = self.ask("/api/resets", request, Reply::to_reset);
                let answer = answer
                    .await
                    .unwrap_or_else(|reason| ResetAnswer::Failed { reason });
                tracing::info!(%chain_id, number, ?answer, "a reset was answered");
                Some(Input::ResetAnswered {
                    chain_id,
                    number,
                    answer,
                })
            }
            Posting::Finality { chain_id } => self.proof(chain_id).await,
            Posting::Resets { chain_id } => self.resets(chain_id).await,
        }
    }

    async fn proof(&self, chain_id: ChainId) -> Option<Input> {
        let path = format!("/api/tenants/{chain_id}/finality?size=0");
        let told = self.ask(&path, |url| self.client.get(url), Reply::to_proof);
        let proof = told.await.inspect_err(|reason| {
            tracing::warn!(%chain_id, reason, "no validator proves what is final");
        });
        let proof = proof.ok()?;
        Some(Input::FinalityTold { chain_id, proof })
    }

    async fn resets(&self, chain_id: ChainId) -> Option<Input> {
        let path = format!("/api/tenants/{chain_id}/resets");
        let told = self.ask(&path, |url| self.client.get(url), Reply::to_resets);
        let resets = told.await.flatten().inspect_err(|reason| {
            tracing::warn!(%chain_id, reason, "no validator says which resets there were");
        });
        let resets = resets.ok()?;
        Some(Input::ResetsTold { chain_id, resets })
    }

    /// The verdict of the first validator that gives one; one that failed itself gives none. Where none does, what one says
    /// that lacks what another may have.
    async fn ask<T>(
        &self,
        path: &str,
        request: impl Fn(&str) -> reqwest::RequestBuilder,
        read: impl Fn(&Reply) -> Result<Said<T>, String>,
    ) -> Result<T, String> {
        let breaker = || self.circuits.lock();
        let now = || TimestampMs(service::now_ms());
        let mut otherwise =
            Err("every validator failed repeatedly and is left alone for a while".into());
        for (index, base) in self.validators.iter().enumerate() {
            if !breaker().allows(now(), index) {
                continue;
            }
            let url = format!("{}{path}", base.trim_end_matches('/'));
            let reply = reply_to(request(&url)).await;
            match reply.and_then(|reply| read(&reply)) {
                Ok(Said::Verdict(answer)) => {
                    breaker().succeeded(index);
                    return Ok(answer);
                }
                Ok(Said::Lacking(answer)) => {
                    breaker().succeeded(index);
                    otherwise = Ok(answer);
                }
                Err(reason) => {
                    breaker().failed(now(), index);
                    otherwise = otherwise.or(Err(reason));
                }
            }
        }
        otherwise
    }
}

async fn reply_to(request: reqwest::RequestBuilder) -> Result<Reply, String> {
    let response = request.send().await;
    let response =
        response.map_err(|error| format!("validator not reached: {}", root_cause(&error)))?;
    let status = response.status();
    let body = bounded_body(response).await?;
    Ok(Reply { status, body })
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
        Answer::LeavesFinal => (true, "they leave a final block out".to_owned()),
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use shared::hash::Hash;

    use super::*;

    /// A server that answers everything alike.
    async fn server(status: StatusCode, text: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(move || async move { (status, text) });
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn what_is_no_validator_is_left_alone_and_one_that_lags_does_not_decide() {
        let unknown = r#"{"type":"/problems/tenant-unknown"}"#;
        let refused = r#"{"type":"/problems/not-the-owner"}"#;
        let validators = vec![
            server(StatusCode::NOT_FOUND, "<html>not here</html>").await,
            server(StatusCode::NOT_FOUND, unknown).await,
            server(StatusCode::CONFLICT, refused).await,
        ];
        let way = |validators: &[String]| Way {
            client: reqwest::Client::new(),
            circuits: Circuits::new(validators.len()),
            validators: validators.to_vec(),
        };
        let all = way(&validators);
        let ask = async |way: &Way| {
            let request = |url: &str| way.client.post(url);
            way.ask("/api/resets", request, Reply::to_reset).await
        };
        for _ in 0..limits::BREAKER_FAILURES_MAX {
            let answer = ask(&all).await;
            assert!(
                matches!(answer, Ok(ResetAnswer::Refused { .. })),
                "{answer:?}"
            );
        }
        let (open, closed) = (State::Open, State::Closed);
        assert_eq!(all.circuits.states(), [open, closed, closed]);
        let lags = way(&[&validators[1..2], &validators[..1]].concat());
        assert_eq!(ask(&lags).await, Ok(ResetAnswer::TooEarly));
        let none = ask(&way(&validators[..1])).await;
        assert!(none.unwrap_err().contains("404"));
    }

    #[tokio::test]
    async fn a_posting_that_breaks_off_frees_its_place() {
        let chain_id = ChainId(Hash([1; 32]));
        let posting = Posting::Reset {
            chain_id,
            number: 2,
            reset: Vec::new(),
        };
        let found = outcome(async { panic!("as a bug would") }, lost(&posting)).await;
        assert!(
            matches!(
                found,
                Some(Input::ResetAnswered {
                    chain_id: of,
                    number: 2,
                    answer: ResetAnswer::Failed { .. },
                }) if of == chain_id
            ),
            "{found:?}"
        );
        let answered = async move {
            Some(Input::Answered {
                chain_id,
                answer: Answer::NameTaken,
            })
        };
        assert!(matches!(
            outcome(answered, None).await,
            Some(Input::Answered { .. })
        ));
    }
}
