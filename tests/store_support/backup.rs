//! Backups made and taken back as the tool does it, with the store asked in this process.

use std::fs;
use std::path::Path;

use hashward::store::command::{BackedUp, Restored};
use hashward::store::{Backup, BackupFile, Command, Incoming, Outcome, Store, StoreError, check_copy};

/// Backs the store up to `folder`, which must be empty.
pub fn back_up(store: &Store, folder: &Path) -> BackedUp {
    let Ok(Outcome::BackedUp(copied)) = store.execute(Command::Backup) else { panic!("no backup") };
    let incoming = Incoming::take_over(store.folder(), &copied.incoming).unwrap();
    copy(incoming.path(), folder);
    let found = check_copy(folder).unwrap();
    assert_eq!(found, (copied.generation, copied.seq, copied.checksum.clone()));
    let files = paths(folder).into_iter().map(|path| {
        let bytes = fs::read(folder.join(&path)).unwrap();
        BackupFile { path, bytes: bytes.len() as u64, blake3: blake3::hash(&bytes).to_hex().to_string() }
    });
    Backup::new(&copied, files.collect()).write(folder).unwrap();
    copied
}

/// Restores the backup in `folder`, its copy unchecked: what the store itself takes in.
pub fn restore(store: &Store, folder: &Path) -> Result<Restored, StoreError> {
    let incoming = Incoming::create(store.folder(), "restore").unwrap();
    copy(folder, incoming.path());
    match store.execute(Command::Restore { incoming: incoming.name().to_owned() })? {
        Outcome::Restored(restored) => Ok(restored),
        other => panic!("{other:?}"),
    }
}

/// The same, of a data folder that nobody has open.
pub fn restore_closed(data: &Path, folder: &Path) -> Result<Restored, StoreError> {
    let incoming = Incoming::create(data, "restore").unwrap();
    copy(folder, incoming.path());
    Store::restore_closed(data, incoming.name())
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The files of a backup, but for `backup.json`.
pub fn paths(folder: &Path) -> Vec<String> {
    let mut paths: Vec<String> = ["catalogue.sqlite", "manifest"].map(str::to_owned).into();
    let segments = fs::read_dir(folder.join("segments")).unwrap();
    paths.extend(segments.map(|entry| format!("segments/{}", entry.unwrap().file_name().to_str().unwrap())));
    paths.sort();
    paths
}
