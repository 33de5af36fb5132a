//! Difficulty: aserti3-2d in integer ms over active time, with a floor, and easing for late blocks.
//!
//! With T the target interval and t₀ the genesis time, active time is A(h) = Σ min(tᵢ − tᵢ₋₁, 20·T): a night offline
//! counts as one half-life at most. The *base* target of block h + 1 is
//!
//! initial · 2^((A(h) − T·h) / (20·T)), never above 16 · initial,
//!
//! with aserti3-2d's cubic for the fractional power of two. The block's own target eases when it comes late: from a gap
//! of 6·T on it doubles once for every full 3·T more, up to the same floor. The base of later blocks never sees that,
//! their work does.

use ethnum::U256;

use crate::{
    genesis::Rules,
    ids::Height,
    limits,
    pow::{CompactTarget, Target},
};

/// What a block adds to the chain's active time, ms.
#[must_use]
pub fn active_ms(rules: &Rules, since_parent_ms: u64) -> u64 {
    since_parent_ms.min(rules.interval().saturating_mul(limits::HALF_LIFE_INTERVALS))
}

/// The target of the block after `parent`: its base eased for the time it took.
///
/// `active_time_ms` is A(parent), `since_parent_ms` the block's own timestamp minus its parent's.
#[must_use]
pub fn next_target(
    rules: &Rules,
    active_time_ms: u64,
    parent: Height,
    since_parent_ms: u64,
) -> CompactTarget {
    let base = base_target(rules, active_time_ms, parent).target().value();
    let floor = rules.floor_target().value();
    let doublings = easing_doublings(rules, since_parent_ms);
    let eased = if doublings > base.leading_zeros() {
        floor
    } else {
        floor.min(base << doublings)
    };
    Target::new(eased)
        .unwrap_or_else(|| rules.floor_target())
        .to_compact()
}

/// The target of the block after `parent` before any easing.
#[must_use]
pub fn base_target(rules: &Rules, active_time_ms: u64, parent: Height) -> CompactTarget {
    let interval = i128::from(rules.interval());
    let drift = i128::from(active_time_ms) - interval * i128::from(parent.0);
    let half_life = interval * i128::from(limits::HALF_LIFE_INTERVALS);
    aserti3(
        rules.initial_target.target(),
        drift,
        half_life,
        rules.floor_target(),
    )
    .to_compact()
}

/// aserti3-2d: `anchor · 2^(drift / half_life)`, at least 1, at most `easiest`.
///
/// `drift` is the time since the anchor minus the ideal time, in the unit of `half_life`. Specification: "ASERT
/// difficulty adjustment algorithm (aserti3-2d)", Bitcoin Cash, 2020; the quotient rounds towards zero as there.
#[must_use]
pub fn aserti3(anchor: Target, drift: i128, half_life: i128, easiest: Target) -> Target {
    let exponent = drift.saturating_mul(65_536) / half_life.max(1);
    let shifts = exponent >> 16;
    let fraction = u64::try_from(exponent & 0xffff).unwrap_or(0);
    let factor = 65_536 + (cubic(fraction) >> 48);
    // A target over 2^238 would leave no room for the factor; its low 18 bits are zero (24 significant bits).
    let room = if anchor.value().leading_zeros() < 18 {
        18u32
    } else {
        0
    };
    let scaled = (anchor.value() >> room) * U256::from(factor);
    let target = shifted(scaled, shifts + i128::from(room) - 16);
    let target = target.map_or_else(
        || easiest.value(),
        |value| value.clamp(U256::ONE, easiest.value()),
    );
    Target::new(target).unwrap_or(easiest)
}

/// 2^48 · (2^(fraction / 65536) − 1) · 65536, nearly, rounded to nearest by the added half.
fn cubic(fraction: u64) -> u128 {
    let x = u128::from(fraction);
    195_766_423_245_049 * x + 971_821_376 * x * x + 5_127 * x * x * x + (1 << 47)
}

/// `value · 2^shifts`; none if that does not fit.
fn shifted(value: U256, shifts: i128) -> Option<U256> {
    let amount = u32::try_from(shifts.unsigned_abs()).unwrap_or(u32::MAX);
    if shifts <= 0 {
        return Some(if amount > 255 {
            U256::ZERO
        } else {
            value >> amount
        });
    }
    (amount <= value.leading_zeros()).then(|| {
        if amount > 255 {
            U256::ZERO
        } else {
            value << amount
        }
    })
}

fn easing_doublings(rules: &Rules, since_parent_ms: u64) -> u32 {
    let interval = rules.interval();
    let late =
        since_parent_ms.saturating_sub(interval.saturating_mul(limits::EASING_START_INTERVALS));
    u32::try_from(late / interval.saturating_mul(limits::EASING_STEP_INTERVALS)).unwrap_or(u32::MAX)
}
