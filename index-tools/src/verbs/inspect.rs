//! `inspect`: one list, its roles, its versions and what was done with it.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use hashward::list::ListName;
use hashward::store::command::{CategoryCounts, Inspected, VersionInfo};
use hashward::store::{Command, Outcome};
use serde::Serialize;

use super::lists::{self, CATEGORY_HEADER};
use super::print::{OutputFormat, age, by_kind, grouped, moment, table};
use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The list
    list: ListName,
    /// How to print it; tsv shows the versions only
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
    #[command(flatten)]
    place: Place,
}

/// A list with its categories, as programs get it.
#[derive(Serialize)]
struct WithCategories<'a> {
    #[serde(flatten)]
    inspected: &'a Inspected,
    categories: &'a CategoryCounts,
}

pub(super) fn run(args: InspectArgs) -> anyhow::Result<ExitCode> {
    let keeper = args.place.keeper()?;
    let mut session = keeper.session();
    let inspected = match session.execute(Command::Inspect { list: args.list })? {
        Outcome::Inspected(inspected) => inspected,
        other => return Err(unexpected(&other)),
    };
    let categories = lists::categories(&mut session, &inspected.list)?;
    match args.format {
        OutputFormat::Json => print::json_lines([WithCategories { inspected: &inspected, categories: &categories }])?,
        OutputFormat::Tsv => print::out(&versions(OutputFormat::Tsv, &inspected.versions))?,
        OutputFormat::Text => print::out(&text(&inspected, &categories))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(Inspected { list, held, alarms, versions: kept, history }: &Inspected, categories: &CategoryCounts) -> String {
    let mut text = format!("{}\n", list.name);
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:13} {value}");
    };
    line("shape", list.shape.name().to_owned());
    line("state", list.state.to_string());
    line("role", list.roles.default.to_string());
    for (category, role) in &list.roles.by_category {
        line("", format!("category {category}: {role}"));
    }
    if !list.roles.by_category.is_empty() {
        line("", format!("any other category: {}", list.roles.unnamed));
    } else if list.roles.unnamed != list.roles.default {
        line("", format!("any category: {}, until --roles or --all-categories says more", list.roles.unnamed));
    }
    for (kind, radius) in list.radii.iter() {
        let default = kind.radius_default().map(|default| format!(" (default {default})")).unwrap_or_default();
        line("radius", format!("{kind} {radius}{default}"));
    }
    if let Some(version) = list.version {
        line("version", version.to_string());
    }
    if let Some(held) = held {
        line("held", format!("version {}, since {}", held.version, moment(held.at)));
        held.reasons.iter().for_each(|reason| line("", reason.to_string()));
    }
    alarms.iter().for_each(|raised| line("alarm", format!("{}, since {}", raised.alarm, moment(raised.at))));
    line("fingerprints", by_kind(list.fingerprints.iter().map(|(kind, count)| (kind, *count))));
    if list.entries > 0 {
        line("entries", grouped(list.entries));
    }
    line("withdrawn", grouped(list.withdrawn));
    line("created", moment(list.created_at));
    line("changed", format!("{} ({} ago)", moment(list.changed_at), age(list.changed_at)));
    if let Some(feed) = &list.feed {
        let synced = |at| format!("{} ({} ago){}", moment(at), age(at), if feed.stale { ", stale" } else { "" });
        line("synced", feed.synced_at.map_or_else(|| "never".to_owned(), synced));
        if feed.faulty_items > 0 {
            line("", format!("{} items cannot be read", grouped(feed.faulty_items)));
        }
        if let Some(fault) = &feed.fault {
            line("feed fails", fault.clone());
        }
    }
    if !categories.by_category.is_empty() {
        let rows = lists::category_rows(categories, &list.roles, OutputFormat::Text);
        let _ = write!(text, "\ncategories\n{}", indented(&table(OutputFormat::Text, &CATEGORY_HEADER, &rows)));
    }
    if !kept.is_empty() {
        let _ = write!(text, "\nversions\n{}", indented(&versions(OutputFormat::Text, kept)));
    }
    if !history.is_empty() {
        let rows: Vec<_> = history
            .iter()
            .map(|change| vec![change.seq.to_string(), moment(change.at), change.action.clone()])
            .collect();
        let _ = write!(text, "\nhistory\n{}", indented(&table(OutputFormat::Text, &["batch", "at", "what"], &rows)));
    }
    text
}

fn versions(format: OutputFormat, versions: &[VersionInfo]) -> String {
    let header = ["version", "current", "published", "records", "rejected", "kept", "fingerprints"];
    let row = |version: &VersionInfo| {
        vec![
            version.version.to_string(),
            match (version.current, version.held) {
                (true, _) => "yes",
                (false, true) => "held",
                (false, false) => "no",
            }
            .to_owned(),
            moment(version.created_at),
            version.counts.records.to_string(),
            version.counts.rejected.to_string(),
            // A version that an earlier hashward published has none.
            version.records.map_or("no".to_owned(), |kept| kept.records.to_string()),
            by_kind(version.fingerprints.iter().map(|(kind, count)| (kind, *count))),
        ]
    };
    table(format, &header, &versions.iter().map(row).collect::<Vec<_>>())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
