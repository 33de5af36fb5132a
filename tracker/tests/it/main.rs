//! The tracker over real sockets: rooms and isolation, registration, checked updates, durability, forwarding.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test picks the messages that it asks for"
)]

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod certificates;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod described;
#[cfg(test)]
mod forwarding;
#[cfg(test)]
mod http;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod private;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod turn;
#[cfg(test)]
mod updates;
#[cfg(test)]
mod validator;
