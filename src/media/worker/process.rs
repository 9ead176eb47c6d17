//! A worker process, from its parent's side.
//!
//! The parent believes nothing: it waits for no longer than it meant to, reads no more than an answer can be, and takes
//! whatever is not exactly the answer to its question as an [`Anomaly`], after which the process is killed. It is also
//! reaped, always: when a `Worker` is dropped, its process is gone.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::Failed;
use super::sandbox::{ProcessLimits, SandboxReport};
use super::wire::{self, Answer, HELLO_BYTES, Request};
use crate::media::picture::PictureHashes;

/// How long a process may take to enter its sandbox.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a wait looks up to see whether it is to be given up.
const TICK: Duration = Duration::from_millis(50);

/// What of a dead worker's last words is read.
const LAST_WORDS_BYTES: usize = 256;

/// How Rust's runtime begins the line it writes before it aborts for want of memory.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// Which program is started as `PROGRAM worker …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// The one that is running. It is found even after an upgrade has replaced its file.
    #[default]
    Itself,
    /// The hashward at this path, for callers that are another program.
    At(PathBuf),
}

impl Program {
    /// A command that runs the program's verb `worker` with no environment, nothing to read, and nowhere to write.
    pub(super) fn command(&self) -> Command {
        let mut command = match self {
            Program::Itself => Command::new("/proc/self/exe"),
            Program::At(path) => Command::new(path),
        };
        command.arg0("hashward").arg("worker").env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// Why a worker is not to be trusted with another job. Names what it did, not whose picture it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Anomaly {
    /// No answer when it was due.
    #[error("no answer in time")]
    TimedOut,
    /// It used more processor time than a picture may.
    #[error("more processor time than a picture may use")]
    CpuTime,
    /// It asked for more memory than it may have.
    #[error("more memory than a picture may use")]
    Memory,
    /// A system call that decoding a picture does not need. Somebody may have tried to break out.
    #[error("a forbidden system call")]
    Forbidden,
    /// It ended by a signal or of its own accord.
    #[error("it ended: {0}")]
    Ended(ExitStatus),
    /// What it wrote is no answer to what it was asked.
    #[error("a malformed answer")]
    BadAnswer,
    /// The parent is stopping.
    #[error("stopped")]
    Stopped,
}

/// Why no worker came to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The program cannot be run.
    #[error("cannot start a worker: {0}")]
    Spawn(#[from] io::Error),
    /// It did not say hello.
    #[error("a worker did not get ready: {anomaly}; it said: {last_words:?}")]
    NotReady {
        /// What went wrong.
        anomaly: Anomaly,
        /// The beginning of what it wrote to standard error.
        last_words: String,
    },
}

/// Until when to wait.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    pub(super) until: Instant,
    /// Set when nobody wants to wait any longer.
    pub(super) stop: &'a AtomicBool,
}

/// A running worker process.
pub(super) struct Worker {
    child: Child,
    requests: ChildStdin,
    answers: ChildStdout,
    complaints: ChildStderr,
    report: SandboxReport,
    jobs_done: u32,
}

impl Worker {
    /// Starts a process and waits until it is in its sandbox.
    pub(super) fn start(program: &Program, limits: &ProcessLimits, stop: &AtomicBool) -> Result<Worker, StartError> {
        let mut command = program.command();
        command.arg("run").args(limits.arguments());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(requests), Some(answers), Some(complaints)) = pipes else { unreachable!("all three are piped") };
        let report = SandboxReport { landlock_abi: None, seccomp: false, descriptors_closed: false };
        let mut worker = Worker { child, requests, answers, complaints, report, jobs_done: 0 };
        for pipe in [worker.requests.as_fd(), worker.answers.as_fd(), worker.complaints.as_fd()] {
            rustix::io::ioctl_fionbio(pipe, true).map_err(io::Error::from)?;
        }
        let patience = Patience { until: Instant::now() + START_TIMEOUT, stop };
        let hello =
            worker.exchange([&[], &[]], |bytes| Ok((bytes.len() >= HELLO_BYTES).then_some(HELLO_BYTES)), patience);
        match hello.and_then(|hello| wire::decode_hello(&hello).map_err(|_| Anomaly::BadAnswer)) {
            Ok(report) => worker.report = report,
            Err(anomaly) => {
                let anomaly = worker.examine(anomaly);
                return Err(StartError::NotReady { anomaly, last_words: worker.last_words() });
            }
        }
        Ok(worker)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn report(&self) -> SandboxReport {
        self.report
    }

    /// Jobs that were answered as they should be.
    pub(super) fn jobs_done(&self) -> u32 {
        self.jobs_done
    }

