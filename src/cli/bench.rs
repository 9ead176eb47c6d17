//! `hashward bench`: a load generator.
//!
//! Asks about pseudo-random values, with known ones strewn among them, and measures how many answers come a second and
//! how long a request takes. With one request at a time (`--depth 1`) one thread asks and hears, as a simple client
//! would; with more, one thread asks and another hears.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::Exit;
use super::connect::Socket;
use super::output::{Format, Output};
use crate::fingerprint::{DegenerateDigests, Encoding, Fingerprint, Kind, Radii};
use crate::protocol::{Client, Reply, RequestId, Sender};

/// Known values that are kept of a sample.
const SAMPLE_VALUES_MAX: usize = 1 << 20;

/// Request latencies that are kept; enough for 99 in a hundred of any run.
const LATENCIES_MAX: usize = 4 << 20;

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: Socket,
    /// The kind to ask about
    #[arg(long, value_name = "K", default_value = "md5")]
    kind: Kind,
    /// The share of values that are known
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    hits: f64,
    /// A file of known hashes, one a line in hex, text behind it allowed; without it the values of the built-in list
    /// hashward-degenerate are asked, which every daemon knows
    #[arg(long, value_name = "FILE")]
    sample: Option<PathBuf>,
    /// Values a request
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    batch: usize,
    /// Requests under way at once
    #[arg(long, value_name = "N", default_value_t = 8)]
    depth: usize,
    /// How long to measure
    #[arg(long, value_name = "N", default_value_t = 5)]
    seconds: u64,
    /// What the values are made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How to write the figures
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What was measured.
#[derive(Serialize)]
struct Figures {
    lookups_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
    lookups: u64,
    requests: u64,
    seconds: f64,
    /// Known values that were asked about.
    hits_asked: u64,
    /// Rows for which a list matched; at least as many, or the daemon does not know the sample.
    hits_found: u64,
    kind: Kind,
    batch: usize,
    depth: usize,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    ensure!((0.0..=1.0).contains(&arguments.hits), "--hits: expected a share from 0 to 1, found {}", arguments.hits);
    ensure!(arguments.depth > 0, "--depth: expected 1 or more");
    let client = arguments.socket.connect()?;
    let most = client.max_rows(&[arguments.kind]);
    ensure!((1..=most).contains(&arguments.batch), "--batch: expected 1 to {most}, found {}", arguments.batch);
    let known = match &arguments.sample {
        Some(path) => sample(path, arguments.kind)?,
        None => built_in(arguments.kind),
    };
    ensure!(arguments.hits == 0.0 || !known.is_empty(), "no known value of {}; name a --sample", arguments.kind);
    let load = Load::new(arguments, known);
    let measured = if arguments.depth == 1 { one_by_one(client, load)? } else { pipelined(client, load, arguments)? };
    report(arguments, measured)?;
    Ok(Exit::Fine)
}

/// Known values, packed, from a file.
fn sample(path: &Path, kind: Kind) -> Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut values = Vec::new();
    for line in BufReader::new(file).split(b'\n').take(SAMPLE_VALUES_MAX) {
        let line = String::from_utf8_lossy(&line?).into_owned();
        let Some(text) = line.split_whitespace().next() else { continue };
        let value = Fingerprint::parse(kind, text, Encoding::Hex)
            .with_context(|| format!("{}: `{text}` is no {kind}", path.display()))?;
        values.extend_from_slice(value.value());
    }
    Ok(values)
}

/// Values that every daemon knows, packed.
fn built_in(kind: Kind) -> Vec<u8> {
    let digests = DegenerateDigests::compute();
    digests.iter().filter(|(of, _)| *of == kind).flat_map(|(_, value)| value).copied().collect()
}

/// Makes requests.
struct Load {
    kind: Kind,
    known: Vec<u8>,
    /// A value is known if 32 random bits are below this.
    hit_below: u64,
    random: SplitMix,
    rows: Vec<u8>,
    hits_asked: u64,
    seconds: Duration,
}

impl Load {
    fn new(arguments: &Arguments, known: Vec<u8>) -> Load {
        Load {
            kind: arguments.kind,
            known,
            hit_below: (arguments.hits * (1u64 << 32) as f64) as u64,
            random: SplitMix(arguments.seed),
            rows: vec![0; arguments.batch * arguments.kind.width()],
            hits_asked: 0,
            seconds: Duration::from_secs(arguments.seconds),
        }
    }

