//! The tables of the catalogue, which of them are guarded, and how a catalogue of an earlier version gets the newest.

use rusqlite::Connection;

use super::sum::{Link, Sum};
use super::{Batch, BatchHead};
use crate::list::FIRST_FREE_LIST_ID;

/// The version of the schema that all [`STEPS`] lead to, in SQLite's `user_version`.
pub(super) const VERSION: i64 = STEPS.len() as i64;

/// Tells a catalogue from other SQLite files: `hwct`.
const APPLICATION_ID: i64 = 0x6877_6374;

/// A guarded table; its leading columns are its key.
pub(crate) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) key: usize,
    /// The version of the schema that brought it.
    pub(super) since: i64,
}

pub(super) const COUNTERS: Table = Table { name: "counters", columns: &["name", "value"], key: 1, since: 1 };

pub(super) const LISTS: Table = Table {
    name: "lists",
    columns: &["id", "name", "shape", "state", "roles", "next_version", "current", "created_at"],
    key: 1,
    since: 1,
};

pub(super) const VERSIONS: Table = Table {
    name: "versions",
    columns: &["list", "number", "state", "roles", "sources", "counts", "segments", "created_at"],
    key: 2,
    since: 1,
};

pub(super) const ENTRIES: Table =
    Table { name: "feed_entries", columns: &["list", "source_id", "seq", "entry"], key: 2, since: 1 };

pub(super) const FINGERPRINTS: Table =
    Table { name: "entry_fingerprints", columns: &["kind", "value", "list", "source_id"], key: 4, since: 1 };

pub(super) const WITHDRAWALS: Table =
    Table { name: "withdrawals", columns: &["list", "kind", "value", "seq"], key: 3, since: 1 };

pub(super) const RADII: Table = Table { name: "radii", columns: &["list", "kind", "radius"], key: 2, since: 2 };

pub(super) const STAGED_RADII: Table =
    Table { name: "staged_radii", columns: &["list", "version", "kind", "radius"], key: 3, since: 2 };

pub(super) const VERSION_RECORDS: Table = Table {
    name: "version_records",
    columns: &["list", "version", "ordinal", "file", "records", "bytes", "blake3"],
    key: 3,
    since: 3,
};

/// Which of the columns of [`VERSION_RECORDS`] names a file.
pub(super) const VERSION_RECORDS_FILE: usize = 3;

pub(super) const HOLDS: Table =
    Table { name: "holds", columns: &["list", "version", "at", "report"], key: 2, since: 3 };

pub(super) const ALARMS: Table = Table { name: "alarms", columns: &["seq", "list", "at", "alarm"], key: 1, since: 3 };

pub(super) const SUPPRESSIONS: Table = Table {
    name: "suppressions",
    columns: &["seq", "kind", "value", "scope", "author", "reason", "at", "lifted"],
    key: 1,
    since: 3,
};

pub(super) const SUPPRESSED: Table =
    Table { name: "suppressed", columns: &["kind", "value", "suppression", "list", "version"], key: 5, since: 3 };

pub(super) const FEEDS: Table = Table {
    name: "feeds",
    columns: &["list", "checkpoint", "closed_seq", "synced_at", "attempted_at", "fault"],
    key: 1,
    since: 3,
};

pub(super) const FEED_FAULTS: Table =
    Table { name: "feed_faults", columns: &["list", "item", "at", "tries", "fault"], key: 2, since: 3 };

pub(super) const TOMBSTONES: Table =
    Table { name: "feed_tombstones", columns: &["list", "source_id", "changed_at", "seq"], key: 2, since: 3 };

/// All guarded tables.
pub(super) const GUARDED: [&Table; 16] = [
    &COUNTERS,
    &LISTS,
    &VERSIONS,
    &ENTRIES,
    &FINGERPRINTS,
    &WITHDRAWALS,
    &RADII,
    &STAGED_RADII,
    &VERSION_RECORDS,
    &HOLDS,
    &ALARMS,
    &SUPPRESSIONS,
    &SUPPRESSED,
    &FEEDS,
    &FEED_FAULTS,
    &TOMBSTONES,
];

/// The counter of list numbers: the number that the next list gets.
pub(super) const NEXT_LIST: &str = "next_list";

/// What each version of the schema adds to the one before. Every catalogue comes about by taking all of them in turn, a
/// new one at once and an older one from where it stands, so that both end with the same schema.
///
/// A step that was released is never changed, and changes no row that stands: it makes empty tables, which add nothing
/// to the checksums.
const STEPS: [&str; 3] = [LISTS_AND_ENTRIES, OWN_RADII, KEEPING];