    /// Whether the worker waits in silence, as one should that has nothing to do.
    pub(super) fn is_idle(&mut self) -> bool {
        let is_alive = matches!(self.child.try_wait(), Ok(None));
        let is_silent = matches!(self.answers.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        is_alive && is_silent
    }

    /// Has a picture hashed. After an anomaly the process is dead, and its `Worker` good for nothing.
    pub(super) fn hash(
        &mut self,
        request: &Request,
        picture: &[u8],
        patience: Patience<'_>,
    ) -> Result<Result<PictureHashes, Failed>, Anomaly> {
        let header = request.encode();
        let answer = self
            .exchange([&header, picture], wire::answer_bytes, patience)
            .and_then(|bytes| Answer::decode(&bytes, request).map_err(|_| Anomaly::BadAnswer));
        match answer {
            Ok(answer) => {
                self.jobs_done += 1;
                Ok(answer.outcome)
            }
            Err(anomaly) => Err(self.examine(anomaly)),
        }
    }

    /// Writes `out` and reads one message, whose length `length` finds once enough of it is there. The message must
    /// come after all of `out` was taken, and nothing after it.
    fn exchange(
        &mut self,
        out: [&[u8]; 2],
        length: impl Fn(&[u8]) -> Result<Option<usize>, wire::WireError>,
        patience: Patience<'_>,
    ) -> Result<Vec<u8>, Anomaly> {
        let ended = Anomaly::Ended(ExitStatus::default());
        let [mut out, mut then] = out;
        let mut message = Vec::new();
        let mut chunk = [0; wire::ANSWER_BYTES_MAX + 1];
        loop {
            if out.is_empty() {
                out = std::mem::take(&mut then);
            }
            let written = if out.is_empty() { Ok(0) } else { self.requests.write(out) };
            match written {
                Ok(written) => out = &out[written..],
                Err(error) if is_transient(&error) => {}
                Err(_) => return Err(ended),
            }
            match self.answers.read(&mut chunk) {
                Ok(0) => return Err(ended),
                Ok(read) => message.extend_from_slice(&chunk[..read]),
                Err(error) if is_transient(&error) => {}
                Err(_) => return Err(ended),
            }
            let all_is_written = out.is_empty() && then.is_empty();
            match length(&message) {
                Ok(Some(whole)) if message.len() == whole && all_is_written => return Ok(message),
                Ok(Some(whole)) if message.len() < whole => {}
                Ok(None) if message.len() <= wire::ANSWER_BYTES_MAX => {}
                _ => return Err(Anomaly::BadAnswer),
            }
            self.wait(!all_is_written, patience)?;
        }
    }

    /// Waits until there may be something to read, or room to write.
    fn wait(&self, to_write: bool, patience: Patience<'_>) -> Result<(), Anomaly> {
        if patience.stop.load(Ordering::Relaxed) {
            return Err(Anomaly::Stopped);
        }
        let left = patience.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Anomaly::TimedOut);
        }
        let timeout = rustix::time::Timespec { tv_sec: 0, tv_nsec: left.min(TICK).as_nanos() as _ };
        let reading = PollFd::new(&self.answers, PollFlags::IN);
        let writing = PollFd::new(&self.requests, PollFlags::OUT);
        let mut both = [reading, writing];
        let polled = if to_write { &mut both[..] } else { &mut both[..1] };
        match rustix::event::poll(polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            // There is no memory for it. Time will tell.
            Err(_) => {
                std::thread::sleep(TICK);
                Ok(())
            }
        }
    }

    /// Kills the process and finds out what lies behind its end.
    fn examine(&mut self, anomaly: Anomaly) -> Anomaly {
        let status = self.kill();
        let Anomaly::Ended(_) = anomaly else { return anomaly };
        match status.signal() {
            Some(libc::SIGSYS) => Anomaly::Forbidden,
            Some(libc::SIGXCPU) => Anomaly::CpuTime,
            Some(libc::SIGABRT) if self.last_words().starts_with(OUT_OF_MEMORY) => Anomaly::Memory,
            _ => Anomaly::Ended(status),
        }
    }

    /// Kills the process unless it is dead, and reaps it.
    fn kill(&mut self) -> ExitStatus {
        let _ = self.child.kill();
        // It holds nothing that could keep it from dying: no file, no network.
        self.child.wait().unwrap_or_default()
    }

    fn last_words(&mut self) -> String {
        let mut words = [0; LAST_WORDS_BYTES];
        let read = self.complaints.read(&mut words).unwrap_or(0);
        String::from_utf8_lossy(&words[..read]).trim().to_owned()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
