//! `hashward serve`: the daemon as a process. Signals, threads, and the order of things at start and end.
//!
//! It listens at once, and answers `undecided(loading)` until the store has verified its segments. SIGTERM and SIGINT
//! drain and end it, SIGHUP has it read its config again.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwap;
use crossbeam_channel::{RecvTimeoutError, bounded};
use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, in_one_line};
use crate::access::{Access, KeptBudgets, UsedDay};
use crate::audit::{Event, Permit, Recorded, Trail};
use crate::config::Config;
use crate::events::Events;
use crate::journal::{JournalError, WhenUnwritable, now_ms};
use crate::media::worker::{Program, WorkerPool};
use crate::protocol::Address;
use crate::server::{Server, Service, SyncProgram};
use crate::store::{Store, StoreOptions};
use crate::systemd::{Notifier, PassedSockets};

/// How often the store is asked whether something is due.
const MAINTENANCE_PAUSE: Duration = Duration::from_secs(1);

/// The pause after maintenance has failed.
const MAINTENANCE_PAUSE_AFTER_ERROR: Duration = Duration::from_secs(30);

/// How long threads may take to end once all connections are closed.
const END_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
#[command(after_help = "SIGHUP reads the config again; SIGTERM and SIGINT finish what was asked, and end. \
    a second one ends without finishing. RUST_LOG goes before `filter` of [log]; no log holds a hash.")]
pub(super) struct Arguments {
    /// The config, in TOML
    #[arg(long, value_name = "F")]
    config: Option<PathBuf>,
    /// The data folder [default: ./hashward-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen, instead of what the config says: unix:PATH or tcp:IP:PORT [default: DIR/hashward.sock]
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<Address>,
}

