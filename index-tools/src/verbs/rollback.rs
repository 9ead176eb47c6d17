//! `rollback`: a file list back to an earlier version. Withdrawals stay in force.

use std::process::ExitCode;

use clap::Args;
use hashward::list::{ListName, VersionNumber};
use hashward::store::{Command, Outcome};

use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct RollbackArgs {
    /// The list
    list: ListName,
    /// The version [default: the one before the current]
    #[arg(long, value_name = "VERSION")]
    to: Option<u32>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: RollbackArgs) -> anyhow::Result<ExitCode> {
    let command = Command::Rollback { list: args.list.clone(), to: args.to.map(VersionNumber) };
    match args.place.keeper()?.execute(command)? {
        Outcome::RolledBack { from, to, changes } => {
            print::out(&format!("{}: version {to} answers now, version {from} no more\n", args.list))?;
            for (kind, changes) in changes {
                print::out(&format!("  {kind}  {}\n", print::changes(&changes)))?;
            }
        }
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}
