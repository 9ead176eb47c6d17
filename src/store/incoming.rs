//! Folders in which tools build versions, beside the store and without its lock.
//!
//! A tool holds a `flock` on its folder while it builds, so that a store that opens or tidies meanwhile can tell work
//! in progress from what a killed tool left behind: the kernel drops the lock with the tool.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

/// The folder of versions being built, in the data folder.
pub(crate) const INCOMING: &str = "incoming";

/// A folder without a lock is left alone for this long: its tool may be about to take the lock. Also how long a
/// folder stays that a tool has finished and not yet asked to publish.
const GRACE: Duration = Duration::from_secs(60);

/// A folder for one version being built, locked while this value lives and removed with it, unless the store has
/// adopted it by then.
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    name: String,
    _lock: File,
    keep: bool,
}

impl Incoming {
    /// Makes a folder with a fresh name, starting with `prefix`, in the `incoming/` of `data`.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn create(data: &Path, prefix: &str) -> io::Result<Incoming> {
        let parent = data.join(INCOMING);
        fs::create_dir_all(&parent)?;
        let folder = tempfile::Builder::new().prefix(&format!("{prefix}-")).tempdir_in(&parent)?;
        let lock = File::open(folder.path())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let path = folder.keep();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Incoming { path, name, _lock: lock, keep: false })
    }

    /// Takes over the folder `name` that the store has made in the `incoming/` of `data`.
    ///
    /// # Errors
    /// Any error of the file system.
    pub fn take_over(data: &Path, name: &str) -> io::Result<Incoming> {
        let path = data.join(INCOMING).join(name);
        let lock = File::open(&path)?;
        // The store has let go of it, except that a process which it is just starting may hold it for a moment.
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Incoming { path, name: name.to_owned(), _lock: lock, keep: false })
    }

    /// Leaves the folder to whoever takes it over within a minute. Returns its name.
    pub(crate) fn keep(mut self) -> String {
        self.keep = true;
        std::mem::take(&mut self.name)
    }

    /// Where to write.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its name, for [`super::Publish::incoming`].
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // After a publish the store has removed it; then there is nothing left to do.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what killed tools left in the `incoming/` of `data`; folders in use stay. Returns how many went.
pub(crate) fn sweep(data: &Path) -> io::Result<usize> {
    let mut removed = 0;
    let entries = match fs::read_dir(data.join(INCOMING)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if is_abandoned(&path) {
            fs::remove_dir_all(&path)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Moves the versions that tools are building in the `incoming/` of `data` to `to`, so that none of them is published.
/// Folders with a manifest, which are copies of a store, stay.
pub(crate) fn discard_versions(data: &Path, to: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(data.join(INCOMING)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    fs::create_dir_all(to)?;
    for entry in entries {
        let entry = entry?;
        if entry.path().is_dir() && !entry.path().join(super::manifest::MANIFEST).exists() {
            match fs::rename(entry.path(), to.join(entry.file_name())) {
                // Its tool has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => moved?,
            }
        }
    }
    Ok(())
}

/// Whether nobody builds in this folder. When in doubt, somebody does.
fn is_abandoned(path: &Path) -> bool {
    let age = || path.symlink_metadata().ok()?.modified().ok()?.elapsed().ok();
    if age().is_none_or(|age| age < GRACE) {
        return false;
    }
    File::open(path).is_ok_and(|folder| flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn age(path: &Path) {
        let old = SystemTime::now() - 2 * GRACE;
        File::open(path).unwrap().set_modified(old).unwrap();
    }

    #[test]
    fn only_abandoned_folders_go() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(sweep(data.path()).unwrap(), 0);
        let building = Incoming::create(data.path(), "list").unwrap();
        age(building.path());
        let young = data.path().join(INCOMING).join("young");
        fs::create_dir(&young).unwrap();
        let abandoned = data.path().join(INCOMING).join("abandoned");
        fs::create_dir(&abandoned).unwrap();
        fs::write(abandoned.join("md5.seg"), b"half").unwrap();
        age(&abandoned);
        assert_eq!(sweep(data.path()).unwrap(), 1);
        assert!(building.path().exists() && young.exists() && !abandoned.exists());
        let path = building.path().to_owned();
        drop(building);
        assert!(!path.exists());
    }
}
