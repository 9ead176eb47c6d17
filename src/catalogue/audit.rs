//! The check of the whole catalogue: is everything there that was written, and nothing else?

use std::path::Path;

use rusqlite::Connection;

use super::rows::read_u64;
use super::schema::{self, GUARDED};
use super::sum::{Link, Sum, row_hash};
use super::{BatchHead, CatalogueError};

/// What is wrong, without the file's name.
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Damaged(String),
    TooNew(i64),
}

impl Fault {
    pub(super) fn in_file(self, file: &Path) -> CatalogueError {
        let file = file.to_owned();
        match self {
            // SQLite's own words for damage; the remedy is then the same as for what the checksums find.
            Fault::Sqlite(error) => match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                    CatalogueError::Damaged { file, found: error.to_string() }
                }
                _ => CatalogueError::Sqlite { file, source: error },
            },
            Fault::Damaged(found) => CatalogueError::Damaged { file, found },
            Fault::TooNew(found) => CatalogueError::TooNew { file, found, known: schema::VERSION },
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Sqlite(error)
    }
}

fn expect(good: bool, found: impl FnOnce() -> String) -> Result<(), Fault> {
    if good { Ok(()) } else { Err(Fault::Damaged(found())) }
}

/// Checks everything, as a catalogue of the version that it says it is, and returns that version and the last batch.
pub(super) fn audit(connection: &Connection) -> Result<(i64, BatchHead), Fault> {
    let version = schema::version(connection)?;
    if version > schema::VERSION {
        return Err(Fault::TooNew(version));
    }
    expect(version >= 1, || format!("expected a schema version from 1 to {}, found {version}", schema::VERSION))?;
    // First of all: with a damaged schema, no later query can be relied on.
    expect(schema::printed(connection)? == schema::expected(version)?, || {
        "expected the tables of this schema version, found others".to_owned()
    })?;
    let integrity: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    expect(integrity == "ok", || integrity)?;
    let head = batches(connection)?;
    let (rows, sum) = guarded(connection, version)?;
    expect(rows == head.rows, || format!("batch {} counts {} rows, found {rows}", head.seq, head.rows))?;
    expect(sum == head.sum, || format!("the checksum of {rows} rows is not the one that batch {} names", head.seq))?;
    Ok((version, head))
}

/// Walks the chain of batches.
fn batches(connection: &Connection) -> Result<BatchHead, Fault> {
    let mut head = BatchHead { seq: 0, rows: 0, sum: Sum::default(), link: Link::ROOT };
    let mut statement =
        connection.prepare("SELECT seq, at, list, action, rows, sum, link FROM batches ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let seq = read_u64(row, 0)?;
        expect(seq == head.seq + 1, || format!("expected batch {}, found batch {seq}", head.seq + 1))?;
        let sum = Sum::from_bytes(&row.get(5)?);
        let action = row.get_ref(3)?.as_str().map_err(rusqlite::Error::from)?;
        let count = read_u64(row, 4)?;
        let link = head.link.next(seq, read_u64(row, 1)?, row.get(2)?, action, count, &sum);
        expect(link.0 == row.get::<_, [u8; 32]>(6)?, || format!("batch {seq} does not agree with its checksum"))?;
        head = BatchHead { seq, rows: count, sum, link };
    }
    expect(head.seq > 0, || "expected batches, found none".to_owned())?;
    Ok(head)
}

/// Counts and sums all guarded rows of a catalogue of this version.
fn guarded(connection: &Connection, version: i64) -> Result<(u64, Sum), Fault> {
    let (mut count, mut sum) = (0, Sum::default());
    for table in GUARDED.into_iter().filter(|table| table.since <= version) {
        let sql = format!("SELECT {} FROM {}", table.columns.join(", "), table.name);
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let values = (0..table.columns.len()).map(|column| row.get_ref(column));
            let values = values.collect::<rusqlite::Result<Vec<_>>>()?;
            sum.add(&row_hash(table.name, values.into_iter()));
            count += 1;
        }
    }
    Ok((count, sum))
}
