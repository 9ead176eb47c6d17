//! The version that an import adds to: its segments, read front to back.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use hashward::fingerprint::{Fingerprint, Kind};
use hashward::index::sealed::SegmentReader;
use hashward::segment::LabelSetId;

use super::BuildError;
use super::labels::LabelBook;
use super::rows::LabelId;

/// A version as it stands in the data folder.
#[derive(Clone, Debug, Default)]
pub struct BaseVersion {
    /// Its segment of each kind.
    pub segments: BTreeMap<Kind, PathBuf>,
    /// What was withdrawn from it since.
    pub withdrawn: Vec<Fingerprint>,
}

/// What a version says of one kind, in ascending order.
pub(super) struct BaseRows {
    reader: SegmentReader,
    /// The labels of each set, numbered anew.
    sets: Vec<Vec<LabelId>>,
    withdrawn: HashSet<Box<[u8]>>,
}

impl BaseRows {
    /// The version's rows of `kind`, if it has any. Its labels get numbers in `labels`.
    pub(super) fn open(base: &BaseVersion, kind: Kind, labels: &mut LabelBook) -> Result<Option<BaseRows>, BuildError> {
        let Some(path) = base.segments.get(&kind) else { return Ok(None) };
        let reader = SegmentReader::open(path)?;
        let table = reader.labels();
        let mut sets = Vec::with_capacity(table.set_count());
        for set in 0..table.set_count() {
            let mut numbers = Vec::new();
            for label in table.set(LabelSetId(set as u32)) {
                numbers.push(labels.number_of(label)?);
            }
            numbers.sort_unstable();
            numbers.dedup();
            sets.push(numbers);
        }
        let withdrawn = base.withdrawn.iter().filter(|fingerprint| fingerprint.kind() == kind);
        let withdrawn = withdrawn.map(|fingerprint| fingerprint.value().into()).collect();
        Ok(Some(BaseRows { reader, sets, withdrawn }))
    }

    /// Takes the next digest into `digest` and its labels into `labels`. `false` at the end.
    pub(super) fn next(&mut self, digest: &mut [u8], labels: &mut Vec<LabelId>) -> Result<bool, BuildError> {
        while let Some((value, _, set)) = self.reader.next()? {
            if !self.withdrawn.is_empty() && self.withdrawn.contains(value) {
                continue;
            }
            digest.copy_from_slice(value);
            labels.clear();
            labels.extend_from_slice(self.sets.get(set.0 as usize).map_or(&[], |set| set));
            return Ok(true);
        }
        Ok(false)
    }
}
