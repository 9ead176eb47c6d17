//! Where a daemon listens, as people write it: `unix:PATH`, `tcp:IP:PORT`, or for those who connect `tls:HOST:PORT`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The data folder of a daemon that is told nothing else.
pub const DEFAULT_DATA: &str = "hashward-data";

/// The name of a daemon's socket in its data folder, unless it is told where to listen.
pub const SOCKET_NAME: &str = "hashward.sock";

/// An address of the daemon. A bare path is read as `unix:PATH`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Address {
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
    /// TLS over TCP, by the name or IP address that the daemon's certificate holds, and the port. Only for those who connect.
    Tls(String, u16),
}

/// Text that is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected unix:PATH, tcp:IP:PORT (as tcp:127.0.0.1:7171) or tls:HOST:PORT, found `{0}`")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Address, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        if let Some(socket) = text.strip_prefix("tcp:") {
            return socket.parse().map(Address::Tcp).map_err(|_| bad());
        }
        if let Some(place) = text.strip_prefix("tls:") {
            let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            let port = port.parse().map_err(|_| bad())?;
            return if host.is_empty() { Err(bad()) } else { Ok(Address::Tls(host.to_owned(), port)) };
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.is_empty() { Err(bad()) } else { Ok(Address::Unix(PathBuf::from(path))) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Tcp(socket) => write!(f, "tcp:{socket}"),
            Address::Tls(host, port) if host.contains(':') => write!(f, "tls:[{host}]:{port}"),
            Address::Tls(host, port) => write!(f, "tls:{host}:{port}"),
        }
    }
}

impl TryFrom<String> for Address {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Address, BadAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_from_what_they_print() {
        for text in [
            "unix:hashward-data/hashward.sock",
            "tcp:127.0.0.1:7171",
            "tcp:[::1]:7171",
            "tls:a.example:1",
            "tls:[::1]:2",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("a.sock".parse(), Ok(Address::Unix("a.sock".into())));
        for bad in ["", "unix:", "tcp:localhost:1", "tcp:127.0.0.1", "tls:a", "tls::1", "tls:a:b"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }
}
