//! `sync`: reads what has changed in a feed of the config, and has it applied to the feed's list.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use hashward::feed::{FeedConfig, FeedSource};
use hashward::list::ListName;
use hashward::moment;
use serde::Serialize;

use super::import::{self, FeedImport, ImportArgs};
use super::print::{ReportFormat, counted, grouped, plain};
use super::progress::Progress;
use super::{Place, Usage, print};
use crate::feeds::{self, Feed, Patience, Report, Secrets, SyncOptions, UNCATEGORISED};

#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// The feed's name in the config
    feed: ListName,
    /// The config, as the daemon reads it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Of a service whose windows have ends (ncmec), read up to this time, as 2024-01-31T00:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<i64>,
    /// How to report
    #[arg(long, value_enum, default_value = "text")]
    report: ReportFormat,
    #[command(flatten)]
    place: Place,
    /// What stands for a second in pauses and time limits
    #[arg(long, hide = true, default_value = "1000")]
    patience_ms: u64,
}

/// Reads a moment, in seconds.
fn until(text: &str) -> Result<i64, String> {
    let ms = moment::parse_iso_ms(text).ok_or("expected a time as 2024-01-31T00:00:00Z")?;
    Ok(ms.div_euclid(1_000))
}

/// The report of a feed; of one of files, with that of the import.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    feed: Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<import::Report>,
}

