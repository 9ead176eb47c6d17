//! Threads for what takes long: questions by distance, and the hashing of content.
//!
//! They run at the lowest priority, so that however many such questions there are, an exact lookup that becomes ready
//! takes the processor from them. A connection waits for its own question and so has one here at most; what it no longer
//! waits for is not done. That bounds the queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam_channel::{Sender, unbounded};
use tokio::sync::oneshot;

/// The `nice` value of the threads: the lowest there is.
const NICE: i32 = 19;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end once this is dropped and what was given to them is done.
pub(super) struct Workshop(Sender<Job>);

impl Workshop {
    /// Starts `threads` of them.
    ///
    /// # Errors
    /// The system's, if it has no thread to give.
    pub(super) fn start(threads: usize) -> std::io::Result<Workshop> {
        let (sender, jobs) = unbounded::<Job>();
        for number in 0..threads.max(1) {
            let jobs = jobs.clone();
            thread::Builder::new().name(format!("workshop-{number}")).spawn(move || {
                stand_back();
                jobs.iter().for_each(|job| job());
            })?;
        }
        Ok(Workshop(sender))
    }

    /// What waits for a thread.
    pub(super) fn queued(&self) -> usize {
        self.0.len()
    }

    /// Runs `work` on one of the threads; `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (job, result) = job(work);
        self.0.send(job).ok()?;
        result.await.ok().flatten()
    }

    /// Runs `work` that may wait for others, such as a file system, on a thread of its own, so that nobody else waits
    /// with it; `None` if it panicked, or there is no thread.
    pub(super) async fn run_apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (job, result) = job(work);
        let apart = move || {
            stand_back();
            job();
        };
        thread::Builder::new().name("workshop-apart".to_owned()).spawn(apart).ok()?;
        result.await.ok().flatten()
    }
}

/// `work` as a job, and where its result comes; `None` for a panic.
fn job<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> (Job, oneshot::Receiver<Option<T>>) {
    let (done, result) = oneshot::channel();
    let job = move || {
        // Who asked is gone: the connection was closed, and its place may have been taken by another that asks, too.
        if done.is_closed() {
            return;
        }
        // It may be closed by now.
        let _ = done.send(catch_unwind(AssertUnwindSafe(work)).ok());
    };
    (Box::new(job), result)
}

/// Lowers this thread's priority.
fn stand_back() {
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        tracing::warn!(%error, "costly questions run at ordinary priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_done() {
        let workshop = Workshop::start(1).unwrap();
        let (release, held) = crossbeam_channel::bounded::<()>(0);
        let done = Arc::new(AtomicU32::new(0));
        let count = |done: &Arc<AtomicU32>| {
            let done = Arc::clone(done);
            move || done.fetch_add(1, Ordering::SeqCst)
        };
        let mut holds = Box::pin(workshop.run(move || held.recv().is_ok()));
        let mut waits = Box::pin(workshop.run(count(&done)));
        let mut leaves = Box::pin(workshop.run(count(&done)));
        // Each is given to the thread when it is first asked.
        for _ in 0..2 {
            tokio::time::timeout(Duration::ZERO, &mut holds).await.unwrap_err();
            tokio::time::timeout(Duration::ZERO, &mut leaves).await.unwrap_err();
            tokio::time::timeout(Duration::ZERO, &mut waits).await.unwrap_err();
        }
        drop(leaves);
        release.send(()).unwrap();
        assert_eq!((holds.await, waits.await), (Some(true), Some(0)));
        assert_eq!((done.load(Ordering::SeqCst), workshop.queued()), (1, 0));
    }
}
