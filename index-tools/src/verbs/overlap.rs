//! `overlap`: which fingerprints of a list other lists hold too. The smaller list is looked up in the larger one, in
//! batches, so that a small list is held against a large one in seconds.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;
use hashward::fingerprint::{Encoding, Kind, Radius};
use hashward::index::sealed::{Found, FoundNear};
use hashward::list::{Category, ListName, ListShape};
use hashward::segment::LabelSetId;
use hashward::store::{Command, Outcome};
use rayon::prelude::*;
use serde::Serialize;

use super::open_list::{Mapped, OpenKind, OpenList, Rows, Said};
use super::print::{OutputFormat, category_name, grouped};
use super::progress::Progress;
use super::{Place, Usage, give_way, print, unexpected};
use crate::keeper::Session;

/// Values that are looked up at once.
const BATCH_ROWS: usize = 1 << 14;
/// Codes that a core looks for at once: each may lie near to all of a list.
const NEAR_AT_ONCE: usize = 8;

#[derive(Debug, Args)]
pub(super) struct OverlapArgs {
    /// The list
    list: ListName,
    /// The lists to hold it against [default: all others]
    others: Vec<ListName>,
    /// Compare perceptual hashes by distance, within the radius of the other list, as if each were asked about
    #[arg(long)]
    near: bool,
    /// Print each fingerprint that another list holds too, not only how many
    #[arg(long)]
    entries: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "text")]
    format: OutputFormat,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: OverlapArgs) -> anyhow::Result<ExitCode> {
    let keeper = args.place.keeper()?;
    give_way(&keeper);
    let progress = Progress::start();
    let (list, others) = {
        let mut session = keeper.session();
        let names = others(&args, &mut session)?;
        let list = OpenList::open(&mut session, &args.list, None, &progress)?;
        let open = |name: &ListName| OpenList::open(&mut session, name, None, &progress);
        (list, names.iter().map(open).collect::<anyhow::Result<Vec<_>>>()?)
    };
    let mut out = BufWriter::new(io::stdout().lock());
    if args.entries && args.format == OutputFormat::Tsv {
        writeln!(out, "kind\tvalue\tlabels\tother\tother_labels\tdistance")?;
    }
    let mut on_shared = |shared: &Shared<'_>| match args.entries {
        true => shared.write(args.format, &mut out),
        false => Ok(()),
    };
    let overlaps = overlaps(list, others, args.near, &progress, &mut on_shared)?;
    drop(progress);
    match (args.format, args.entries) {
        (OutputFormat::Text, _) => out.write_all(text(&args.list, &overlaps).as_bytes())?,
        (_, true) => {}
        (OutputFormat::Tsv, false) => out.write_all(pairs(OutputFormat::Tsv, &overlaps).as_bytes())?,
        (OutputFormat::Json, false) => {
            for overlap in &overlaps {
                writeln!(out, "{}", serde_json::to_string(overlap)?)?;
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The lists to compare with, built-in ones left out.
fn others(args: &OverlapArgs, session: &mut Session<'_>) -> anyhow::Result<Vec<ListName>> {
    if args.others.contains(&args.list) {
        return Err(Usage(format!("expected lists to hold `{}` against, found itself", args.list)).into());
    }
    if !args.others.is_empty() {
        return Ok(args.others.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect());
    }
    match session.execute(Command::Lists)? {
        Outcome::Lists { lists } => {
            let others = lists.into_iter().filter(|list| list.shape != ListShape::BuiltIn && list.name != args.list);
            Ok(others.map(|list| list.name).collect())
        }
        other => Err(unexpected(&other)),
    }
}

/// What a list and another one share of a kind, in fingerprints of the list.
#[derive(Serialize)]
struct Overlap {
    list: ListName,
    other: ListName,
    kind: Kind,
    /// Of perceptual kinds compared by distance: within how many bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    radius: Option<Radius>,
    /// All of the list.
    fingerprints: u64,
    /// Those that the other one holds too.
    shared: u64,
    /// The same by the categories that the one and the other give them; one with several counts for each.
    categories: Vec<Pair>,
}

/// Two categories that meet.
#[derive(Serialize)]
struct Pair {
    category: Option<Category>,
    other_category: Option<Category>,
    fingerprints: u64,
}

/// One fingerprint that another list holds too.
#[derive(Serialize)]
struct Shared<'a> {
    kind: Kind,
    #[serde(serialize_with = "super::print::hex")]
    value: &'a [u8],
    labels: &'a [Said],
    other: &'a ListName,
    other_labels: &'a [Said],
    /// Bits in which the nearest of the other list differs, where kinds are compared by distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    distance: Option<u16>,
}

impl Shared<'_> {
    fn write(&self, format: OutputFormat, out: &mut impl Write) -> anyhow::Result<()> {
        let Shared { kind, other, .. } = self;
        let value = Encoding::Hex.encode(self.value);
        let (labels, other_labels) = (Said::join(self.labels), Said::join(self.other_labels));
        let distance = self.distance.map(|distance| distance.to_string());
        match format {
            OutputFormat::Json => writeln!(out, "{}", serde_json::to_string(self)?)?,
            OutputFormat::Tsv => {
                let distance = distance.unwrap_or_default();
                writeln!(out, "{kind}\t{value}\t{labels}\t{other}\t{other_labels}\t{distance}")?;
            }
            OutputFormat::Text => {
                let distance = distance.map(|distance| format!(", distance {distance}")).unwrap_or_default();
                writeln!(out, "{kind}:{value}  {labels}; {other}: {other_labels}{distance}")?;
            }
        }
        Ok(())
    }
}

type OnShared<'a> = &'a mut dyn FnMut(&Shared<'_>) -> anyhow::Result<()>;

/// Another list, as far as one kind goes.
struct Other {
    name: ListName,
    /// If it is compared by distance: within how many bits.
    radius: Option<Radius>,
    opened: OpenKind,
}

fn overlaps(
    mut list: OpenList,
    others: Vec<OpenList>,
    near: bool,
    progress: &Progress,
    on_shared: OnShared<'_>,
) -> anyhow::Result<Vec<Overlap>> {
    let mut by_kind: BTreeMap<Kind, Vec<Other>> = BTreeMap::new();
    for OpenList { name, contents, kinds } in others {
        for (kind, opened) in kinds {
            let radius = contents.radii.get(kind).or(kind.radius_default()).filter(|_| near);
            by_kind.entry(kind).or_default().push(Other { name: name.clone(), radius, opened });
        }
    }
    let mut overlaps = Vec::new();
    for (kind, others) in by_kind {
        let Some(opened) = list.kinds.remove(&kind) else { continue };
        let fingerprints = opened.len();
        let (smaller, larger): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|other| other.radius.is_none() && other.opened.len() < fingerprints);
        let mut tallies = look_up_others(kind, smaller, &opened, progress, on_shared)?;
        tallies.extend(look_up_list(kind, opened, larger, progress, on_shared)?);
        overlaps.extend(tallies.into_iter().map(|tally| tally.finish(&list.name, fingerprints)));
    }
    overlaps.sort_by(|a, b| (&a.other, a.kind).cmp(&(&b.other, b.kind)));
    Ok(overlaps)
}

/// Looks lists that are smaller up in the list.
fn look_up_others(
    kind: Kind,
    others: Vec<Other>,
    list: &OpenKind,
    progress: &Progress,
    on_shared: OnShared<'_>,
) -> anyhow::Result<Vec<Tally>> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    progress.waiting("checking");
    let target = list.map()?;
    let said = Said::of_sets(target.segment.labels());
    let mut tallies = Vec::new();
    for Other { name, opened, .. } in others {
        progress.rows("comparing", "fingerprints", opened.len());
        let mut rows = opened.into_rows();
        let mut tally = Tally::new(kind, name, None, said.clone(), Said::of_sets(rows.labels()));
        while let Some(batch) = Batch::read(&mut rows)? {
            for found in batch.equal(&target) {
                let row = found.row as usize;
                tally.count(batch.value(row), found.set, batch.sets[row], on_shared)?;
            }
            progress.advance(batch.sets.len() as u64);
        }
        tallies.push(tally);
    }
    Ok(tallies)
}

