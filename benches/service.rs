//! What a user waits for: import, start, lookups over the socket, and lookups while an import runs.
//!
//! Runs the two programs as a user would, on seeded digests in a temporary folder, and holds each figure against a
//! floor measured in the same run. `HASHWARD_BENCH_LARGE=1` imports 100 million lines instead of 10 million.
//! Every answer is counted and checked: a wrong one ends the run.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::fingerprint::{Kind, Radii};
use hashward::index::sealed::Segment;
use hashward::matching::Verdict;
use hashward::protocol::{Address, Client, Reply, RequestId};

const BATCH: usize = 4096;
const DEPTH: usize = 8;
const HIT_SHARE: f64 = 0.01;
const SOCKET_TIME: Duration = Duration::from_secs(5);
const SINGLE_LOOKUPS: usize = 20_000;
const BESIDE_LINES: u64 = 1_000_000;

fn main() {
    // `cargo test --benches` only asks whether it runs at all.
    let smoke = std::env::args().any(|argument| argument == "--test");
    let large = std::env::var_os("HASHWARD_BENCH_LARGE").is_some();
    let lines = if smoke {
        20_000
    } else if large {
        100_000_000
    } else {
        10_000_000
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bench = Bench { folder: folder.path().to_path_buf(), tool: index_tool(), lines, smoke };
    println!("| what | figure | floor of this run | ratio |\n|---|---:|---:|---:|");
    bench.import();
    bench.start();
    bench.socket();
    bench.single();
}

/// Digest number `i` of the set: BLAKE3 of the number, cut to an MD5's width.
fn digest(i: u64) -> [u8; 16] {
    blake3::hash(&i.to_le_bytes()).as_bytes()[..16].try_into().expect("16 of 32 bytes")
}

struct Bench {
    folder: PathBuf,
    tool: PathBuf,
    lines: u64,
    smoke: bool,
}

impl Bench {
    fn data(&self) -> PathBuf {
        self.folder.join("hashward-data")
    }

    fn write_list(&self, name: &str, digests: std::ops::Range<u64>) -> PathBuf {
        let path = self.folder.join(name);
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).expect("a list file"));
        for i in digests {
            writeln!(out, "{}", data_encoding::HEXLOWER.encode(&digest(i))).expect("a line");
        }
        out.flush().expect("the list");
        path
    }

    fn import_command(&self, list: &str, file: &Path) -> Command {
        let mut command = Command::new(&self.tool);
        command.args(["import", list]).arg(file).args(["--kind", "md5", "--role", "illegal", "--memory", "1G"]);
        command.arg("--data").arg(self.data()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// From a file of hex lines to a published version, beside one thread that reads and hashes the file.
    fn import(&self) {
        let file = self.write_list("list.txt", 0..self.lines);
        let (_, floor) = timed(|| blake3::Hasher::new().update_reader(File::open(&file).expect("the list")).map(drop));
        let start = Instant::now();
        let mut child = self.import_command("bench", &file).spawn().expect("hashward-index starts");
        let peak_bytes = wait_and_watch(&mut child);
        let seconds = start.elapsed().as_secs_f64();
        let rate = self.lines as f64 / seconds / 1e6;
        let what = format!("import of {} M md5 lines, `--memory 1G`", self.lines / 1_000_000);
        row(
            &what,
            format!("{rate:.2} M lines/s"),
            format!("{:.2} s to read and hash", floor.as_secs_f64()),
            seconds / floor.as_secs_f64(),
        );
        println!("| its peak memory | {:.2} GB | | |", peak_bytes as f64 / 1e9);
        fs::remove_file(file).expect("the list goes");
    }

    /// From the start of the program to the first answer that is not `undecided(loading)`.
    fn start(&self) {
        let segments: Vec<PathBuf> = fs::read_dir(self.data().join("segments"))
            .expect("the store's segments")
            .map(|entry| entry.expect("a segment").path())
            .collect();
        let hash = || {
            segments
                .iter()
                .for_each(|path| drop(blake3::Hasher::new().update_reader(File::open(path).expect("a segment"))))
        };
        hash();
        let ((), floor) = timed(hash);
        let start = Instant::now();
        let daemon = self.serve();
        let seconds = start.elapsed();
        drop(daemon);
        let what = format!("start with {} M digests in the page cache, to the first answer", self.lines / 1_000_000);
        row(
            &what,
            format!("{} ms", seconds.as_millis()),
            format!("{} ms to read and hash", floor.as_millis()),
            seconds.as_secs_f64() / floor.as_secs_f64(),
        );
    }

    /// Batches over the Unix socket, beside the same lookups in this process on one thread.
    fn socket(&self) {
        let batches: Vec<Vec<u8>> = (0..64).map(|number| self.batch(number)).collect();
        let expected: Vec<usize> = batches.iter().map(|batch| self.hits_in(batch)).collect();
        let daemon = self.serve();
        let (mut sender, mut receiver) = daemon.connect().split();
        let time = if self.smoke { Duration::from_millis(50) } else { SOCKET_TIME };
        let (room, taken) = std::sync::mpsc::sync_channel::<()>(DEPTH);
        let over = AtomicBool::new(false);
        let start = Instant::now();
        let answered = thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) || room.send(()).is_err() {
                        return;
                    }
                    let batch = &batches[number % batches.len()];
                    sender
                        .lookup(RequestId(number as u32 + 1), &[Kind::Md5], &Radii::none(), batch)
                        .expect("the daemon reads");
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
        let rate = answered as f64 / start.elapsed().as_secs_f64() / 1e6;
        let floor = self.in_process(&batches);
        let what =
            format!("lookups over the Unix socket, {} M md5, 1 % hits, batches of {BATCH}", self.lines / 1_000_000);
        row(&what, format!("{rate:.1} M/s"), format!("{floor:.1} M/s in process"), floor / rate);
    }

    /// One lookup at a time, alone and beside an import, against an echo of as many bytes over a Unix socket.
    fn single(&self) {
        let (echo_p50, echo_p99) = echo(self.single_lookups());
        let daemon = self.serve();
        let mut client = daemon.connect();
        let quiet = latencies(&mut client, &mut self.singles());
        let file =
            self.write_list("beside.txt", self.lines..self.lines + if self.smoke { 1_000 } else { BESIDE_LINES });
        let import = AtomicBool::new(true);
        let beside = thread::scope(|scope| {
            scope.spawn(|| {
                let status = self.import_command("beside", &file).status().expect("hashward-index starts");
                assert!(status.success(), "the import beside the lookups failed");
                import.store(false, Ordering::Relaxed);
            });
            let mut all = Vec::new();
            while import.load(Ordering::Relaxed) {
                all.extend(latencies(&mut client, &mut self.singles().take(500)));
            }
            all
        });
        for (what, latencies) in [("alone", quiet), ("while 1 M entries are imported and published", beside)] {
            let (p50, p99) = percentiles(latencies);
            for (name, figure, floor) in [("p50", p50, echo_p50), ("p99", p99, echo_p99)] {
                let what = format!("one lookup at a time over the socket, {what}, {name}");
                row(
                    &what,
                    micros(figure),
                    format!("{} to echo", micros(floor)),
                    figure.as_secs_f64() / floor.as_secs_f64(),
                );
            }
        }
    }

    fn single_lookups(&self) -> usize {
        if self.smoke { 200 } else { SINGLE_LOOKUPS }
    }

    /// Seeded questions, alternately hits and misses.
    fn singles(&self) -> impl Iterator<Item = ([u8; 16], bool)> {
        let lines = self.lines;
        (0..self.single_lookups() as u64).map(move |i| match i % 2 {
            0 => (digest(i * 7919 % lines), true),
            _ => (digest((1 << 40) + i), false),
        })
    }

    fn batch(&self, number: u64) -> Vec<u8> {
        let every = (1.0 / HIT_SHARE) as u64;
        let one = |i: u64| {
            let i = number * BATCH as u64 + i;
            if i.is_multiple_of(every) { digest(i * 7919 % self.lines) } else { digest((1 << 41) + i) }
        };
        (0..BATCH as u64).flat_map(one).collect()
    }

    fn hits_in(&self, batch: &[u8]) -> usize {
        let mut found = Vec::new();
        self.segment().find_batch(batch, &mut found);
        found.len()
    }

    fn segment(&self) -> Segment {
        let largest = fs::read_dir(self.data().join("segments"))
            .expect("the store's segments")
            .map(|entry| entry.expect("a segment").path())
            .max_by_key(|path| fs::metadata(path).expect("a segment").len());
        Segment::open(largest.expect("at least one segment")).expect("a good segment")
    }

    fn in_process(&self, batches: &[Vec<u8>]) -> f64 {
        let segment = self.segment();
        let (mut found, mut asked) = (Vec::new(), 0);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(if self.smoke { 20 } else { 1000 }) {
            for batch in batches {
                found.clear();
                segment.find_batch(batch, &mut found);
                asked += BATCH;
            }
        }
        asked as f64 / start.elapsed().as_secs_f64() / 1e6
    }

    /// A daemon on the store, ready.
    fn serve(&self) -> Daemon {
        let socket = self.folder.join("bench.sock");
        let child = Command::new(env!("CARGO_BIN_EXE_hashward"))
            .arg("serve")
            .arg("--data")
            .arg(self.data())
            .arg("--listen")
            .arg(format!("unix:{}", socket.display()))
            .arg("--listen")
            .arg(format!("unix:{}", self.data().join("hashward.sock").display()))
            .stderr(Stdio::null())
            .spawn()
            .expect("hashward starts");
        let daemon = Daemon { child, address: Address::Unix(socket) };
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            if let Ok(mut client) = Client::connect(&daemon.address) {
                let answers = client.lookup(&[Kind::Md5], &Radii::none(), &digest(u64::MAX)).expect("an answer");
                if answers.miss == Verdict::Unknown {
                    return daemon;
                }
            }
            assert!(Instant::now() < deadline, "the daemon did not become ready");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A child that goes with its owner.
struct Daemon {
    child: Child,
    address: Address,
}

impl Daemon {
    fn connect(&self) -> Client {
        Client::connect(&self.address).expect("the daemon is ready")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn latencies(client: &mut Client, questions: &mut dyn Iterator<Item = ([u8; 16], bool)>) -> Vec<Duration> {
    questions
        .map(|(digest, hit)| {
            let start = Instant::now();
            let answers = client.lookup(&[Kind::Md5], &Radii::none(), &digest).expect("an answer");
            let taken = start.elapsed();
            assert_eq!(answers.hits.len(), usize::from(hit), "the answer to one question");
            taken
        })
        .collect()
}

/// p50 and p99 of an echo between two threads over a Unix socket, of as many bytes as a lookup and its answer have.
fn echo(times: usize) -> (Duration, Duration) {
    let (mut near, mut far) = UnixStream::pair().expect("a pair of sockets");
    let echoing = thread::spawn(move || {
        let mut bytes = [0; 34];
        while far.read_exact(&mut bytes).is_ok() && far.write_all(&bytes).is_ok() {}
    });
    let mut bytes = [0; 34];
    let taken = (0..times).map(|_| {
        let start = Instant::now();
        near.write_all(&bytes).expect("an echo");
        near.read_exact(&mut bytes).expect("an echo");
        start.elapsed()
    });
    let percentiles = percentiles(taken.collect());
    drop(near);
    echoing.join().expect("the echo ends");
    percentiles
}

fn percentiles(mut latencies: Vec<Duration>) -> (Duration, Duration) {
    latencies.sort();
    (latencies[latencies.len() / 2], latencies[latencies.len() * 99 / 100])
}

/// Waits for a child and tells the most memory it had, from the kernel's own high-water mark.
fn wait_and_watch(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_kb = peak_kb.max(mark.unwrap_or(0u64));
        if let Some(status) = child.try_wait().expect("the import is ours") {
            assert!(status.success(), "the import failed");
            return peak_kb * 1024;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

fn micros(time: Duration) -> String {
    format!("{:.0} µs", time.as_secs_f64() * 1e6)
}

fn row(what: &str, figure: String, floor: String, ratio: f64) {
    println!("| {what} | {figure} | {floor} | {ratio:.1} |");
}

/// `hashward-index` beside the program under test; built here if it is not there yet.
fn index_tool() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_hashward")).with_file_name("hashward-index");
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "-p", "hashward-index", "--profile", profile]).status();
    assert!(built.is_ok_and(|status| status.success()) && beside.exists(), "expected {}", beside.display());
    beside
}
