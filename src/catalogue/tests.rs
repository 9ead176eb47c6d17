//! What the catalogue promises, and what it refuses.

use super::*;
use crate::fingerprint::{Fingerprint, Kind, KindRadius, Radii, Radius, hash_bytes};
use crate::list::{
    Entry, Lifted, ListId, ListShape, ListState, Role, Roles, Suppression, SuppressionScope, VersionNumber,
};
use proptest::prelude::*;
use std::fs;
use std::sync::LazyLock;

fn list(id: ListId, name: &str) -> ListRow {
    ListRow {
        id,
        name: name.parse().unwrap(),
        shape: ListShape::Feed,
        state: ListState::Active,
        roles: Roles::uniform(Role::Illegal),
        next_version: VersionNumber(1),
        current: VersionNumber::LIVE,
        created_at: 7,
    }
}

fn entry(list: ListId, seq: u64, source_id: &str, contents: &[&str]) -> EntryRow {
    let fingerprints = contents.iter().map(|text| hash_bytes(Kind::Md5, text.as_bytes())).collect();
    EntryRow { list, seq, entry: Entry { source_id: source_id.to_owned(), fingerprints, ..Entry::default() } }
}

/// Adds or replaces an entry with its fingerprints.
fn put(batch: &mut Batch<'_>, row: &EntryRow) {
    let old = batch.entry(row.list, &row.entry.source_id).unwrap();
    batch.change_entry(old.as_ref(), Some(row)).unwrap();
    for fingerprint in old.iter().flat_map(|old| &old.row.entry.fingerprints) {
        batch.remove_holder(row.list, fingerprint, &row.entry.source_id).unwrap();
    }
    for fingerprint in &row.entry.fingerprints {
        batch.add_holder(row.list, fingerprint, &row.entry.source_id).unwrap();
    }
}

fn md5(text: &str) -> Fingerprint {
    hash_bytes(Kind::Md5, text.as_bytes())
}

fn radii(given: &str) -> Radii {
    given.split(',').map(|given| given.parse::<KindRadius>().unwrap()).collect()
}

/// A catalogue with a list, entries and a withdrawal. `tests/data/catalogue-v1.sqlite` is what schema version 1 made of
/// this, and never written anew.
fn filled(file: &Path) -> Catalogue {
    let mut catalogue = Catalogue::create(file, 1).unwrap();
    let mut batch = catalogue.batch().unwrap();
    let id = batch.new_list_id().unwrap();
    batch.put_list(&list(id, "own")).unwrap();
    let seq = batch.seq();
    put(&mut batch, &entry(id, seq, "a", &["one", "two"]));
    let seq = batch.seq();
    put(&mut batch, &entry(id, seq, "b", &["two"]));
    batch.commit(2, Some(id), "added").unwrap();
    let mut batch = catalogue.batch().unwrap();
    let seq = batch.seq();
    put(&mut batch, &entry(id, seq, "a", &["one"]));
    batch.withdraw(id, &md5("two")).unwrap();
    batch.commit(3, Some(id), "withdrew").unwrap();
    catalogue
}

/// The same with radii, in force and staged.
fn filled_with_radii(file: &Path) -> Catalogue {
    let mut catalogue = filled(file);
    let id = crate::list::FIRST_FREE_LIST_ID;
    let mut batch = catalogue.batch().unwrap();
    batch.set_radius(id, Kind::Pdq, Some(Radius(40))).unwrap();
    batch.set_radius(id, Kind::Phash64, Some(Radius(0))).unwrap();
    batch.stage_radii(id, VersionNumber(1), &radii("pdq=20,dhash64=6")).unwrap();
    batch.commit(4, Some(id), "set radii").unwrap();
    catalogue
}

#[test]
fn what_was_committed_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.sqlite");
    assert!(!Catalogue::exists(&file));
    let head = filled(&file).head();
    assert!(Catalogue::exists(&file));
    let mut catalogue = Catalogue::open(&file).unwrap();
    assert_eq!(catalogue.head(), head);
    assert_eq!(catalogue.audit().unwrap(), head);
    let id = crate::list::FIRST_FREE_LIST_ID;
    let read = catalogue.read();
    assert_eq!(read.list(&"own".parse().unwrap()).unwrap(), Some(list(id, "own")));
    assert_eq!(read.entries_with(id, &md5("two")).unwrap(), [entry(id, 2, "b", &["two"])]);
    assert_eq!(read.pairs_after(2).unwrap().len(), 2);
    assert_eq!(read.pairs_after(3).unwrap(), [].into());
    assert_eq!(read.history(id, 9).unwrap().iter().map(|batch| batch.seq).collect::<Vec<_>>(), [3, 2]);

    // A batch that is dropped has not happened; a list's number is not given again.
    let mut batch = catalogue.batch().unwrap();
    batch.remove_list(id).unwrap();
    drop(batch);
    assert_eq!(catalogue.audit().unwrap(), head);
    let mut batch = catalogue.batch().unwrap();
    assert_eq!(batch.remove_list(id).unwrap(), (0, 2));
    assert_eq!(batch.new_list_id().unwrap(), ListId(id.0 + 1));
    batch.commit(4, Some(id), "removed").unwrap();
    assert_eq!(catalogue.audit().unwrap().rows, 1);
}

