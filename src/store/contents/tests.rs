//! What is told of a list, page by page, is what it holds.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::command::{Command, ImportCounts, IncomingSegment, Outcome, Publish};
use super::super::{GateLimits, Incoming, StoreOptions};
use super::*;
use crate::fingerprint::{Kind, hash_bytes};
use crate::index::sealed::{SegmentReader, SegmentWriter, WriteOptions};
use crate::list::{Category, Label, Role, Roles};
use crate::segment::LabelTable;

fn open(folder: &Path) -> Store {
    Store::open(folder, StoreOptions { create: true, serve: false, gate: GateLimits::NONE, ..StoreOptions::default() })
        .unwrap()
}

fn md5(number: u32) -> Fingerprint {
    hash_bytes(Kind::Md5, &number.to_le_bytes())
}

fn name(text: &str) -> ListName {
    text.parse().unwrap()
}

/// Publishes a version of `debian` that holds these.
fn import(store: &Store, numbers: std::ops::Range<u32>) {
    let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: name("debian") }) else {
        panic!()
    };
    let incoming = Incoming::create(store.folder(), "debian").unwrap();
    let options = WriteOptions { locator: None, applied_seq: begun.applied_seq };
    let mut writer = SegmentWriter::create(incoming.path().join("md5.seg"), Kind::Md5, options).unwrap();
    let mut labels = LabelTable::new();
    let source = Source { list: begun.list_id, version: begun.version };
    let label = labels.intern_label(Label { source, category: None, flags: Default::default() });
    let set = labels.intern_set(&[label]);
    for fingerprint in numbers.map(md5).collect::<BTreeSet<_>>() {
        writer.push(fingerprint.value(), set).unwrap();
    }
    writer.finish(&labels).unwrap();
    let publish = Publish {
        list: name("debian"),
        list_id: begun.list_id,
        version: begun.version,
        base: None,
        incoming: incoming.name().to_owned(),
        segments: vec![IncomingSegment { kind: Kind::Md5, file: "md5.seg".to_owned() }],
        records: None,
        roles: Roles::uniform(Role::Ignorable),
        source: begun.version.to_string(),
        adds: false,
        radii: Default::default(),
        counts: ImportCounts { uncategorised: 7, ..ImportCounts::default() },
    };
    assert!(matches!(store.execute(Command::Publish(publish)), Ok(Outcome::Published(_))));
}

fn contents(store: &Store, list: &str, version: Option<u32>) -> Result<Contents, StoreError> {
    let version = version.map(VersionNumber);
    match store.execute(Command::Contents { list: name(list), version })? {
        Outcome::Contents(contents) => Ok(*contents),
        other => panic!("{other:?}"),
    }
}

fn categories(store: &Store, list: &str) -> CategoryCounts {
    match store.execute(Command::Categories { list: name(list) }) {
        Ok(Outcome::Categories(counts)) => counts,
        other => panic!("{other:?}"),
    }
}

/// All pages, and how many there were.
fn pages<T: Clone>(mut page: impl FnMut(Option<T>) -> Page<T>) -> (Vec<T>, usize) {
    let (mut all, mut count) = (Vec::new(), 0);
    loop {
        let next = page(all.last().cloned());
        count += 1;
        all.extend(next.items);
        if !next.more {
            return (all, count);
        }
    }
}

