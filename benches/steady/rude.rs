//! Connections that are of no use: some stand, and some ask without end and never read an answer.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Kind, Radii};
use hashward::protocol::{Hello, Op, PROTOCOL_VERSION, RequestId, encode_frame, encode_lookup};
use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::world::unknown;

/// Bytes of answers that the kernel keeps for one that never reads, so that few answers are enough.
const KEPT_BYTES: usize = 16 << 10;

/// Rows of their questions.
const ROWS: u64 = 4_096;

/// STATUS has the longest answer for the shortest question: so many go with each LOOKUP.
const STATUS_A_LOOKUP: u32 = 64;

/// Somebody who has not written anything for so long is stuck.
const STUCK_AFTER: Duration = Duration::from_millis(500);

/// A connection without manners.
pub(crate) struct Wire {
    stream: File,
    is_http: bool,
}

impl Wire {
    pub(crate) fn new(socket: OwnedFd, is_http: bool) -> Wire {
        Wire { stream: File::from(socket), is_http }
    }

    pub(crate) fn is_http(&self) -> bool {
        self.is_http
    }

    pub(crate) fn descriptor(&self) -> &File {
        &self.stream
    }

    /// Has the kernel keep few answers.
    pub(crate) fn keep_little(&self) {
        set_socket_recv_buffer_size(&self.stream, KEPT_BYTES).expect("a buffer may be small");
    }

    /// Says something and hears the answer, as well-behaved connections begin.
    pub(crate) fn greet(&mut self) -> Result<(), String> {
        let (greeting, expected) = match self.is_http {
            true => (b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(), &b"HTTP/1.1 200"[..]),
            false => (hello(), &[][..]),
        };
        self.stream.write_all(&greeting).map_err(|error| error.to_string())?;
        let mut answer = [0; 4_096];
        let count = self.stream.read(&mut answer).map_err(|error| error.to_string())?;
        // Byte 4 of a frame is its op.
        let is_welcome = self.is_http || answer[4] == Op::Welcome as u8;
        let is_good = count > 0 && answer.starts_with(expected) && is_welcome;
        if is_good { Ok(()) } else { Err(format!("expected a greeting, found {count} bytes")) }
    }
}

fn hello() -> Vec<u8> {
    let mut hello = Vec::new();
    Hello { lowest: PROTOCOL_VERSION, highest: PROTOCOL_VERSION, token: None }.encode(&mut hello, RequestId(1));
    hello
}

/// What is asked over and over: frames, and requests of HTTP.
fn questions() -> [Vec<u8>; 2] {
    let values: Vec<[u8; 16]> = (0..ROWS).map(unknown).collect();
    let mut frames = Vec::new();
    encode_lookup(&mut frames, RequestId(2), &[Kind::Md5], &Radii::none(), values.as_flattened());
    for id in 0..STATUS_A_LOOKUP {
        encode_frame(&mut frames, Op::Status, RequestId(3 + id), &[]);
    }
    let rows: Vec<String> = values.iter().map(|value| data_encoding::HEXLOWER.encode(value)).collect();
    let body = serde_json::json!({ "kinds": ["md5"], "rows": rows }).to_string();
    let head = "POST /v1/lookup HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ";
    [frames, format!("{head}{}\r\n\r\n{body}", body.len()).into_bytes()]
}

/// A thread that pushes all of them.
pub(crate) struct Rude {
    shared: Arc<Shared>,
    thread: JoinHandle<Duration>,
}

#[derive(Default)]
struct Shared {
    stuck: AtomicUsize,
    cut: AtomicUsize,
    is_over: AtomicBool,
}

struct Pushing {
    wire: Wire,
    /// Of what is sent next: how much of it was sent.
    sent: usize,
    has_greeted: bool,
    progress_at: Instant,
    is_cut: bool,
}

impl Rude {
    /// Begins to ask over all of them, as fast as they take it.
    pub(crate) fn begin(wires: impl Iterator<Item = Wire>) -> Rude {
        let of_one = |wire: Wire| {
            rustix::io::ioctl_fionbio(&wire.stream, true).expect("a socket need not block");
            let has_greeted = wire.is_http;
            Pushing { wire, sent: 0, has_greeted, progress_at: Instant::now(), is_cut: false }
        };
        let mut pushing: Vec<Pushing> = wires.map(of_one).collect();
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let (hello, questions, mut longest) = (hello(), questions(), Duration::ZERO);
            while !seen.is_over.load(Ordering::Relaxed) {
                for one in pushing.iter_mut().filter(|one| !one.is_cut) {
                    if let Some(after) = one.push(&hello, &questions[usize::from(one.wire.is_http)]) {
                        longest = longest.max(after);
                    }
                }
                let cut = pushing.iter().filter(|one| one.is_cut).count();
                let is_stuck = |one: &&Pushing| !one.is_cut && one.progress_at.elapsed() > STUCK_AFTER;
                seen.cut.store(cut, Ordering::Relaxed);
                seen.stuck.store(pushing.iter().filter(is_stuck).count(), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
            longest
        });
        Rude { shared, thread }
    }

    /// How many could write nothing lately.
    pub(crate) fn stuck(&self) -> usize {
        self.shared.stuck.load(Ordering::Relaxed)
    }

    /// How many the daemon has ended.
    pub(crate) fn cut(&self) -> usize {
        self.shared.cut.load(Ordering::Relaxed)
    }

    /// Closes all. Returns the longest time from when one could not write any more to when it was cut off.
    pub(crate) fn end(self) -> Duration {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the rude ones do not panic")
    }
}

impl Pushing {
    /// Writes once, as much as the socket takes. Returns how long nothing was taken if the daemon has ended it.
    fn push(&mut self, hello: &[u8], questions: &[u8]) -> Option<Duration> {
        let bytes = if self.has_greeted { questions } else { hello };
        match self.wire.stream.write(&bytes[self.sent..]) {
            Ok(count) => {
                self.progress_at = Instant::now();
                self.sent += count;
                if self.sent == bytes.len() {
                    (self.sent, self.has_greeted) = (0, true);
                }
                None
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(_) => {
                self.is_cut = true;
                Some(self.progress_at.elapsed())
            }
        }
    }
}
