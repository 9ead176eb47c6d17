//! NSRL RDS v3: databases written by SQLite are read back, deltas do what SQLite would make of them, and whatever a
//! database holds beside its rows is never carried out.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::Collector;
use hashward::fingerprint::{Kind, hash_bytes};
use hashward_index::formats::{Format, FormatError, Limits, ParseOptions, Parsed, Refusal, detect, open, parse_file};
use proptest::prelude::*;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tempfile::TempDir;

const MINIMAL: &str = "CREATE TABLE VERSION (version VARCHAR UNIQUE NOT NULL, build_set VARCHAR NOT NULL);
    INSERT INTO VERSION VALUES ('2024.03.1', 'modern');
    CREATE TABLE FILE (sha256 VARCHAR NOT NULL, sha1 VARCHAR NOT NULL, md5 VARCHAR NOT NULL, crc32 VARCHAR NOT NULL,
      file_name VARCHAR NOT NULL, file_size INTEGER NOT NULL, package_id INTEGER NOT NULL,
      PRIMARY KEY (sha256, sha1, md5, crc32, file_name, file_size, package_id));";

const FULL: &str = "CREATE TABLE PACKAGE_OBJECT (package_object_id INTEGER PRIMARY KEY, package_id INTEGER NOT NULL,
      object_id INTEGER NOT NULL);
    CREATE TABLE METADATA (metadata_id NUMERIC PRIMARY KEY, object_id INTEGER, file_name VARCHAR,
      extension VARCHAR DEFAULT '' NOT NULL, md5 VARCHAR, sha1 VARCHAR, sha256 VARCHAR);
    CREATE VIEW FILE AS SELECT UPPER(md.sha256) AS sha256, UPPER(md.sha1) AS sha1, UPPER(md.md5) AS md5,
      CASE md.extension WHEN '' THEN md.file_name ELSE md.file_name || '.' || md.extension END AS file_name
      FROM METADATA AS md, PACKAGE_OBJECT AS po WHERE md.object_id = po.object_id;";

/// A folder with a database `set.db` made by `sql`.
fn database(sql: &str) -> (TempDir, PathBuf, Connection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(sql).unwrap();
    (folder, path, connection)
}

fn insert(connection: &Connection, table: &str, row: impl IntoIterator<Item = Value>) {
    let row: Vec<Value> = row.into_iter().collect();
    let marks = vec!["?"; row.len()].join(",");
    connection.execute(&format!("INSERT INTO {table} VALUES ({marks})"), params_from_iter(row)).unwrap();
}

/// A row of a minimal set for the made-up file with this number.
fn row(number: u8, name: &str, package: i64) -> Vec<Value> {
    let text = |text: String| Value::Text(text);
    let hex = |kind| hash_bytes(kind, &[number, 1]).to_hex().to_uppercase();
    let hashes = [Kind::Sha256, Kind::Sha1, Kind::Md5].map(|kind| text(hex(kind)));
    let rest = [text("00C0FFEE".into()), text(name.into()), Value::Integer(number.into()), Value::Integer(package)];
    hashes.into_iter().chain(rest).collect()
}

fn read(path: &Path) -> (Result<Parsed, FormatError>, Collector) {
    read_with(path, Format::NsrlV3, None)
}

fn read_with(path: &Path, format: Format, base: Option<PathBuf>) -> (Result<Parsed, FormatError>, Collector) {
    let mut sink = Collector::new();
    let options = ParseOptions { base, ..ParseOptions::default() };
    let parsed = parse_file(path, Some(format), &options, &Limits::default(), &mut sink);
    (parsed.map(|(_, parsed)| parsed), sink)
}

/// What was said, sorted: kind, value and name.
fn said(sink: &Collector) -> Vec<(&'static str, String, Vec<u8>)> {
    let each = |(fingerprint, said): &(hashward::fingerprint::Fingerprint, common::Said)| {
        (fingerprint.kind().name(), fingerprint.to_hex(), said.name.clone().unwrap_or_default())
    };
    let mut all: Vec<_> = sink.said.iter().map(each).collect();
    all.sort();
    all
}

/// What SQLite itself finds in FILE, whatever that is.
fn selected(connection: &Connection) -> Vec<(&'static str, String, Vec<u8>)> {
    let mut statement = connection.prepare("SELECT sha256, sha1, md5, file_name FROM FILE").unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut all = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let name = row.get_ref(3).unwrap().as_bytes().unwrap().to_vec();
        for (index, kind) in ["sha256", "sha1", "md5"].into_iter().enumerate() {
            let value: String = row.get(index).unwrap();
            if !value.is_empty() {
                all.push((kind, value.to_lowercase(), name.clone()));
            }
        }
    }
    all.sort();
    all
}

