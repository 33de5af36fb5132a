//! What a validator's reply means.
//!
//! A refusal counts only if it is a problem of a kind that a validator gives on that path. Anything else comes from something
//! before it, a proxy that answers 403, 404 or 429, or from another server at its address, and is as good as no reply.

use api::{ProblemBody, ResetAccepted, Resets, TenantUpdateAccepted};
use reqwest::StatusCode;
use shared::enterprise::Reset;
use shared::hash::Hash;
use shared::ids::Height;

use crate::ledger::{Acceptance, Answer, ResetAnswer};

/// What a validator replied.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// What a validator that works said.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<T> {
    /// Another would say the same.
    Verdict(T),
    /// It lacks what another may have.
    Lacking(T),
}

impl Reply {
    /// Its answer to an update.
    pub(super) fn to_update(&self) -> Result<Said<Answer>, String> {
        if self.status.is_success() {
            return accepted(&self.body).map(Said::Verdict);
        }
        let problem = self.problem().ok_or_else(|| self.failure())?;
        let slug = slug_of(&problem);
        if !UPDATE_REFUSALS.contains(&slug) {
            return Err(self.failure());
        }
        let refused = || Answer::Refused {
            reason: self.refusal(&problem),
        };
        Ok(Said::Verdict(match slug {
            "network-exists" => Answer::NameTaken,
            "void" => Answer::Void,
            "leaves-final" => Answer::LeavesFinal,
            "unknown-parent" => behind(&problem).unwrap_or_else(refused),
            _ => refused(),
        }))
    }

    /// Its answer to a reset, which is given up only if another validator, or this one later, would refuse it too.
    pub(super) fn to_reset(&self) -> Result<Said<ResetAnswer>, String> {
        if self.status.is_success() {
            let accepted: ResetAccepted =
                serde_json::from_slice(&self.body).map_err(|error| not_understood(&error))?;
            return Ok(Said::Verdict(if accepted.status == "executed" {
                ResetAnswer::Executed
            } else {
                ResetAnswer::Waiting
            }));
        }
        let problem = self.problem().ok_or_else(|| self.failure())?;
        let (slug, reason) = (slug_of(&problem), self.refusal(&problem));
        if RESET_REFUSALS.contains(&slug) {
            Ok(Said::Verdict(ResetAnswer::Refused { reason }))
        } else if RESET_DELAYS.contains(&slug) {
            tracing::warn!(reason, "a validator does not take a reset yet");
            Ok(Said::Lacking(ResetAnswer::TooEarly))
        } else {
            Err(self.failure())
        }
    }

    /// The resets that were executed, or why it knows of none.
    pub(super) fn to_resets(&self) -> Result<Said<Result<Vec<Reset>, String>>, String> {
        if self.status.is_success() {
            return self.resets().map(|resets| Said::Verdict(Ok(resets)));
        }
        let problem = self.problem().ok_or_else(|| self.failure())?;
        if slug_of(&problem) != TENANT_UNKNOWN {
            return Err(self.failure());
        }
        Ok(Said::Verdict(Err(self.refusal(&problem))))
    }

    /// The proof of the newest final block, as it came.
    pub(super) fn to_proof(&self) -> Result<Said<Vec<u8>>, String> {
        if self.status.is_success() {
            return Ok(Said::Verdict(self.body.clone()));
        }
        Err(self.failure())
    }

    fn resets(&self) -> Result<Vec<Reset>, String> {
        let told: Resets =
            serde_json::from_slice(&self.body).map_err(|error| not_understood(&error))?;
        let resets = told.resets.iter().map(|told| {
            let bytes = hex::decode(&told.reset).map_err(|error| not_understood(&error))?;
            Reset::decode(&bytes).map_err(|error| not_understood(&error))
        });
        resets.collect()
    }

    /// The problem that it is, if it refuses what was asked and does not merely put it off.
    fn problem(&self) -> Option<ProblemBody> {
        let refuses = self.status.is_client_error() && self.status != StatusCode::TOO_MANY_REQUESTS;
        let body = Some(&self.body).filter(|_| refuses)?;
        serde_json::from_slice(body).ok()
    }