/// Looks the list up in those that are larger, and in those that are searched by distance.
fn look_up_list(
    kind: Kind,
    list: OpenKind,
    others: Vec<Other>,
    progress: &Progress,
    on_shared: OnShared<'_>,
) -> anyhow::Result<Vec<Tally>> {
    if others.is_empty() {
        return Ok(Vec::new());
    }
    progress.waiting("checking");
    let fingerprints = list.len();
    let mut rows = list.into_rows();
    let said = Said::of_sets(rows.labels());
    let mut targets = Vec::new();
    for Other { name, radius, opened } in others {
        let target = opened.map()?;
        targets.push((Tally::new(kind, name, radius, said.clone(), Said::of_sets(target.segment.labels())), target));
    }
    progress.rows("comparing", "fingerprints", fingerprints);
    while let Some(batch) = Batch::read(&mut rows)? {
        for (tally, target) in &mut targets {
            batch.look_up(target, tally, on_shared)?;
        }
        progress.advance(batch.sets.len() as u64);
    }
    Ok(targets.into_iter().map(|(tally, _)| tally).collect())
}

/// Rows that are looked up together.
struct Batch {
    width: usize,
    values: Vec<u8>,
    sets: Vec<LabelSetId>,
}

impl Batch {
    /// The next rows; `None` after the last.
    fn read(rows: &mut Rows) -> anyhow::Result<Option<Batch>> {
        let mut batch = Batch { width: rows.value().len(), values: Vec::new(), sets: Vec::new() };
        while batch.sets.len() < BATCH_ROWS && rows.advance()? {
            batch.values.extend_from_slice(rows.value());
            batch.sets.push(rows.set());
        }
        Ok((!batch.sets.is_empty()).then_some(batch))
    }

