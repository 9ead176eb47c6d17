//! `verify`: every byte on disk against its checksum.

use std::process::ExitCode;

use clap::Args;
use hashward::store::{Command, Outcome};

use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let (segments, records, bytes, rows, damage) = match args.place.keeper()?.execute(Command::Verify)? {
        Outcome::Verified { segments, records, bytes, rows, damage } => (segments, records, bytes, rows, damage),
        other => return Err(unexpected(&other)),
    };
    let read = format!(
        "{} and {} read ({} bytes), {} checked",
        print::counted(segments, "segment", "segments"),
        print::counted(records, "records file", "records files"),
        print::grouped(bytes),
        print::counted(rows, "catalogue row", "catalogue rows")
    );
    if damage.is_empty() {
        print::out(&format!("all is well: {read}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    for line in &damage {
        print::out(&format!("damaged: {line}\n"))?;
    }
    print::out(&format!("{}: {read}\n", print::counted(damage.len() as u64, "damage", "damages")))?;
    Ok(ExitCode::FAILURE)
}
