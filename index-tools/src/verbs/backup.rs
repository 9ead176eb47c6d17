//! `backup`: everything that the store holds, copied to a folder. Lookups and changes go on meanwhile.
//!
//! The store makes a consistent copy in `incoming/`, in which segments are hard links. That is copied from here, with
//! our own rights, checked as it stands at the end, and only then called a backup.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;
use hashward::store::command::BackedUp;
use hashward::store::{Backup, CATALOGUE, Command, Incoming, Outcome, check_copy};
use serde::Serialize;

use super::copy::{copy, sync_folder};
use super::print::ReportFormat;
use super::progress::Progress;
use super::{Place, give_way, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The folder to make: not there yet or empty, and outside the data folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How to report
    #[arg(long, value_enum, default_value = "text")]
    report: ReportFormat,
    #[command(flatten)]
    place: Place,
}

/// What was backed up.
#[derive(Serialize)]
struct Report<'a> {
    folder: &'a Path,
    made_at: u64,
    generation: u64,
    seq: u64,
    files: usize,
    bytes: u64,
    changes_waited_ms: u64,
    seconds: f64,
}

pub(super) fn run(args: BackupArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let keeper = args.place.keeper()?;
    give_way(&keeper);
    let target = Target::make(&args.folder, keeper.data())?;
    let progress = Progress::start();
    progress.waiting("copying");
    let copied = match keeper.execute(Command::Backup)? {
        Outcome::BackedUp(copied) => copied,
        other => return Err(unexpected(&other)),
    };
    let incoming = Incoming::take_over(keeper.data(), &copied.incoming)
        .with_context(|| format!("cannot take over {}/incoming/{}", keeper.data().display(), copied.incoming))?;
    let backup = fill(incoming.path(), target.path(), &copied, &progress)?;
    target.keep()?;
    drop(progress);
    let report = Report {
        folder: &args.folder,
        made_at: copied.at,
        generation: copied.generation,
        seq: copied.seq,
        files: backup.files.len(),
        bytes: backup.files.iter().map(|file| file.bytes).sum(),
        changes_waited_ms: copied.changes_waited_ms,
        seconds: started.elapsed().as_secs_f64(),
    };
    match args.report {
        ReportFormat::Json => print::json_lines([&report])?,
        ReportFormat::Text => print::out(&report.text())?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Report<'_> {
    fn text(&self) -> String {
        let files = print::counted(self.files as u64, "file", "files");
        format!(
            "{}: backup of {} UTC, generation {}, batch {}\n  {files}, {} bytes, each read back and checked; {:.1} s\n  \
             changes waited {} ms\n",
            self.folder.display(),
            print::moment(self.made_at),
            self.generation,
            self.seq,
            print::grouped(self.bytes),
            self.seconds,
            print::grouped(self.changes_waited_ms)
        )
    }
}

/// Copies what the store has made, and calls it a backup once all of it was found whole.
fn fill(from: &Path, to: &Path, copied: &BackedUp, progress: &Progress) -> anyhow::Result<Backup> {
    let paths = files_in(from)?;
    let total = paths.iter().map(|path| fs::metadata(from.join(path)).map(|meta| meta.len())).sum::<io::Result<u64>>();
    progress.bytes("copying", Some(total.with_context(|| format!("cannot read {}", from.display()))?));
    let files = paths.iter().map(|path| copy(from, Some(to), path, progress)).collect::<anyhow::Result<Vec<_>>>()?;
    for folder in [Path::new("segments"), Path::new("")].map(|folder| to.join(folder)).iter().filter(|f| f.exists()) {
        sync_folder(folder)?;
    }
    progress.waiting("checking");
    let found = check_copy(to)?;
    let expected = (copied.generation, copied.seq, copied.checksum.clone());
    ensure!(
        found == expected,
        "expected generation {} with batch {} in {}, found generation {} with batch {}; back up again",
        expected.0,
        expected.1,
        to.display(),
        found.0,
        found.1
    );
    let backup = Backup::new(copied, files);
    backup.write(to)?;
    Ok(backup)
}

/// The files in a folder and in the folders of it, as paths below it.
fn files_in(folder: &Path) -> anyhow::Result<Vec<String>> {
    let list = |folder: &Path| -> io::Result<Vec<String>> {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let read = |folder: &Path| list(folder).with_context(|| format!("cannot list {}", folder.display()));
    let mut files = Vec::new();
    for name in read(folder)? {
        if folder.join(&name).is_dir() {
            files.extend(read(&folder.join(&name))?.into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// The folder that is filled; what is in it goes again, unless it is kept.
struct Target<'a> {
    folder: &'a Path,
    made: bool,
    keep: bool,
}

impl<'a> Target<'a> {
    fn make(folder: &'a Path, data: &Path) -> anyhow::Result<Target<'a>> {
        let made = match fs::read_dir(folder) {
            Ok(mut entries) => {
                ensure!(entries.next().is_none(), "{}", occupied(folder));
                false
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
                true
            }
            Err(error) => return Err(error).with_context(|| format!("cannot use {}", folder.display())),
        };
        let target = Target { folder, made, keep: false };
        let inside = match (folder.canonicalize(), data.canonicalize()) {
            (Ok(folder), Ok(data)) => folder.starts_with(data),
            // Without a data folder there is nothing to back up, as the store will say.
            (_, Err(_)) => false,
            (Err(error), _) => bail!("cannot use {}: {error}", target.path().display()),
        };
        ensure!(
            !inside,
            "expected a folder outside {}, found {}; a backup belongs on another disk",
            data.display(),
            folder.display()
        );
        Ok(target)
    }

    fn path(&self) -> &Path {
        self.folder
    }

    /// It is a backup now, and its name shall last.
    fn keep(mut self) -> anyhow::Result<()> {
        self.keep = true;
        let parent = self.folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        sync_folder(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for Target<'_> {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // It was empty, so all that is in it was made here. On an error it stays, and is no backup.
        for entry in fs::read_dir(self.folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        if self.made {
            let _ = fs::remove_dir(self.folder);
        }
    }
}

/// What to do about a folder that is not empty.
fn occupied(folder: &Path) -> String {
    let shown = folder.display();
    match Backup::read(folder) {
        Ok(backup) => {
            format!("{shown} holds the backup of {} UTC already; name another folder", print::moment(backup.made_at))
        }
        Err(_) if folder.join(CATALOGUE).exists() => {
            format!("{shown} holds a backup that was cut short, and is none; remove it, or name another folder")
        }
        Err(_) => format!("expected {shown} to be empty or not there yet, found files in it; name another folder"),
    }
}
