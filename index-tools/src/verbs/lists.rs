//! `lists`: all lists, one a line; or what each has in which category.

use std::process::ExitCode;

use clap::Args;
use hashward::list::{Category, ListShape, Roles};
use hashward::store::command::{CategoryCounts, ListInfo};
use hashward::store::{Command, Outcome};
use serde::Serialize;

use super::print::{OutputFormat, category_name};
use super::{Place, print, unexpected};
use crate::keeper::Session;

/// The columns of [`category_rows`].
pub(super) const CATEGORY_HEADER: [&str; 3] = ["category", "role", "entries"];

#[derive(Debug, Args)]
pub(super) struct ListsArgs {
    /// Show how many entries each list has in which category
    #[arg(long)]
    categories: bool,
    /// How to print them
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: ListsArgs) -> anyhow::Result<ExitCode> {
    let keeper = args.place.keeper()?;
    let mut session = keeper.session();
    let lists = match session.execute(Command::Lists)? {
        Outcome::Lists { lists } => lists,
        other => return Err(unexpected(&other)),
    };
    match (args.categories, args.format) {
        (true, format) => show_categories(&mut session, lists, format)?,
        (false, OutputFormat::Json) => print::json_lines(&lists)?,
        (false, format) => {
            let mut rows: Vec<_> = lists.iter().map(|list| row(list, format)).collect();
            let mut header = HEADER.to_vec();
            // Programs find the same columns always; people see this one where it says something.
            if format == OutputFormat::Tsv || lists.iter().any(|list| !list.radii.is_empty()) {
                header.push("radius");
                rows.iter_mut().zip(&lists).for_each(|(row, list)| row.push(radii(list)));
            }
            if format == OutputFormat::Tsv || lists.iter().any(|list| list.feed.is_some()) {
                header.push("synced");
                rows.iter_mut().zip(&lists).for_each(|(row, list)| row.push(synced(format, list)));
            }
            print::out(&print::table(format, &header, &rows))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

const HEADER: [&str; 9] =
    ["list", "shape", "state", "role", "version", "entries", "withdrawn", "changed", "fingerprints"];

fn row(list: &ListInfo, format: OutputFormat) -> Vec<String> {
    vec![
        list.name.to_string(),
        list.shape.name().to_owned(),
        list.state.to_string(),
        roles(&list.roles),
        versions(list),
        if list.shape == ListShape::Feed || list.entries > 0 {
            print::number(format, list.entries)
        } else {
            "-".to_owned()
        },
        print::number(format, list.withdrawn),
        match format {
            OutputFormat::Text if list.changed_at > 0 => format!("{} ago", print::age(list.changed_at)),
            _ => print::moment(list.changed_at),
        },
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

/// When the list's feed was last read to its end, and what is wrong since; a dash where no feed fills it.
fn synced(format: OutputFormat, list: &ListInfo) -> String {
    let Some(feed) = &list.feed else { return "-".to_owned() };
    match (format, feed.synced_at) {
        (OutputFormat::Text, Some(at)) => {
            let ago = print::age(at);
            let mark = if feed.fault.is_some() {
                " (fails)"
            } else if feed.stale {
                " (stale)"
            } else {
                ""
            };
            format!("{ago} ago{mark}")
        }
        (OutputFormat::Text, None) => "never".to_owned(),
        (_, at) => at.map_or_else(|| "-".to_owned(), print::moment),
    }
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

/// A list with its categories, as programs get it.
#[derive(Serialize)]
struct WithCategories {
    #[serde(flatten)]
    list: ListInfo,
    categories: CategoryCounts,
}

fn show_categories(session: &mut Session<'_>, lists: Vec<ListInfo>, format: OutputFormat) -> anyhow::Result<()> {
    let mut told = Vec::new();
    for list in lists.into_iter().filter(|list| list.shape != ListShape::BuiltIn) {
        let categories = categories(session, &list)?;
        told.push(WithCategories { list, categories });
    }
    if format == OutputFormat::Json {
        return print::json_lines(&told);
    }
    let mut rows = Vec::new();
    for WithCategories { list, categories } in &told {
        let of_list = category_rows(categories, &list.roles, format).into_iter();
        rows.extend(of_list.map(|row| std::iter::once(list.name.to_string()).chain(row).collect()));
    }
    let header = [&["list"][..], &CATEGORY_HEADER].concat();
    Ok(print::out(&print::table(format, &header, &rows))?)
}

/// How many entries a list has in each category; the built-in ones have no entries.
pub(super) fn categories(session: &mut Session<'_>, list: &ListInfo) -> anyhow::Result<CategoryCounts> {
    if list.shape == ListShape::BuiltIn {
        return Ok(CategoryCounts::default());
    }
    match session.execute(Command::Categories { list: list.name.clone() })? {
        Outcome::Categories(counts) => Ok(counts),
        other => Err(unexpected(&other)),
    }
}

/// Each category with the role of its labels and its entries; a dash stands for none.
pub(super) fn category_rows(categories: &CategoryCounts, roles: &Roles, format: OutputFormat) -> Vec<Vec<String>> {
    let named = categories.by_category.iter().map(|(category, count)| (Some(category), *count));
    let without = (categories.uncategorised > 0).then_some((None, categories.uncategorised));
    let row = |(category, count): (Option<&Category>, u64)| {
        vec![category_name(category), roles.of(category).to_string(), print::number(format, count)]
    };
    named.chain(without).map(row).collect()
}
