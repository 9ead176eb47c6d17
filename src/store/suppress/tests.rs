//! What suppressions cover of a version comes into force with it, wherever a crash falls between the steps.

use std::path::Path;

use super::super::StoreOptions;
use super::super::manifest::ManifestSegment;
use super::super::records::verify_records;
use super::*;
use crate::catalogue::{SegmentFile, VersionRow};
use crate::fingerprint::{Radii, hash_bytes};
use crate::index::sealed::{SegmentWriter, WriteOptions};
use crate::list::{Flags, Label, PackedAttributes, Role, Roles, Source};
use crate::records::{NewRecord, RecordsWriter};
use crate::segment::LabelTable;

fn open(folder: &Path) -> Store {
    let store = Store::open(folder, StoreOptions { create: true, ..StoreOptions::default() }).unwrap();
    store.load().unwrap();
    store
}

fn md5(number: u32) -> Fingerprint {
    hash_bytes(Kind::Md5, &number.to_le_bytes())
}

/// Takes an import of one record, which holds these two together, as far as its version is staged.
fn stage(store: &Store, together: [&Fingerprint; 2]) -> (VersionRow, ManifestSegment) {
    let begun = store.begin_import(&"seized".parse().unwrap()).unwrap();
    let mut state = store.state();
    let ((_, segment), (_, records)) = (state.new_file(), state.new_records_file());
    let source = Source { list: begun.list_id, version: begun.version };
    let options = WriteOptions { locator: None, applied_seq: begun.applied_seq };
    let mut writer = SegmentWriter::create(state.path_of(&segment), Kind::Md5, options).unwrap();
    let mut labels = LabelTable::new();
    let label = labels.intern_label(Label { source, category: None, flags: Flags::NONE });
    let set = labels.intern_set(&[label]);
    let mut values = together.map(Fingerprint::value);
    values.sort();
    values.iter().for_each(|value| writer.push(value, set).unwrap());
    let written = writer.finish(&labels).unwrap();
    let mut writer = RecordsWriter::create(state.path_of(&records)).unwrap();
    let (fingerprints, attributes) = (values.map(|value| (Kind::Md5, value)), PackedAttributes::new());
    let (scheme, category, flags) = (None, None, Flags::NONE);
    let record = NewRecord { fingerprints: &fingerprints, scheme, category, flags, attributes: &attributes };
    writer.push(&record).unwrap();
    writer.finish().unwrap();
    let file = SegmentFile {
        file: segment,
        digests: 2,
        bytes: written.bytes,
        applied_seq: begun.applied_seq,
        blake3: written.digest.to_hex().to_string(),
    };
    let records = RecordsFile { file: records.clone(), ..verify_records(&state.path_of(&records)).unwrap() };
    let version = VersionRow {
        list: begun.list_id,
        number: begun.version,
        state: VersionState::Staged,
        roles: Roles::uniform(Role::Illegal),
        sources: vec![begun.version.to_string()],
        counts: "{}".to_owned(),
        segments: [(Kind::Md5, file.clone())].into(),
        created_at: 1,
    };
    let lists = state.catalogue.read().lists().unwrap();
    let row = lists.iter().find(|row| row.id == begun.list_id).unwrap();
    state.stage(row, &version, &[records], &Radii::none(), None).unwrap();
    (version, ManifestSegment { kind: Kind::Md5, file, sources: vec![source] })
}

fn is_suppressed(store: &Store, fingerprint: &Fingerprint) -> bool {
    store.snapshot().suppressed().contains(fingerprint.kind(), fingerprint.value())
}

#[test]
fn a_crash_leaves_what_is_covered_of_the_version_that_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let signed = || ("an operator".to_owned(), "a stock photo".to_owned());
    let (author, reason) = signed();
    store.suppress(md5(1), SuppressionScope::Entry, author, reason).unwrap();

    // Before the commit point: the version is dropped, and with it what was to be covered because of it.
    let (version, _) = stage(&store, [&md5(1), &md5(2)]);
    {
        let mut state = store.state();
        let mut manifest = state.manifest.clone();
        manifest.current.insert(version.list, version.number);
        let mut together = [md5(1), md5(2)];
        together.sort();
        assert_eq!(state.stage_cover(&manifest).unwrap(), together);
        assert_eq!(state.stage_cover(&manifest).unwrap(), together, "also when an attempt failed behind it");
        assert!(!state.covered().unwrap().contains(Kind::Md5, md5(2).value()));
    }
    drop(store);
    store = open(folder.path());
    assert!(is_suppressed(&store, &md5(1)) && !is_suppressed(&store, &md5(2)));
    assert_eq!(store.state().catalogue.read().covered().unwrap(), [(md5(1), None)]);

    // Beyond it, and no further: the manifest decides, even while the catalogue cannot be brought in line.
    let (version, segment) = stage(&store, [&md5(1), &md5(3)]);
    {
        let mut state = store.state();
        let mut manifest = state.manifest.clone();
        manifest.current.insert(version.list, version.number);
        state.activate(manifest, vec![(segment, None)]).unwrap();
        assert!(state.suppressed.contains(Kind::Md5, md5(3).value()));
        assert!(state.covered().unwrap().contains(Kind::Md5, md5(3).value()));
        let waits = Some((version.list, version.number));
        assert!(state.catalogue.read().covered().unwrap().contains(&(md5(3), waits)));
    }
    drop(store);
    store = open(folder.path());
    assert!(is_suppressed(&store, &md5(3)) && !is_suppressed(&store, &md5(2)));
    assert!(store.state().catalogue.read().covered().unwrap().contains(&(md5(3), None)));
    let (author, reason) = signed();
    store.lift(&Lifting::Hash(md5(1)), author, reason).unwrap();
    assert!(!is_suppressed(&store, &md5(1)) && !is_suppressed(&store, &md5(3)));
    store.state().catalogue.audit().unwrap();
}
