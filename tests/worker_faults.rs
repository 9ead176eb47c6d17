//! Workers that die, hang, lie or never start: each costs at most the job it was at, and nobody waits for ever.

mod worker_support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hashward::media::worker::wire::REQUEST_BYTES;
use hashward::media::worker::{Busy, Failed, Job, Outcome, Program, WorkerConfig, WorkerPool};
use rustix::process::Signal;
use worker_support::*;

/// What a worker with everything in force says first.
const HELLO: &str = r"printf 'HWWK\001\003\006\000'";

fn one_worker() -> WorkerConfig {
    WorkerConfig { workers: 1, deadline_s: 1, ..WorkerConfig::default() }
}

/// A pool whose workers are this script instead of a hashward.
fn impostors(folder: &Path, config: WorkerConfig, script: &str) -> WorkerPool {
    let path = folder.join("impostor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    WorkerPool::start(config, Program::At(path)).unwrap()
}

#[test]
fn killing_workers_at_random_loses_no_other_job() {
    const JOBS: usize = 200;
    const KILLS: usize = 20;
    let pool = Arc::new(pool(WorkerConfig { workers: 3, ..WorkerConfig::default() }));
    let pictures: Vec<Vec<u8>> = (0..8).map(png).collect();
    let wanted: Vec<Outcome> = pictures.iter().map(|bytes| Ok(expected(bytes))).collect();
    let done = AtomicUsize::new(0);
    let found = thread::scope(|scope| {
        scope.spawn(|| {
            for kill in 0..KILLS {
                // Spread over the whole run, whatever its speed.
                eventually("progress", || done.load(Ordering::Relaxed) >= kill * JOBS / KILLS / 2);
                let processes: Vec<u32> = pool.status().processes.into_iter().collect();
                if let Some(process) = processes.get(kill % processes.len().max(1)) {
                    signal(*process, Signal::KILL);
                }
            }
        });
        let (sender, receiver) = std::sync::mpsc::channel();
        for number in 0..JOBS {
            let sender = sender.clone();
            let done_of = move |outcome: Outcome| sender.send((number, outcome)).unwrap();
            pool.submit_waiting(job(&pictures[number % pictures.len()]), done_of);
            done.fetch_add(1, Ordering::Relaxed);
        }
        (0..JOBS).map(|_| receiver.recv_timeout(PATIENCE).expect("an outcome")).collect::<Vec<_>>()
    });
    let mut lost = 0;
    for (number, outcome) in found {
        match outcome {
            Err(Failed::Crashed) => lost += 1,
            outcome => assert_eq!(outcome, wanted[number % wanted.len()], "job {number}"),
        }
    }
    assert!(lost <= KILLS, "{lost} jobs lost to {KILLS} kills");
    println!("{lost} of {JOBS} jobs lost to {KILLS} kills");
    eventually("a full pool", || pool.status().processes.len() == 3);
    check_works(&pool);
}

#[test]
fn a_worker_that_hangs_is_killed_and_replaced() {
    let pool = pool(one_worker());
    check_works(&pool);
    let hung = the_process(&pool);
    signal(hung, Signal::STOP);
    let started_at = Instant::now();
    assert_eq!(pool.hash(job(&png(1))), Err(Failed::TimedOut));
    assert!(started_at.elapsed() < Duration::from_secs(5));
    is_reaped(hung);
    check_works(&pool);
    assert_eq!(pool.status().anomalies, 1);
}

#[test]
fn an_idle_worker_that_dies_costs_no_job() {
    let pool = pool(one_worker());
    for death in 1..=3 {
        let process = the_process(&pool);
        signal(process, Signal::KILL);
        // Noticed without a job, and by the next job if that comes first.
        if death == 1 {
            is_reaped(process);
        } else {
            is_dead(process);
        }
        check_works(&pool);
    }
    assert_eq!(pool.status().anomalies, 3);
}

#[test]
fn workers_are_replaced_after_so_many_jobs() {
    let pool = pool(WorkerConfig { jobs: 3, ..one_worker() });
    let mut processes = Vec::new();
    for _ in 0..9 {
        check_works(&pool);
        processes.push(the_process(&pool));
    }
    processes.dedup();
    assert!((3..=4).contains(&processes.len()), "{processes:?}");
    processes.pop();
    processes.into_iter().for_each(is_reaped);
    assert_eq!((pool.status().anomalies, pool.status().answered), (0, 9));
}

#[test]
fn a_full_queue_says_so_and_loses_nothing() {
    let pool = pool(WorkerConfig { queue: 2, deadline_s: 30, ..one_worker() });
    check_works(&pool);
    let process = the_process(&pool);
    signal(process, Signal::STOP);
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut taken = 0;
    let started_at = Instant::now();
    loop {
        let sender = sender.clone();
        match pool.submit(job(&png(1)), move |outcome| sender.send(outcome).unwrap()) {
            Ok(()) => taken += 1,
            Err(Busy) => break,
        }
        assert!(started_at.elapsed() < PATIENCE);
    }
    assert!((2..=3).contains(&taken), "{taken}");
    signal(process, Signal::CONT);
    for _ in 0..taken {
        assert!(receiver.recv_timeout(PATIENCE).unwrap().is_ok());
    }
}

#[test]
fn stopping_ends_every_job_and_every_process() {
    let pool = pool(WorkerConfig { workers: 2, queue: 10, deadline_s: 30, ..WorkerConfig::default() });
    check_works(&pool);
    eventually("both workers", || pool.status().processes.len() == 2);
    let processes = pool.status().processes;
    processes.iter().for_each(|process| signal(*process, Signal::STOP));
    let (sender, receiver) = std::sync::mpsc::channel();
    for _ in 0..10 {
        let sender = sender.clone();
        pool.submit_waiting(job(&png(1)), move |outcome| sender.send(outcome).unwrap());
    }
    let started_at = Instant::now();
    drop(pool);
    assert!(started_at.elapsed() < Duration::from_secs(5));
    drop(sender);
    let outcomes: Vec<Outcome> = receiver.iter().collect();
    assert_eq!(outcomes, vec![Err(Failed::Unavailable); 10]);
    processes.into_iter().for_each(is_reaped);
}

#[test]
fn what_is_done_with_an_outcome_may_panic() {
    let pool = pool(one_worker());
    pool.submit_waiting(job(&png(1)), |_| panic!("this panic is part of the test"));
    check_works(&pool);
}

#[test]
fn without_workers_jobs_end_at_once() {
    for program in ["/nonexistent/hashward", "/bin/true", "/usr/bin/yes", "/dev/null"] {
        let config = WorkerConfig { workers: 2, ..one_worker() };
        let pool = WorkerPool::start(config, Program::At(program.into())).unwrap();
        let started_at = Instant::now();
        let found = outcomes(&pool, (0..20).map(|_| job(&png(1))).collect());
        assert_eq!(found, vec![Err(Failed::Unavailable); 20], "{program}");
        assert!(started_at.elapsed() < Duration::from_secs(20), "{program}");
        let status = pool.status();
        assert!(status.processes.is_empty() && status.sandbox.is_none(), "{status:?}");
        assert!(status.start_error.is_some(), "{status:?}");
        // What needs no worker is decided without one.
        assert_eq!(pool.hash(job(b"text")), Err(Failed::NotAPicture));
    }
}

/// The pool starts again by itself once it can.
#[test]
fn a_program_that_returns_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hashward");
    let pool = WorkerPool::start(one_worker(), Program::At(path.clone())).unwrap();
    assert_eq!(pool.hash(job(&png(1))), Err(Failed::Unavailable));
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hashward"), path).unwrap();
    the_process(&pool);
    check_works(&pool);
    assert_eq!(pool.status().start_error, None);
}

