//! `lists`: all lists, one a line.

use std::process::ExitCode;

use clap::Args;
use hashward::list::Roles;
use hashward::store::command::ListInfo;
use hashward::store::{Command, Outcome};

use super::print::OutputFormat;
use super::{Place, print, unexpected};

#[derive(Debug, Args)]
pub(super) struct ListsArgs {
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: ListsArgs) -> anyhow::Result<ExitCode> {
    let lists = match args.place.keeper()?.execute(Command::Lists)? {
        Outcome::Lists { lists } => lists,
        other => return Err(unexpected(&other)),
    };
    match args.format {
        OutputFormat::Json => print::json_lines(&lists)?,
        format => {
            let mut rows: Vec<_> = lists.iter().map(row).collect();
            let mut header = vec!["list", "shape", "state", "role", "version", "withdrawn", "changed", "fingerprints"];
            // Programs find the same columns always; people see this one where it says something.
            if format == OutputFormat::Tsv || lists.iter().any(|list| !list.radii.is_empty()) {
                header.push("radius");
                rows.iter_mut().zip(&lists).for_each(|(row, list)| row.push(radii(list)));
            }
            print::out(&print::table(format, &header, &rows))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(list: &ListInfo) -> Vec<String> {
    vec![
        list.name.to_string(),
        list.shape.name().to_owned(),
        list.state.to_string(),
        roles(&list.roles),
        versions(list),
        list.withdrawn.to_string(),
        print::moment(list.changed_at),
        print::by_kind(list.fingerprints.iter().map(|(kind, count)| (kind, *count))),
    ]
}

/// The version that answers, and the one that is held; a dash for none.
fn versions(list: &ListInfo) -> String {
    let answers = list.version.map_or_else(|| "-".to_owned(), |version| version.to_string());
    list.held.map_or_else(|| answers.clone(), |held| format!("{answers} ({held} held)"))
}

/// Own radii; a dash where the list has none.
fn radii(list: &ListInfo) -> String {
    if list.radii.is_empty() { "-".to_owned() } else { list.radii.to_string() }
}

/// The default role, marked where it is not that of all categories.
pub(super) fn roles(roles: &Roles) -> String {
    let uniform = roles.by_category.is_empty() && roles.unnamed == roles.default;
    if roles.by_category.is_empty() || uniform {
        roles.default.to_string()
    } else {
        format!("{} (by category)", roles.default)
    }
}
