//! Connections that ask without pause, and check every answer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hashward::fingerprint::{Kind, Radii};
use hashward::matching::Verdict;
use hashward::protocol::Client;

use crate::changing::{Changing, ask_one};
use crate::world::{World, digest, unknown};

/// Rows of a question in the full load.
pub(crate) const BATCH: u64 = 4_096;

/// One of so many rows is known.
const HIT_EVERY: u64 = 100;

/// What went wrong. One thing is enough to end a run with an error.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<String>>);

impl Faults {
    /// Notes what went wrong, and where. Returns whether all went well.
    pub(crate) fn note(&self, at: &str, result: Result<(), String>) -> bool {
        let Err(fault) = result else { return true };
        let mut faults = self.0.lock().expect("nobody panics with it");
        eprintln!("fault in {at}: {fault}");
        faults.push(format!("{at}: {fault}"));
        false
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().expect("nobody panics with it").len()
    }

    /// Ends the run if anything went wrong.
    pub(crate) fn end(&self) {
        let faults = self.0.lock().expect("nobody panics with it");
        assert!(faults.is_empty(), "{} wrong or failed answers, the first: {}", faults.len(), faults[0]);
    }
}

/// A number's row in a question: one of the list `fixed`, or one that nobody knows.
fn row(world: &World, number: u64) -> ([u8; 16], bool) {
    match number % HIT_EVERY {
        0 => (fixed(world, number), true),
        _ => (unknown(number), false),
    }
}

/// A digest of the list `fixed` that is never suppressed.
pub(crate) fn fixed(world: &World, number: u64) -> [u8; 16] {
    digest(2 + number * 7919 % (world.lines - 2))
}

/// Asks about [`BATCH`] digests at once.
pub(crate) fn ask_batch(client: &mut Client, world: &World, number: u64) -> Result<(), String> {
    let rows = (0..BATCH).map(|i| row(world, number * BATCH + i));
    let (values, truth): (Vec<_>, Vec<_>) = rows.unzip();
    let values: Vec<u8> = values.into_iter().flatten().collect();
    let answers = client.lookup(&[Kind::Md5], &Radii::none(), &values).map_err(|error| error.to_string())?;
    let verdicts = answers.iter().map(|answer| answer.map_or(answers.miss, |answer| answer.verdict));
    let mut expected = truth.into_iter().map(|is_known| if is_known { Verdict::Known } else { Verdict::Unknown });
    let is_right = verdicts.eq(&mut expected) && answers.incomplete.is_empty();
    if is_right { Ok(()) } else { Err(format!("a wrong answer to batch {number}: {:?}", answers.miss)) }
}

/// Asks about one digest: alternately one that is known, and one that is not.
pub(crate) fn ask_single(client: &mut Client, world: &World, number: u64) -> Result<(), String> {
    match number % 2 {
        0 => ask_one(client, fixed(world, number), true),
        _ => ask_one(client, unknown(number), false),
    }
}

/// Asks about all that changes.
pub(crate) fn ask_changing(client: &mut Client, changing: &Changing, rows: &[u8]) -> Result<(), String> {
    let asked = changing.asked();
    let answers = client.lookup(&[Kind::Md5], &Radii::none(), rows).map_err(|error| error.to_string())?;
    changing.check(&asked, &answers)
}

/// Tells connections whether to ask.
#[derive(Default)]
pub(crate) struct Switch {
    is_on: AtomicBool,
    is_over: AtomicBool,
}

impl Switch {
    pub(crate) fn turn(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::SeqCst);
        // What is under way ends.
        thread::sleep(Duration::from_millis(20));
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Does `act` over and over while it is on, with the numbers from 0 on, until it is over or a fault was noted.
    /// Adds one to `done` each time.
    pub(crate) fn repeat(
        &self,
        at: &str,
        faults: &Faults,
        done: &AtomicU64,
        mut act: impl FnMut(u64) -> Result<(), String>,
    ) {
        for number in 0.. {
            while !self.is_on.load(Ordering::Relaxed) && !self.is_over() {
                thread::sleep(Duration::from_millis(1));
            }
            if self.is_over() || !faults.note(at, act(number)) {
                return;
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ends the connections' threads even if this one panics, which would else wait for them for ever.
pub(crate) struct Over<'a>(pub(crate) &'a Switch);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Some percentiles of latencies in nanoseconds: p50, p99 and p99.9.
pub(crate) fn percentiles(latencies: &mut [u64]) -> [u64; 3] {
    latencies.sort_unstable();
    let at = |share: f64| latencies.get((latencies.len() as f64 * share) as usize).copied().unwrap_or(0);
    [at(0.5), at(0.99), at(0.999)]
}

/// Nanoseconds as microseconds.
pub(crate) fn micros(nanos: u64) -> String {
    format!("{:.0} µs", nanos as f64 / 1e3)
}
