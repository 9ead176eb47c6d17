//! A feed's folder `feeds/NAME` in the data folder: a lock, so that a feed is read by one process at a time, the last
//! page that could not be read, and files that are being fetched.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hashward::list::ListName;
use rustix::fs::{FlockOperation, flock};

use super::error::SyncError;

/// The folder of all feeds, in the data folder.
const FEEDS: &str = "feeds";
/// The file that is locked.
const LOCK: &str = "lock";
/// The last page that could not be read.
const UNREADABLE_PAGE: &str = "unreadable-page";
/// Files that are being fetched; removed before and after.
const FETCHED: &str = "fetched";
/// Bytes of a page that are kept.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// The folder of one feed, locked.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes and locks it.
    ///
    /// # Errors
    /// The disk's, or [`SyncError::Running`].
    pub(super) fn lock(data: &Path, feed: &ListName) -> Result<Folder, SyncError> {
        let path = data.join(FEEDS).join(feed.as_str());
        let disk = |error| SyncError::Disk { path: path.clone(), error };
        fs::create_dir_all(&path).map_err(disk)?;
        let lock = File::options().create(true).truncate(false).write(true).open(path.join(LOCK)).map_err(disk)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Folder { path, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(SyncError::Running(feed.clone())),
            Err(error) => Err(disk(error.into())),
        }
    }

    /// Keeps the bytes of a page that cannot be read, instead of those that were kept before.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn keep_page(&self, bytes: &[u8]) -> Result<PathBuf, SyncError> {
        let path = self.path.join(UNREADABLE_PAGE);
        let kept = &bytes[..bytes.len().min(KEPT_BYTES_MAX)];
        fs::write(&path, kept).map_err(|error| SyncError::Disk { path: path.clone(), error })?;
        Ok(path)
    }

    /// Drops the page that was kept, for it has been read since.
    pub(super) fn drop_page(&self) {
        // Where there is none, nothing is to be dropped.
        let _ = fs::remove_file(self.path.join(UNREADABLE_PAGE));
    }

    /// An empty folder for files, in place of what an earlier sync left there.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn fetched(&self) -> Result<PathBuf, SyncError> {
        let path = self.path.join(FETCHED);
        self.clear();
        fs::create_dir_all(&path).map_err(|error| SyncError::Disk { path: path.clone(), error })?;
        Ok(path)
    }

    /// Removes files that were fetched.
    pub(super) fn clear(&self) {
        // What cannot be removed now is tried again before the next files are fetched.
        let _ = fs::remove_dir_all(self.path.join(FETCHED));
    }
}
