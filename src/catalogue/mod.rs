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
mod suppress;

pub(crate) use batch::Batch;
pub(crate) use read::{BatchRow, Reader};
pub(crate) use rows::{
    AlarmRow, EntryRow, FaultRow, FeedRow, HoldRow, ListRow, RecordsFile, SegmentFile, StoredEntry, TombstoneRow,
    VersionRow, VersionState,
};

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The file system refused.
    #[error("{file}: {source}; see whether the file is there and may be read")]
    Unreadable {
        /// The catalogue's file.
        file: PathBuf,
        /// The system's answer.
        source: std::io::Error,
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
    /// Batches that were begun, whether they were committed or not.
    begun: u64,
    /// The same file, for copies of it. It stays open for as long as the connection: closing any descriptor of a file
    /// gives up all locks that the process has on it, SQLite's among them.
    pages: Arc<File>,
}

impl Catalogue {
    /// Creates the catalogue with its first batch; a file that a crash left without one is started anew.
    pub(crate) fn create(file: &Path, at: u64) -> Result<Catalogue, CatalogueError> {
        let fault = |source| CatalogueError::Sqlite { file: file.to_owned(), source };
        let mut connection = connect(file, OpenFlags::SQLITE_OPEN_CREATE).map_err(fault)?;
        let head = schema::create(&mut connection, at).map_err(fault)?;
        Catalogue::of(file, connection, head)
    }

    /// Opens the catalogue and checks all of it. One of an earlier version is then brought to this one, and checked
    /// again.
    pub(crate) fn open(file: &Path) -> Result<Catalogue, CatalogueError> {
        let fault = |source| CatalogueError::Sqlite { file: file.to_owned(), source };
        let connected = connect(file, OpenFlags::empty());
        let mut connection = connected.map_err(|error| audit::Fault::from(error).in_file(file))?;
        let (version, head) = audit::audit(&connection).map_err(|fault| fault.in_file(file))?;
        let upgraded = version < schema::VERSION;
        if upgraded {
            schema::upgrade(&mut connection, version).map_err(fault)?;
        }
        let catalogue = Catalogue::of(file, connection, head)?;
        if upgraded {
            catalogue.audit()?;
            tracing::info!(from = version, to = schema::VERSION, "the catalogue has a new schema version");
        }
        Ok(catalogue)
    }

    /// Opens a catalogue that nobody writes to, for reading alone, and checks all of it. One of an earlier version stays
    /// what it is.
    pub(crate) fn open_read_only(file: &Path) -> Result<Catalogue, CatalogueError> {
        let fault = |error| audit::Fault::from(error).in_file(file);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(fault)?;
        connection.execute_batch(READ_PRAGMAS).map_err(fault)?;
        let (_, head) = audit::audit(&connection).map_err(|fault| fault.in_file(file))?;
        Catalogue::of(file, connection, head)
    }

    fn of(file: &Path, connection: Connection, head: BatchHead) -> Result<Catalogue, CatalogueError> {
        let fault = |source| CatalogueError::Unreadable { file: file.to_owned(), source };
        let pages = Arc::new(File::open(file).map_err(fault)?);
        Ok(Catalogue { file: file.to_owned(), connection, head, begun: 0, pages })
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

    /// The catalogue's bytes. They are whole as long as no batch is being written.
    pub(crate) fn pages(&self) -> Arc<File> {
        Arc::clone(&self.pages)
    }

    /// How many batches were begun since it was opened: as long as this stays, so do its bytes.
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Goes on with the same file at another path, to which `move_there` moves it. Meanwhile, and for good if that
    /// fails, nothing can be read from it.
    pub(crate) fn move_to<E: From<CatalogueError>>(
        &mut self,
        file: &Path,
        move_there: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let fault = |source| CatalogueError::Sqlite { file: file.to_owned(), source };
        // Closed before it is moved, so that SQLite looks for no journal at the old path.
        self.connection = Connection::open_in_memory().map_err(fault)?;
        move_there()?;
        self.connection = connect(file, OpenFlags::empty()).map_err(fault)?;
        self.file = file.to_owned();
        Ok(())
    }

    /// Starts the next batch. Nothing of it stands unless [`Batch::commit`] says so.
    pub(crate) fn batch(&mut self) -> Result<Batch<'_>, CatalogueError> {
        self.begun += 1;
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

/// What holds for every connection.
const READ_PRAGMAS: &str = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;";

fn connect(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    // The store's lock keeps others out; SQLite's own makes a mistake there visible instead of harmful. The cache, in
    // KiB, holds the pages that a feed's largest page of entries touches: else they would be written more than once.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = TRUNCATE;
         PRAGMA synchronous = FULL;
         PRAGMA cache_size = -131072;",
    )?;
    connection.execute_batch(READ_PRAGMAS)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

#[cfg(test)]
mod tests;
