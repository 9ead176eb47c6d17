//! The tables of the catalogue, and which of them are guarded.

use rusqlite::Connection;

use super::sum::{Link, Sum};
use super::{Batch, BatchHead};
use crate::list::FIRST_FREE_LIST_ID;

/// The version of the schema below, in SQLite's `user_version`.
pub(super) const VERSION: i64 = 1;

/// Tells a catalogue from other SQLite files: `hwct`.
const APPLICATION_ID: i64 = 0x6877_6374;

/// A guarded table; its leading columns are its key.
pub(crate) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) key: usize,
}

pub(super) const COUNTERS: Table = Table { name: "counters", columns: &["name", "value"], key: 1 };

pub(super) const LISTS: Table = Table {
    name: "lists",
    columns: &["id", "name", "shape", "state", "roles", "next_version", "current", "created_at"],
    key: 1,
};

pub(super) const VERSIONS: Table = Table {
    name: "versions",
    columns: &["list", "number", "state", "roles", "sources", "counts", "segments", "created_at"],
    key: 2,
};

pub(super) const ENTRIES: Table =
    Table { name: "feed_entries", columns: &["list", "source_id", "seq", "entry"], key: 2 };

pub(super) const FINGERPRINTS: Table =
    Table { name: "entry_fingerprints", columns: &["kind", "value", "list", "source_id"], key: 4 };

pub(super) const WITHDRAWALS: Table = Table { name: "withdrawals", columns: &["list", "kind", "value", "seq"], key: 3 };

/// All guarded tables.
pub(super) const GUARDED: [&Table; 6] = [&COUNTERS, &LISTS, &VERSIONS, &ENTRIES, &FINGERPRINTS, &WITHDRAWALS];

/// The counter of list numbers: the number that the next list gets.
pub(super) const NEXT_LIST: &str = "next_list";

/// `lists.current` repeats what the manifest says, so that the history can tell a change that only the manifest saw.
/// `withdrawals` holds the newest sequence number of each (list, fingerprint): older ones count wherever it does.
const SQL: &str = "
CREATE TABLE counters (name TEXT PRIMARY KEY NOT NULL, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lists (
    id INTEGER PRIMARY KEY NOT NULL, name TEXT NOT NULL UNIQUE, shape TEXT NOT NULL, state TEXT NOT NULL,
    roles TEXT NOT NULL, next_version INTEGER NOT NULL, current INTEGER NOT NULL, created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE versions (
    list INTEGER NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, roles TEXT NOT NULL, sources TEXT NOT NULL,
    counts TEXT NOT NULL, segments TEXT NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (list, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE feed_entries (
    list INTEGER NOT NULL, source_id TEXT NOT NULL, seq INTEGER NOT NULL, entry TEXT NOT NULL,
    PRIMARY KEY (list, source_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX feed_entries_by_seq ON feed_entries (seq);
CREATE TABLE entry_fingerprints (
    kind INTEGER NOT NULL, value BLOB NOT NULL, list INTEGER NOT NULL, source_id TEXT NOT NULL,
    PRIMARY KEY (kind, value, list, source_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE withdrawals (
    list INTEGER NOT NULL, kind INTEGER NOT NULL, value BLOB NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (list, kind, value)
) STRICT, WITHOUT ROWID;
CREATE INDEX withdrawals_by_seq ON withdrawals (list, seq);
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY NOT NULL, at INTEGER NOT NULL, list INTEGER, action TEXT NOT NULL,
    rows INTEGER NOT NULL, sum BLOB NOT NULL, link BLOB NOT NULL
) STRICT;
CREATE INDEX batches_by_list ON batches (list, seq);
";

/// Makes the tables and the first batch in one transaction.
pub(super) fn create(connection: &mut Connection, at: u64) -> rusqlite::Result<BatchHead> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(SQL)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    let mut head = BatchHead { seq: 0, rows: 0, sum: Sum::default(), link: Link::ROOT };
    let mut batch = Batch::within(transaction, &mut head);
    batch.insert(&COUNTERS, &[NEXT_LIST.to_owned().into(), i64::from(FIRST_FREE_LIST_ID.0).into()])?;
    batch.finish(at, None, "created")?;
    Ok(head)
}

/// The schema's version; 0 of a file that holds no catalogue yet.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// The schema as SQLite prints it, for comparison: a fault there could change what a query means.
pub(super) fn printed(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(
        "SELECT type || ' ' || name || ' ' || tbl_name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY 1",
    )?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// What [`printed`] must say.
pub(super) fn expected() -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_in_memory()?;
    connection.execute_batch(SQL)?;
    printed(&connection)
}