#[track_caller]
fn refused(path: &Path, why: Refusal, words: &[&str]) {
    let (parsed, _) = read(path);
    let error = parsed.expect_err("a file to refuse");
    assert_eq!(error.refusal(), Some(why), "{error}");
    words.iter().for_each(|word| assert!(error.to_string().contains(word), "expected `{word}` in: {error}"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn minimal_sets_read_back_as_sqlite_has_them(
        rows in proptest::collection::btree_map((0..9u8, "[a'\0é\n]{0,4}", 0..3i64), any::<bool>(), 0..40),
        encoding in prop_oneof![Just("UTF-8"), Just("UTF-16le")],
        deleted: bool,
    ) {
        let (_folder, path, connection) = database(&format!("PRAGMA encoding='{encoding}'; {MINIMAL}"));
        for ((number, name, package), has_md5) in &rows {
            let mut row = row(*number, name, *package);
            if !has_md5 { row[2] = Value::Text(String::new()); }
            insert(&connection, "FILE", row);
        }
        if deleted { connection.execute("DELETE FROM FILE WHERE rowid % 3 = 0", []).unwrap(); }
        let (parsed, sink) = read(&path);
        prop_assert_eq!(parsed.unwrap().rejected, 0);
        prop_assert_eq!(said(&sink), selected(&connection));
        // The same through a wrapping, which is unfolded to a file.
        let packed = path.with_extension("db.zst");
        fs::write(&packed, zstd::encode_all(&fs::read(&path).unwrap()[..], 1).unwrap()).unwrap();
        let (parsed, unfolded) = read(&packed);
        parsed.unwrap();
        prop_assert_eq!(unfolded.said, sink.said);
    }

    #[test]
    fn full_sets_read_back_as_their_view_has_them(
        rows in proptest::collection::vec((0..9u8, "[a.]{0,3}", "[b]{0,2}", proptest::option::of(0..8i64)), 0..40),
        objects in proptest::collection::btree_map(0..8i64, 0..3i64, 0..8),
    ) {
        let (_folder, path, connection) = database(FULL);
        for (object, package) in &objects {
            insert(&connection, "PACKAGE_OBJECT", [Value::Null, Value::Integer(*package), Value::Integer(*object)]);
        }
        for (id, (number, name, extension, object)) in rows.iter().enumerate() {
            let file = row(*number, name, 0);
            let object = object.map_or(Value::Null, Value::Integer);
            let texts = [name, extension].map(|text| Value::Text(text.clone()));
            let head = [Value::Integer(-(id as i64)), object].into_iter().chain(texts);
            insert(&connection, "METADATA", head.chain([file[2].clone(), file[1].clone(), file[0].clone()]));
        }
        let (parsed, sink) = read(&path);
        prop_assert_eq!(parsed.unwrap().rejected, 0);
        prop_assert_eq!(said(&sink), selected(&connection));
    }
}

#[test]
fn records_are_numbered_and_bad_ones_told() {
    let (_folder, path, connection) = database(MINIMAL);
    let good = |number| row(number, "a\0b.dll", 1);
    insert(&connection, "FILE", good(1));
    let bad: [(usize, Value, &str); 5] = [
        (0, Value::Blob(vec![0; 32]), "wrong-type"),
        (1, Value::Text("12".into()), "wrong-length"),
        (2, Value::Text("Z".repeat(32)), "bad-hex"),
        (4, Value::Blob(b"name".to_vec()), "wrong-type"),
        (0, Value::Text("7'); DROP TABLE FILE; --".into()), "wrong-length"),
    ];
    for (index, value, _) in &bad {
        let mut row = good(2);
        row[*index] = value.clone();
        insert(&connection, "FILE", row);
    }
    insert(
        &connection,
        "FILE",
        ["", "", ""].map(|text| Value::Text(text.into())).into_iter().chain(good(3).split_off(3)),
    );
    insert(&connection, "FILE", good(4));
    let (parsed, sink) = read(&path);
    assert_eq!(parsed.unwrap(), Parsed { records: 8, rejected: 6 });
    let told: Vec<_> = sink.rejected.iter().map(|rejected| (rejected.record, rejected.line, rejected.reason)).collect();
    let mut expected: Vec<_> = (2..).zip(&bad).map(|(record, (.., reason))| (record, None, *reason)).collect();
    expected.push((7, None, "missing-hash"));
    assert_eq!(told, expected);
    let last = sink.said.last().unwrap();
    assert_eq!((last.1.record, last.1.name.as_deref()), (8, Some(&b"a\0b.dll"[..])));
}

#[test]
fn nothing_that_a_schema_holds_is_carried_out() {
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT hex(i) AS sha256, '' AS sha1, \
                   '' AS md5, '' AS file_name FROM n";
    let (_folder, path, _connection) = database(&format!("CREATE VIEW FILE AS {endless}"));
    refused(&path, Refusal::NotAList, &["FILE as a view", "never evaluated"]);

    let columns = "sha256, sha1, md5, crc32, file_name, file_size, package_id";
    let (_folder, path, connection) = database(&format!("CREATE VIRTUAL TABLE FILE USING fts5({columns})"));
    refused(&path, Refusal::NotAList, &["virtual table"]);
    // Nor where the schema claims a page for it.
    connection
        .execute_batch("PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 2 WHERE name = 'FILE'")
        .unwrap();
    refused(&path, Refusal::NotAList, &["virtual table"]);

    // Beside a good table they do no harm.
    let (_folder, path, connection) = database(MINIMAL);
    insert(&connection, "FILE", row(1, "a", 1));
    connection
        .execute_batch(&format!(
            "CREATE TRIGGER t AFTER INSERT ON FILE BEGIN DELETE FROM FILE; END;
             CREATE VIEW DISTINCT_HASH AS {endless};
             CREATE VIRTUAL TABLE words USING fts5(word);"
        ))
        .unwrap();
    let (parsed, sink) = read(&path);
    assert_eq!(parsed.unwrap().records, 1);
    assert_eq!(sink.distinct.len(), 3);
}

#[test]
fn tables_that_compute_or_hide_are_refused() {
    let (_folder, path, _connection) = database(
        "CREATE TABLE FILE (sha256 TEXT, sha1 TEXT, file_name TEXT, md5 TEXT AS (hex(zeroblob(1000000000))) VIRTUAL)",
    );
    refused(&path, Refusal::NotAList, &["`md5`", "computed"]);
    let (_folder, path, _connection) =
        database("CREATE TABLE FILE (sha256 TEXT, sha1 TEXT, md5 TEXT, file_name TEXT, rowid TEXT)");
    refused(&path, Refusal::NotAList, &["`rowid`"]);
    let (_folder, path, _connection) =
        database("CREATE TABLE FILE (sha256 TEXT PRIMARY KEY, sha1 TEXT, md5 TEXT, file_name TEXT) WITHOUT ROWID");
    refused(&path, Refusal::NotAList, &["row numbers"]);
    let (_folder, path, _connection) = database("CREATE TABLE FILE (sha256 TEXT, sha1 TEXT, md5 TEXT)");
    refused(&path, Refusal::NotAList, &["`file_name`"]);
    let (_folder, path, _connection) = database("CREATE TABLE PKG (name TEXT)");
    refused(&path, Refusal::NotAList, &["METADATA and PACKAGE_OBJECT", "found no PACKAGE_OBJECT"]);
    let (_folder, path, connection) = database(FULL);
    for package in 1..3 {
        insert(&connection, "PACKAGE_OBJECT", [Value::Null, Value::Integer(package), Value::Integer(700)]);
    }
    refused(&path, Refusal::Corrupt, &["object 700 twice"]);
}

#[test]
fn schemas_and_cells_of_any_size_are_refused_in_bounded_memory() {
    let (_folder, path, connection) = database(MINIMAL);
    let columns: Vec<String> = (0..100_000).map(|column| format!("c{column}")).collect();
    let wide = format!("CREATE TABLE FILE ({})", columns.join(","));
    connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
    connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'FILE'", [wide]).unwrap();
    refused(&path, Refusal::Corrupt, &["FILE"]);

    let (_folder, path, connection) = database(MINIMAL);
    insert(&connection, "FILE", row(1, "a", 1));
    let mut huge = row(2, "a", 1);
    huge[0] = Value::Blob(vec![0; 64 << 20]);
    insert(&connection, "FILE", huge);
    refused(&path, Refusal::Limit, &["bytes in a cell"]);

    // A schema whose tree leads to the same leaf again and again, deeper down each time, would be read for ever.
    let (_folder, path, connection) = database("PRAGMA page_size = 512; CREATE TABLE a (x UNIQUE)");
    let name = "x".repeat(300);
    for table in 0..40 {
        connection.execute_batch(&format!("CREATE TABLE {name}{table} (x)")).unwrap();
    }
    drop(connection);
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[100], 5, "the schema's root is an inner page");
    let leaf = u32::from_be_bytes(bytes[108..112].try_into().unwrap());
    let cells = usize::from(u16::from_be_bytes([bytes[103], bytes[104]]));
    for cell in 0..cells {
        let at = usize::from(u16::from_be_bytes([bytes[112 + 2 * cell], bytes[113 + 2 * cell]]));
        bytes[at..at + 4].copy_from_slice(&leaf.to_be_bytes());
    }
    fs::write(&path, bytes).unwrap();
    let (parsed, _) = read(&path);
    assert!(matches!(parsed.unwrap_err().refusal(), Some(Refusal::Corrupt | Refusal::Limit | Refusal::NotAList)));
}

#[test]
fn rows_out_of_order_are_seen() {
    let (_folder, path, connection) = database(&format!("PRAGMA page_size = 512; {MINIMAL}"));
    for number in 0..40 {
        insert(&connection, "FILE", row(number, "a", 1));
    }
    let root: u32 =
        connection.query_row("SELECT rootpage FROM sqlite_master WHERE name = 'FILE'", [], |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = fs::read(&path).unwrap();
    let page = &mut bytes[512 * (root as usize - 1)..512 * root as usize];
    assert_eq!(page[0], 5, "the table's root is an inner page");
    // The second child is the first again.
    let place = |cell: usize| usize::from(u16::from_be_bytes([page[12 + 2 * cell], page[13 + 2 * cell]]));
    let (first, second) = (place(0), place(1));
    page.copy_within(first..first + 4, second);
    fs::write(&path, bytes).unwrap();
    refused(&path, Refusal::Corrupt, &["rows of FILE in order"]);
}

#[test]
fn a_cut_database_is_never_taken_for_a_whole_one() {
    let (_folder, path, connection) = database(&format!("PRAGMA page_size = 512; {MINIMAL}"));
    for number in 0..40 {
        insert(&connection, "FILE", row(number, "a", 1));
    }
    drop(connection);
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97).chain([16, 99, 100, 512, whole.len() - 512, whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        let (parsed, _) = read(&path);
        let why = parsed.expect_err("a cut file").refusal();
        let expected = if length < 16 { Refusal::WrongMagic } else { Refusal::Truncated };
        assert_eq!(why, Some(expected), "cut at {length}");
    }
    // Nor where the header does not say how long it is.
    for length in (512..whole.len()).step_by(512) {
        let mut old = whole[..length].to_vec();
        old[28..32].fill(0);
        old[92..96].fill(0);
        fs::write(&path, old).unwrap();
        let (parsed, sink) = read(&path);
        assert!(parsed.is_err() || sink.said.len() == 120, "cut at {length}");
    }
}

#[test]
fn no_damaged_byte_makes_the_reader_panic() {
    let (_folder, path, connection) = database(&format!("PRAGMA page_size = 512; {MINIMAL}"));
    for number in 0..12 {
        insert(&connection, "FILE", row(number, "a", 1));
    }
    drop(connection);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(17) {
        for bits in [0x01, 0xFF] {
            let mut damaged = whole.clone();
            damaged[at] ^= bits;
            fs::write(&path, damaged).unwrap();
            let (parsed, sink) = read(&path);
            if let Ok(parsed) = parsed {
                assert_eq!(parsed.rejected, sink.rejected.len() as u64, "byte {at}");
            }
        }
    }
}

#[test]
fn changes_beside_a_database_are_not_passed_over() {
    let (_folder, path, connection) = database(MINIMAL);
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(())).unwrap();
    insert(&connection, "FILE", row(1, "a", 1));
    refused(&path, Refusal::Corrupt, &["set.db-wal", "sqlite3"]);
    // Closed, it is whole, and still in that mode.
    drop(connection);
    let before = fs::read(&path).unwrap();
    let (parsed, sink) = read(&path);
    assert_eq!((parsed.unwrap().records, sink.said.len()), (1, 3));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is written beside it");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn names_with_any_character_are_opened() {
    let (folder, path, connection) = database(MINIMAL);
    insert(&connection, "FILE", row(1, "a", 1));
    drop(connection);
    let odd = folder.path().join("a b?mode=rwc#%41é.db");
    fs::rename(&path, &odd).unwrap();
    assert_eq!(read(&odd).0.unwrap().records, 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

// ---- deltas ----

const COLUMNS: [&str; 7] = ["sha256", "sha1", "md5", "crc32", "file_name", "file_size", "package_id"];

fn sql(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        other => panic!("no {other:?} in these rows"),
    }
}

fn equations(row: &[Value], separator: &str) -> String {
    let each: Vec<_> = COLUMNS.iter().zip(row).map(|(column, value)| format!("{column}={}", sql(value))).collect();
    each.join(separator)
}

fn insertion(row: &[Value]) -> String {
    let values: Vec<_> = row.iter().map(sql).collect();
    format!("INSERT INTO FILE({}) VALUES({});\n", COLUMNS.join(","), values.join(","))
}

fn deletion(row: &[Value]) -> String {
    format!("DELETE FROM FILE WHERE {};\n", equations(row, " AND "))
}

const NEW_VERSION: &str = "UPDATE VERSION SET version='2024.06.1' WHERE version='2024.03.1';\n";

fn delta(statements: &str) -> String {
    format!("BEGIN TRANSACTION;\n{NEW_VERSION}{statements}COMMIT;\n")
}

/// Applies `delta` to the set at `base`.
fn apply(base: &Path, delta: &str) -> (Result<Parsed, FormatError>, Collector) {
    let path = base.with_file_name("delta.sql");
    fs::write(&path, delta).unwrap();
    read_with(&path, Format::NsrlV3Delta, Some(base.to_owned()))
}

#[track_caller]
fn not_applied(base: &Path, delta: &str, why: Refusal, words: &[&str]) {
    let (parsed, _) = apply(base, delta);
    let error = parsed.expect_err("a delta to refuse");
    assert_eq!(error.refusal(), Some(why), "{error}");
    words.iter().for_each(|word| assert!(error.to_string().contains(word), "expected `{word}` in: {error}"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_delta_does_what_sqlite_would_make_of_it(
        base in proptest::collection::btree_set((0..4u8, "[a'\n;]{0,2}", 0..2i64), 0..12),
        changes in proptest::collection::vec((0..4u8, "[a'\n;]{0,2}", 0..2i64, 0..4u8), 0..24),
    ) {
        let (folder, path, connection) = database(MINIMAL);
        let mut present: BTreeMap<(u8, String, i64), ()> = BTreeMap::new();
        for (number, name, package) in &base {
            insert(&connection, "FILE", row(*number, name, *package));
            present.insert((*number, name.clone(), *package), ());
        }
        let mut statements = String::new();
        for (number, name, package, other) in changes {
            let key = (number, name.clone(), package);
            let new = (other, name.clone(), package);
            let file = row(number, &name, package);
            if present.remove(&key).is_none() {
                statements += &insertion(&file);
                present.insert(key, ());
            } else if present.contains_key(&new) || new == key {
                statements += &deletion(&file);
            } else {
                let set = equations(&row(other, &name, package), ", ");
                statements += &format!("UPDATE FILE SET {set} WHERE {};\n", equations(&file, " AND "));
                present.insert(new, ());
            }
        }
        let delta = delta(&statements);
        let (parsed, sink) = apply(&path, &delta);
        prop_assert_eq!(parsed.unwrap().records, present.len() as u64);

        let copy = folder.path().join("copy.db");
        fs::copy(&path, &copy).unwrap();
        let copy = Connection::open(copy).unwrap();
        copy.execute_batch(&delta).unwrap();
        prop_assert_eq!(said(&sink), selected(&copy));
    }
}

#[test]
fn a_delta_needs_the_base_that_it_names() {
    let (folder, path, connection) = database(MINIMAL);
    insert(&connection, "FILE", row(1, "a", 1));
    let sound = delta(&insertion(&row(2, "b", 1)));
    let delta_path = folder.path().join("delta.sql");
    fs::write(&delta_path, &sound).unwrap();
    assert_eq!(detect(open(&delta_path, &Limits::default()).unwrap().fill_buf().unwrap()), Some(Format::NsrlV3Delta));
    let (parsed, _) = read_with(&delta_path, Format::NsrlV3Delta, None);
    let error = parsed.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::BaseMissing));
    assert!(error.to_string().contains("version `2024.03.1`") && error.to_string().contains("--base"), "{error}");

    let (parsed, sink) = apply(&path, &sound);
    assert_eq!(parsed.unwrap().records, 2);
    let added = sink.said.last().unwrap();
    assert_eq!((added.1.record, added.1.line, added.1.name.as_deref()), (2, Some(3), Some(&b"b"[..])));

    // Packed, it is the same.
    let packed = folder.path().join("set.db.zst");
    fs::write(&packed, zstd::encode_all(&fs::read(&path).unwrap()[..], 1).unwrap()).unwrap();
    let (parsed, unfolded) = apply(&packed, &sound);
    parsed.unwrap();
    assert_eq!(unfolded.said, sink.said);

    // Another release, or one that somebody has changed.
    not_applied(&path, &delta(&deletion(&row(9, "x", 1))), Refusal::WrongBase, &["lacks the row", "line 3"]);
    not_applied(&path, &delta(&insertion(&row(1, "a", 1))), Refusal::WrongBase, &["has the row", "line 3"]);
    connection.execute("UPDATE VERSION SET version = '2024.06.1'", []).unwrap();
    not_applied(&path, &sound, Refusal::WrongBase, &["version `2024.03.1`", "version `2024.06.1`"]);
    connection.execute("DELETE FROM VERSION", []).unwrap();
    not_applied(&path, &sound, Refusal::WrongBase, &["without a version"]);
    connection.execute("INSERT INTO VERSION VALUES ('2024.03.1', 'modern'), ('2024.06.1', 'modern')", []).unwrap();
    not_applied(&path, &sound, Refusal::Corrupt, &["one row in VERSION"]);
    let (_folder, full, _connection) = database(FULL);
    not_applied(&full, &sound, Refusal::WrongBase, &["minimal set"]);
}

#[test]
fn a_cut_delta_is_never_applied() {
    let (_folder, path, connection) = database(MINIMAL);
    insert(&connection, "FILE", row(1, "a", 1));
    let whole = delta(&(insertion(&row(2, "it's; a\nname", 1)) + &deletion(&row(1, "a", 1))));
    assert_eq!(apply(&path, &whole).0.unwrap().records, 1);
    for length in 0..whole.trim_end().len() {
        assert!(apply(&path, &whole[..length]).0.is_err(), "cut at {length}");
    }
}

#[test]
fn whatever_is_no_change_of_a_row_refuses_the_delta() {
    let (_folder, path, _connection) = database(MINIMAL);
    let file = row(1, "a", 1);
    let short = equations(&file[..6], " AND ");
    for statement in [
        "DROP TABLE FILE;",
        "ATTACH 'other.db' AS other;",
        "PRAGMA writable_schema=ON;",
        "SELECT load_extension('x');",
        "CREATE TRIGGER t AFTER INSERT ON FILE BEGIN DELETE FROM FILE; END;",
        "DELETE FROM FILE;",
        "DELETE FROM FILE WHERE 1=1;",
        "DELETE FROM METADATA WHERE object_id=1;",
        "UPDATE FILE SET package_id=package_id+1 WHERE package_id=1;",
        "INSERT OR REPLACE INTO FILE(sha256) VALUES('a');",
        "INSERT INTO FILE SELECT * FROM FILE;",
        "INSERT INTO FILE(sha256, sha256) VALUES('a', 'a');",
        "INSERT INTO FILE(sha256) VALUES(hex('a'));",
        "INSERT INTO FILE(sha256) VALUES('a', 'b');",
        "COMMIT; BEGIN;",
        "UPDATE VERSION SET version='1' WHERE version='2024.03.1';",
        "DELETE FROM VERSION WHERE version='2024.03.1';",
        &format!("DELETE FROM FILE WHERE {short};"),
        &format!("DELETE FROM FILE WHERE {} OR 1=1;", equations(&file, " AND ")),
        &format!("DELETE FROM FILE WHERE {};", equations(&file, " AND ").replace("package_id=1", "package_id='1'")),
        &(insertion(&file) + &insertion(&file)),
        &(insertion(&file) + &deletion(&file) + &deletion(&file)),
    ] {
        not_applied(&path, &delta(statement), Refusal::Statement, &["expected", "found", "line"]);
    }
    not_applied(&path, "BEGIN;\nCOMMIT;\n", Refusal::Statement, &["VERSION"]);
    not_applied(&path, NEW_VERSION, Refusal::Statement, &["BEGIN"]);
}
