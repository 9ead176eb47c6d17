//! From records to a version: rows are gathered, sorted within a memory budget whatever the list's size, merged, and
//! written as one segment per kind.
//!
//! ```text
//! records ┬▶ rows ─▶ sorter (batches, spilled as runs) ─▶ merge ─▶ union with the version before (--add) ─▶ segment writer
//!         └▶ records writer
//! ```

mod base;
mod intake;
mod labels;
mod merge;
mod rows;
mod run;
mod sorter;
mod source;
mod version;

pub use base::BaseVersion;
pub use intake::{Categories, Counts, Intake, Taken};
pub use labels::LabelBook;
pub use rows::LabelId;
pub use sorter::{EntrySorter, SortLimits, SortedRows};
pub use source::ReadAhead;
pub use version::{BuiltKind, Output, build_version};

use std::io;
use std::path::PathBuf;

use hashward::records::RecordsError;
use hashward::segment::SegmentError;

/// Why a version could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A run file could not be written or read back.
    #[error("{}: {source}; the folder for new versions needs room for the sorted rows, about 20 bytes per MD5", path.display())]
    Spill {
        /// The run file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The sorting thread could not be started.
    #[error("cannot start the sorting thread: {0}")]
    Thread(io::Error),
    /// More distinct categories, or sets of them, than a list can have.
    #[error(
        "expected at most {} distinct categories and flags, found more; check which column holds the category \
         (--column category=HEADER)",
        labels::LABELS_MAX
    )]
    TooManyCategories,
    /// More bad records than `--max-bad` allows.
    #[error("more bad records than allowed")]
    TooManyRejected,
    /// A segment could not be written, or the version before could not be read.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The records could not be written.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The sorting thread ended early.
    #[error("the sorting thread stopped without a result; this is a bug")]
    SorterStopped,
}
