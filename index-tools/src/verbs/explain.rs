//! `explain`: everything behind a match, for the person who must justify it. The text is meant to be filed.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use hashward::fingerprint::{Kind, Radius};
use hashward::list::{Category, Entry, Flags, ListShape, Suppression, SuppressionScope};
use hashward::store::command::{Change, Explained, Holding, Record, Said, Statement, VersionInfo};
use hashward::store::{Command, Outcome};

use super::print::{by_kind, counted, moment, plain};
use super::{Place, hashes, print, suppress, unexpected};

/// How an explanation is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// One object
    Json,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// KIND:HEX, or HEX with --kind
    hash: String,
    /// The kind of a hash written without one
    #[arg(long)]
    kind: Option<Kind>,
    /// Of a perceptual hash: the radius of the question that is to be explained, in bits
    #[arg(long, value_name = "BITS")]
    radius: Option<u16>,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let fingerprint = hashes::parse(&args.hash, args.kind)?;
    let command = Command::Explain { fingerprint, radius: args.radius.map(Radius) };
    let explained = match args.place.keeper()?.execute(command)? {
        Outcome::Explained(explained) => explained,
        other => return Err(unexpected(&other)),
    };
    match args.format {
        Format::Json => print::json_lines([&*explained])?,
        Format::Text => print::out(&text(&explained))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lines of `name value`; the name of a line that goes on with the one before is empty.
#[derive(Default)]
struct Sheet(String);

impl Sheet {
    fn title(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _ = writeln!(self.0, "{gap}{title}");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "  {name:13} {value}");
    }
}

fn text(explained: &Explained) -> String {
    let mut sheet = Sheet::default();
    sheet.title(&explained.fingerprint.to_string());
    let verdict = &explained.verdict;
    let mut words = vec![verdict.verdict.clone()];
    words.extend(verdict.reason.iter().map(|reason| format!("because of {reason}")));
    words.extend(verdict.watched.then(|| "watched".to_owned()));
    words.extend(verdict.suppressed.then(|| "with a suppressed match".to_owned()));
    sheet.line("verdict", words.join(", "));
    let radius = explained.radius.map(|radius| format!(", within {radius} bits")).unwrap_or_default();
    let Explained { at, generation, seq, .. } = explained;
    sheet.line("asked", format!("{} UTC of generation {generation}, batch {seq}{radius}", moment(*at)));
    if explained.kind_state != "ready" {
        let kind = explained.fingerprint.kind();
        sheet.line(
            "incomplete",
            format!("not all that lists hold of {kind} can be looked at: {}", explained.kind_state),
        );
    }
    if explained.lists.is_empty() {
        sheet.line("lists", "none holds it");
    }
    explained.lists.iter().for_each(|holding| tell_list(&mut sheet, holding));
    if !explained.suppressions.is_empty() {
        sheet.title("suppressions");
        explained.suppressions.iter().for_each(|suppression| tell_suppression(&mut sheet, suppression));
    }
    sheet.0
}

fn tell_list(sheet: &mut Sheet, holding: &Holding) {
    let Holding { list, statements, more_statements, versions, records, more_records } = holding;
    sheet.title(&format!("list {}", list.name));
    sheet.line("shape, state", format!("{}, {}", list.shape.name(), list.state));
    if list.shape != ListShape::BuiltIn {
        sheet.line("created", format!("{} UTC, last changed {} UTC", moment(list.created_at), moment(list.changed_at)));
    }
    if let Some(radius) = statements.first().and_then(|one| list.radii.get(one.fingerprint.kind())) {
        sheet.line("radius", format!("{radius} bits, the list's own"));
    }
    statements.iter().for_each(|statement| tell_statement(sheet, statement));
    if *more_statements > 0 {
        sheet.line("", format!("and {} of hashes further away", counted(*more_statements, "label", "labels")));
    }
    versions.iter().for_each(|version| tell_version(sheet, version));
    for (number, record) in records.iter().enumerate() {
        tell_record(sheet, number + 1, record);
    }
    if *more_records > 0 {
        sheet.line("", format!("and {} not told here", counted(*more_records, "more entry", "more entries")));
    }
}

