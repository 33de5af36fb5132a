//! The links of a peer as a pure machine: signed signalling, direct channels, relay.
