//! What can be wrong with a segment, or with what is put into one.

use std::io;
use std::path::{Path, PathBuf};

use crate::fingerprint::{Encoding, Kind};

/// Why a segment cannot be opened, verified, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
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
    /// The file does not start like a segment.
    #[error("{}: expected a hashward segment, found something else", file.display())]
    NotASegment {
        /// The file.
        file: PathBuf,
    },
    /// The file has a format that this program does not know.
    #[error("{}: expected segment format {expected}, found {found}; rebuild it from its lists, or use the hashward \
             that wrote it", file.display())]
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
             lists again", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The section, or `header`.
        section: &'static str,
        /// What should stand there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Digests came to the writer in the wrong order.
    #[error("digests must be written in strictly ascending order: {found} came after {previous}")]
    Disorder {
        /// The digest before, in hex.
        previous: String,
        /// The digest that is not above it, in hex.
        found: String,
    },
    /// A value of the wrong width came to the writer.
    #[error("expected {expected} bytes for a value of kind {kind}, found {found}")]
    Width {
        /// The segment's kind.
        kind: Kind,
        /// Its width.
        expected: usize,
        /// The width that came.
        found: usize,
    },
    /// A label set was named that the label table does not hold.
    #[error("expected a label set below {sets}, found {set}; intern the set before writing digests with it")]
    UnknownSet {
        /// The set's id.
        set: u32,
        /// How many sets the table holds.
        sets: usize,
    },
    /// More digests than a segment may hold.
    #[error("a segment holds at most {most} digests; split the list")]
    TooMany {
        /// The limit.
        most: u64,
    },
}

impl SegmentError {
    /// For `map_err`: an I/O error with its file and what was tried.
    pub(crate) fn io(file: &Path, action: &'static str) -> impl FnOnce(io::Error) -> SegmentError {
        let file = file.to_owned();
        move |source| SegmentError::Io { file, action, source }
    }
}

/// A finding in some bytes, before it is known which file they came from.
#[derive(Debug)]
pub struct Flaw {
    /// What should stand there.
    pub expected: String,
    /// What stands there.
    pub found: String,
}

impl Flaw {
    pub(crate) fn new(expected: impl ToString, found: impl ToString) -> Flaw {
        Flaw { expected: expected.to_string(), found: found.to_string() }
    }

    /// The finding, with its place.
    pub(crate) fn within(self, file: &Path, section: &'static str) -> SegmentError {
        SegmentError::Damaged { file: file.to_owned(), section, expected: self.expected, found: self.found }
    }
}

/// Bytes as people read them in an error.
pub(crate) fn hex(bytes: &[u8]) -> String {
    Encoding::Hex.encode(bytes)
}
