//! What a store refuses, what a full disk does to it, and what damage does.

mod store_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use hashward::fingerprint::{Fingerprint, Kind, Radii, Radius, hash_bytes};
use hashward::index::snapshot::KindState;
use hashward::list::{ListId, ListShape, ListState, Role, Source, VersionNumber};
use hashward::matching::{Reason, Verdict};
use hashward::store::command::{KeptRecords, ListInfo, Withdrawn};
use hashward::store::{Command, Incoming, Outcome, Publish, Store, StoreError, StoreOptions};
use store_support::*;

fn said(numbers: impl IntoIterator<Item = u32>, code: u8) -> Said {
    numbers.into_iter().map(|number| (fingerprint(Kind::Md5, number), [code].into())).collect()
}

fn lists(store: &Store) -> BTreeMap<String, ListInfo> {
    let Ok(Outcome::Lists { lists }) = store.execute(Command::Lists) else { panic!() };
    lists.into_iter().map(|list| (list.name.to_string(), list)).collect()
}

fn add(store: &Store, list: &str, numbers: impl IntoIterator<Item = u32>) -> Result<Outcome, StoreError> {
    let entries = numbers.into_iter().map(|n| entry(&n.to_string(), vec![fingerprint(Kind::Md5, n)], 1)).collect();
    store.execute(Command::Add { list: name(list), role: Some(Role::Illegal), entries })
}

fn verdicts(store: &Store, numbers: impl IntoIterator<Item = u32>) -> Vec<Verdict> {
    let asked: Vec<_> = numbers.into_iter().map(|number| fingerprint(Kind::Md5, number)).collect();
    ask(&store.snapshot(), Kind::Md5, &asked).into_iter().map(|(verdict, _)| verdict).collect()
}

#[test]
fn only_one_process_owns_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let no_create = StoreOptions { create: false, ..options(true) };
    assert!(matches!(Store::open(&absent, no_create.clone()), Err(StoreError::NoStore { .. })));
    assert!(!absent.exists());
    let store = open(folder.path(), true);
    let Err(StoreError::Locked { holder, .. }) = Store::open(folder.path(), no_create.clone()) else { panic!() };
    assert_eq!(holder, std::process::id().to_string());
    drop(store);
    Store::open(folder.path(), no_create).unwrap();
}

#[test]
fn commands_that_make_no_sense_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    import(&store, &name("debian"), &said(0..4, 1), Role::Ignorable, "a", false).unwrap();
    add(&store, "own", 0..2).unwrap();
    let before = lists(&store);
    let entries = vec![entry("x", vec![fingerprint(Kind::Md5, 9)], 1)];
    let add_to = |list: &str, role| Command::Add { list: name(list), role, entries: entries.clone() };
    let set_radius = |list: &str, kind, radius| Command::SetRadius { list: name(list), kind, radius };
    let empty = Command::Add { list: name("own"), role: None, entries: vec![entry("x", Vec::new(), 1)] };
    for (command, expected) in [
        (add_to("debian", None), "import a file with --add"),
        (add_to("absent", None), "name its role"),
        (add_to("hashward-test", None), "part of hashward"),
        (empty, "has no fingerprint"),
        (Command::BeginImport { list: name("own") }, "use another name"),
        (Command::BeginImport { list: name("hashward-degenerate") }, "part of hashward"),
        (Command::SetState { list: name("absent"), state: ListState::Disabled }, "no list"),
        (Command::SetState { list: name("hashward-test"), state: ListState::Disabled }, "part of hashward"),
        (set_radius("absent", Kind::Pdq, None), "no list"),
        (set_radius("hashward-test", Kind::Pdq, Some(Radius(31))), "part of hashward"),
        (set_radius("own", Kind::Pdq, Some(Radius(64))), "a radius of 64 for pdq: expected at most 63; name a"),
        (set_radius("own", Kind::Md5, Some(Radius(0))), "md5 is compared by equality and has no radius"),
        (set_radius("own", Kind::PhotoDna, None), "photodna is compared by equality and has no radius"),
        (Command::Remove { list: name("hashward-test") }, "part of hashward"),
        (Command::Rollback { list: name("own"), to: None }, "no versions"),
        (Command::Rollback { list: name("debian"), to: None }, "no version before 1"),
        (Command::Rollback { list: name("debian"), to: Some(VersionNumber(1)) }, "no version 1; kept are"),
        (Command::Inspect { list: name("absent") }, "no list"),
    ] {
        let message = store.execute(command.clone()).unwrap_err().to_string();
        assert!(message.contains(expected), "{command:?}: {message}");
    }
    assert_eq!(lists(&store), before);
}

