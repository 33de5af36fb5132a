//! `GET /health` and the problem documents of RFC 9457, as every service answers them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a service judges itself, from facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything it needs works.
    Healthy,
    /// It serves, but something it needs does not work.
    Degraded,
    /// It cannot do its work.
    Unhealthy,
}

/// The answer to `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// When it was computed, in ms.
    pub timestamp: u64,
    /// Which service answers.
    pub service: String,
    /// Its version.
    pub version: String,
    /// The facts behind the verdict, by name, in words.
    #[serde(default)]
    pub checks: BTreeMap<String, String>,
}

/// A problem document as a client reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProblemBody {
    /// What kind of problem it is.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The kind in words.
    #[serde(default)]
    pub title: String,
    /// The HTTP status.
    #[serde(default)]
    pub status: u16,
    /// What happened this time.
    #[serde(default)]
    pub detail: String,
    /// For a refused tenant update: the height of the tenant's tip at the validator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_height: Option<u32>,
    /// For a refused tenant update: the hash of the tenant's tip at the validator, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_hash: Option<String>,
    /// Further members.
    #[serde(flatten)]
    pub extensions: BTreeMap<String, Value>,
}
