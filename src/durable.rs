//! Small files that are there whole or not at all, whatever becomes of the process or the power meanwhile.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Puts a file of these bytes at `path`, for its owner's eyes only, in place of one that may stand there. From then on it
/// survives a loss of power. Returns the file, open for writing behind them.
///
/// # Errors
/// The system's; what stood there stands there still, unless its folder alone could not be synced.
pub(crate) fn put(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_put_is_there_whole_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        put(&path, b"before").unwrap();
        let mut file = put(&path, b"after").unwrap();
        file.write_all(b"wards").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"afterwards");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
    }

    #[test]
    fn what_cannot_be_put_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        put(&path, b"before").unwrap();
        fs::create_dir(path.with_extension("new")).unwrap();
        put(&path, b"after").unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }
}
