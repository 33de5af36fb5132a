//! Making and reading a genesis.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::genesis::{Access, Genesis, Rules};
use shared::identity::Identity;
use shared::ids::{NetworkId, TimestampMs};
use shared::limits;
use shared::pow::Target;
use wasm_bindgen::prelude::*;

use crate::engine::Invited;
use crate::node_core::{read, write};
use crate::private::network_key;

/// A newcomer's first block takes about this long at the measured hash rate.
const FIRST_BLOCK_SECONDS: u64 = 2;
/// Hash rates below this are taken for it: a device that could not be measured.
const HASHES_PER_SECOND_MIN: f64 = 1_000.0;
/// Hash rates above this are taken for it.
const HASHES_PER_SECOND_MAX: f64 = 1e12;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CreateOptions {
    network_id: String,
    created_at: u64,
    owner_seed: ByteBuf,
    hashes_per_second: f64,
    #[serde(default)]
    rules: Option<RuleChoices>,
    #[serde(default)]
    enterprise_genesis: Option<String>,
    /// The key of a private network; without one it is open.
    #[serde(default)]
    network_key: Option<ByteBuf>,
}

/// The rules a creator may choose; the others are the defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleChoices {
    #[serde(default)]
    interval_ms: Option<u32>,
    #[serde(default)]
    initial_hashes: Option<u64>,
    #[serde(default)]
    block_bytes_max: Option<u32>,
    #[serde(default)]
    block_transactions_max: Option<u16>,
    #[serde(default)]
    transaction_bytes_max: Option<u32>,
    #[serde(default)]
    message_bytes_max: Option<u32>,
    #[serde(default)]
    sender_quota: Option<u16>,
    #[serde(default)]
    stamp_bits: Option<u8>,
    #[serde(default)]
    finality_delay_ms: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    genesis: ByteBuf,
    chain_id: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GenesisInfo {
    network_id: String,
    chain_id: String,
    created_at: u64,
    owner: String,
    enterprise_genesis: Option<String>,
    access: &'static str,
    rules: RulesInfo,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RulesInfo {
    interval_ms: u32,
    initial_difficulty: f64,
    block_bytes_max: u32,
    block_transactions_max: u16,
    transaction_bytes_max: u32,
    message_bytes_max: u32,
    sender_quota: u16,
    stamp_bits: u8,
    finality_delay_ms: u64,
}

/// Makes the genesis of a network from `{networkId, createdAt, ownerSeed, hashesPerSecond, rules?, enterpriseGenesis?, networkKey?}`:
/// `{genesis: Uint8Array, chainId}`. With a network key it is private, its owner is its reporter, and transactions need no stamp unless
/// the rules say so. The initial difficulty lets a first block take about two seconds.
///
/// # Errors
/// Names the option that is not allowed, and what is.
#[wasm_bindgen(js_name = createGenesis)]
pub fn create_genesis(options: JsValue) -> Result<JsValue, JsError> {
    let options: CreateOptions = read("the options", options)?;
    let genesis = genesis_of(options).map_err(|reason| JsError::new(&reason))?;
    write(&Created {
        chain_id: genesis.chain_id().to_string(),
        genesis: ByteBuf::from(genesis.encode()),
    })
}

/// Reads and checks genesis bytes: `{networkId, chainId, createdAt, owner, enterpriseGenesis, access, rules}`.
///
/// # Errors
/// They are no genesis, or one that breaks a rule.
#[wasm_bindgen(js_name = genesisInfo)]
pub fn genesis_info(bytes: &[u8]) -> Result<JsValue, JsError> {
    let genesis = Genesis::decode(bytes)
        .map_err(|error| JsError::new(&format!("the genesis can't be used: {error}")))?;
    let rules = &genesis.rules;
    write(&GenesisInfo {
        network_id: genesis.network_id.to_string(),
        chain_id: genesis.chain_id().to_string(),
        created_at: genesis.created_at.0,
        owner: genesis.owner.to_string(),
        enterprise_genesis: genesis.enterprise_genesis.map(|hash| hash.to_string()),
        access: match genesis.access {
            Access::Open => "open",
            Access::Private { .. } => "private",
        },
        rules: RulesInfo {
            interval_ms: rules.interval_ms,
            initial_difficulty: rules.initial_target.work().0.as_f64(),
            block_bytes_max: rules.block_bytes_max,
            block_transactions_max: rules.block_transactions_max,
            transaction_bytes_max: rules.transaction_bytes_max,
            message_bytes_max: rules.message_bytes_max,
            sender_quota: rules.sender_quota,
            stamp_bits: rules.stamp_bits,
            finality_delay_ms: rules.finality_delay_ms,
        },
    })
}

/// Reads an invitation: `{networkId, chainId, genesis, expiresAt}`.
///
/// # Errors
/// It is none, or damaged.
#[wasm_bindgen(js_name = readInvitation)]
pub fn read_invitation(text: &str) -> Result<JsValue, JsError> {
    write(&Invited::read(text).map_err(|reason| JsError::new(&reason))?)
}

fn genesis_of(options: CreateOptions) -> Result<Genesis, String> {
    let network_id = NetworkId::parse(&options.network_id).map_err(|error| error.to_string())?;
    let seed: [u8; 32] = options.owner_seed.as_slice().try_into().map_err(|_| {
        format!(
            "ownerSeed has {} bytes, 32 are needed",
            options.owner_seed.len()
        )
    })?;
    let enterprise_genesis = match options.enterprise_genesis {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|_| String::from("enterpriseGenesis is no hash in hexadecimal"))?,
        ),
    };
    let owner = Identity::from_seed(seed).public_key();
    let mut rules = options.rules.unwrap_or_default();
    let access = match options.network_key {
        None => Access::Open,
        Some(key) => {
            rules.stamp_bits.get_or_insert(0);
            Access::Private {
                join_key: network_key(&key)?.keys().join_key(),
                reporters: vec![owner],
            }
        }
    };
    let genesis = Genesis {
        network_id,
        rules: rules_of(options.hashes_per_second, rules),
        created_at: TimestampMs(options.created_at),
        owner,
        enterprise_genesis,
        predecessor: None,
        access,
    };
    genesis
        .checked()
        .map_err(|error| format!("these rules are not allowed: {error}"))
}

