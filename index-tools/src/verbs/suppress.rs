//! `suppress`, `lift` and `suppressions`: the operator's veto. What lists say of a hash decides nothing until it is lifted.

use std::process::ExitCode;

use clap::Args;
use hashward::fingerprint::Kind;
use hashward::list::{Suppression, SuppressionScope};
use hashward::store::command::{Lifting, Suppressed};
use hashward::store::{Command, Outcome};

use super::print::{OutputFormat, counted, moment, plain, table};
use super::{Place, hashes, print, unexpected};

/// Who does it, and why: kept for those who ask later.
#[derive(Debug, Args)]
struct Signed {
    /// Why; kept in the history for good
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who wants it [default: the name of the user who runs this]
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
}

impl Signed {
    fn author(&self) -> String {
        self.author.clone().unwrap_or_else(user_name)
    }
}

#[derive(Debug, Args)]
pub(super) struct SuppressArgs {
    /// KIND:HEX, or HEX with --kind
    hash: String,
    /// The kind of a hash written without one
    #[arg(long)]
    kind: Option<Kind>,
    #[command(flatten)]
    signed: Signed,
    /// Leave the other hashes of the entries that hold it alone
    #[arg(long)]
    only_this_hash: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn suppress(args: SuppressArgs) -> anyhow::Result<ExitCode> {
    let fingerprint = hashes::parse(&args.hash, args.kind)?;
    let scope = if args.only_this_hash { SuppressionScope::Hash } else { SuppressionScope::Entry };
    let (author, reason) = (args.signed.author(), args.signed.reason);
    let command = Command::Suppress { fingerprint: fingerprint.clone(), scope, author, reason };
    let Suppressed { id, covers, covered, held_by, without_records } = match args.place.keeper()?.execute(command)? {
        Outcome::Suppressed(suppressed) => suppressed,
        other => return Err(unexpected(&other)),
    };
    let hashes = counted(covers, "hash decides", "hashes decide");
    let mut text = format!("suppression {id}: {hashes} nothing any more, in all lists\n");
    covered.iter().for_each(|covered| text += &format!("  {covered}\n"));
    if !covered.is_empty() && covers > covered.len() as u64 {
        text += &format!("  and {} more\n", print::grouped(covers - covered.len() as u64));
    }
    let held_by: Vec<String> = held_by.iter().map(ToString::to_string).collect();
    if !held_by.is_empty() {
        text += &format!("held by {}\n", held_by.join(", "));
    } else {
        text += &format!("no list holds {fingerprint} now; should one come to, it is suppressed there\n");
        if !fingerprint.kind().is_exact() {
            text += "hashes near to it match as before; `hashward-index explain` names those that lists hold\n";
        }
    }
    for list in &without_records {
        text += &format!("of {list} no records were kept: if its entry has other hashes, they match as before\n");
    }
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub(super) struct LiftArgs {
    /// The suppression's number, or the hash that it was given for: KIND:HEX, or HEX with --kind
    #[arg(value_name = "HASH|ID")]
    what: String,
    /// The kind of a hash written without one
    #[arg(long)]
    kind: Option<Kind>,
    #[command(flatten)]
    signed: Signed,
    #[command(flatten)]
    place: Place,
}

pub(super) fn lift(args: LiftArgs) -> anyhow::Result<ExitCode> {
    let of = match args.what.parse() {
        Ok(id) if args.kind.is_none() => Lifting::Id(id),
        _ => Lifting::Hash(hashes::parse(&args.what, args.kind)?),
    };
    let (author, reason) = (args.signed.author(), args.signed.reason);
    let (lifted, still) = match args.place.keeper()?.execute(Command::Lift { of, author, reason })? {
        Outcome::Lifted { lifted, still } => (lifted, still),
        other => return Err(unexpected(&other)),
    };
    let mut text = String::new();
    for Suppression { id, fingerprint, .. } in &lifted {
        text += &format!("suppression {id} of {fingerprint} is lifted\n");
    }
    for Suppression { id, fingerprint, .. } in &still {
        text += &format!("suppression {id} of {fingerprint} still covers it\n");
    }
    print::out(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, Args)]
pub(super) struct SuppressionsArgs {
    /// Show those that were lifted, too
    #[arg(long)]
    lifted: bool,
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
    #[command(flatten)]
    place: Place,
}

pub(super) fn list(args: SuppressionsArgs) -> anyhow::Result<ExitCode> {
    let keeper = args.place.keeper()?;
    let mut all: Vec<(Suppression, u64)> = Vec::new();
    loop {
        let before = all.last().map(|(suppression, _)| suppression.id);
        match keeper.execute(Command::Suppressions { before, lifted: args.lifted })? {
            Outcome::Suppressions { suppressions } if suppressions.is_empty() => break,
            Outcome::Suppressions { suppressions } => all.extend(suppressions),
            other => return Err(unexpected(&other)),
        }
    }
    match args.format {
        OutputFormat::Json => print::json_lines(all.iter().map(|(suppression, covers)| {
            let mut object = serde_json::json!(suppression);
            object["covers"] = (*covers).into();
            object
        }))?,
        format => {
            let mut header = vec!["id", "hash", "scope", "covers", "since", "author", "reason"];
            let mut rows: Vec<_> = all.iter().map(row).collect();
            if args.lifted {
                header.push("lifted");
                rows.iter_mut().zip(&all).for_each(|(row, (suppression, _))| row.push(end(suppression)));
            }
            print::out(&table(format, &header, &rows))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row((suppression, covers): &(Suppression, u64)) -> Vec<String> {
    let Suppression { id, fingerprint, scope, author, reason, at, .. } = suppression;
    let scope = scope.name().to_owned();
    vec![
        id.to_string(),
        fingerprint.to_string(),
        scope,
        covers.to_string(),
        moment(*at),
        author.clone(),
        reason.clone(),
    ]
}

/// How a suppression ended; a dash while it is in force.
pub(super) fn end(suppression: &Suppression) -> String {
    suppression.lifted.as_ref().map_or_else(
        || "-".to_owned(),
        |lifted| format!("{} by {}: {}", moment(lifted.at), plain(&lifted.author), plain(&lifted.reason)),
    )
}

/// The name of the user whose process this is, or their number where `/etc/passwd` does not name them.
fn user_name() -> String {
    let user = rustix::process::getuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(&user)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("user {user}"))
}