    /// The rows of the next request.
    fn next(&mut self) -> &[u8] {
        let width = self.kind.width();
        for row in self.rows.chunks_exact_mut(width) {
            let dice = self.random.next();
            if dice & 0xFFFF_FFFF < self.hit_below {
                let place = (dice >> 32) as usize % (self.known.len() / width) * width;
                row.copy_from_slice(&self.known[place..place + width]);
                self.hits_asked += 1;
            } else {
                for part in row.chunks_mut(8) {
                    part.copy_from_slice(&self.random.next().to_le_bytes()[..part.len()]);
                }
            }
        }
        &self.rows
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough to look like digests.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[derive(Default)]
struct Measured {
    elapsed: Duration,
    requests: u64,
    lookups: u64,
    hits_asked: u64,
    hits_found: u64,
    latencies_ns: Vec<u64>,
}

impl Measured {
    fn add(&mut self, answers: &crate::matching::Answers, asked_at: Instant) {
        self.requests += 1;
        self.lookups += u64::from(answers.rows);
        self.hits_found += answers.hits.len() as u64;
        if self.latencies_ns.len() < LATENCIES_MAX {
            self.latencies_ns.push(asked_at.elapsed().as_nanos() as u64);
        }
    }
}

/// Asks and hears on this thread.
fn one_by_one(mut client: Client, mut load: Load) -> Result<Measured> {
    let mut measured = Measured::default();
    let started_at = Instant::now();
    while started_at.elapsed() < load.seconds {
        let kinds = [load.kind];
        let rows = load.next();
        let asked_at = Instant::now();
        let answers = client.lookup(&kinds, &Radii::none(), rows)?;
        measured.add(&answers, asked_at);
    }
    Ok(Measured { elapsed: started_at.elapsed(), hits_asked: load.hits_asked, ..measured })
}

/// Asks on another thread and hears on this one. The channel holds when each request was made; it has room for as many
/// as may be under way.
fn pipelined(client: Client, load: Load, arguments: &Arguments) -> Result<Measured> {
    let (sender, mut receiver) = client.split();
    let (asked, asked_at) = mpsc::sync_channel(arguments.depth - 1);
    let started_at = Instant::now();
    thread::scope(|scope| {
        let asking = scope.spawn(move || ask_on(sender, load, &asked, started_at));
        let mut measured = Measured::default();
        // Dropped when this ends early, so that the other thread ends too.
        let asked_at = asked_at;
        // Ends when all requests are made, and with it the channel, and the last is answered.
        while let Ok(asked_at) = asked_at.recv() {
            match receiver.receive()? {
                (_, Reply::Answers(answers)) => measured.add(&answers, asked_at),
                (_, Reply::Busy(text)) => anyhow::bail!("the daemon is busy: {text}"),
                (_, Reply::Error(failure)) => anyhow::bail!("the daemon refused: {failure}"),
                (_, other) => anyhow::bail!("expected answers, found {other:?}"),
            }
        }
        let elapsed = started_at.elapsed();
        let hits_asked = asking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Measured { elapsed, hits_asked, ..measured })
    })
}

fn ask_on(mut sender: Sender, mut load: Load, asked: &mpsc::SyncSender<Instant>, started_at: Instant) -> Result<u64> {
    let mut id = 1;
    while started_at.elapsed() < load.seconds {
        let kinds = [load.kind];
        let rows = load.next();
        // Blocks while as many as `--depth` are under way; without a hearer there is no use in asking on.
        if asked.send(Instant::now()).is_err() {
            break;
        }
        sender.lookup(RequestId(id), &kinds, &Radii::none(), rows)?;
        id = id.checked_add(1).unwrap_or(1);
    }
    Ok(load.hits_asked)
}

fn report(arguments: &Arguments, mut measured: Measured) -> Result<()> {
    ensure!(!measured.latencies_ns.is_empty(), "no request was answered in {} s", arguments.seconds);
    measured.latencies_ns.sort_unstable();
    let latencies = &measured.latencies_ns;
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1_000.0;
    let seconds = measured.elapsed.as_secs_f64();
    let figures = Figures {
        lookups_per_s: (measured.lookups as f64 / seconds).round(),
        p50_us: at(0.5),
        p99_us: at(0.99),
        max_us: at(1.0),
        lookups: measured.lookups,
        requests: measured.requests,
        seconds,
        hits_asked: measured.hits_asked,
        hits_found: measured.hits_found,
        kind: arguments.kind,
        batch: arguments.batch,
        depth: arguments.depth,
    };
    let mut output = Output::new();
    match arguments.format {
        Format::Json => output.json(&figures)?,
        Format::Tsv => {
            let Figures { lookups_per_s, p50_us, p99_us, max_us, .. } = figures;
            output.line(&format!("{lookups_per_s}\t{p50_us:.1}\t{p99_us:.1}\t{max_us:.1}"))?;
        }
        Format::Text => {
            output.line(&format!("{:.2} million lookups/s", figures.lookups_per_s / 1e6))?;
            output.line(&format!(
                "a request of {} takes {:.1} µs (p50), {:.1} µs (p99), {:.1} µs at most, {} under way",
                figures.batch, figures.p50_us, figures.p99_us, figures.max_us, figures.depth
            ))?;
            output.line(&format!(
                "{} lookups in {:.2} s; {} known values asked, {} rows with a match",
                figures.lookups, figures.seconds, figures.hits_asked, figures.hits_found
            ))?;
        }
    }
    output.flush()
}
