//! Workers at work: jobs in, outcomes out, and always as many processes as there should be.
//!
//! ```text
//! submit ─▶ queue ─▶ seat: a thread and its worker process ─▶ done(outcome)
//!                    seat …
//! ```
//!
//! Every job that was taken has its `done` called, exactly once, whatever happens to workers. A worker that does anything
//! but answer is killed and costs the job it was at. A seat that cannot start another waits longer each time, and leaves
//! the jobs to other seats; when no seat has a worker, jobs end as [`Failed::Unavailable`] at once.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use serde::{Deserialize, Serialize};

use super::process::{Anomaly, Patience, Program, StartError, Worker};
use super::wire::{JobNumber, Request};
use super::{Failed, SandboxReport, WorkerConfig};
use crate::fingerprint::Kind;
use crate::media::picture::{HashRequest, PictureHashes, sniff};

/// How often a seat without a job sees to its worker.
const IDLE_TICK: Duration = Duration::from_millis(500);

/// The pause after a worker could not be started; it doubles each time.
const BACKOFF_MIN: Duration = Duration::from_millis(100);

/// The longest such pause.
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// What becomes of a job.
pub type Outcome = Result<PictureHashes, Failed>;

/// A picture to hash.
pub struct Job {
    /// The file's bytes, all of them.
    pub bytes: Vec<u8>,
    /// What is wanted, of perceptual kinds only. Hashes come in the order of the kinds' codes, each once.
    pub request: HashRequest,
}

/// The queue is full. Nothing was done, and `done` is not called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all workers are busy and the queue is full")]
pub struct Busy;

/// How the pool is, for STATUS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PoolStatus {
    /// The ids of the processes that are ready or at work.
    pub processes: BTreeSet<u32>,
    /// How many there should be.
    pub workers_max: usize,
    /// Jobs that wait for a worker.
    pub queued: usize,
    /// Pictures that workers gave an answer on, good or bad.
    pub answered: u64,
    /// Workers that were started; one is replaced after so many jobs, or when it is lost.
    pub started: u64,
    /// Workers that were killed for what they did, or died; each cost a job, unless it was idle.
    pub anomalies: u64,
    /// What the newest worker's sandbox consists of; none before the first.
    pub sandbox: Option<SandboxReport>,
    /// Why the last start failed, while there has been none that succeeded since.
    pub start_error: Option<String>,
}

struct Queued {
    job: Job,
    done: Box<dyn FnOnce(Outcome) + Send>,
}

/// What all seats share.
struct Shared {
    config: WorkerConfig,
    program: Program,
    stop: AtomicBool,
    answered: AtomicU64,
    started: AtomicU64,
    anomalies: AtomicU64,
    known: Mutex<Known>,
}

/// What is known of the worker processes.
#[derive(Default)]
struct Known {
    processes: BTreeSet<u32>,
    sandbox: Option<SandboxReport>,
    start_error: Option<String>,
}

/// A set of workers. Dropping it stops them: the job under way in each, and those in the queue, end as
/// [`Failed::Unavailable`].
pub struct WorkerPool {
    shared: Arc<Shared>,
    /// `None` only while the pool is dropped.
    jobs: Option<Sender<Queued>>,
    seats: Vec<JoinHandle<()>>,
}

impl WorkerPool {
    /// Starts the workers, and does not wait for them: a start that fails shows in the status, and in the jobs.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(config: WorkerConfig, program: Program) -> std::io::Result<WorkerPool> {
        let (sender, receiver) = bounded(config.queue);
        let shared = Arc::new(Shared {
            program,
            stop: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            started: AtomicU64::new(0),
            anomalies: AtomicU64::new(0),
            known: Mutex::default(),
            config,
        });
        let mut pool = WorkerPool { shared, jobs: Some(sender), seats: Vec::new() };
        for _ in 0..pool.shared.config.workers {
            let seat = Seat::new(Arc::clone(&pool.shared), receiver.clone());
            pool.seats.push(thread::Builder::new().name("picture-seat".to_owned()).spawn(move || seat.run())?);
        }
        Ok(pool)
    }

    /// Takes a job if there is room in the queue. `done` gets the outcome, on a thread of the pool, where it should not
    /// linger; for what needs no worker to be decided, on this one.
    ///
    /// # Errors
    /// [`Busy`].
    ///
    /// # Panics
    /// When the job asks for a kind that is not computed from pictures; so do the other ways to hand in a job.
    pub fn submit(&self, job: Job, done: impl FnOnce(Outcome) + Send + 'static) -> Result<(), Busy> {
        let Some(queued) = self.queue(job, done) else { return Ok(()) };
        match self.jobs().try_send(queued) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(Busy),
            Err(TrySendError::Disconnected(queued)) => {
                (queued.done)(Err(Failed::Unavailable));
                Ok(())
            }
        }
    }

    /// Takes a job, waiting for room in the queue: no longer than it takes a worker to finish one.
    pub fn submit_waiting(&self, job: Job, done: impl FnOnce(Outcome) + Send + 'static) {
        let Some(queued) = self.queue(job, done) else { return };
        if let Err(refused) = self.jobs().send(queued) {
            (refused.0.done)(Err(Failed::Unavailable));
        }
    }

    /// Hashes a picture, and waits for that.
    pub fn hash(&self, job: Job) -> Outcome {
        let (sender, receiver) = bounded(1);
        self.submit_waiting(job, move |outcome| {
            // The receiver waits below.
            let _ = sender.send(outcome);
        });
        receiver.recv().unwrap_or(Err(Failed::Unavailable))
    }

    /// What it was started with.
    pub fn config(&self) -> &WorkerConfig {
        &self.shared.config
    }

    /// How the pool is.
    pub fn status(&self) -> PoolStatus {
        let known = self.shared.known();
        PoolStatus {
            processes: known.processes.clone(),
            workers_max: self.shared.config.workers,
            queued: self.jobs().len(),
            answered: self.shared.answered.load(Ordering::Relaxed),
            started: self.shared.started.load(Ordering::Relaxed),
            anomalies: self.shared.anomalies.load(Ordering::Relaxed),
            sandbox: known.sandbox,
            start_error: known.start_error.clone(),
        }
    }

    /// The job as the queue holds it, unless it can be decided without a worker; then it is done.
    fn queue(&self, mut job: Job, done: impl FnOnce(Outcome) + Send + 'static) -> Option<Queued> {
        let kinds = &mut job.request.kinds;
        assert!(kinds.iter().all(|kind| Kind::PERCEPTUAL.contains(kind)), "{kinds:?}: not all are of pictures");
        // The order in which a worker answers.
        kinds.sort_unstable();
        kinds.dedup();
        let failed = if sniff(&job.bytes).is_none() {
            Failed::NotAPicture
        } else if job.bytes.len() as u64 > self.shared.config.input_bytes {
            Failed::TooLarge
        } else {
            return Some(Queued { job, done: Box::new(done) });
        };
        done(Err(failed));
        None
    }

    fn jobs(&self) -> &Sender<Queued> {
        self.jobs.as_ref().expect("only dropping the pool takes the queue away")
    }
}

