//! Where browsers find the other trackers of the cluster.
//!
//! A tracker with a public address tells it to all others, again and again; what is not repeated for [`PRESENCE_MS_MAX`] is
//! forgotten. Clients hear the addresses after their `welcome` and when they change; they remember them longer than this does.
//!
//! Limits: [`limits::TRACKERS_MAX`] addresses of at most [`limits::PUBLIC_URL_BYTES_MAX`] bytes.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use api::ws::ServerMessage;
use shared::ids::TimestampMs;

use super::cluster::PRESENCE_MS_MAX;
use super::{ConnectionId, Hub, Output, to_text};
use crate::backplane::{Message, Subject, TrackerId};
use crate::limits;

/// An address of a `/ws` for browsers: `ws://` or `wss://`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicUrl(String);

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let host = ["ws://", "wss://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        let is_long = text.len() > limits::PUBLIC_URL_BYTES_MAX;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) || is_long || !is_plain
        {
            return Err(format!(
                "{text:?} is no address like wss://host/ws of at most {} characters",
                limits::PUBLIC_URL_BYTES_MAX
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Another tracker's address, and until when it counts.
#[derive(Clone, Debug)]
pub(super) struct Other {
    url: PublicUrl,
    until: TimestampMs,
}

impl Hub {
    /// Tells the others where browsers reach this tracker.
    pub(super) fn publish_address(&mut self) {
        let cluster = self.cluster.as_ref();
        if let Some(url) = cluster.and_then(|cluster| cluster.public_url.as_ref()) {
            let url = url.to_string();
            self.publish(Subject::Networks, Message::Tracker { url });
        }
    }

    /// This tracker goes: nobody is sent to it any more.
    pub(super) fn withdraw_address(&mut self) {
        let cluster = self.cluster.as_mut();
        if cluster
            .and_then(|cluster| cluster.public_url.take())
            .is_some()
        {
            let url = String::new();
            self.publish(Subject::Networks, Message::Tracker { url });
        }
    }

    pub(super) fn on_tracker_elsewhere(&mut self, now: TimestampMs, from: TrackerId, url: &str) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let before = cluster.addresses();
        match url.parse() {
            Err(_) => _ = cluster.others.remove(&from),
            Ok(_)
                if cluster.others.len() >= limits::TRACKERS_MAX
                    && !cluster.others.contains_key(&from) => {}
            Ok(url) => {
                let until = now.plus_ms(PRESENCE_MS_MAX);
                cluster.others.insert(from, Other { url, until });
            }
        }
        let after = cluster.addresses();
        if before != after {
            self.tell_trackers();
        }
    }

    /// Forgets who was not repeated.
    pub(super) fn forget_trackers(&mut self, now: TimestampMs) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let before = cluster.addresses();
        cluster.others.retain(|_, other| other.until > now);
        if before != cluster.addresses() {
            self.tell_trackers();
        }
    }

    /// A newcomer hears of them, if there are any.
    pub(super) fn tell_trackers_to(&mut self, connection: ConnectionId) {
        let trackers = self.other_trackers();
        if !trackers.is_empty() {
            self.send(connection, &ServerMessage::Trackers { trackers });
        }
    }

    fn tell_trackers(&mut self) {
        let trackers = self.other_trackers();
        let connections: Vec<ConnectionId> = self.connections.keys().copied().collect();
        if !connections.is_empty() {
            let text = to_text(&ServerMessage::Trackers { trackers });
            self.outputs.push_back(Output::Send { connections, text });
        }
    }

    fn other_trackers(&self) -> Vec<String> {
        let addresses = self
            .cluster
            .as_ref()
            .map(super::cluster::Cluster::addresses);
        let addresses = addresses.into_iter().flatten();
        addresses.map(|url| url.to_string()).collect()
    }
}

impl super::cluster::Cluster {
    /// The others' addresses, each once, without this tracker's own.
    fn addresses(&self) -> BTreeSet<PublicUrl> {
        let others = self.others.values().map(|other| other.url.clone());
        others
            .filter(|url| Some(url) != self.public_url.as_ref())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_a_websocket_and_short() {
        for good in ["wss://t1.example/ws", "ws://127.0.0.1:3030/ws"] {
            assert_eq!(good.parse::<PublicUrl>().unwrap().to_string(), good);
        }
        let long = format!("wss://{}", "x".repeat(limits::PUBLIC_URL_BYTES_MAX));
        for bad in [
            "",
            "https://t1.example/ws",
            "wss://",
            "wss:///ws",
            "wss://a b",
            &long,
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }
}
