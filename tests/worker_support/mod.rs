//! Worker pools to test, and pictures for them: all made here, none of anything.

#![allow(dead_code)] // each test binary uses its part

use std::io::Cursor;
use std::time::{Duration, Instant};

use hashward::fingerprint::Kind;
use hashward::media::picture::{HashRequest, PictureHashes, hash_picture};
use hashward::media::worker::{Job, Outcome, Program, WorkerConfig, WorkerPool};
use image::{ImageFormat, Rgb, RgbImage};

/// Nothing in these tests takes longer unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Starts `program`'s workers.
pub(crate) fn pool(config: WorkerConfig) -> WorkerPool {
    let program = Program::At(env!("CARGO_BIN_EXE_hashward").into());
    WorkerPool::start(config, program).unwrap()
}

/// All kinds, in all variants.
pub(crate) fn everything() -> HashRequest {
    HashRequest { kinds: Kind::PERCEPTUAL.to_vec(), dihedral: true }
}

pub(crate) fn job(bytes: &[u8]) -> Job {
    Job { bytes: bytes.to_vec(), request: everything() }
}

/// A picture of waves, other ones for each number.
pub(crate) fn picture(number: u32, side: u32) -> RgbImage {
    let wave = |x: u32, y: u32, by: u32| {
        let phase = (x * (3 + number % 7) + y * (2 + number % 5)) as f32 / side as f32 * 4.0 + (number * by) as f32;
        (127.5 + 127.5 * phase.sin()) as u8
    };
    RgbImage::from_fn(side, side, |x, y| Rgb([wave(x, y, 1), wave(y, x, 2), wave(x, x + y, 3)]))
}

pub(crate) fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

pub(crate) fn png(number: u32) -> Vec<u8> {
    encoded(&picture(number, 64), ImageFormat::Png)
}

/// What a worker must find in `bytes`.
pub(crate) fn expected(bytes: &[u8]) -> PictureHashes {
    hash_picture(bytes, &everything(), &WorkerConfig::default().limits()).unwrap()
}

/// Hashes a good picture, and checks the outcome.
pub(crate) fn check_works(pool: &WorkerPool) {
    let bytes = png(0);
    assert_eq!(pool.hash(job(&bytes)), Ok(expected(&bytes)));
}

/// Waits until `condition` holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started_at = Instant::now();
    while !condition() {
        assert!(started_at.elapsed() < PATIENCE, "{what}: does not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The outcome of each of `jobs`, in their order.
pub(crate) fn outcomes(pool: &WorkerPool, jobs: Vec<Job>) -> Vec<Outcome> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let count = jobs.len();
    for (place, job) in jobs.into_iter().enumerate() {
        let sender = sender.clone();
        pool.submit_waiting(job, move |outcome| sender.send((place, outcome)).unwrap());
    }
    let mut outcomes: Vec<_> =
        (0..count).map(|_| receiver.recv_timeout(PATIENCE).expect("an outcome for every job")).collect();
    assert!(receiver.try_recv().is_err(), "one outcome for each job");
    outcomes.sort_by_key(|(place, _)| *place);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Sends a signal to a worker.
pub(crate) fn signal(process: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(process as i32).unwrap();
    // It may be gone already.
    let _ = rustix::process::kill_process(pid, signal);
}

/// The one process of a pool of one worker, once there is one.
pub(crate) fn the_process(pool: &WorkerPool) -> u32 {
    eventually("a worker", || pool.status().processes.len() == 1);
    *pool.status().processes.first().unwrap()
}

/// Waits until a process is gone, reaped and all.
pub(crate) fn is_reaped(process: u32) {
    eventually("the worker's end", || !std::path::Path::new(&format!("/proc/{process}")).exists());
}

/// Waits until a process has ended, reaped or not.
pub(crate) fn is_dead(process: u32) {
    let has_ended = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
        stat.map_or(true, |stat| stat.rsplit(") ").next().is_some_and(|state| state.starts_with(['Z', 'X'])))
    };
    eventually("the worker's death", has_ended);
}
