//! Every metric: its name, what it means, and where it is read.
//!
//! Names are as Prometheus asks: base units, `_total` for what only grows, moments as seconds since 1970-01-01 UTC. What to
//! do about which is told in `docs/operations.md`, where a test holds this list.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::write::{Histogram, Labels, NONE, Page, label, text};
use super::{ByProtocol, Ended, LATENCY_BOUNDS_US, Latency, Metrics, Operation, Told, process};
use crate::access::Right;
use crate::events::EventsStatus;
use crate::fingerprint::Kind;
use crate::index::snapshot::{KindState, Snapshot};
use crate::journal::{JournalStatus, now_ms};
use crate::list::ListState;
use crate::matching::Reason;
use crate::server::feeds::lock;
use crate::server::{Protocol, Shared};
use crate::store::command::StoreStatus;

/// How long a scrape waits for the store, which may be busy with a change.
const STORE_PATIENCE: Duration = Duration::from_secs(2);

/// Scrapes that wait for the store at once; one more goes without.
const STORE_SCRAPES_MAX: u64 = 2;

/// The text of all metrics, as they are now.
pub(in crate::server) async fn scrape(shared: &Arc<Shared>) -> String {
    let store = store_status(shared).await;
    let shared = Arc::clone(shared);
    let written = move || text(move |page| write_all(page, &shared, store.as_ref()));
    // The kernel is asked for some of it.
    tokio::task::spawn_blocking(written).await.unwrap_or_default()
}

/// What the store says of itself; `None` if it is not open yet, or does not answer in time.
async fn store_status(shared: &Arc<Shared>) -> Option<StoreStatus> {
    let taken = shared.metrics.store_scrapes.take(1, STORE_SCRAPES_MAX)?;
    let service = Arc::clone(&shared.service);
    let asked = tokio::task::spawn_blocking(move || {
        let _taken = taken;
        service.store_status()
    });
    tokio::time::timeout(STORE_PATIENCE, asked).await.ok()?.ok()?
}

