//! An hour of mixed load: memory and descriptors are flat.
//!
//! *Flat* means: over the second half, the straight line through the samples of `RssAnon` rises by at most
//! [`GROWTH_KB_MAX`]. The load does some 350 things a second, so over half an hour that is about three bytes for each: a
//! leak of one small allocation in every tenth of them would show. The audit trail grows with what is asked, as it must,
//! and is told apart.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::changing::Changing;
use crate::load::Faults;
use crate::mixed::{Mixed, leftovers};
use crate::watch::{Sample, folder_bytes, median, slope};
use crate::world::{Setting, World, until};
use crate::{Scale, row};

/// How much more memory there may be at the end of the second half than at its begin. What an allocator keeps at one time
/// and not at another is less.
const GROWTH_KB_MAX: f64 = 2_000.0;

/// A line through less than this says nothing.
const HALF_MIN: Duration = Duration::from_secs(600);

/// One more sample, with what stands on the disk.
#[derive(Clone, Copy)]
struct Moment {
    at_s: f64,
    sample: Sample,
    /// Of the data folder, without the trail.
    data_bytes: u64,
    audit_bytes: u64,
}

pub(crate) fn run(scale: Scale) {
    let is_hour = std::env::var_os("HASHWARD_BENCH_HOUR").is_some();
    let (time, every, haste, lines) = match scale {
        Scale::Smoke => (Duration::from_secs(3), Duration::from_millis(200), 60, 20_000),
        Scale::Full if is_hour => (Duration::from_secs(3_600), Duration::from_secs(10), 1, 1_000_000),
        Scale::Full => (Duration::from_secs(60), Duration::from_secs(1), 10, 1_000_000),
    };
    let world = World::new(lines, &Setting::default(), 1_024);
    let changing = Changing::new(&world);
    let (faults, done) = (Faults::default(), AtomicU64::new(0));
    let mixed = Mixed { world: &world, changing: &changing, faults: &faults, done: &done, haste };
    // What is made once, on first use, is there before anything is counted.
    mixed.put_on(time / 20, || thread::sleep(every / 20));
    let at_rest = at_rest(&world);
    faults.end();

    done.store(0, Ordering::Relaxed);
    let (start, mut moments) = (Instant::now(), Vec::new());
    mixed.put_on(time, || {
        thread::sleep(every);
        let audit_bytes = folder_bytes(&world.data().join("audit"));
        moments.push(Moment {
            at_s: start.elapsed().as_secs_f64(),
            sample: Sample::of(world.daemon.pid()),
            data_bytes: folder_bytes(&world.data()) - audit_bytes,
            audit_bytes,
        });
        if moments.len() % 60 == 0 {
            let Moment { at_s, sample, .. } = moments[moments.len() - 1];
            eprintln!("{at_s:.0} s: {:.1} MB, {} descriptors", sample.anon_kb as f64 / 1e3, sample.descriptors);
        }
    });
    let took = start.elapsed();
    write_samples(&moments);
    let back = || Sample::of(world.daemon.pid()).descriptors <= at_rest.descriptors;
    let in_the_end = until("descriptors are given back", || back().then_some(()));
    faults.note("the end", in_the_end.map_err(|error| format!("{error}; before: {at_rest:?}")));
    faults.note("the end", leftovers(&world));
    faults.note("the log", world.check_log());
    report(took, &moments, at_rest, Sample::of(world.daemon.pid()), done.load(Ordering::Relaxed), &faults);
    faults.end();
}

/// What the daemon has when nobody asks.
fn at_rest(world: &World) -> Sample {
    // Connections that broke off are noticed, threads without work end.
    thread::sleep(Duration::from_secs(1));
    Sample::of(world.daemon.pid())
}

fn write_samples(moments: &[Moment]) {
    let mut csv = "at_s,anon_kb,file_kb,descriptors,threads,workers,workers_anon_kb,workers_descriptors,data_bytes,\
                   audit_bytes\n"
        .to_owned();
    for Moment { at_s, sample, data_bytes, audit_bytes } in moments {
        let Sample { anon_kb, file_kb, descriptors, threads, workers, workers_anon_kb, workers_descriptors } = sample;
        writeln!(
            csv,
            "{at_s:.1},{anon_kb},{file_kb},{descriptors},{threads},{workers},{workers_anon_kb},{workers_descriptors},\
             {data_bytes},{audit_bytes}"
        )
        .expect("a string takes it");
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("steady-hour.csv");
    fs::write(&path, csv).expect("the samples");
    eprintln!("samples: {}", path.display());
}

fn report(time: Duration, moments: &[Moment], before: Sample, after: Sample, done: u64, faults: &Faults) {
    let seconds = time.as_secs_f64();
    println!("\n{seconds:.0} s of mixed load, {:.0} things a second", done as f64 / seconds);
    println!("| what | first quarter | last quarter | second half, a straight line |\n|---|---:|---:|---:|");
    let (quarter, half) = (moments.len().div_ceil(4), &moments[moments.len() / 2..]);
    let lasts = half.last().map_or(0.0, |last| last.at_s) - half.first().map_or(0.0, |first| first.at_s);
    let flat = |what: &str, unit: &str, scale: f64, is_bound: bool, field: fn(&Moment) -> u64| {
        let of = |part: &[Moment]| median(part.iter().map(field)) as f64;
        let (early, late) = (of(&moments[..quarter]), of(&moments[moments.len() - quarter..]));
        let points: Vec<(f64, f64)> = half.iter().map(|moment| (moment.at_s, field(moment) as f64)).collect();
        let grown = slope(&points) * lasts;
        let share = grown / of(half).max(1.0);
        let figure = |figure: f64| format!("{:.1}{unit}", figure / scale);
        let sign = if share < 0.0 { "−" } else { "+" };
        let line = format!("{sign}{} ({sign}{:.2} %)", figure(grown.abs()), 100.0 * share.abs());
        row(what, &[figure(early), figure(late), line.clone()]);
        if is_bound && grown > GROWTH_KB_MAX && lasts >= HALF_MIN.as_secs_f64() {
            faults.note(what, Err(format!("expected at most {GROWTH_KB_MAX} kB more, found {line}")));
        }
    };
    flat("`RssAnon` of the daemon", " MB", 1e3, true, |moment| moment.sample.anon_kb);
    flat("`RssAnon` of its workers", " MB", 1e3, true, |moment| moment.sample.workers_anon_kb);
    flat("`RssFile` of the daemon", " MB", 1e3, false, |moment| moment.sample.file_kb);
    flat("descriptors of the daemon", "", 1.0, false, |moment| moment.sample.descriptors);
    flat("threads", "", 1.0, false, |moment| moment.sample.threads);
    flat("data folder without the trail", " MB", 1e6, false, |moment| moment.data_bytes);
    flat("audit trail, which grows by design", " MB", 1e6, false, |moment| moment.audit_bytes);
    println!("\n| at rest | before | after |\n|---|---:|---:|");
    for (what, field) in [
        ("descriptors", (|sample| sample.descriptors) as fn(&Sample) -> u64),
        ("threads", |sample| sample.threads),
        ("workers", |sample| sample.workers),
        ("descriptors of workers", |sample| sample.workers_descriptors),
    ] {
        row(what, &[field(&before).to_string(), field(&after).to_string()]);
    }
}
