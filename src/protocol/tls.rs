//! TLS for the blocking client, in two halves for two threads.
//!
//! The halves share the session, and lock it only to encrypt and decrypt what is in memory: whoever waits for the network
//! holds no lock. So a daemon that takes no more requests until its answers are read never stands against a client that
//! reads no answers until its requests are taken.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Bytes read from the network at once: a record and its header.
const READ_BYTES: usize = 17 << 10;

/// The most bytes that one write encrypts: some records.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// One half of a TLS connection, or both.
pub(super) struct TlsHalf {
    stream: TcpStream,
    session: Arc<Mutex<ClientConnection>>,
    /// What was read and is still encrypted.
    incoming: Vec<u8>,
    /// What is encrypted and not sent yet; empty between two writes.
    outgoing: Vec<u8>,
}

impl TlsHalf {
    /// Connects and shakes hands, which may not wait for the daemon longer than `timeout`.
    pub(super) fn connect(host: &str, port: u16, authorities: Option<&Path>, timeout: Duration) -> io::Result<TlsHalf> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots(authorities)?)
            .with_no_client_auth();
        let mut session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut stream = TcpStream::connect((host, port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        let session = Arc::new(Mutex::new(session));
        Ok(TlsHalf { stream, session, incoming: Vec::new(), outgoing: Vec::new() })
    }

    pub(super) fn try_clone(&self) -> io::Result<TlsHalf> {
        let (stream, session) = (self.stream.try_clone()?, Arc::clone(&self.session));
        Ok(TlsHalf { stream, session, incoming: Vec::new(), outgoing: Vec::new() })
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        lock(&self.session).send_close_notify();
        self.send()?;
        self.stream.shutdown(Shutdown::Write)
    }

    /// Sends what the session has encrypted.
    fn send(&mut self) -> io::Result<()> {
        let mut session = lock(&self.session);
        while session.wants_write() {
            session.write_tls(&mut self.outgoing)?;
        }
        drop(session);
        let sent = self.stream.write_all(&self.outgoing);
        self.outgoing.clear();
        sent
    }
}

impl Drop for TlsHalf {
    /// The last of the halves says that nothing more comes, so that nobody takes the end for a broken connection. A daemon
    /// that takes nothing any more is not waited for.
    fn drop(&mut self) {
        if Arc::strong_count(&self.session) == 1 && self.stream.set_nonblocking(true).is_ok() {
            lock(&self.session).send_close_notify();
            let _ = self.send();
        }
    }
}

impl Read for TlsHalf {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut session = lock(&self.session);
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            drop(session);
            self.incoming.resize(READ_BYTES, 0);
            let count = self.stream.read(&mut self.incoming)?;
            let mut unread = &self.incoming[..count];
            let mut session = lock(&self.session);
            // Also of nothing: so the session hears that the stream has ended.
            loop {
                session.read_tls(&mut unread)?;
                session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                if unread.is_empty() {
                    break;
                }
            }
        }
    }
}

impl Write for TlsHalf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = lock(&self.session);
        let mut taken = 0;
        for slice in slices {
            let part = &slice[..slice.len().min(WRITE_BYTES_MAX - taken)];
            let count = session.writer().write(part)?;
            taken += count;
            if count < slice.len() {
                break;
            }
        }
        drop(session);
        self.send()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whatever a thread that panicked left behind fails its checks.
fn lock(session: &Mutex<ClientConnection>) -> MutexGuard<'_, ClientConnection> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom to trust: the authorities of the file, or those of the system.
fn roots(authorities: Option<&Path>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = authorities else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return if roots.is_empty() {
            Err(io::Error::other("the system trusts no authority; name one's certificate"))
        } else {
            Ok(roots)
        };
    };
    let unreadable = |why: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    for certificate in certificates.map_err(|error| unreadable(error.to_string()))? {
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("expected certificates of authorities in PEM, found none".to_owned()));
    }
    Ok(roots)
}
