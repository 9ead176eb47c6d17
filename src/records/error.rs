//! What can be wrong with a records file, or with what is put into one.

use std::io;
use std::path::{Path, PathBuf};

use crate::segment::Flaw;

/// Why a records file cannot be opened, verified, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The file does not start like a records file.
    #[error("{}: expected a hashward records file, found something else", file.display())]
    NotRecords {
        /// The file.
        file: PathBuf,
    },
    /// The file has a format that this program does not know.
    #[error("{}: expected records format {expected}, found {found}; import its list again, or use the hashward that \
             wrote it", file.display())]
    Version {
        /// The file.
        file: PathBuf,
        /// The format this program reads and writes.
        expected: u32,
        /// The format the file names.
        found: u32,
    },
    /// Bytes are not what the writer wrote.
    #[error("{}: section `{section}` is damaged: expected {expected}, found {found}; restore the file, or import its \
             list again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The section, with the number of its block.
        section: String,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A record came to the writer that no records file can hold.
    #[error("{}: expected a record with {expected}, found {found}", file.display())]
    BadRecord {
        /// The file.
        file: PathBuf,
        /// What a record has.
        expected: String,
        /// What came.
        found: String,
    },
    /// The thread that packs blocks ended early.
    #[error("{}: the packing thread stopped without a result; this is a bug", file.display())]
    PackerStopped {
        /// The file.
        file: PathBuf,
    },
}

impl RecordsError {
    /// For `map_err`: an I/O error with its file and what was tried.
    pub(super) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> RecordsError {
        let file = file.to_owned();
        move |source| RecordsError::Io { file, action, source }
    }

    /// A finding, with its place.
    pub(super) fn damaged(file: &Path, section: impl ToString, flaw: Flaw) -> RecordsError {
        let Flaw { expected, found } = flaw;
        RecordsError::Damaged { file: file.to_owned(), section: section.to_string(), expected, found }
    }
}
