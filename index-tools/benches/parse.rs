//! How fast each format is parsed, on one core, from memory: no sorting, nothing kept. The floor is finding the ends of
//! all lines in the same bytes. SQLite reads NSRL's databases from a file, which is unfolded first; deltas are read with
//! a base of no rows.
//!
//! Every record is counted: a list that is not read whole ends the run.

mod made_lists;

use std::hint::black_box;
use std::time::{Duration, Instant};

use hashward::fingerprint::Kind;
use hashward_index::formats::{Format, ParseOptions, Record, Rejected, Sink, SinkError};

/// Bytes of each list, roughly: more than caches hold.
const LIST_BYTES: u64 = 256 << 20;
/// The best of so many runs counts, since the machine has other work.
const RUNS: usize = 3;

/// Formats with a target, in MB/s.
const TARGETS: [(Format, u64); 3] = [(Format::Sum, 300), (Format::NsrlV2, 300), (Format::Vics, 200)];

fn main() {
    // `cargo test --benches` only asks whether it runs at all.
    let smoke = !std::env::args().any(|argument| argument == "--bench");
    let list_bytes = if smoke { 1 << 20 } else { LIST_BYTES };
    println!("| format | bytes a record | M records/s | MB/s | floor, MB/s | ratio | target, MB/s |");
    println!("|---|---:|---:|---:|---:|---:|---:|");
    for format in Format::ALL {
        measure(format, list_bytes);
    }
}

fn measure(format: Format, list_bytes: u64) {
    let list = |records| {
        let mut list = Vec::new();
        made_lists::write_list(format, records, 1, &mut list).expect("memory takes it");
        list
    };
    const SAMPLE: u64 = 10_000;
    let records = list_bytes * SAMPLE / list(SAMPLE).len() as u64;
    let list = list(records);
    let floor = best(|| black_box(memchr::memchr_iter(b'\n', black_box(&list)).count()));
    // What a delta changes.
    let mut base = tempfile::NamedTempFile::new().expect("a temporary file");
    made_lists::write_list(Format::NsrlV3, 0, 1, &mut base).expect("a temporary file");
    let base = (format == Format::NsrlV3Delta).then(|| base.path().to_owned());
    let options = ParseOptions { kind: Some(Kind::Md5), base, ..ParseOptions::default() };
    let parsed = best(|| {
        let mut counter = Counter::default();
        let parsed = format.parse(&mut &list[..], &options, &mut counter).expect("a well-formed list");
        assert_eq!((parsed.records, parsed.rejected, counter.records), (records, 0, records), "{format}");
        black_box(counter);
    });
    let rate = |time: Duration| list.len() as f64 / 1e6 / time.as_secs_f64();
    let target =
        TARGETS.iter().find(|(of, _)| *of == format).map_or(String::new(), |(_, target)| format!("≥ {target}"));
    println!(
        "| {format} | {:.0} | {:.2} | {:.0} | {:.0} | {:.1} × | {target} |",
        list.len() as f64 / records as f64,
        records as f64 / 1e6 / parsed.as_secs_f64(),
        rate(parsed),
        rate(floor),
        parsed.as_secs_f64() / floor.as_secs_f64(),
    );
}

fn best<T>(mut run: impl FnMut() -> T) -> Duration {
    let time = |_| {
        let start = Instant::now();
        black_box(run());
        start.elapsed()
    };
    (0..RUNS).map(time).min().expect("there are runs")
}

/// Looks at everything that a parser finds, and keeps nothing.
#[derive(Default)]
struct Counter {
    records: u64,
    sum: u64,
}

impl Sink for Counter {
    fn record(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        self.records += 1;
        let values = record.values.iter().map(|(_, value)| u64::from(value[0]));
        self.sum += values.sum::<u64>() + record.name().map_or(0, |name| name.len() as u64);
        Ok(())
    }

    fn rejected(&mut self, rejected: Rejected) -> Result<(), SinkError> {
        panic!("record {}: {} {}", rejected.record, rejected.reason, rejected.detail)
    }

    fn unsupported(&mut self, name: &str) {
        panic!("{name} is a kind that hashward has")
    }
}