fn tell_statement(sheet: &mut Sheet, statement: &Statement) {
    let distance = statement.distance.map(|bits| format!(", {bits} bits away")).unwrap_or_default();
    sheet.line("hash", format!("{}{distance}", statement.fingerprint));
    for Said { role, category, flags } in &statement.said {
        let told = |category: &Category| format!("category {}", plain(&category.to_string()));
        let category = category.as_ref().map_or_else(|| "no category".to_owned(), told);
        sheet.line("says", format!("{role}: {category}{}", told_flags(*flags)));
    }
    if let Some(change) = &statement.withdrawn {
        sheet.line("withdrawn", format!("in {}: it decides nothing", told_change(change)));
    }
    if statement.suppressed {
        sheet.line("suppressed", "it decides nothing; see below");
    }
}

fn tell_version(sheet: &mut Sheet, version: &VersionInfo) {
    let VersionInfo { version: number, current, sources, created_at, fingerprints, counts, records: kept, .. } =
        version;
    let answers = if *current { "which answers" } else { "kept" };
    sheet.line("version", format!("{number}, {answers}, imported {} UTC", moment(*created_at)));
    sources.iter().for_each(|source| sheet.line("", format!("from {}", plain(source))));
    let (records, rejected) = (counted(counts.records, "record", "records"), print::grouped(counts.rejected));
    let fingerprints = by_kind(fingerprints.iter().map(|(kind, count)| (kind, *count)));
    sheet.line("", format!("{records}, {rejected} rejected; hashes: {fingerprints}"));
    if kept.is_none() {
        sheet.line("", "its records were not kept: its entries are not told, or not all of them");
    }
}

fn tell_record(sheet: &mut Sheet, number: usize, Record { version, batch, entry }: &Record) {
    let Entry { source_id, fingerprints, category, flags, changed_at, attributes } = entry;
    let mut head = Vec::new();
    head.extend(version.map(|version| format!("of version {version}")));
    head.extend((!source_id.is_empty()).then(|| plain(source_id).into_owned()));
    head.extend(category.as_ref().map(|category| format!("category {}", plain(&category.to_string()))));
    sheet.line(&format!("entry {number}"), format!("{}{}", head.join(", "), told_flags(*flags)));
    fingerprints.iter().for_each(|fingerprint| sheet.line("", fingerprint));
    // Before 1970 no source changed anything.
    if let Some(millis) = changed_at.and_then(|millis| u64::try_from(millis).ok()) {
        sheet.line("", format!("changed {} UTC by the source's clock", moment(millis / 1_000)));
    }
    batch.iter().for_each(|change| sheet.line("", format!("since {}", told_change(change))));
    attributes.iter().for_each(|(name, value)| sheet.line("", format!("{}: {}", plain(name), plain(value))));
}

fn tell_suppression(sheet: &mut Sheet, suppression: &Suppression) {
    let Suppression { id, fingerprint, scope, author, reason, at, lifted } = suppression;
    let scope = match scope {
        SuppressionScope::Entry => "with the entries that hold it",
        SuppressionScope::Hash => "alone",
    };
    sheet.line(&id.to_string(), format!("{fingerprint} {scope}"));
    sheet.line("", format!("{} UTC by {}: {}", moment(*at), plain(author), plain(reason)));
    if lifted.is_some() {
        sheet.line("", format!("lifted {}", suppress::end(suppression)));
    }
}

fn told_flags(flags: Flags) -> String {
    flags.names().iter().map(|name| format!(", {name}")).collect()
}

fn told_change(Change { seq, at, action }: &Change) -> String {
    format!("batch {seq}, {} UTC: {}", moment(*at), plain(action))
}
