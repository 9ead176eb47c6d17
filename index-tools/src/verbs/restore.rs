//! `restore`: a backup in place of everything that the store holds.
//!
//! Every byte is checked before anything is touched: here while it is copied to `incoming/`, and there by the store.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use hashward::store::command::Restored;
use hashward::store::{Backup, Command, Incoming, Outcome, check_copy};
use serde::Serialize;

use super::copy::{copy, copy_expected};
use super::print::ReportFormat;
use super::progress::Progress;
use super::{Place, Usage, give_way, print, unexpected};
use crate::keeper::{Keeper, KeeperError};

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The backup's folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Replace what is there
    #[arg(long)]
    yes: bool,
    /// Check all of the backup, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// How to report
    #[arg(long, value_enum, default_value = "text")]
    report: ReportFormat,
    #[command(flatten)]
    place: Place,
}

/// What was restored.
#[derive(Serialize)]
struct Report<'a> {
    folder: &'a Path,
    /// Of the backup.
    made_at: u64,
    files: usize,
    bytes: u64,
    seconds: f64,
    /// Absent for a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<Restored>,
}

pub(super) fn run(args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let backup = Backup::read(&args.folder)?;
    let keeper = args.place.keeper()?;
    let progress = Progress::start();
    let restored = match args.dry_run {
        true => check(&args.folder, &backup, &progress).map(|()| None)?,
        false => {
            if !args.yes {
                expect_nothing(&keeper, &backup)?;
            }
            give_way(&keeper);
            Some(restore(&args.folder, &backup, &keeper, &progress)?)
        }
    };
    drop(progress);
    let report = Report {
        folder: &args.folder,
        made_at: backup.made_at,
        files: backup.files.len(),
        bytes: total_bytes(&backup),
        seconds: started.elapsed().as_secs_f64(),
        restored,
    };
    match args.report {
        ReportFormat::Json => print::json_lines([&report])?,
        ReportFormat::Text => print::out(&report.text())?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Report<'_> {
    fn text(&self) -> String {
        let (folder, made_at) = (self.folder.display(), print::moment(self.made_at));
        let files = print::counted(self.files as u64, "file", "files");
        let read = format!("{files}, {} bytes, {:.1} s", print::grouped(self.bytes), self.seconds);
        match &self.restored {
            None => format!("{folder}: the backup of {made_at} UTC is whole\n  {read}\n"),
            Some(Restored { generation, seq, replaced_generation, .. }) => format!(
                "{folder}: restored; everything is as it was at {made_at} UTC, withdrawals and suppressions too\n  \
                 generation {generation}, batch {seq}, in place of generation {replaced_generation}\n  {read}\n"
            ),
        }
    }
}

fn total_bytes(backup: &Backup) -> u64 {
    backup.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add)
}

fn check(folder: &Path, backup: &Backup, progress: &Progress) -> anyhow::Result<()> {
    progress.bytes("checking", Some(total_bytes(backup)));
    for file in &backup.files {
        copy_expected(folder, None, file, progress)?;
    }
    progress.waiting("checking");
    check_copy(folder)?;
    Ok(())
}

fn restore(folder: &Path, backup: &Backup, keeper: &Keeper, progress: &Progress) -> anyhow::Result<Restored> {
    let incoming = Incoming::create(keeper.data(), "restore")
        .with_context(|| format!("cannot make a folder in {}/incoming", keeper.data().display()))?;
    progress.bytes("copying", Some(total_bytes(backup)));
    for file in &backup.files {
        copy_expected(folder, Some(incoming.path()), file, progress)?;
    }
    copy(folder, Some(incoming.path()), Backup::FILE, progress)?;
    progress.waiting("restoring");
    match keeper.execute_or_create(Command::Restore { incoming: incoming.name().to_owned() })? {
        Outcome::Restored(restored) => Ok(restored),
        other => Err(unexpected(&other)),
    }
}

/// Refuses to replace anything that was ever changed, without a word that this is meant.
fn expect_nothing(keeper: &Keeper, backup: &Backup) -> anyhow::Result<()> {
    let found = match keeper.execute(Command::Status) {
        // The first batch is the creation.
        Ok(Outcome::Status(status)) if status.seq <= 1 => return Ok(()),
        Ok(Outcome::Status(status)) => {
            let lists = print::counted(status.lists, "list", "lists");
            format!("holds {lists} (generation {}, batch {})", status.generation, status.seq)
        }
        Ok(other) => return Err(unexpected(&other)),
        Err(error) if error.is_no_store() => return Ok(()),
        Err(KeeperError::Store(error)) => format!("cannot be opened ({error})"),
        Err(error) => return Err(error.into()),
    };
    Err(Usage(format!(
        "{} {found}, and all of it would be replaced by the backup of {} UTC: what was changed since is lost, and \
         withdrawals, suppressions, states and radii are again what they were then; say --yes if this is meant \
         (`hashward-index backup` keeps what is there now)",
        keeper.data().display(),
        print::moment(backup.made_at)
    ))
    .into())
}
