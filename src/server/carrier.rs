//! What carries a connection's bytes, as far as it differs: whether descriptors can come beside them, and whether
//! something that was sent is still unread.

use std::os::fd::{AsFd, OwnedFd};

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A stream of a client, beside its bytes.
pub(super) trait Carrier {
    /// The descriptor that came first and was not taken yet.
    fn take_descriptor(&mut self) -> Option<OwnedFd>;

    /// Whether the client has sent bytes that were not read yet.
    fn has_unread(&mut self) -> bool;
}

impl Carrier for TcpStream {
    fn take_descriptor(&mut self) -> Option<OwnedFd> {
        None
    }

    fn has_unread(&mut self) -> bool {
        kernel_holds_bytes(self)
    }
}

impl Carrier for TlsStream<TcpStream> {
    fn take_descriptor(&mut self) -> Option<OwnedFd> {
        None
    }

    fn has_unread(&mut self) -> bool {
        let (stream, session) = self.get_mut();
        let decrypted = session.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0);
        decrypted || kernel_holds_bytes(stream)
    }
}

pub(super) fn kernel_holds_bytes(stream: &impl AsFd) -> bool {
    rustix::io::ioctl_fionread(stream).is_ok_and(|unread_bytes| unread_bytes > 0)
}
