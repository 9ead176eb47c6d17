//! Segments as files: what a seal, a merge or an import writes, and what answers from then on.
//!
//! [`SegmentWriter`] writes a segment from ascending values, [`Segment`] maps one and finds things in it,
//! [`SegmentReader`] gives its values back without mapping the file, and [`verify_file`] checks one. How things are
//! found is decided by the segment's *locator*: `fst` and `bucket` find digests by equality ([`super::exact`]), `flat`
//! and `mih` find codes by distance ([`super::hamming`]).

mod codes;
mod open;
mod reader;
mod walk;
mod writer;

pub use crate::segment::layout::{LocatorKind, UnknownLocator};
pub use reader::{SegmentReader, verify_file};
pub use walk::Row;
pub use writer::{FST_DIGESTS_MAX, SegmentWriter, WriteOptions};

use std::path::Path;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::exact::bucket::Bucket;
use super::exact::filter::Filter;
use super::exact::fst::Fst;
use super::exact::transducer::Transducer;
use super::exact::{Locator, in_groups};
use super::hamming::Mih;
use crate::fingerprint::{Kind, Radius};
use crate::list::Source;
use crate::segment::layout::{Section, SectionTag};
use crate::segment::{Flaw, LabelSetId, LabelTable, Mapping, SegmentError, check_hash};
use codes::Codes;
use open::{Opened, Parameters};
use walk::{IndexBytes, Walk};

/// Places that [`Segment::verify`] gives to a core at once.
const CHECKED_AT_ONCE: u64 = 1 << 17;

const _: () = assert!(CHECKED_AT_ONCE.is_multiple_of(walk::STRIDE));

/// A digest's place in a segment: its slot with `bucket`, its ordinal with every other locator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u64);

/// A row of a batch that is in the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The row, from 0.
    pub row: u32,
    /// Its digest's place.
    pub place: Place,
    /// What is said of it.
    pub set: LabelSetId,
}

/// A code of a segment that lies near to a row of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundNear {
    /// The row, from 0.
    pub row: u32,
    /// The code's place.
    pub place: Place,
    /// What is said of it.
    pub set: LabelSetId,
    /// Bits in which it differs from the row.
    pub distance: u16,
}

/// What a writer wrote, or a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The kind of the digests.
    pub kind: Kind,
    /// How many there are.
    pub digests: u64,
    /// How many label sets they have.
    pub label_sets: usize,
    /// The locator in use; see [`WriteOptions::locator`].
    pub locator: LocatorKind,
    /// Withdrawals up to this batch were taken into account.
    pub applied_seq: u64,
    /// The file's length.
    pub bytes: u64,
    /// BLAKE3 of the header, which holds that of every section.
    pub digest: blake3::Hash,
}

/// A segment, mapped and immutable.
pub struct Segment {
    opened: Opened,
    map: Mapping,
    sources: Vec<Source>,
}

impl Segment {
    /// Maps a segment and checks its structure: the header, the sections' places and sizes, the label table.
    /// [`Segment::verify`] checks the rest, and must have passed before an answer counts: until then a damaged
    /// file may give wrong answers, though it never makes a lookup panic or run on.
    ///
    /// # Errors
    /// [`SegmentError`], which names the file and the section.
    pub fn open(path: impl AsRef<Path>) -> Result<Segment, SegmentError> {
        let opened = open::open(path.as_ref())?;
        let map = Mapping::of(&opened.file).map_err(SegmentError::io(&opened.path, "map"))?;
        let segment = Segment { sources: opened.labels.sources(), opened, map };
        if segment.map.len() as u64 != segment.file_bytes() {
            return Err(Flaw::new(segment.file_bytes(), segment.map.len()).within(segment.path(), "header"));
        }
        match segment.locator() {
            LocatorKind::Fst => Transducer::new(segment.bytes(SectionTag::Fst))
                .map(drop)
                .map_err(|flaw| flaw.within(segment.path(), SectionTag::Fst.name()))?,
            LocatorKind::Mih => {
                segment.mih().map(drop).map_err(|flaw| flaw.within(segment.path(), SectionTag::Mih.name()))?;
            }
            LocatorKind::Bucket | LocatorKind::Flat => {}
        }
        Ok(segment)
    }

    /// Checks everything: every section's BLAKE3, and whatever a lookup relies on. Brings the whole file into
    /// memory.
    ///
    /// # Errors
    /// [`SegmentError`], which names the file and the section.
    pub fn verify(&self) -> Result<(), SegmentError> {
        self.map.populate();
        let hashes = || {
            self.opened.header.sections.iter().try_for_each(|section| {
                let hash = blake3::Hasher::new().update_rayon(&self.map[section.range()]).finalize();
                check_hash(self.path(), section, hash)
            })
        };
        let (hashes, rules) = rayon::join(hashes, || self.check_rules());
        hashes.and(rules)?;
        open::check_gaps(self.path(), &self.opened.header, |at, gap| {
            gap.copy_from_slice(&self.map[at as usize..at as usize + gap.len()]);
            Ok(())
        })
    }

    /// Checks what a lookup relies on, in parts of [`CHECKED_AT_ONCE`] places.
    fn check_rules(&self) -> Result<(), SegmentError> {
        let parts = self.place_bound().div_ceil(CHECKED_AT_ONCE);
        let digests = (0..parts).into_par_iter().map(|part| {
            let places = part * CHECKED_AT_ONCE..self.place_bound().min((part + 1) * CHECKED_AT_ONCE);
            let input = |section: &Section, offset| Ok(&self.map[section.range()][offset as usize..]);
            walk::check(&self.opened, Walk::new(&self.opened, places, false, input)?, self.index_bytes())
        });
        walk::check_count(&self.opened, digests.try_reduce(|| 0, |one, other| Ok(one + other))?)?;
        match self.locator() {
            LocatorKind::Mih => walk::check_mih(self.path(), self.mih()),
            _ => Ok(()),
        }
    }