#[test]
fn radii_are_set_staged_and_applied() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.sqlite");
    drop(filled_with_radii(&file));
    let mut catalogue = Catalogue::open(&file).unwrap();
    let (id, one, two) = (crate::list::FIRST_FREE_LIST_ID, VersionNumber(1), VersionNumber(2));
    assert_eq!(catalogue.read().radii(id).unwrap(), radii("pdq=40,phash64=0"));
    assert_eq!(catalogue.read().radii(ListId(id.0 + 1)).unwrap(), Radii::none());
    assert_eq!(catalogue.read().staged_radii(id, one).unwrap(), radii("pdq=20,dhash64=6"));

    let mut batch = catalogue.batch().unwrap();
    batch.set_radius(id, Kind::Phash64, None).unwrap();
    assert_eq!(batch.apply_staged_radii(id, one).unwrap(), radii("pdq=20,dhash64=6"));
    batch.stage_radii(id, two, &radii("pdq=1")).unwrap();
    batch.remove_version(id, two).unwrap();
    batch.commit(5, Some(id), "published").unwrap();
    assert_eq!(catalogue.read().radii(id).unwrap(), radii("pdq=20,dhash64=6"));
    for version in [one, two] {
        assert_eq!(catalogue.read().staged_radii(id, version).unwrap(), Radii::none());
    }
    let mut batch = catalogue.batch().unwrap();
    batch.stage_radii(id, two, &radii("pdq=1")).unwrap();
    batch.remove_list(id).unwrap();
    batch.commit(6, Some(id), "removed").unwrap();
    assert_eq!(catalogue.read().radii(id).unwrap(), Radii::none());
    assert_eq!(catalogue.audit().unwrap().rows, 1);
}

#[test]
fn files_are_renamed_and_numbers_only_rise() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.sqlite");
    let mut catalogue = filled(&file);
    let id = crate::list::FIRST_FREE_LIST_ID;
    let segment = |file: &str| SegmentFile {
        file: file.to_owned(),
        digests: 1,
        bytes: 2,
        applied_seq: 3,
        blake3: "ab".to_owned(),
    };
    let version = |file: &str| VersionRow {
        list: id,
        number: VersionNumber(1),
        state: VersionState::Published,
        roles: Roles::uniform(Role::Illegal),
        sources: Vec::new(),
        counts: "{}".to_owned(),
        segments: [(Kind::Md5, segment(file))].into(),
        created_at: 4,
    };
    let mut batch = catalogue.batch().unwrap();
    batch.put_version(&version("00000001.seg")).unwrap();
    let numbers = [id.0.into(), 1i64, 0].map(rusqlite::types::Value::from);
    let texts = ["00000002.rec".to_owned().into(), 5i64.into(), 6i64.into(), "cd".to_owned().into()];
    let records: Vec<rusqlite::types::Value> = numbers.into_iter().chain(texts).collect();
    batch.insert(&schema::VERSION_RECORDS, &records).unwrap();
    batch.commit(5, Some(id), "a version").unwrap();

    let names = [("00000001.seg", "00000007.seg"), ("00000002.rec", "00000008.rec")];
    let names = names.map(|(old, new)| (old.to_owned(), new.to_owned())).into();
    let mut batch = catalogue.batch().unwrap();
    batch.rename_files(id, &names).unwrap();
    batch.raise_next_list(ListId(40)).unwrap();
    batch.raise_next_list(ListId(30)).unwrap();
    batch.commit(6, None, "renamed").unwrap();
    // Elsewhere it is the same, and what it holds agrees with its checksums.
    let moved = folder.path().join("moved.sqlite");
    let done = catalogue.move_to(&moved, || {
        fs::rename(&file, &moved).unwrap();
        Ok::<_, CatalogueError>(())
    });
    done.unwrap();
    catalogue.audit().unwrap();
    assert_eq!(catalogue.read().versions().unwrap(), [version("00000007.seg")]);
    assert_eq!(catalogue.batch().unwrap().new_list_id().unwrap(), ListId(40));
    drop(catalogue);
    let read_only = Catalogue::open_read_only(&moved).unwrap();
    let sql = "SELECT file FROM version_records";
    let kept: String = read_only.connection.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!((kept.as_str(), read_only.begun()), ("00000008.rec", 0));
    assert!(!file.exists());
}

