//! What can go wrong in a store, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use super::command::{REASON_MAX, Refusal, RefusalReason};
use crate::catalogue::CatalogueError;
use crate::fingerprint::{BadRadius, Fingerprint};
use crate::list::{ListName, ListShape, Suppression, VersionNumber};
use crate::records::RecordsError;
use crate::segment::SegmentError;

/// Why a store was not opened, or a command not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process owns the folder.
    #[error(
        "{} is in use by process {holder}; if that is the daemon, ask it through its socket, else wait for it to end",
        folder.display()
    )]
    Locked {
        /// The data folder.
        folder: PathBuf,
        /// The process that holds the lock, as far as known.
        holder: String,
    },
    /// There is nothing here, and nothing was to be created.
    #[error("{} is no hashward data folder; start `hashward serve` or import a list to create one", folder.display())]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The manifest is not what was written.
    #[error(
        "{} is damaged: {found}; copy manifest.previous over it to return to the generation before",
        path.display()
    )]
    Manifest {
        /// The manifest's path.
        path: PathBuf,
        /// What was expected, and found.
        found: String,
    },
    /// Manifest and catalogue are not of one store, or one of them is older than the other allows.
    #[error("the manifest and the catalogue of {} disagree: {found}; restore both from the same backup", folder.display())]
    Disagreement {
        /// The data folder.
        folder: PathBuf,
        /// What was expected, and found.
        found: String,
    },
    /// The catalogue failed or is damaged.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// A segment failed or is damaged.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// A records file failed or is damaged.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// After an error of the disk it is not known what stands there; answers go on.
    #[error("no change is taken since this error, for it is not known what the disk holds; start again: {cause}")]
    Unsure {
        /// The error.
        cause: String,
    },
    /// No list has this name.
    #[error("there is no list `{0}`; see `hashward-index lists`")]
    NoSuchList(ListName),
    /// A list that is part of the program.
    #[error("the list `{0}` is part of hashward and cannot be changed; use another name")]
    BuiltIn(ListName),
    /// What the lists that are part of the program say cannot be vetoed.
    #[error("{fingerprint} is held by the list `{list}`, which is part of hashward and cannot be suppressed")]
    BuiltInHash {
        /// What was to be suppressed.
        fingerprint: Fingerprint,
        /// The list.
        list: &'static str,
    },
    /// The same veto stands already.
    #[error(
        "{} is suppressed already, by suppression {} of {}: {}; lift that first to change it",
        .0.fingerprint, .0.id, .0.author, .0.reason
    )]
    Suppressed(Box<Suppression>),
    /// No such suppression is in force.
    #[error("{wanted} is not suppressed{hint}; see `hashward-index suppressions`")]
    NotSuppressed {
        /// What was to be lifted.
        wanted: String,
        /// What covers it instead, if anything does.
        hint: String,
    },
    /// Nobody could tell later who did it, and why.
    #[error("the {what} of a suppression: expected one line of 1 to {max} characters, found {found}")]
    NotALine {
        /// Author, or reason.
        what: &'static str,
        /// The most characters it may have.
        max: usize,
        /// What is wrong.
        found: String,
    },
    /// The list's shape does not allow this.
    #[error("the list `{list}` is a {} list, which cannot be {tried}; {remedy}", shape.name())]
    WrongShape {
        /// The list.
        list: ListName,
        /// Its shape.
        shape: ListShape,
        /// What was tried.
        tried: &'static str,
        /// What to do instead.
        remedy: &'static str,
    },
    /// A list would be created, and nobody said what its matches mean.
    #[error("there is no list `{0}` yet; name its role (illegal, ignorable or watch) to create it")]
    NoRole(ListName),
    /// A radius that the kind does not allow.
    #[error("{0}; name a perceptual kind and a radius within its bounds, or none for the kind's own")]
    Radius(#[from] BadRadius),
    /// An entry names no fingerprint.
    #[error("the entry `{source_id}` has no fingerprint; expected at least one")]
    EmptyEntry {
        /// The entry's source id.
        source_id: String,
    },
    /// No such version is kept.
    #[error("the list `{list}` has no version {wanted}; kept are {kept}")]
    NoSuchVersion {
        /// The list.
        list: ListName,
        /// What was asked for.
        wanted: String,
        /// What there is.
        kept: String,
    },
    /// The version is not held.
    #[error("the list `{list}` does not hold version {version}: {found}; see `hashward-index inspect {list}`")]
    NotHeld {
        /// The list.
        list: ListName,
        /// What was asked for.
        version: VersionNumber,
        /// What is so instead.
        found: String,
    },
    /// No version of the list is held.
    #[error("no version of the list `{0}` is held; see `hashward-index inspect {0}`")]
    NothingHeld(ListName),
    /// A reason that is none.
    #[error("expected a reason of one line and 1 to {max} bytes, found {found}; say why in a few words", max = REASON_MAX)]
    BadReason {
        /// What was given.
        found: String,
    },
    /// Something was changed since the import began.
    #[error("the list `{list}` has changed since this import began: {found}; import again")]
    Stale {
        /// The list.
        list: ListName,
        /// What was expected, and found.
        found: String,
    },
    /// Something was changed since a sync began.
    #[error("the feed of `{0}` was set back, removed or read by another since this sync began; sync again")]
    FeedSetBack(ListName),
    /// What a tool built is not what it should be.
    #[error("the version in {} is refused: {found}; build it again", path.display())]
    BadVersion {
        /// The folder or file.
        path: PathBuf,
        /// What was expected, and found.
        found: String,
    },
    /// What should be restored is not what was backed up.
    #[error("the backup in {} is refused: {found}; nothing was changed; use another backup", folder.display())]
    BadBackup {
        /// The folder.
        folder: PathBuf,
        /// What was expected, and found.
        found: String,
    },
    /// The version is older than one that was published, or is held.
    #[error(
        "version {version} of `{list}` is refused: version {newest} began later and is there already; import again"
    )]
    Overtaken {
        /// The list.
        list: ListName,
        /// The version that came.
        version: VersionNumber,
        /// The newest version there is.
        newest: VersionNumber,
    },
}