#[test]
fn radii_are_the_lists_and_not_the_versions() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), true);
    let import = |store: &Store, source, given| {
        import_with(store, &name("debian"), &said(0..4, 1), Role::Ignorable, source, false, radii(given)).unwrap()
    };
    let set = |store: &Store, kind, radius: Option<u16>| {
        let command = Command::SetRadius { list: name("debian"), kind, radius: radius.map(Radius) };
        store.execute(command).unwrap()
    };
    let seq = |store: &Store| match store.execute(Command::Status) {
        Ok(Outcome::Status(status)) => status.seq,
        outcome => panic!("{outcome:?}"),
    };
    let check = |store: &Store, version: u32, expected: &str| {
        let info = &lists(store)["debian"];
        assert_eq!((info.version, &info.radii), (Some(VersionNumber(version)), &radii(expected)));
        let snapshot = store.snapshot();
        let view = snapshot.lists().iter().find(|list| list.id == info.id).unwrap();
        assert_eq!(view.radii, radii(expected));
    };
    import(&store, "a", "pdq=20");
    check(&store, 1, "pdq=20");
    import(&store, "b", "phash64=2");
    check(&store, 2, "pdq=20,phash64=2");
    // What is there already makes no new version, and still gets its radius.
    assert_eq!(import(&store, "b", "pdq=30"), Outcome::Unchanged { version: VersionNumber(2) });
    check(&store, 2, "pdq=30,phash64=2");
    store.execute(Command::Rollback { list: name("debian"), to: None }).unwrap();
    check(&store, 1, "pdq=30,phash64=2");
    let outcome = set(&store, Kind::Phash64, None);
    assert_eq!(outcome, Outcome::RadiusSet { previous: Some(Radius(2)), radius: None });
    // The kind's own number is still one of the list's: it stays, should the kind's ever be another.
    assert_eq!(
        set(&store, Kind::Pdq, Some(31)),
        Outcome::RadiusSet { previous: Some(Radius(30)), radius: Some(Radius(31)) }
    );
    let before = seq(&store);
    set(&store, Kind::Pdq, Some(31));
    assert_eq!(seq(&store), before, "nothing was changed");
    check(&store, 1, "pdq=31");
    drop(store);
    store = open(folder.path(), true);
    check(&store, 1, "pdq=31");
    let Ok(Outcome::Inspected(inspected)) = store.execute(Command::Inspect { list: name("debian") }) else { panic!() };
    let actions: Vec<_> = inspected.history.iter().map(|change| change.action.as_str()).collect();
    assert_eq!(actions[..2], ["set radius pdq=31", "set radius phash64=default"]);
    // A list of the same name that comes later is another.
    store.execute(Command::Remove { list: name("debian") }).unwrap();
    import(&store, "a", "");
    assert_eq!(lists(&store)["debian"].radii, Radii::none());
}

/// What version 3 of the catalogue's schema brought.
const VERSION_3_TABLES: [&str; 8] =
    ["version_records", "holds", "alarms", "suppressions", "suppressed", "feeds", "feed_faults", "feed_tombstones"];

#[test]
fn a_store_with_a_catalogue_of_version_1_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    publish_bare(&store, "debian", "a", false, false).unwrap();
    add(&store, "own", 50..70).unwrap();
    let (before, sound) = (lists(&store), verdicts(&store, 0..100));
    drop(store);
    let catalogue = rusqlite::Connection::open(folder.path().join("catalogue.sqlite")).unwrap();
    for table in ["radii", "staged_radii"].into_iter().chain(VERSION_3_TABLES) {
        catalogue.execute_batch(&format!("DROP TABLE {table}")).unwrap();
    }
    catalogue.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(catalogue);
    let store = open(folder.path(), true);
    assert_eq!(kept_records(&store, "debian"), [None]);
    assert_eq!((lists(&store), verdicts(&store, 0..100)), (before, sound));
    let command = Command::SetRadius { list: name("own"), kind: Kind::Pdq, radius: Some(Radius(40)) };
    store.execute(command).unwrap();
    drop(store);
    assert_eq!(lists(&open(folder.path(), true))["own"].radii, radii("pdq=40"));
}

