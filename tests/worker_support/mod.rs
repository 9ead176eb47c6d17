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

/// The processes that this one has started and that have not been reaped, by the name and state in /proc.
pub(crate) fn children() -> Vec<(u32, char)> {
    let mut children = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let listed = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        for id in listed.split_whitespace() {
            let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
            let state = stat.rsplit(") ").next().and_then(|rest| rest.chars().next());
            children.extend(id.parse().ok().zip(state));
        }
    }
    children
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
