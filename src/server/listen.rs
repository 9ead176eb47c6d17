//! Listening sockets.
//!
//! A Unix socket appears under its path only when it is ready and has its mode, so that nobody connects through a
//! wider one: it is made in a private folder beside, and renamed into place. That also replaces the file that a
//! daemon left behind when it was killed; one that a daemon still answers at is refused.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::net::sockopt::set_socket_send_buffer_size;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::tls::{BadTls, Identity, TlsFiles};
use crate::access::{GroupId, Peer, Right, Rights, UserId};
use crate::audit::Permit;
use crate::protocol::Address;
use crate::systemd::{PassedListener, PassedSockets};

/// Read and write for the owner and the group; connecting needs to write.
const SOCKET_MODE: u32 = 0o660;

/// Connections that the kernel keeps while the daemon has not accepted them.
const BACKLOG: u32 = 1_024;

/// Bytes of answers that the kernel keeps for a TCP connection, and about as many again for its own: as for a Unix socket. Left
/// to itself it keeps megabytes, and whoever never reads would be answered until they are full.
const SEND_BUFFER_BYTES: usize = 208 << 10;

/// One `[[listen]]` of the config.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Where: `unix:PATH` or `tcp:IP:PORT`; beyond loopback with `tls`, unless said twice otherwise.
    pub address: Address,
    /// Which protocol is spoken there. Default `frame`.
    #[serde(default)]
    pub protocol: Protocol,
    /// The most that anyone may do there, whatever rights they have besides; the daemon's own user and root may do
    /// everything at a Unix socket. Default `["lookup"]`.
    #[serde(default = "lookup_only")]
    pub rights: Vec<Right>,
    /// Whether TCP beyond loopback may do without TLS here. The config must say so once more, at its top.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plaintext: bool,
    /// The certificate and the key of a TCP address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

fn lookup_only() -> Vec<Right> {
    vec![Right::Lookup]
}

/// A wire format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// hashward's own: `docs/protocol.md`.
    #[default]
    Frame,
    /// HTTP/1.1 with JSON: `/openapi.json`.
    Http,
}

impl Protocol {
    /// All protocols.
    pub(super) const ALL: [Protocol; 2] = [Protocol::Frame, Protocol::Http];

    /// As the config says it.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Frame => "frame",
            Protocol::Http => "http",
        }
    }
}

/// A `[[listen]]` that is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadListen {
    /// TCP beyond this machine would be neither encrypted nor authenticated.
    #[error(
        "listen address tcp:{0}: expected `tls` beside it, or a loopback address (127.0.0.1 or [::1]): tokens, questions \
         and answers could be read and changed on the way. If something else protects them there, say so twice: \
         `plaintext = true` beside the address, and `plaintext_beyond_loopback = true` at the top of the config"
    )]
    Plaintext(SocketAddr),
    /// The form for those who connect.
    #[error("listen address {0}: expected tcp:IP:PORT, and beside it `tls` with certificate and key")]
    TlsAddress(Address),
    /// A Unix socket needs neither.
    #[error("listen address {0}: expected `tls` and `plaintext` for TCP only, found one of them for a Unix socket")]
    OnlyTcp(Address),
}

impl Listen {
    /// Listens at `address` with the default protocol and rights.
    pub fn at(address: Address) -> Listen {
        Listen { address, protocol: Protocol::default(), rights: lookup_only(), plaintext: false, tls: None }
    }

    /// Checks what can be checked without opening it or reading files.
    ///
    /// # Errors
    /// [`BadListen`].
    pub fn check(&self, plaintext_beyond_loopback: bool) -> Result<(), BadListen> {
        match &self.address {
            Address::Unix(_) if self.tls.is_some() || self.plaintext => Err(BadListen::OnlyTcp(self.address.clone())),
            Address::Tcp(address)
                if self.is_readable_on_the_way() && !(self.plaintext && plaintext_beyond_loopback) =>
            {
                Err(BadListen::Plaintext(*address))
            }
            Address::Tls(..) => Err(BadListen::TlsAddress(self.address.clone())),
            _ => Ok(()),
        }
    }

    /// Whether what is said there leaves the machine in the clear.
    pub fn is_readable_on_the_way(&self) -> bool {
        matches!(self.address, Address::Tcp(address) if !address.ip().is_loopback()) && self.tls.is_none()
    }

    /// Reads the certificate and the key, if it has them.
    ///
    /// # Errors
    /// [`BadTls`].
    pub fn load_tls(&self) -> Result<Option<Arc<Identity>>, BadTls> {
        self.tls.as_ref().map(|files| files.load(self.protocol)).transpose()
    }

    /// What is allowed here, as the audit trail says it.
    pub(crate) fn permit(&self) -> Permit {
        Permit::Listener {
            listener: self.address.to_string(),
            protocol: self.protocol.name(),
            tls: self.tls.is_some(),
            rights: self.rights.clone(),
        }
    }

    pub(super) fn granted(&self) -> Rights {
        self.rights.iter().copied().collect()
    }
}