#[test]
fn nothing_but_the_answer_is_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let lies = [
        // No answer, and a life that goes on.
        ("exec /bin/sleep 100", Failed::TimedOut),
        // Busy for ever, without reading.
        ("while :; do :; done", Failed::TimedOut),
        // Death in the middle of a job.
        ("read -r line; exit 3", Failed::Crashed),
        // Death without reading.
        ("/bin/sleep 0.2; exit 0", Failed::Crashed),
        // An answer before all of the picture was read.
        (r"$READ; printf '\001\000\000\000\003\000\000\000'; exec /bin/sleep 100", Failed::Crashed),
        // The answer to another job.
        (r"$READ_ALL; printf '\007\000\000\000\003\000\000\000'; exec /bin/sleep 100", Failed::Crashed),
        // An answer without end.
        ("$READ; exec /bin/cat /dev/zero", Failed::Crashed),
        // Half an answer.
        (r"$READ; printf '\001\000\000'; exec /bin/sleep 100", Failed::TimedOut),
    ];
    // Larger than a pipe, so that it cannot be sent to somebody who does not read.
    let picture = [&png(1)[..], &vec![0; 200_000]].concat();
    let read = |bytes: usize| format!("/usr/bin/head -c {bytes} >/dev/null");
    for (lie, expected) in lies {
        let lie = lie.replace("$READ_ALL", &read(REQUEST_BYTES + picture.len())).replace("$READ", &read(1));
        let pool = impostors(folder.path(), one_worker(), &format!("{HELLO}; {lie}"));
        the_process(&pool);
        let started_at = Instant::now();
        let outcome = pool.hash(job(&picture));
        assert!(matches!(outcome, Err(found) if found == expected), "{lie}: {outcome:?}");
        assert!(started_at.elapsed() < Duration::from_secs(10), "{lie}");
    }
}

