//! `diff`: in what two versions of a file list differ. Both are read side by side, in the order of their fingerprints,
//! so memory stays small whatever their size.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;
use hashward::fingerprint::{Encoding, Kind};
use hashward::list::{ListName, VersionNumber};
use hashward::store::{Command, Outcome};
use serde::Serialize;

use super::open_list::{OpenKind, OpenList, Rows, Said};
use super::print::OutputFormat;
use super::progress::Progress;
use super::{Place, give_way, print, unexpected};
use crate::keeper::Session;

/// Rows between two words to the progress.
const ROWS_A_REPORT: u64 = 1 << 16;

#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The list
    list: ListName,
    /// The version to compare [default: the one before the one that answers]
    from: Option<u32>,
    /// The version it is compared with [default: the one that answers]
    to: Option<u32>,
    /// Print each fingerprint that differs, not only how many
    #[arg(long)]
    entries: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: DiffArgs) -> anyhow::Result<ExitCode> {
    let keeper = args.place.keeper()?;
    give_way(&keeper);
    let progress = Progress::start();
    let (old, new) = {
        let mut session = keeper.session();
        let (from, to) = versions(&args, &mut session)?;
        let old = OpenList::open(&mut session, &args.list, Some(from), &progress)?;
        (old, OpenList::open(&mut session, &args.list, Some(to), &progress)?)
    };
    let (from, to) = (old.contents.source.version, new.contents.source.version);
    let mut out = BufWriter::new(io::stdout().lock());
    if args.entries && args.format == OutputFormat::Tsv {
        writeln!(out, "sign\tkind\tvalue\tlabels\tbefore")?;
    }
    let mut on_difference = |difference: &Difference<'_>| match args.entries {
        true => difference.write(args.format, &mut out),
        false => Ok(()),
    };
    progress.rows("comparing", "rows", old.rows() + new.rows());
    let kinds = compare(old, new, &progress, &mut on_difference)?;
    drop(progress);
    let summary = Summary { list: args.list, from, to, kinds };
    match (args.format, args.entries) {
        (OutputFormat::Text, _) => out.write_all(summary.text().as_bytes())?,
        (_, true) => {}
        (OutputFormat::Tsv, false) => out.write_all(summary.table(OutputFormat::Tsv).as_bytes())?,
        (OutputFormat::Json, false) => writeln!(out, "{}", serde_json::to_string(&summary)?)?,
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Which versions are compared.
fn versions(args: &DiffArgs, session: &mut Session<'_>) -> anyhow::Result<(VersionNumber, VersionNumber)> {
    if let (Some(from), Some(to)) = (args.from, args.to) {
        return Ok((VersionNumber(from), VersionNumber(to)));
    }
    let inspected = match session.execute(Command::Inspect { list: args.list.clone() })? {
        Outcome::Inspected(inspected) => inspected,
        other => return Err(unexpected(&other)),
    };
    let Some(current) = inspected.list.version else {
        anyhow::bail!(
            "the list `{}` is a {} list, which has no versions to compare; `hashward-index inspect {0}` shows what was \
             done with it",
            args.list,
            inspected.list.shape.name()
        );
    };
    let before = inspected.versions.iter().map(|version| version.version).find(|version| *version < current);
    match (args.from.map(VersionNumber), before) {
        (Some(from), _) | (None, Some(from)) => Ok((from, current)),
        (None, None) => anyhow::bail!(
            "expected a version of `{}` before {current}, found none that is kept; name the versions to compare",
            args.list
        ),
    }
}

/// One fingerprint that is not in both versions, or not with the same labels.
#[derive(Serialize)]
struct Difference<'a> {
    sign: Sign,
    kind: Kind,
    #[serde(serialize_with = "super::print::hex")]
    value: &'a [u8],
    /// What the new version says, or the old one of what was removed.
    labels: &'a [Said],
    /// What the old version said, where both say something.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'a [Said]>,
}

#[derive(Clone, Copy, Serialize)]
enum Sign {
    #[serde(rename = "+")]
    Added,
    #[serde(rename = "-")]
    Removed,
    #[serde(rename = "~")]
    Changed,
}

impl Sign {
    fn name(self) -> &'static str {
        match self {
            Sign::Added => "+",
            Sign::Removed => "-",
            Sign::Changed => "~",
        }
    }
}

impl Difference<'_> {
    fn write(&self, format: OutputFormat, out: &mut impl Write) -> anyhow::Result<()> {
        let (sign, value) = (self.sign.name(), Encoding::Hex.encode(self.value));
        let (kind, labels, before) = (self.kind, Said::join(self.labels), self.before.map(Said::join));
        match (format, before) {
            (OutputFormat::Json, _) => writeln!(out, "{}", serde_json::to_string(self)?)?,
            (OutputFormat::Tsv, before) => {
                writeln!(out, "{sign}\t{kind}\t{value}\t{labels}\t{}", before.unwrap_or_default())?;
            }
            (OutputFormat::Text, Some(before)) => writeln!(out, "{sign} {kind}:{value}  {labels}, was {before}")?,
            (OutputFormat::Text, None) => writeln!(out, "{sign} {kind}:{value}  {labels}")?,
        }
        Ok(())
    }
}