    fn refusal(&self, problem: &ProblemBody) -> String {
        format!("the validator answered {}: {}", self.status, problem.detail)
    }

    /// What was written is for the log alone.
    fn failure(&self) -> String {
        let problem: ProblemBody = serde_json::from_slice(&self.body).unwrap_or_default();
        let (status, kind, detail) = (self.status, problem.kind, problem.detail);
        tracing::warn!(%status, kind, detail, "a validator failed");
        format!("the validator answered {status}")
    }
}

/// The last part of a problem's kind; empty for what is no problem.
fn slug_of(problem: &ProblemBody) -> &str {
    let parts = problem.kind.rsplit_once("/problems/");
    parts.map_or("", |(_, slug)| slug)
}

fn behind(problem: &ProblemBody) -> Option<Answer> {
    let hash = problem.tenant_hash.as_deref();
    let hash = hash.and_then(|text| text.parse().ok());
    let tip = (Height(problem.tenant_height?), hash);
    Some(Answer::Behind { tip })
}

/// A confirmation counts only if it names the tenant's tip and the enterprise block by hash.
fn accepted(body: &[u8]) -> Result<Answer, String> {
    let accepted: TenantUpdateAccepted =
        serde_json::from_slice(body).map_err(|error| not_understood(&error))?;
    let hash_of = |text: &str| text.parse::<Hash>().map_err(|error| not_understood(&error));
    Ok(Answer::Accepted(Acceptance {
        height: Height(accepted.tenant_height),
        hash: hash_of(&accepted.tenant_hash)?,
        enterprise_height: accepted.enterprise_block_height,
        enterprise_hash: hash_of(&accepted.enterprise_block_hash)?,
    }))
}

/// The error may repeat what the validator wrote, which is for the log alone.
fn not_understood(error: &dyn std::fmt::Display) -> String {
    tracing::warn!(%error, "the validator's answer is not understood");
    "the validator's answer is not understood".into()
}

const TENANT_UNKNOWN: &str = "tenant-unknown";

/// How a validator refuses an update (docs/validator-api.md).
const UPDATE_REFUSALS: [&str; 23] = [
    "bad-json",
    "bad-network-id",
    "bad-chain-id",
    "too-many-tenants",
    TENANT_UNKNOWN,
    "unknown-parent",
    "network-exists",
    "branches-full",
    "leaves-final",
    "void",
    "too-large",
    "bad-block",
    "invalid-block",
    "not-a-reporter",
    "bad-report",
    "mixed-update",
    "private-tenant",
    "open-tenant",
    "bad-genesis",
    "genesis-mismatch",
    "label-mismatch",
    "not-registered",
    "too-far-ahead",
];

/// How it refuses a reset for good (docs/validator-api.md).
const RESET_REFUSALS: [&str; 6] = [
    "open-tenant",
    "not-the-owner",
    "reset-height",
    "reset-branch",
    "too-many-resets",
    "reset-refused",
];