pub(super) fn run(args: SyncArgs) -> anyhow::Result<ExitCode> {
    let feeds = FeedConfig::read_all(&args.config)?;
    let names = || feeds.feeds.iter().map(|feed| feed.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(config) = feeds.feeds.iter().find(|feed| feed.name == args.feed) else {
        let file = args.config.display();
        return Err(Usage(format!("expected one of the feeds of {file} ({}), found `{}`", names(), args.feed)).into());
    };
    let place = Place { data: args.place.data.clone().or_else(|| feeds.data.clone()), ..args.place.clone() };
    let mut whole =
        Whole { feed: Report::start(config.name.clone(), config.list.clone(), config.source.name()), import: None };
    let started = Instant::now();
    let (secrets, credentials) = feeds::credentials(config)?;
    let done = sync(&args, config, &place, (&secrets, &credentials), &mut whole);
    whole.feed.seconds = started.elapsed().as_secs_f64();
    whole.feed.complete = done.is_ok();
    let fault = done.as_ref().err().map(|error| secrets.hide(&format!("{error:#}")));
    whole.feed.fault.clone_from(&fault);
    tell(args.report, &whole, &secrets)?;
    match fault {
        None => Ok(ExitCode::SUCCESS),
        Some(fault) => Err(anyhow::anyhow!(fault)),
    }
}

fn tell(format: ReportFormat, whole: &Whole, secrets: &Secrets) -> anyhow::Result<()> {
    match format {
        ReportFormat::Json => print::out(&(secrets.hide(&serde_json::to_string(whole)?) + "\n"))?,
        ReportFormat::Text => {
            let text = secrets.hide(&whole.text());
            // What was read before the fault helps to understand it.
            if whole.feed.complete { print::out(&text)? } else { eprint!("{text}") }
        }
    }
    Ok(())
}

fn sync(
    args: &SyncArgs,
    config: &FeedConfig,
    place: &Place,
    (secrets, credentials): (&Secrets, &feeds::Credentials),
    whole: &mut Whole,
) -> anyhow::Result<()> {
    let keeper = place.keeper()?;
    let unit = Duration::from_millis(args.patience_ms);
    let options = SyncOptions { until_s: args.until, patience: Patience::in_units_of(unit) };
    let feed = Feed::open(config, &keeper, options, credentials, secrets.clone())?;
    let read = match config.source {
        FeedSource::Files => import_files(&feed, config, place, whole),
        _ => sync_changes(&feed, whole).map(|()| None),
    };
    let fault = read.as_ref().err().map(|error| secrets.hide(&format!("{error:#}")));
    let checkpoint = read.as_ref().ok().cloned().flatten();
    let noted = feed.note(checkpoint, fault);
    // Why it was not read says more than why that could not be noted.
    read?;
    Ok(noted?)
}

fn sync_changes(feed: &Feed<'_>, whole: &mut Whole) -> anyhow::Result<()> {
    let progress = Progress::start();
    progress.waiting("asking");
    let show = |report: &Report| {
        progress.tell(|| {
            let pages = counted(report.pages, "page", "pages");
            format!("{}: {pages}, {} read", report.feed, counted(report.records, "record", "records"))
        });
    };
    Ok(feed.sync(&mut whole.feed, &show)?)
}

/// Imports what a feed of files has; gives the checkpoint behind it.
fn import_files(
    feed: &Feed<'_>,
    config: &FeedConfig,
    place: &Place,
    whole: &mut Whole,
) -> anyhow::Result<Option<String>> {
    let format = config.format.as_deref().map(str::parse).transpose();
    let format = format.with_context(|| format!("feed `{}`: format", config.name))?;
    let Some(fetched) = feed.fetch_files(&mut whole.feed)? else { return Ok(None) };
    let args = ImportArgs::from(FeedImport {
        list: &config.list,
        files: fetched.files,
        format,
        kind: config.kind,
        roles: config.roles.as_ref(),
        place: place.clone(),
    });
    let (report, done) = import::carry_out(&args);
    whole.import = Some(report);
    done?;
    whole.feed.checkpoint = Some(fetched.checkpoint.clone());
    Ok(Some(fetched.checkpoint))
}

impl Whole {
    /// The summary, with how it ended in the first line.
    fn text(&self) -> String {
        let report = &self.feed;
        let mut text = match (&report.fault, &self.import) {
            (Some(_), _) => format!("{}: not read to its end\n", report.feed),
            (None, None) if report.source == FeedSource::Files.name() => format!("{}: unchanged\n", report.feed),
            (None, Some(import)) if import.is_held() => format!("{}: what was read is held\n", report.feed),
            (None, _) => format!("{}: {} is as new as its source\n", report.feed, report.list),
        };
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:11} {value}");
        };
        let requests = counted(report.requests, "request", "requests");
        line("asked", format!("{requests}, {} of them again, in {:.1} s", grouped(report.retries), report.seconds));
        if let Some(import) = &self.import {
            text.push_str(&import.text());
            return text;
        }
        if report.source == FeedSource::Files.name() {
            return text;
        }
        if report.started_again {
            line("again", "from the beginning, for deletions may have been missed".to_owned());
        }
        let windows = counted(report.windows, "window", "windows");
        let pages = counted(report.pages, "page", "pages");
        line("read", format!("{windows}, {pages}, {}", counted(report.records, "record", "records")));
        let applied = &report.applied;
        for (name, count) in [
            ("added", applied.added),
            ("replaced", applied.replaced),
            ("deleted", applied.deleted),
            ("older", applied.older),
            ("unchanged", applied.unchanged),
        ] {
            line(name, counted(count, "entry", "entries"));
        }
        line("dropped", format!("{} of content that identifies nothing", grouped(applied.dropped)));
        for (name, count) in &report.unsupported {
            line("unsupported", format!("{name} {}", grouped(*count)));
        }
        for (name, category) in report.categories.iter().filter(|_| report.categories.len() > 1) {
            let name = if name == UNCATEGORISED { "none".into() } else { plain(name) };
            line("category", format!("{name}: {}, {}", counted(category.count, "entry", "entries"), category.role));
        }
        if let Some(checkpoint) = &report.checkpoint {
            line("checkpoint", checkpoint.clone());
        }
        if let Some(kept) = &report.kept_page {
            line("kept page", kept.display().to_string());
        }
        line("rejected", counted(report.rejected_total, "record", "records"));
        for rejected in &report.rejected {
            // Without its key: that is a hash with some services, and the daemon logs these lines.
            let (window, page, record) = (&rejected.window, rejected.page, rejected.record);
            let (reason, detail) = (rejected.reason, &rejected.detail);
            let _ = writeln!(text, "    {window}, page {page}, record {record}: {reason}: {detail}");
        }
        let more = report.rejected_total - report.rejected.len() as u64;
        if more > 0 {
            let _ = writeln!(text, "    and {} more", grouped(more));
        }
        text
    }
}
