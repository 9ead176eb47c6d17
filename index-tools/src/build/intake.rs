//! The sink of an import: takes the records of all its files, numbers what they say, hands their fingerprints to the
//! sorter, and writes the records themselves beside them, if they are to be kept.
//!
//! It also stops an import that would put a role on categories which nobody gave one to. From the first such record
//! on nothing is kept any more, but reading goes on, so that the refusal can tell how many records each category has.

use std::collections::BTreeMap;

use hashward::fingerprint::{DegenerateDigests, Kind};
use hashward::records::{NewRecord, RecordsWriter};

use super::BuildError;
use super::labels::LabelBook;
use super::sorter::EntrySorter;
use crate::formats::{Record, Rejected, Sink, SinkError};

/// Rejected records that are told one by one; the others are only counted.
pub(super) const REJECTED_TOLD_MAX: usize = 100;

/// What an import does with categories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Categories {
    /// Roles were given for them, or the one role does no harm.
    Allowed,
    /// The first one refuses the import.
    NeedRoles,
}

/// What was counted while reading.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Well-formed records.
    pub records: u64,
    /// Fingerprints in them, degenerate ones not counted.
    pub fingerprints: BTreeMap<Kind, u64>,
    /// Fingerprints of degenerate content, which were dropped.
    pub degenerate: u64,
    /// Fingerprints of kinds that hashward lacks, by the list's name for the kind.
    pub unsupported: BTreeMap<String, u64>,
    /// Records that were skipped.
    pub rejected: u64,
    /// The same by reason.
    pub rejected_by_reason: BTreeMap<&'static str, u64>,
    /// The first of them, with the number of the file they stand in.
    pub rejected_told: Vec<(usize, Rejected)>,
}

impl Counts {
    /// All records, skipped ones included.
    pub fn records_read(&self) -> u64 {
        self.records + self.rejected
    }
}

/// Takes records.
pub struct Intake {
    sorter: EntrySorter,
    records: Option<RecordsWriter>,
    labels: LabelBook,
    degenerate: DegenerateDigests,
    categories: Categories,
    counts: Counts,
    fingerprints: [u64; Kind::ALL.len() + 1],
    file: usize,
    rejected_max: Option<u64>,
    refused: bool,
}

/// What an [`Intake`] has taken.
pub struct Taken {
    /// The rows, to be sorted.
    pub sorter: EntrySorter,
    /// The records, but for those whose fingerprints are all degenerate.
    pub records: Option<RecordsWriter>,
    /// What their numbers stand for.
    pub labels: LabelBook,
    /// What was counted.
    pub counts: Counts,
    /// Whether there were categories that need roles; the rows are not complete then.
    pub categories_refused: bool,
}

impl Intake {
    /// Takes records into `sorter`, and into `records` if they are to be kept. More than `rejected_max` bad ones stop
    /// it at once.
    pub fn new(
        sorter: EntrySorter,
        records: Option<RecordsWriter>,
        categories: Categories,
        rejected_max: Option<u64>,
    ) -> Intake {
        Intake {
            sorter,
            records,
            labels: LabelBook::default(),
            degenerate: DegenerateDigests::compute(),
            categories,
            counts: Counts::default(),
            fingerprints: Default::default(),
            file: 0,
            rejected_max,
            refused: false,
        }
    }

    /// The records that come from now on stand in the file with this number.
    pub fn start_file(&mut self, file: usize) {
        self.file = file;
    }

    /// Well-formed and rejected records so far.
    pub fn records_read(&self) -> u64 {
        self.counts.records_read()
    }

    /// The end of the last file.
    pub fn finish(mut self) -> Taken {
        for kind in Kind::ALL {
            let fingerprints = self.fingerprints[usize::from(kind.code())];
            if fingerprints > 0 {
                self.counts.fingerprints.insert(kind, fingerprints);
            }
        }
        let Intake { sorter, records, labels, counts, refused, .. } = self;
        Taken { sorter, records, labels, counts, categories_refused: refused }
    }

    #[inline]
    fn take(&mut self, record: &Record<'_>) -> Result<(), BuildError> {
        self.counts.records += 1;
        let label = self.labels.number(record.scheme, record.category, record.flags)?;
        self.labels.count_record(label);
        if record.category.is_some() && self.categories == Categories::NeedRoles {
            self.refused = true;
        }
        if self.refused {
            return Ok(());
        }
        let mut degenerate = 0;
        for (kind, value) in record.values {
            if self.degenerate.contains(*kind, value) {
                degenerate += 1;
                continue;
            }
            self.fingerprints[usize::from(kind.code())] += 1;
            self.sorter.push(*kind, value, label)?;
        }
        if degenerate == 0 {
            return self.keep(record, record.values);
        }
        self.counts.degenerate += degenerate;
        let values = record.values.iter().copied().filter(|(kind, value)| !self.degenerate.contains(*kind, value));
        let values: Vec<_> = values.collect();
        if values.is_empty() { Ok(()) } else { self.keep(record, &values) }
    }

    /// Writes the record itself with these of its values.
    #[inline]
    fn keep(&mut self, record: &Record<'_>, values: &[(Kind, &[u8])]) -> Result<(), BuildError> {
        let Some(records) = &mut self.records else { return Ok(()) };
        let Record { scheme, category, flags, attributes, .. } = *record;
        Ok(records.push(&NewRecord { fingerprints: values, scheme, category, flags, attributes })?)
    }
}

impl Sink for Intake {
    fn record(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        self.take(record).map_err(SinkError::new)
    }

    fn rejected(&mut self, rejected: Rejected) -> Result<(), SinkError> {
        self.counts.rejected += 1;
        *self.counts.rejected_by_reason.entry(rejected.reason).or_default() += 1;
        if self.counts.rejected_told.len() < REJECTED_TOLD_MAX {
            self.counts.rejected_told.push((self.file, rejected));
        }
        match self.rejected_max {
            Some(limit) if self.counts.rejected > limit => Err(SinkError::new(BuildError::TooManyRejected)),
            _ => Ok(()),
        }
    }

    fn unsupported(&mut self, name: &str) {
        let unsupported = &mut self.counts.unsupported;
        let room = unsupported.len() < UNSUPPORTED_NAMES_MAX;
        // The names come from the list; those beyond any real number of kinds count under one.
        let name = if room || unsupported.contains_key(name) { name } else { UNSUPPORTED_OTHERS };
        *unsupported.entry(name.to_owned()).or_insert(0) += 1;
    }
}

/// Names of unsupported kinds that are told apart.
const UNSUPPORTED_NAMES_MAX: usize = 100;
/// What the others count under.
const UNSUPPORTED_OTHERS: &str = "(others)";
