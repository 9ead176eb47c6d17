//! A consistent copy of the store, made while it goes on.
//!
//! ```text
//! catalogue.sqlite   byte for byte, so that batches and checksums are those of the store
//! manifest           the generation in force
//! segments/…         every file that the two name
//! backup.json        what was copied and when, with each file's BLAKE3; written last
//! ```
//!
//! The store makes the first three in a folder of `incoming/`, the segments as hard links; whoever asked for the backup
//! copies them where it wants them, with its own rights, and writes `backup.json` once [`check_copy`] has found the copy
//! to be whole. A folder without `backup.json` is no backup.
//!
//! The catalogue is copied without stopping changes, and then held against the original again, page by page, until
//! nothing was changed meanwhile. Where changes come so fast that this never happens, the last comparison makes them
//! wait: it reads both files once and writes the few pages that differ.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::checked::named_files;
use super::command::BackedUp;
use super::incoming::{INCOMING, Incoming};
use super::manifest::{MANIFEST, Manifest, rename, sync_folder, write_new};
use super::open::agree;
use super::state::{State, named};
use super::{CATALOGUE, SEGMENTS, Store, StoreError, now};
use crate::catalogue::Catalogue;

/// How often the catalogue is copied or compared beside changes, before changes have to wait.
const PASSES_BESIDE_CHANGES: usize = 4;

/// Bytes that are read and compared at once.
const BLOCK_BYTES: usize = 1 << 20;

/// The version of [`Backup`]'s format.
const FORMAT: u32 = 1;

/// What a backup says of itself, in its `backup.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Backup {
    format: u32,
    /// The version of the program that wrote it.
    pub hashward: String,
    /// When the copy was made, in seconds since 1970-01-01 UTC.
    pub made_at: u64,
    /// The generation that it holds.
    pub generation: u64,
    /// The last batch that it holds.
    pub seq: u64,
    /// That batch's checksum, in hex.
    pub checksum: String,
    /// All files of it, but for `backup.json` itself.
    pub files: Vec<BackupFile>,
    /// BLAKE3 of all of this as compact JSON with an empty text in this place, in hex.
    blake3: String,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFile {
    /// Its path in the backup's folder, of one or two parts.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The BLAKE3 of all of it, in hex.
    pub blake3: String,
}

impl Backup {
    /// The file's name.
    pub const FILE: &'static str = "backup.json";

    /// A `backup.json` that is larger is none: a file takes some 150 bytes.
    const BYTES_MAX: u64 = 64 << 20;

    /// Describes what the store has copied.
    pub fn new(copied: &BackedUp, files: Vec<BackupFile>) -> Backup {
        let mut backup = Backup {
            format: FORMAT,
            hashward: env!("CARGO_PKG_VERSION").to_owned(),
            made_at: copied.at,
            generation: copied.generation,
            seq: copied.seq,
            checksum: copied.checksum.clone(),
            files,
            blake3: String::new(),
        };
        backup.blake3 = backup.checksum_of_all();
        backup
    }

    fn checksum_of_all(&self) -> String {
        let bare = Backup { blake3: String::new(), ..self.clone() };
        blake3::hash(&serde_json::to_vec(&bare).expect("plain data with text keys")).to_hex().to_string()
    }

    /// Reads what the backup in `folder` says of itself. The paths it names lead nowhere else.
    ///
    /// # Errors
    /// [`StoreError::BadBackup`] if this is none, and what the file system refuses.
    pub fn read(folder: &Path) -> Result<Backup, StoreError> {
        let refuse = |found: String| StoreError::BadBackup { folder: folder.to_owned(), found };
        let path = folder.join(Backup::FILE);
        let bytes = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse("it has no backup.json, so it is no backup, or one that was cut short".to_owned()));
            }
            Ok(meta) if meta.len() > Backup::BYTES_MAX => {
                return Err(refuse(format!(
                    "backup.json: expected at most {} bytes, found {}",
                    Backup::BYTES_MAX,
                    meta.len()
                )));
            }
            _ => fs::read(&path).map_err(StoreError::io("read", &path))?,
        };
        let backup: Backup =
            serde_json::from_slice(&bytes).map_err(|error| refuse(format!("backup.json is damaged: {error}")))?;
        if backup.format != FORMAT {
            let found = backup.format;
            return Err(refuse(format!("expected format {FORMAT}, found {found}, which another hashward wrote")));
        }
        if backup.blake3 != backup.checksum_of_all() {
            return Err(refuse("backup.json is damaged: it does not agree with its own BLAKE3".to_owned()));
        }
        match backup.files.iter().find(|file| !is_inside(&file.path)) {
            Some(file) => Err(refuse(format!("expected paths inside its folder, found {:?}", file.path))),
            None => Ok(backup),
        }
    }

    /// Writes `backup.json` durably: from then on the folder is a backup.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn write(&self, folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(Backup::FILE);
        let mut bytes = serde_json::to_vec_pretty(self).expect("plain data with text keys");
        bytes.push(b'\n');
        let new = write_new(&path, &bytes)?;
        rename(&new, &path)?;
        sync_folder(folder)
    }
}

