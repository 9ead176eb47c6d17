//! A crash after every single step of a restore: before the commit point the store is as it was, after it as the
//! backup was, however far the rest had come.

use std::path::PathBuf;

use super::*;
use crate::fingerprint::{Kind, hash_bytes};
use crate::list::{Entry, Role};
use crate::matching::{Question, Verdict, answer};
use crate::store::command::{Command, Outcome};
use crate::store::{BackupFile, Incoming, StoreOptions};

fn open(folder: &Path) -> Store {
    let store = Store::open(folder, StoreOptions { create: true, ..StoreOptions::default() }).unwrap();
    store.load().unwrap();
    store
}

fn add(store: &Store, numbers: std::ops::Range<u32>) {
    let entry = |number: u32| {
        let fingerprints = vec![hash_bytes(Kind::Md5, format!("made-up file {number}").as_bytes())];
        Entry { source_id: number.to_string(), fingerprints, ..Entry::default() }
    };
    let entries = numbers.map(entry).collect();
    store.execute(Command::Add { list: "own".parse().unwrap(), role: Some(Role::Illegal), entries }).unwrap();
}

/// Which of the made-up files are known.
fn known(store: &Store) -> Vec<u32> {
    let is_known = |number: &u32| {
        let asked = hash_bytes(Kind::Md5, format!("made-up file {number}").as_bytes());
        let question = Question { kinds: &[Kind::Md5], rows: asked.value(), radii: &crate::fingerprint::Radii::none() };
        let answers = answer(&store.snapshot(), &question).unwrap();
        answers.iter().all(|told| told.is_some_and(|told| told.verdict == Verdict::Known))
    };
    (0..60).filter(is_known).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

const THEN: std::ops::Range<u32> = 0..20;
const NOW: std::ops::Range<u32> = 0..50;

/// A data folder with a copy of a backup in `incoming/`, at whose time less was known.
fn prepared() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add(&store, THEN);
    store.execute(Command::Compact).unwrap();
    let Outcome::BackedUp(copied) = store.execute(Command::Backup).unwrap() else { panic!() };
    let copy = folder.path().join(INCOMING).join(&copied.incoming);
    let files: Vec<BackupFile> = Vec::new();
    // Hard links into the store must not be what is restored.
    let own = folder.path().join(INCOMING).join("restore-x");
    copy_folder(&copy, &own);
    fs::remove_dir_all(copy).unwrap();
    Backup::new(&copied, files).write(&own).unwrap();
    add(&store, NOW);
    store.execute(Command::Compact).unwrap();
    add(&store, NOW);
    (folder, own)
}

/// What a store that opens on a copy of the folder answers, and once more after that.
#[track_caller]
fn check(folder: &Path, expected: std::ops::Range<u32>) {
    let crashed = tempfile::tempdir().unwrap();
    copy_folder(folder, crashed.path());
    for _ in 0..2 {
        let store = open(crashed.path());
        assert_eq!(known(&store), expected.clone().collect::<Vec<_>>());
        let Outcome::Verified { damage, .. } = store.execute(Command::Verify).unwrap() else { panic!() };
        assert_eq!(damage, Vec::<String>::new());
        assert!(!crashed.path().join(RESTORING).exists());
    }
    let files = fs::read_dir(crashed.path().join(SEGMENTS)).unwrap().count();
    // Orphans go. Before the restore there are those of the generation before, too.
    assert_eq!(files, if expected == THEN { 1 } else { 3 });
}

