//! Why a feed was not read to its end.

use std::io;
use std::path::{Path, PathBuf};

use hashward::feed::SecretError;
use hashward::list::ListName;
use hashward::store::StoreError;

use super::http::HttpError;
use crate::keeper::KeeperError;

/// What ended a sync early. What was applied until then stays, and the next sync goes on from the last checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The service does not answer, or refuses.
    #[error(transparent)]
    Http(Box<HttpError>),
    /// A credential is not where the config says.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A credential that no header can hold.
    #[error("expected credentials of printable ASCII, found other characters in the feed's {0}")]
    Credentials(&'static str),
    /// The list's keeper refuses.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The keeper and this program do not understand each other.
    #[error("the keeper answered something else: {0}; are daemon and hashward-index of the same version?")]
    Answer(String),
    /// A page that cannot be read to its end.
    #[error(
        "page {number} of the window {window} cannot be read: {found}; what precedes was applied, the window will be \
         read again{}", place(kept.as_deref())
    )]
    Page {
        /// The window.
        window: String,
        /// The page's number in it, from 1.
        number: u64,
        /// What is wrong with it.
        found: String,
        /// Where its bytes are.
        kept: Option<PathBuf>,
    },
    /// Pages that lead to each other without end.
    #[error("the window {window} has no end: page {number} leads to {found}; ask the service")]
    Endless {
        /// The window.
        window: String,
        /// The page's number in it, from 1.
        number: u64,
        /// Where it leads.
        found: &'static str,
    },
    /// A list that does not exist yet, and whose role nobody named.
    #[error("{0} is a new list: say in the config with role what a match means (illegal, ignorable or watch)")]
    NoRole(ListName),
    /// What was stored cannot be of this service.
    #[error(
        "expected the checkpoint of an earlier sync of this service, found `{checkpoint}`; was the feed's source \
         changed?"
    )]
    Checkpoint {
        /// The checkpoint.
        checkpoint: String,
    },
    /// Another process reads the same feed.
    #[error("another sync of {0} runs; wait for its end")]
    Running(ListName),
    /// A feed that was to be read again from its beginning names hardly anything.
    #[error(
        "{list} was last read too long ago to know of all deletions, and was read again from the beginning: of {held} \
         entries {missing} are not named any more. That is too many to be believed, so nothing was removed; if it is \
         right, remove the list and sync again"
    )]
    TooMuchGone {
        /// The list.
        list: ListName,
        /// Entries that it holds.
        held: u64,
        /// Entries that were not named.
        missing: u64,
    },
    /// The feed's folder, or a local source.
    #[error("{}: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A source of files without any.
    #[error("{}: expected list files, found none", .0.display())]
    NoFiles(PathBuf),
    /// A folder of more files than are read: what is not read would not be matched.
    #[error("{}: expected at most {} list files, found more; nothing was imported", .0.display(), .1)]
    TooManyFiles(PathBuf, usize),
}

fn place(kept: Option<&Path>) -> String {
    kept.map_or_else(String::new, |kept| format!(", and the page is kept in {}", kept.display()))
}

impl SyncError {
    /// Whether the list is not there yet.
    pub(super) fn is_no_list(error: &KeeperError) -> bool {
        error.is_no_store() || matches!(error, KeeperError::Store(StoreError::NoSuchList(_)))
    }
}

impl From<HttpError> for SyncError {
    fn from(error: HttpError) -> SyncError {
        SyncError::Http(Box::new(error))
    }
}
