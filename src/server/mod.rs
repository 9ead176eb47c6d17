//! The daemon: listeners, connections, limits, drain.
//!
//! ```text
//! Server ── one task a listener ── one task a connection ─┬─ Service ── snapshot: exact lookups, here and now
//!                                                         │          └─ store: commands, on threads of their own
//!                                                         ├─ Workshop: questions by distance, hashing of content
//!                                                         └─ WorkerPool: pictures, in processes of their own
//! ```
//!
//! Whatever one client does costs at most what [`Limits`] grants it: no other client waits for it, and none is told
//! anything but the truth. A new configuration takes effect without a question being dropped: listeners that stay keep
//! their connections, and those that go finish what they have begun.
//!
//! | file | what |
//! |---|---|
//! | `asker` | who asks, what they may do, and the questions themselves |
//! | `limits` | every bound, with its default |
//! | `listen` | sockets: made, found stale or alive, removed |
//! | `service` | what is answered, whatever the wire format |
//! | `inbox` | a connection's read buffer |
//! | `descriptors` | a Unix stream that keeps what is passed over it |
//! | `frame` | a connection of the frame protocol: its bytes |
//! | `http` | a connection of HTTP, and its paths |
//! | `json` | answers as JSON objects |
//! | `session` | what it is asked, and answers |
//! | `content` | questions about a file's content |
//! | `workshop` | threads for what takes long |
//! | `feeds` | processes that read feeds, when they are due |

mod asker;
mod content;
mod descriptors;
mod feeds;
mod frame;
mod http;
mod inbox;
pub(crate) mod json;
mod limits;
mod listen;
mod service;
mod session;
mod workshop;

pub use feeds::SyncProgram;
pub use limits::{BadLimit, Limits};
pub use listen::{BadListen, Listen, ListenError, Protocol};
pub use service::Service;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use crate::access::{Access, Rights};
use crate::audit::AuditConfig;
use crate::feed::FeedConfig;
use crate::media::worker::{PoolStatus, WorkerPool};
use crate::protocol::Address;
use feeds::{Board, FeedStatus, Schedule, lock};
use limits::Gauge;
use listen::Socket;
use service::ServiceStatus;
use workshop::Workshop;

/// How far a listener and its connections are from their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// They serve.
    Serving,
    /// No new connection; what was sent is still answered.
    Draining,
    /// The time to drain is over.
    Closing,
}

/// What a listener grants; a reload may change it under a connection.
struct Granted(AtomicU8);

impl Granted {
    fn get(&self) -> Rights {
        Rights::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, rights: Rights) {
        self.0.store(rights.bits(), Ordering::Relaxed);
    }
}

/// What all connections share.
struct Shared {
    service: Arc<Service>,
    limits: ArcSwap<Limits>,
    access: ArcSwap<Access>,
    audit: ArcSwap<AuditConfig>,
    connections: Gauge,
    commands: Gauge,
    large_frames: Gauge,
    content_memory: Gauge,
    workshop: Workshop,
    pictures: WorkerPool,
    feeds: Board,
    http: axum::Router,
    started_at: Instant,
}

impl Shared {
    fn status(&self) -> Status {
        Status {
            program: "hashward",
            version: env!("CARGO_PKG_VERSION"),
            service: self.service.status(),
            uptime_s: self.started_at.elapsed().as_secs(),
            connections: self.connections.used(),
            connections_max: self.limits.load().connections,
            commands: self.commands.used(),
            pictures: self.pictures.status(),
            feeds: lock(&self.feeds).values().cloned().collect(),
        }
    }
}

/// The answer to STATUS.
#[derive(Serialize, ToSchema)]
struct Status {
    program: &'static str,
    version: &'static str,
    #[serde(flatten)]
    service: ServiceStatus,
    uptime_s: u64,
    connections: u64,
    connections_max: u64,
    commands: u64,
    pictures: PoolStatus,
    feeds: Vec<FeedStatus>,
}

/// A running daemon's listeners.
pub struct Server {
    shared: Arc<Shared>,
    listening: BTreeMap<Address, Listening>,
    schedule: Schedule,
}

struct Listening {
    protocol: Protocol,
    granted: Arc<Granted>,
    phase: watch::Sender<Phase>,
    task: JoinHandle<()>,
}