/// How two versions differ.
#[derive(Serialize)]
struct Summary {
    list: ListName,
    from: VersionNumber,
    to: VersionNumber,
    kinds: BTreeMap<Kind, KindSummary>,
}

/// The same of one kind, in fingerprints.
#[derive(Default, Serialize)]
struct KindSummary {
    added: u64,
    removed: u64,
    /// In both, with other labels.
    changed: u64,
    /// In both, with the same labels.
    same: u64,
}

impl KindSummary {
    fn cells(&self) -> [u64; 4] {
        [self.added, self.removed, self.changed, self.same]
    }
}

impl Summary {
    fn text(&self) -> String {
        let table = self.table(OutputFormat::Text);
        format!("{}: version {} against version {}\n{table}", self.list, self.to, self.from)
    }

    fn table(&self, format: OutputFormat) -> String {
        let row = |(kind, summary): (&Kind, &KindSummary)| {
            let cells = summary.cells().map(|count| print::number(format, count));
            std::iter::once(kind.to_string()).chain(cells).collect()
        };
        let rows: Vec<Vec<String>> = self.kinds.iter().map(row).collect();
        print::table(format, &["kind", "added", "removed", "labels changed", "same"], &rows)
    }
}

fn compare(
    mut old: OpenList,
    mut new: OpenList,
    progress: &Progress,
    on_difference: &mut dyn FnMut(&Difference<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<BTreeMap<Kind, KindSummary>> {
    let kinds: BTreeSet<Kind> = old.kinds.keys().chain(new.kinds.keys()).copied().collect();
    let mut summaries = BTreeMap::new();
    for kind in kinds {
        let mut numbers = HashMap::new();
        let old = old.kinds.remove(&kind).map(|opened| Side::start(opened, &mut numbers)).transpose()?;
        let new = new.kinds.remove(&kind).map(|opened| Side::start(opened, &mut numbers)).transpose()?;
        summaries.insert(kind, compare_kind(kind, old.flatten(), new.flatten(), progress, on_difference)?);
    }
    Ok(summaries)
}

/// One of two versions, at one of its rows.
struct Side {
    rows: Rows,
    /// Of each label set: what it says, and a number that both sides have for just that.
    sets: Vec<(Vec<Said>, usize)>,
}

impl Side {
    /// At the first row; `None` if there is none.
    fn start(opened: OpenKind, numbers: &mut HashMap<Vec<Said>, usize>) -> anyhow::Result<Option<Side>> {
        let rows = opened.into_rows();
        let mut sets = Vec::new();
        for said in Said::of_sets(rows.labels()) {
            let next = numbers.len();
            let number = *numbers.entry(said.clone()).or_insert(next);
            sets.push((said, number));
        }
        let mut side = Some(Side { rows, sets });
        Side::advance(&mut side)?;
        Ok(side)
    }

    /// To the next row; after the last there is no side any more.
    fn advance(side: &mut Option<Side>) -> anyhow::Result<()> {
        if let Some(at) = side
            && !at.rows.advance()?
        {
            *side = None;
        }
        Ok(())
    }

    fn said(&self) -> &(Vec<Said>, usize) {
        &self.sets[self.rows.set().0 as usize]
    }
}

fn compare_kind(
    kind: Kind,
    mut old: Option<Side>,
    mut new: Option<Side>,
    progress: &Progress,
    on_difference: &mut dyn FnMut(&Difference<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<KindSummary> {
    let mut summary = KindSummary::default();
    let mut read = 0;
    loop {
        let order = match (&old, &new) {
            (None, None) => break,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(old), Some(new)) => old.rows.value().cmp(new.rows.value()),
        };
        match (&old, &new, order) {
            (Some(old), Some(new), Ordering::Equal) if old.said().1 == new.said().1 => summary.same += 1,
            (Some(old), Some(new), Ordering::Equal) => {
                summary.changed += 1;
                let (value, labels, before) = (new.rows.value(), &*new.said().0, Some(&*old.said().0));
                on_difference(&Difference { sign: Sign::Changed, kind, value, labels, before })?;
            }
            (Some(side), _, Ordering::Less) => {
                summary.removed += 1;
                let (value, labels) = (side.rows.value(), &*side.said().0);
                on_difference(&Difference { sign: Sign::Removed, kind, value, labels, before: None })?;
            }
            (_, Some(side), _) => {
                summary.added += 1;
                let (value, labels) = (side.rows.value(), &*side.said().0);
                on_difference(&Difference { sign: Sign::Added, kind, value, labels, before: None })?;
            }
            (_, None, _) => unreachable!("a side that has ended is never the lesser one"),
        }
        for (side, moves) in [(&mut old, order != Ordering::Greater), (&mut new, order != Ordering::Less)] {
            if moves {
                Side::advance(side)?;
                read += 1;
                if read == ROWS_A_REPORT {
                    progress.advance(std::mem::take(&mut read));
                }
            }
        }
    }
    progress.advance(read);
    Ok(summary)
}
