//! `enable`, `disable`, `shadow`: whether a list takes part in answers. No file is rewritten.

use std::process::ExitCode;

use clap::Args;
use hashward::list::{ListName, ListState};
use hashward::store::{Command, Outcome};

use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct StateArgs {
    /// The list
    list: ListName,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: StateArgs, state: ListState) -> anyhow::Result<ExitCode> {
    match args.place.keeper()?.execute(Command::SetState { list: args.list.clone(), state })? {
        Outcome::StateSet { previous, state } if previous == state => {
            print::out(&format!("{}: was {state} already\n", args.list))?;
        }
        Outcome::StateSet { previous, state } => print::out(&format!("{}: {state}, was {previous}\n", args.list))?,
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}