impl Server {
    /// A daemon that listens nowhere yet. Pictures are decoded in `pictures`; `threads` work on what takes long.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn new(
        service: Arc<Service>,
        limits: Limits,
        access: Access,
        pictures: WorkerPool,
        threads: usize,
    ) -> std::io::Result<Server> {
        let schedule = Schedule::new();
        let shared = Shared {
            service,
            limits: ArcSwap::from_pointee(limits),
            access: ArcSwap::from_pointee(access),
            audit: ArcSwap::default(),
            connections: Gauge::default(),
            commands: Gauge::default(),
            large_frames: Gauge::default(),
            content_memory: Gauge::default(),
            workshop: Workshop::start(threads)?,
            pictures,
            feeds: schedule.board(),
            http: http::router(),
            started_at: Instant::now(),
        };
        Ok(Server { shared: Arc::new(shared), listening: BTreeMap::new(), schedule })
    }

    /// Listens as `listen` says from now on, to whom `access` names, within `limits`: opens what is new, lets go what is
    /// gone, and keeps what stays, with its connections.
    ///
    /// # Errors
    /// An address that cannot be listened at. Then everything is as it was.
    pub fn reconfigure(
        &mut self,
        listen: &[Listen],
        access: Access,
        audit: AuditConfig,
        limits: Limits,
    ) -> Result<(), ListenError> {
        let is_new = |entry: &&Listen| !self.listening.contains_key(&entry.address);
        let speaks_another =
            |entry: &&Listen| self.listening.get(&entry.address).is_some_and(|kept| kept.protocol != entry.protocol);
        if let Some(entry) = listen.iter().find(speaks_another) {
            return Err(ListenError::ProtocolChanged(entry.address.clone()));
        }
        let opened: Vec<_> = listen
            .iter()
            .filter(is_new)
            .map(|entry| Ok((entry, Socket::open(&entry.address)?)))
            .collect::<Result<_, ListenError>>()?;
        self.shared.limits.store(Arc::new(limits));
        let access = access.with_meters_of(&self.shared.access.load());
        self.shared.access.store(Arc::new(access));
        self.shared.audit.store(Arc::new(audit));
        let is_gone = |address: &&Address| !listen.iter().any(|entry| entry.address == **address);
        let gone: Vec<Address> = self.listening.keys().filter(is_gone).cloned().collect();
        for address in gone {
            tracing::info!(%address, "no longer listening");
            if let Some(gone) = self.listening.remove(&address) {
                tokio::spawn(gone.drain(Arc::clone(&self.shared)));
            }
        }
        for entry in listen {
            if let Some(kept) = self.listening.get(&entry.address) {
                kept.granted.set(entry.granted());
            }
        }
        for (entry, socket) in opened {
            tracing::info!(address = %socket.address(), rights = ?entry.rights, "listening");
            let granted = Arc::new(Granted(AtomicU8::new(entry.granted().bits())));
            let (phase, phase_seen) = watch::channel(Phase::Serving);
            let task =
                listen::accept(socket, entry.protocol, Arc::clone(&granted), Arc::clone(&self.shared), phase_seen);
            let task = tokio::spawn(task);
            self.listening.insert(entry.address.clone(), Listening { protocol: entry.protocol, granted, phase, task });
        }
        Ok(())
    }

    /// Reads these feeds on time from now on, if there is a program that does it, and tells of each list how fresh it
    /// has to be.
    pub fn follow(&mut self, feeds: &[FeedConfig], program: Option<&SyncProgram>) {
        self.shared.service.expect_fresh(feeds);
        self.schedule.reconfigure(feeds, program);
    }

    /// Ends the reading of feeds, stops accepting, answers what has been sent, and returns when all connections are
    /// closed or the time to drain is over.
    pub async fn drain(mut self) {
        self.schedule.stop().await;
        let draining: Vec<_> = std::mem::take(&mut self.listening)
            .into_values()
            .map(|listening| tokio::spawn(listening.drain(Arc::clone(&self.shared))))
            .collect();
        for drained in draining {
            if let Err(error) = drained.await {
                tracing::error!(%error, "a listener's drain failed");
            }
        }
    }
}

impl Listening {
    async fn drain(mut self, shared: Arc<Shared>) {
        let drain = shared.limits.load().drain();
        self.phase.send_replace(Phase::Draining);
        if tokio::time::timeout(drain, &mut self.task).await.is_err() {
            self.phase.send_replace(Phase::Closing);
            if tokio::time::timeout(drain, &mut self.task).await.is_err() {
                self.task.abort();
            }
        }
    }
}
