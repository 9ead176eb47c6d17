//! An import's radii and its version come into force together, wherever a crash falls between the steps.

use super::super::StoreOptions;
use super::super::command::{Command, ListInfo};
use super::*;
use crate::fingerprint::KindRadius;
use crate::list::{ListId, Role};

fn open(folder: &Path) -> Store {
    Store::open(folder, StoreOptions { create: true, ..StoreOptions::default() }).unwrap()
}

fn radii(given: &str) -> Radii {
    given.split(',').map(|given| given.parse::<KindRadius>().unwrap()).collect()
}

fn told(store: &Store) -> Option<ListInfo> {
    let Ok(Outcome::Lists { lists }) = store.execute(Command::Lists) else { panic!() };
    lists.into_iter().find(|list| list.name.as_str() == "seized")
}

/// Takes an import as far as its version is staged. It holds nothing, which does not matter here.
fn stage(store: &Store, radii: &Radii) -> VersionRow {
    let begun = store.begin_import(&"seized".parse().unwrap()).unwrap();
    let version = VersionRow {
        list: begun.list_id,
        number: begun.version,
        state: VersionState::Staged,
        roles: Roles::uniform(Role::Watch),
        sources: vec![begun.version.to_string()],
        counts: "{}".to_owned(),
        segments: BTreeMap::new(),
        created_at: 1,
    };
    let mut state = store.state();
    let row = state.catalogue.read().list(&"seized".parse().unwrap()).unwrap().unwrap();
    state.stage(&row, &version, &[], radii, None).unwrap();
    drop(state);
    version
}

/// Takes it over the commit point, and no further.
fn name_in_manifest(store: &Store, version: &VersionRow) {
    let mut state = store.state();
    let mut manifest = state.manifest.clone();
    manifest.current.insert(version.list, version.number);
    state.activate(manifest, Vec::new()).unwrap();
}

/// What the list has, as told and as questions see it.
#[track_caller]
fn check(store: &Store, list: ListId, version: u32, expected: &Radii) {
    let info = told(store).unwrap();
    assert_eq!((info.id, info.version, &info.radii), (list, Some(VersionNumber(version)), expected));
    let snapshot = store.snapshot();
    let view = snapshot.lists().iter().find(|view| view.id == list).unwrap();
    assert_eq!((view.current, &view.radii), (VersionNumber(version), expected));
}

#[test]
fn a_crash_leaves_the_radii_of_the_version_that_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    // Before the commit point of the first version there is no list.
    stage(&store, &radii("pdq=10"));
    drop(store);
    store = open(folder.path());
    assert_eq!(told(&store), None);

    let version = stage(&store, &radii("pdq=20,phash64=2"));
    name_in_manifest(&store, &version);
    drop(store);
    store = open(folder.path());
    let (list, first) = (version.list, version.number.0);
    check(&store, list, first, &radii("pdq=20,phash64=2"));

    stage(&store, &radii("pdq=40"));
    check(&store, list, first, &radii("pdq=20,phash64=2"));
    drop(store);
    store = open(folder.path());
    check(&store, list, first, &radii("pdq=20,phash64=2"));

    let version = stage(&store, &radii("pdq=40"));
    name_in_manifest(&store, &version);
    {
        // The manifest decides, even while the catalogue cannot be brought in line.
        let mut state = store.state();
        assert_eq!(state.catalogue.read().radii(list).unwrap(), radii("pdq=20,phash64=2"));
        state.refresh_lists().unwrap();
        store.show(&state);
    }
    check(&store, list, version.number.0, &radii("pdq=40,phash64=2"));
    drop(store);
    store = open(folder.path());
    check(&store, list, version.number.0, &radii("pdq=40,phash64=2"));
    {
        let state = store.state();
        assert_eq!(state.catalogue.read().radii(list).unwrap(), radii("pdq=40,phash64=2"));
        assert_eq!(state.catalogue.read().staged_radii(list, version.number).unwrap(), Radii::none());
        state.catalogue.audit().unwrap();
    }
    let history = store.inspect(&"seized".parse().unwrap()).unwrap().history;
    assert_eq!(history[0].action, format!("published version {} with radius pdq=40", version.number));
}