impl StoreError {
    /// For `map_err`: an I/O error with its path and what was tried.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
        let path = path.to_owned();
        move |source| StoreError::Io { action, path, source }
    }

    /// For `map_err`: damage is that of the backup in `folder` and not the store's.
    pub(super) fn of_backup(folder: &Path) -> impl Fn(StoreError) -> StoreError {
        let folder = folder.to_owned();
        move |error| match error.reason() {
            RefusalReason::Failed => error,
            _ if matches!(error, StoreError::BadBackup { .. }) => error,
            _ => StoreError::BadBackup { folder: folder.clone(), found: error.to_string() },
        }
    }

    fn reason(&self) -> RefusalReason {
        match self {
            StoreError::Locked { .. }
            | StoreError::FeedSetBack(_)
            | StoreError::Stale { .. }
            | StoreError::Overtaken { .. } => RefusalReason::Conflict,
            StoreError::Manifest { .. } | StoreError::Disagreement { .. } => RefusalReason::Damaged,
            StoreError::Catalogue(CatalogueError::Damaged { .. }) => RefusalReason::Damaged,
            StoreError::Segment(SegmentError::Damaged { .. }) => RefusalReason::Damaged,
            StoreError::Io { .. } | StoreError::Catalogue(_) | StoreError::Unsure { .. } => RefusalReason::Failed,
            StoreError::Segment(SegmentError::Io { .. }) => RefusalReason::Failed,
            StoreError::Records(RecordsError::Damaged { .. }) => RefusalReason::Damaged,
            StoreError::Records(RecordsError::Io { .. }) => RefusalReason::Failed,
            _ => RefusalReason::Rejected,
        }
    }
}

impl From<&StoreError> for Refusal {
    fn from(error: &StoreError) -> Refusal {
        Refusal { reason: error.reason(), message: error.to_string() }
    }
}
