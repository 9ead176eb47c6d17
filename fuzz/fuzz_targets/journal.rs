//! Journals that were edited: found, and named, or as they were written. The first four bytes of the input choose a place
//! and what is changed there; the rest are the records, a line each. The input as it is, as a file, is read or refused.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use hashward::journal::{Journal, JournalOptions, JournalReader, verify};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const NAME: &str = "fuzz";

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let folder = FOLDER.path().join("journal");
    let file = folder.join("0000000000000001.ndjson");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    fs::write(&file, bytes).unwrap();
    let options = JournalOptions { file_bytes: 1 << 20, files_kept: None };
    // Nothing that a fuzzer makes has the links of a journal, but for a file with a head and nothing else.
    if verify(&folder, NAME, &[]).is_ok_and(|verified| verified.last.seq > 0) {
        assert!(JournalReader::open(&folder, NAME, 0).is_ok());
    }
    let _ = Journal::open(&folder, NAME, options);

    let [place @ .., changed] = bytes.first_chunk::<4>().copied().unwrap_or_default();
    let records: Vec<_> = bytes.get(4..).unwrap_or_default().split(|byte| *byte == b'\n').collect();
    let records: Vec<_> = records.into_iter().map(String::from_utf8_lossy).collect();
    fs::remove_dir_all(&folder).unwrap();
    let journal = Journal::open(&folder, NAME, options).unwrap();
    journal.append_all(&records).unwrap();
    let head = journal.head();
    drop(journal);
    let mut written = fs::read(&file).unwrap();
    let at = u32::from_le_bytes([place[0], place[1], place[2], 0]) as usize % written.len();
    written[at] ^= changed;
    fs::write(&file, &written).unwrap();
    let verified = verify(&folder, NAME, &[head]);
    if changed != 0 {
        assert!(verified.is_err(), "byte {at} changed by {changed:#x} is not noticed");
        let _ = Journal::open(&folder, NAME, options);
        return;
    }
    assert_eq!(verified.unwrap().last, head);
    let mut reader = JournalReader::open(&folder, NAME, 0).unwrap();
    for record in &records {
        let line = reader.next_line().unwrap().expect("a record");
        assert_eq!(serde_json::from_str::<String>(&line.record).unwrap(), *record);
    }
    assert!(reader.next_line().unwrap().is_none());
});