fn rules_of(hashes_per_second: f64, choices: RuleChoices) -> Rules {
    let hashes = choices
        .initial_hashes
        .unwrap_or_else(|| first_block_hashes(hashes_per_second));
    let interval_ms = choices.interval_ms.unwrap_or(limits::INTERVAL_MS_DEFAULT);
    let default_delay = u64::from(interval_ms).saturating_mul(limits::FINALITY_DELAY_INTERVALS);
    let defaults = Rules::open_default(Target::for_hashes(hashes).to_compact());
    Rules {
        interval_ms,
        initial_target: defaults.initial_target,
        block_bytes_max: choices.block_bytes_max.unwrap_or(defaults.block_bytes_max),
        block_transactions_max: choices
            .block_transactions_max
            .unwrap_or(defaults.block_transactions_max),
        transaction_bytes_max: choices
            .transaction_bytes_max
            .unwrap_or(defaults.transaction_bytes_max),
        message_bytes_max: choices
            .message_bytes_max
            .unwrap_or(defaults.message_bytes_max),
        sender_quota: choices.sender_quota.unwrap_or(defaults.sender_quota),
        stamp_bits: choices.stamp_bits.unwrap_or(defaults.stamp_bits),
        finality_delay_ms: choices.finality_delay_ms.unwrap_or(default_delay),
    }
}

/// Expected hashes of a first block; a rate that is no number is taken for the least.
fn first_block_hashes(hashes_per_second: f64) -> u64 {
    let rate = if hashes_per_second.is_nan() {
        HASHES_PER_SECOND_MIN
    } else {
        hashes_per_second.clamp(HASHES_PER_SECOND_MIN, HASHES_PER_SECOND_MAX)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a range that fits"
    )]
    let whole = rate as u64;
    whole.saturating_mul(FIRST_BLOCK_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> CreateOptions {
        CreateOptions {
            network_id: String::from("net"),
            created_at: 1_700_000_000_000,
            owner_seed: ByteBuf::from([7; 32]),
            hashes_per_second: 1e6,
            rules: None,
            enterprise_genesis: None,
            network_key: None,
        }
    }

    #[test]
    fn first_block_takes_two_seconds_at_the_measured_rate() {
        for (rate, hashes) in [
            (1e6, 2e6),
            (0.0, 2e3),
            (f64::NAN, 2e3),
            (-5.0, 2e3),
            (f64::INFINITY, 2e12),
        ] {
            let genesis = genesis_of(CreateOptions {
                hashes_per_second: rate,
                ..options()
            })
            .unwrap();
            let work = genesis.rules.initial_target.work().0.as_f64();
            assert!((work / hashes - 1.0).abs() < 1e-3, "{rate}: {work}");
        }
    }

    #[test]
    fn chosen_rules_are_kept_and_checked() {
        let rules = RuleChoices {
            interval_ms: Some(4_000),
            stamp_bits: Some(0),
            ..RuleChoices::default()
        };
        let genesis = genesis_of(CreateOptions {
            rules: Some(rules),
            ..options()
        })
        .unwrap();
        assert_eq!(
            (genesis.rules.interval_ms, genesis.rules.stamp_bits),
            (4_000, 0)
        );
        assert_eq!(genesis.rules.finality_delay_ms, 24_000);
        let rules = RuleChoices {
            interval_ms: Some(1),
            ..RuleChoices::default()
        };
        let reason = genesis_of(CreateOptions {
            rules: Some(rules),
            ..options()
        })
        .unwrap_err();
        assert!(reason.contains("interval"), "{reason}");
    }

    #[test]
    fn a_network_with_a_key_is_private_and_needs_no_stamps() {
        let key = ByteBuf::from([9; 32]);
        let genesis = genesis_of(CreateOptions {
            network_key: Some(key.clone()),
            ..options()
        })
        .unwrap();
        let keys = network_key(&key).unwrap().keys();
        let expected = Access::Private {
            join_key: keys.join_key(),
            reporters: vec![genesis.owner],
        };
        assert_eq!((genesis.access, genesis.rules.stamp_bits), (expected, 0));
    }

    #[test]
    fn bad_names_and_seeds_are_refused_in_words() {
        let reason = genesis_of(CreateOptions {
            network_id: String::from("No!"),
            ..options()
        })
        .unwrap_err();
        assert!(reason.contains("network id"), "{reason}");
        let reason = genesis_of(CreateOptions {
            owner_seed: ByteBuf::from([1; 5]),
            ..options()
        })
        .unwrap_err();
        assert_eq!(reason, "ownerSeed has 5 bytes, 32 are needed");
    }
}
