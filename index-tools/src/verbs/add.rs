//! `add`: one's own hashes, from processed cases, into a feed list.

use std::process::ExitCode;

use clap::Args;
use hashward::fingerprint::Kind;
use hashward::list::{Category, Entry, ListName, Role};
use hashward::store::command::Added;
use hashward::store::{Command, Outcome};

use super::{Place, hashes, print, unexpected};

/// Entries sent in one command, so that it stays far below what a frame may hold.
const ENTRIES_A_COMMAND: usize = 2_000;

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// The list; made if it does not exist and a role is given
    list: ListName,
    /// KIND:HEX, or HEX with --kind; `-` reads one a line from standard input
    #[arg(required = true)]
    hashes: Vec<String>,
    /// The kind of hashes written without one
    #[arg(long)]
    kind: Option<Kind>,
    /// The role of a list that is made by this: illegal, ignorable or watch
    #[arg(long)]
    role: Option<Role>,
    /// What category they have: SCHEME:CODE, or CODE
    #[arg(long)]
    category: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: AddArgs) -> anyhow::Result<ExitCode> {
    let keeper = args.place.keeper()?;
    let fingerprints = hashes::read(&args.hashes, args.kind)?;
    let category = args.category.map(Category::from);
    let entry = |fingerprint: &hashward::fingerprint::Fingerprint| Entry {
        source_id: Entry::hand_source_id(fingerprint),
        fingerprints: vec![fingerprint.clone()],
        category: category.clone(),
        ..Entry::default()
    };
    let mut total = Added::default();
    for part in fingerprints.chunks(ENTRIES_A_COMMAND) {
        let entries = part.iter().map(entry).collect();
        let command = Command::Add { list: args.list.clone(), role: args.role, entries };
        let added = match keeper.execute_or_create(command)? {
            Outcome::Added(added) => added,
            other => return Err(unexpected(&other)),
        };
        total.created |= added.created;
        total.added += added.added;
        total.replaced += added.replaced;
        total.unchanged += added.unchanged;
        total.degenerate += added.degenerate;
    }
    let mut text = format!("{}: {} added", args.list, print::grouped(total.added));
    if total.created {
        text.push_str(" to a new list");
    }
    for (count, what) in [
        (total.replaced, "replaced"),
        (total.unchanged, "there already"),
        (total.degenerate, "dropped (content that identifies nothing)"),
    ] {
        if count > 0 {
            text.push_str(&format!(", {} {what}", print::grouped(count)));
        }
    }
    print::out(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
