//! The store's files as it takes them in: verified in full, and the ones that were meant.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use super::manifest::Manifest;
use super::records::open_records;
use crate::catalogue::{Reader, RecordsFile, SegmentFile};
use crate::fingerprint::Kind;
use crate::index::sealed::{Segment, SegmentReader, verify_file};
use crate::list::Source;

/// Places are bits in a bitmap of 32-bit numbers.
const PLACES_MAX: u64 = 1 << 32;

/// Opens a segment that was meant to be there, without verifying its sections.
pub(super) fn open_segment(path: &Path, expected: &SegmentFile) -> Result<Segment, StoreError> {
    let segment = Segment::open(path)?;
    let refused = |found| Err(StoreError::BadVersion { path: path.to_owned(), found });
    let digest = segment.digest().to_hex();
    if digest.as_str() != expected.blake3 {
        return refused(format!("expected the segment with BLAKE3 {}, found {digest}", expected.blake3));
    }
    if segment.place_bound() > PLACES_MAX {
        return refused(format!("expected at most {PLACES_MAX} places, found {}", segment.place_bound()));
    }
    Ok(segment)
}

/// A segment that was verified in full.
pub(super) struct Verified {
    pub(super) kind: Kind,
    /// Without a name yet.
    pub(super) file: SegmentFile,
    pub(super) sources: Vec<Source>,
    /// Where questions are answered.
    pub(super) mapped: Option<Arc<Segment>>,
}

/// Verifies a file that is new to the store: mapped if it is to answer, else by reading it with small buffers.
pub(super) fn verify(path: &Path, map: bool) -> Result<Verified, StoreError> {
    let describe = |digests, bytes, applied_seq, digest: blake3::Hash| {
        let blake3 = digest.to_hex().to_string();
        SegmentFile { file: String::new(), digests, bytes, applied_seq, blake3 }
    };
    if map {
        let segment = Segment::open(path)?;
        segment.verify()?;
        let (digests, bytes, seq) = (segment.len(), segment.file_bytes(), segment.applied_seq());
        let file = describe(digests, bytes, seq, segment.digest());
        let sources = segment.sources().to_vec();
        return Ok(Verified { kind: segment.kind(), file, sources, mapped: Some(Arc::new(segment)) });
    }
    let summary = verify_file(path)?;
    let file = describe(summary.digests, summary.bytes, summary.applied_seq, summary.digest);
    let sources = SegmentReader::open(path)?.sources().to_vec();
    Ok(Verified { kind: summary.kind, file, sources, mapped: None })
}

/// Opens a segment that was meant to be there, and verifies all of it.
pub(super) fn open_verified(path: &Path, expected: &SegmentFile) -> Result<Segment, StoreError> {
    let segment = open_segment(path, expected)?;
    segment.verify()?;
    Ok(segment)
}

/// A file that a manifest or a catalogue names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NamedFile {
    Segment(SegmentFile),
    Records(RecordsFile),
}

impl NamedFile {
    /// Its name in `segments/`.
    pub(super) fn name(&self) -> &str {
        match self {
            NamedFile::Segment(file) => &file.file,
            NamedFile::Records(file) => &file.file,
        }
    }

    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            NamedFile::Segment(file) => file.bytes,
            NamedFile::Records(file) => file.bytes,
        }
    }

    /// Verifies that all of it stands at `path`. A segment may be mapped while this is done.
    pub(super) fn verify(&self, path: &Path, map: bool) -> Result<Option<Arc<Segment>>, StoreError> {
        match self {
            NamedFile::Records(file) => {
                open_records(path, file)?.verify()?;
                Ok(None)
            }
            NamedFile::Segment(expected) => {
                let Verified { file, mapped, .. } = verify(path, map)?;
                if file.blake3 == expected.blake3 {
                    return Ok(mapped);
                }
                let found = format!("expected the segment with BLAKE3 {}, found {}", expected.blake3, file.blake3);
                Err(StoreError::BadVersion { path: path.to_owned(), found })
            }
        }
    }
}

/// The files of a generation and of all versions that are kept, each once.
pub(super) fn named_files(read: &Reader<'_>, manifest: &Manifest) -> Result<Vec<NamedFile>, StoreError> {
    let of_versions = read.versions()?.into_iter().flat_map(|version| version.segments.into_values());
    let of_manifest = manifest.segments.iter().map(|segment| segment.file.clone());
    let segments = of_versions.chain(of_manifest).map(NamedFile::Segment);
    let files = segments.chain(read.records_files()?.into_iter().map(NamedFile::Records));
    let files: BTreeMap<_, _> = files.map(|file| (file.name().to_owned(), file)).collect();
    Ok(files.into_values().collect())
}
