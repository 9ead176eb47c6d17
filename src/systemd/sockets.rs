//! Sockets that systemd opened and passes (`systemd.socket(5)`), each matched to the `[[listen]]` with its address.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::protocol::Address;

/// A listening socket that was passed.
#[derive(Debug)]
pub enum PassedListener {
    /// At a path.
    Unix(UnixListener),
    /// TCP.
    Tcp(TcpListener),
}

impl AsFd for PassedListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            PassedListener::Unix(listener) => listener.as_fd(),
            PassedListener::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// All that were passed, by address.
#[derive(Debug, Default)]
pub struct PassedSockets(BTreeMap<Address, PassedListener>);

/// A passed socket that the daemon cannot use.
#[derive(Debug, thiserror::Error)]
#[error(
    "socket {number} passed by systemd: expected a listening stream socket at a path or of TCP, and one for each address, \
     found {found}"
)]
pub struct BadSocket {
    /// Its number, from 0.
    number: usize,
    found: String,
}

impl PassedSockets {
    /// Takes those that the environment tells of; then it tells of none, so that no other process takes them for its own.
    /// To be called before there is a second thread.
    ///
    /// # Errors
    /// [`BadSocket`].
    pub fn from_env() -> Result<PassedSockets, BadSocket> {
        let mut passed = ListenFd::from_env();
        let mut sockets = BTreeMap::new();
        for number in 0..passed.len() {
            let bad = |found: &dyn ToString| BadSocket { number, found: found.to_string() };
            let (address, listener) = match passed.take_unix_listener(number) {
                Ok(Some(listener)) => (unix_address(&listener), PassedListener::Unix(listener)),
                _ => match passed.take_tcp_listener(number) {
                    Ok(Some(listener)) => (listener.local_addr().map(Address::Tcp), PassedListener::Tcp(listener)),
                    Ok(None) => return Err(bad(&"nothing")),
                    Err(error) => return Err(bad(&error)),
                },
            };
            // Those that `Accept=yes` passes are connected, and nobody would ever be accepted at them.
            if !socket_acceptconn(&listener).is_ok_and(|listens| listens) {
                return Err(bad(&"one that does not listen"));
            }
            let address = address.map_err(|error| bad(&error))?;
            if sockets.contains_key(&address) {
                // Closed here, it stays open in systemd: whoever connects to it would wait for ever.
                return Err(bad(&format_args!("a second at {address}")));
            }
            sockets.insert(address, listener);
        }
        Ok(PassedSockets(sockets))
    }

    /// The listener at `address`, if one was passed. What was passed stays, for the next reload.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn at(&self, address: &Address) -> io::Result<Option<PassedListener>> {
        Ok(match self.0.get(address) {
            None => None,
            Some(PassedListener::Unix(listener)) => Some(PassedListener::Unix(listener.try_clone()?)),
            Some(PassedListener::Tcp(listener)) => Some(PassedListener::Tcp(listener.try_clone()?)),
        })
    }

    /// Where they listen.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.0.keys()
    }
}

fn unix_address(listener: &UnixListener) -> io::Result<Address> {
    let address = listener.local_addr()?;
    let path = address.as_pathname().ok_or_else(|| io::Error::other("one without a path"))?;
    Ok(Address::Unix(path.to_owned()))
}
