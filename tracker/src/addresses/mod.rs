//! What strangers may use, by the address they come from.
//!
//! Purpose: a pure machine. [`Addresses::handle`] takes one fact and answers at once whether it is allowed. An IPv4
//! address counts by itself, an IPv6 one by its /64, which is what one customer gets ([`Source`]).
//!
//! Four things are counted for each: connections to `/ws` that are open, and how fast new ones come; requests; sockets
//! that are accepted and not yet upgraded, so that nobody holds every place of the accept loop with silence; and networks
//! that are registered, which stay, so that nobody fills the registry. One that is refused for another reason is given back.
//!
//! What it does not do: know who is a proxy (see [`proxy`]), or bind a chain or a peer to an address.
//!
//! Invariants: an address that is refused leaves its counts as they were, except that its bucket never fills by being
//! refused; what was counted in is counted out once, a network only if it was not registered. A limit of 0 is none.
//!
//! Limits: [`limits::ADDRESSES_MAX`] addresses are remembered; beyond, the one that was quiet for longest and has
//! nothing open is forgotten, so an address can only gain by being forgotten what a pause would have given it. What is
//! open is bounded by the driver and is far less than that. An address that has more than
//! [`limits::ADDRESS_CONNECTIONS_FREE`] open has no more than it leaves to others, so that a few never have all places.

pub mod proxy;
mod source;

pub use self::source::Source;

use std::collections::{BTreeMap, BTreeSet};

use shared::ids::TimestampMs;

use crate::hub::Bucket;
use crate::limits;

/// How much one address may use; 0 is without a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Connections to `/ws` that are open at once, and likewise sockets that are not upgraded.
    pub connections_max: u32,
    /// New connections to `/ws` at once.
    pub arrivals_burst: u32,
    /// New connections to `/ws` a second after that.
    pub arrivals_per_second: u32,
    /// Requests at once.
    pub requests_burst: u32,
    /// Requests a second after that.
    pub requests_per_second: u32,
    /// Places for connections of all addresses together.
    pub places: u32,
    /// Networks that are registered at once.
    pub creations_burst: u32,
    /// Networks that are registered an hour after that.
    pub creations_per_hour: u32,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            connections_max: limits::ADDRESS_CONNECTIONS_MAX,
            arrivals_burst: limits::ADDRESS_ARRIVALS_BURST,
            arrivals_per_second: limits::ADDRESS_ARRIVALS_PER_SECOND,
            requests_burst: limits::ADDRESS_REQUESTS_BURST,
            requests_per_second: limits::ADDRESS_REQUESTS_PER_SECOND,
            places: 10_000,
            creations_burst: limits::ADDRESS_CREATIONS_BURST,
            creations_per_hour: limits::ADDRESS_CREATIONS_PER_HOUR,
        }
    }
}

/// Facts; those in pairs come in pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A socket was accepted.
    Accepted,
    /// An accepted socket ended or was upgraded.
    Released,
    /// A request came.
    Requested,
    /// A client wants a connection to `/ws`.
    Connected,
    /// A connection to `/ws` ended.
    Disconnected,
    /// A client wants a network registered.
    Created,
    /// A network that passed as [`Input::Created`] was not registered.
    NotCreated,
}

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has as many open as it may.
    #[error("{allowed} connections of this address are open, and more are not allowed")]
    Connections {
        /// How many are open and allowed.
        allowed: u32,
    },
    /// New connections come too fast.
    #[error("connections of this address come faster than {allowed} a second")]
    Arrivals {
        /// How many a second are allowed.
        allowed: u32,
        /// When there is room for the next, in ms from now.
        wait_ms: u64,
    },
    /// Requests come too fast.
    #[error("requests of this address come faster than {allowed} a second")]
    Requests {
        /// How many a second are allowed.
        allowed: u32,
        /// When there is room for the next, in ms from now.
        wait_ms: u64,
    },
    /// Networks are registered too fast.
    #[error("networks of this address are created faster than {allowed} an hour")]
    Creations {
        /// How many an hour are allowed.
        allowed: u32,
        /// When there is room for the next, in ms from now.
        wait_ms: u64,
    },
}