impl Arguments {
    fn resolve(&self) -> Result<Config> {
        Ok(Config::resolve(self.config.as_deref(), self.data.as_deref(), &self.listen)?)
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    // Before there is a second thread.
    let passed = PassedSockets::from_env()?;
    let config = arguments.resolve()?;
    config.log.start()?;
    std::fs::create_dir_all(&config.data)
        .with_context(|| format!("cannot make the data folder {}", config.data.display()))?;
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let served = runtime.block_on(serve(arguments, config, passed));
    runtime.shutdown_timeout(END_TIMEOUT);
    match served {
        // With its level, and in the form that the log has.
        Err(error) if tracing::enabled!(tracing::Level::ERROR) => {
            tracing::error!("{}", in_one_line(&error));
            Ok(Exit::Incomplete)
        }
        served => served.map(|()| Exit::Fine),
    }
}

async fn serve(arguments: &Arguments, config: Config, passed: PassedSockets) -> Result<()> {
    let notifier = Arc::new(Notifier::from_env());
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hangup = signal(SignalKind::hangup())?;
    let service = Arc::new(Service::loading());
    let pictures = WorkerPool::start(config.pictures.clone(), Program::Itself)?;
    let limits = config.limits.clone();
    let (access, kept) = (config.access()?, Arc::new(KeptBudgets::in_folder(&config.data)));
    resume(&access, &kept);
    let mut server = Server::new(Arc::clone(&service), limits.clone(), access, pictures, config.near_threads)?;
    server.adopt(passed);
    server.reconfigure(&config.listen, config.access()?, config.audit, config.events, limits)?;
    follow(&mut server, arguments, &config);

    let (data, opened, audit, events) = (config.data.clone(), Arc::clone(&service), config.audit, config.events);
    let (access, budgets) = (server.access(), Arc::clone(&kept));
    let used = Arc::clone(&access);
    // What holds now, and what of it the trail was told.
    let mut current = InForce::of(&config);
    server.tell_config(&current.digest);
    let mut told = current.clone();
    let at_start = current.clone();
    let options = StoreOptions { create: true, gate: config.gate.clone(), ..StoreOptions::default() };
    let open = move || {
        let store = Arc::new(Store::open(&data, options)?);
        // The store's lock is held from here on, so that nobody else writes the budgets and the trail.
        each_second("budgets", &used, move |used| write_budgets(&budgets, used))?;
        let trail = Arc::new(Trail::open(&data, &audit)?);
        if let Err(error) = trail.note_all(&at_start.started()) {
            anyhow::ensure!(audit.when_unwritable == WhenUnwritable::Answer, error);
            tracing::error!(%error, "the audit trail cannot be written");
        }
        let events = Arc::new(Events::open(&data, &events)?);
        each_second("sync", &trail, |trail| keep("the audit trail", trail.keep()))?;
        each_second("sync", &events, |events| keep("the match events", events.keep()))?;
        opened.opened(Arc::clone(&store), trail, events);
        store.load()?;
        anyhow::Ok(store)
    };
    let mut opening = tokio::task::spawn_blocking(open);
    // It listens, and says of everything that is not verified yet that it is loading: however long that takes, it is no
    // reason to start it again.
    let mut state = "loading: segments are being verified".to_owned();
    notifier.ready(&state);
    let watched = (Arc::clone(&notifier), Arc::clone(&service));
    tokio::spawn(async move { watched.0.keep_alive(|| watched.1.answers()).await });
    let mut maintenance = None;
    loop {
        tokio::select! {
            loaded = &mut opening, if maintenance.is_none() => {
                let store = loaded.context("opening the store panicked")??;
                tracing::info!(data = %config.data.display(), generation = store.snapshot().generation(), "ready");
                state = format!("ready, generation {} at start", store.snapshot().generation());
                notifier.status(&state);
                maintenance = Some(Maintenance::start(store)?);
                current.catch_up(&mut told, &service);
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => {
                notifier.reloading();
                match arguments.resolve() {
                    Ok(reread) => {
                        let (reread, waiting) = reread.taken_on_by(&config);
                        if !waiting.is_empty() {
                            tracing::warn!("a new start is needed for new settings of {}", waiting.join(", "));
                        }
                        current.catch_up(&mut told, &service);
                        let next = InForce::of(&reread);
                        match next.take_effect(&mut server, &service, &reread, &current) {
                            Ok(()) => {
                                if service.trail().is_some() {
                                    told = next.clone();
                                }
                                current = next;
                                server.tell_config(&current.digest);
                                follow(&mut server, arguments, &reread);
                                tracing::info!("config read again");
                            }
                            Err(error) => refuse(&server, &error),
                        }
                    }
                    Err(error) => refuse(&server, &error),
                }
                notifier.ready(&state);
            }
        }
    }
    tracing::info!("finishing what was asked");
    notifier.stopping();
    tokio::select! {
        () = server.drain() => {}
        _ = terminate.recv() => tracing::warn!("told twice to end; what was asked is not finished"),
        _ = interrupt.recv() => tracing::warn!("told twice to end; what was asked is not finished"),
    }
    if let Some(maintenance) = maintenance {
        tokio::task::spawn_blocking(|| maintenance.stop()).await?;
    }
    if service.trail().is_some() {
        write_budgets(&kept, &access);
    }
    note(&service, &Event::Stopped);
    tracing::info!("bye");
    Ok(())
}

/// Tells that a config that was read again is refused: each mistake in a line of its own, so that each has its level.
fn refuse(server: &Server, error: &anyhow::Error) {
    server.tell_config_refused();
    for mistake in format!("{error:#}").lines() {
        tracing::error!(error = mistake, "the config stays as it was");
    }
}

/// What the trail says of a config.
#[derive(Clone, PartialEq)]
struct InForce {
    digest: String,
    records: Recorded,
    permits: Vec<Permit>,
}

impl InForce {
    fn of(config: &Config) -> InForce {
        let records = Recorded { questions: config.audit.questions, matches: config.events.enabled };
        InForce { digest: config.digest(), records, permits: config.permits() }
    }

    fn started(&self) -> Vec<Event<'_>> {
        let (version, config, records) = (env!("CARGO_PKG_VERSION"), &self.digest, self.records);
        let started = Event::Started { version, config, records };
        std::iter::once(started).chain(self.permits.iter().map(Event::Allowed)).collect()
    }

    /// Makes a config that was read again the one that counts. What is allowed changes only once that is recorded.
    fn take_effect(&self, server: &mut Server, service: &Service, config: &Config, before: &InForce) -> Result<()> {
        match self.note_after(before, service) {
            Err(error) if config.audit.when_unwritable == WhenUnwritable::Answer => {
                tracing::error!(%error, "the audit trail cannot be written; the config is read again all the same");
            }
            noted => noted?,
        }
        let (audit, events, limits) = (config.audit, config.events, config.limits.clone());
        let taken = server.reconfigure(&config.listen, config.access()?, audit, events, limits);
        if taken.is_err() {
            before.note_after(self, service)?;
        }
        Ok(taken?)
    }

    /// Records what was read again before the trail was open.
    fn catch_up(&self, told: &mut InForce, service: &Service) {
        if self == told || service.trail().is_none() {
            return;
        }
        match self.note_after(told, service) {
            Ok(()) => *told = self.clone(),
            Err(error) => tracing::error!(%error, "the audit trail does not say that the config was read again"),
        }
    }

    /// Records what changes with it; nothing while the trail is not open yet.
    fn note_after(&self, before: &InForce, service: &Service) -> Result<(), JournalError> {
        let Some(trail) = service.trail() else { return Ok(()) };
        let gone = before.permits.iter().filter(|permit| !self.permits.contains(permit)).map(Event::Revoked);
        let new = self.permits.iter().filter(|permit| !before.permits.contains(permit)).map(Event::Allowed);
        let read = Event::ConfigRead { config: &self.digest, records: self.records };
        trail.note_all(&std::iter::once(read).chain(gone).chain(new).collect::<Vec<_>>())?;
        trail.journal().sync()
    }
}

/// Goes on from what principals had used of daily budgets. If that cannot be told, all is spent: else who can damage the
/// file could ask on.
fn resume(access: &Access, kept: &KeptBudgets) {
    match kept.read() {
        Ok(used) => access.resume(|name| used.get(name).copied()),
        Err(error) => {
            tracing::error!(%error, "what was used of daily budgets is not known; they count as spent until midnight UTC");
            access.resume(|_| Some(UsedDay::all(now_ms())));
        }
    }
}

fn write_budgets(kept: &KeptBudgets, access: &ArcSwap<Access>) {
    if let Err(error) = kept.write(access.load().used(now_ms())) {
        tracing::error!(%error, "a new start would forget what was used of daily budgets");
    }
}

/// Says in a journal what is missing in it, and makes what it records survive a loss of power.
fn keep(journal: &str, kept: Result<(), JournalError>) {
    if let Err(error) = kept {
        tracing::error!(%error, "{journal} may not survive a loss of power, or what it lacks cannot be said in it");
    }
}

/// Does `work` once a second, in a thread of its own, as long as anybody else holds `of`.
fn each_second<T: Send + Sync + 'static>(thread: &str, of: &Arc<T>, work: impl Fn(&T) + Send + 'static) -> Result<()> {
    let of = Arc::downgrade(of);
    let repeat = move || {
        while let Some(of) = of.upgrade() {
            work(&of);
            drop(of);
            thread::sleep(Duration::from_secs(1));
        }
    };
    thread::Builder::new().name(thread.to_owned()).spawn(repeat)?;
    Ok(())
}

