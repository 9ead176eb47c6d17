//! The two programs, as benches run them.

#![allow(dead_code)] // each bench uses its part

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::fingerprint::{Kind, Radii};
use hashward::protocol::{Address, Client, Reply, RequestId, SOCKET_NAME};

/// How long a daemon may take to start.
const START_MAX: Duration = Duration::from_secs(120);

/// Whether it is only asked if the bench runs at all: by `cargo test --benches`, or by `-- --test`.
pub(crate) fn is_smoke() -> bool {
    let is_given = |wanted: &str| std::env::args().any(|argument| argument == wanted);
    !is_given("--bench") || is_given("--test")
}

/// Digest number `i` of the set: BLAKE3 of the number, cut to an MD5's width.
pub(crate) fn digest(i: u64) -> [u8; 16] {
    blake3::hash(&i.to_le_bytes()).as_bytes()[..16].try_into().expect("16 of 32 bytes")
}

/// Perceptual code number `i` of the set.
pub(crate) fn code(i: u64) -> [u8; 32] {
    *blake3::hash(&i.to_le_bytes()).as_bytes()
}

/// A file of these values, one a line in hex.
pub(crate) fn write_list<const WIDTH: usize>(
    folder: &Path,
    name: &str,
    values: impl Iterator<Item = [u8; WIDTH]>,
) -> PathBuf {
    let path = folder.join(name);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).expect("a list file"));
    for value in values {
        writeln!(out, "{}", data_encoding::HEXLOWER.encode(&value)).expect("a line");
    }
    out.flush().expect("the list");
    path
}

/// The one in the middle.
pub(crate) fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

pub(crate) fn hashward() -> Command {
    Command::new(env!("CARGO_BIN_EXE_hashward"))
}

/// `hashward-index` beside the program under test; built here if it is not there yet.
pub(crate) fn index_tool() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_hashward")).with_file_name("hashward-index");
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "hashward-index", "--profile", profile]).status();
    assert!(built.is_ok_and(|status| status.success()) && beside.exists(), "expected {}", beside.display());
    beside
}

/// Rows answered in a second, where batches of md5 are asked one after the other, `depth` of them under way. Each must have
/// the hits that `expected` says.
pub(crate) fn rows_per_second(
    client: Client,
    batches: &[Vec<u8>],
    expected: &[usize],
    depth: usize,
    time: Duration,
) -> f64 {
    let (mut sender, mut receiver) = client.split();
    let (room, taken) = std::sync::mpsc::sync_channel::<()>(depth);
    let over = AtomicBool::new(false);
    let start = Instant::now();
    let answered = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                if over.load(Ordering::Relaxed) || room.send(()).is_err() {
                    return;
                }
                let batch = &batches[number % batches.len()];
                let id = RequestId(number as u32 + 1);
                sender.lookup(id, &[Kind::Md5], &Radii::none(), batch).expect("the daemon reads");
            }
        });
        let mut answered = 0;
        while start.elapsed() < time {
            let (id, reply) = receiver.receive().expect("the daemon answers");
            let Reply::Answers(answers) = reply else { panic!("expected answers, found {reply:?}") };
            assert_eq!(answers.hits.len(), expected[(id.0 as usize - 1) % batches.len()], "hits of batch {}", id.0);
            answered += answers.rows as u64;
            taken.recv().expect("a batch is under way");
        }
        over.store(true, Ordering::Relaxed);
        drop(taken);
        answered
    });
    answered as f64 / start.elapsed().as_secs_f64()
}

/// A daemon that goes with its owner.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) address: Address,
}

impl Daemon {
    /// Starts a daemon at its default socket, and waits until `is_ready` says so.
    pub(crate) fn start(data: &Path, is_ready: impl Fn(&mut Client) -> bool) -> Daemon {
        let mut command = hashward();
        command.arg("serve").arg("--data").arg(data).stderr(Stdio::null());
        Daemon::run(command, data, is_ready)
    }

    /// The same with a command of one's own, for a daemon that listens at the default socket of `data`.
    pub(crate) fn run(mut command: Command, data: &Path, is_ready: impl Fn(&mut Client) -> bool) -> Daemon {
        let address = Address::Unix(data.join(SOCKET_NAME));
        let daemon = Daemon { child: command.spawn().expect("hashward starts"), address };
        let deadline = Instant::now() + START_MAX;
        while !Client::connect(&daemon.address).is_ok_and(|mut client| is_ready(&mut client)) {
            assert!(Instant::now() < deadline, "the daemon did not become ready");
            thread::sleep(Duration::from_millis(2));
        }
        daemon
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(&self.address).expect("the daemon is ready")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
