//! What the catalogue promises, and what it refuses.

use super::*;
use crate::fingerprint::{Fingerprint, Kind, hash_bytes};
use crate::list::{Entry, Flags, ListId, ListShape, ListState, Role, Roles, VersionNumber};
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
    EntryRow {
        list,
        seq,
        entry: Entry { source_id: source_id.to_owned(), fingerprints, category: None, flags: Flags::NONE },
    }
}

fn md5(text: &str) -> Fingerprint {
    hash_bytes(Kind::Md5, text.as_bytes())
}

/// A catalogue with a list, entries and a withdrawal.
fn filled(file: &Path) -> Catalogue {
    let mut catalogue = Catalogue::create(file, 1).unwrap();
    let mut batch = catalogue.batch().unwrap();
    let id = batch.new_list_id().unwrap();
    batch.put_list(&list(id, "own")).unwrap();
    batch.put_entry(&entry(id, batch.seq(), "a", &["one", "two"])).unwrap();
    batch.put_entry(&entry(id, batch.seq(), "b", &["two"])).unwrap();
    batch.commit(2, Some(id), "added").unwrap();
    let mut batch = catalogue.batch().unwrap();
    batch.put_entry(&entry(id, batch.seq(), "a", &["one"])).unwrap();
    batch.withdraw(id, &md5("two")).unwrap();
    batch.commit(3, Some(id), "withdrew").unwrap();
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
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("catalogue.sqlite");
        drop(filled(&file));
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
        assert!(matches!(Catalogue::open(&file), Err(CatalogueError::Damaged { .. })), "{sql}");
    }
}

#[test]
fn a_later_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("catalogue.sqlite");
    drop(filled(&file));
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 2).unwrap();
    assert!(matches!(Catalogue::open(&file), Err(CatalogueError::TooNew { found: 2, .. })));
}

/// Everything that queries can see.
fn contents(catalogue: &Catalogue) -> String {
    let read = catalogue.read();
    let own = crate::list::FIRST_FREE_LIST_ID;
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        read.lists().unwrap(),
        read.versions().unwrap(),
        read.pairs_after(0).unwrap(),
        read.entries_with(own, &md5("two")).unwrap(),
        read.entry(own, "a").unwrap(),
        read.withdrawals_up_to(own, 9).unwrap(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn damage_is_refused_or_changes_no_answer(place in any::<prop::sample::Index>(), bit in 0u8..8, cut in prop::bool::weighted(0.2)) {
        static SOUND: LazyLock<(Vec<u8>, String)> = LazyLock::new(|| {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("catalogue.sqlite");
            let expected = contents(&filled(&file));
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
