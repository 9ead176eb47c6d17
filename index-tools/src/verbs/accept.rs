//! `accept`: an operator's word that a held version shall answer, or that a list's alarms have been seen.

use std::process::ExitCode;

use clap::Args;
use hashward::list::{ListName, VersionNumber};
use hashward::store::{Command, Outcome};

use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct AcceptArgs {
    /// The list
    list: ListName,
    /// The version, which must be the one that is held; without it, alarms alone are acknowledged
    version: Option<u32>,
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: AcceptArgs) -> anyhow::Result<ExitCode> {
    let AcceptArgs { list, version, reason, place } = args;
    let command = Command::Accept { list: list.clone(), version: version.map(VersionNumber), reason };
    match place.keeper()?.execute(command)? {
        Outcome::Accepted(accepted) => {
            let before = accepted.replaced.map(|before| format!(", version {before} no more")).unwrap_or_default();
            print::out(&format!("{list}: version {} answers now{before}\n", accepted.version))?;
            for (kind, changes) in accepted.changes {
                print::out(&format!("  {kind}  {}\n", print::changes(&changes)))?;
            }
        }
        Outcome::Acknowledged { alarms: 0 } => print::out(&format!("{list}: there was no alarm\n"))?,
        Outcome::Acknowledged { alarms } => {
            print::out(&format!("{list}: acknowledged {}\n", print::counted(alarms, "alarm", "alarms")))?;
        }
        other => return Err(unexpected(&other)),
    }
    Ok(ExitCode::SUCCESS)
}