/// The golden file in a folder of its own.
fn version_1() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.sqlite");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/catalogue-v1.sqlite"), &file).unwrap();
    (folder, file)
}

fn version_of(file: &Path) -> i64 {
    schema::version(&connect(file, OpenFlags::empty()).unwrap()).unwrap()
}

#[test]
fn a_catalogue_of_version_1_holds_the_same_as_one_of_today() {
    let (folder, file) = version_1();
    assert_eq!(version_of(&file), 1);
    let today = filled(&folder.path().join("today.sqlite"));
    for _ in 0..2 {
        let catalogue = Catalogue::open(&file).unwrap();
        assert_eq!((contents(&catalogue), catalogue.head()), (contents(&today), today.head()));
        let printed = |catalogue: &Catalogue| schema::printed(&catalogue.connection).unwrap();
        assert_eq!(printed(&catalogue), printed(&today));
        drop(catalogue);
        assert_eq!(version_of(&file), schema::VERSION);
    }
}

#[test]
fn an_upgrade_that_is_cut_short_has_not_happened() {
    let (folder, file) = version_1();
    let sound = fs::read(&file).unwrap();
    let mut connection = connect(&file, OpenFlags::empty()).unwrap();
    let transaction = connection.transaction().unwrap();
    schema::take_steps(&transaction, 1).unwrap();
    // All of it is on the disk but the commit: what a crash leaves then is a changed file, and a journal beside it.
    transaction.cache_flush().unwrap();
    let left = folder.path().join("left.sqlite");
    fs::copy(&file, &left).unwrap();
    fs::copy(folder.path().join("catalogue.sqlite-journal"), folder.path().join("left.sqlite-journal")).unwrap();
    assert!(fs::read(&left).unwrap() != sound);
    assert_eq!(version_of(&left), 1);
    let today = filled(&folder.path().join("today.sqlite"));
    assert_eq!(contents(&Catalogue::open(&left).unwrap()), contents(&today));
    assert_eq!(version_of(&left), schema::VERSION);
}

#[test]
fn a_damaged_catalogue_of_version_1_is_refused_as_it_is() {
    for sql in [
        "UPDATE lists SET state = 'disabled'",
        "CREATE TABLE radii (list INTEGER NOT NULL) STRICT",
        "PRAGMA user_version = 2",
        "PRAGMA user_version = -1",
    ] {
        let (_folder, file) = version_1();
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        let damaged = fs::read(&file).unwrap();
        assert!(matches!(Catalogue::open(&file), Err(CatalogueError::Damaged { .. })), "{sql}");
        assert!(fs::read(&file).unwrap() == damaged, "{sql}");
    }
}

#[test]
fn a_changed_row_is_noticed() {
    for sql in [
        "UPDATE feed_entries SET seq = seq + 1 WHERE source_id = 'b'",
        "DELETE FROM withdrawals",
        "DELETE FROM entry_fingerprints WHERE source_id = 'b'",
        "UPDATE lists SET state = 'disabled'",
        "DELETE FROM batches WHERE seq = 3",
        "DELETE FROM batches WHERE seq = 1",
        "UPDATE batches SET action = 'added less' WHERE seq = 2",
        "DROP INDEX withdrawals_by_seq",
        "UPDATE radii SET radius = 41 WHERE radius = 40",
        "DELETE FROM staged_radii",
        "UPDATE staged_radii SET version = 2",
        "PRAGMA user_version = 1",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalogue.sqlite");
        drop(filled_with_radii(&file));
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        assert!(matches!(Catalogue::open(&file), Err(CatalogueError::Damaged { .. })), "{sql}");
    }
}

#[test]
fn a_later_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.sqlite");
    drop(filled(&file));
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 4).unwrap();
    assert!(matches!(Catalogue::open(&file), Err(CatalogueError::TooNew { found: 4, known: 3, .. })));
}

