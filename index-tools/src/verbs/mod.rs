//! What `hashward-index` can be told to do: one file per verb, each of them arguments in, one or two commands to the
//! keeper, the outcome printed.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 refused or failed, 2 wrong
//! usage.

mod accept;
mod add;
mod backup;
mod compact;
mod copy;
mod diff;
mod explain;
mod export;
mod hashes;
mod held;
mod import;
mod inspect;
mod lists;
mod open_list;
mod overlap;
mod print;
mod progress;
mod radius;
mod remove;
mod restore;
mod rollback;
mod state;
mod suppress;
mod sync;
mod verify;
mod withdraw;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use hashward::list::ListState;
use hashward::pages::Generate;

use crate::keeper::{DEFAULT_DATA, Keeper, KeeperError};

/// Keeps the hash lists that a hashward daemon answers from.
#[derive(Debug, Parser)]
#[command(name = "hashward-index", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Import list files as the list's new version
    Import(import::ImportArgs),
    /// Add one's own hashes to a list
    Add(add::AddArgs),
    /// Put a version into force that is held, or acknowledge a list's alarms
    Accept(accept::AcceptArgs),
    /// Show the version of a list that is held, and what it and other lists say the opposite of
    Held(held::HeldArgs),
    /// Make a list say nothing of some hashes any more
    Withdraw(withdraw::WithdrawArgs),
    /// Let what lists say of a hash decide nothing, with the other hashes of its entries
    Suppress(suppress::SuppressArgs),
    /// End a suppression
    Lift(suppress::LiftArgs),
    /// Show what is suppressed, by whom and why
    Suppressions(suppress::SuppressionsArgs),
    /// Show everything behind a match: lists, entries, versions, imports, categories
    Explain(explain::ExplainArgs),
    /// Read what has changed in a feed, as the config names it, and apply it to its list
    Sync(sync::SyncArgs),
    /// Show all lists
    Lists(lists::ListsArgs),
    /// Show one list, its versions and its history
    Inspect(inspect::InspectArgs),
    /// Show in what two versions of a list differ
    Diff(diff::DiffArgs),
    /// Show which fingerprints of a list other lists hold too
    Overlap(overlap::OverlapArgs),
    /// Write what a list holds, in a format that others read
    Export(export::ExportArgs),
    /// Check every segment, the catalogue and the manifest
    Verify(verify::VerifyArgs),
    /// Let a list decide again
    Enable(state::StateArgs),
    /// Let a list take no part in answers
    Disable(state::StateArgs),
    /// Keep a list and its updates, and let it take no part in answers
    Shadow(state::StateArgs),
    /// Set within how many bits a list's perceptual hashes match
    Radius(radius::RadiusArgs),
    /// Remove a list with all its versions and entries
    Remove(remove::RemoveArgs),
    /// Return a list to an earlier version
    Rollback(rollback::RollbackArgs),
    /// Merge what stands in many segments
    Compact(compact::CompactArgs),
    /// Copy everything to a folder, while a daemon answers and takes changes
    Backup(backup::BackupArgs),
    /// Put a backup in place of everything
    Restore(restore::RestoreArgs),
    /// Write man pages or shell completions of this program
    #[command(hide = true)]
    Generate(Generate),
}

/// Where the lists are kept.
#[derive(Clone, Debug, Args)]
struct Place {
    /// The daemon's socket [default: hashward.sock in the data folder, if a daemon answers there]
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
    /// The data folder
    #[arg(long, value_name = "DIR", help = format!("The data folder [default: {DEFAULT_DATA}]"))]
    data: Option<PathBuf>,
}

impl Place {
    fn keeper(&self) -> Result<Keeper, KeeperError> {
        Keeper::find(self.data.as_deref(), self.socket.as_deref())
    }
}

/// The priority that long work gives itself beside a daemon (as `nice` counts), so that lookups come first.
const NICE_BESIDE_A_DAEMON: i32 = 10;

/// Lets a daemon that answers here come first.
fn give_way(keeper: &Keeper) {
    if keeper.daemon_answers() {
        // Where the system does not allow it, the work is merely less polite.
        let _ = rustix::process::nice(NICE_BESIDE_A_DAEMON);
    }
}

/// A mistake in the arguments that only shows once they are held against the store.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Carries out one verb.
pub fn run(cli: Cli) -> ExitCode {
    let done = match cli.verb {
        Verb::Import(args) => import::run(args),
        Verb::Add(args) => add::run(args),
        Verb::Accept(args) => accept::run(args),
        Verb::Held(args) => held::run(args),
        Verb::Withdraw(args) => withdraw::run(args),
        Verb::Suppress(args) => suppress::suppress(args),
        Verb::Lift(args) => suppress::lift(args),
        Verb::Suppressions(args) => suppress::list(args),
        Verb::Explain(args) => explain::run(args),
        Verb::Sync(args) => sync::run(args),
        Verb::Lists(args) => lists::run(args),
        Verb::Inspect(args) => inspect::run(args),
        Verb::Diff(args) => diff::run(args),
        Verb::Overlap(args) => overlap::run(args),
        Verb::Export(args) => export::run(args),
        Verb::Verify(args) => verify::run(args),
        Verb::Enable(args) => state::run(args, ListState::Active),
        Verb::Disable(args) => state::run(args, ListState::Disabled),
        Verb::Shadow(args) => state::run(args, ListState::Shadow),
        Verb::Radius(args) => radius::run(args),
        Verb::Remove(args) => remove::run(args),
        Verb::Rollback(args) => rollback::run(args),
        Verb::Compact(args) => compact::run(args),
        Verb::Backup(args) => backup::run(args),
        Verb::Restore(args) => restore::run(args),
        Verb::Generate(args) => args.run(Cli::command()).map(|()| ExitCode::SUCCESS).map_err(anyhow::Error::from),
    };
    match done {
        Ok(code) => code,
        Err(error) if print::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hashward-index: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// An outcome that does not belong to its command.
fn unexpected(found: &hashward::store::Outcome) -> anyhow::Error {
    anyhow::anyhow!("the keeper answered something else: {found:?}; are daemon and hashward-index of the same version?")
}
