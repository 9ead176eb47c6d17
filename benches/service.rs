//! What a user waits for: import, start, lookups over the socket, and lookups while an import runs, or while others ask
//! by distance and send pictures.
//!
//! Runs the two programs as a user would, on seeded digests in a temporary folder, and holds each figure against a
//! floor measured in the same run. `HASHWARD_BENCH_LARGE=1` imports 100 million lines instead of 10 million.
//! Every answer is counted and checked: a wrong one ends the run.

#[path = "../tests/pictures_support/mod.rs"]
mod pictures_support;
mod programs;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::fingerprint::{Kind, Radii};
use hashward::index::sealed::Segment;
use hashward::matching::Verdict;
use hashward::protocol::{Client, ContentOptions};
use pictures_support::{jpeg, photo, resized};
use programs::{Daemon, code, digest, index_tool, is_smoke, rows_per_second, write_list};

const BATCH: usize = 4096;
const DEPTH: usize = 8;
const HIT_SHARE: f64 = 0.01;
const SOCKET_TIME: Duration = Duration::from_secs(5);
const SINGLE_LOOKUPS: usize = 20_000;
const BESIDE_LINES: u64 = 1_000_000;
/// Perceptual codes that are asked by distance in the full load.
const NEAR_LINES: u64 = 1_000_000;
const NEAR_BATCH: u64 = 256;
/// Connections of each sort in the full load: more than there are processors, so that none is idle.
const LOAD_CONNECTIONS: usize = 4;
/// Quiet and loaded times take turns, so that what else the machine does falls on both.
const LOAD_ROUNDS: usize = 5;
const LOAD_TIME: Duration = Duration::from_secs(2);

fn main() {
    let smoke = is_smoke();
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
    bench.beside_a_full_load();
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

    fn import_command(&self, list: &str, kind: Kind, file: &Path) -> Command {
        let mut command = Command::new(&self.tool);
        command.args(["import", list]).arg(file).args(["--role", "illegal", "--memory", "1G", "--kind", kind.name()]);
        command.arg("--data").arg(self.data()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// From a file of hex lines to a published version, beside one thread that reads and hashes the file.
    fn import(&self) {
        let file = write_list(&self.folder, "list.txt", (0..self.lines).map(digest));
        let (_, floor) = timed(|| blake3::Hasher::new().update_reader(File::open(&file).expect("the list")).map(drop));
        let start = Instant::now();
        let mut child = self.import_command("bench", Kind::Md5, &file).spawn().expect("hashward-index starts");
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
        let time = if self.smoke { Duration::from_millis(50) } else { SOCKET_TIME };
        let rate = rows_per_second(daemon.connect(), &batches, &expected, DEPTH, time) / 1e6;
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
        let lines = if self.smoke { 1_000 } else { BESIDE_LINES };
        let file = write_list(&self.folder, "beside.txt", (self.lines..self.lines + lines).map(digest));
        let import = AtomicBool::new(true);
        let beside = thread::scope(|scope| {
            scope.spawn(|| {
                let status = self.import_command("beside", Kind::Md5, &file).status().expect("hashward-index starts");
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

    /// One lookup at a time, beside others that ask by distance and send pictures without pause, against the same while
    /// nobody does.
    fn beside_a_full_load(&self) {
        let lines = if self.smoke { 1_000 } else { NEAR_LINES };
        let file = write_list(&self.folder, "near.txt", (0..lines).map(code));
        let imported = self.import_command("near", Kind::Pdq, &file).status().expect("hashward-index starts");
        assert!(imported.success(), "the import of perceptual codes failed");
        let daemon = self.serve();
        let mut client = daemon.connect();
        let time = if self.smoke { Duration::from_millis(100) } else { LOAD_TIME };
        let mut for_a_while = || {
            let (start, mut all) = (Instant::now(), Vec::new());
            while start.elapsed() < time {
                all.extend(latencies(&mut client, &mut self.singles().take(100)));
            }
            all
        };
        let load = Load::new(&daemon, lines);
        let (mut quiet, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..if self.smoke { 1 } else { LOAD_ROUNDS } {
            quiet.extend(for_a_while());
            beside.extend(load.beside(&mut for_a_while));
        }
        let seconds = time.as_secs_f64() * if self.smoke { 1.0 } else { LOAD_ROUNDS as f64 };
        let rate = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / seconds;
        let (codes, pictures) = (rate(&load.codes), rate(&load.pictures));
        let what =
            format!("one lookup at a time beside {codes:.0} questions by distance and {pictures:.0} pictures a second");
        let ((p50, p99), (quiet_p50, quiet_p99)) = (percentiles(beside), percentiles(quiet));
        for (name, figure, floor) in [("p50", p50, quiet_p50), ("p99", p99, quiet_p99)] {
            let ratio = figure.as_secs_f64() / floor.as_secs_f64();
            row(&format!("{what}, {name}"), micros(figure), format!("{} quiet", micros(floor)), ratio);
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
        Daemon::start(&self.data(), |client| {
            let answers = client.lookup(&[Kind::Md5], &Radii::none(), &digest(u64::MAX)).expect("an answer");
            answers.miss == Verdict::Unknown
        })
    }
}

/// Clients that keep the daemon as busy as they can.
struct Load<'a> {
    daemon: &'a Daemon,
    lines: u64,
    picture: Vec<u8>,
    /// Values asked by distance so far.
    codes: AtomicU64,
    /// Pictures sent so far.
    pictures: AtomicU64,
}

impl Load<'_> {
    fn new(daemon: &Daemon, lines: u64) -> Load<'_> {
        // 1,280 × 960 pixels, as a platform's users send them.
        let picture = jpeg(&resized(&photo(1), 4.0), 85);
        Load { daemon, lines, picture, codes: AtomicU64::new(0), pictures: AtomicU64::new(0) }
    }

    /// What `measure` gives while the load lasts.
    fn beside<T>(&self, measure: impl FnOnce() -> T) -> T {
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for number in 0..LOAD_CONNECTIONS as u64 {
                let over = &over;
                scope.spawn(move || self.ask_by_distance(number, over));
                scope.spawn(move || self.send_pictures(over));
            }
            let measured = measure();
            over.store(true, Ordering::Relaxed);
            measured
        })
    }

    /// Alternately codes that the list has and codes that are far from all of them.
    fn ask_by_distance(&self, number: u64, over: &AtomicBool) {
        let mut client = self.daemon.connect();
        for batch in 0.. {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let first = (batch * LOAD_CONNECTIONS as u64 + number) * NEAR_BATCH;
            let one = |i: u64| if i.is_multiple_of(2) { code(i % self.lines) } else { code((1 << 40) + i) };
            let rows: Vec<u8> = (first..first + NEAR_BATCH).flat_map(one).collect();
            let answers = client.lookup(&[Kind::Pdq], &Radii::none(), &rows).expect("an answer");
            assert_eq!(answers.hits.len() as u64, NEAR_BATCH / 2, "the answer to questions by distance");
            self.codes.fetch_add(NEAR_BATCH, Ordering::Relaxed);
        }
    }

    fn send_pictures(&self, over: &AtomicBool) {
        let mut client = self.daemon.connect();
        while !over.load(Ordering::Relaxed) {
            let answers = client.content(&ContentOptions::default(), &self.picture[..]).expect("an answer");
            let (miss, hits) = (answers.miss, answers.hits.len());
            assert_eq!((miss, hits), (Verdict::Unknown, 0), "the answer to a picture");
            assert!(answers.checked.contains(&Kind::Pdq), "the picture was hashed: {answers:?}");
            self.pictures.fetch_add(1, Ordering::Relaxed);
        }
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