/// Everything that queries can see.
fn contents(catalogue: &Catalogue) -> String {
    let read = catalogue.read();
    let own = crate::list::FIRST_FREE_LIST_ID;
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        read.lists().unwrap(),
        read.versions().unwrap(),
        read.pairs_after(0).unwrap(),
        read.entries_with(own, &md5("two")).unwrap(),
        read.entries_with(own, &md5("one")).unwrap(),
        read.withdrawals_up_to(own, 9, 9).unwrap(),
        read.radii(own).unwrap(),
        read.staged_radii(own, VersionNumber(1)).unwrap(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damage_is_refused_or_changes_no_answer(place in any::<prop::sample::Index>(), bit in 0u8..8, cut in prop::bool::weighted(0.2)) {
        static SOUND: LazyLock<(Vec<u8>, String)> = LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("catalogue.sqlite");
            let expected = contents(&filled_with_radii(&file));
            (fs::read(&file).unwrap(), expected)
        });
        let (mut bytes, expected) = (SOUND.0.clone(), &SOUND.1);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalogue.sqlite");
        let at = place.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        fs::write(&file, &bytes).unwrap();
        if let Ok(catalogue) = Catalogue::open(&file) {
            prop_assert_eq!(&contents(&catalogue), expected);
        }
    }
}

#[test]
fn suppressions_are_kept_and_cover_what_entries_hold_together() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.sqlite");
    let mut catalogue = filled(&file);
    let (id, one, two) = (crate::list::FIRST_FREE_LIST_ID, VersionNumber(1), VersionNumber(2));
    let (author, reason) = ("an operator".to_owned(), "a stock photo".to_owned());
    let mut batch = catalogue.batch().unwrap();
    let (seq, scope) = (batch.seq(), SuppressionScope::Entry);
    let suppression = Suppression { id: seq, fingerprint: md5("one"), scope, author, reason, at: 9, lifted: None };
    batch.suppress(&suppression).unwrap();
    put(&mut batch, &entry(id, seq, "c", &["one", "three"]));
    put(&mut batch, &entry(id, seq, "d", &["three", "four"]));
    assert_eq!(batch.take_covered(), [md5("one"), md5("three")]);
    batch.stage_cover(&[md5("five"), md5("one")], id, one).unwrap();
    batch.stage_cover(&[md5("six"), md5("one")], id, two).unwrap();
    assert_eq!(batch.take_covered(), [md5("five"), md5("six")]);
    batch.commit(5, None, "suppressed").unwrap();
    drop(catalogue);

    let mut catalogue = Catalogue::open(&file).unwrap();
    let covered = |catalogue: &Catalogue| {
        let mut covered = catalogue.read().covered().unwrap();
        covered.sort();
        covered
    };
    let expected = |rows: &[(&str, Option<VersionNumber>)]| {
        let mut rows: Vec<_> = rows.iter().map(|(text, with)| (md5(text), with.map(|version| (id, version)))).collect();
        rows.sort();
        rows
    };
    let rows = [("one", None), ("three", None), ("five", Some(one)), ("six", Some(two))];
    assert_eq!(covered(&catalogue), expected(&rows));
    assert_eq!(catalogue.read().covered_by(seq, 1).unwrap().0, 2);
    assert_eq!(catalogue.read().suppressions_over(&md5("three")).unwrap(), std::slice::from_ref(&suppression));
    assert_eq!(catalogue.read().suppressions_over(&md5("five")).unwrap(), []);

    // One version comes to answer, the other never does; then the list goes, and the veto stays.
    let mut batch = catalogue.batch().unwrap();
    batch.apply_staged_cover(id, one).unwrap();
    batch.remove_version(id, two).unwrap();
    batch.remove_list(id).unwrap();
    batch.commit(6, Some(id), "published, and removed").unwrap();
    assert_eq!(covered(&catalogue), expected(&[("one", None), ("three", None), ("five", None)]));
    assert_eq!(catalogue.read().entry_roots().unwrap(), [md5("one")]);

    let mut batch = catalogue.batch().unwrap();
    let end = Lifted { seq: batch.seq(), author: "another".to_owned(), reason: "corrected".to_owned(), at: 10 };
    let lifted = Suppression { lifted: Some(end), ..suppression };
    batch.lift(&lifted).unwrap();
    // An entry that comes now is covered by nobody.
    put(&mut batch, &entry(id, seq, "e", &["one", "seven"]));
    assert_eq!(batch.take_covered(), []);
    batch.commit(7, None, "lifted").unwrap();
    assert_eq!((covered(&catalogue), catalogue.read().entry_roots().unwrap()), (vec![], vec![]));
    assert_eq!(catalogue.read().suppressions(None, false, 9).unwrap(), []);
    assert_eq!(catalogue.read().suppressions(None, true, 9).unwrap(), std::slice::from_ref(&lifted));
    assert_eq!(catalogue.read().suppressions(Some(seq), true, 9).unwrap(), []);
    assert_eq!(catalogue.read().suppressions_of(&md5("one")).unwrap(), std::slice::from_ref(&lifted));
    drop(catalogue);
    assert_eq!(Catalogue::open(&file).unwrap().read().suppression(seq).unwrap(), Some(lifted));
}