/// `lists.current` repeats what the manifest says, so that the history can tell a change that only the manifest saw.
/// `withdrawals` holds the newest sequence number of each (list, fingerprint): older ones count wherever it does.
const LISTS_AND_ENTRIES: &str = "
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

/// `radii` are those of a list that are not its kinds' own. `staged_radii` become so when the version is published.
const OWN_RADII: &str = "
CREATE TABLE radii (
    list INTEGER NOT NULL, kind INTEGER NOT NULL, radius INTEGER NOT NULL, PRIMARY KEY (list, kind)
) STRICT, WITHOUT ROWID;
CREATE TABLE staged_radii (
    list INTEGER NOT NULL, version INTEGER NOT NULL, kind INTEGER NOT NULL, radius INTEGER NOT NULL,
    PRIMARY KEY (list, version, kind)
) STRICT, WITHOUT ROWID;
";

/// What a list keeper needs. `version_records` are the files with the records of a version; `holds` say why a version
/// waits for an operator. An alarm and a suppression are numbered by the batch that brought them; `suppressed` holds
/// every fingerprint that a suppression covers: at once where list and version are 0, else as soon as that version
/// answers. Of a feed: how far it has been read, with the batch that closed the last window (`closed_seq`); what of it
/// cannot be read; and what was deleted in this window and the one before.
const KEEPING: &str = "
CREATE TABLE version_records (
    list INTEGER NOT NULL, version INTEGER NOT NULL, ordinal INTEGER NOT NULL, file TEXT NOT NULL,
    records INTEGER NOT NULL, bytes INTEGER NOT NULL, blake3 TEXT NOT NULL, PRIMARY KEY (list, version, ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE holds (
    list INTEGER NOT NULL, version INTEGER NOT NULL, at INTEGER NOT NULL, report TEXT NOT NULL,
    PRIMARY KEY (list, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE alarms (seq INTEGER PRIMARY KEY NOT NULL, list INTEGER, at INTEGER NOT NULL, alarm TEXT NOT NULL) STRICT;
CREATE TABLE suppressions (
    seq INTEGER PRIMARY KEY NOT NULL, kind INTEGER NOT NULL, value BLOB NOT NULL, scope TEXT NOT NULL,
    author TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL, lifted TEXT
) STRICT;
CREATE TABLE suppressed (
    kind INTEGER NOT NULL, value BLOB NOT NULL, suppression INTEGER NOT NULL, list INTEGER NOT NULL,
    version INTEGER NOT NULL, PRIMARY KEY (kind, value, suppression, list, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE feeds (
    list INTEGER PRIMARY KEY NOT NULL, checkpoint TEXT, closed_seq INTEGER NOT NULL, synced_at INTEGER,
    attempted_at INTEGER, fault TEXT
) STRICT;
CREATE TABLE feed_faults (
    list INTEGER NOT NULL, item TEXT NOT NULL, at INTEGER NOT NULL, tries INTEGER NOT NULL, fault TEXT NOT NULL,
    PRIMARY KEY (list, item)
) STRICT, WITHOUT ROWID;
CREATE TABLE feed_tombstones (
    list INTEGER NOT NULL, source_id TEXT NOT NULL, changed_at INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (list, source_id)
) STRICT, WITHOUT ROWID;
";

/// Makes the tables and the first batch in one transaction.
pub(super) fn create(connection: &mut Connection, at: u64) -> rusqlite::Result<BatchHead> {
    let transaction = connection.transaction()?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    take_steps(&transaction, 0)?;
    let mut head = BatchHead { seq: 0, rows: 0, sum: Sum::default(), link: Link::ROOT };
    let mut batch = Batch::within(transaction, &mut head);
    batch.insert(&COUNTERS, &[NEXT_LIST.to_owned().into(), i64::from(FIRST_FREE_LIST_ID.0).into()])?;
    batch.finish(at, None, "created")?;
    Ok(head)
}

/// Brings a catalogue of an earlier version to [`VERSION`] in one transaction: a crash leaves the one or the other.
pub(super) fn upgrade(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    take_steps(&transaction, from)?;
    transaction.commit()
}

/// Takes the steps after version `from`, within the caller's transaction.
pub(super) fn take_steps(connection: &Connection, from: i64) -> rusqlite::Result<()> {
    for (version, step) in (1..).zip(STEPS).filter(|(version, _)| *version > from) {
        connection.execute_batch(step)?;
        connection.pragma_update(None, "user_version", version)?;
    }
    Ok(())
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

/// What [`printed`] must say of a catalogue of this version.
pub(super) fn expected(version: i64) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_in_memory()?;
    for (_, step) in (1..=version).zip(STEPS) {
        connection.execute_batch(step)?;
    }
    printed(&connection)
}