/// Why an address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The form for those who connect.
    #[error(transparent)]
    Bad(#[from] BadListen),
    /// Its certificate or key.
    #[error(transparent)]
    Tls(#[from] BadTls),
    /// Connections that stand would go on in the protocol of before.
    #[error("{0}: a listener that speaks another protocol, or TLS from now on, needs a new start, or another address")]
    ProtocolChanged(Address),
    /// Whoever connects would wait for ever.
    #[error("systemd passes a socket at {0}; expected a [[listen]] with this address, found none")]
    Passed(Address),
    /// Another daemon listens there.
    #[error("{0}: a daemon already listens there; stop it first, or choose another address")]
    InUse(Address),
    /// Something that is no socket stands there.
    #[error("{0}: expected a socket or nothing, found a file of another sort; remove it, or choose another path")]
    NotASocket(PathBuf),
    /// The kernel refuses.
    #[error("cannot listen at {address}: {source}")]
    Io {
        /// Where.
        address: Address,
        /// Why.
        source: io::Error,
    },
}

/// A socket that listens.
pub(super) enum Socket {
    Unix(UnixListener, SocketFile),
    Tcp(TcpListener, Address),
}

impl Socket {
    /// The socket that systemd passes for this address, or a new one.
    pub(super) fn open(address: &Address, passed: &PassedSockets) -> Result<Socket, ListenError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse(address.clone()),
            _ => ListenError::Io { address: address.clone(), source },
        };
        if let Some(listener) = passed.at(address).map_err(failed)? {
            return Socket::adopt(listener, address).map_err(failed);
        }
        match address {
            Address::Unix(path) => {
                refuse_living(path, address)?;
                bind_unix(path).map_err(failed)
            }
            Address::Tcp(socket) => bind_tcp(*socket).map_err(failed),
            Address::Tls(..) => Err(BadListen::TlsAddress(address.clone()).into()),
        }
    }

    fn adopt(listener: PassedListener, address: &Address) -> io::Result<Socket> {
        match (listener, address) {
            (PassedListener::Unix(listener), Address::Unix(path)) => {
                listener.set_nonblocking(true)?;
                let file = SocketFile { path: path.clone(), identity: None };
                Ok(Socket::Unix(UnixListener::from_std(listener)?, file))
            }
            (PassedListener::Tcp(listener), _) => {
                listener.set_nonblocking(true)?;
                Ok(Socket::Tcp(TcpListener::from_std(listener)?, address.clone()))
            }
            (PassedListener::Unix(_), _) => unreachable!("it is found by its address"),
        }
    }

    /// Where it listens, with the port that the kernel chose.
    pub(super) fn address(&self) -> Address {
        match self {
            Socket::Unix(_, file) => Address::Unix(file.path.clone()),
            Socket::Tcp(_, address) => address.clone(),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Socket::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let credentials = stream.peer_cred()?;
                let peer = Peer::Unix(UserId(credentials.uid()), GroupId(credentials.gid()));
                Ok(Accepted::Unix(stream, peer))
            }
            Socket::Tcp(listener, _) => {
                let (stream, address) = listener.accept().await?;
                // Of one that is gone already, its connection will tell.
                let _ = stream.set_nodelay(true);
                let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES);
                Ok(Accepted::Tcp(stream, Peer::Tcp(address)))
            }
        }
    }
}

/// A connection, and who is at its other end.
pub(super) enum Accepted {
    Unix(UnixStream, Peer),
    Tcp(TcpStream, Peer),
}

/// Refuses a path at which somebody answers, or where something else stands.
fn refuse_living(path: &Path, address: &Address) -> Result<(), ListenError> {
    let io_error = |source| ListenError::Io { address: address.clone(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match BlockingUnixStream::connect(path) {
        Ok(_) => Err(ListenError::InUse(address.clone())),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error(error)),
    }
}

fn bind_unix(path: &Path) -> io::Result<Socket> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    // Mode 0700. Names are short, since the path of a socket has little room.
    let private = tempfile::Builder::new().prefix(".s").rand_bytes(6).tempdir_in(parent)?;
    let made = private.path().join("s");
    let listener = UnixListener::bind(&made)?;
    fs::set_permissions(&made, Permissions::from_mode(SOCKET_MODE))?;
    fs::rename(&made, path)?;
    let metadata = fs::symlink_metadata(path)?;
    let file = SocketFile { path: path.to_owned(), identity: Some((metadata.dev(), metadata.ino())) };
    Ok(Socket::Unix(listener, file))
}

fn bind_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { tokio::net::TcpSocket::new_v4()? } else { tokio::net::TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let bound = Address::Tcp(listener.local_addr()?);
    Ok(Socket::Tcp(listener, bound))
}

/// A socket's file, removed with the listener if it is still the same.
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode; `None` of a socket that systemd made, which is systemd's to remove.
    identity: Option<(u64, u64)>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if found.is_ok_and(|found| Some(found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
