//! What carries the blocking client's bytes: a Unix socket, TCP, or TLS over it.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::Address;
#[cfg(feature = "tls")]
use super::tls::TlsHalf;

/// One half of a connection, or both.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(TlsHalf),
}

impl Stream {
    /// Connects. Nothing that is read or written later, the daemon's part of a TLS handshake included, may wait longer than
    /// `timeout` for the daemon.
    pub(super) fn connect(address: &Address, authorities: Option<&Path>, timeout: Duration) -> io::Result<Stream> {
        let stream = match address {
            Address::Unix(path) => Stream::Unix(UnixStream::connect(path)?),
            Address::Tcp(socket) => {
                let stream = TcpStream::connect(socket)?;
                stream.set_nodelay(true)?;
                Stream::Tcp(stream)
            }
            #[cfg(feature = "tls")]
            Address::Tls(host, port) => Stream::Tls(TlsHalf::connect(host, *port, authorities, timeout)?),
            #[cfg(not(feature = "tls"))]
            Address::Tls(..) => {
                let _ = authorities;
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this program was built without TLS"));
            }
        };
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(timeout)?;
        Ok(stream)
    }

    pub(super) fn try_clone(&self) -> io::Result<Stream> {
        match self {
            Stream::Unix(stream) => stream.try_clone().map(Stream::Unix),
            Stream::Tcp(stream) => stream.try_clone().map(Stream::Tcp),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.try_clone().map(Stream::Tls),
        }
    }

    pub(super) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_read_timeout(timeout),
            Stream::Tcp(stream) => stream.set_read_timeout(timeout),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.set_read_timeout(timeout),
        }
    }

    fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.set_write_timeout(Some(timeout)),
            Stream::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.set_write_timeout(timeout),
        }
    }

    pub(super) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.shutdown_write(),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.read(buffer),
            Stream::Tcp(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write(bytes),
            Stream::Tcp(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.write_vectored(slices),
            Stream::Tcp(stream) => stream.write_vectored(slices),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write_vectored(slices),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_daemon_that_takes_nothing_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut stream = Stream::connect(&Address::Unix(path), None, Duration::from_millis(10)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let more_than_is_kept = vec![0; 64 << 20];
        assert_eq!(stream.write_all(&more_than_is_kept).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
