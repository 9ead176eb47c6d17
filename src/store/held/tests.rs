//! A version is held, accepted, or replaced as a whole, wherever a crash falls between the steps.

use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::fingerprint::{Kind, hash_bytes};
use crate::index::sealed::{SegmentWriter, WriteOptions};
use crate::list::{Flags, Label, Role, Roles, Source};
use crate::matching::{Question, Verdict, answer};
use crate::segment::LabelTable;
use crate::store::command::{Command, ImportCounts, IncomingSegment, Inspected};
use crate::store::{Incoming, SEGMENTS, StoreOptions};

fn open(folder: &Path) -> Store {
    let store = Store::open(folder, StoreOptions { create: true, ..StoreOptions::default() }).unwrap();
    store.load().unwrap();
    store
}

fn name() -> ListName {
    "seized".parse().unwrap()
}

fn value(number: u32) -> Vec<u8> {
    hash_bytes(Kind::Md5, &number.to_le_bytes()).value().to_vec()
}

/// Builds a version that names these made-up files.
fn built(store: &Store, numbers: std::ops::Range<u32>) -> (Incoming, Publish) {
    let begun = store.begin_import(&name()).unwrap();
    let incoming = Incoming::create(store.folder(), "seized").unwrap();
    let (path, options) =
        (incoming.path().join("md5.seg"), WriteOptions { locator: None, applied_seq: begun.applied_seq });
    let mut writer = SegmentWriter::create(path, Kind::Md5, options).unwrap();
    let mut table = LabelTable::new();
    let source = Source { list: begun.list_id, version: begun.version };
    let label = table.intern_label(Label { source, category: None, flags: Flags::NONE });
    let set = table.intern_set(&[label]);
    let mut values: Vec<_> = numbers.clone().map(value).collect();
    values.sort();
    values.iter().for_each(|value| writer.push(value, set).unwrap());
    writer.finish(&table).unwrap();
    let publish = Publish {
        list: name(),
        list_id: begun.list_id,
        version: begun.version,
        base: None,
        incoming: incoming.name().to_owned(),
        records: None,
        segments: vec![IncomingSegment { kind: Kind::Md5, file: "md5.seg".to_owned() }],
        roles: Roles::uniform(Role::Illegal),
        source: format!("{numbers:?}"),
        adds: false,
        radii: Default::default(),
        counts: ImportCounts::default(),
    };
    (incoming, publish)
}

fn publish(store: &Store, numbers: std::ops::Range<u32>) -> Outcome {
    let (_incoming, publish) = built(store, numbers);
    store.execute(Command::Publish(publish)).unwrap()
}

fn verdict(store: &Store, number: u32) -> Verdict {
    let question = Question { kinds: &[Kind::Md5], rows: &value(number), radii: &Default::default() };
    let answers = answer(&store.snapshot(), &question).unwrap();
    answers.iter().next().unwrap().map_or(answers.miss, |answer| answer.verdict)
}

fn inspect(store: &Store) -> Inspected {
    store.inspect(&name()).unwrap()
}

/// Segment files on disk.
fn files(store: &Store) -> usize {
    std::fs::read_dir(store.folder().join(SEGMENTS)).unwrap().count()
}

/// What is held, how many alarms there are, and what answers.
#[track_caller]
fn check(store: &Store, held: Option<u32>, alarms: usize, now: u32, known: [u32; 2], unknown: u32) {
    let found = inspect(store);
    assert_eq!(found.list.held.map(|version| version.0), held);
    assert_eq!((found.alarms.len(), found.list.version), (alarms, Some(VersionNumber(now))));
    assert_eq!(known.map(|number| verdict(store, number)), [Verdict::Known; 2]);
    assert_eq!(verdict(store, unknown), Verdict::Unknown);
    store.state().catalogue.audit().unwrap();
}

#[test]
fn a_crash_while_a_version_is_taken_over_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    publish(&store, 0..100);
    let before = files(&store);
    let (incoming, publish) = built(&store, 0..50);
    // Its files are among the segments, and no batch names them.
    let checked = store.check_built(&publish, incoming.path()).unwrap();
    {
        let mut state = store.state();
        let row = state.list(&name()).unwrap();
        let (_, files) = state.take_over(&publish, &row, None, &checked, incoming.path());
        files.unwrap();
    }
    assert_eq!(files(&store), before + 1);
    drop(store);
    let store = open(folder.path());
    assert_eq!(files(&store), before);
    check(&store, None, 0, 1, [0, 99], 100);
}

#[test]
fn a_crash_before_the_commit_point_leaves_an_accepted_version_held() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    publish(&store, 0..100);
    assert!(matches!(publish(&store, 50..101), Outcome::Held(_)));
    drop(store);
    let store = open(folder.path());
    check(&store, Some(2), 1, 1, [0, 50], 100);

    // As far as the word for the history.
    {
        let mut state = store.state();
        let row = state.list(&name()).unwrap();
        state.catalogue.batch().unwrap().commit(now(), Some(row.id), "accepted version 2: seen").unwrap();
    }
    drop(store);
    let store = open(folder.path());
    check(&store, Some(2), 1, 1, [0, 50], 100);

    // Over the commit point, and no further.
    {
        let mut state = store.state();
        let row = state.list(&name()).unwrap();
        let mut manifest = state.manifest.clone();
        manifest.current.insert(row.id, VersionNumber(2));
        let (version, _) = state.held(row.id).unwrap().unwrap();
        let missing = state.missing_segments(&manifest, &version);
        let open = |entry| (state.open_segment(&entry).map(Some).unwrap(), entry);
        let segments = missing.into_iter().map(open).map(|(segment, entry)| (entry, segment)).collect();
        state.activate(manifest, segments).unwrap();
    }
    drop(store);
    let store = open(folder.path());
    check(&store, None, 0, 2, [50, 100], 0);
    assert_eq!(inspect(&store).history[0].action, "published version 2");
}

#[test]
fn a_crash_before_the_commit_point_of_a_later_version_leaves_the_held_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    publish(&store, 0..100);
    publish(&store, 50..100);
    let before = files(&store);
    let (incoming, publish) = built(&store, 0..101);
    let checked = store.check_built(&publish, incoming.path()).unwrap();
    {
        let mut state = store.state();
        let row = state.list(&name()).unwrap();
        let (_, files) = state.take_over(&publish, &row, None, &checked, incoming.path());
        let files = files.unwrap();
        let version = publish.version_row(&row, None, VersionState::Staged, &files);
        let alarm = Alarm::MassDeletion { version: Some(version.number), removed: 1, of: 2 };
        state.stage(&row, &version, &files.records, &Default::default(), Some(alarm)).unwrap();
    }
    assert_eq!((inspect(&store).alarms.len(), files(&store)), (2, before + 1));
    drop(store);
    let store = open(folder.path());
    // The alarm of what was never published went with it.
    check(&store, Some(2), 1, 1, [0, 99], 100);
    assert_eq!(files(&store), before);
}

#[test]
fn a_report_that_cannot_be_read_is_told_without_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    publish(&store, 0..100);
    publish(&store, 50..100);
    let mut state = store.state();
    let row = state.list(&name()).unwrap();
    let hold = HoldRow { list: row.id, version: VersionNumber(2), at: 7, report: "{}".to_owned() };
    let mut batch = state.catalogue.batch().unwrap();
    batch.put_hold(&hold).unwrap();
    batch.commit(now(), None, "test").unwrap();
    let (_, held) = state.held(row.id).unwrap().unwrap();
    assert_eq!((held.version, held.at, held.reasons, held.changes), (VersionNumber(2), 7, vec![], BTreeMap::new()));
}
