//! One writer: whoever holds the `flock` on the file `lock` owns the data folder, until it ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::StoreError;

/// The lock's file in the data folder. It also says who holds it, for people.
const LOCK: &str = "lock";

/// The held lock.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `folder`, without waiting.
    pub(super) fn take(folder: &Path) -> Result<Lock, StoreError> {
        let path = folder.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // At worst the message names nobody.
                let _ = (&mut file).take(20).read_to_string(&mut holder);
                return Err(StoreError::Locked { folder: folder.to_owned(), holder: holder.trim().to_owned() });
            }
            Err(error) => return Err(StoreError::io("lock", &path)(error.into())),
        }
        // On a full disk the lock counts all the same.
        let note = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        let _ = note(&mut file);
        Ok(Lock { _file: file })
    }
}
