//! A daemon that can be reached in every way there is, and clients on each that say what they like.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::protocol::{Address, Client, Hello, Op, PROTOCOL_VERSION, RequestId};

use super::http::{Response, read_response, request};
use super::tls::Authority;
use super::{Daemon, KNOWN_COUNT, PATIENCE, check_answers, free_port, known, read_frame};

/// Which protocol, and what carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    UnixFrame,
    UnixHttp,
    TcpFrame,
    TcpHttp,
    TlsFrame,
    TlsHttp,
}

impl Way {
    pub(crate) const FRAME: [Way; 3] = [Way::UnixFrame, Way::TcpFrame, Way::TlsFrame];
    pub(crate) const HTTP: [Way; 3] = [Way::UnixHttp, Way::TcpHttp, Way::TlsHttp];
}

/// Both directions of a connection.
pub(crate) trait Wire: Read + Write + Send {}

impl<T: Read + Write + Send> Wire for T {}

/// A daemon with short patience, whom anyone may ask.
pub(crate) struct Exposed {
    pub(crate) daemon: Daemon,
    pub(crate) authority: Authority,
    /// Of `TcpFrame`, `TcpHttp`, `TlsFrame`, `TlsHttp`.
    ports: [u16; 4],
    descriptors: usize,
    memory_kib: u64,
}

impl Exposed {
    pub(crate) fn start(limits: &str) -> Exposed {
        let (authority, folder, ports) =
            (Authority::new(), tempfile::tempdir().unwrap(), [(); 4].map(|()| free_port()));
        authority.issue(folder.path());
        let mut config = String::new();
        let tls = "tls = { certificate = 'chain.pem', key = 'key.pem' }\n";
        let [tcp_frame, tcp_http, tls_frame, tls_http] = ports.map(|port| format!("tcp:127.0.0.1:{port}"));
        for (address, protocol, tls) in [
            ("unix:data/hashward.sock", "frame", ""),
            ("unix:http.sock", "http", ""),
            (&tcp_frame, "frame", ""),
            (&tcp_http, "http", ""),
            (&tls_frame, "frame", tls),
            (&tls_http, "http", tls),
        ] {
            config += &format!(
                "[[listen]]\naddress = '{address}'\nprotocol = '{protocol}'\nrights = ['lookup', 'content']\n{tls}"
            );
        }
        config += "[[principal]]\nname = 'public'\nanyone = true\nrights = ['lookup', 'content']\n";
        config += "[limits]\nidle_s = 6\nframe_s = 1\nwrite_s = 1\nstranger_s = 3\nframe_bytes = 1048576\n";
        let daemon = Daemon::start_in(folder, &format!("{config}{limits}\n"));
        daemon.add("known", (0..KNOWN_COUNT).map(known));
        let mut exposed = Exposed { daemon, authority, ports, descriptors: 0, memory_kib: 0 };
        // What is opened once and kept.
        for way in [Way::FRAME, Way::HTTP].concat() {
            exposed.check(way);
        }
        exposed.descriptors = exposed.at_rest();
        exposed.memory_kib = exposed.daemon.memory_kib();
        exposed
    }

    pub(crate) fn port(&self, way: Way) -> u16 {
        match way {
            Way::UnixFrame | Way::UnixHttp => panic!("{way:?} has no port"),
            Way::TcpFrame => self.ports[0],
            Way::TcpHttp => self.ports[1],
            Way::TlsFrame => self.ports[2],
            Way::TlsHttp => self.ports[3],
        }
    }

    /// A connection that has said nothing; over TLS, nothing but what TLS says.
    pub(crate) fn connect(&self, way: Way) -> Box<dyn Wire> {
        match way {
            Way::UnixFrame => Box::new(self.daemon.raw().0),
            Way::UnixHttp => Box::new(self.http_socket()),
            Way::TcpFrame | Way::TcpHttp => Box::new(self.tcp(way)),
            Way::TlsFrame | Way::TlsHttp => Box::new(self.authority.connect(self.port(way), &[]).unwrap()),
        }
    }

