//! The catalogue: lists, versions, feed entries, withdrawals and the history of changes, in one SQLite file.
//!
//! Every durable change is one transaction, and one *batch*: numbered without gaps, with the number of guarded rows
//! after it and a multiset checksum over all of them, and linked to the batch before it. Opening recomputes all of
//! this, so that a row that was lost, changed or brought back by a fault of the disk is noticed, and never answers.
//!
//! A catalogue of an earlier schema version is checked as what it is, and then brought to the newest in one step.
//!
//! SQLite runs with a rollback journal and `synchronous=FULL`: what a batch has committed survives a loss of power.

mod audit;
mod batch;
mod read;
mod rows;
mod schema;
mod sum;

pub(crate) use batch::Batch;
pub(crate) use read::Reader;
pub(crate) use rows::{EntryRow, ListRow, RecordsFile, SegmentFile, VersionRow, VersionState};

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use sum::{Link, Sum};

/// The number and the checksum of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHead {
    /// Its number, from 1.
    pub(crate) seq: u64,
    /// Rows in the guarded tables after it.
    pub(crate) rows: u64,
    /// Checksum over them, whatever their order.
    pub(crate) sum: Sum,
    /// Checksum over this batch and all before it.
    pub(crate) link: Link,
}

/// What is wrong with the catalogue.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// SQLite refused or failed: disk full, no permission, not a database.
    #[error("{file}: {source}; see whether the disk is full or failing")]
    Sqlite {
        /// The catalogue's file.
        file: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// What was read is not what was written.
    #[error("{file} is damaged: {found}; restore it from a backup")]
    Damaged {
        /// The catalogue's file.
        file: PathBuf,
        /// What was expected, and found.
        found: String,
    },
    /// Written by a later hashward.
    #[error(
        "{file} has schema version {found}, this hashward knows up to {known}; use the hashward that wrote it or a later one"
    )]
    TooNew {
        /// The catalogue's file.
        file: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
}

/// The open catalogue. One process has one, under the store's lock.
pub(crate) struct Catalogue {
    file: PathBuf,
    connection: Connection,
    head: BatchHead,
}

impl Catalogue {
    /// Creates the catalogue with its first batch; a file that a crash left without one is started anew.
    pub(crate) fn create(file: &Path, at: u64) -> Result<Catalogue, CatalogueError> {
        let fault = |source| CatalogueError::Sqlite { file: file.to_owned(), source };
        let mut connection = connect(file, OpenFlags::SQLITE_OPEN_CREATE).map_err(fault)?;
        let head = schema::create(&mut connection, at).map_err(fault)?;
        Ok(Catalogue { file: file.to_owned(), connection, head })
    }

    /// Opens the catalogue and checks all of it. One of an earlier version is then brought to this one, and checked
    /// again.
    pub(crate) fn open(file: &Path) -> Result<Catalogue, CatalogueError> {
        let fault = |source| CatalogueError::Sqlite { file: file.to_owned(), source };
        let mut connection = connect(file, OpenFlags::empty()).map_err(fault)?;
        let (version, head) = audit::audit(&connection).map_err(|fault| fault.in_file(file))?;
        let upgraded = version < schema::VERSION;
        if upgraded {
            schema::upgrade(&mut connection, version).map_err(fault)?;
        }
        let catalogue = Catalogue { file: file.to_owned(), connection, head };
        if upgraded {
            catalogue.audit()?;
            tracing::info!(from = version, to = schema::VERSION, "the catalogue has a new schema version");
        }
        Ok(catalogue)
    }

    /// Whether `file` holds a catalogue: a crash during [`Catalogue::create`] leaves none, or an empty one.
    pub(crate) fn exists(file: &Path) -> bool {
        let version = || connect(file, OpenFlags::empty()).ok().map(|connection| schema::version(&connection));
        file.exists() && !matches!(version(), Some(Ok(0)))
    }

    /// The last batch.
    pub(crate) fn head(&self) -> BatchHead {
        self.head
    }

    /// What stands in it.
    pub(crate) fn read(&self) -> Reader<'_> {
        Reader::new(&self.connection, &self.file)
    }

    /// Starts the next batch. Nothing of it stands unless [`Batch::commit`] says so.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>, CatalogueError> {
        Batch::begin(&mut self.connection, &self.file, &mut self.head)
    }

    /// Checks all of it again, against what this process knows.
    pub(crate) fn audit(&self) -> Result<BatchHead, CatalogueError> {
        let (_, found) = audit::audit(&self.connection).map_err(|fault| fault.in_file(&self.file))?;
        if found != self.head {
            let found = format!("expected batch {} to be the last, found {}", self.head.seq, found.seq);
            return Err(CatalogueError::Damaged { file: self.file.clone(), found });
        }
        Ok(found)
    }
}

fn connect(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    // The store's lock keeps others out; SQLite's own makes a mistake there visible instead of harmful.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = TRUNCATE;
         PRAGMA synchronous = FULL;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

#[cfg(test)]
mod tests;
