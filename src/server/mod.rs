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
//! | `door` | who is let in at a listener |
//! | `stranger` | connections over which nobody who may do anything has asked yet |
//! | `tls`, `certificate` | certificates and keys; when they end |
//! | `carrier` | what carries a connection's bytes |
//! | `service` | what is answered, whatever the wire format |
//! | `inbox` | a connection's read buffer |
//! | `descriptors` | a Unix stream that keeps what is passed over it |
//! | `protocol` | the wire formats, a room each |
//! | `json` | answers as JSON objects |
//! | `content` | questions about a file's content |
//! | `workshop` | threads for what takes long |
//! | `metrics` | what is counted, and how a scraper is told |
//! | `events` | match events: given to whoever may read them, and waited for |
//! | `feeds` | processes that read feeds, when they are due |

mod asker;
mod carrier;
mod certificate;
mod content;
mod descriptors;
mod door;
mod events;
mod feeds;
mod inbox;
pub(crate) mod json;
mod limits;
mod listen;
mod metrics;
mod protocol;
mod service;
mod stranger;
mod tls;
mod workshop;

pub use feeds::SyncProgram;
pub use limits::{BadLimit, Limits};
pub use listen::{BadListen, Listen, ListenError, Protocol};
pub use service::Service;
pub use tls::{BadTls, Identity, TlsFiles};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use crate::access::{Access, Refusals, Rights};
use crate::audit::AuditConfig;
use crate::events::EventsConfig;
use crate::feed::FeedConfig;
use crate::media::worker::{PoolStatus, WorkerPool};
use crate::protocol::Address;
use crate::systemd::PassedSockets;
use door::Door;
use feeds::{Board, FeedStatus, Schedule, lock};
use limits::Gauge;
use listen::Socket;
use metrics::Metrics;
use service::ServiceStatus;
use tls::CertificateStatus;
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

/// What a listener speaks, and what it grants; a reload may change the latter under a connection.
struct Granted {
    protocol: Protocol,
    rights: AtomicU8,
}

impl Granted {
    fn new(protocol: Protocol, rights: Rights) -> Granted {
        Granted { protocol, rights: AtomicU8::new(rights.bits()) }
    }

    fn get(&self) -> Rights {
        Rights::from_bits(self.rights.load(Ordering::Relaxed))
    }

    fn set(&self, rights: Rights) {
        self.rights.store(rights.bits(), Ordering::Relaxed);
    }
}

/// What all connections share.
struct Shared {
    service: Arc<Service>,
    limits: ArcSwap<Limits>,
    access: Arc<ArcSwap<Access>>,
    audit: ArcSwap<AuditConfig>,
    events: ArcSwap<EventsConfig>,
    connections: Gauge,
    /// Those of the connections that are strangers'.
    strangers: Gauge,
    turned_away: Refusals,
    certificates: ArcSwap<Vec<CertificateStatus>>,
    commands: Gauge,
    event_readers: Gauge,
    large_frames: Gauge,
    content_memory: Gauge,
    workshop: Workshop,
    pictures: WorkerPool,
    feeds: Board,
    metrics: Metrics,
    http: axum::Router,
    /// The digest of the config that is in force.
    config: ArcSwap<String>,
    started_at: Instant,
}

impl Shared {
    fn status(&self) -> Status {
        Status {
            program: "hashward",
            version: env!("CARGO_PKG_VERSION"),
            config: String::clone(&self.config.load()),
            config_refused: self.metrics.is_config_refused(),
            service: self.service.status(),
            uptime_s: self.started_at.elapsed().as_secs(),
            connections: self.connections.used(),
            connections_max: self.limits.load().connections,
            commands: self.commands.used(),
            rows: self.metrics.verdicts().collect(),
            failed: self.metrics.failed(),
            pictures: self.pictures.status(),
            feeds: lock(&self.feeds).values().cloned().collect(),
            certificates: self.certificates.load().to_vec(),
        }
    }
}

/// The answer to STATUS.
#[derive(Serialize, ToSchema)]
struct Status {
    program: &'static str,
    version: &'static str,
    config: String,
    /// Whether the last attempt to read it again failed, so that it stays what it was.
    config_refused: bool,
    #[serde(flatten)]
    service: ServiceStatus,
    uptime_s: u64,
    connections: u64,
    connections_max: u64,
    commands: u64,
    /// Files that were asked about since the start, by verdict.
    rows: BTreeMap<&'static str, u64>,
    /// Requests since the start that got no answer but the reason why, by its code.
    failed: BTreeMap<String, u64>,
    pictures: PoolStatus,
    feeds: Vec<FeedStatus>,
    certificates: Vec<CertificateStatus>,
}

/// A running daemon's listeners.
pub struct Server {
    shared: Arc<Shared>,
    listening: BTreeMap<Address, Listening>,
    passed: PassedSockets,
    schedule: Schedule,
}