fn write_all(page: &mut Page<'_>, shared: &Shared, store: Option<&StoreStatus>) -> fmt::Result {
    requests(page, &shared.metrics)?;
    answers(page, &shared.metrics, &shared.service.snapshot())?;
    refusals(page, shared)?;
    connections(page, shared)?;
    queues(page, shared)?;
    audit(page, shared)?;
    events(page, shared)?;
    held(page, &shared.service.snapshot())?;
    of_store(page, store)?;
    feeds(page, shared, store)?;
    of_process(page, &shared.metrics)
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// The series of a metric that is one number.
fn one<V>(value: V) -> [(Labels<'static>, V); 1] {
    [(NONE, value)]
}

fn of_protocol(protocol: Protocol) -> (&'static str, std::borrow::Cow<'static, str>) {
    label("protocol", protocol.name())
}

fn requests(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    let each = || {
        Protocol::ALL.into_iter().flat_map(|protocol| Operation::ALL.map(|operation| (protocol, operation))).map(
            |(protocol, operation)| {
                let labels = vec![of_protocol(protocol), label("operation", operation.name())];
                (labels, metrics.of(protocol), operation)
            },
        )
    };
    page.histogram(
        "hashward_request_duration_seconds",
        "From a request that is there as a whole to its answer; requests that got none are not in it",
        each().map(|(labels, of, operation)| (labels, of.latencies[operation as usize].histogram())),
    )?;
    let asks = |operation| matches!(operation, Operation::Exact | Operation::Near | Operation::Content);
    page.counter(
        "hashward_rows",
        "Files that were asked about, by hashes or by content",
        each().filter(|(.., operation)| asks(*operation)).map(|(labels, of, at)| (labels, of.rows.get(at as usize))),
    )?;
    let told = Protocol::ALL.into_iter().flat_map(|protocol| Told::all().map(move |told| (protocol, told)));
    page.counter(
        "hashward_requests_failed",
        "Requests that got no answer but the reason why, by the code of the failure",
        told.map(|(protocol, told)| {
            let count = metrics.of(protocol).told.get(told.number());
            (vec![of_protocol(protocol), label("code", told.name())], count)
        }),
    )
}

impl Latency {
    fn histogram(&self) -> Histogram {
        let bounds = LATENCY_BOUNDS_US.into_iter().map(|us| us as f64 / 1e6).chain([f64::INFINITY]);
        let buckets = bounds.enumerate().map(|(at, bound)| (bound, self.requests.get(at))).collect();
        Histogram { buckets, sum: read(&self.sum_ns) as f64 / 1e9 }
    }
}

fn answers(page: &mut Page<'_>, metrics: &Metrics, snapshot: &Snapshot) -> fmt::Result {
    let verdicts = metrics.verdicts().map(|(verdict, rows)| (vec![label("verdict", verdict)], rows));
    page.counter("hashward_verdicts", "Files by what was said of them", verdicts)?;
    page.counter(
        "hashward_undecided",
        "Files of which nothing could be said, by the reason",
        Reason::ALL
            .into_iter()
            .enumerate()
            .map(|(at, reason)| (vec![label("reason", reason.name())], metrics.undecided.get(at))),
    )?;
    page.counter("hashward_watched", "Files that a list of role watch holds", one(read(&metrics.watched)))?;
    page.counter("hashward_suppressed", "Files with a match that is suppressed", one(read(&metrics.suppressed)))?;
    page.counter(
        "hashward_shadow_unasked",
        "Files about which lists in shadow could not be asked in full: no event tells what those would have matched",
        one(read(&metrics.shadow_unasked)),
    )?;
    metrics.forget_all_but(snapshot);
    let hits = metrics.hits.load();
    page.counter(
        "hashward_hits",
        "Files that matched in each list; lists that never matched are not there",
        hits.iter().map(|(list, count)| (vec![label("list", list.as_str())], read(count))),
    )
}

fn refusals(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let lacking = Right::ALL.map(Right::name).into_iter().chain(["any"]).enumerate();
    page.counter(
        "hashward_lacking_right",
        "Refusals for want of a right, by the right",
        lacking.map(|(at, right)| (vec![label("right", right)], shared.metrics.lacking.get(at))),
    )?;
    let access = shared.access.load();
    let now_ms = now_ms();
    let budgets = || {
        access
            .principals()
            .flat_map(|who| who.meter.spent(&who.budget, now_ms).into_iter().map(move |spent| (who, spent)))
    };
    let labels = |who: &str, budget: &'static str| vec![label("principal", who.to_owned()), label("budget", budget)];
    page.counter(
        "hashward_over_budget",
        "Refusals for a budget that was spent, by principal and budget",
        budgets().map(|(who, spent)| (labels(who.name.as_str(), spent.bound.name()), spent.refusals)),
    )?;
    let daily = || {
        budgets()
            .filter_map(|(who, spent)| Some((labels(who.name.as_str(), spent.bound.name()), spent.today?, spent.limit)))
    };
    page.gauge(
        "hashward_budget_used",
        "What principals have used of their daily budgets since midnight UTC",
        daily().map(|(labels, today, _)| (labels, today)),
    )?;
    page.gauge("hashward_budget_limit", "Daily budgets", daily().map(|(labels, _, limit)| (labels, limit)))
}

fn connections(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let each = || Protocol::ALL.into_iter().map(|protocol| (protocol, shared.metrics.of(protocol)));
    let open = |of: &ByProtocol| {
        // The end first: a connection that comes and goes between the two counts as one that stands.
        let ended = of.connections_ended.sum();
        read(&of.connections).saturating_sub(ended)
    };
    page.gauge(
        "hashward_connections",
        "Connections that stand",
        each().map(|(protocol, of)| (vec![of_protocol(protocol)], open(of))),
    )?;
    page.gauge(
        "hashward_connections_limit",
        "Connections that may stand, of all protocols together: limits.connections",
        one(shared.limits.load().connections),
    )?;
    page.counter(
        "hashward_connections_opened",
        "Connections that were served",
        each().map(|(protocol, of)| (vec![of_protocol(protocol)], read(&of.connections))),
    )?;
    page.counter(
        "hashward_connections_refused",
        "Connections that found no room, and were told busy",
        each().map(|(protocol, of)| (vec![of_protocol(protocol)], read(&of.connections_refused))),
    )?;
    let ended = each().flat_map(|(protocol, of)| Ended::all().map(move |ended| (protocol, of, ended)));
    page.counter(
        "hashward_connections_ended",
        "Connections that ended, by the reason",
        ended.map(|(protocol, of, ended)| {
            (vec![of_protocol(protocol), label("reason", ended.name())], of.connections_ended.get(ended.number()))
        }),
    )?;
    page.gauge(
        "hashward_strangers",
        "Connections over TLS over which nobody who may do anything has asked yet",
        one(shared.strangers.used()),
    )?;
    page.gauge(
        "hashward_strangers_limit",
        "Such connections that may stand: limits.strangers",
        one(shared.limits.load().strangers),
    )?;
    let ends = shared.certificates.load();
    page.gauge(
        "hashward_certificate_end_timestamp_seconds",
        "When a listener's certificate, or one of its chain, ends",
        ends.iter().filter_map(|of| Some((vec![label("listener", of.listener.as_str())], of.ends_at?))),
    )?;
    page.counter(
        "hashward_accept_errors",
        "Connections that the kernel did not give, for want of descriptors most likely",
        one(read(&shared.metrics.accept_errors)),
    )
}

fn queues(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let limits = shared.limits.load();
    page.gauge("hashward_commands", "Commands under way", one(shared.commands.used()))?;
    page.gauge("hashward_commands_limit", "Commands that may be: limits.commands", one(limits.commands))?;
    page.gauge(
        "hashward_large_frame_bytes",
        "Memory for large frames and bodies in use",
        one(shared.large_frames.used()),
    )?;
    page.gauge(
        "hashward_large_frame_limit_bytes",
        "Memory for large frames and bodies: limits.large_frame_bytes",
        one(limits.large_frame_bytes),
    )?;
    page.gauge("hashward_content_memory_bytes", "Memory for pictures in use", one(shared.content_memory.used()))?;
    page.gauge(
        "hashward_content_memory_limit_bytes",
        "Memory for pictures: limits.content_memory_bytes",
        one(limits.content_memory_bytes),
    )?;
    page.gauge(
        "hashward_workshop_queue_length",
        "Questions by distance, and parts of files, that wait for a thread",
        one(shared.workshop.queued()),
    )?;
    let pictures = shared.pictures.status();
    page.gauge("hashward_picture_queue_length", "Pictures that wait for a worker", one(pictures.queued))?;
    page.gauge(
        "hashward_picture_queue_limit",
        "Pictures that may wait: pictures.queue",
        one(shared.pictures.config().queue),
    )?;
    page.gauge("hashward_workers", "Worker processes that are ready or at work", one(pictures.processes.len()))?;
    page.gauge("hashward_workers_expected", "Worker processes that there should be", one(pictures.workers_max))?;
    page.counter("hashward_workers_started", "Worker processes that were started", one(pictures.started))?;
    page.counter(
        "hashward_workers_lost",
        "Worker processes that died, or were killed for what they did",
        one(pictures.anomalies),
    )?;
    page.counter("hashward_pictures_answered", "Pictures that workers answered, good or bad", one(pictures.answered))
}

fn audit(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let trail = shared.service.trail().map(|trail| trail.journal().status());
    let of = |value: fn(&JournalStatus) -> u64| trail.iter().map(move |status| (NONE, value(status)));
    page.counter("hashward_audit_records", "Records in the audit trail", of(|trail| trail.records))?;
    page.gauge(
        "hashward_audit_unsynced_records",
        "Records of the audit trail that a loss of power would take",
        of(|trail| trail.unsynced),
    )?;
    page.gauge(
        "hashward_audit_synced_timestamp_seconds",
        "When the audit trail was last made to survive a loss of power",
        of(|trail| trail.synced_at),
    )?;
    page.counter(
        "hashward_audit_missing",
        "Questions that were answered and are missing in the audit trail",
        of(|trail| trail.missing),
    )?;
    page.counter(
        "hashward_audit_write_errors",
        "Times that the audit trail could not be written or synced",
        of(|trail| trail.failed),
    )
}

fn events(page: &mut Page<'_>, shared: &Shared) -> fmt::Result {
    let events = shared.service.events().map(|events| events.status());
    let of = |value: fn(&EventsStatus) -> u64| events.iter().map(move |status| (NONE, value(status)));
    page.counter("hashward_events", "Match events", of(|events| events.events))?;
    page.gauge(
        "hashward_events_unsynced_records",
        "Records of match events that a loss of power would take",
        of(|events| events.journal.unsynced),
    )?;
    page.gauge(
        "hashward_events_synced_timestamp_seconds",
        "When the match events were last made to survive a loss of power",
        of(|events| events.journal.synced_at),
    )?;
    page.counter(
        "hashward_events_missing",
        "Questions that were answered and whose match events are missing",
        of(|events| events.journal.missing),
    )?;
    page.counter(
        "hashward_events_write_errors",
        "Times that match events could not be written or synced",
        of(|events| events.journal.failed),
    )?;
    page.gauge("hashward_event_readers", "Readers of match events", one(shared.event_readers.used()))?;
    page.gauge(
        "hashward_event_readers_limit",
        "Readers of match events that may be: limits.event_readers",
        one(shared.limits.load().event_readers),
    )
}

fn held(page: &mut Page<'_>, snapshot: &Snapshot) -> fmt::Result {
    page.gauge("hashward_generation", "The generation that answers", one(snapshot.generation()))?;
    page.gauge(
        "hashward_kind_ready",
        "Of each kind that lists hold: 1 if all of it can be asked, 0 while it loads or something of it cannot be read",
        snapshot.askable_kinds().into_iter().map(|kind: Kind| {
            let is_ready = *snapshot.kind_state(kind) == KindState::Ready;
            (vec![label("kind", kind.name())], u64::from(is_ready))
        }),
    )?;
    page.gauge(
        "hashward_list_active",
        "Of each list: 1 if it is active, 0 if it is in shadow or disabled",
        snapshot
            .lists()
            .iter()
            .map(|list| (vec![label("list", list.name.as_str())], u64::from(list.state == ListState::Active))),
    )?;
    page.gauge(
        "hashward_suppressed_fingerprints",
        "Fingerprints that suppressions cover",
        one(snapshot.suppressed().len()),
    )
}

fn of_store(page: &mut Page<'_>, store: Option<&StoreStatus>) -> fmt::Result {
    page.gauge(
        "hashward_store_responding",
        "1 if the store answered the scrape; if it did not, what is read from it is not there",
        one(u64::from(store.is_some())),
    )?;
    page.gauge(
        "hashward_generation_timestamp_seconds",
        "When the generation that answers came into force",
        store.and_then(|store| store.generation_at).map(|at| (NONE, at)),
    )?;
    let kinds = || store.iter().flat_map(|store| &store.kinds).map(|(kind, of)| (vec![label("kind", kind.name())], of));
    page.gauge("hashward_segments", "Segments that answer", kinds().map(|(labels, of)| (labels, of.segments)))?;
    page.gauge(
        "hashward_segment_fingerprints",
        "Fingerprints in segments; one that stands in two counts twice",
        kinds().map(|(labels, of)| (labels, of.digests)),
    )?;
    page.gauge("hashward_segment_bytes", "Bytes of segments on disk", kinds().map(|(labels, of)| (labels, of.bytes)))?;
    page.gauge(
        "hashward_live_fingerprints",
        "Fingerprints in the live layer",
        store.and_then(|store| store.live_fingerprints).map(|count| (NONE, count)),
    )?;
    let alarms = store.iter().flat_map(|store| store.alarm_counts());
    page.gauge(
        "hashward_alarms",
        "Alarms that nobody has acknowledged",
        alarms.map(|((list, alarm), count)| (vec![label("list", list), label("alarm", alarm)], count)),
    )?;
    page.gauge(
        "hashward_held_version",
        "Of each list with a held version: its number",
        store
            .iter()
            .flat_map(|store| &store.held)
            .map(|(list, version)| (vec![label("list", list.as_str())], u64::from(version.0))),
    )
}

fn feeds(page: &mut Page<'_>, shared: &Shared, store: Option<&StoreStatus>) -> fmt::Result {
    let each =
        || store.iter().flat_map(|store| &store.feeds).map(|(list, of)| (vec![label("list", list.as_str())], of));
    page.gauge(
        "hashward_feed_synced_timestamp_seconds",
        "When the feed of a list was last read to its end; not there if never",
        each().filter_map(|(labels, of)| Some((labels, of.synced_at?))),
    )?;
    page.gauge(
        "hashward_feed_stale",
        "1 if that is longer ago than stale_after_s",
        each().map(|(labels, of)| (labels, u64::from(of.stale))),
    )?;
    page.gauge(
        "hashward_feed_faulty_items",
        "Items of the feed of a list that cannot be read",
        each().map(|(labels, of)| (labels, of.faulty_items)),
    )?;
    let board = lock(&shared.feeds).clone();
    page.gauge(
        "hashward_feed_failures",
        "Syncs of a feed that failed since the last one that did not",
        board.values().map(|of| (vec![label("feed", of.feed.as_str()), label("list", of.list.as_str())], of.failures)),
    )
}

fn of_process(page: &mut Page<'_>, metrics: &Metrics) -> fmt::Result {
    page.gauge(
        "hashward_build_info",
        "The version that runs",
        [(vec![label("version", env!("CARGO_PKG_VERSION"))], 1u64)],
    )?;
    page.gauge(
        "hashward_config_last_reload_successful",
        "0 if the config was refused when it was last read again, so that the one before holds",
        one(u64::from(!metrics.is_config_refused())),
    )?;
    page.gauge(
        "hashward_config_last_reload_success_timestamp_seconds",
        "When the config that holds was read",
        one(read(&metrics.config_taken_at)),
    )?;
    let maybe = |value: Option<u64>| value.map(|value| (NONE, value));
    page.gauge(
        "process_resident_memory_bytes",
        "Resident memory, mapped segments included; workers are other processes",
        maybe(process::resident_bytes()),
    )?;
    page.counter("process_cpu_seconds", "Time of processors that was used", one(process::processor_s()))?;
    page.gauge("process_open_fds", "Descriptors that are open", maybe(process::open_descriptors()))?;
    page.gauge("process_max_fds", "Descriptors that may be open", maybe(process::descriptors_max()))?;
    page.gauge("process_start_time_seconds", "When the process started", one(metrics.started_at))
}
