//! Deltas of the NSRL RDS, applied to a set of one row: refused, or read to the end of their transaction.
#![no_main]

mod sink;

use std::path::PathBuf;
use std::sync::LazyLock;

use hashward_index::formats::{Format, ParseOptions};
use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use sink::Promised;
use tempfile::TempDir;

static BASE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.db");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE VERSION (version VARCHAR); INSERT INTO VERSION VALUES ('1');
             CREATE TABLE FILE (sha256 VARCHAR, sha1 VARCHAR, md5 VARCHAR, crc32 VARCHAR, file_name VARCHAR,
               file_size INTEGER, package_id INTEGER);
             INSERT INTO FILE VALUES ('', '', '0123456789ABCDEF0123456789ABCDEF', '', 'a', 1, 1);",
        )
        .unwrap();
    (folder, path)
});

fuzz_target!(|bytes: &[u8]| {
    let options = ParseOptions { base: Some(BASE.1.clone()), ..ParseOptions::default() };
    let mut sink = Promised::default();
    if Format::NsrlV3Delta.parse(&mut &bytes[..], &options, &mut sink).is_ok() {
        let text = bytes.to_ascii_uppercase();
        assert!(text.windows(6).any(|word| word == b"COMMIT"));
    }
});