#[test]
fn degenerate_content_gets_into_no_feed_list() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let empty = hash_bytes(Kind::Md5, b"");
    let entries = vec![
        entry("both", vec![empty.clone(), fingerprint(Kind::Md5, 1)], 0),
        entry("empty alone", vec![empty.clone()], 0),
    ];
    let outcome = store.execute(Command::Add { list: name("own"), role: Some(Role::Illegal), entries }).unwrap();
    let Outcome::Added(added) = outcome else { panic!() };
    assert_eq!((added.created, added.added, added.degenerate), (true, 1, 2));
    assert_eq!(lists(&store)["own"].fingerprints, [(Kind::Md5, 1)].into());
    let told = ask(&store.snapshot(), Kind::Md5, &[empty]);
    assert_eq!(told[0].0, Verdict::Ignorable);
    assert_eq!(lists(&store)["hashward-degenerate"].shape, ListShape::BuiltIn);
}

#[test]
fn an_import_overtaken_or_based_on_what_is_gone_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let debian = name("debian");
    let begin = || match store.execute(Command::BeginImport { list: debian.clone() }) {
        Ok(Outcome::ImportBegun(begun)) => begun,
        outcome => panic!("{outcome:?}"),
    };
    // A list whose first version is still being built is no list yet.
    let early = begin();
    assert!(!lists(&store).contains_key("debian"));
    let refused = store.execute(Command::SetState { list: debian.clone(), state: ListState::Disabled });
    assert!(matches!(refused, Err(StoreError::NoSuchList(_))));
    import(&store, &debian, &said(0..4, 1), Role::Illegal, "a", false).unwrap();
    let publish = |list_id, version, base, source| {
        let incoming = Incoming::create(folder.path(), "x").unwrap();
        let segments = write_version(&incoming, &said(5..9, 2), source, 1);
        let result = store.execute(Command::Publish(Publish {
            list: debian.clone(),
            list_id,
            version,
            base,
            incoming: incoming.name().to_owned(),
            segments,
            records: None,
            roles: hashward::list::Roles::uniform(Role::Illegal),
            source: "b".to_owned(),
            adds: false,
            radii: Radii::none(),
            counts: Default::default(),
        }));
        result.unwrap_err()
    };
    let early_source = Source { list: early.list_id, version: early.version };
    let refused = publish(early.list_id, early.version, None, early_source);
    assert!(matches!(refused, StoreError::Overtaken { .. }), "{refused}");
    let begun = begin();
    let source = Source { list: begun.list_id, version: begun.version };
    let refused = publish(begun.list_id, begun.version, Some(VersionNumber::LIVE), source);
    assert!(matches!(refused, StoreError::Stale { .. }), "{refused}");
    let refused = publish(begun.list_id, VersionNumber(begun.version.0 + 1), None, source);
    assert!(matches!(refused, StoreError::Stale { .. }), "{refused}");
    // Labels of another version, or of another list, would answer for what nobody said.
    let refused = publish(begun.list_id, begun.version, None, early_source);
    assert!(matches!(refused, StoreError::BadVersion { .. }), "{refused}");
    store.execute(Command::Remove { list: debian.clone() }).unwrap();
    let refused = publish(begun.list_id, begun.version, None, source);
    assert!(matches!(refused, StoreError::Stale { .. }), "{refused}");
    // The number of a list is never given again, and the name may become a feed list's.
    let again = begin();
    assert!(again.list_id > begun.list_id);
    add(&store, "debian", 0..1).unwrap();
    assert!(lists(&store)["debian"].id > again.list_id);
}

