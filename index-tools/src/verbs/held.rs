//! `held`: why a version waits, and every fingerprint of which it and another list say the opposite.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use hashward::list::ListName;
use hashward::store::command::{Held, Overlap, OverlapEntry};
use hashward::store::{Command, Outcome};

use super::print::{OutputFormat, category_name, grouped, moment};
use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct HeldArgs {
    /// The list
    list: ListName,
    /// How to print it; tsv shows the fingerprints only
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: HeldArgs) -> anyhow::Result<ExitCode> {
    let held = match args.place.keeper()?.execute(Command::TellHeld { list: args.list.clone() })? {
        Outcome::Held(held) => held,
        other => return Err(unexpected(&other)),
    };
    match args.format {
        OutputFormat::Json => print::json_lines([&*held])?,
        OutputFormat::Tsv => print::out(&entries(OutputFormat::Tsv, &held.overlap.entries))?,
        OutputFormat::Text => {
            let since = format!("{}: version {} is held since {}\n", args.list, held.version, moment(held.at));
            let entries = match held.overlap.entries.as_slice() {
                [] => String::new(),
                some => format!("\n{}", entries(OutputFormat::Text, some)),
            };
            print::out(&format!("{since}{}{entries}", told(&args.list, &held)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Why it is held, line by line, and what to do.
pub(super) fn told(list: &ListName, held: &Held) -> String {
    let mut text = String::new();
    for reason in &held.reasons {
        let _ = writeln!(text, "  held        {reason}");
    }
    text.push_str(&overlap(&held.overlap));
    let answers = match held.in_force {
        Some(version) => format!("version {version} answers on"),
        None => "nothing of the list answers".to_owned(),
    };
    let _ = writeln!(text, "  meanwhile   {answers}");
    let _ = writeln!(
        text,
        "  to decide   hashward-index accept {list} {} --reason TEXT, or import a better file",
        held.version
    );
    text
}

/// What it and other lists say the opposite of, by list.
pub(super) fn overlap(overlap: &Overlap) -> String {
    let mut text = String::new();
    for with in &overlap.lists {
        let (new, total, kind) = (grouped(with.new), grouped(with.total), with.kind);
        let _ = writeln!(text, "  overlap     {total} {kind} are {} in {}, {new} of them newly", with.role, with.list);
    }
    text
}

fn entries(format: OutputFormat, entries: &[OverlapEntry]) -> String {
    let header = ["fingerprint", "category", "list", "role", "category there", "distance"];
    let row = |entry: &OverlapEntry| {
        vec![
            entry.fingerprint.to_string(),
            category_name(entry.category.as_ref()),
            entry.list.to_string(),
            entry.role.to_string(),
            category_name(entry.list_category.as_ref()),
            entry.distance.map_or_else(|| "-".to_owned(), |bits| bits.to_string()),
        ]
    };
    print::table(format, &header, &entries.iter().map(row).collect::<Vec<_>>())
}
