//! Feeds on time: starts `hashward-index sync` for each feed that has an interval, as a process of its own.
//!
//! What comes from a network is fetched and parsed there and not here, so that hostile bytes never meet the daemon's
//! memory; its changes come through the socket like those of any other list keeper. A sync that fails is tried again
//! after the interval, then after twice as long, and so on up to an hour. The daemon answers whatever becomes of feeds.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::feed::{FeedConfig, Secret};
use crate::list::ListName;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use utoipa::ToSchema;

/// Syncs that run at once, over all feeds.
const SYNCS_MAX: usize = 2;

/// The longest pause after failures, unless the interval is longer.
const PAUSE_MAX: Duration = Duration::from_secs(60 * 60);

/// The first syncs after a start come within so many seconds, not all at once.
const START_SPREAD: Duration = Duration::from_secs(5);

/// Bytes of a line of a sync's output that are logged.
const LINE_BYTES_MAX: usize = 1_000;

/// Lines of a sync's output that are logged.
const LINES_MAX: usize = 1_000;

/// What syncs are started with.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncProgram {
    /// `hashward-index`.
    pub program: PathBuf,
    /// The config that names the feeds.
    pub config: PathBuf,
    /// The daemon's data folder.
    pub data: PathBuf,
    /// A Unix socket of the daemon, at which its own user may do everything.
    pub socket: PathBuf,
}

/// How a feed's schedule stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct FeedStatus {
    pub(super) feed: ListName,
    pub(super) list: ListName,
    /// `waiting`, `running` or `failed`: the last sync failed, and another will be started.
    state: &'static str,
    /// Syncs that failed since the last one that did not.
    pub(super) failures: u32,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

pub(super) type Board = Arc<Mutex<BTreeMap<ListName, FeedStatus>>>;

pub(super) fn lock(board: &Board) -> MutexGuard<'_, BTreeMap<ListName, FeedStatus>> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The feeds that are read on time.
pub(super) struct Schedule {
    running: BTreeMap<ListName, Running>,
    turns: Arc<Semaphore>,
    board: Board,
}

