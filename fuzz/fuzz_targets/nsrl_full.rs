//! A full set of the NSRL, whose table of files is a view, with some of its bytes changed: read or refused, never walked
//! without an end, and never changed. The input is a list of changes, each a place in three bytes and a byte.
#![no_main]

mod sink;

use std::io::Write;
use std::sync::LazyLock;

use hashward_index::formats::{Format, Limits, ParseOptions, parse_file};
use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use sink::Promised;
use tempfile::NamedTempFile;

static SET: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let file = NamedTempFile::new().unwrap();
    let connection = Connection::open(file.path()).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size = 512;
             CREATE TABLE PACKAGE_OBJECT (package_object_id INTEGER PRIMARY KEY, package_id INTEGER NOT NULL,
               object_id INTEGER NOT NULL);
             CREATE TABLE METADATA (metadata_id NUMERIC PRIMARY KEY, object_id INTEGER, file_name VARCHAR,
               extension VARCHAR DEFAULT '' NOT NULL, md5 VARCHAR, sha1 VARCHAR, sha256 VARCHAR);
             CREATE VIEW FILE AS SELECT UPPER(md.sha256) AS sha256, UPPER(md.sha1) AS sha1, UPPER(md.md5) AS md5,
               CASE md.extension WHEN '' THEN md.file_name ELSE md.file_name || '.' || md.extension END AS file_name
               FROM METADATA AS md, PACKAGE_OBJECT AS po WHERE md.object_id = po.object_id;
             INSERT INTO PACKAGE_OBJECT VALUES (1, 1, 1), (2, 1, 2), (3, 2, 2);
             INSERT INTO METADATA VALUES
               (1, 1, 'a', 'txt', '0123456789abcdef0123456789abcdef', '0123456789abcdef0123456789abcdef01234567', ''),
               (2, 2, 'b', '', 'fedcba9876543210fedcba9876543210', '', '');",
        )
        .unwrap();
    drop(connection);
    std::fs::read(file.path()).unwrap()
});

fuzz_target!(|changes: &[u8]| {
    let mut set = SET.clone();
    for change in changes.chunks_exact(4) {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % set.len();
        set[at] = change[3];
    }
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(&set).unwrap();
    let mut sink = Promised::default();
    let options = ParseOptions::default();
    let parsed = parse_file(file.path(), Some(Format::NsrlV3), &options, &Limits::default(), &mut sink);
    if let Ok((_, parsed)) = parsed {
        assert_eq!((parsed.records, parsed.rejected), (sink.records + sink.rejected, sink.rejected));
    }
    assert_eq!(std::fs::read(file.path()).unwrap(), set);
});