    fn value(&self, row: usize) -> &[u8] {
        &self.values[row * self.width..][..self.width]
    }

    /// The rows that the target holds.
    fn equal(&self, target: &Mapped) -> Vec<Found> {
        let mut found = Vec::new();
        target.segment.find_batch(&self.values, &mut found);
        found.retain(|found| target.holds(self.value(found.row as usize)));
        found
    }

    fn look_up(&self, target: &Mapped, tally: &mut Tally, on_shared: OnShared<'_>) -> anyhow::Result<()> {
        let Some(radius) = tally.radius else {
            for found in self.equal(target) {
                let row = found.row as usize;
                tally.count(self.value(row), self.sets[row], found.set, on_shared)?;
            }
            return Ok(());
        };
        let parts: Vec<_> = self.values.chunks(NEAR_AT_ONCE * self.width).collect();
        let near: Vec<Vec<Neighbours>> =
            parts.into_par_iter().map(|part| neighbours(part, self.width, target, radius)).collect();
        for (part, of_part) in near.iter().enumerate() {
            for neighbours in of_part {
                let row = part * NEAR_AT_ONCE + neighbours.row;
                tally.count_near(self.value(row), self.sets[row], neighbours, on_shared)?;
            }
        }
        Ok(())
    }
}

/// What lies near to one code.
struct Neighbours {
    row: usize,
    sets: BTreeSet<u32>,
    /// Bits in which the nearest differs.
    distance: u16,
}

/// What lies near to each of these codes, as far as anything does.
fn neighbours(codes: &[u8], width: usize, target: &Mapped, radius: Radius) -> Vec<Neighbours> {
    let mut found: Vec<FoundNear> = Vec::new();
    target.segment.find_near(codes, radius, &mut found);
    found.retain(|found| target.holds(target.segment.code_at(found.place)));
    let mut by_row: Vec<Option<Neighbours>> = (0..codes.len() / width).map(|_| None).collect();
    for near in found {
        let row = near.row as usize;
        let all = by_row[row].get_or_insert(Neighbours { row, sets: BTreeSet::new(), distance: near.distance });
        all.sets.insert(near.set.0);
        all.distance = all.distance.min(near.distance);
    }
    by_row.into_iter().flatten().collect()
}

/// Counts what a list shares with another.
struct Tally {
    kind: Kind,
    other: ListName,
    radius: Option<Radius>,
    said: Vec<Vec<Said>>,
    other_said: Vec<Vec<Said>>,
    shared: u64,
    /// By label sets, where kinds are compared by equality.
    sets: HashMap<(LabelSetId, LabelSetId), u64>,
    pairs: BTreeMap<(Option<Category>, Option<Category>), u64>,
}

impl Tally {
    fn new(
        kind: Kind,
        other: ListName,
        radius: Option<Radius>,
        said: Vec<Vec<Said>>,
        other_said: Vec<Vec<Said>>,
    ) -> Tally {
        Tally { kind, other, radius, said, other_said, shared: 0, sets: HashMap::new(), pairs: BTreeMap::new() }
    }

