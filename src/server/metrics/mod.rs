//! What the daemon counts, and how a scraper is told.
//!
//! ```text
//! connections, Asker ─▶ Metrics: counted where it happens ─────────┐
//! limits, queues, workers, trail, store: read when a scraper asks ─┴─▶ page ─▶ /metrics
//! ```
//!
//! Nothing that is counted waits for anything, and a question costs some additions, however many rows it has. What has a
//! home elsewhere is read there and not kept a second time. No label comes from a client: lists have their names from the
//! store, principals from the config, and all else is named here. No metric holds a hash.
//!
//! | file | what |
//! |---|---|
//! | `page` | every metric: its name, what it means, and where it is read |
//! | `write` | the text that scrapers read |
//! | `process` | what the kernel says of this process |

mod page;
mod process;
mod write;

pub(super) use page::scrape;
pub(super) use write::CONTENT_TYPE;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::limits::Gauge;
use super::{Protocol, Shared};
use crate::access::Right;
use crate::fingerprint::Kind;
use crate::index::snapshot::Snapshot;
use crate::list::ListName;
use crate::matching::{Answer, Answers, Reason, Verdict};
use crate::moment;
use crate::protocol::ErrorCode;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Hashes of exact kinds.
    Exact,
    /// Hashes, of perceptual kinds among others.
    Near,
    /// A file's content.
    Content,
    /// A command, to the store or to the trail.
    Command,
    /// How the daemon is.
    Status,
}

impl Operation {
    const ALL: [Operation; 5] =
        [Operation::Exact, Operation::Near, Operation::Content, Operation::Command, Operation::Status];

    /// What a question about hashes of these kinds is.
    pub(super) fn about(kinds: &[Kind]) -> Operation {
        if kinds.iter().all(|kind| kind.is_exact()) { Operation::Exact } else { Operation::Near }
    }

    const fn name(self) -> &'static str {
        match self {
            Operation::Exact => "exact",
            Operation::Near => "near",
            Operation::Content => "content",
            Operation::Command => "command",
            Operation::Status => "status",
        }
    }
}

/// What a client is told instead of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// There is no room now.
    Busy,
    /// Why there is no answer.
    Failure(ErrorCode),
}

impl Told {
    const COUNT: usize = 1 + ErrorCode::ALL.len();

    fn all() -> impl Iterator<Item = Told> {
        std::iter::once(Told::Busy).chain(ErrorCode::ALL.map(Told::Failure))
    }

    const fn number(self) -> usize {
        match self {
            Told::Busy => 0,
            // Codes are numbered from 1, without gaps.
            Told::Failure(code) => code as usize,
        }
    }

