//! `hashward worker`: what decodes pictures for a parent, and what tries whether its sandbox holds.

use anyhow::Result;

use super::Exit;
use super::output::Output;
use crate::media::worker::{self, Attempt, Fate, Layers, ProcessLimits, Program};

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(clap::Subcommand)]
enum Role {
    /// Decode pictures from standard input, as a parent asks
    Run {
        /// Address space, in bytes
        #[arg(long)]
        address_space_bytes: u64,
        /// Processor time a picture, in seconds
        #[arg(long)]
        cpu_s: u64,
        /// Pictures in all
        #[arg(long)]
        jobs: u32,
    },
    /// Try something forbidden behind some layers of the sandbox; the exit code says what came of it
    Attempt {
        /// What to try
        attempt: Attempt,
        /// Which layers
        layers: Layers,
    },
    /// Try everything forbidden, and tell what the sandbox of this kernel stops
    SelfCheck,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit> {
    match arguments.role {
        Role::Run { address_space_bytes, cpu_s, jobs } => {
            worker::run(&ProcessLimits { address_space_bytes, cpu_s, jobs })?;
            Ok(Exit::Fine)
        }
        Role::Attempt { attempt, layers } => std::process::exit(worker::attempt(attempt, layers)?.into()),
        Role::SelfCheck => self_check(),
    }
}

fn self_check() -> Result<Exit> {
    let mut output = Output::new();
    let mut exit = Exit::Fine;
    output.line(&format!("{:<14} {:<8} {:<10} {:<10}", "attempt", "sandbox", "landlock", "nothing"))?;
    for attempt in Attempt::ALL {
        let fates = Layers::ALL.map(|layers| worker::attempt_apart(&Program::Itself, attempt, layers));
        let [all, landlock, none] = fates;
        let (all, landlock, none) = (all?, landlock?, none?);
        output.line(&format!("{:<14} {all:<8} {landlock:<10} {none:<10}", attempt.name()))?;
        if all == Fate::Done {
            exit = Exit::Incomplete;
        }
    }
    output.flush()?;
    Ok(exit)
}
