//! `import`: list files become the list's new version.
//!
//! Parsing and sorting happen here, in a folder of the data folder's `incoming/` and without the store's lock; then
//! the keeper is asked to verify and publish what was built. Whatever goes wrong before that leaves the list as it
//! was. So does a version that the gate holds: that is told, and the exit code is 1.

mod args;
mod plan;
mod read;
mod report;
mod roles;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use hashward::fingerprint::{Kind, Radii};
use hashward::list::{Source, VersionNumber};
use hashward::records::RecordsWriter;
use hashward::store::command::{ImportBegun, ImportCounts, IncomingSegment, VersionInfo};
use hashward::store::{Command, Incoming, Outcome, Publish};

pub(super) use args::{FeedImport, ImportArgs};
use plan::RolePlan;
use read::Read;
pub(super) use report::Report;
use tempfile::TempDir;

use super::open_list::withdrawals;
use super::print::{self, ReportFormat};
use super::progress::Progress;
use super::{give_way, unexpected};
use crate::build::{BaseVersion, BuiltKind, Output, Taken, build_version};
use crate::keeper::Keeper;

/// The records file of a version being built.
const RECORDS: &str = "records.rec";

pub(super) fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let (report, done) = carry_out(&args);
    match (args.report, &done) {
        (ReportFormat::Json, _) => print::json_lines([&report])?,
        (ReportFormat::Text, Ok(())) => print::out(&report.text())?,
        // What was read before the refusal helps to understand it.
        (ReportFormat::Text, Err(_)) => eprint!("{}", report.text()),
    }
    done.map(|()| if report.is_held() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Imports, and tells what came of it in any case.
pub(super) fn carry_out(args: &ImportArgs) -> (Report, anyhow::Result<()>) {
    let mut report = Report::start(args);
    let done = import(args, &mut report);
    report.finish(done.as_ref().err().map(|error| format!("{error:#}")));
    (report, done)
}

fn import(args: &ImportArgs, report: &mut Report) -> anyhow::Result<()> {
    let keeper = args.place.keeper()?;
    let (radii, current) = current_version(args, &keeper)?;
    report.note_radii(args.radii(), &radii);
    let plan = RolePlan::decide(args, current.as_ref().map(|current| &current.roles))?;
    give_way(&keeper);
    let workshop = Workshop::make(args, &keeper)?;
    let progress = Arc::new(Progress::start());
    let read = read::read_files(args, workshop.path(), workshop.records()?, plan.categories, &progress)?;
    report.note_read(&read, args, &plan.roles);
    plan::check_rejected(&read.taken.counts, args.max_bad)?;
    plan::check_categories(args, &read.taken, &plan)?;
    plan::check_anything(&read.taken.counts)?;
    if let Some(current) = current.as_ref().filter(|current| says_just_this(current, args, &plan, &read)) {
        if !args.dry_run {
            set_radii(args, &keeper)?;
        }
        report.note_version(current.version, true);
        return Ok(());
    }

    progress.rows("merging", "rows", read.taken.counts.fingerprints.values().sum());
    let Workshop::Incoming(incoming) = workshop else {
        let Taken { sorter, labels, counts, .. } = read.taken;
        let on_rows = |rows| progress.advance(rows);
        let built = build_version(sorter.finish()?, labels, &BaseVersion::default(), None, &on_rows)?;
        report.note_built(&built, &counts.fingerprints);
        return Ok(());
    };
    // Only now are numbers reserved, so that a list which is refused leaves no trace.
    let begun = match keeper.execute_or_create(Command::BeginImport { list: args.list.clone() })? {
        Outcome::ImportBegun(begun) => begun,
        other => return Err(unexpected(&other)),
    };
    let version_of = |current: Option<VersionNumber>| current.unwrap_or(VersionNumber::LIVE);
    let (before, now) = (current.map(|current| current.version), begun.current.as_ref().map(|current| current.version));
    anyhow::ensure!(
        before == now,
        "expected version {} of {} to be the current one, found {}: it was changed meanwhile; import again",
        version_of(before),
        args.list,
        version_of(now)
    );
    let publish = build(args, &keeper, begun, plan, read, &incoming, &progress, report)?;
    progress.waiting("publishing");
    match keeper.execute_or_create(Command::Publish(publish))? {
        Outcome::Published(published) => {
            report.note_version(published.version, false);
            report.note_overlap(published.overlap, published.dropped);
            report.note_changes(published.changes);
        }
        Outcome::Held(held) => report.note_held(*held),
        Outcome::Unchanged { version } => report.note_version(version, true),
        other => return Err(unexpected(&other)),
    }
    Ok(())
}

/// The folder that an import works in; it is removed at the end.
enum Workshop {
    /// In the data folder, where the store finds what was built.
    Incoming(Incoming),
    /// Anywhere, for a dry run.
    Temporary(TempDir),
}

impl Workshop {
    fn make(args: &ImportArgs, keeper: &Keeper) -> anyhow::Result<Workshop> {
        if args.dry_run {
            return Ok(Workshop::Temporary(tempfile::tempdir().context("cannot make a temporary folder")?));
        }
        let incoming = Incoming::create(keeper.data(), args.list.as_str())
            .with_context(|| format!("cannot make a folder in {}/incoming", keeper.data().display()))?;
        Ok(Workshop::Incoming(incoming))
    }

    fn path(&self) -> &Path {
        match self {
            Workshop::Incoming(incoming) => incoming.path(),
            Workshop::Temporary(folder) => folder.path(),
        }
    }

    /// Takes the records; a dry run keeps none.
    fn records(&self) -> anyhow::Result<Option<RecordsWriter>> {
        Ok(match self {
            Workshop::Incoming(incoming) => Some(RecordsWriter::create(incoming.path().join(RECORDS))?),
            Workshop::Temporary(_) => None,
        })
    }
}

/// The radii of the list, and the version of it that answers now, found without reserving the next.
fn current_version(args: &ImportArgs, keeper: &Keeper) -> anyhow::Result<(Radii, Option<VersionInfo>)> {
    let lists = match keeper.execute(Command::Lists) {
        Ok(Outcome::Lists { lists }) => lists,
        Ok(other) => return Err(unexpected(&other)),
        Err(error) if error.is_no_store() => return Ok(Default::default()),
        Err(error) => return Err(error.into()),
    };
    if !lists.iter().any(|list| list.name == args.list) {
        return Ok(Default::default());
    }
    match keeper.execute(Command::Inspect { list: args.list.clone() })? {
        Outcome::Inspected(inspected) => {
            Ok((inspected.list.radii, inspected.versions.into_iter().find(|version| version.current)))
        }
        other => Err(unexpected(&other)),
    }
}

/// Of an import that publishes nothing: the radii that it names all the same.
fn set_radii(args: &ImportArgs, keeper: &Keeper) -> anyhow::Result<()> {
    for (kind, radius) in args.radii().iter() {
        match keeper.execute(Command::SetRadius { list: args.list.clone(), kind, radius: Some(radius) })? {
            Outcome::RadiusSet { .. } => {}
            other => return Err(unexpected(&other)),
        }
    }
    Ok(())
}

/// Whether the list was made from the same bytes, read in the same way, with the same roles.
fn says_just_this(current: &VersionInfo, args: &ImportArgs, plan: &RolePlan, read: &Read) -> bool {
    let same = if args.add { current.sources.contains(&read.source) } else { current.sources == [&*read.source] };
    same && current.roles == plan.roles
}

/// Sorts, merges and writes.
#[expect(clippy::too_many_arguments, reason = "the part of `import` that builds, cut out for reading")]
fn build(
    args: &ImportArgs,
    keeper: &Keeper,
    begun: ImportBegun,
    plan: RolePlan,
    read: Read,
    incoming: &Incoming,
    progress: &Progress,
    report: &mut Report,
) -> anyhow::Result<Publish> {
    let ImportBegun { list_id, version, applied_seq, current } = begun;
    let base_version = current.as_ref().map_or(VersionNumber::LIVE, |current| current.version);
    let base = match current {
        Some(current) if args.add => BaseVersion {
            segments: current.segments.iter().map(|(kind, path)| (*kind, keeper.data().join(path))).collect(),
            withdrawn: withdrawals(&mut keeper.session(), &args.list, current.version)?,
        },
        // What is replaced need not be read here: the store compares what it publishes.
        _ => BaseVersion::default(),
    };
    let counts = read.taken.counts;
    let by_category = read.taken.labels.records_by_category();
    let output = Output {
        folder: incoming.path().to_owned(),
        source: Source { list: list_id, version },
        applied_seq,
        locator: args.locator,
    };
    // First of all, for its thread and memory are of use to those who merge.
    let records = read.taken.records.map(RecordsWriter::finish).transpose()?;
    let rows = read.taken.sorter.finish()?;
    let built = build_version(rows, read.taken.labels, &base, Some(&output), &|rows| progress.advance(rows))?;
    report.note_built(&built, &counts.fingerprints);
    let distinct: u64 = built.values().map(|built| built.distinct).sum();
    Ok(Publish {
        list: args.list.clone(),
        list_id,
        version,
        base: args.add.then_some(base_version),
        incoming: incoming.name().to_owned(),
        segments: segments(&built),
        records: records.map(|_| RECORDS.to_owned()),
        roles: plan.roles,
        source: read.source,
        adds: args.add,
        radii: args.radii(),
        counts: ImportCounts {
            records: counts.records,
            rejected: counts.rejected,
            duplicates: counts.fingerprints.values().sum::<u64>() - distinct,
            degenerate: counts.degenerate,
            uncategorised: by_category.get(&None).copied().unwrap_or(0),
            by_category: by_category.into_iter().filter_map(|(category, count)| Some((category?, count))).collect(),
        },
    })
}

fn segments(built: &BTreeMap<Kind, BuiltKind>) -> Vec<IncomingSegment> {
    let file = |(kind, built): (&Kind, &BuiltKind)| Some(IncomingSegment { kind: *kind, file: built.file.clone()? });
    built.iter().filter_map(file).collect()
}
