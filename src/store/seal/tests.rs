//! What happens to a list while its labels are being sealed or merged, step by step.

use super::super::command::{Command, IncomingSegment, Publish};
use super::super::{Incoming, StoreOptions};
use super::*;
use crate::fingerprint::{Fingerprint, Radii, hash_bytes};
use crate::list::{Category, Entry, Flags, Label, ListName, Role, Roles};
use crate::matching::{Question, answer};
use std::path::Path;

fn md5(number: u32) -> Fingerprint {
    hash_bytes(Kind::Md5, &number.to_le_bytes())
}

fn name(name: &str) -> ListName {
    name.parse().unwrap()
}

fn open(folder: &Path) -> Store {
    let store = Store::open(folder, StoreOptions { create: true, ..StoreOptions::default() }).unwrap();
    store.load().unwrap();
    store
}

/// One entry for each number, all of one category.
fn add(store: &Store, list: &str, numbers: &[u32], code: &str) {
    let entries = numbers.iter().map(|number| Entry {
        source_id: number.to_string(),
        fingerprints: vec![md5(*number)],
        category: Some(Category::new(None, code)),
        ..Entry::default()
    });
    let entries = entries.collect();
    store.execute(Command::Add { list: name(list), role: Some(Role::Illegal), entries }).unwrap();
}

fn withdraw(store: &Store, list: &str, number: u32) {
    store.execute(Command::Withdraw { list: name(list), fingerprints: vec![md5(number)] }).unwrap();
}

fn import(store: &Store, list: &str, numbers: &[u32], code: &str) -> VersionNumber {
    let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: name(list) }) else { panic!() };
    let incoming = Incoming::create(store.folder(), list).unwrap();
    let mut labels = LabelTable::new();
    let source = Source { list: begun.list_id, version: begun.version };
    let label = labels.intern_label(Label { source, category: Some(Category::new(None, code)), flags: Flags::NONE });
    let set = labels.intern_set(&[label]);
    let options = WriteOptions { locator: None, applied_seq: begun.applied_seq };
    let mut writer = SegmentWriter::create(incoming.path().join("md5"), Kind::Md5, options).unwrap();
    let sorted: BTreeSet<Fingerprint> = numbers.iter().map(|number| md5(*number)).collect();
    sorted.iter().for_each(|fingerprint| writer.push(fingerprint.value(), set).unwrap());
    writer.finish(&labels).unwrap();
    let publish = Publish {
        list: name(list),
        list_id: begun.list_id,
        version: begun.version,
        base: None,
        incoming: incoming.name().to_owned(),
        segments: vec![IncomingSegment { kind: Kind::Md5, file: "md5".to_owned() }],
        records: None,
        roles: Roles::uniform(Role::Illegal),
        source: begun.version.to_string(),
        adds: false,
        radii: Default::default(),
        counts: Default::default(),
    };
    store.execute(Command::Publish(publish)).unwrap();
    begun.version
}

/// Of each number: what lists say, as `list:category`.
fn told(store: &Store, numbers: &[u32]) -> Vec<Vec<String>> {
    let rows: Vec<u8> = numbers.iter().flat_map(|number| md5(*number).value().to_vec()).collect();
    let answers =
        answer(&store.snapshot(), &Question { kinds: &[Kind::Md5], rows: &rows, radii: &Radii::none() }).unwrap();
    let say = |m: &crate::matching::Match| format!("{}:{}", m.list, m.category.as_ref().unwrap());
    answers.iter().map(|answer| answer.map_or(Vec::new(), |answer| answer.matches.iter().map(say).collect())).collect()
}

/// Now, and after a restart.
fn check(store: Store, numbers: &[u32], expected: &[&[&str]]) {
    let folder = store.folder().to_owned();
    assert_eq!(told(&store, numbers), expected);
    drop(store);
    assert_eq!(told(&open(&folder), numbers), expected);
}

