//! Damaged records files: refused, or read without a panic. Checksums are made right first (`src/records/layout.rs` has
//! the places), for a file of one block.
#![no_main]

use std::io::Write;
use std::sync::LazyLock;

use hashward::records::RecordsReader;
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

const HEADER_BYTES: usize = 104;
const DIRECTORY_HASH_AT: usize = 40;
const HASH_AT: usize = 72;
const ROW_BYTES: usize = 136;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fn with_right_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Some(row) = bytes.len().checked_sub(ROW_BYTES).filter(|row| *row >= HEADER_BYTES) else { return bytes };
    let mut part = HEADER_BYTES;
    for (length_at, hash_at) in [(20, 40), (24, 72), (28, 104)] {
        let at = row + length_at;
        let end = part + u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        if let Some(bytes_of_part) = bytes.get(part..end) {
            let hash = blake3::hash(bytes_of_part);
            bytes[row + hash_at..row + hash_at + 32].copy_from_slice(hash.as_bytes());
        }
        part = end;
    }
    let hash = blake3::hash(&bytes[row..]);
    bytes[DIRECTORY_HASH_AT..HASH_AT].copy_from_slice(hash.as_bytes());
    let hash = blake3::hash(&bytes[..HASH_AT]);
    bytes[HASH_AT..HEADER_BYTES].copy_from_slice(hash.as_bytes());
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let mut file = NamedTempFile::new_in(FOLDER.path()).unwrap();
    file.write_all(&with_right_checksums(bytes)).unwrap();
    let Ok(reader) = RecordsReader::open(file.path()) else { return };
    let is_sound = reader.verify().is_ok();
    let records: Result<Vec<_>, _> = reader.iter().collect();
    if is_sound {
        let records = records.unwrap();
        assert_eq!(records.len() as u64, reader.summary().records);
        for fingerprint in records.iter().flat_map(|record| &record.fingerprints) {
            assert!(reader.find(fingerprint).next().is_some_and(|found| found.is_ok()));
        }
    }
});