#[test]
fn a_crash_after_any_step_leaves_one_or_the_other() {
    let (folder, copy) = prepared();
    let folder = folder.path();
    check(folder, NOW);
    let Checked { backup, mut catalogue, manifest, files } = Checked::read(&copy, false).unwrap();
    let store = Catalogue::open(&folder.join(CATALOGUE)).unwrap();
    let in_force = Manifest::read(&folder.join(MANIFEST)).unwrap().unwrap();
    let before = Before::of(&store, &in_force, in_force.next_file).unwrap();
    drop(store);
    check(folder, NOW);
    let numbered = files.iter().zip(first_file(&manifest, &before)..);
    let names: BTreeMap<_, _> = numbered.map(|(file, n)| (file.name.clone(), format!("{n:08}.seg"))).collect();
    assert!(!names.is_empty());
    move_files(&copy.join(SEGMENTS), &folder.join(SEGMENTS), &names).unwrap();
    check(folder, NOW);
    note_restore(&mut catalogue, &backup, &before, &names).unwrap();
    check(folder, NOW);
    continued(manifest, &catalogue, &before, &names).commit(&copy, None).ok().unwrap();
    drop(catalogue);
    check(folder, NOW);

    let restoring = folder.join(RESTORING);
    fs::rename(&copy, &restoring).unwrap();
    check(folder, THEN);
    // What a crash may leave of the steps of `finish`, in their order, and of the two moves also in the other.
    let other = tempfile::tempdir().unwrap();
    copy_folder(folder, other.path());
    fs::rename(other.path().join(RESTORING).join(MANIFEST), other.path().join(MANIFEST)).unwrap();
    check(other.path(), THEN);
    remove(&folder.join(JOURNAL)).unwrap();
    check(folder, THEN);
    fs::rename(restoring.join(CATALOGUE), folder.join(CATALOGUE)).unwrap();
    check(folder, THEN);
    fs::rename(restoring.join(MANIFEST), folder.join(MANIFEST)).unwrap();
    check(folder, THEN);
    remove(&folder.join(PREVIOUS)).unwrap();
    check(folder, THEN);
    let building = Incoming::create(folder, "other").unwrap();
    fs::write(building.path().join("md5.seg"), b"half").unwrap();
    incoming::discard_versions(folder, &restoring.join("discarded")).unwrap();
    assert!(!building.path().exists());
    check(folder, THEN);
    finish(folder).unwrap();
    check(folder, THEN);
    finish(folder).unwrap();
}

/// What was cut short in the catalogue that is replaced must not be undone in the one that takes its place.
#[test]
fn a_hot_journal_of_the_replaced_catalogue_is_not_played_back() {
    let (folder, copy) = prepared();
    let folder = folder.path();
    let checked = Checked::read(&copy, false).unwrap();
    let before = Before::found(folder).unwrap();
    decide(folder, &copy, checked, &before).unwrap();
    // A transaction in the old catalogue that has written pages and not committed, as a crash leaves it.
    let connection = rusqlite::Connection::open(folder.join(CATALOGUE)).unwrap();
    connection.execute_batch("PRAGMA journal_mode = TRUNCATE; PRAGMA cache_size = 1; BEGIN").unwrap();
    connection.execute_batch("DELETE FROM batches; DELETE FROM feed_entries; DELETE FROM entry_fingerprints").unwrap();
    connection.cache_flush().unwrap();
    let journal = fs::metadata(folder.join(JOURNAL)).unwrap().len();
    assert!(journal > 4096, "{journal} bytes of journal");
    let crashed = tempfile::tempdir().unwrap();
    copy_folder(folder, crashed.path());
    check(crashed.path(), THEN);
}

/// A failure before the commit point leaves nothing behind.
#[test]
fn a_restore_that_cannot_be_decided_changes_nothing() {
    let (folder, copy) = prepared();
    let store = open(folder.path());
    // Not empty, so that the copy cannot be renamed to it.
    fs::create_dir_all(folder.path().join(RESTORING).join("x")).unwrap();
    let generation = store.snapshot().generation();
    let error = store.restore("restore-x").unwrap_err();
    assert!(matches!(&error, StoreError::Io { action: "rename", .. }), "{error}");
    fs::remove_dir_all(folder.path().join(RESTORING)).unwrap();
    assert_eq!((known(&store), store.snapshot().generation()), (NOW.collect(), generation));
    add(&store, 50..51);
    assert_eq!(known(&store).len(), 51);
    let Outcome::Verified { damage, .. } = store.execute(Command::Verify).unwrap() else { panic!() };
    assert_eq!(damage, Vec::<String>::new());
    let state = store.state();
    let named = named_files(&state.catalogue.read(), &state.manifest).unwrap().len();
    let previous = state.previous.as_ref().map_or(0, |previous| previous.segments.len());
    let files = fs::read_dir(folder.path().join(SEGMENTS)).unwrap().count();
    assert!(files <= named + previous, "{files} files, {named} named");
    assert!(copy.exists());
}
