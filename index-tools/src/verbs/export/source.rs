//! Where the exported entries come from.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use hashward::fingerprint::{Fingerprint, Kind};
use hashward::list::{Category, Entry, ListName, ListShape, VersionNumber};
use hashward::records::{RecordsReader, StoredRecord};
use hashward::store::command::Contents;
use hashward::store::{Command, Outcome};

use super::super::open_list::{self, Mapped, OpenList, Said};
use super::super::progress::Progress;
use super::super::unexpected;
use crate::keeper::Session;

/// Entries between two words to the progress.
const ENTRIES_A_REPORT: u64 = 1 << 12;

/// A list to be exported.
pub(super) struct Exported<'s, 'k> {
    session: &'s mut Session<'k>,
    name: ListName,
    contents: Contents,
    from: From,
}

enum From {
    /// A feed list's entries, asked for page by page.
    Entries,
    /// A version's records, and its segments, which decide.
    Records(Vec<RecordsReader>, OpenList),
    /// A version's segments alone.
    Segments(OpenList),
}

impl<'s, 'k> Exported<'s, 'k> {
    /// Opens the files of a version at once, so that they may be removed meanwhile.
    pub(super) fn open(
        session: &'s mut Session<'k>,
        name: &ListName,
        version: Option<VersionNumber>,
    ) -> anyhow::Result<Exported<'s, 'k>> {
        let contents = open_list::contents(session, name, version)?;
        let from = match contents.shape {
            ListShape::Feed => From::Entries,
            _ => {
                let list = OpenList::of_version(session, name, contents.clone())?;
                match contents.records.is_empty() {
                    true => From::Segments(list),
                    false => From::Records(open_records(session.data(), &contents)?, list),
                }
            }
        };
        Ok(Exported { session, name: name.clone(), contents, from })
    }

    pub(super) fn version(&self) -> VersionNumber {
        self.contents.source.version
    }

    /// Whether entries are exported as they came, attributes and all.
    pub(super) fn has_records(&self) -> bool {
        !matches!(self.from, From::Segments(_))
    }

    /// The kinds of its fingerprints.
    pub(super) fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.contents.fingerprints.keys().copied()
    }

    /// The categories of its entries.
    pub(super) fn categories(&mut self) -> anyhow::Result<BTreeSet<Category>> {
        match &self.from {
            From::Entries => match self.session.execute(Command::Categories { list: self.name.clone() })? {
                Outcome::Categories(counts) => Ok(counts.by_category.into_keys().collect()),
                other => Err(unexpected(&other)),
            },
            From::Records(_, list) | From::Segments(list) => Ok(list.categories()),
        }
    }

    /// Calls `take` with each entry.
    pub(super) fn each(
        self,
        progress: &Progress,
        mut take: impl FnMut(StoredRecord) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut done = 0;
        let mut take = |record: StoredRecord| {
            done += 1;
            if done % ENTRIES_A_REPORT == 0 {
                progress.advance(ENTRIES_A_REPORT);
            }
            if record.fingerprints.is_empty() { Ok(()) } else { take(record) }
        };
        match self.from {
            From::Entries => {
                progress.rows("exporting", "entries", self.contents.entries);
                open_list::entries(self.session, &self.name, |entry| take(of_entry(entry)))
            }
            From::Segments(list) => {
                progress.rows("exporting", "fingerprints", list.rows());
                each_label(list, take)
            }
            From::Records(files, list) => {
                progress.waiting("checking");
                let mut segments = Segments::open(&list)?;
                progress.rows("exporting", "entries", self.contents.entries);
                for record in files.iter().flat_map(RecordsReader::iter) {
                    take(segments.left_of(record?))?;
                }
                segments.check_all_seen()
            }
        }
    }
}

fn open_records(data: &Path, contents: &Contents) -> anyhow::Result<Vec<RecordsReader>> {
    let open = |path: &String| {
        let path = data.join(path);
        RecordsReader::open(&path).with_context(|| open_list::gone(&path))
    };
    contents.records.iter().map(open).collect()
}

fn of_entry(entry: Entry) -> StoredRecord {
    let Entry { fingerprints, category, flags, attributes, .. } = entry;
    StoredRecord { fingerprints, category, flags, attributes }
}

/// Each label of each fingerprint as an entry.
fn each_label(list: OpenList, mut take: impl FnMut(StoredRecord) -> anyhow::Result<()>) -> anyhow::Result<()> {
    for (kind, opened) in list.kinds {
        let mut rows = opened.into_rows();
        let said = Said::of_sets(rows.labels());
        while rows.advance()? {
            for Said { category, flags } in said[rows.set().0 as usize].clone() {
                let fingerprints = vec![Fingerprint::new(kind, rows.value())?];
                take(StoredRecord { fingerprints, category, flags, attributes: Default::default() })?;
            }
        }
    }
    Ok(())
}

/// A version's segments, against which its records are held.
struct Segments(BTreeMap<Kind, OneKind>);

struct OneKind {
    mapped: Mapped,
    said: Vec<Vec<Said>>,
    /// A bit for each place that a record had.
    seen: Vec<u64>,
    /// How many places that were.
    seen_count: u64,
    expected: u64,
}

impl Segments {
    fn open(list: &OpenList) -> anyhow::Result<Segments> {
        let open = |(kind, opened): (&Kind, &open_list::OpenKind)| {
            let mapped = opened.map()?;
            let said = Said::of_sets(mapped.segment.labels());
            let seen = vec![0; mapped.segment.place_bound().div_ceil(64) as usize];
            Ok((*kind, OneKind { mapped, said, seen, seen_count: 0, expected: opened.len() }))
        };
        list.kinds.iter().map(open).collect::<anyhow::Result<_>>().map(Segments)
    }

    /// The record with those of its fingerprints of which the version still says just what it does. Others were
    /// withdrawn since, or before the version was built from this record and more.
    fn left_of(&mut self, mut record: StoredRecord) -> StoredRecord {
        let said = Said { category: record.category.take(), flags: record.flags };
        record.fingerprints.retain(|fingerprint| {
            self.0.get_mut(&fingerprint.kind()).is_some_and(|kind| kind.says(fingerprint.value(), &said))
        });
        StoredRecord { category: said.category, ..record }
    }

    /// An export must not lack what the version answers with.
    fn check_all_seen(&self) -> anyhow::Result<()> {
        for (kind, OneKind { seen_count, expected, .. }) in &self.0 {
            anyhow::ensure!(
                seen_count == expected,
                "expected records of {expected} fingerprints of kind {kind}, found those of {seen_count}: the records \
                 of the version are not those of its segments; `hashward-index verify` checks both"
            );
        }
        Ok(())
    }
}

impl OneKind {
    fn says(&mut self, value: &[u8], said: &Said) -> bool {
        let Some((place, set)) = self.mapped.segment.find(value) else { return false };
        if !self.mapped.holds(value) || !self.said[set.0 as usize].contains(said) {
            return false;
        }
        let (word, bit) = (&mut self.seen[place.0 as usize / 64], 1 << (place.0 % 64));
        self.seen_count += u64::from(*word & bit == 0);
        *word |= bit;
        true
    }
}
