//! Why a connection to `/ws` ends, and why none is begun: closed sets, counted by their words.

use axum::extract::ws::{CloseCode, close_code};

use crate::addresses::Refusal;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client closed it.
    Closed,
    /// It broke off.
    Gone,
    /// The client answered no ping.
    Silent,
    /// The client did nothing in time after it had connected.
    Idle,
    /// More waited for the client than may.
    QueueFull,
    /// The client took too long to read what was written.
    WriteTimeout,
    /// The client sent too many malformed messages.
    Malformed,
    /// The client broke WebSocket's rules, or sent a longer message than any may be.
    Protocol,
    /// More is held of what connections sent than one that goes on may.
    Crowded,
    /// Its peer joined again on another connection, here or at another tracker.
    Replaced,
    /// The tracker stops.
    Stopping,
}

impl Ending {
    /// Each once.
    pub const ALL: [Self; 11] = [
        Self::Closed,
        Self::Gone,
        Self::Silent,
        Self::Idle,
        Self::QueueFull,
        Self::WriteTimeout,
        Self::Malformed,
        Self::Protocol,
        Self::Crowded,
        Self::Replaced,
        Self::Stopping,
    ];

    /// The word by which it is counted.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed_by_client",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Idle => "idle",
            Self::QueueFull => "queue_full",
            Self::WriteTimeout => "write_timeout",
            Self::Malformed => "malformed",
            Self::Protocol => "protocol_error",
            Self::Crowded => "crowded",
            Self::Replaced => "replaced",
            Self::Stopping => "stopping",
        }
    }

    /// What the close frame says.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Closed => "closed by the client",
            Self::Gone => "gone",
            Self::Silent => "silent",
            Self::Idle => "no join in time",
            Self::QueueFull | Self::WriteTimeout => "too slow",
            Self::Malformed => "too many malformed messages",
            Self::Protocol => "not as WebSocket's rules and limits want it",
            Self::Crowded => "too crowded: try again later",
            Self::Replaced => "joined again elsewhere",
            Self::Stopping => "the tracker stops",
        }
    }

    /// The close frame's code (RFC 6455, 7.4, and its registry).
    pub(crate) const fn close_code(self) -> CloseCode {
        match self {
            Self::Stopping => close_code::AWAY,
            Self::Crowded => close_code::AGAIN,
            Self::Closed
            | Self::Gone
            | Self::Silent
            | Self::Idle
            | Self::QueueFull
            | Self::WriteTimeout
            | Self::Malformed
            | Self::Protocol
            | Self::Replaced => close_code::POLICY,
        }
    }

    /// How reading from a connection failed: it broke off, or what came is against the rules. Whose error it is, the library
    /// below says by its sources and its text alone.
    pub(crate) fn of_failed_read(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut at = Some(error);
        while let Some(error) = at {
            let broken = error.downcast_ref::<std::io::Error>();
            if broken.is_some_and(service::Crowded::is_why) {
                return Self::Crowded;
            }
            if broken.is_some() || error.to_string().ends_with(WITHOUT_CLOSE) {
                return Self::Gone;
            }
            at = error.source();
        }
        Self::Protocol
    }
}

/// Why no connection is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unbegun {
    /// The request asks for no WebSocket.
    NoUpgrade,
    /// The page's origin may not connect.
    Origin,
    /// The tracker has as many connections as it may.
    Full,
    /// The address has as many open as it may.
    AddressConnections,
    /// New ones of the address come too fast.
    AddressRate,
}

impl Unbegun {
    /// Each once.
    pub(crate) const ALL: [Self; 5] = [
        Self::NoUpgrade,
        Self::Origin,
        Self::Full,
        Self::AddressConnections,
        Self::AddressRate,
    ];

    /// The word by which it is counted.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NoUpgrade => "no_upgrade",
            Self::Origin => "origin",
            Self::Full => "full",
            Self::AddressConnections => "address_connections",
            Self::AddressRate => "address_rate",
        }
    }
}

impl From<&Refusal> for Unbegun {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Connections { .. } => Self::AddressConnections,
            Refusal::Arrivals { .. } | Refusal::Requests { .. } | Refusal::Creations { .. } => {
                Self::AddressRate
            }
        }
    }
}

/// What the library calls an end of the stream without a close frame.
const WITHOUT_CLOSE: &str = "Connection reset without closing handshake";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io;

    use super::*;

    #[test]
    fn each_reason_is_counted_by_a_word_of_its_own() {
        let endings: BTreeSet<_> = Ending::ALL.map(Ending::label).into();
        assert_eq!(endings.len(), Ending::ALL.len());
        let unbegun: BTreeSet<_> = Unbegun::ALL.map(Unbegun::label).into();
        assert_eq!(unbegun.len(), Unbegun::ALL.len());
    }

    #[test]
    fn a_broken_line_is_told_from_broken_rules() {
        let broken = axum::Error::new(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(Ending::of_failed_read(&broken), Ending::Gone);
        let cut = axum::Error::new(format!("WebSocket protocol error: {WITHOUT_CLOSE}"));
        assert_eq!(Ending::of_failed_read(&cut), Ending::Gone);
        let crowded = axum::Error::new(io::Error::from(service::Crowded));
        assert_eq!(Ending::of_failed_read(&crowded), Ending::Crowded);
        let rules = axum::Error::new("Space limit exceeded: Message too long");
        assert_eq!(Ending::of_failed_read(&rules), Ending::Protocol);
    }
}