/// Whether a path is that of a file in a backup's folder, or in a folder of it.
fn is_inside(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    path.split('/').count() <= 2 && path.split('/').all(plain)
}

/// Checks all of a copy in `folder`, as a store that opens would and beyond: catalogue, manifest and every segment. Returns
/// (generation, last batch, its checksum). Nothing is written.
///
/// # Errors
/// [`StoreError::BadBackup`] with the file's name, and what the file system refuses.
pub fn check_copy(folder: &Path) -> Result<(u64, u64, String), StoreError> {
    let check = || {
        let catalogue = Catalogue::open_read_only(&folder.join(CATALOGUE))?;
        let manifest = read_manifest(folder)?;
        agree(folder, &catalogue, &manifest)?;
        for file in named_files(&catalogue.read(), &manifest)? {
            file.verify(&folder.join(SEGMENTS).join(file.name()), false)?;
        }
        let head = named(catalogue.head());
        Ok((manifest.generation, head.seq, head.checksum))
    };
    check().map_err(StoreError::of_backup(folder))
}

/// The manifest of a copy.
pub(super) fn read_manifest(folder: &Path) -> Result<Manifest, StoreError> {
    let path = folder.join(MANIFEST);
    let missing = || StoreError::Manifest { path: path.clone(), found: "expected a manifest, found none".to_owned() };
    Manifest::read(&path)?.ok_or_else(missing)
}

impl Store {
    pub(super) fn backup(&self) -> Result<BackedUp, StoreError> {
        // A merge meanwhile would only mean more to copy; a restore must not come in between.
        let _turn = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let parent = self.folder.join(INCOMING);
        let incoming = Incoming::create(&self.folder, "backup").map_err(StoreError::io("make a folder in", &parent))?;
        let path = incoming.path().join(CATALOGUE);
        let copy = File::options().read(true).write(true).create_new(true).open(&path);
        let copy = copy.map_err(StoreError::io("create", &path))?;
        let (state, since) = self.copy_catalogue(&copy, &path)?;
        state.link_segments(incoming.path())?;
        let (head, manifest) = (named(state.catalogue.head()), state.manifest.clone());
        drop(state);
        let changes_waited_ms = since.elapsed().as_millis() as u64;
        manifest.commit(incoming.path(), None)?;
        let generation = manifest.generation;
        let (seq, checksum, at) = (head.seq, head.checksum, now());
        Ok(BackedUp { incoming: incoming.keep(), at, generation, seq, checksum, changes_waited_ms })
    }

    /// Copies the catalogue. As long as the guard is held, it stays what was copied. The moment is that from which on
    /// changes wait.
    fn copy_catalogue(&self, copy: &File, path: &Path) -> Result<(MutexGuard<'_, State>, Instant), StoreError> {
        let make_equal = |pages: &File| make_equal(pages, copy).map_err(StoreError::io("copy the catalogue to", path));
        for _ in 0..PASSES_BESIDE_CHANGES {
            let (pages, begun) = {
                let state = self.state_to_change()?;
                (state.catalogue.pages(), state.catalogue.begun())
            };
            make_equal(&pages)?;
            let (state, since) = (self.state(), Instant::now());
            if state.catalogue.begun() == begun {
                return Ok((state, since));
            }
        }
        let (state, since) = (self.state(), Instant::now());
        make_equal(&state.catalogue.pages())?;
        Ok((state, since))
    }
}

impl State {
    /// Gives every file that catalogue and manifest name a second name in `folder`.
    fn link_segments(&self, folder: &Path) -> Result<(), StoreError> {
        let segments = folder.join(SEGMENTS);
        fs::create_dir(&segments).map_err(StoreError::io("create", &segments))?;
        for file in named_files(&self.catalogue.read(), &self.manifest)? {
            let path = self.path_of(file.name());
            fs::hard_link(&path, segments.join(file.name())).map_err(StoreError::io("link", &path))?;
        }
        Ok(())
    }
}

/// Makes `copy` equal to `original`; writes only what differs.
fn make_equal(original: &File, copy: &File) -> io::Result<()> {
    let (mut wanted, mut found) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    let mut at = 0;
    loop {
        let length = read_block(original, &mut wanted, at)?;
        if length == 0 {
            return copy.set_len(at);
        }
        let held = read_block(copy, &mut found[..length], at)?;
        if wanted[..length] != found[..held] {
            copy.write_all_at(&wanted[..length], at)?;
        }
        at += length as u64;
    }
}

/// Fills the buffer from `at` on, as far as the file goes.
fn read_block(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