/// Where a decoder does not keep its limits, the process is held to them, and the reason is told apart from a crash.
#[test]
fn memory_and_processor_time_are_bounded_by_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let hashward = env!("CARGO_BIN_EXE_hashward");
    let limited = |address_space_bytes: u64, cpu_s: u64| {
        let limits = format!("--address-space-bytes={address_space_bytes} --cpu-s={cpu_s} --jobs=100");
        impostors(
            folder.path(),
            WorkerConfig { deadline_s: 60, input_bytes: 256 << 20, ..one_worker() },
            &format!("exec {hashward} worker run {limits}"),
        )
    };
    let large = encoded(&image::RgbImage::new(7_000, 7_000), image::ImageFormat::Bmp);
    let pool = limited(200 << 20, 60);
    assert_eq!(pool.hash(job(&large)), Err(Failed::Memory));
    check_works(&pool);

    // A second, with the one that rounding gives.
    let pool = limited(2 << 30, 0);
    let started_at = Instant::now();
    assert_eq!(pool.hash(job(&large)), Err(Failed::TimedOut));
    assert!(started_at.elapsed() < Duration::from_secs(30));
    check_works(&pool);
}

/// Environment and descriptors of a worker are what its parent means them to be.
#[test]
fn a_worker_inherits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let pool = impostors(
        folder.path(),
        one_worker(),
        &format!("[ -z \"$CARGO_MANIFEST_DIR\" ] && {HELLO}; exec /bin/cat >/dev/null"),
    );
    the_process(&pool);
    drop(pool);

    let (mut reader, writer) = std::io::pipe().unwrap();
    // A copy that outlives exec, as a careless parent of ours would leave it.
    let left_open = rustix::io::dup(&writer).unwrap();
    let pool = worker_support::pool(one_worker());
    check_works(&pool);
    drop((left_open, writer));
    // The end of the pipe is only seen once no process holds it open.
    assert_eq!(std::io::Read::read(&mut reader, &mut [0]).unwrap(), 0);
    check_works(&pool);
}

#[test]
fn a_picture_larger_than_its_limit_meets_no_worker() {
    let pool = pool(WorkerConfig { input_bytes: 1_000, ..one_worker() });
    let large = Job { bytes: [&png(1)[..], &[0; 1_000]].concat(), request: everything() };
    assert_eq!(pool.hash(large), Err(Failed::TooLarge));
    assert_eq!(pool.status().answered, 0);
}
