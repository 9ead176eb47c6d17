//! A backup in place of what a data folder holds.
//!
//! The copy in `incoming/` is checked in full before anything is touched. Then, with the folder's lock held:
//!
//! 1. its files move to `segments/`, under numbers that no file here ever had: a name means one file for ever, and
//!    questions under way keep theirs. The copy of the catalogue gets the new names, and the restore into its history.
//! 2. the manifest is written beside it, with a generation above all that were seen.
//! 3. the copy's folder is renamed to `restoring/`: the commit point. A crash before leaves files that nobody names.
//! 4. catalogue and manifest move to their places, and the folder goes ([`finish`]). Opening a store does this first, so
//!    a crash in between is finished then.
//!
//! Versions that tools were building meanwhile are removed: they were begun on lists as they are no more.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::backup::{Backup, read_manifest};
use super::checked::named_files;
use super::command::Restored;
use super::incoming::{self, INCOMING};
use super::lock::Lock;
use super::manifest::{MANIFEST, Manifest, PREVIOUS, sync_file, sync_folder};
use super::open::{agree, holds_store, open_or_create};
use super::publish::{incoming_folder, plain_name};
use super::state::{Served, State, file_name, file_number, named};
use super::{CATALOGUE, SEGMENTS, Store, StoreError, now};
use crate::catalogue::{Catalogue, ListRow};
use crate::index::sealed::Segment;
use crate::list::{FIRST_FREE_LIST_ID, ListId, VersionNumber};
use crate::moment::utc;

/// Where a restore that is decided waits to be finished, in the data folder.
pub(super) const RESTORING: &str = "restoring";

/// Generations and numbers of files in a backup are below this, so that there is always a next one.
const NUMBER_MAX: u64 = 1 << 62;

/// What SQLite needs to undo what was cut short in the catalogue beside it, and in no other.
const JOURNAL: &str = "catalogue.sqlite-journal";

impl Store {
    pub(super) fn restore(&self, incoming: &str) -> Result<Restored, StoreError> {
        let _turn = self.maintenance.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = incoming_folder(&self.folder, incoming)?;
        let checked = Checked::read(&copy, self.options.serve).map_err(StoreError::of_backup(&copy))?;
        let mut state = self.state_to_change()?;
        let before = Before::of(&state.catalogue, &state.manifest, state.next_file)?;
        let decided = decide(&self.folder, &copy, checked, &before);
        let restored = decided.and_then(|decided| state.go_on_with(decided, &before));
        match &restored {
            Ok(_) => self.show(&state),
            // What was moved and could not be removed again goes before the next change.
            Err(_) => state.unsettled = true,
        }
        restored
    }

    /// Restores the backup whose copy is in the folder `incoming` of `incoming/` while nobody has the store in `folder`
    /// open. Also what cannot be opened any more is replaced, and a store is made where there is none.
    ///
    /// # Errors
    /// [`StoreError`]; nothing has changed, unless it says otherwise.
    pub fn restore_closed(folder: &Path, incoming: &str) -> Result<Restored, StoreError> {
        let _lock = Lock::take(folder)?;
        finish(folder)?;
        let segments = folder.join(SEGMENTS);
        fs::create_dir_all(&segments).map_err(StoreError::io("create", &segments))?;
        if !holds_store(folder) && !folder.join(PREVIOUS).exists() && is_empty(&segments) {
            open_or_create(folder, true)?;
        }
        let copy = incoming_folder(folder, incoming)?;
        let checked = Checked::read(&copy, false).map_err(StoreError::of_backup(&copy))?;
        let before = Before::found(folder)?;
        let Decided { catalogue, manifest, made_at, .. } = decide(folder, &copy, checked, &before)?;
        drop(catalogue);
        finish(folder).map_err(unfinished)?;
        Ok(before.restored(&manifest, made_at))
    }
}