/// Records what the daemon itself did, also while the store still loads. It goes on without: what it answers from then
/// on is recorded, or refused.
fn note(service: &Service, event: &Event<'_>) {
    let noted = service.trail().map(|trail| trail.note(event).and_then(|_| trail.journal().sync()));
    if let Some(Err(error)) = noted {
        tracing::error!(%error, "the audit trail cannot be written");
    }
}

/// Reads the config's feeds on time, through the first Unix socket where the daemon speaks frames.
fn follow(server: &mut Server, arguments: &Arguments, config: &Config) {
    let beside = || std::env::current_exe().unwrap_or_default().with_file_name("hashward-index");
    let program = config.feed_socket().zip(arguments.config.clone()).map(|(socket, file)| SyncProgram {
        program: config.index_program.clone().unwrap_or_else(beside),
        config: file,
        data: config.data.clone(),
        socket: socket.to_owned(),
    });
    if program.is_none() && config.feeds.iter().any(|feed| feed.interval_s.is_some()) {
        tracing::error!("feeds are not read: expected a Unix socket for frames among [[listen]], found none");
    }
    server.follow(&config.feeds, program.as_ref());
}

/// The thread on which the store seals and merges.
struct Maintenance {
    stop: crossbeam_channel::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Maintenance {
    fn start(store: Arc<Store>) -> Result<Maintenance> {
        let (stop, stopped) = bounded(0);
        let work = move || {
            let mut pause = MAINTENANCE_PAUSE;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = match store.maintain() {
                    Ok(true) => Duration::ZERO,
                    Ok(false) => MAINTENANCE_PAUSE,
                    Err(error) => {
                        tracing::error!(%error, "maintenance failed; it is tried again");
                        MAINTENANCE_PAUSE_AFTER_ERROR
                    }
                };
            }
        };
        let thread = thread::Builder::new().name("maintenance".to_owned()).spawn(work)?;
        Ok(Maintenance { stop, thread })
    }

    /// Waits for the step under way, for as long as ending may take.
    fn stop(self) {
        drop(self.stop);
        let started_at = std::time::Instant::now();
        while !self.thread.is_finished() && started_at.elapsed() < END_TIMEOUT {
            thread::sleep(Duration::from_millis(10));
        }
    }
}