struct Listening {
    protocol: Protocol,
    granted: Arc<Granted>,
    tls: Arc<ArcSwapOption<Identity>>,
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
            access: Arc::new(ArcSwap::from_pointee(access)),
            audit: ArcSwap::default(),
            events: ArcSwap::default(),
            connections: Gauge::default(),
            strangers: Gauge::default(),
            certificates: ArcSwap::default(),
            turned_away: Refusals::default(),
            commands: Gauge::default(),
            event_readers: Gauge::default(),
            large_frames: Gauge::default(),
            content_memory: Gauge::default(),
            workshop: Workshop::start(threads)?,
            pictures,
            feeds: schedule.board(),
            metrics: Metrics::new(),
            http: protocol::http::router(),
            config: ArcSwap::default(),
            started_at: Instant::now(),
        };
        let (listening, passed) = (BTreeMap::new(), PassedSockets::default());
        Ok(Server { shared: Arc::new(shared), listening, passed, schedule })
    }

    /// Who may ask what, as the config says that is in force by then.
    pub fn access(&self) -> Arc<ArcSwap<Access>> {
        Arc::clone(&self.shared.access)
    }

    /// Listens at sockets that systemd passes, where their addresses are listened at.
    pub fn adopt(&mut self, passed: PassedSockets) {
        self.passed = passed;
    }

    /// Listens as `listen` says from now on, to whom `access` names, within `limits`: opens what is new, lets go what is
    /// gone, and keeps what stays, with its connections. Certificates are read again, for connections that come.
    ///
    /// # Errors
    /// An address that cannot be listened at, or a certificate that cannot be used. Then everything is as it was.
    pub fn reconfigure(
        &mut self,
        listen: &[Listen],
        access: Access,
        audit: AuditConfig,
        events: EventsConfig,
        limits: Limits,
    ) -> Result<(), ListenError> {
        let speaks_another = |entry: &&Listen| {
            self.listening
                .get(&entry.address)
                .is_some_and(|kept| kept.protocol != entry.protocol || kept.tls.load().is_some() != entry.tls.is_some())
        };
        if let Some(entry) = listen.iter().find(speaks_another) {
            return Err(ListenError::ProtocolChanged(entry.address.clone()));
        }
        let is_listened_at = |address: &&Address| listen.iter().any(|entry| entry.address == **address);
        if let Some(address) = self.passed.addresses().find(|address| !is_listened_at(address)) {
            return Err(ListenError::Passed(address.clone()));
        }
        let tls = listen.iter().map(Listen::load_tls).collect::<Result<Vec<_>, _>>()?;
        let open_new = |entry: &Listen| match self.listening.contains_key(&entry.address) {
            true => Ok(None),
            false => Socket::open(&entry.address, &self.passed).map(Some),
        };
        let opened = listen.iter().map(open_new).collect::<Result<Vec<_>, ListenError>>()?;
        self.shared.limits.store(Arc::new(limits.within_descriptors()));
        let access = access.with_meters_of(&self.shared.access.load());
        self.shared.access.store(Arc::new(access));
        self.shared.audit.store(Arc::new(audit));
        self.shared.events.store(Arc::new(events));
        let gone: Vec<Address> = self.listening.keys().filter(|address| !is_listened_at(address)).cloned().collect();
        for address in gone {
            tracing::info!(%address, "no longer listening");
            if let Some(gone) = self.listening.remove(&address) {
                tokio::spawn(gone.drain(Arc::clone(&self.shared)));
            }
        }
        let certificates = listen.iter().zip(&tls).filter_map(|(entry, tls)| tls.as_ref().map(|tls| (entry, tls)));
        for (entry, tls) in certificates.clone() {
            if let Some(warning) = tls.warning() {
                tracing::warn!(address = %entry.address, "{warning}");
            }
        }
        let certificates = certificates.map(|(entry, tls)| tls.status(&entry.address)).collect();
        self.shared.certificates.store(Arc::new(certificates));
        for ((entry, tls), socket) in listen.iter().zip(tls).zip(opened) {
            let Some(socket) = socket else {
                if let Some(kept) = self.listening.get(&entry.address) {
                    kept.granted.set(entry.granted());
                    kept.tls.store(tls);
                }
                continue;
            };
            let address = socket.address();
            tracing::info!(%address, rights = ?entry.rights, tls = tls.is_some(), "listening");
            if entry.is_readable_on_the_way() {
                tracing::warn!(%address, "tokens, questions and answers can be read and changed on the way");
            }
            let (phase, phase_seen) = watch::channel(Phase::Serving);
            let door = Door {
                protocol: entry.protocol,
                granted: Arc::new(Granted::new(entry.protocol, entry.granted())),
                shared: Arc::clone(&self.shared),
                phase: phase_seen,
                tls: Arc::new(ArcSwapOption::new(tls)),
            };
            let (protocol, granted, tls) = (door.protocol, Arc::clone(&door.granted), Arc::clone(&door.tls));
            let task = tokio::spawn(door::accept(socket, door));
            self.listening.insert(entry.address.clone(), Listening { protocol, granted, tls, phase, task });
        }
        Ok(())
    }

    /// STATUS names the config that is in force by this digest from now on.
    pub fn tell_config(&self, digest: &str) {
        self.shared.config.store(Arc::new(digest.to_owned()));
        self.shared.metrics.config_taken();
    }

    /// STATUS and the metrics say from now on that the config as it stands on disk was refused when it was read again.
    pub fn tell_config_refused(&self) {
        self.shared.metrics.config_refused();
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
