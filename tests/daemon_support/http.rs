//! HTTP without a library: what is sent is just what a test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::Daemon;

/// A response, its body whole.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The problem, which says of itself what the response says.
    pub(crate) fn problem(&self, status: u16, sort: &str) -> String {
        let problem = self.json();
        assert_eq!(self.headers["content-type"], "application/problem+json", "{self:?}");
        assert_eq!((self.status, &problem["status"]), (status, &json!(status)), "{problem}");
        assert_eq!(problem["type"], format!("urn:hashward:problem:{sort}"));
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// A listener for frames, and one for HTTP that grants looking up and content.
pub(crate) const LISTEN: &str = "[[listen]]\naddress = 'unix:data/hashward.sock'\n\
    [[listen]]\naddress = 'unix:http.sock'\nprotocol = 'http'\nrights = ['lookup', 'content']\n";

pub(crate) struct Http {
    pub(crate) daemon: Daemon,
    pub(crate) socket: PathBuf,
}

impl Http {
    /// A daemon whose HTTP listener grants looking up and content.
    pub(crate) fn start(more: &str) -> Http {
        Http::start_at(LISTEN, more)
    }

    /// A daemon with these listeners, one of them for HTTP at `unix:http.sock`.
    pub(crate) fn start_at(listen: &str, more: &str) -> Http {
        let daemon = Daemon::start(&format!("{listen}{more}"));
        let socket = daemon.folder.path().join("http.sock");
        Http { daemon, socket }
    }

    pub(crate) fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
        request(UnixStream::connect(&self.socket).unwrap(), method, path, headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        self.request("GET", path, "", b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.request("POST", path, "content-type: application/json\r\n", body.to_string().as_bytes())
    }
}

/// One request over a connection of its own.
pub(crate) fn request(mut stream: impl Read + Write, method: &str, path: &str, headers: &str, body: &[u8]) -> Response {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}");
    stream.write_all(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).unwrap();
    // The daemon may refuse before it has read all.
    let _ = stream.write_all(body);
    read_response(stream)
}

pub(crate) fn read_response(stream: impl Read) -> Response {
    let mut input = BufReader::new(stream);
    let mut line = String::new();
    input.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
    let mut headers = BTreeMap::new();
    loop {
        line.clear();
        input.read_line(&mut line).unwrap();
        match line.trim_end().split_once(": ") {
            Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
        loop {
            line.clear();
            input.read_line(&mut line).unwrap();
            let length = u64::from_str_radix(line.trim_end(), 16).unwrap();
            (&mut input).take(length).read_to_end(&mut body).unwrap();
            input.read_line(&mut line).unwrap();
            if length == 0 {
                break;
            }
        }
    } else {
        input.read_to_end(&mut body).unwrap();
    }
    Response { status, headers, body }
}
