//! `withdraw`: from now on the list says nothing of these hashes. Other lists' words stay.

use std::process::ExitCode;

use clap::Args;
use hashward::fingerprint::Kind;
use hashward::list::ListName;
use hashward::store::{Command, Outcome};

use super::{Place, hashes, print, unexpected};

/// Hashes sent in one command, so that it stays far below what a frame may hold.
const HASHES_A_COMMAND: usize = 4_000;

#[derive(Debug, Args)]
pub(super) struct WithdrawArgs {
    /// The list
    list: ListName,
    /// KIND:HEX, or HEX with --kind; `-` reads one a line from standard input
    #[arg(required = true)]
    hashes: Vec<String>,
    /// The kind of hashes written without one
    #[arg(long)]
    kind: Option<Kind>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: WithdrawArgs) -> anyhow::Result<ExitCode> {
    let keeper = args.place.keeper()?;
    let fingerprints = hashes::read(&args.hashes, args.kind)?;
    let (mut withdrawn, mut not_held) = (0, Vec::new());
    for part in fingerprints.chunks(HASHES_A_COMMAND) {
        let command = Command::Withdraw { list: args.list.clone(), fingerprints: part.to_vec() };
        match keeper.execute(command)? {
            Outcome::Withdrawn(part) => {
                withdrawn += part.withdrawn;
                not_held.extend(part.not_held);
            }
            other => return Err(unexpected(&other)),
        }
    }
    print::out(&format!("{}: {} withdrawn\n", args.list, print::grouped(withdrawn)))?;
    for fingerprint in &not_held {
        eprintln!("hashward-index: {} does not name {fingerprint}", args.list);
    }
    Ok(if not_held.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