/// How one refuses a reset that lags, was restored or is of another version: the reset was read here before it went out, and one
/// that another took the place of is given up when that is followed.
const RESET_DELAYS: [&str; 3] = [TENANT_UNKNOWN, "reset-number", "bad-reset"];

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn problem(status: u16, slug: &str) -> Reply {
        let kind = format!("/problems/{slug}");
        let body = serde_json::json!({"type": kind, "detail": "of demo", "tenant_height": 4});
        reply(status, &body.to_string())
    }

    /// What a proxy or another server says at a validator's address.
    fn strangers() -> Vec<Reply> {
        vec![
            reply(403, "<html>forbidden</html>"),
            reply(404, ""),
            reply(404, r#"{"message":"no such route"}"#),
            reply(429, "slow down"),
            reply(302, ""),
            reply(200, "<html>log in</html>"),
            problem(404, "no-such-path"),
            problem(405, "method-not-allowed"),
            problem(400, "bad-body"),
            problem(429, "invalid-block"),
            problem(503, "busy"),
        ]
    }

    #[test]
    fn what_no_validator_says_is_a_failure_that_tells_nothing() {
        for reply in strangers() {
            let failures = [
                reply.to_update().unwrap_err(),
                reply.to_reset().unwrap_err(),
                reply.to_resets().unwrap_err(),
            ];
            for failure in failures {
                assert!(!failure.contains("demo"), "{reply:?}: {failure}");
            }
        }
        // Of the other path.
        assert!(problem(409, "reset-branch").to_update().is_err());
        assert!(problem(422, "invalid-block").to_reset().is_err());
    }

    #[test]
    fn a_validator_refuses_updates_by_the_kinds_of_its_table() {
        let tip = (Height(4), None);
        for (slug, answer) in [
            ("network-exists", Answer::NameTaken),
            ("void", Answer::Void),
            ("unknown-parent", Answer::Behind { tip }),
        ] {
            assert_eq!(
                problem(409, slug).to_update(),
                Ok(Said::Verdict(answer)),
                "{slug}"
            );
        }
        for (status, slug) in rows("POST /api/tenant-update") {
            let said = problem(status, &slug).to_update();
            let refuses = status < 500;
            assert_eq!(matches!(said, Ok(Said::Verdict(_))), refuses, "{slug}");
        }
    }

    #[test]
    fn a_reset_is_given_up_only_for_what_stays_so() {
        for (status, slug) in rows("POST /api/resets") {
            let said = problem(status, &slug).to_reset();
            match slug.as_str() {
                "tenant-unknown" | "reset-number" | "bad-reset" => {
                    assert_eq!(said, Ok(Said::Lacking(ResetAnswer::TooEarly)), "{slug}");
                }
                _ if status >= 500 => assert!(said.is_err(), "{slug}"),
                _ => assert!(
                    matches!(said, Ok(Said::Verdict(ResetAnswer::Refused { .. }))),
                    "{slug}"
                ),
            }
        }
    }

    /// The problems in the first table after a heading or text in the validator's reference.
    fn rows(after: &str) -> Vec<(u16, String)> {
        let text = include_str!("../../../docs/validator-api.md");
        let (_, text) = text.split_once(after).unwrap();
        let (_, text) = text.split_once("| status |").unwrap();
        let lines = text.lines().skip(2);
        let lines = lines.take_while(|line| line.starts_with('|'));
        let rows: Vec<_> = lines
            .flat_map(|line| {
                let mut cells = line.split('|').skip(1);
                let status = cells.next().unwrap().trim().parse().unwrap();
                let slugs = cells.next().unwrap().split('`').skip(1).step_by(2);
                slugs.map(move |slug| (status, slug.to_owned()))
            })
            .collect();
        assert!(rows.len() > 8, "{rows:?}");
        rows
    }

    #[test]
    fn a_reader_of_resets_takes_an_unknown_tenant_for_an_answer() {
        let said = problem(404, TENANT_UNKNOWN).to_resets();
        assert!(matches!(said, Ok(Said::Verdict(Err(_)))), "{said:?}");
        let none = reply(200, r#"{"chain_id":"","resets":[]}"#).to_resets();
        assert_eq!(none, Ok(Said::Verdict(Ok(vec![]))));
    }

    #[test]
    fn a_confirmation_names_both_blocks_by_hash() {
        let hash = "ab".repeat(32);
        let body = |tenant: &str, enterprise: &str| {
            let body = serde_json::json!({
                "status": "accepted", "message": "", "network_id": "demo", "chain_id": hash,
                "enterprise_block_height": 7, "enterprise_block_hash": enterprise,
                "tenant_blocks_processed": 1, "transactions_processed": 1, "already_known": 0,
                "tenant_height": 3, "tenant_hash": tenant,
            });
            reply(200, &body.to_string()).to_update()
        };
        assert_eq!(
            body(&hash, &hash),
            Ok(Said::Verdict(Answer::Accepted(Acceptance {
                height: Height(3),
                hash: Hash([0xab; 32]),
                enterprise_height: 7,
                enterprise_hash: Hash([0xab; 32]),
            })))
        );
        for text in ["", "ab", "x".repeat(1 << 20).as_str()] {
            assert!(body(&hash, text).is_err());
            assert!(body(text, &hash).is_err());
        }
    }
}