impl Drop for WorkerPool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.jobs = None;
        for seat in self.seats.drain(..) {
            let _ = seat.join();
        }
    }
}

/// A place for one worker, and the thread that sees to it.
struct Seat {
    shared: Arc<Shared>,
    jobs: Receiver<Queued>,
    worker: Option<Worker>,
    next_job: JobNumber,
    /// No worker is started before this.
    start_at: Instant,
    backoff: Duration,
}

impl Seat {
    fn new(shared: Arc<Shared>, jobs: Receiver<Queued>) -> Seat {
        Seat { shared, jobs, worker: None, next_job: JobNumber(0), start_at: Instant::now(), backoff: BACKOFF_MIN }
    }

    fn run(mut self) {
        loop {
            self.refill();
            if self.worker.is_none() && !self.shared.known().processes.is_empty() {
                // Others can do what this seat cannot.
                thread::sleep(self.start_at.saturating_duration_since(Instant::now()).min(IDLE_TICK));
                if self.shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                continue;
            }
            match self.jobs.recv_timeout(IDLE_TICK) {
                Ok(Queued { job, done }) => {
                    let outcome = self.answer(&job);
                    drop(job);
                    if catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err() {
                        tracing::error!("what was to be done with a picture's hashes panicked");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Sees to it that there is a fresh, living worker, if one can be had now.
    fn refill(&mut self) {
        if let Some(worker) = &mut self.worker {
            let is_old = worker.jobs_done() >= self.shared.config.jobs;
            if !is_old && worker.is_idle() {
                return;
            }
            if !is_old {
                self.shared.anomalies.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(worker = worker.id(), "an idle worker died or spoke unasked; another takes its place");
            }
            self.retire();
        }
        if self.shared.stop.load(Ordering::Relaxed) || Instant::now() < self.start_at {
            return;
        }
        let limits = self.shared.config.process_limits();
        match Worker::start(&self.shared.program, &limits, &self.shared.stop) {
            Ok(worker) => {
                self.backoff = BACKOFF_MIN;
                self.shared.has_started(&worker);
                self.worker = Some(worker);
            }
            Err(error) => {
                self.start_at = Instant::now() + self.backoff;
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                self.shared.not_started(&error);
            }
        }
    }

    fn retire(&mut self) {
        if let Some(worker) = self.worker.take() {
            self.shared.known().processes.remove(&worker.id());
        }
    }

    fn answer(&mut self, job: &Job) -> Outcome {
        if self.shared.stop.load(Ordering::Relaxed) {
            return Err(Failed::Unavailable);
        }
        // It may have died since the last look; that is no reason for this job to fail.
        self.refill();
        let Some(worker) = &mut self.worker else { return Err(Failed::Unavailable) };
        self.next_job = self.next_job.next();
        let config = &self.shared.config;
        let request = Request {
            job: self.next_job,
            hashes: job.request.clone(),
            limits: config.limits(),
            picture_bytes: job.bytes.len(),
        };
        let patience = Patience { until: Instant::now() + config.deadline(), stop: &self.shared.stop };
        match worker.hash(&request, &job.bytes, patience) {
            Ok(outcome) => {
                self.shared.answered.fetch_add(1, Ordering::Relaxed);
                outcome
            }
            Err(anomaly) => {
                if anomaly != Anomaly::Stopped {
                    self.shared.anomalies.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(worker = worker.id(), %anomaly, "a worker is retired; its picture is undecided");
                }
                self.retire();
                Err(anomaly.into())
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.retire();
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_started(&self, worker: &Worker) {
        self.started.fetch_add(1, Ordering::Relaxed);
        let mut known = self.known();
        known.processes.insert(worker.id());
        if known.sandbox != Some(worker.report()) {
            for missing in worker.report().missing() {
                tracing::warn!(missing, "this kernel does not give workers the whole sandbox");
            }
        }
        known.sandbox = Some(worker.report());
        known.start_error = None;
    }

    fn not_started(&self, error: &StartError) {
        let mut known = self.known();
        // Once is enough: it is tried again every few seconds.
        if known.start_error.is_none() && !self.stop.load(Ordering::Relaxed) {
            tracing::error!(%error, "pictures are undecided until a worker starts");
        }
        known.start_error = Some(error.to_string());
    }
}