#[test]
fn old_versions_go_and_their_files_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let debian = name("debian");
    for number in 0..8 {
        import(&store, &debian, &said(number..number + 4, 1), Role::Illegal, &number.to_string(), false).unwrap();
    }
    let Ok(Outcome::Inspected(inspected)) = store.execute(Command::Inspect { list: debian.clone() }) else { panic!() };
    let kept: Vec<_> = inspected.versions.iter().map(|version| version.version.0).collect();
    assert_eq!(kept, [8, 7, 6]);
    assert!(inspected.versions[0].current && inspected.history.len() > 8);
    // Of each version its segment and its records.
    assert_eq!(fs::read_dir(folder.path().join("segments")).unwrap().count(), 6);
    assert_eq!(fs::read_dir(folder.path().join("incoming")).unwrap().count(), 0);
    let outcome = store.execute(Command::Rollback { list: debian, to: Some(VersionNumber(6)) }).unwrap();
    assert!(matches!(outcome, Outcome::RolledBack { .. }), "{outcome:?}");
    assert_eq!(verdicts(&store, [4, 5, 8, 9]), [Verdict::Unknown, Verdict::Known, Verdict::Known, Verdict::Unknown]);
}

fn kept_records(store: &Store, list: &str) -> Vec<Option<KeptRecords>> {
    let Ok(Outcome::Inspected(inspected)) = store.execute(Command::Inspect { list: name(list) }) else { panic!() };
    inspected.versions.into_iter().map(|version| version.records).collect()
}

fn files_of(folder: &Path, extension: &str) -> Vec<PathBuf> {
    segment_files(folder).into_iter().filter(|path| path.extension().unwrap() == extension).collect()
}

/// Publishes four fingerprints, with their records or, as an earlier hashward, without.
fn publish_bare(
    store: &Store,
    list: &str,
    source: &str,
    adds: bool,
    with_records: bool,
) -> Result<Outcome, StoreError> {
    let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: name(list) }) else { panic!() };
    let incoming = Incoming::create(store.folder(), "x").unwrap();
    let label = Source { list: begun.list_id, version: begun.version };
    store.execute(Command::Publish(Publish {
        list: name(list),
        list_id: begun.list_id,
        version: begun.version,
        base: None,
        incoming: incoming.name().to_owned(),
        segments: write_version(&incoming, &said(0..4, 1), label, begun.applied_seq),
        records: with_records.then(|| write_records(&incoming, &said(0..4, 1))),
        roles: hashward::list::Roles::uniform(Role::Ignorable),
        source: source.to_owned(),
        adds,
        radii: Radii::none(),
        counts: Default::default(),
    }))
}

#[test]
fn a_version_keeps_the_records_of_all_its_sources() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let debian = name("debian");
    for (numbers, source, adds) in [(0..4, "a", false), (4..6, "b", true), (5..9, "c", true)] {
        import(&store, &debian, &said(numbers, 1), Role::Ignorable, source, adds).unwrap();
    }
    // Nothing is written twice: three versions name three files.
    let told: Vec<_> = kept_records(&store, "debian").into_iter().map(|kept| kept.unwrap()).collect();
    assert_eq!(told.iter().map(|kept| (kept.files, kept.records)).collect::<Vec<_>>(), [(3, 10), (2, 6), (1, 4)]);
    assert_eq!(files_of(folder.path(), "rec").len(), 3);
    let id = lists(&store)["debian"].id;
    let numbers = |version| records_of(&store, id, VersionNumber(version)).unwrap();
    assert_eq!((numbers(1), numbers(2), numbers(3)), (said(0..4, 1), said(0..6, 1), said(0..9, 1)));
    let records = store.records_of(id, VersionNumber(3)).unwrap();
    let shared: Vec<_> = records.files.iter().flat_map(|file| file.find(&fingerprint(Kind::Md5, 5))).collect();
    assert_eq!(shared.len(), 2, "the second and the third source hold it");
    // A base that is no longer kept still stands behind what was added to it.
    store.execute(Command::Rollback { list: debian.clone(), to: Some(VersionNumber(1)) }).unwrap();
    for source in 0..6 {
        import(&store, &debian, &said(source..source + 1, 2), Role::Ignorable, &source.to_string(), true).unwrap();
    }
    assert_eq!(kept_records(&store, "debian")[0].unwrap().files, 7);
    let Ok(Outcome::Verified { records: 7, damage, .. }) = store.execute(Command::Verify) else { panic!() };
    assert_eq!(damage, Vec::<String>::new());
    let reopened = {
        drop(store);
        open(folder.path(), true)
    };
    assert_eq!(files_of(folder.path(), "rec").len(), 7);
    assert_eq!(kept_records(&reopened, "debian")[0].unwrap().records, 10);
    // What is open is read to its end, whatever becomes of the list; then nothing of it is left.
    let records = reopened.records_of(id, VersionNumber(9)).unwrap();
    reopened.execute(Command::Remove { list: debian }).unwrap();
    assert_eq!(records.files.iter().flat_map(|file| file.iter()).map(Result::unwrap).count(), 10);
    assert_eq!(files_of(folder.path(), "rec"), Vec::<PathBuf>::new());
    let gone = reopened.records_of(id, VersionNumber(9)).unwrap();
    assert!(gone.files.is_empty() && !gone.complete);
}

