//! Writes a version: per kind, the sorted rows, united with the version before where it is added to, become a
//! segment.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use hashward::fingerprint::Kind;
use hashward::index::sealed::{LocatorKind, SegmentWriter, WriteOptions};
use hashward::list::Source;
use hashward::segment::{LabelSetId, LabelTable};

use super::BuildError;
use super::base::{BaseRows, BaseVersion};
use super::labels::LabelBook;
use super::merge::Merge;
use super::rows::LabelId;
use super::sorter::SortedRows;

/// Distinct sets of labels that one segment may hold, for the same reason as [`super::labels::LABELS_MAX`].
const LABEL_SETS_MAX: usize = 1 << 20;

/// Digests between two words to `on_rows`.
const ROWS_A_REPORT: u64 = 1 << 16;

/// Where a version goes.
#[derive(Clone, Debug)]
pub struct Output {
    /// The folder for its segments.
    pub folder: PathBuf,
    /// The list and version that its labels name.
    pub source: Source,
    /// What its segments carry as `applied_seq`.
    pub applied_seq: u64,
    /// The locator, if it was chosen by hand.
    pub locator: Option<LocatorKind>,
}

/// What became of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuiltKind {
    /// Distinct digests in the list files.
    pub distinct: u64,
    /// The segment's name in the folder; `None` if none was asked for, or nothing is left of the kind.
    pub file: Option<String>,
}

/// Builds all kinds of a version, the union of `rows` and `base`. Without `output` it only counts. `on_rows` hears now
/// and then how many more digests are done.
///
/// # Errors
/// Anything that can go wrong with run files and segments; the folder then holds nothing of use.
pub fn build_version(
    mut rows: SortedRows,
    mut labels: LabelBook,
    base: &BaseVersion,
    output: Option<&Output>,
    on_rows: &dyn Fn(u64),
) -> Result<BTreeMap<Kind, BuiltKind>, BuildError> {
    let kinds: BTreeSet<Kind> = rows.kinds().into_iter().chain(base.segments.keys().copied()).collect();
    let mut built = BTreeMap::new();
    for kind in kinds {
        let base_rows = BaseRows::open(base, kind, &mut labels)?;
        let new_rows = rows.take(kind)?;
        let out = output.map(|output| SegmentOut::new(kind, output, &labels));
        built.insert(kind, unite(kind, new_rows, base_rows, out, on_rows)?);
    }
    Ok(built)
}

fn unite(
    kind: Kind,
    mut new: Merge,
    mut base: Option<BaseRows>,
    mut out: Option<SegmentOut<'_>>,
    on_rows: &dyn Fn(u64),
) -> Result<BuiltKind, BuildError> {
    let mut built = BuiltKind::default();
    let (mut digest, mut digest_before) = (vec![0; kind.width()], vec![0; kind.width()]);
    let (mut said, mut said_before) = (Vec::new(), Vec::new());
    let mut push = |digest: &[u8], said: &[LabelId]| out.as_mut().map_or(Ok(()), |out| out.push(digest, said));

    let mut more = new.next(&mut digest, &mut said)?;
    let mut next_before = |digest: &mut [u8], said: &mut Vec<LabelId>| match &mut base {
        Some(base) => base.next(digest, said),
        None => Ok(false),
    };
    let mut more_before = next_before(&mut digest_before, &mut said_before)?;
    let mut digests = 0;
    loop {
        let order = match (more, more_before) {
            (false, false) => break,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) => digest.cmp(&digest_before),
        };
        match order {
            Ordering::Less => push(&digest, &said)?,
            Ordering::Greater => push(&digest_before, &said_before)?,
            Ordering::Equal => {
                said.extend_from_slice(&said_before);
                said.sort_unstable();
                said.dedup();
                push(&digest, &said)?;
            }
        }
        digests += 1;
        if digests % ROWS_A_REPORT == 0 {
            on_rows(ROWS_A_REPORT);
        }
        if order != Ordering::Greater {
            built.distinct += 1;
            more = new.next(&mut digest, &mut said)?;
        }
        if order != Ordering::Less {
            more_before = next_before(&mut digest_before, &mut said_before)?;
        }
    }
    on_rows(digests % ROWS_A_REPORT);
    built.file = out.map(SegmentOut::finish).transpose()?.flatten();
    Ok(built)
}

/// A segment on its way to disk, begun with its first digest.
struct SegmentOut<'a> {
    kind: Kind,
    output: &'a Output,
    labels: &'a LabelBook,
    table: LabelTable,
    /// The sets of one label, by its number: nearly all are such.
    single: Vec<Option<LabelSetId>>,
    several: HashMap<Box<[LabelId]>, LabelSetId>,
    writer: Option<SegmentWriter>,
}

impl<'a> SegmentOut<'a> {
    fn new(kind: Kind, output: &'a Output, labels: &'a LabelBook) -> SegmentOut<'a> {
        let single = vec![None; labels.len()];
        SegmentOut { kind, output, labels, table: LabelTable::new(), single, several: HashMap::new(), writer: None }
    }

    fn file(&self) -> String {
        format!("{}.seg", self.kind)
    }

    #[inline]
    fn push(&mut self, digest: &[u8], said: &[LabelId]) -> Result<(), BuildError> {
        let set = self.set(said)?;
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let Output { folder, applied_seq, locator, .. } = self.output;
                let options = WriteOptions { locator: *locator, applied_seq: *applied_seq };
                let path = Path::new(folder).join(self.file());
                self.writer.insert(SegmentWriter::create(&path, self.kind, options)?)
            }
        };
        Ok(writer.push(digest, set)?)
    }

    #[inline]
    fn set(&mut self, said: &[LabelId]) -> Result<LabelSetId, BuildError> {
        let known = match said {
            [only] => self.single[only.0 as usize],
            several => self.several.get(several).copied(),
        };
        if let Some(set) = known {
            return Ok(set);
        }
        if self.table.set_count() >= LABEL_SETS_MAX {
            return Err(BuildError::TooManyCategories);
        }
        let mut indexes = Vec::with_capacity(said.len());
        for label in said {
            indexes.push(self.table.intern_label(self.labels.label(*label, self.output.source)));
        }
        let set = self.table.intern_set(&indexes);
        match said {
            [only] => self.single[only.0 as usize] = Some(set),
            several => {
                self.several.insert(several.into(), set);
            }
        }
        Ok(set)
    }

    fn finish(self) -> Result<Option<String>, BuildError> {
        let file = self.file();
        let Some(writer) = self.writer else { return Ok(None) };
        writer.finish(&self.table)?;
        Ok(Some(file))
    }
}