#[test]
fn what_changes_during_a_seal_counts_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add(&store, "own", &[1, 2, 3, 4], "a");
    let frozen = store.state().freeze(1).unwrap().unwrap();
    withdraw(&store, "own", 1);
    let written = store.write_frozen(&frozen);
    add(&store, "own", &[2, 5], "b");
    withdraw(&store, "own", 3);
    add(&store, "own", &[3], "c");
    store.join_sealed(&frozen, written).unwrap();
    assert_eq!(store.state().served.as_ref().unwrap().live.len(), 3);
    check(store, &[1, 2, 3, 4, 5], &[&[], &["own:b"], &["own:c"], &["own:a"], &["own:b"]]);
}

#[test]
fn a_list_removed_during_a_seal_stays_removed() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add(&store, "own", &[1, 2], "a");
    add(&store, "network", &[2], "a");
    let frozen = store.state().freeze(1).unwrap().unwrap();
    let written = store.write_frozen(&frozen);
    store.execute(Command::Remove { list: name("own") }).unwrap();
    store.join_sealed(&frozen, written).unwrap();
    check(store, &[1, 2], &[&[], &["network:a"]]);
}

#[test]
fn a_seal_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add(&store, "own", &[1, 2], "a");
    let frozen = store.state().freeze(1).unwrap().unwrap();
    add(&store, "own", &[2, 3], "b");
    let path = folder.path().join("full");
    let full = StoreError::io("write", &path)(std::io::ErrorKind::StorageFull.into());
    store.join_sealed(&frozen, Err(full)).unwrap_err();
    assert_eq!(told(&store, &[1, 2, 3]), [["own:a"], ["own:b"], ["own:b"]]);
    add(&store, "own", &[4], "c");
    assert!(store.seal_if_due(1).unwrap());
    check(store, &[1, 2, 3, 4], &[&["own:a"], &["own:b"], &["own:b"], &["own:c"]]);
}

#[test]
fn what_is_withdrawn_during_a_merge_stays_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    import(&store, "debian", &[1, 2, 3], "a");
    add(&store, "own", &[2, 3, 4], "b");
    store.seal_if_due(1).unwrap();
    withdraw(&store, "debian", 1);
    let plan = store.state().plan(true).unwrap().unwrap();
    withdraw(&store, "debian", 2);
    let written = store.write_merged(&plan);
    withdraw(&store, "own", 4);
    add(&store, "own", &[3], "c");
    store.join_merged(&plan, written).unwrap();
    assert_eq!(store.state().manifest.segments.len(), 1);
    check(store, &[1, 2, 3, 4], &[&[], &["own:b"], &["debian:a", "own:c"], &[]]);
}

#[test]
fn a_merge_that_would_lose_a_version_is_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = import(&store, "debian", &[1, 2], "a");
    add(&store, "own", &[2], "o");
    store.execute(Command::Compact).unwrap();
    // The merged segment holds the first version; the second stands beside it.
    import(&store, "debian", &[2, 3], "b");
    let plan = store.state().plan(true).unwrap().unwrap();
    let written = store.write_merged(&plan);
    store.execute(Command::Rollback { list: name("debian"), to: Some(first) }).unwrap();
    store.join_merged(&plan, written).unwrap();
    assert_eq!(told(&store, &[1, 2, 3]), [vec!["debian:a"], vec!["debian:a", "own:o"], vec![]]);
    // With the rollback taken into account, the next one is good.
    store.execute(Command::Compact).unwrap();
    check(store, &[1, 2, 3], &[&["debian:a"], &["debian:a", "own:o"], &[]]);
}

#[test]
fn withdrawals_that_count_nowhere_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    add(&store, "own", &[1, 2, 3], "a");
    store.execute(Command::Compact).unwrap();
    withdraw(&store, "own", 1);
    let rows = |store: &Store| {
        let state = store.state();
        let list = state.list(&name("own")).unwrap().id;
        state.catalogue.read().withdrawals_after(list, Kind::Md5, 0).unwrap().len()
    };
    store.execute(Command::Compact).unwrap();
    // The generation before may be put back, and needs it still.
    assert_eq!(rows(&store), 1);
    for number in 4..8 {
        add(&store, "own", &[number], "b");
        store.execute(Command::Compact).unwrap();
    }
    assert_eq!(rows(&store), 0);
    check(store, &[1, 2, 4], &[&[], &["own:a"], &["own:b"]]);
}
