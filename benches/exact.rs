//! How fast and how small exact matching in one segment is, held against what the memory allows.
//!
//! `cargo bench --bench exact` measures sets of 1 and 10 million digests of 16 and 32 bytes, and of 100 million of 16
//! with `HASHWARD_BENCH_LARGE=1`. Beside each figure stands its ratio to the *floor*: reading a random 64-byte line
//! from a mapping of the same file, in batches of the same length, prefetched; for single lookups, one random read
//! that waits for the one before. A checksum of the answers shows that both locators, and two runs, agree.
//!
//! `cargo test --bench exact` runs the same with small sets, once each.

mod random;

use std::cell::RefCell;
use std::fs::File;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::Criterion;
use hashward::fingerprint::Kind;
use hashward::index::exact::prefetch;
use hashward::index::sealed::{LocatorKind, Segment, SegmentSummary, SegmentWriter, WriteOptions};
use hashward::list::{Category, Flags, Label, ListId, Source, VersionNumber};
use hashward::segment::{LabelSetId, LabelTable, Mapping};
use random::Random;
use rayon::slice::ParallelSliceMut;

/// Label sets of each segment: what a list with categories and a few flags comes to.
const LABEL_SETS: u32 = 20;
/// Questions of each sort, asked in turn: many more than any cache holds lines.
const QUESTIONS: usize = 1 << 20;
const BATCHES: [usize; 2] = [64, 4096];

impl Random {
    fn digest<const WIDTH: usize>(&mut self) -> [u8; WIDTH] {
        let mut digest = [0; WIDTH];
        digest.chunks_exact_mut(8).for_each(|eight| eight.copy_from_slice(&self.next().to_le_bytes()));
        digest
    }
}

fn labels() -> LabelTable {
    let mut labels = LabelTable::new();
    for number in 0..LABEL_SETS {
        let label = labels.intern_label(Label {
            source: Source { list: ListId(16), version: VersionNumber(1) },
            category: Some(Category::new(None, &number.to_string())),
            flags: Flags::NONE,
        });
        labels.intern_set(&[label]);
    }
    labels
}

fn write<const WIDTH: usize>(path: &Path, kind: Kind, locator: LocatorKind, digests: &[[u8; WIDTH]]) -> SegmentSummary {
    let options = WriteOptions { locator: Some(locator), applied_seq: 0 };
    let mut writer = SegmentWriter::create(path, kind, options).expect("the folder can be written");
    let mut random = Random(3);
    for digest in digests {
        writer.push(digest, LabelSetId(random.next() as u32 % LABEL_SETS)).expect("sorted digests");
    }
    writer.finish(&labels()).expect("a segment")
}

/// Measures, and prints one line a figure.
struct Bench {
    criterion: Criterion,
    smoke: bool,
}

impl Bench {
    /// The time of one of the `steps` steps that `run` does, in nanoseconds: of several samples the fastest, which
    /// the machine's other work disturbed least.
    fn measure(&mut self, name: &str, steps: usize, mut run: impl FnMut()) -> f64 {
        let samples = RefCell::new(vec![]);
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let start = Instant::now();
                (0..iterations).for_each(|_| run());
                let elapsed = start.elapsed();
                samples.borrow_mut().push(elapsed.as_nanos() as f64 / iterations as f64 / steps as f64);
                elapsed
            });
        });
        // Nothing was run if the command line filters it out.
        samples.into_inner().into_iter().reduce(f64::min).unwrap_or(f64::NAN)
    }
}

/// Folds answers into a number that shows when they differ.
fn fold(sum: u64, row: u64, set: LabelSetId) -> u64 {
    (sum ^ row ^ u64::from(set.0) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23)
}

/// The floor: `lines` read in batches from a mapping, each batch prefetched as far ahead as the CPU keeps up.
fn floor_in_batches(map: &Mapping, lines: &[u32], batch: usize) -> u64 {
    const AHEAD: usize = 32;
    let read =
        |line: u32| map[line as usize * 64..line as usize * 64 + 8].iter().fold(0, |sum, byte| sum ^ u64::from(*byte));
    lines.chunks_exact(batch).fold(0, |mut sum, batch| {
        batch.iter().take(AHEAD).for_each(|line| prefetch(map, *line as usize * 64));
        for (at, line) in batch.iter().enumerate() {
            if let Some(later) = batch.get(at + AHEAD) {
                prefetch(map, *later as usize * 64);
            }
            sum ^= read(*line);
        }
        sum
    })
}

/// One random read after the other, each waiting for the one before.
fn floor_dependent(map: &Mapping, lines: &[u32]) -> u64 {
    let zero = black_box(0u64);
    lines.iter().fold(0, |last, line| {
        let at = (u64::from(*line) + (last & zero)) as usize * 64;
        u64::from_le_bytes(map[at..at + 8].try_into().expect("eight bytes"))
    })
}

fn in_batches(segment: &Segment, questions: &[u8], batch: usize) -> u64 {
    let mut found = Vec::with_capacity(batch);
    questions.chunks_exact(batch * segment.kind().width()).fold(0, |sum, digests| {
        found.clear();
        segment.find_batch(digests, &mut found);
        found.iter().fold(sum, |sum, found| fold(sum, found.row.into(), found.set))
    })
}

