//! `remove`: a list with all its versions and entries.

use std::process::ExitCode;

use clap::Args;
use hashward::list::ListName;
use hashward::store::{Command, Outcome};

use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct RemoveArgs {
    /// The list
    list: ListName,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: RemoveArgs) -> anyhow::Result<ExitCode> {
    match args.place.keeper()?.execute(Command::Remove { list: args.list.clone() })? {
        Outcome::Removed { versions, entries } => {
            let versions = print::counted(versions, "version", "versions");
            let entries = print::counted(entries, "entry", "entries");
            print::out(&format!("{}: removed, with {versions} and {entries}\n", args.list))?;
        }
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}
