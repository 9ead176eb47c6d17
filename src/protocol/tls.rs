//! TLS for the blocking client, in two halves for two threads.
//!
//! The halves share the session, and lock it only to encrypt and decrypt what is in memory: whoever waits for the network
//! holds no lock. So a daemon that takes no more requests until its answers are read never stands against a client that
//! reads no answers until its requests are taken.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
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
    /// How much of that the session has not taken.
    untaken: Range<usize>,
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
        Ok(TlsHalf { stream, session, incoming: Vec::new(), untaken: 0..0, outgoing: Vec::new() })
    }

    pub(super) fn try_clone(&self) -> io::Result<TlsHalf> {
        let (stream, session) = (self.stream.try_clone()?, Arc::clone(&self.session));
        Ok(TlsHalf { stream, session, incoming: Vec::new(), untaken: 0..0, outgoing: Vec::new() })
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)
    }

    pub(super) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(timeout))
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
            if self.untaken.is_empty() {
                drop(session);
                self.incoming.resize(READ_BYTES, 0);
                self.untaken = 0..self.stream.read(&mut self.incoming)?;
                session = lock(&self.session);
            }
            // A piece at a time: the session takes no more than it has room for while nobody reads what it has decrypted.
            // Also nothing, so that it hears that the stream has ended.
            self.untaken.start += session.read_tls(&mut &self.incoming[self.untaken.clone()])?;
            session.process_new_packets().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};

    use super::*;

    /// Serves one connection over TLS; what it writes is read by a [`TlsHalf`].
    fn read_of(serve: impl FnOnce(StreamOwned<ServerConnection, TcpStream>) + Send) -> (Vec<u8>, io::Result<usize>) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let trusted = folder.path().join("trusted.pem");
        std::fs::write(&trusted, certificate.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::scope(|scope| {
            scope.spawn(|| {
                let (stream, _) = listener.accept().unwrap();
                serve(StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream));
            });
            let patience = Duration::from_secs(10);
            let mut client = TlsHalf::connect("localhost", port, Some(&trusted), patience).unwrap();
            client.set_read_timeout(Some(patience)).unwrap();
            // So that all reads are as long as they may be.
            thread::sleep(Duration::from_millis(100));
            let mut read = Vec::new();
            let end = client.read_to_end(&mut read);
            (read, end)
        })
    }

    #[test]
    fn what_comes_faster_than_it_is_read_comes_whole() {
        let sent: Vec<u8> =
            (0..2_000_000u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
        for part_bytes in [100, 700, 3_000, 6_000, 9_000, 16_384, 2_000_000] {
            let (read, end) = read_of(|mut stream| {
                sent.chunks(part_bytes).for_each(|part| stream.write_all(part).unwrap());
                stream.conn.send_close_notify();
                stream.flush().unwrap();
            });
            assert_eq!(end.map_err(|error| error.to_string()), Ok(sent.len()), "in parts of {part_bytes}");
            assert!(read == sent, "in parts of {part_bytes}");
        }
    }

    #[test]
    fn an_end_that_nobody_announced_is_an_error() {
        let (read, end) = read_of(|mut stream| stream.write_all(b"half of an ans").unwrap());
        assert_eq!((&read[..], end.unwrap_err().kind()), (&b"half of an ans"[..], io::ErrorKind::UnexpectedEof));
    }
}