fn withdrawn(store: &Store, version: u32) -> (Vec<Fingerprint>, usize) {
    pages(|after| {
        let command = Command::Withdrawals { list: name("debian"), version: VersionNumber(version), after };
        match store.execute(command).unwrap() {
            Outcome::Withdrawals(page) => {
                assert!(serde_json::to_vec(&page).unwrap().len() < PAGE_BYTES + 1_000);
                page
            }
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn a_version_is_told_by_its_files_and_what_was_withdrawn_since() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    import(&store, 0..20_000);
    let gone: BTreeSet<_> = (0..15_000).map(md5).collect();
    store.execute(Command::Withdraw { list: name("debian"), fingerprints: gone.iter().cloned().collect() }).unwrap();
    import(&store, 0..10);

    let told = contents(&store, "debian", None).unwrap();
    assert_eq!((told.source.version, told.withdrawn, told.shape), (VersionNumber(2), 0, ListShape::File));
    assert_eq!((told.fingerprints[&Kind::Md5], told.entries), (10, 0));
    assert_eq!(categories(&store, "debian").uncategorised, 7);
    assert_eq!(withdrawn(&store, 2), (vec![], 1));

    let told = contents(&store, "debian", Some(1)).unwrap();
    assert_eq!((told.source.version, told.withdrawn), (VersionNumber(1), 15_000));
    let reader = SegmentReader::open(folder.path().join(&told.segments[&Kind::Md5])).unwrap();
    assert_eq!((reader.len(), reader.sources()), (20_000, &[told.source][..]));
    let (found, pages) = withdrawn(&store, 1);
    assert!(pages > 1, "more than a page");
    assert_eq!(found, gone.into_iter().collect::<Vec<_>>());

    let error = contents(&store, "debian", Some(3)).unwrap_err().to_string();
    assert!(error.contains("has no version 3; kept are 1, 2 (now 2)"), "{error}");
    let error = store.execute(Command::Entries { list: name("debian"), after: None }).unwrap_err().to_string();
    assert!(error.contains("file list"), "{error}");
}

#[test]
fn a_feed_list_is_told_entry_by_entry() {
    /// More than are counted in one step.
    const ENTRIES: u32 = 12_000;
    assert!(ENTRIES as usize > CATEGORIES_STEP);
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let entry = |number: u32| Entry {
        source_id: format!("{number:05}"),
        fingerprints: BTreeSet::from([md5(number), md5(number / 2)]).into_iter().collect(),
        category: (!number.is_multiple_of(3)).then(|| Category::new(Some("XX"), &(number % 3).to_string())),
        attributes: [("name".to_owned(), "n".repeat(if number == 7 { 2 * PAGE_BYTES } else { 40 }))].into(),
        ..Entry::default()
    };
    let entries: Vec<_> = (0..ENTRIES).map(entry).collect();
    let add = Command::Add { list: name("cases"), role: Some(Role::Illegal), entries: entries.clone() };
    store.execute(add).unwrap();

    let of_a_version = Command::Withdrawals { list: name("cases"), version: VersionNumber(1), after: None };
    let error = store.execute(of_a_version).unwrap_err().to_string();
    assert!(error.contains("feed list") && error.contains("read its entries"), "{error}");
    let told = contents(&store, "cases", None).unwrap();
    assert_eq!(
        (told.source.version, told.entries, told.shape),
        (VersionNumber::LIVE, u64::from(ENTRIES), ListShape::Feed)
    );
    assert_eq!(told.fingerprints, [(Kind::Md5, u64::from(ENTRIES))].into());
    let by_category = [("XX:1", 4_000), ("XX:2", 4_000)].map(|(text, count)| (text.parse().unwrap(), count));
    assert_eq!(categories(&store, "cases"), CategoryCounts { by_category: by_category.into(), uncategorised: 4_000 });
    let (found, pages) = pages(|after: Option<Entry>| {
        let command = Command::Entries { list: name("cases"), after: after.map(|entry| entry.source_id) };
        match store.execute(command).unwrap() {
            Outcome::Entries(page) => {
                let long = page.items.len() == 1;
                assert!(long || serde_json::to_vec(&page).unwrap().len() < PAGE_BYTES + 1_000);
                page
            }
            other => panic!("{other:?}"),
        }
    });
    assert!(pages > 3, "more than a page");
    assert!(found == entries);

    let error = contents(&store, "cases", Some(1)).unwrap_err().to_string();
    assert!(error.contains("feed list") && error.contains("no versions"), "{error}");
    let error = contents(&store, "hashward-test", None).unwrap_err().to_string();
    assert!(error.contains("part of hashward"), "{error}");
}