/// One lookup after the other, each waiting for the one before.
fn one_by_one(segment: &Segment, questions: &[u8]) -> u64 {
    let (zero, width) = (black_box(0u64), segment.kind().width());
    (0..questions.len() / width).fold(0, |sum, row| {
        let at = (row as u64 + (sum & zero)) as usize * width;
        match segment.find(&questions[at..at + width]) {
            Some((_, set)) => fold(sum, row as u64, set),
            None => sum.rotate_left(1),
        }
    })
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn set<const WIDTH: usize>(bench: &mut Bench, kind: Kind, count: usize) {
    let mut random = Random(count as u64);
    let mut digests: Vec<[u8; WIDTH]> = (0..count).map(|_| random.digest()).collect();
    let questions = if bench.smoke { 4096 } else { QUESTIONS };
    let hits: Vec<u8> = (0..questions).flat_map(|_| digests[random.next() as usize % count]).collect();
    let misses: Vec<u8> = (0..questions).flat_map(|_| random.digest::<WIDTH>()).collect();
    digests.par_sort_unstable();
    digests.dedup();

    for locator in LocatorKind::EXACT {
        let name = format!("{count}×{WIDTH}/{locator}");
        let path = folder().join(format!("bench-{}-{locator}.seg", std::process::id()));
        let start = Instant::now();
        let summary = write(&path, kind, locator, &digests);
        let durable = start.elapsed();
        report(&name, "bytes a digest", summary.bytes as f64 / digests.len() as f64, None);
        let rate = |time: Duration| digests.len() as f64 / time.as_secs_f64() / 1e6;
        report(&name, "written durably, M digests a second", rate(durable), None);
        // What the disk takes for it is the disk's affair: in memory, the writer is seen alone.
        let memory = Path::new("/dev/shm");
        if memory.is_dir() && summary.bytes < 1 << 30 {
            let path = memory.join(path.file_name().expect("a file"));
            let start = Instant::now();
            write(&path, kind, locator, &digests);
            report(&name, "written to memory, M digests a second", rate(start.elapsed()), None);
            std::fs::remove_file(path).expect("our own file");
        }

        let segment = Segment::open(&path).expect("what was just written");
        let start = Instant::now();
        segment.verify().expect("what was just written");
        report(&name, "open and verify, ms", start.elapsed().as_secs_f64() * 1e3, None);

        let map = Mapping::of(&File::open(&path).expect("our own file")).expect("a file that is not empty");
        map.populate();
        let lines: Vec<u32> = (0..questions).map(|_| (random.next() % (summary.bytes / 64)) as u32).collect();
        for batch in BATCHES {
            let floor = bench.measure(&format!("{name}/floor/{batch}"), questions, || {
                black_box(floor_in_batches(&map, &lines, batch));
            });
            report(&name, &format!("floor in batches of {batch}, ns"), floor, None);
            for (what, questions) in [("misses", &misses), ("hits", &hits)] {
                let checksum = in_batches(&segment, questions, batch);
                let time = bench.measure(&format!("{name}/{what}/{batch}"), questions.len() / WIDTH, || {
                    black_box(in_batches(&segment, questions, batch));
                });
                report(&name, &format!("{what} in batches of {batch}, ns"), time, Some((floor, checksum)));
            }
        }
        let floor = bench.measure(&format!("{name}/floor/single"), questions, || {
            black_box(floor_dependent(&map, &lines));
        });
        report(&name, "one dependent read, ns", floor, None);
        for (what, questions) in [("misses", &misses), ("hits", &hits)] {
            let checksum = one_by_one(&segment, questions);
            let time = bench.measure(&format!("{name}/{what}/single"), questions.len() / WIDTH, || {
                black_box(one_by_one(&segment, questions));
            });
            report(&name, &format!("{what} one by one, ns"), time, Some((floor, checksum)));
        }
        std::fs::remove_file(path).expect("our own file");
    }
}

fn report(name: &str, what: &str, figure: f64, against: Option<(f64, u64)>) {
    match against {
        Some((floor, checksum)) => {
            println!(
                "= {name:<20} {what:<40} {figure:>9.2}   {:>6.2} × floor   answers {checksum:016x}",
                figure / floor
            );
        }
        None => println!("= {name:<20} {what:<40} {figure:>9.2}"),
    }
}

fn main() {
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(800))
        .without_plots()
        .configure_from_args();
    let mut bench = Bench { criterion, smoke };
    if smoke {
        set::<16>(&mut bench, Kind::Md5, 5000);
        set::<32>(&mut bench, Kind::Sha256, 5000);
        return;
    }
    for count in [1_000_000, 10_000_000] {
        set::<16>(&mut bench, Kind::Md5, count);
        set::<32>(&mut bench, Kind::Sha256, count);
    }
    if std::env::var_os("HASHWARD_BENCH_LARGE").is_some() {
        set::<16>(&mut bench, Kind::Md5, 100_000_000);
    }
}
