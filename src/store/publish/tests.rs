//! An import's radii and its version come into force together, wherever a crash falls between the steps; and so does what
//! questions see of it.

use super::super::StoreOptions;
use super::super::command::{Command, ListInfo};
use super::*;
use crate::fingerprint::{KindRadius, hash_bytes};
use crate::list::{Entry, ListId, Role};
use crate::matching::{self, Question, Reason, Verdict};

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

#[test]
fn lists_that_could_not_be_read_leave_what_nobody_knows_undecided() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (known, other) = (hash_bytes(Kind::Md5, b"known"), hash_bytes(Kind::Md5, b"other"));
    let fingerprints = vec![known.clone()];
    let entries = vec![Entry { source_id: "1".to_owned(), fingerprints, ..Entry::default() }];
    let list = "own".parse().unwrap();
    store.execute(Command::Add { list, role: Some(Role::Illegal), entries }).unwrap();
    let verdicts = || {
        let rows = [known.value(), other.value()].concat();
        let question = Question { kinds: &[Kind::Md5], rows: &rows, radii: &Radii::none() };
        let answers = matching::answer(&store.snapshot(), &question).unwrap();
        answers.iter().map(|answer| answer.map_or(answers.miss, |answer| answer.verdict)).collect::<Vec<_>>()
    };
    let version = stage(&store, &radii("pdq=10"));
    name_in_manifest(&store, &version);
    store.maintain().unwrap();
    assert_eq!(verdicts(), [Verdict::Known, Verdict::Unknown]);
    let in_the_background = || store.maintain().map(|_| ());
    // It changes nothing that questions see.
    let before_a_change = || store.begin_import(&"seized".parse().unwrap()).map(|_| ());
    for settle in [&in_the_background as &dyn Fn() -> _, &before_a_change] {
        {
            let mut state = store.state();
            // No catalogue tells of this version.
            state.manifest.current.insert(version.list, VersionNumber(99));
            store.show_lists(&mut state).unwrap_err();
            state.manifest.current.insert(version.list, version.number);
        }
        assert_eq!(verdicts(), [Verdict::Known, Verdict::Undecided(Reason::Failed)]);
        assert!(store.state().describe(Kind::Md5).starts_with("failed: "));
        settle().unwrap();
        assert_eq!(store.state().describe(Kind::Md5), "ready");
        assert_eq!(verdicts(), [Verdict::Known, Verdict::Unknown]);
    }
}