impl Refusal {
    /// After how many whole seconds to try again; at least 1.
    #[must_use]
    pub fn retry_after_seconds(&self) -> u64 {
        match self {
            Self::Connections { .. } => limits::ADDRESS_RETRY_SECONDS,
            Self::Arrivals { wait_ms, .. }
            | Self::Requests { wait_ms, .. }
            | Self::Creations { wait_ms, .. } => wait_ms.div_ceil(1_000).max(1),
        }
    }
}

/// How often each limit refused since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// Open connections or sockets.
    pub connections: u64,
    /// New connections.
    pub arrivals: u64,
    /// Requests.
    pub requests: u64,
    /// Networks.
    pub creations: u64,
}

/// The machine. See the module's text.
#[derive(Debug)]
pub struct Addresses {
    allowance: Allowance,
    addresses: BTreeMap<Source, Address>,
    /// Those with nothing open, by when they were last heard of.
    quiet: BTreeSet<(TimestampMs, Source)>,
    /// What all have open.
    open: Open,
    refused: Refused,
}

/// What is open.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    sockets: u32,
    connections: u32,
}

#[derive(Debug)]
struct Address {
    heard_at: TimestampMs,
    open: Open,
    arrivals: Bucket,
    requests: Bucket,
    /// In parts of [`CREATION_PARTS`], so that it fills by the hour.
    creations: Bucket,
}

impl Address {
    fn is_quiet(&self) -> bool {
        self.open.sockets == 0 && self.open.connections == 0
    }
}

impl Addresses {
    /// A machine that knows nobody yet.
    #[must_use]
    pub fn new(allowance: Allowance) -> Self {
        Self {
            allowance,
            addresses: BTreeMap::new(),
            quiet: BTreeSet::new(),
            open: Open::default(),
            refused: Refused::default(),
        }
    }

    /// Takes in one fact about an address.
    ///
    /// # Errors
    /// The address may not do that now. [`Input::Released`], [`Input::Disconnected`] and [`Input::NotCreated`] are never refused.
    pub fn handle(
        &mut self,
        now: TimestampMs,
        source: Source,
        input: Input,
    ) -> Result<(), Refusal> {
        let allowance = self.allowance;
        let mut all = self.open;
        let address = self.enter(now, source);
        let result = match input {
            Input::Accepted => {
                let (own, all) = (&mut address.open.sockets, &mut all.sockets);
                allowed(*own, *all, SOCKETS, &allowance).map(|()| count(own, all))
            }
            Input::Released => close(&mut address.open.sockets, &mut all.sockets),
            Input::Requested => on_requested(address, now, &allowance),
            Input::Connected => on_connected(address, &mut all, now, &allowance),
            Input::Disconnected => close(&mut address.open.connections, &mut all.connections),
            Input::Created => on_created(address, now, &allowance),
            Input::NotCreated => on_not_created(address),
        };
        self.open = all;
        self.leave(source);
        if let Err(refusal) = &result {
            self.refused.count(refusal);
        }
        result
    }

    /// How many addresses are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether no address is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// How often each limit refused since the start.
    #[must_use]
    pub fn refused(&self) -> Refused {
        self.refused
    }

    /// The entry of an address, taken off the quiet ones.
    fn enter(&mut self, now: TimestampMs, source: Source) -> &mut Address {
        let is_full = self.addresses.len() >= limits::ADDRESSES_MAX;
        if is_full
            && !self.addresses.contains_key(&source)
            && let Some((_, oldest)) = self.quiet.pop_first()
        {
            self.addresses.remove(&oldest);
        }
        let allowance = self.allowance;
        let address = self.addresses.entry(source).or_insert_with(|| Address {
            heard_at: now,
            open: Open::default(),
            arrivals: Bucket::new(allowance.arrivals_burst, allowance.arrivals_per_second, now),
            requests: Bucket::new(allowance.requests_burst, allowance.requests_per_second, now),
            creations: Bucket::new(
                allowance.creations_burst.saturating_mul(CREATION_PARTS),
                allowance.creations_per_hour,
                now,
            ),
        });
        self.quiet.remove(&(address.heard_at, source));
        address.heard_at = address.heard_at.max(now);
        address
    }

