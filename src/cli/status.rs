//! `hashward status`: how the daemon is, and what its store holds.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::Exit;
use super::connect::Socket;
use super::output::{Format, Output};
use crate::events::EventsStatus;
use crate::fingerprint::Kind;
use crate::journal::JournalStatus;
use crate::media::worker::PoolStatus;
use crate::moment;
use crate::protocol::{Client, ClientError};
use crate::store::command::{Command, FeedInfo, Outcome, StoreStatus};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    socket: Socket,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What the programs here need of the answer to STATUS.
#[derive(Deserialize)]
pub(super) struct DaemonStatus {
    pub(super) version: String,
    config: String,
    config_refused: bool,
    pub(super) state: String,
    pub(super) generation: u64,
    pub(super) held_kinds: Vec<Kind>,
    pub(super) uptime_s: u64,
    pub(super) connections: u64,
    pub(super) connections_max: u64,
    pub(super) pictures: PoolStatus,
    audit: Option<JournalStatus>,
    events: Option<EventsStatus>,
    rows: BTreeMap<String, u64>,
    failed: BTreeMap<String, u64>,
    feeds: Vec<FeedLine>,
    certificates: Vec<CertificateLine>,
}

/// How long a listener's certificate is good.
#[derive(Deserialize)]
struct CertificateLine {
    listener: String,
    ends_at: Option<i64>,
}

/// How a feed's schedule stands.
#[derive(Deserialize)]
struct FeedLine {
    feed: String,
    list: String,
    state: String,
    failures: u32,
    fault: Option<String>,
}

