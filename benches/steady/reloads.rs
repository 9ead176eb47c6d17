//! A hundred reloads and seals under full load: no failed or wrong answer, memory flat, latency as before.
//!
//! Rounds of three slices take turns, so that what else the machine does falls on all of them: *quiet*, where one
//! connection asks one digest at a time; *load*, where others ask batches without pause beside it; and *change*, where
//! beside that load the config is read again, own entries come or go, a list is imported, rolled back and imported again,
//! a hash is suppressed or lifted, and everything is sealed and merged. Connections stay the same in all rounds.
//!
//! The floor is a byte to a process that does nothing but return it, `cat`, asked between lookups: what the kernel lets
//! anybody wait for who must be woken beside this load.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::protocol::Client;
use hashward::store::Command;

use crate::changing::Changing;
use crate::load::{BATCH, Faults, Over, Switch, ask_batch, ask_changing, ask_single, micros, percentiles};
use crate::watch::{Sample, median};
use crate::world::{Setting, World, command};
use crate::{Scale, row};

/// Connections that ask batches: more than there are processors.
const BATCH_CONNECTIONS: usize = 3;

const SLICES: [&str; 3] = ["quiet", "load", "change"];

/// The floor; see the module's documentation.
struct Cat {
    process: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Cat {
    fn start() -> io::Result<Cat> {
        let mut process = Process::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ends = process.stdin.take().zip(process.stdout.take());
        let (to, from) = ends.expect("both are pipes");
        Ok(Cat { process, to, from })
    }

    /// A byte there and back.
    fn ask(&mut self, byte: u8) -> Result<(), String> {
        let mut back = [!byte];
        self.to.write_all(&[byte]).and_then(|()| self.from.read_exact(&mut back)).map_err(|error| error.to_string())?;
        if back == [byte] { Ok(()) } else { Err("another byte came back from cat".to_owned()) }
    }
}

impl Drop for Cat {
    fn drop(&mut self) {
        // It has nothing to lose, and is not left behind.
        let _ = self.process.kill().and_then(|()| self.process.wait());
    }
}

/// What a slice's lookups and its bytes to `cat` took, in nanoseconds.
#[derive(Default)]
struct Latencies {
    lookups: Vec<u64>,
    floor: Vec<u64>,
}

fn timed(latencies: &mut Vec<u64>, act: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    act()?;
    latencies.push(start.elapsed().as_nanos() as u64);
    Ok(())
}

pub(crate) fn run(scale: Scale) {
    let is_large = std::env::var_os("HASHWARD_BENCH_LARGE").is_some();
    let (rounds, lines, time) = match scale {
        Scale::Smoke => (4, 20_000, Duration::from_millis(50)),
        Scale::Full => (100, if is_large { 10_000_000 } else { 1_000_000 }, Duration::from_millis(1_000)),
    };
    let base = Setting::default();
    let world = World::new(lines, &base, 1_024);
    let changing = Changing::new(&world);
    let (faults, switch) = (Faults::default(), Switch::default());
    let (batches, seen) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut latencies: [Latencies; 3] = Default::default();
    let mut rates: [Vec<u64>; 3] = Default::default();
    let mut samples = Vec::new();

    thread::scope(|scope| {
        let (world, changing, faults, switch) = (&world, &changing, &faults, &switch);
        let (batches, seen) = (&batches, &seen);
        let _over = Over(switch);
        for connection in 0..BATCH_CONNECTIONS as u64 {
            let mut client = world.daemon.connect();
            let ask = move |number| ask_batch(&mut client, world, number * BATCH_CONNECTIONS as u64 + connection);
            scope.spawn(move || switch.repeat("batches", faults, batches, ask));
        }
        let (mut client, rows) = (world.daemon.connect(), changing.rows());
        scope
            .spawn(move || switch.repeat("what changes", faults, seen, |_| ask_changing(&mut client, changing, &rows)));
        let visitor = Client::connect_with(&world.daemon.address, Some(&world.token));
        let mut visitor = visitor.expect("a token that the config knows");
        scope.spawn(move || {
            switch.repeat("the visitor", faults, seen, |number| {
                thread::sleep(Duration::from_millis(1));
                changing.ask_as_visitor(&mut visitor, number)
            })
        });

        let (mut keeper, mut single) = (world.daemon.connect(), world.daemon.connect());
        let mut cat = Cat::start().expect("cat runs");
        for round in 0..rounds {
            for (slice, latencies) in latencies.iter_mut().enumerate() {
                switch.turn(slice > 0);
                let (start, batches_before) = (Instant::now(), batches.load(Ordering::Relaxed));
                let is_done = AtomicBool::new(false);
                thread::scope(|scope| {
                    let (single, cat, is_done) = (&mut single, &mut cat, &is_done);
                    scope.spawn(move || {
                        let Latencies { lookups, floor } = latencies;
                        while !is_done.load(Ordering::Relaxed) {
                            let number = lookups.len() as u64;
                            let asked = timed(lookups, || ask_single(single, world, number))
                                .and_then(|()| timed(floor, || cat.ask(number as u8)));
                            if !faults.note("one at a time", asked) {
                                return;
                            }
                        }
                    });
                    match slice {
                        2 => drop(faults.note("a change", changes(world, changing, &base, &mut keeper))),
                        _ => thread::sleep(time),
                    }
                    is_done.store(true, Ordering::Relaxed);
                });
                let asked = batches.load(Ordering::Relaxed) - batches_before;
                rates[slice].push((asked * BATCH) * 1_000 / (start.elapsed().as_millis() as u64).max(1));
            }
            switch.turn(false);
            samples.push(Sample::of(world.daemon.pid()));
            if faults.count() > 0 {
                return;
            }
            if round % 10 == 9 {
                eprintln!("{} of {rounds} rounds", round + 1);
            }
        }
    });
    faults.note("the log", world.check_log());
    faults.end();
    report(rounds, lines, &mut latencies, &rates, &samples, seen.load(Ordering::Relaxed));
}

fn changes(world: &World, changing: &Changing, base: &Setting, keeper: &mut Client) -> Result<(), String> {
    changing.reload(world, base)?;
    changing.add_or_withdraw(keeper)?;
    changing.import(world)?;
    changing.roll_back(keeper)?;
    changing.suppress_or_lift(keeper)?;
    command(keeper, &Command::Compact)?;
    // Another version than the one that was rolled back to, so that the next round finds one to return to.
    changing.import(world)
}

fn report(
    rounds: usize,
    lines: u64,
    latencies: &mut [Latencies; 3],
    rates: &[Vec<u64>; 3],
    samples: &[Sample],
    seen: u64,
) {
    println!("\n{rounds} rounds of changes beside {} M digests, all answers right", lines as f64 / 1e6);
    println!(
        "| one lookup at a time | p50 | p99 | p99.9 | `cat`: p50 | p99 | p99.9 | lookups | batches beside it, M rows/s |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let (mut p99, mut floor_p99) = ([0; 3], [0; 3]);
    for (slice, Latencies { lookups, floor }) in latencies.iter_mut().enumerate() {
        let (count, lookups, floor) = (lookups.len().to_string(), percentiles(lookups), percentiles(floor));
        (p99[slice], floor_p99[slice]) = (lookups[1], floor[1]);
        let rate = format!("{:.2}", median(rates[slice].iter().copied()) as f64 / 1e6);
        let cells = lookups.into_iter().chain(floor).map(micros).chain([count, rate]);
        row(SLICES[slice], &cells.collect::<Vec<_>>());
    }
    let ratio = |of: u64, to: u64| format!("{:.2} ×", of as f64 / to.max(1) as f64);
    println!("\n| what | figure |\n|---|---:|");
    row("p99 while things change, to that under the same load", &[ratio(p99[2], p99[1])]);
    row("p99 while things change, to quiet", &[ratio(p99[2], p99[0])]);
    row("p99 under load, to quiet", &[ratio(p99[1], p99[0])]);
    row("the same of `cat`", &[ratio(floor_p99[1], floor_p99[0])]);
    row("checked questions about what changes", &[seen.to_string()]);
    // The first fifth warms up.
    let fifth = (rounds / 5).max(1);
    let (early, late) = (&samples[fifth..2 * fifth], &samples[rounds - fifth..]);
    let of = |part: &[Sample], field: fn(&Sample) -> u64| median(part.iter().map(field));
    for (what, unit, field) in [
        ("`RssAnon`", "MB", (|sample| sample.anon_kb) as fn(&Sample) -> u64),
        ("`RssFile`", "MB", |sample| sample.file_kb),
        ("descriptors", "", |sample| sample.descriptors),
        ("threads", "", |sample| sample.threads),
    ] {
        let (early, late) = (of(early, field), of(late, field));
        let figure = |figure: u64| match unit {
            "MB" => format!("{:.1} MB", figure as f64 / 1e3),
            _ => figure.to_string(),
        };
        let text = format!("{} → {}, {}", figure(early), figure(late), ratio(late, early));
        row(&format!("{what}, medians of the second and of the last fifth of all rounds"), &[text]);
    }
}
