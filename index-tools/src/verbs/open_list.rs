//! What a list holds, as sorted rows of each kind, whatever its shape: the segments of a version, read where they stand
//! in the data folder, or a feed list's entries, sorted into segments of a temporary folder.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use hashward::fingerprint::{Fingerprint, Kind};
use hashward::index::sealed::{Segment, SegmentReader};
use hashward::list::{Category, Entry, Flags, Label, ListName, ListShape, VersionNumber};
use hashward::segment::{LabelSetId, LabelTable};
use hashward::store::command::{Contents, Page};
use hashward::store::{Command, Outcome};
use serde::Serialize;
use tempfile::TempDir;

use super::print::category_name;
use super::progress::Progress;
use super::unexpected;
use crate::build::{BaseVersion, EntrySorter, LabelBook, Output, SortLimits, build_version};
use crate::keeper::Session;

/// Memory for sorting the entries of a feed list; what does not fit is sorted on disk.
const SORT_BYTES: u64 = 256 << 20;

/// A list that is read.
pub(super) struct OpenList {
    pub(super) name: ListName,
    pub(super) contents: Contents,
    /// Of each kind that it holds.
    pub(super) kinds: BTreeMap<Kind, OpenKind>,
}

/// What a list holds of one kind.
pub(super) struct OpenKind {
    path: PathBuf,
    reader: SegmentReader,
    withdrawn: HashSet<Box<[u8]>>,
    /// Of a feed list: where its entries were sorted.
    _folder: Option<Rc<TempDir>>,
}

impl OpenList {
    /// The list's version, or what it says now. Its files are open from here on, whatever becomes of them.
    pub(super) fn open(
        session: &mut Session<'_>,
        name: &ListName,
        version: Option<VersionNumber>,
        progress: &Progress,
    ) -> anyhow::Result<OpenList> {
        let contents = contents(session, name, version)?;
        if contents.shape != ListShape::Feed {
            return OpenList::of_version(session, name, contents);
        }
        let mut opened = OpenList { name: name.clone(), contents, kinds: BTreeMap::new() };
        opened.sort_entries(session, progress)?;
        Ok(opened)
    }

    /// The version of a file list that `contents` tells of.
    pub(super) fn of_version(
        session: &mut Session<'_>,
        name: &ListName,
        contents: Contents,
    ) -> anyhow::Result<OpenList> {
        let mut opened = OpenList { name: name.clone(), contents, kinds: BTreeMap::new() };
        opened.open_segments(session)?;
        Ok(opened)
    }

    /// All categories that it gives to anything.
    pub(super) fn categories(&self) -> BTreeSet<Category> {
        let labels = self.kinds.values().flat_map(|opened| opened.reader.labels().labels());
        labels.filter_map(|label| label.category.clone()).collect()
    }

    /// Fingerprints of all kinds, those withdrawn among them.
    pub(super) fn rows(&self) -> u64 {
        self.kinds.values().map(|opened| opened.reader.len()).sum()
    }

    fn open_segments(&mut self, session: &mut Session<'_>) -> anyhow::Result<()> {
        for (kind, path) in &self.contents.segments {
            self.kinds.insert(*kind, OpenKind::open(session.data().join(path))?);
        }
        if self.contents.withdrawn > 0 {
            for fingerprint in withdrawals(session, &self.name, self.contents.source.version)? {
                if let Some(opened) = self.kinds.get_mut(&fingerprint.kind()) {
                    opened.withdrawn.insert(fingerprint.value().into());
                }
            }
        }
        Ok(())
    }

    fn sort_entries(&mut self, session: &mut Session<'_>, progress: &Progress) -> anyhow::Result<()> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut sorter = EntrySorter::new(folder.path(), SortLimits::within(SORT_BYTES));
        let mut labels = LabelBook::default();
        progress.rows("reading", "entries", self.contents.entries);
        entries(session, &self.name, |entry| {
            let label = Label { source: self.contents.source, category: entry.category, flags: entry.flags };
            let label = labels.number_of(&label)?;
            for fingerprint in &entry.fingerprints {
                sorter.push(fingerprint.kind(), fingerprint.value(), label)?;
            }
            progress.advance(1);
            Ok(())
        })?;
        let output =
            Output { folder: folder.path().to_owned(), source: self.contents.source, applied_seq: 0, locator: None };
        let built = build_version(sorter.finish()?, labels, &BaseVersion::default(), Some(&output), &|_| {})?;
        let folder = Rc::new(folder);
        for (kind, built) in built {
            if let Some(file) = built.file {
                let opened = OpenKind::open(folder.path().join(file))?;
                self.kinds.insert(kind, OpenKind { _folder: Some(folder.clone()), ..opened });
            }
        }
        Ok(())
    }
}

impl OpenKind {
    fn open(path: PathBuf) -> anyhow::Result<OpenKind> {
        let reader = SegmentReader::open(&path).with_context(|| gone(&path))?;
        Ok(OpenKind { path, reader, withdrawn: HashSet::new(), _folder: None })
    }

