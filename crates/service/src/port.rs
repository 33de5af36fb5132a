//! Taking a port, with an error message that says how to mend it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::TcpListener;

/// Why a port could not be taken; the message names the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process listens there.
    #[error(
        "the {what} cannot listen on {address}: the port is in use. End what uses it \
         (`ss -ltnp 'sport = :{}'` names it) or choose another port with {flag}", address.port()
    )]
    Busy {
        /// The service that wanted the port.
        what: String,
        /// The wanted address.
        address: SocketAddr,
        /// The flag that changes the port.
        flag: String,
    },
    /// Ports below 1024 need a privilege.
    #[error(
        "the {what} may not listen on {address}: ports below 1024 need a privilege. Choose another with {flag}"
    )]
    Forbidden {
        /// The service that wanted the port.
        what: String,
        /// The wanted address.
        address: SocketAddr,
        /// The flag that changes the port.
        flag: String,
    },
    /// The machine has no such address.
    #[error(
        "the {what} cannot listen on {address}: this machine has no such address; see the flag --bind"
    )]
    NoSuchAddress {
        /// The service that wanted the port.
        what: String,
        /// The wanted address.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("the {what} cannot listen on {address}: {source}")]
    Io {
        /// The service that wanted the port.
        what: String,
        /// The wanted address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on `ip:port` (port 0: any free one) for the service `what`, whose port is set by `flag` (`--port`).
///
/// # Errors
/// [`BindError`], by what the system answered.
pub async fn bind(ip: IpAddr, port: u16, what: &str, flag: &str) -> Result<TcpListener, BindError> {
    let address = SocketAddr::new(ip, port);
    TcpListener::bind(address).await.map_err(|source| {
        let (what, flag) = (what.to_owned(), flag.to_owned());
        let kind = source.kind();
        if kind == io::ErrorKind::AddrInUse {
            BindError::Busy {
                what,
                address,
                flag,
            }
        } else if kind == io::ErrorKind::PermissionDenied {
            BindError::Forbidden {
                what,
                address,
                flag,
            }
        } else if kind == io::ErrorKind::AddrNotAvailable {
            BindError::NoSuchAddress { what, address }
        } else {
            BindError::Io {
                what,
                address,
                source,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn a_busy_port_is_named_with_the_remedy() {
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let first = bind(ip, 0, "tracker", "--port").await.unwrap();
        let port = first.local_addr().unwrap().port();
        let error = bind(ip, port, "dashboard", "--dashboard-port")
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, BindError::Busy { .. }));
        for part in ["dashboard", &port.to_string(), "in use", "--dashboard-port"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }

    #[tokio::test]
    async fn a_foreign_address_is_named() {
        let error = bind(
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            0,
            "tracker",
            "--port",
        )
        .await
        .unwrap_err();
        assert!(matches!(error, BindError::NoSuchAddress { .. }));
    }
}
