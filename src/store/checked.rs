//! Segment files as the store takes them in: verified in full, and the ones that were meant.

use std::path::Path;
use std::sync::Arc;

use super::StoreError;
use crate::catalogue::SegmentFile;
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