    fn count(
        &mut self,
        value: &[u8],
        set: LabelSetId,
        other_set: LabelSetId,
        on_shared: OnShared<'_>,
    ) -> anyhow::Result<()> {
        self.shared += 1;
        *self.sets.entry((set, other_set)).or_default() += 1;
        on_shared(&Shared {
            kind: self.kind,
            value,
            labels: &self.said[set.0 as usize],
            other: &self.other,
            other_labels: &self.other_said[other_set.0 as usize],
            distance: None,
        })
    }

    fn count_near(
        &mut self,
        value: &[u8],
        set: LabelSetId,
        neighbours: &Neighbours,
        on_shared: OnShared<'_>,
    ) -> anyhow::Result<()> {
        self.shared += 1;
        let labels = &self.said[set.0 as usize];
        let others = neighbours.sets.iter().flat_map(|set| &self.other_said[*set as usize]);
        let other_labels: Vec<Said> = others.cloned().collect::<BTreeSet<_>>().into_iter().collect();
        for pair in category_pairs(labels, &other_labels) {
            *self.pairs.entry(pair).or_default() += 1;
        }
        let distance = Some(neighbours.distance);
        on_shared(&Shared { kind: self.kind, value, labels, other: &self.other, other_labels: &other_labels, distance })
    }

    fn finish(mut self, list: &ListName, fingerprints: u64) -> Overlap {
        for ((set, other_set), count) in self.sets {
            let labels = (&self.said[set.0 as usize], &self.other_said[other_set.0 as usize]);
            for pair in category_pairs(labels.0, labels.1) {
                *self.pairs.entry(pair).or_default() += count;
            }
        }
        let pair = |((category, other_category), fingerprints)| Pair { category, other_category, fingerprints };
        let categories = self.pairs.into_iter().map(pair).collect();
        let Tally { kind, other, radius, shared, .. } = self;
        Overlap { list: list.clone(), other, kind, radius, fingerprints, shared, categories }
    }
}

fn category_pairs(one: &[Said], other: &[Said]) -> BTreeSet<(Option<Category>, Option<Category>)> {
    let with = |said: &Said| {
        let category = said.category.clone();
        other.iter().map(move |other| (category.clone(), other.category.clone()))
    };
    one.iter().flat_map(with).collect()
}

fn text(list: &ListName, overlaps: &[Overlap]) -> String {
    if overlaps.is_empty() {
        return format!("{list}: no other list holds a kind that it holds\n");
    }
    let row = |overlap: &Overlap| {
        let Overlap { other, kind, radius, fingerprints, shared, .. } = overlap;
        let percent = 100.0 * *shared as f64 / (*fingerprints).max(1) as f64;
        let kind = radius.map_or(kind.to_string(), |radius| format!("{kind} within {}", radius.0));
        vec![other.to_string(), kind, grouped(*shared), grouped(*fingerprints), format!("{percent:.1} %")]
    };
    let header = ["list", "kind", "shared", "of", "share"];
    let rows: Vec<_> = overlaps.iter().map(row).collect();
    let mut text = format!("{list}: fingerprints that other lists hold too\n");
    text.push_str(&print::table(OutputFormat::Text, &header, &rows));
    if overlaps
        .iter()
        .flat_map(|overlap| &overlap.categories)
        .any(|pair| pair.category.is_some() || pair.other_category.is_some())
    {
        text.push_str("\nby category, here and there\n");
        text.push_str(&pairs(OutputFormat::Text, overlaps));
    }
    text
}

/// A line a list, kind and pair of categories.
fn pairs(format: OutputFormat, overlaps: &[Overlap]) -> String {
    let mut rows = Vec::new();
    for overlap in overlaps {
        let Overlap { other, kind, shared, .. } = overlap;
        if overlap.categories.is_empty() && format == OutputFormat::Tsv {
            rows.push([&other.to_string(), kind.name(), "-", "-", "0", "0"].map(str::to_owned).to_vec());
        }
        for Pair { category, other_category, fingerprints } in &overlap.categories {
            let mut row = vec![other.to_string(), kind.to_string()];
            row.extend([category, other_category].map(|category| category_name(category.as_ref())));
            row.push(print::number(format, *fingerprints));
            if format == OutputFormat::Tsv {
                row.push(shared.to_string());
            }
            rows.push(row);
        }
    }
    let mut header = vec!["list", "kind", "category", "its category", "fingerprints"];
    if format == OutputFormat::Tsv {
        header.push("shared");
    }
    print::table(format, &header, &rows)
}