    /// Fingerprints that were not withdrawn.
    pub(super) fn len(&self) -> u64 {
        self.reader.len().saturating_sub(self.withdrawn.len() as u64)
    }

    /// The same for lookups, verified.
    pub(super) fn map(&self) -> anyhow::Result<Mapped> {
        let segment = Segment::open(&self.path).with_context(|| gone(&self.path))?;
        segment.verify()?;
        Ok(Mapped { segment, withdrawn: self.withdrawn.clone() })
    }

    /// Its rows, from the first.
    pub(super) fn into_rows(self) -> Rows {
        let value = vec![0; self.reader.kind().width()];
        Rows { reader: self.reader, withdrawn: self.withdrawn, value, set: LabelSetId(0) }
    }
}

/// What it means if a file of a version cannot be opened.
pub(super) fn gone(path: &Path) -> String {
    if path.exists() { "cannot read the list".to_owned() } else { "the version was removed meanwhile".to_owned() }
}

/// What a list holds of one kind, for lookups.
pub(super) struct Mapped {
    pub(super) segment: Segment,
    withdrawn: HashSet<Box<[u8]>>,
}

impl Mapped {
    /// Whether the list still says of this value what its segment does.
    pub(super) fn holds(&self, value: &[u8]) -> bool {
        self.withdrawn.is_empty() || !self.withdrawn.contains(value)
    }
}

/// The rows of one kind, ascending, those withdrawn left out.
pub(super) struct Rows {
    reader: SegmentReader,
    withdrawn: HashSet<Box<[u8]>>,
    value: Vec<u8>,
    set: LabelSetId,
}

impl Rows {
    /// To the next row; false after the last.
    pub(super) fn advance(&mut self) -> anyhow::Result<bool> {
        while let Some((value, _, set)) = self.reader.next()? {
            if self.withdrawn.is_empty() || !self.withdrawn.contains(value) {
                self.value.copy_from_slice(value);
                self.set = set;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The value of the row.
    pub(super) fn value(&self) -> &[u8] {
        &self.value
    }

    /// What is said of it.
    pub(super) fn set(&self) -> LabelSetId {
        self.set
    }

    /// What the sets mean.
    pub(super) fn labels(&self) -> &LabelTable {
        self.reader.labels()
    }
}

/// What a list says of a fingerprint, whichever version of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(super) struct Said {
    pub(super) category: Option<Category>,
    #[serde(skip_serializing_if = "Flags::is_empty")]
    pub(super) flags: Flags,
}

impl Said {
    /// The labels of each set, in order, each once.
    pub(super) fn of_sets(labels: &LabelTable) -> Vec<Vec<Said>> {
        let of_set = |set| {
            let said = labels.set(LabelSetId(set as u32));
            let mut said: Vec<_> =
                said.map(|label| Said { category: label.category.clone(), flags: label.flags }).collect();
            said.sort();
            said.dedup();
            said
        };
        (0..labels.set_count()).map(of_set).collect()
    }

    /// All of them in one cell.
    pub(super) fn join(said: &[Said]) -> String {
        said.iter().map(Said::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// `US:1 (distributed)`, for people; a dash where there is no category.
impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&category_name(self.category.as_ref()))?;
        if self.flags.is_empty() { Ok(()) } else { write!(f, " ({})", self.flags.names().join(", ")) }
    }
}

/// What the keeper says that a list holds.
pub(super) fn contents(
    session: &mut Session<'_>,
    list: &ListName,
    version: Option<VersionNumber>,
) -> anyhow::Result<Contents> {
    match session.execute(Command::Contents { list: list.clone(), version })? {
        Outcome::Contents(contents) => Ok(*contents),
        other => Err(unexpected(&other)),
    }
}

/// Calls `take` with each entry of a feed list.
pub(super) fn entries(
    session: &mut Session<'_>,
    list: &ListName,
    mut take: impl FnMut(Entry) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let Page { items, more } = match session.execute(Command::Entries { list: list.clone(), after })? {
            Outcome::Entries(page) => page,
            other => return Err(unexpected(&other)),
        };
        after = items.last().map(|entry| entry.source_id.clone());
        items.into_iter().try_for_each(&mut take)?;
        if !more || after.is_none() {
            return Ok(());
        }
    }
}

/// What was withdrawn from a version.
pub(super) fn withdrawals(
    session: &mut Session<'_>,
    list: &ListName,
    version: VersionNumber,
) -> anyhow::Result<Vec<Fingerprint>> {
    let mut all = Vec::new();
    loop {
        let command = Command::Withdrawals { list: list.clone(), version, after: all.last().cloned() };
        match session.execute(command)? {
            Outcome::Withdrawals(Page { items, more }) => {
                let done = !more || items.is_empty();
                all.extend(items);
                if done {
                    return Ok(all);
                }
            }
            other => return Err(unexpected(&other)),
        }
    }
}