#[test]
fn a_version_without_records_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let publish = |source: &str, adds, with_records| {
        let Ok(Outcome::Published(published)) = publish_bare(&store, "old", source, adds, with_records) else {
            panic!()
        };
        let records = store.records_of(lists(&store)["old"].id, published.version).unwrap();
        (records.files.len(), records.complete)
    };
    assert_eq!(publish("a", false, false), (0, false));
    assert_eq!(publish("b", true, true), (1, false), "half of it is not all of it");
    assert_eq!(publish("c", false, true), (1, true));
    assert_eq!(
        kept_records(&store, "old").into_iter().map(|kept| kept.is_some()).collect::<Vec<_>>(),
        [true, false, false]
    );
}

#[test]
fn damaged_records_are_told_and_change_no_answer() {
    let (folder, sound) = filled();
    let store = open(folder.path(), true);
    let id = lists(&store)["debian"].id;
    let newest = files_of(folder.path(), "rec").pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    let check = |damaged: &[u8], expected: &str| {
        fs::write(&newest, damaged).unwrap();
        let error = records_of(&store, id, VersionNumber(2)).unwrap_err();
        assert!(error.contains(expected) && error.contains(newest.to_str().unwrap()), "{error}");
        let Ok(Outcome::Verified { damage, records: 1, .. }) = store.execute(Command::Verify) else { panic!() };
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert!(damage[0].contains(expected), "{damage:?}");
        assert_eq!(verdicts(&store, 0..100), sound);
    };
    let flipped = |at: usize| [&bytes[..at], &[bytes[at] ^ 1], &bytes[at + 1..]].concat();
    check(&flipped(20), "section `header` is damaged");
    check(&flipped(bytes.len() - 1), "section `directory` is damaged");
    check(&flipped(bytes.len() - 140), "section `texts of block 0` is damaged");
    check(&bytes[..bytes.len() - 1], "section `header` is damaged");
    check(b"", "expected a hashward records file");
    check(&fs::read(&files_of(folder.path(), "rec")[0]).unwrap(), "expected the records file with BLAKE3");
    fs::write(&newest, bytes).unwrap();
    assert_eq!(records_of(&store, id, VersionNumber(2)).unwrap(), said(20..60, 2));
}

#[test]
fn records_that_a_tool_built_badly_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: name("debian") }) else {
        panic!()
    };
    let label = Source { list: begun.list_id, version: begun.version };
    for (file, expected) in [
        ("../records.rec", "plain file name"),
        ("absent.rec", "absent.rec"),
        ("md5.seg", "expected a hashward records file"),
        ("damaged.rec", "is damaged"),
    ] {
        let incoming = Incoming::create(folder.path(), "x").unwrap();
        let segments = write_version(&incoming, &said(0..4, 1), label, begun.applied_seq);
        let mut bytes = fs::read(incoming.path().join(write_records(&incoming, &said(0..4, 1)))).unwrap();
        bytes[110] ^= 1;
        fs::write(incoming.path().join("damaged.rec"), bytes).unwrap();
        let refused = store.execute(Command::Publish(Publish {
            list: name("debian"),
            list_id: begun.list_id,
            version: begun.version,
            base: None,
            incoming: incoming.name().to_owned(),
            segments,
            records: Some(file.to_owned()),
            roles: hashward::list::Roles::uniform(Role::Ignorable),
            source: "a".to_owned(),
            adds: false,
            radii: Radii::none(),
            counts: Default::default(),
        }));
        let message = refused.unwrap_err().to_string();
        assert!(message.contains(expected), "{file}: {message}");
    }
    assert!(!lists(&store).contains_key("debian"));
    assert_eq!(segment_files(folder.path()), Vec::<PathBuf>::new());
}