    /// BLAKE3 of the header, which holds that of every section: it stands for the whole file.
    pub fn digest(&self) -> blake3::Hash {
        self.opened.digest
    }

    /// The kind of all digests in it.
    pub fn kind(&self) -> Kind {
        self.opened.header.kind
    }

    /// How many digests are in it.
    pub fn len(&self) -> u64 {
        self.opened.header.digests
    }

    /// Whether no digest is in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The locator in use.
    pub fn locator(&self) -> LocatorKind {
        self.opened.header.locator
    }

    /// What the label-set ids mean.
    pub fn labels(&self) -> &LabelTable {
        &self.opened.labels
    }

    /// Withdrawals up to this batch were taken into account when the segment was written.
    pub fn applied_seq(&self) -> u64 {
        self.opened.header.applied_seq
    }

    /// The sources whose labels stand in it: all of them, ascending.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The file's length.
    pub fn file_bytes(&self) -> u64 {
        open::file_bytes(&self.opened.header)
    }

    /// All places are below it.
    pub fn place_bound(&self) -> u64 {
        self.opened.place_bound()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.opened.path
    }

    /// Looks up packed values of the segment's kind. Appends a [`Found`] for each that is there, rows ascending;
    /// nothing for the others.
    ///
    /// # Panics
    /// If `digests` is not a whole number of values: that is the caller's mistake.
    pub fn find_batch(&self, digests: &[u8], found: &mut Vec<Found>) {
        match self.view() {
            View::Bucket(bucket) => in_groups(&bucket, self.kind().width(), digests, found),
            View::Fst(fst) => in_groups(&fst, self.kind().width(), digests, found),
            View::Codes(codes) => {
                let rows = digests.chunks_exact(codes.width).zip(0..);
                let hit = |(row, (place, set))| Found { row, place, set };
                found.extend(rows.filter_map(|(code, row)| Some(hit((row, codes.find(code)?)))));
            }
        }
    }

    /// Looks for codes within `radius` of packed values of the segment's kind, which must be a perceptual one. Appends
    /// a [`FoundNear`] for every one there is, in no particular order.
    ///
    /// # Panics
    /// If `codes` is not a whole number of values, or the kind is an exact one: that is the caller's mistake.
    pub fn find_near(&self, codes: &[u8], radius: Radius, found: &mut Vec<FoundNear>) {
        let View::Codes(view) = self.view() else { panic!("kind {} is compared by equality", self.kind()) };
        let mut near = Vec::new();
        view.near(codes, radius, &mut near);
        found.extend(near.into_iter().map(|near| FoundNear {
            row: near.row,
            place: Place(near.ordinal.into()),
            set: view.set(near.ordinal.into()),
            distance: near.distance,
        }));
    }

    /// The value at a place of a perceptual kind's segment.
    ///
    /// # Panics
    /// If the place did not come from this segment.
    pub fn code_at(&self, place: Place) -> &[u8] {
        let width = self.kind().width();
        &self.bytes(SectionTag::Digests)[place.0 as usize * width..][..width]
    }

    /// Looks up one value.
    ///
    /// # Panics
    /// If `digest` has not the kind's width: that is the caller's mistake.
    pub fn find(&self, digest: &[u8]) -> Option<(Place, LabelSetId)> {
        assert_eq!(digest.len(), self.kind().width(), "bytes of a value of kind {}", self.kind());
        match self.view() {
            View::Bucket(bucket) => bucket.find(digest),
            View::Fst(fst) => fst.find(digest),
            View::Codes(codes) => codes.find(digest),
        }
    }

    fn bytes(&self, tag: SectionTag) -> &[u8] {
        &self.map[self.opened.header.section(tag).range()]
    }

    fn index_bytes(&self) -> IndexBytes<'_> {
        match self.locator() {
            LocatorKind::Bucket | LocatorKind::Flat | LocatorKind::Mih => IndexBytes::default(),
            LocatorKind::Fst => IndexBytes { fst: self.bytes(SectionTag::Fst), filter: self.bytes(SectionTag::Filter) },
        }
    }

    fn mih(&self) -> Result<Mih<'_>, Flaw> {
        Mih::open(self.kind().width(), self.bytes(SectionTag::Digests), self.bytes(SectionTag::Mih))
    }

    fn view(&self) -> View<'_> {
        let (width, set_bits) = (self.kind().width(), self.opened.header.set_bits);
        match &self.opened.parameters {
            Parameters::Bucket(parameters) => View::Bucket(Bucket {
                heads: self.bytes(SectionTag::Heads),
                tails: self.bytes(SectionTag::Tails),
                sets: self.bytes(SectionTag::Sets),
                parameters: *parameters,
                width,
                set_bits,
            }),
            Parameters::Fst(parameters) => View::Fst(Fst {
                digests: self.bytes(SectionTag::Digests),
                sets: self.bytes(SectionTag::Sets),
                transducer: Transducer::new(self.bytes(SectionTag::Fst)).expect("checked when it was opened"),
                filter: Filter::new(parameters.filter, self.bytes(SectionTag::Filter)),
                prefix: parameters.prefix,
                width,
                set_bits,
            }),
            Parameters::Codes => View::Codes(Codes {
                codes: self.bytes(SectionTag::Digests),
                sets: self.bytes(SectionTag::Sets),
                width,
                set_bits,
                mih: (self.locator() == LocatorKind::Mih).then(|| self.mih().expect("checked when it was opened")),
            }),
        }
    }
}

enum View<'a> {
    Bucket(Bucket<'a>),
    Fst(Fst<'a>),
    Codes(Codes<'a>),
}