    pub(crate) fn http_socket(&self) -> UnixStream {
        let stream = UnixStream::connect(self.daemon.folder.path().join("http.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection to the port, without TLS in any case.
    pub(crate) fn tcp(&self, way: Way) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port(way))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// A connection of the frame protocol after the greetings.
    pub(crate) fn greeted(&self, way: Way) -> Box<dyn Wire> {
        let mut wire = self.connect(way);
        wire.write_all(&hello()).unwrap();
        wire.flush().unwrap();
        assert_eq!(read_frame(&mut wire).unwrap().0, Op::Welcome);
        wire
    }

    pub(crate) fn client(&self, way: Way) -> Client {
        let ca = self.authority.write_own(self.daemon.folder.path());
        let address = match way {
            Way::UnixFrame => self.daemon.address(),
            Way::TcpFrame => Address::Tcp(([127, 0, 0, 1], self.port(way)).into()),
            _ => Address::Tls("localhost".to_owned(), self.port(way)),
        };
        Client::connect_trusting(&address, None, Some(&ca)).unwrap()
    }

    fn get(&self, way: Way, path: &str) -> Response {
        request(self.connect(way), "GET", path, "", b"")
    }

    /// Asks in this way, and checks every answer.
    pub(crate) fn check(&self, way: Way) {
        if Way::FRAME.contains(&way) {
            return check_answers(&mut self.client(way));
        }
        for (number, verdict) in [(0, "known"), (KNOWN_COUNT, "unknown")] {
            let response = self.get(way, &format!("/v1/lookup/md5/{}", known(number).to_hex()));
            assert_eq!((response.status, response.json()["verdict"].as_str()), (200, Some(verdict)), "{way:?}");
        }
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, series: &str) -> f64 {
        let text = String::from_utf8(self.get(Way::UnixHttp, "/metrics").body).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series}:\n{text}")).parse().unwrap()
    }

    /// How many connections ended for a reason.
    pub(crate) fn ended(&self, protocol: &str, reason: &str) -> f64 {
        self.metric(&format!("hashward_connections_ended_total{{protocol=\"{protocol}\",reason=\"{reason}\"}}"))
    }

    /// Does what a hostile client does while others ask. They get right answers all along, and when it is over the daemon
    /// holds nothing any more that it did not hold before.
    pub(crate) fn attack(&self, offence: impl FnOnce()) {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let frames = [Way::UnixFrame, Way::TlsFrame].map(|way| {
                let (mut client, over) = (self.client(way), &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        check_answers(&mut client);
                        thread::sleep(Duration::from_millis(5));
                    }
                })
            });
            let http = scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    self.check(Way::UnixHttp);
                    thread::sleep(Duration::from_millis(20));
                }
            });
            let offended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(offence));
            over.store(true, Ordering::Relaxed);
            let [one, other] = frames.map(thread::ScopedJoinHandle::join);
            one.and(other).and(http.join()).expect("others are answered all along");
            if let Err(panic) = offended {
                std::panic::resume_unwind(panic);
            }
        });
        let started_at = Instant::now();
        while self.daemon.descriptors() > self.descriptors {
            assert!(started_at.elapsed() < PATIENCE, "descriptors are not given back");
            thread::sleep(Duration::from_millis(20));
        }
        let grown_kib = self.daemon.memory_kib().saturating_sub(self.memory_kib);
        assert!(grown_kib < 48 << 10, "memory has grown by {grown_kib} KiB");
        for way in [Way::FRAME, Way::HTTP].concat() {
            self.check(way);
        }
    }

    /// How many descriptors the daemon holds when nobody is connected, once that has stayed so for a while.
    fn at_rest(&self) -> usize {
        let (mut seen, mut since) = (self.daemon.descriptors(), Instant::now());
        while since.elapsed() < Duration::from_millis(500) {
            thread::sleep(Duration::from_millis(20));
            let found = self.daemon.descriptors();
            if found != seen {
                (seen, since) = (found, Instant::now());
            }
        }
        seen
    }
}

/// Waits until `count` gives `expected`: what ended is counted a moment after it is gone.
pub(crate) fn expect_count<T: PartialEq + std::fmt::Debug>(count: impl Fn() -> T, expected: T) {
    let started_at = Instant::now();
    loop {
        let found = count();
        if found == expected {
            return;
        }
        assert!(started_at.elapsed() < Duration::from_secs(10), "expected {expected:?}, found {found:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// HELLO without a token.
pub(crate) fn hello() -> Vec<u8> {
    let mut hello = Vec::new();
    Hello { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION, token: None }.encode(&mut hello, RequestId(1));
    hello
}

/// Everything until the daemon ends the connection, in whatever way.
pub(crate) fn until_end(wire: &mut dyn Wire) -> Vec<u8> {
    let (mut all, mut part) = (Vec::new(), [0; 4_096]);
    loop {
        match wire.read(&mut part) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("the daemon does not end the connection")
            }
            Err(_) => return all,
        }
    }
}

/// The one response that comes before the daemon ends the connection.
pub(crate) fn last_response(wire: &mut dyn Wire) -> Response {
    let all = until_end(wire);
    read_response(&all[..])
}

/// Sends these bytes, one at a time and slowly, until the daemon takes no more.
pub(crate) fn trickle(wire: &mut dyn Wire, bytes: &[u8]) {
    let started_at = Instant::now();
    for byte in bytes {
        assert!(started_at.elapsed() < PATIENCE, "the daemon takes a trickle for ever");
        if wire.write_all(&[*byte]).and_then(|()| wire.flush()).is_err() {
            return;
        }
        thread::sleep(Duration::from_millis(25));
    }
    panic!("the daemon took all of it");
}