    fn leave(&mut self, source: Source) {
        if let Some(address) = self.addresses.get(&source)
            && address.is_quiet()
        {
            self.quiet.insert((address.heard_at, source));
        }
    }
}

impl Refused {
    fn count(&mut self, refusal: &Refusal) {
        let counter = match refusal {
            Refusal::Connections { .. } => &mut self.connections,
            Refusal::Arrivals { .. } => &mut self.arrivals,
            Refusal::Requests { .. } => &mut self.requests,
            Refusal::Creations { .. } => &mut self.creations,
        };
        *counter = counter.saturating_add(1);
    }
}

fn on_requested(
    address: &mut Address,
    now: TimestampMs,
    allowance: &Allowance,
) -> Result<(), Refusal> {
    let allowed = allowance.requests_per_second;
    if allowed == 0 {
        return Ok(());
    }
    let taken = address.requests.take_if_there(now, 1);
    taken.map_err(|wait_ms| Refusal::Requests { allowed, wait_ms })
}

fn on_connected(
    address: &mut Address,
    all: &mut Open,
    now: TimestampMs,
    allowance: &Allowance,
) -> Result<(), Refusal> {
    let (own, all) = (&mut address.open.connections, &mut all.connections);
    allowed(*own, *all, allowance.places, allowance)?;
    let per_second = allowance.arrivals_per_second;
    if per_second > 0 {
        let taken = address.arrivals.take_if_there(now, 1);
        taken.map_err(|wait_ms| Refusal::Arrivals {
            allowed: per_second,
            wait_ms,
        })?;
    }
    count(own, all);
    Ok(())
}

fn on_created(
    address: &mut Address,
    now: TimestampMs,
    allowance: &Allowance,
) -> Result<(), Refusal> {
    let allowed = allowance.creations_per_hour;
    if allowed == 0 {
        return Ok(());
    }
    let taken = address.creations.take_if_there(now, CREATION_PARTS);
    taken.map_err(|wait_ms| Refusal::Creations { allowed, wait_ms })
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an arm among those that can refuse"
)]
fn on_not_created(address: &mut Address) -> Result<(), Refusal> {
    address.creations.give_back(CREATION_PARTS);
    Ok(())
}

/// Whether an address that has `own` of the places that are taken may take one more: no more than so many, and, if it has
/// more than a few, no more than it leaves to others.
fn allowed(own: u32, taken: u32, places: u32, allowance: &Allowance) -> Result<(), Refusal> {
    let free = places.saturating_sub(taken);
    let share = free.max(limits::ADDRESS_CONNECTIONS_FREE);
    let allowed = allowance.connections_max.min(share);
    if allowed > 0 && own >= allowed {
        return Err(Refusal::Connections { allowed });
    }
    Ok(())
}

const fn count(own: &mut u32, all: &mut u32) {
    *own = own.saturating_add(1);
    *all = all.saturating_add(1);
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "an arm among those that can refuse"
)]
const fn close(own: &mut u32, all: &mut u32) -> Result<(), Refusal> {
    *own = own.saturating_sub(1);
    *all = all.saturating_sub(1);
    Ok(())
}

/// Places for sockets that are not upgraded.
#[expect(clippy::cast_possible_truncation, reason = "a few thousand")]
const SOCKETS: u32 = service::CONNECTIONS_MAX as u32;
/// One part a second makes one network an hour.
const CREATION_PARTS: u32 = 3_600;

#[cfg(test)]
mod tests;