/// A folder with something of everything, and what it answers.
fn filled() -> (tempfile::TempDir, Vec<Verdict>) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    import(&store, &name("debian"), &said(0..40, 1), Role::Ignorable, "a", false).unwrap();
    import(&store, &name("debian"), &said(20..60, 2), Role::Ignorable, "b", false).unwrap();
    add(&store, "own", 50..70).unwrap();
    while store.maintain().unwrap() {}
    add(&store, "own", 70..73).unwrap();
    store.execute(Command::Withdraw { list: name("own"), fingerprints: vec![fingerprint(Kind::Md5, 51)] }).unwrap();
    let answers = verdicts(&store, 0..100);
    (folder, answers)
}

fn copy(from: &Path, to: &Path) {
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

fn segment_files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder.join("segments")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn damage_is_refused_or_undecided_and_never_answered_wrongly() {
    let (folder, sound) = filled();
    let mut targets = segment_files(folder.path());
    targets.extend(["manifest", "catalogue.sqlite"].map(|file| folder.path().join(file)));
    let (mut refused, mut undecided) = (0, 0);
    for target in targets {
        let bytes = fs::read(&target).unwrap();
        // Every place of a small file would be tested with its format; here, that the store notices.
        for at in (0..bytes.len()).step_by(bytes.len() / 12 + 1) {
            for cut in [false, true] {
                let home = tempfile::tempdir().unwrap();
                copy(folder.path(), home.path());
                let damaged = home.path().join(target.strip_prefix(folder.path()).unwrap());
                let mut bytes = bytes.clone();
                if cut {
                    bytes.truncate(at)
                } else {
                    bytes[at] ^= 0x10
                }
                fs::write(&damaged, bytes).unwrap();
                let Ok(store) = Store::open(home.path(), options(true)) else {
                    refused += 1;
                    continue;
                };
                store.load().unwrap();
                let snapshot = store.snapshot();
                let failed = matches!(snapshot.kind_state(Kind::Md5), KindState::Failed(_));
                let found = verdicts(&store, 0..100);
                if failed {
                    // Then each answer says that it is incomplete, and what only the damaged file holds is undecided.
                    let changed = found.iter().zip(&sound).filter(|(found, sound)| found != sound);
                    assert!(!changed.clone().any(|(found, _)| *found == Verdict::Unknown), "{target:?} at {at}");
                    undecided += changed.filter(|(found, _)| matches!(found, Verdict::Undecided(_))).count();
                } else {
                    assert_eq!(found, sound, "{target:?} at {at}");
                }
                // Changes go on beside a damaged segment.
                add(&store, "own", [99]).unwrap();
                assert_eq!(verdicts(&store, [99]), [Verdict::Known]);
            }
        }
    }
    assert!(refused > 20 && undecided > 100, "{refused} refused, {undecided} undecided");
}

#[test]
fn the_generation_before_can_be_put_back() {
    let (folder, sound) = filled();
    let store = open(folder.path(), true);
    store.execute(Command::Compact).unwrap();
    assert_eq!(verdicts(&store, 0..100), sound);
    drop(store);
    fs::write(folder.path().join("manifest"), b"rubbish").unwrap();
    let message = match Store::open(folder.path(), options(true)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a damaged manifest was taken"),
    };
    assert!(message.contains("copy manifest.previous over it"), "{message}");
    fs::copy(folder.path().join("manifest.previous"), folder.path().join("manifest")).unwrap();
    let store = open(folder.path(), true);
    assert_eq!(verdicts(&store, 0..100), sound);
    let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
    assert_eq!(damage, Vec::<String>::new());
}

#[test]
fn an_older_catalogue_is_noticed() {
    let (folder, _) = filled();
    let old = fs::read(folder.path().join("catalogue.sqlite")).unwrap();
    let store = open(folder.path(), true);
    import(&store, &name("vics"), &said(0..4, 1), Role::Illegal, "c", false).unwrap();
    drop(store);
    fs::write(folder.path().join("catalogue.sqlite"), old).unwrap();
    assert!(matches!(Store::open(folder.path(), options(true)), Err(StoreError::Disagreement { .. })));
    fs::remove_file(folder.path().join("catalogue.sqlite")).unwrap();
    assert!(matches!(Store::open(folder.path(), options(true)), Err(StoreError::Disagreement { .. })));
    fs::remove_file(folder.path().join("manifest")).unwrap();
    assert!(matches!(Store::open(folder.path(), options(true)), Err(StoreError::Disagreement { .. })));
}

#[test]
fn until_they_are_verified_kinds_are_undecided() {
    let (folder, sound) = filled();
    let store = Store::open(folder.path(), options(true)).unwrap();
    assert_eq!(verdicts(&store, [20]), [Verdict::Undecided(Reason::Loading)]);
    // A change meanwhile counts once they are.
    store.execute(Command::Withdraw { list: name("debian"), fingerprints: vec![fingerprint(Kind::Md5, 20)] }).unwrap();
    store.load().unwrap();
    assert_eq!(verdicts(&store, [20]), [Verdict::Unknown]);
    assert_eq!(verdicts(&store, 21..100), sound[21..]);
}

#[test]
fn a_withdrawal_says_what_the_list_did_not_hold() {
    let (folder, _) = filled();
    for serve in [true, false] {
        let store = open(folder.path(), serve);
        let absent = fingerprint(Kind::Md5, 90);
        let held = fingerprint(Kind::Md5, if serve { 30 } else { 31 });
        let withdraw = |fingerprints: Vec<Fingerprint>| {
            store.execute(Command::Withdraw { list: name("debian"), fingerprints }).unwrap()
        };
        let outcome = withdraw(vec![absent.clone(), held.clone()]);
        let not_held = vec![absent.clone()];
        assert_eq!(outcome, Outcome::Withdrawn(Withdrawn { withdrawn: 1, not_held }));
        let outcome = withdraw(vec![held.clone()]);
        assert_eq!(outcome, Outcome::Withdrawn(Withdrawn { withdrawn: 0, not_held: vec![held] }));
    }
}

/// The child's task: the folder.
const TASK: &str = "HASHWARD_FULL_DISK_TASK";

/// Not a test of its own: what runs with a limit on the size of files. Without a task it passes.
#[test]
fn child() {
    let Ok(folder) = std::env::var(TASK) else { return };
    let store = open(Path::new(&folder), true);
    let before = verdicts(&store, 0..100);
    // The catalogue and the files of segments are above the limit already.
    for attempt in 0..3 {
        assert!(add(&store, "own", 1000..3000).is_err(), "attempt {attempt}");
        let message = store.execute(Command::Compact).unwrap_err().to_string();
        assert!(message.contains("segments"), "{message}");
        let begun = store.execute(Command::BeginImport { list: name("debian") });
        assert!(begun.is_err());
        assert_eq!(verdicts(&store, 0..100), before);
    }
    println!("stood the full disk");
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was() {
    let (folder, sound) = filled();
    // `ulimit -f` counts blocks of 512 bytes here; the signal is ignored, so that writes fail as on a full disk.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" child --exact --nocapture";
    let output = Process::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(TASK, folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("stood the full disk"), "{text}");
    let store = open(folder.path(), true);
    assert_eq!(verdicts(&store, 0..100), sound);
    let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
    assert_eq!(damage, Vec::<String>::new());
    add(&store, "own", 80..90).unwrap();
    assert_eq!(verdicts(&store, [80]), [Verdict::Known]);
    assert_eq!(lists(&store)["debian"].id, ListId(16));
}
