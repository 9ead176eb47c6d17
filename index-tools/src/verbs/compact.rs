//! `compact`: what changed entry by entry and what stands in many segments becomes one segment a kind.

use std::process::ExitCode;

use clap::Args;
use hashward::store::{Command, Outcome};

use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct CompactArgs {
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: CompactArgs) -> anyhow::Result<ExitCode> {
    match args.place.keeper()?.execute(Command::Compact)? {
        Outcome::Compacted { before, after } => {
            let before = print::counted(before, "segment", "segments");
            print::out(&format!("{before} before, {} now\n", print::grouped(after)))?;
        }
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}