struct Running {
    feed: FeedConfig,
    program: SyncProgram,
    /// Dropped, or set, it ends the task and the sync under way.
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Schedule {
    pub(super) fn new() -> Schedule {
        Schedule { running: BTreeMap::new(), turns: Arc::new(Semaphore::new(SYNCS_MAX)), board: Board::default() }
    }

    /// Reads these feeds from now on: a feed that is new or another than before begins anew, one that is gone ends.
    /// Without a program, none is read.
    pub(super) fn reconfigure(&mut self, feeds: &[FeedConfig], program: Option<&SyncProgram>) {
        let timed = feeds.iter().filter(|feed| feed.interval_s.is_some());
        let timed: Vec<_> = timed.filter_map(|feed| Some((feed, program?))).collect();
        self.running.retain(|_, running| {
            let stays = timed.contains(&(&running.feed, &running.program));
            if !stays {
                running.stop.send_replace(true);
            }
            stays
        });
        for (feed, program) in timed {
            if self.running.contains_key(&feed.name) {
                continue;
            }
            let (stop, stopped) = watch::channel(false);
            let task = FeedTask {
                feed: feed.clone(),
                program: program.clone(),
                turns: Arc::clone(&self.turns),
                board: Arc::clone(&self.board),
                stopped: stopped.clone(),
            };
            let task = tokio::spawn(task.run(stopped));
            let running = Running { feed: feed.clone(), program: program.clone(), stop, task };
            self.running.insert(feed.name.clone(), running);
        }
        lock(&self.board).retain(|name, _| self.running.contains_key(name));
    }

    pub(super) fn board(&self) -> Board {
        Arc::clone(&self.board)
    }

    /// Ends all syncs. Returns when their processes are gone.
    pub(super) async fn stop(self) {
        for running in self.running.into_values() {
            running.stop.send_replace(true);
            if let Err(error) = running.task.await {
                tracing::error!(%error, "a feed's schedule failed");
            }
        }
    }
}

/// What reads one feed, over and over.
struct FeedTask {
    feed: FeedConfig,
    program: SyncProgram,
    turns: Arc<Semaphore>,
    board: Board,
    stopped: watch::Receiver<bool>,
}

impl FeedTask {
    /// Runs until `stopped` says so, or is gone.
    async fn run(self, mut stopped: watch::Receiver<bool>) {
        let interval = Duration::from_secs(self.feed.interval_s.unwrap_or(u64::MAX));
        let mut failures = 0;
        let mut pause = START_SPREAD.min(interval).mul_f64(random());
        self.note("waiting", failures, None);
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(pause) => {}
            }
            let started_at = Instant::now();
            let synced = tokio::select! {
                // Dropping the sync kills its process, which is waited for by the runtime.
                _ = stopped.wait_for(|stopped| *stopped) => return,
                synced = self.sync(failures) => synced,
            };
            let (state, fault) = match synced {
                Ok(()) => ("waiting", None),
                Err(fault) => ("failed", Some(fault)),
            };
            failures = if fault.is_none() { 0 } else { failures + 1 };
            if let Some(fault) = &fault {
                tracing::error!(feed = %self.feed.name, failures, fault, "a feed was not read; it is tried again");
            }
            self.note(state, failures, fault);
            pause = pause_after(interval, failures).saturating_sub(started_at.elapsed()).mul_f64(0.9 + random() / 5.0);
        }
    }

    /// One sync, when its turn comes.
    async fn sync(&self, failures: u32) -> Result<(), String> {
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        self.note("running", failures, None);
        let mut child = self.start()?;
        let secrets: Vec<Secret> = [&self.feed.password, &self.feed.token]
            .into_iter()
            .flatten()
            .filter_map(|source| source.read().ok())
            .collect();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let deadline = Duration::from_secs(self.feed.deadline_s);
        let ended = tokio::time::timeout(deadline, async {
            let (_, last, status) = tokio::join!(self.log(out, &secrets), self.log(err, &secrets), child.wait());
            (last, status)
        });
        let Ok((last, status)) = ended.await else {
            let _ = child.kill().await;
            return Err(format!("it took longer than {} s and was ended; see deadline_s", deadline.as_secs()));
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(last.unwrap_or_else(|| format!("hashward-index ended with {status} and said nothing"))),
            Err(error) => Err(error.to_string()),
        }
    }

    fn start(&self) -> Result<Child, String> {
        let SyncProgram { program, config, data, socket } = &self.program;
        let mut command = Command::new(program);
        command.arg("sync").arg(self.feed.name.as_str()).arg("--config").arg(config);
        command.arg("--data").arg(data).arg("--socket").arg(socket);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().map_err(|error| {
            let program = program.display();
            format!("cannot start {program}: {error}; put hashward-index there, or name it as index_program")
        })
    }

    /// Logs what a sync says, bounded and without its secrets. Returns the last line.
    async fn log(&self, stream: Option<impl AsyncRead + Unpin>, secrets: &[Secret]) -> Option<String> {
        let mut stream = stream?;
        let (mut lines, mut piece, mut last, mut logged) = (Lines::default(), [0; 4 << 10], None, 0);
        loop {
            let read = stream.read(&mut piece).await.unwrap_or(0);
            for line in lines.take(&piece[..read]) {
                let line = secrets.iter().fold(line, |line, secret| line.replace(secret.expose(), "…"));
                if logged < LINES_MAX {
                    tracing::info!(feed = %self.feed.name, "{line}");
                }
                logged += 1;
                last = Some(line);
            }
            if read == 0 {
                return last;
            }
        }
    }

    fn note(&self, state: &'static str, failures: u32, fault: Option<String>) {
        let (feed, list) = (self.feed.name.clone(), self.feed.list.clone());
        let mut board = lock(&self.board);
        if *self.stopped.borrow() {
            return;
        }
        // While it is tried again, the last failure is still what is to be known.
        let earlier = board.get(&feed).and_then(|status| status.fault.clone()).filter(|_| failures > 0);
        board.insert(feed.clone(), FeedStatus { feed, list, state, failures, fault: fault.or(earlier) });
    }
}

/// From the start of a sync to that of the next.
fn pause_after(interval: Duration, failures: u32) -> Duration {
    let doubled = interval.saturating_mul(1 << failures.saturating_sub(1).min(16));
    doubled.min(PAUSE_MAX.max(interval))
}

/// From 0 to 1, so that several daemons do not ask a source at the same moment.
fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}

/// Lines out of pieces; of a long one the beginning.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// The lines that end in `piece`; an empty one is the end, and ends the last line.
    fn take(&mut self, piece: &[u8]) -> Vec<String> {
        let mut ended = Vec::new();
        for byte in piece {
            match byte {
                b'\n' => ended.extend(self.end()),
                byte if self.0.len() < LINE_BYTES_MAX => self.0.push(*byte),
                _ => {}
            }
        }
        if piece.is_empty() {
            ended.extend(self.end());
        }
        ended
    }

    fn end(&mut self) -> Option<String> {
        let line = String::from_utf8_lossy(&std::mem::take(&mut self.0)).trim().to_owned();
        (!line.is_empty()).then_some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_with_failures_and_stay_bounded() {
        let minute = Duration::from_secs(60);
        let pauses = [0, 1, 2, 3, 6, 7, 1_000].map(|failures| pause_after(minute, failures).as_secs() / 60);
        assert_eq!(pauses, [1, 1, 2, 4, 32, 60, 60]);
        let day = Duration::from_secs(24 * 60 * 60);
        assert_eq!(pause_after(day, 9), day);
        assert_eq!(pause_after(Duration::from_secs(u64::MAX), 2), Duration::from_secs(u64::MAX));
    }

    #[test]
    fn lines_are_put_together_and_bounded() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\n\n two\nthr"), ["one", "two"]);
        assert_eq!(lines.take(&vec![b'e'; 2 * LINE_BYTES_MAX]), [""; 0]);
        let long = lines.take(b"");
        assert_eq!((long.len(), long[0].len()), (1, LINE_BYTES_MAX));
        assert_eq!(lines.take(b""), [""; 0]);
    }
}
