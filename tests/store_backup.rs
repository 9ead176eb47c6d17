//! Backups and restores: beside changes, of damaged folders, over damaged stores. (`restore_crash` kills them.)

mod store_support;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use hashward::fingerprint::{Fingerprint, Kind};
use hashward::list::{Role, VersionNumber};
use hashward::matching::{Reason, Verdict};
use hashward::moment;
use hashward::store::command::{BackedUp, Inspected};
use hashward::store::{Backup, BackupFile, Command, Incoming, Outcome, Store, StoreError, check_copy};
use store_support::backup::{back_up, copy, paths, restore, restore_closed};
use store_support::*;

fn said(numbers: impl IntoIterator<Item = u32>) -> Said {
    numbers.into_iter().map(|number| (fingerprint(Kind::Md5, number), [1].into())).collect()
}

fn add(store: &Store, numbers: impl IntoIterator<Item = u32>) {
    let entries = numbers.into_iter().map(|n| entry(&n.to_string(), vec![fingerprint(Kind::Md5, n)], 1)).collect();
    store.execute(Command::Add { list: name("own"), role: Some(Role::Illegal), entries }).unwrap();
}

fn withdraw(store: &Store, list: &str, number: u32) {
    let fingerprints = vec![fingerprint(Kind::Md5, number)];
    store.execute(Command::Withdraw { list: name(list), fingerprints }).unwrap();
}

fn verdicts(store: &Store) -> Vec<Verdict> {
    let asked: Vec<Fingerprint> = (0..100).map(|number| fingerprint(Kind::Md5, number)).collect();
    ask(&store.snapshot(), Kind::Md5, &asked).into_iter().map(|(verdict, _)| verdict).collect()
}

