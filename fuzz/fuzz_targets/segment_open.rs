//! Damaged segments: refused, or looked into without a panic. Checksums are made right first (`src/segment/layout.rs` has
//! the places): a fuzzer would never guess one, and somebody who writes a file on purpose need not.
#![no_main]

use std::io::Write;
use std::sync::LazyLock;

use hashward::fingerprint::Radius;
use hashward::index::sealed::{Segment, verify_file};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

const TABLE_AT: usize = 64;
const ROW_BYTES: usize = 56;
const HASH_AT: usize = 344;
const HEADER_BYTES: usize = 376;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fn with_right_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.len() < HEADER_BYTES {
        return bytes;
    }
    for row in (TABLE_AT..HASH_AT).step_by(ROW_BYTES) {
        let number = |at: usize| usize::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let (offset, length) = (number(row + 8), number(row + 16));
        if bytes[row] != 0
            && let Some(section) = offset.checked_add(length).and_then(|end| bytes.get(offset..end))
        {
            let hash = blake3::hash(section);
            bytes[row + 24..row + ROW_BYTES].copy_from_slice(hash.as_bytes());
        }
    }
    let hash = blake3::hash(&bytes[..HASH_AT]);
    bytes[HASH_AT..HEADER_BYTES].copy_from_slice(hash.as_bytes());
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let mut file = NamedTempFile::new_in(FOLDER.path()).unwrap();
    file.write_all(&with_right_checksums(bytes)).unwrap();
    // The two ways to check a file agree.
    let unmapped = verify_file(file.path());
    let Ok(segment) = Segment::open(file.path()) else {
        assert!(unmapped.is_err());
        return;
    };
    let verified = segment.verify();
    assert_eq!(verified.is_ok(), unmapped.is_ok());
    // Whether or not it is right, a lookup ends. The last bytes of the file are as good a question as any.
    let width = segment.kind().width();
    let questions: Vec<u8> = bytes.rchunks_exact(width).take(100).flatten().copied().collect();
    let mut found = Vec::new();
    segment.find_batch(&questions, &mut found);
    assert!(found.iter().all(|found| found.place.0 < segment.place_bound()));
    if let Some(max) = segment.kind().radius_max() {
        let mut near = Vec::new();
        for radius in [0, 4, max.0] {
            segment.find_near(&questions, Radius(radius), &mut near);
        }
        assert!(near.iter().all(|near| near.place.0 < segment.place_bound() && near.distance <= max.0));
    }
});
