//! A sink that keeps everything, for the tests of list formats.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use hashward::fingerprint::{DegenerateDigests, Fingerprint};
use hashward::list::Flags;
use hashward_index::formats::{Record, Rejected, Sink, SinkError};

static DEGENERATE: LazyLock<DegenerateDigests> = LazyLock::new(DegenerateDigests::compute);

/// What one record said, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) record: u64,
    pub(crate) line: Option<u64>,
    pub(crate) scheme: Option<String>,
    pub(crate) category: Option<String>,
    pub(crate) flags: Flags,
    pub(crate) name: Option<Vec<u8>>,
}

/// Counts as the build stage does: degenerate digests dropped, duplicates counted.
pub(crate) struct Collector {
    pub(crate) distinct: HashSet<Fingerprint>,
    /// Everything that was said, of degenerate digests too.
    pub(crate) said: Vec<(Fingerprint, Said)>,
    pub(crate) duplicates: u64,
    pub(crate) dropped: u64,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) unsupported: BTreeMap<String, u64>,
}

impl Collector {
    pub(crate) fn new() -> Collector {
        Collector {
            distinct: HashSet::new(),
            said: Vec::new(),
            duplicates: 0,
            dropped: 0,
            rejected: Vec::new(),
            unsupported: BTreeMap::new(),
        }
    }
}

impl Sink for Collector {
    fn record(&mut self, record: &Record<'_>) -> Result<(), SinkError> {
        assert!(!record.values.is_empty(), "a record has a value");
        let said = Said {
            record: record.number,
            line: record.line,
            scheme: record.scheme.map(str::to_owned),
            category: record.category.map(str::to_owned),
            flags: record.flags,
            name: record.name().map(<[u8]>::to_vec),
        };
        for (kind, value) in record.values {
            let fingerprint = Fingerprint::new(*kind, value).expect("values have their kind's width");
            if DEGENERATE.contains(*kind, value) {
                self.dropped += 1;
            } else if !self.distinct.insert(fingerprint.clone()) {
                self.duplicates += 1;
            }
            self.said.push((fingerprint, said.clone()));
        }
        Ok(())
    }

    fn rejected(&mut self, rejected: Rejected) -> Result<(), SinkError> {
        assert!(rejected.detail.contains("expected"), "{rejected:?}");
        assert!(rejected.detail.chars().count() < 400, "{rejected:?}");
        self.rejected.push(rejected);
        Ok(())
    }

    fn unsupported(&mut self, name: &str) {
        *self.unsupported.entry(name.to_owned()).or_default() += 1;
    }
}