fn inspect(store: &Store, list: &str) -> Inspected {
    match store.execute(Command::Inspect { list: name(list) }) {
        Ok(Outcome::Inspected(inspected)) => *inspected,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check_sound(store: &Store) {
    let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
    assert_eq!(damage, Vec::<String>::new());
    let incoming = fs::read_dir(store.folder().join("incoming")).unwrap().count();
    assert_eq!((incoming, store.folder().join("restoring").exists()), (0, false));
}

/// A store with something of everything, a backup of it, and what both answer.
fn backed_up() -> (tempfile::TempDir, tempfile::TempDir, Vec<Verdict>) {
    let (folder, backup) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(folder.path(), true);
    import(&store, &name("debian"), &said(0..40), Role::Ignorable, "a", false).unwrap();
    import(&store, &name("debian"), &said(20..60), Role::Ignorable, "b", false).unwrap();
    add(&store, 50..70);
    while store.maintain().unwrap() {}
    add(&store, 70..73);
    withdraw(&store, "own", 51);
    withdraw(&store, "debian", 30);
    back_up(&store, backup.path());
    let answers = verdicts(&store);
    (folder, backup, answers)
}

/// Changes a store of [`backed_up`] in every way that a restore must undo.
fn change(store: &Store) {
    import(store, &name("debian"), &said(80..90), Role::Illegal, "c", false).unwrap();
    import(store, &name("later"), &said(10..20), Role::Illegal, "d", false).unwrap();
    add(store, 90..99);
    withdraw(store, "own", 60);
    store.execute(Command::Compact).unwrap();
}

#[test]
fn a_restore_returns_everything_and_no_number_is_given_twice() {
    let (folder, backup, then) = backed_up();
    let store = open(folder.path(), true);
    change(&store);
    let (changed, before) = (verdicts(&store), store.snapshot());
    assert_ne!(changed, then);
    let later = inspect(&store, "later").list.id;
    let restored = restore(&store, backup.path()).unwrap();
    assert_eq!((verdicts(&store), restored.replaced_generation), (then.clone(), before.generation()));
    assert!(store.snapshot().generation() > before.generation());
    // A question under way ends on what it started with.
    let asked: Vec<Fingerprint> = (0..100).map(|number| fingerprint(Kind::Md5, number)).collect();
    let told: Vec<_> = ask(&before, Kind::Md5, &asked).into_iter().map(|(verdict, _)| verdict).collect();
    assert_eq!(told, changed);
    check_sound(&store);
    let inspected = inspect(&store, "debian");
    let expected = format!("restored as it was at {} UTC", moment::utc(Backup::read(backup.path()).unwrap().made_at));
    assert_eq!(inspected.history[0].action, expected);
    // Versions 1 to 3 of debian were given, and the number of the list that came later.
    import(&store, &name("debian"), &said(0..4), Role::Ignorable, "e", false).unwrap();
    assert_eq!(inspect(&store, "debian").list.version, Some(VersionNumber(4)));
    import(&store, &name("new"), &said(0..4), Role::Ignorable, "e", false).unwrap();
    assert!(inspect(&store, "new").list.id > later);
    drop(store);
    // And again, into a folder in which there was nothing, and over one that holds the same.
    let fresh = tempfile::tempdir().unwrap();
    for folder in [fresh.path(), fresh.path(), folder.path()] {
        restore_closed(folder, backup.path()).unwrap();
        let store = open(folder, true);
        assert_eq!(verdicts(&store), then);
        check_sound(&store);
        add(&store, [99]);
    }
}

#[test]
fn a_store_that_cannot_be_opened_any_more_is_restored() {
    let (folder, backup, then) = backed_up();
    let store = open(folder.path(), true);
    change(&store);
    let generation = store.snapshot().generation();
    drop(store);
    for damaged in [&["catalogue.sqlite"][..], &["manifest"], &["manifest", "catalogue.sqlite", "manifest.previous"]] {
        let home = tempfile::tempdir().unwrap();
        copy(folder.path(), home.path());
        damaged.iter().for_each(|file| fs::write(home.path().join(file), b"rubbish").unwrap());
        assert!(Store::open(home.path(), options(true)).is_err());
        let restored = restore_closed(home.path(), backup.path()).unwrap();
        assert!(restored.generation > generation || damaged.len() == 3, "{damaged:?}: {restored:?}");
        let store = open(home.path(), true);
        assert_eq!(verdicts(&store), then);
        check_sound(&store);
    }
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_is_changed() {
    let (folder, backup, _) = backed_up();
    let store = open(folder.path(), true);
    change(&store);
    let (answers, generation) = (verdicts(&store), store.snapshot().generation());
    let mut files = paths(backup.path());
    files.push(Backup::FILE.to_owned());
    let mut refused = 0;
    for file in &files {
        let sound = fs::read(backup.path().join(file)).unwrap();
        for at in (0..sound.len()).step_by(sound.len() / 6 + 1) {
            for cut in [false, true] {
                let home = tempfile::tempdir().unwrap();
                copy(backup.path(), home.path());
                let mut bytes = sound.clone();
                if cut {
                    bytes.truncate(at)
                } else {
                    bytes[at] ^= 0x10
                }
                fs::write(home.path().join(file), bytes).unwrap();
                let result = restore(&store, home.path());
                let error = result.expect_err(&format!("{file}, byte {at}, cut {cut}")).to_string();
                assert!(error.contains("refused") && error.contains("nothing was changed"), "{file}: {error}");
                let part = file.rsplit('/').next().unwrap();
                assert!(error.contains(part), "expected {part} in: {error}");
                assert!(file == Backup::FILE || check_copy(home.path()).is_err(), "{file}, byte {at}, cut {cut}");
                refused += 1;
                assert_eq!((verdicts(&store), store.snapshot().generation()), (answers.clone(), generation));
            }
        }
        let home = tempfile::tempdir().unwrap();
        copy(backup.path(), home.path());
        fs::remove_file(home.path().join(file)).unwrap();
        restore(&store, home.path()).unwrap_err();
        assert_eq!((verdicts(&store), store.snapshot().generation()), (answers.clone(), generation), "without {file}");
    }
    assert!(refused > 40, "{refused} refused");
    check_sound(&store);
    add(&store, [99]);
    assert_eq!(verdicts(&store)[99], Verdict::Known);
}

#[test]
fn paths_that_lead_out_of_a_backup_are_refused() {
    let (_folder, backup, _) = backed_up();
    let path = backup.path().join(Backup::FILE);
    let sound = fs::read_to_string(&path).unwrap();
    let copied = BackedUp {
        incoming: String::new(),
        at: 1,
        generation: 1,
        seq: 1,
        checksum: "ab".to_owned(),
        changes_waited_ms: 0,
    };
    for bad in ["../manifest", "/etc/passwd", "segments/../../x", "a/b/c", ".hidden", ""] {
        let file = BackupFile { path: bad.to_owned(), bytes: 1, blake3: "cd".to_owned() };
        Backup::new(&copied, vec![file]).write(backup.path()).unwrap();
        let error = Backup::read(backup.path()).unwrap_err().to_string();
        assert!(error.contains("paths inside its folder"), "{bad}: {error}");
    }
    fs::write(&path, sound.replace("\"format\": 1", "\"format\": 2")).unwrap();
    assert!(Backup::read(backup.path()).unwrap_err().to_string().contains("expected format 1, found 2"));
    fs::remove_file(&path).unwrap();
    assert!(Backup::read(backup.path()).unwrap_err().to_string().contains("cut short"));
}

#[test]
fn a_backup_is_consistent_however_fast_changes_come() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    // Each batch adds a number and withdraws the one before: every state answers for exactly one.
    add(&store, [0]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let entries = vec![entry("the one", vec![fingerprint(Kind::Md5, number % 100)], 1)];
                store.execute(Command::Add { list: name("one"), role: Some(Role::Illegal), entries }).unwrap();
                if number % 16 == 0 {
                    store.execute(Command::Compact).unwrap();
                }
            }
        });
        while store.execute(Command::Inspect { list: name("one") }).is_err() {
            std::thread::yield_now();
        }
        for _ in 0..8 {
            let (backup, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            back_up(&store, backup.path());
            restore_closed(other.path(), backup.path()).unwrap();
            let copied = open(other.path(), true);
            copied.execute(Command::Remove { list: name("own") }).unwrap();
            let known = verdicts(&copied).iter().filter(|verdict| **verdict == Verdict::Known).count();
            assert_eq!(known, 1);
            check_sound(&copied);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_import_begun_before_a_restore_is_refused_after_it() {
    let (folder, backup, then) = backed_up();
    let store = open(folder.path(), true);
    let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: name("debian") }) else {
        panic!()
    };
    let incoming = Incoming::create(folder.path(), "debian").unwrap();
    let source = hashward::list::Source { list: begun.list_id, version: begun.version };
    let segments = write_version(&incoming, &said(0..10), source, begun.applied_seq);
    restore(&store, backup.path()).unwrap();
    assert!(!incoming.path().exists());
    let refused = store.execute(Command::Publish(hashward::store::Publish {
        list: name("debian"),
        list_id: begun.list_id,
        version: begun.version,
        base: None,
        incoming: incoming.name().to_owned(),
        records: None,
        segments,
        roles: hashward::list::Roles::uniform(Role::Ignorable),
        source: "z".to_owned(),
        adds: false,
        radii: Default::default(),
        counts: Default::default(),
    }));
    assert!(refused.is_err());
    assert_eq!(verdicts(&store), then);
    check_sound(&store);
}

#[test]
fn a_restore_while_segments_are_still_verified_answers_at_once() {
    let (folder, backup, then) = backed_up();
    let store = Store::open(folder.path(), options(true)).unwrap();
    assert_eq!(verdicts(&store)[20], Verdict::Undecided(Reason::Loading));
    restore(&store, backup.path()).unwrap();
    assert_eq!(verdicts(&store), then);
    store.load().unwrap();
    assert_eq!(verdicts(&store), then);
}

#[test]
fn without_room_for_the_copy_no_backup_is_made() {
    let (folder, _backup, then) = backed_up();
    let store = open(folder.path(), true);
    fs::remove_dir_all(folder.path().join("incoming")).unwrap();
    fs::write(folder.path().join("incoming"), b"").unwrap();
    let error = store.execute(Command::Backup).unwrap_err();
    assert!(matches!(&error, StoreError::Io { .. }) && error.to_string().contains("incoming"), "{error}");
    assert_eq!(verdicts(&store), then);
}
