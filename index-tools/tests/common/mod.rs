//! A sink that keeps everything, for the tests of list formats.

use std::collections::{BTreeMap, HashSet};
use std::sync::LazyLock;

use hashward::fingerprint::{DegenerateDigests, Encoding, Fingerprint, Kind};
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

    /// Distinct fingerprints by kind.
    pub(crate) fn accepted(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for fingerprint in &self.distinct {
            *counts.entry(fingerprint.kind().name()).or_default() += 1;
        }
        counts
    }

    /// What all records say of a fingerprint.
    pub(crate) fn said_of<'a>(&'a self, fingerprint: &'a Fingerprint) -> impl Iterator<Item = &'a Said> {
        self.said.iter().filter(move |(other, _)| other == fingerprint).map(|(_, said)| said)
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
            name: record.name.map(<[u8]>::to_vec),
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

/// A fingerprint as tests write it: hex, or base64 for PhotoDNA.
pub(crate) fn fingerprint(kind: Kind, text: &str) -> Fingerprint {
    let encoding = if kind == Kind::PhotoDna { Encoding::Base64 } else { Encoding::Hex };
    Fingerprint::parse(kind, text, encoding).expect("tests write good values")
}
