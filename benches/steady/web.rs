//! The few lines of HTTP that are needed: one request after the other over a connection that is kept, and a stream.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::world::PATIENCE;

/// A connection.
pub(crate) struct Web(BufReader<UnixStream>);

impl Web {
    pub(crate) fn connect(socket: &Path) -> io::Result<Web> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Web(BufReader::new(stream)))
    }

    /// Asks, and returns the status and the whole body.
    pub(crate) fn ask(&mut self, method: &str, path: &str, sort: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {sort}\r\ncontent-length: ");
        let mut request = format!("{head}{}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(body);
        self.0.get_mut().write_all(&request)?;
        self.response()
    }

    /// GETs a document in JSON.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value, String> {
        json(self.ask("GET", path, "application/json", b""))
    }

    /// POSTs one, for another.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value, String> {
        json(self.ask("POST", path, "application/json", body.to_string().as_bytes()))
    }

    /// GETs a stream, which then comes by [`Web::chunk`]. Waits no longer than `patience` for each.
    pub(crate) fn stream(mut self, path: &str, patience: Duration) -> Result<Web, String> {
        let text = |error: io::Error| error.to_string();
        self.0.get_mut().write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).map_err(text)?;
        match self.head().map_err(text)? {
            (200, Length::Chunked) => {}
            (status, _) => return Err(format!("expected a stream, found status {status}")),
        }
        self.0.get_ref().set_read_timeout(Some(patience)).map_err(text)?;
        Ok(self)
    }

    /// The next part of a body that comes in chunks; none is left after an empty one.
    pub(crate) fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let size = usize::from_str_radix(&self.line()?, 16).map_err(|_| bad("the size of a chunk"))?;
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk)?;
        self.line()?;
        Ok(chunk)
    }

    fn response(&mut self) -> io::Result<(u16, Vec<u8>)> {
        let (status, length) = self.head()?;
        let mut body = Vec::new();
        match length {
            Length::Chunked => loop {
                let chunk = self.chunk()?;
                if chunk.is_empty() {
                    break;
                }
                body.extend(chunk);
            },
            Length::Bytes(length) => {
                body.resize(length, 0);
                self.0.read_exact(&mut body)?;
            }
        }
        Ok((status, body))
    }

    /// The status, and how long the body is.
    fn head(&mut self) -> io::Result<(u16, Length)> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| bad("a status line"))?;
        let (mut length, mut is_chunked) = (None, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            let value = |name: &str| line.strip_prefix(name).map(str::trim);
            length = value("content-length:").and_then(|text| text.parse().ok()).or(length);
            is_chunked |= value("transfer-encoding:") == Some("chunked");
        }
        let length = if is_chunked { Some(Length::Chunked) } else { length.map(Length::Bytes) };
        Ok((status, length.ok_or_else(|| bad("a length"))?))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// How long a body is.
enum Length {
    Bytes(usize),
    /// As long as there are chunks that are not empty.
    Chunked,
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("expected {what}"))
}

fn json(response: io::Result<(u16, Vec<u8>)>) -> Result<Value, String> {
    let (status, body) = response.map_err(|error| error.to_string())?;
    if status != 200 {
        return Err(format!("status {status}: {}", String::from_utf8_lossy(&body)));
    }
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}