impl DaemonStatus {
    pub(super) fn of(client: &mut Client) -> Result<DaemonStatus> {
        let json = client.status().context("the daemon does not tell its status")?;
        serde_json::from_slice(&json).context("the daemon's status cannot be read; is it of this version?")
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    let mut client = arguments.socket.connect()?;
    let mut output = Output::new();
    let command = serde_json::to_vec(&Command::Status)?;
    // A store that still loads has nothing to tell yet.
    let store = match client.command_json(&command) {
        Ok(json) => match serde_json::from_slice(&json)? {
            Outcome::Status(store) => Some(store),
            _ => None,
        },
        Err(ClientError::Busy(_)) => None,
        Err(error) => return Err(error).context("the store does not tell its status"),
    };
    match arguments.format {
        Format::Json => {
            let mut status: Value = serde_json::from_slice(&client.status()?)?;
            status["store"] = serde_json::to_value(&store)?;
            output.json(&status)?;
        }
        Format::Tsv => lines(&DaemonStatus::of(&mut client)?, store.as_ref())
            .iter()
            .try_for_each(|(name, value)| output.line(&format!("{name}\t{value}")))?,
        Format::Text => lines(&DaemonStatus::of(&mut client)?, store.as_ref())
            .iter()
            .try_for_each(|(name, value)| output.line(&format!("{name:<14}{value}")))?,
    }
    output.flush()?;
    Ok(Exit::Fine)
}

/// The worker processes, and what their sandbox lacks.
fn decoding(pictures: &PoolStatus) -> String {
    let PoolStatus { processes, workers_max, queued, answered, started: _, anomalies, sandbox, start_error } = pictures;
    let mut text = format!(
        "{} of {workers_max} workers, {queued} pictures waiting, {answered} answered, {anomalies} workers lost",
        processes.len()
    );
    match sandbox.map(|sandbox| sandbox.missing()) {
        None => {}
        Some(missing) if missing.is_empty() => text += "; full sandbox",
        Some(missing) => text += &format!("; no {}", missing.join(", no ")),
    }
    if let Some(error) = start_error {
        text += &format!("; {error}");
    }
    text
}

/// The digest of the config that holds.
fn config(daemon: &DaemonStatus) -> String {
    let refused =
        if daemon.config_refused { "; what stands on disk now was refused, and the log says why" } else { "" };
    format!("{}{refused}", daemon.config)
}

/// How many of what, as `3 known, 7 unknown`.
fn counts(of: &BTreeMap<String, u64>) -> String {
    let counts: Vec<_> = of.iter().filter(|(_, count)| **count > 0).map(|(name, n)| format!("{n} {name}")).collect();
    if counts.is_empty() { "nothing yet".to_owned() } else { counts.join(", ") }
}

/// How far the audit trail is, and what is wrong with it.
fn trail(audit: &JournalStatus) -> String {
    recorded(format!("{} records, {} unsynced", audit.records, audit.unsynced), audit)
}

/// How far the match events are, and what is wrong with them.
fn events(events: &EventsStatus) -> String {
    let EventsStatus { events, journal } = events;
    recorded(format!("{events} events, {} records unsynced", journal.unsynced), journal)
}

fn recorded(mut text: String, journal: &JournalStatus) -> String {
    let JournalStatus { missing, failed, .. } = *journal;
    if missing > 0 {
        text += &format!(", {missing} questions missing");
    }
    if failed > 0 {
        text += &format!("; could not be written {failed} times since the start");
    }
    text
}

/// How long ago a list was brought up to date.
fn freshness(feed: &FeedInfo) -> String {
    let now = moment::now();
    let mut text = match feed.synced_at {
        Some(at) => format!("synced {} s ago", now.saturating_sub(at)),
        None => "never synced".to_owned(),
    };
    if feed.stale {
        text += ", stale";
    }
    if feed.faulty_items > 0 {
        text += &format!(", {} items cannot be read", feed.faulty_items);
    }
    if let Some(fault) = &feed.fault {
        text += &format!("; the last attempt failed: {fault}");
    }
    text
}

fn lines(daemon: &DaemonStatus, store: Option<&StoreStatus>) -> Vec<(String, String)> {
    let line = |name: &str, value: String| (name.to_owned(), value);
    let kinds: Vec<&str> = daemon.held_kinds.iter().map(|kind| kind.name()).collect();
    let mut lines = vec![
        line("state", daemon.state.clone()),
        line("version", daemon.version.clone()),
        line("config", config(daemon)),
        line("generation", daemon.generation.to_string()),
        line(
            "kinds",
            if kinds.is_empty() { "none: no active list holds anything".to_owned() } else { kinds.join(" ") },
        ),
        line("connections", format!("{} of {}", daemon.connections, daemon.connections_max)),
        line("uptime", format!("{} s", daemon.uptime_s)),
        line("asked", counts(&daemon.rows)),
        line("decoding", decoding(&daemon.pictures)),
    ];
    if !daemon.failed.is_empty() {
        lines.push(line("not answered", counts(&daemon.failed)));
    }
    lines.extend(daemon.audit.as_ref().map(|audit| line("audit trail", trail(audit))));
    lines.extend(daemon.events.as_ref().map(|status| line("match events", events(status))));
    if let Some(store) = store {
        lines.push(line("lists", store.lists.to_string()));
        lines.extend(store.alarms.iter().map(|raised| {
            let list = raised.list.as_ref().map(|list| format!("{list}: ")).unwrap_or_default();
            line("alarm", format!("{list}{}", raised.alarm))
        }));
        lines.extend(store.held.iter().map(|(list, version)| line("held", format!("{list}: version {version}"))));
        lines.extend(store.live_fingerprints.map(|count| line("live layer", count.to_string())));
        for (kind, status) in &store.kinds {
            let (digests, segments, bytes) = (status.digests, status.segments, status.bytes);
            let text = format!("{digests} digests in {segments} segments, {bytes} bytes, {}", status.state);
            lines.push((kind.name().to_owned(), text));
        }
        lines.extend(store.feeds.iter().map(|(list, feed)| (list.to_string(), freshness(feed))));
    }
    for FeedLine { feed, list, state, failures, fault } in &daemon.feeds {
        let mut text = format!("{state}, fills {list}");
        if let Some(fault) = fault {
            text += &format!("; failed {failures} times in a row: {fault}");
        }
        lines.push((format!("feed {feed}"), text));
    }
    for CertificateLine { listener, ends_at } in &daemon.certificates {
        let ends = ends_at.map_or("nobody knows when".to_owned(), moment::iso);
        lines.push(("certificate".to_owned(), format!("of {listener} ends {ends}")));
    }
    lines
}