    fn name(self) -> String {
        match self {
            Told::Busy => "busy".to_owned(),
            Told::Failure(code) => code.name().replace(' ', "_"),
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client had no more requests, and has its answers.
    Finished,
    /// The client is gone.
    Broken,
    /// The client took no answers.
    Unread,
    /// The daemon waited no longer.
    CutOff,
    /// It was TCP, and did not become TLS.
    NoHandshake,
    /// Over TLS, nobody who may do anything asked in time.
    Stranger,
    /// The daemon hung up, and said why.
    Farewell(ErrorCode),
}

impl Ended {
    const COUNT: usize = 6 + ErrorCode::ALL.len();

    fn all() -> impl Iterator<Item = Ended> {
        [Ended::Finished, Ended::Broken, Ended::Unread, Ended::CutOff, Ended::NoHandshake, Ended::Stranger]
            .into_iter()
            .chain(ErrorCode::ALL.map(Ended::Farewell))
    }

    const fn number(self) -> usize {
        match self {
            Ended::Finished => 0,
            Ended::Broken => 1,
            Ended::Unread => 2,
            Ended::CutOff => 3,
            Ended::NoHandshake => 4,
            Ended::Stranger => 5,
            Ended::Farewell(code) => 5 + code as usize,
        }
    }

    fn name(self) -> String {
        match self {
            Ended::Finished => "finished".to_owned(),
            Ended::Broken => "broken".to_owned(),
            Ended::Unread => "unread".to_owned(),
            Ended::CutOff => "cut_off".to_owned(),
            Ended::NoHandshake => "no_handshake".to_owned(),
            Ended::Stranger => "stranger".to_owned(),
            Ended::Farewell(code) => Told::Failure(code).name(),
        }
    }
}

/// Bounds of latencies, in microseconds: from a hash in memory to an import.
const LATENCY_BOUNDS_US: [u64; 15] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000,
];

/// Counters of things that have numbers.
struct Counts<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Counts([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counts<N> {
    fn add(&self, number: usize, more: u64) {
        self.0[number].fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self, number: usize) -> u64 {
        self.0[number].load(Ordering::Relaxed)
    }

    fn sum(&self) -> u64 {
        (0..N).map(|number| self.get(number)).sum()
    }
}

/// How long requests of one sort took.
#[derive(Default)]
struct Latency {
    /// By the first bound that they did not exceed, and then those that exceeded all.
    requests: Counts<{ LATENCY_BOUNDS_US.len() + 1 }>,
    sum_ns: AtomicU64,
}

impl Latency {
    fn note(&self, took: Duration) {
        let us = took.as_nanos().div_ceil(1_000);
        self.requests.add(LATENCY_BOUNDS_US.partition_point(|bound| u128::from(*bound) < us), 1);
        self.sum_ns.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// What one protocol was asked.
#[derive(Default)]
struct ByProtocol {
    latencies: [Latency; Operation::ALL.len()],
    rows: Counts<{ Operation::ALL.len() }>,
    told: Counts<{ Told::COUNT }>,
    connections: AtomicU64,
    connections_refused: AtomicU64,
    connections_ended: Counts<{ Ended::COUNT }>,
}

/// All that is counted. See the module's documentation.
pub(super) struct Metrics {
    /// In seconds since 1970-01-01 UTC.
    started_at: u64,
    protocols: [ByProtocol; Protocol::ALL.len()],
    known: AtomicU64,
    conflict: AtomicU64,
    ignorable: AtomicU64,
    unknown: AtomicU64,
    undecided: Counts<{ Reason::ALL.len() }>,
    watched: AtomicU64,
    suppressed: AtomicU64,
    shadow_unasked: AtomicU64,
    hits: ArcSwap<BTreeMap<ListName, Arc<AtomicU64>>>,
    /// For want of each right; the last, for want of any.
    lacking: Counts<{ Right::ALL.len() + 1 }>,
    accept_errors: AtomicU64,
    /// When the config was last taken, in seconds since 1970-01-01 UTC.
    config_taken_at: AtomicU64,
    config_refused: AtomicBool,
    /// Scrapes that wait for the store.
    store_scrapes: Gauge,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        Metrics {
            started_at: moment::now(),
            protocols: Default::default(),
            known: AtomicU64::default(),
            conflict: AtomicU64::default(),
            ignorable: AtomicU64::default(),
            unknown: AtomicU64::default(),
            undecided: Counts::default(),
            watched: AtomicU64::default(),
            suppressed: AtomicU64::default(),
            shadow_unasked: AtomicU64::default(),
            hits: ArcSwap::default(),
            lacking: Counts::default(),
            accept_errors: AtomicU64::default(),
            config_taken_at: AtomicU64::new(moment::now()),
            config_refused: AtomicBool::new(false),
            store_scrapes: Gauge::default(),
        }
    }

    fn of(&self, protocol: Protocol) -> &ByProtocol {
        &self.protocols[protocol as usize]
    }

    /// A request got its answer, so long after all of it had come.
    pub(super) fn done(&self, protocol: Protocol, operation: Operation, took: Duration) {
        self.of(protocol).latencies[operation as usize].note(took);
    }

    /// A question got these answers.
    pub(super) fn answered(&self, protocol: Protocol, operation: Operation, took: Duration, answers: &Answers) {
        self.done(protocol, operation, took);
        self.of(protocol).rows.add(operation as usize, answers.rows.into());
        let mut rows_of = vec![0u32; answers.distinct.len()];
        for (_, number) in &answers.hits {
            rows_of[*number as usize] += 1;
        }
        self.verdict(answers.miss, answers.rows - answers.hits.len() as u32);
        for (answer, rows) in answers.distinct.iter().zip(rows_of) {
            self.answer(answer, rows);
        }
    }

    /// Of so many rows, lists in shadow could not be asked in full.
    pub(super) fn shadow_unasked(&self, rows: u32) {
        self.shadow_unasked.fetch_add(rows.into(), Ordering::Relaxed);
    }

    /// So many rows have this answer.
    fn answer(&self, answer: &Answer, rows: u32) {
        self.verdict(answer.verdict, rows);
        if answer.watched {
            self.watched.fetch_add(rows.into(), Ordering::Relaxed);
        }
        if answer.suppressed {
            self.suppressed.fetch_add(rows.into(), Ordering::Relaxed);
        }
        let mut lists: Vec<&ListName> = answer.matches.iter().map(|found| &found.list).collect();
        lists.sort_unstable();
        lists.dedup();
        lists.into_iter().for_each(|list| self.hit(list, rows));
    }

    fn verdict(&self, verdict: Verdict, rows: u32) {
        let count = match verdict {
            Verdict::Known => &self.known,
            Verdict::Conflict => &self.conflict,
            Verdict::Ignorable => &self.ignorable,
            Verdict::Unknown => &self.unknown,
            Verdict::Undecided(reason) => &self.undecided.0[number_of(reason)],
        };
        count.fetch_add(rows.into(), Ordering::Relaxed);
    }

    /// How many requests got no answer, by the code of the failure; codes without any are left out.
    pub(super) fn failed(&self) -> BTreeMap<String, u64> {
        let of = |told: Told| self.protocols.iter().map(|protocol| protocol.told.get(told.number())).sum();
        Told::all().map(|told| (told.name(), of(told))).filter(|(_, count)| *count > 0).collect()
    }

    /// How many rows have which verdict.
    pub(super) fn verdicts(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let decided = [
            (Verdict::Known, &self.known),
            (Verdict::Conflict, &self.conflict),
            (Verdict::Ignorable, &self.ignorable),
            (Verdict::Unknown, &self.unknown),
        ];
        let decided = decided.map(|(verdict, count)| (verdict.name(), count.load(Ordering::Relaxed)));
        decided.into_iter().chain([("undecided", self.undecided.sum())])
    }

    fn hit(&self, list: &ListName, rows: u32) {
        if let Some(count) = self.hits.load().get(list) {
            count.fetch_add(rows.into(), Ordering::Relaxed);
            return;
        }
        self.hits.rcu(|hits| {
            let mut hits = BTreeMap::clone(hits);
            hits.entry(list.clone()).or_default();
            hits
        });
        if let Some(count) = self.hits.load().get(list) {
            count.fetch_add(rows.into(), Ordering::Relaxed);
        }
    }

    /// Forgets the lists that are gone, so that there are never more than lists.
    fn forget_all_but(&self, snapshot: &Snapshot) {
        let is_there = |name: &ListName| snapshot.lists().iter().any(|list| list.name == *name);
        if self.hits.load().keys().all(is_there) {
            return;
        }
        self.hits.rcu(|hits| {
            let mut hits = BTreeMap::clone(hits);
            hits.retain(|name, _| is_there(name));
            hits
        });
    }

    /// A client was told this instead of an answer.
    pub(super) fn told(&self, protocol: Protocol, told: Told) {
        self.of(protocol).told.add(told.number(), 1);
    }

    /// Somebody was refused for want of this right, or of any.
    pub(super) fn lacking(&self, right: Option<Right>) {
        let number = |right: Right| Right::ALL.iter().position(|one| *one == right);
        self.lacking.add(right.and_then(number).unwrap_or(Right::ALL.len()), 1);
    }

    /// There was no room for one more connection.
    pub(super) fn connection_refused(&self, protocol: Protocol) {
        self.of(protocol).connections_refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A config came into force.
    pub(super) fn config_taken(&self) {
        self.config_taken_at.store(moment::now(), Ordering::Relaxed);
        self.config_refused.store(false, Ordering::Relaxed);
    }

    /// A config was refused, and the one before stays.
    pub(super) fn config_refused(&self) {
        self.config_refused.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_config_refused(&self) -> bool {
        self.config_refused.load(Ordering::Relaxed)
    }

    /// The kernel gave no connection.
    pub(super) fn accept_failed(&self) {
        self.accept_errors.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reason's place in [`Reason::ALL`].
fn number_of(reason: Reason) -> usize {
    Reason::ALL.iter().position(|one| *one == reason).expect("a reason is one of all")
}

/// A connection that stands, counted until it is dropped.
pub(super) struct Standing {
    shared: Arc<Shared>,
    protocol: Protocol,
    ended: Ended,
}

impl Standing {
    pub(super) fn new(shared: &Arc<Shared>, protocol: Protocol) -> Standing {
        shared.metrics.of(protocol).connections.fetch_add(1, Ordering::Relaxed);
        // Whoever is not asked how it ended was not waited for.
        Standing { shared: Arc::clone(shared), protocol, ended: Ended::CutOff }
    }

    pub(super) fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.shared.metrics.of(self.protocol).connections_ended.add(self.ended.number(), 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Access, UserId};
    use crate::media::worker::{Program, WorkerConfig, WorkerPool};
    use crate::server::{Limits, Server, Service};

    #[test]
    fn numbers_are_places_without_gaps() {
        assert_eq!(Told::all().map(Told::number).collect::<Vec<_>>(), (0..Told::COUNT).collect::<Vec<_>>());
        assert_eq!(Ended::all().map(Ended::number).collect::<Vec<_>>(), (0..Ended::COUNT).collect::<Vec<_>>());
        assert_eq!(Operation::ALL.map(|operation| operation as usize), [0, 1, 2, 3, 4]);
        assert_eq!(Protocol::ALL.map(|protocol| protocol as usize), [0, 1]);
        Reason::ALL.into_iter().enumerate().for_each(|(at, reason)| assert_eq!(number_of(reason), at));
    }

    #[tokio::test]
    async fn the_queue_of_the_workshop_is_told_as_long_as_there_is_one() {
        let none = WorkerConfig { workers: 0, ..WorkerConfig::default() };
        let pictures = WorkerPool::start(none, Program::Itself).unwrap();
        let access = Access::new(UserId(1), &[]).unwrap();
        let service = Arc::new(Service::loading());
        let server = Server::new(service, Limits::default(), access, pictures, 1).unwrap();
        let shared = &server.shared;
        let told = async || {
            let text = scrape(shared).await;
            let told = text.lines().find_map(|line| line.strip_prefix("hashward_workshop_queue_length "));
            told.unwrap().parse::<u32>().unwrap()
        };
        let (release, held) = crossbeam_channel::bounded::<()>(0);
        let (started, has_started) = crossbeam_channel::bounded(1);
        let holds = shared.workshop.run(move || {
            started.send(()).unwrap();
            held.recv().is_ok()
        });
        let (mut holds, mut one, mut other) =
            (Box::pin(holds), Box::pin(shared.workshop.run(|| 1)), Box::pin(shared.workshop.run(|| 2)));
        // Each is given to the thread when it is first asked.
        tokio::time::timeout(Duration::ZERO, &mut holds).await.unwrap_err();
        has_started.recv().unwrap();
        assert_eq!(told().await, 0);
        tokio::time::timeout(Duration::ZERO, &mut one).await.unwrap_err();
        assert_eq!(told().await, 1);
        tokio::time::timeout(Duration::ZERO, &mut other).await.unwrap_err();
        assert_eq!(told().await, 2);
        release.send(()).unwrap();
        assert_eq!((holds.await, one.await, other.await), (Some(true), Some(1), Some(2)));
        assert_eq!(told().await, 0);
    }

    #[test]
    fn a_request_counts_up_to_its_bound_and_not_beyond() {
        let latency = Latency::default();
        for (took, place) in [(0, 0), (49_999, 0), (50_000, 0), (50_001, 1), (100_000, 1), (30_000_000_001, 15)] {
            let before = latency.requests.get(place);
            latency.note(Duration::from_nanos(took));
            assert_eq!(latency.requests.get(place), before + 1, "{took} ns");
        }
        assert_eq!(latency.requests.sum(), 6);
    }
}