/// After the commit point, nothing but finishing is possible.
fn unfinished(error: StoreError) -> StoreError {
    StoreError::Unsure { cause: format!("a backup is being restored, and that could not be finished: {error}") }
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// What is replaced, as far as numbers must go on from there.
struct Before {
    generation: u64,
    next_file: u64,
    next_list: ListId,
    next_versions: BTreeMap<ListId, VersionNumber>,
}

impl Before {
    fn of(catalogue: &Catalogue, manifest: &Manifest, next_file: u64) -> Result<Before, StoreError> {
        let read = catalogue.read();
        Ok(Before {
            generation: manifest.generation,
            next_file,
            next_list: read.next_list_id()?,
            next_versions: read.lists()?.into_iter().map(|row| (row.id, row.next_version)).collect(),
        })
    }

    /// The same of a folder in which anything may be damaged: from all that can still be read.
    fn found(folder: &Path) -> Result<Before, StoreError> {
        // The one in force follows the one before, should only that be readable.
        let manifests = [(MANIFEST, 0), (PREVIOUS, 1)].map(|(name, behind)| {
            let manifest = Manifest::read(&folder.join(name)).ok().flatten();
            manifest.map(|manifest| (manifest.generation.saturating_add(behind), manifest.next_file))
        });
        let manifests = manifests.iter().flatten();
        let segments = folder.join(SEGMENTS);
        let mut used = Vec::new();
        for entry in fs::read_dir(&segments).map_err(StoreError::io("list", &segments))? {
            let name = entry.map_err(StoreError::io("list", &segments))?.file_name();
            let number = name.to_str().and_then(file_number);
            used.extend(number.filter(|number| *number < NUMBER_MAX));
        }
        let numbers = manifests.clone().map(|(_, next_file)| *next_file);
        let mut before = Before {
            generation: manifests.map(|(generation, _)| *generation).max().unwrap_or(0),
            next_file: numbers.chain(used.into_iter().map(|used: u64| used + 1)).max().unwrap_or(1),
            next_list: FIRST_FREE_LIST_ID,
            next_versions: BTreeMap::new(),
        };
        if let Ok(catalogue) = Catalogue::open(&folder.join(CATALOGUE)) {
            before.next_list = catalogue.read().next_list_id()?;
            let lists = catalogue.read().lists()?.into_iter();
            before.next_versions = lists.map(|row| (row.id, row.next_version)).collect();
        }
        Ok(before)
    }

    fn restored(&self, manifest: &Manifest, made_at: u64) -> Restored {
        let (generation, seq) = (manifest.generation, manifest.batch.seq);
        Restored { made_at, generation, seq, replaced_generation: self.generation }
    }
}

/// A copy of a backup that was checked in full.
struct Checked {
    backup: Backup,
    catalogue: Catalogue,
    manifest: Manifest,
    files: Vec<CheckedFile>,
}

struct CheckedFile {
    name: String,
    /// Where questions are to be answered.
    mapped: Option<Arc<Segment>>,
}

impl Checked {
    fn read(folder: &Path, map: bool) -> Result<Checked, StoreError> {
        let backup = Backup::read(folder)?;
        let path = folder.join(CATALOGUE);
        // Before it is opened: closing a descriptor of it would give up SQLite's lock.
        sync_file(&path)?;
        let catalogue = Catalogue::open(&path)?;
        let manifest = read_manifest(folder)?;
        agree(folder, &catalogue, &manifest)?;
        let head = named(catalogue.head());
        let refuse = |found| StoreError::BadBackup { folder: folder.to_owned(), found };
        if manifest.generation >= NUMBER_MAX || manifest.next_file >= NUMBER_MAX {
            let (generation, file) = (manifest.generation, manifest.next_file);
            return Err(refuse(format!("expected numbers below {NUMBER_MAX}, found {generation} and {file}")));
        }
        let told = (backup.generation, backup.seq, backup.checksum.as_str());
        if told != (manifest.generation, head.seq, &head.checksum) {
            let found =
                format!("backup.json names generation {} with batch {}, and its files hold others", told.0, told.1);
            return Err(refuse(found));
        }
        let mut files = Vec::new();
        for file in named_files(&catalogue.read(), &manifest)? {
            let path = folder.join(SEGMENTS).join(plain_name(file.name(), folder)?);
            let answers = manifest.segments.iter().any(|segment| segment.file.file == file.name());
            let mapped = file.verify(&path, map && answers)?;
            sync_file(&path)?;
            files.push(CheckedFile { name: file.name().to_owned(), mapped });
        }
        Ok(Checked { backup, catalogue, manifest, files })
    }
}

/// A restore that is past its commit point.
struct Decided {
    /// Open where it was prepared, which is now in [`RESTORING`].
    catalogue: Catalogue,
    manifest: Manifest,
    /// What answers questions, by file.
    mapped: Vec<(String, Arc<Segment>)>,
    made_at: u64,
}

/// Takes a checked copy over the commit point. If that fails, what was moved goes again.
fn decide(folder: &Path, copy: &Path, checked: Checked, before: &Before) -> Result<Decided, StoreError> {
    let Checked { backup, mut catalogue, manifest, files } = checked;
    let mut names = BTreeMap::new();
    let mut mapped = Vec::new();
    for (number, file) in (first_file(&manifest, before)..).zip(files) {
        let extension = file.name.rsplit_once('.').map_or("seg", |(_, extension)| extension);
        let name = file_name(number, extension);
        mapped.extend(file.mapped.map(|segment| (name.clone(), segment)));
        names.insert(file.name, name);
    }
    let segments = folder.join(SEGMENTS);
    let prepared = move_files(&copy.join(SEGMENTS), &segments, &names)
        .and_then(|()| note_restore(&mut catalogue, &backup, before, &names))
        .and_then(|()| {
            let manifest = continued(manifest, &catalogue, before, &names);
            manifest.commit(copy, None)?;
            let restoring = folder.join(RESTORING);
            fs::rename(copy, &restoring).map_err(StoreError::io("rename", copy))?;
            Ok(manifest)
        });
    match prepared {
        Ok(manifest) => Ok(Decided { catalogue, manifest, mapped, made_at: backup.made_at }),
        Err(error) => {
            for name in names.values() {
                // What stays is swept with the next change.
                let _ = fs::remove_file(segments.join(name));
            }
            Err(error)
        }
    }
}

/// The number of the first file that is restored.
fn first_file(manifest: &Manifest, before: &Before) -> u64 {
    before.next_file.max(manifest.next_file)
}

/// The backup's manifest with the files' new names and with numbers that go on from what is replaced.
fn continued(
    mut manifest: Manifest,
    catalogue: &Catalogue,
    before: &Before,
    names: &BTreeMap<String, String>,
) -> Manifest {
    for segment in &mut manifest.segments {
        segment.file.file.clone_from(&names[&segment.file.file]);
    }
    manifest.next_file = first_file(&manifest, before) + names.len() as u64;
    manifest.generation = before.generation.max(manifest.generation) + 1;
    manifest.batch = named(catalogue.head());
    manifest
}

/// Gives the files in `from` their new names in `to`.
fn move_files(from: &Path, to: &Path, names: &BTreeMap<String, String>) -> Result<(), StoreError> {
    for (old, new) in names {
        let path = from.join(old);
        fs::rename(&path, to.join(new)).map_err(StoreError::io("move", &path))?;
    }
    sync_folder(to)
}

/// Brings the restored catalogue to what stands here: the files' new names, numbers that go on from those that were
/// given since, and what has happened.
fn note_restore(
    catalogue: &mut Catalogue,
    backup: &Backup,
    before: &Before,
    names: &BTreeMap<String, String>,
) -> Result<(), StoreError> {
    let action = format!("restored as it was at {} UTC", utc(backup.made_at));
    for row in catalogue.read().lists()? {
        let mut batch = catalogue.batch()?;
        batch.rename_files(row.id, names)?;
        let given = before.next_versions.get(&row.id).copied().unwrap_or(row.next_version);
        batch.put_list(&ListRow { next_version: row.next_version.max(given), ..row.clone() })?;
        batch.commit(now(), Some(row.id), &action)?;
    }
    let mut batch = catalogue.batch()?;
    batch.raise_next_list(before.next_list)?;
    let (was, seq) = (backup.generation, backup.seq);
    let action = format!("{action}: generation {was}, batch {seq}, in place of generation {}", before.generation);
    batch.commit(now(), None, &action)?;
    Ok(())
}

/// Finishes a restore that is decided, if there is one. Each step may have been done already, before a crash.
///
/// The catalogue must not be open.
pub(super) fn finish(folder: &Path) -> Result<(), StoreError> {
    let restoring = folder.join(RESTORING);
    if !restoring.exists() {
        return Ok(());
    }
    // The name must last before anything that it stands for is touched.
    sync_folder(folder)?;
    let catalogue = restoring.join(CATALOGUE);
    if catalogue.exists() {
        // SQLite would take it for the restored catalogue's.
        remove(&folder.join(JOURNAL))?;
        sync_folder(folder)?;
        fs::rename(&catalogue, folder.join(CATALOGUE)).map_err(StoreError::io("move", &catalogue))?;
    }
    let manifest = restoring.join(MANIFEST);
    if manifest.exists() {
        fs::rename(&manifest, folder.join(MANIFEST)).map_err(StoreError::io("move", &manifest))?;
    }
    remove(&folder.join(PREVIOUS))?;
    let discarded = incoming::discard_versions(folder, &restoring.join("discarded"));
    discarded.map_err(StoreError::io("tidy", &folder.join(INCOMING)))?;
    sync_folder(folder)?;
    fs::remove_dir_all(&restoring).map_err(StoreError::io("remove", &restoring))?;
    tracing::info!(folder = %folder.display(), "a backup is restored");
    sync_folder(folder)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

impl State {
    /// Goes on with what is restored. If that fails, answers stay what they were until the store is opened again, which
    /// finishes it.
    fn go_on_with(&mut self, decided: Decided, before: &Before) -> Result<Restored, StoreError> {
        let taken = self.try_go_on_with(decided, before).map_err(unfinished);
        if let Err(StoreError::Unsure { cause }) = &taken {
            self.unsure = Some(cause.clone());
        }
        taken
    }

    fn try_go_on_with(&mut self, decided: Decided, before: &Before) -> Result<Restored, StoreError> {
        let Decided { catalogue, manifest, mapped, made_at } = decided;
        let folder = self.folder.clone();
        // The one that was open is closed by this.
        self.catalogue = catalogue;
        self.catalogue.move_to(&folder.join(CATALOGUE), || finish(&folder))?;
        let restored = before.restored(&manifest, made_at);
        self.next_file = manifest.next_file;
        self.manifest = manifest;
        self.previous = None;
        self.feed_deletions.clear();
        self.suppressed = Arc::new(self.covered()?);
        if self.served.is_some() {
            let slots = mapped.into_iter().map(|(file, segment)| Ok((file, self.ready(segment)?)));
            let slots = slots.collect::<Result<_, StoreError>>()?;
            let live = self.replay()?;
            self.served = Some(Served { slots, live, ..Served::default() });
        }
        self.try_settle();
        self.refresh_lists()?;
        Ok(restored)
    }
}

#[cfg(test)]
mod tests;
