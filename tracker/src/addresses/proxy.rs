//! Whose word about a client's address is believed.
//!
//! A proxy appends the address it was connected from to `X-Forwarded-For`; what stands left of that is what the client
//! itself claimed. So the entry that counts is the rightmost one that is no trusted proxy's. Of anyone else the header
//! says nothing: the socket's own address counts.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::HeaderMap;

/// Addresses of proxies: a network as `address/prefix`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustedProxy {
    network: IpAddr,
    prefix: u8,
}

/// Not a network of proxies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no address and no network like 10.0.0.0/8")]
pub struct TrustedProxyError {
    found: String,
}

impl FromStr for TrustedProxy {
    type Err = TrustedProxyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (address, prefix) = match text.split_once('/') {
                Some((address, prefix)) => (address, Some(prefix)),
                None => (text, None),
            };
            let network: IpAddr = address.trim().parse().ok()?;
            let longest = if network.is_ipv4() { 32 } else { 128 };
            let prefix = match prefix {
                Some(prefix) => prefix.trim().parse().ok()?,
                None => longest,
            };
            (prefix <= longest).then_some(Self { network, prefix })
        };
        parse().ok_or_else(|| TrustedProxyError { found: text.into() })
    }
}

impl TrustedProxy {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                leading(u128::from(network.to_bits() ^ address.to_bits()), 32) >= self.prefix
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                leading(network.to_bits() ^ address.to_bits(), 128) >= self.prefix
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// How many of the lowest `width` bits are zero, from the left.
fn leading(difference: u128, width: u8) -> u8 {
    let used = u128::BITS.saturating_sub(difference.leading_zeros());
    width.saturating_sub(u8::try_from(used).unwrap_or(u8::MAX))
}

/// Whether an address is a trusted proxy's.
#[must_use]
pub fn is_trusted(proxies: &[TrustedProxy], address: IpAddr) -> bool {
    proxies.iter().any(|proxy| proxy.contains(address))
}

/// The address of the client behind a request from `peer`.
///
/// An entry that is no address ends the search: who appended the next one is then the client. When every entry is a
/// trusted proxy's, the leftmost is.
#[must_use]
pub fn client_of(proxies: &[TrustedProxy], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let mut client = peer;
    // Several headers are one list, in their order.
    let values: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|value| value.to_str().unwrap_or_default())
        .collect();
    let entries = values.iter().rev().flat_map(|value| value.rsplit(','));
    for entry in entries {
        if !is_trusted(proxies, client) {
            break;
        }
        let Some(address) = address_of(entry.trim()) else {
            break;
        };
        client = address;
    }
    client
}

/// An address, alone or with a port, as some proxies write it.
fn address_of(entry: &str) -> Option<IpAddr> {
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| {
        entry
            .parse::<std::net::SocketAddr>()
            .ok()
            .map(|socket| socket.ip())
    })
}

const FORWARDED_FOR: &str = "x-forwarded-for";

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies: Vec<TrustedProxy> = proxies.iter().map(|text| text.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        client_of(&proxies, peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn a_stranger_names_nobody_else() {
        assert_eq!(client(&[], "192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(
            client(&["10.0.0.0/8"], "192.0.2.1", &["198.51.100.7"]),
            "192.0.2.1"
        );
    }

    #[test]
    fn the_rightmost_entry_that_is_no_proxy_counts() {
        let proxies = ["10.0.0.0/8", "2001:db8::/32"];
        let one = |forwarded: &[&str]| client(&proxies, "10.1.2.3", forwarded);
        assert_eq!(one(&["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            one(&["6.6.6.6, 198.51.100.7"]),
            "198.51.100.7",
            "left of it stands what the client claims"
        );
        assert_eq!(one(&["6.6.6.6, 198.51.100.7, 10.9.9.9"]), "198.51.100.7");
        assert_eq!(
            one(&["6.6.6.6", "198.51.100.7, 2001:db8::5"]),
            "198.51.100.7",
            "two headers are one list"
        );
        assert_eq!(one(&["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(one(&["[2001:470::9]:443"]), "2001:470::9");
        assert_eq!(one(&["10.4.4.4"]), "10.4.4.4");
        assert_eq!(one(&[]), "10.1.2.3");
        assert_eq!(
            one(&["6.6.6.6, unknown"]),
            "10.1.2.3",
            "what is no address is nobody's word"
        );
        assert_eq!(client(&["::1"], "::1", &["192.0.2.5"]), "192.0.2.5");
    }

    #[test]
    fn a_network_is_an_address_with_a_prefix_or_without() {
        let has = |network: &str, address: &str| {
            is_trusted(&[network.parse().unwrap()], address.parse().unwrap())
        };
        assert!(has("192.0.2.0/25", "192.0.2.127") && !has("192.0.2.0/25", "192.0.2.128"));
        assert!(has("192.0.2.7", "192.0.2.7") && !has("192.0.2.7", "192.0.2.6"));
        assert!(
            has("192.0.2.7", "::ffff:192.0.2.7"),
            "a socket for both writes IPv4 so"
        );
        assert!(
            has("2001:db8::/33", "2001:db8:7fff::1") && !has("2001:db8::/33", "2001:db8:8000::1")
        );
        assert!(has("0.0.0.0/0", "203.0.113.9") && !has("0.0.0.0/0", "2001:db8::1"));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "proxy.example",
            "10.0.0.0/-1",
        ] {
            assert!(bad.parse::<TrustedProxy>().is_err(), "{bad}");
        }
    }
}
