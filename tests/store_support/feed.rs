//! Changes of feeds, and the plain model of what they come to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hashward::fingerprint::{Fingerprint, Kind, hash_bytes};
use hashward::list::{Entry, ListState, Role, Roles};
use hashward::store::command::{Deleted, FeedApplied, FeedChanges, FeedState};
use hashward::store::{Command, Outcome, Store};

use super::model::{Content, List, Model};
use super::{entry, fingerprint, name};

pub const FEED: &str = "network";
/// Made-up files; few, so that entries share them.
pub const FILES: u32 = 8;
/// Milliseconds of the source's time in one window.
pub const WINDOW_MS: i64 = 100;

/// One change: of which entry, when, and to what; `None` for a deletion. File [`FILES`] is the empty one.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: u8,
    pub at: i64,
    pub state: Option<(Vec<u32>, u8)>,
}

/// In memory where that can be had: syncing to a disk takes time here and shows nothing.
pub fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

pub fn file(number: u32) -> Fingerprint {
    if number == FILES { hash_bytes(Kind::Md5, b"") } else { fingerprint(Kind::Md5, number) }
}

pub fn files() -> Vec<Fingerprint> {
    (0..FILES).map(file).collect()
}

pub fn changes(changes: &[Change], checkpoint: Option<String>) -> FeedChanges {
    let mut command = FeedChanges::of(name(FEED));
    command.roles = Some(Roles::uniform(Role::Illegal));
    command.checkpoint = checkpoint;
    for Change { id, at, state } in changes {
        let (source_id, changed_at) = (id.to_string(), Some(*at));
        match state {
            None => command.deleted.push(Deleted { source_id, changed_at }),
            Some((files, code)) => {
                let files = files.iter().copied().map(file).collect();
                command.entries.push(Entry { changed_at, ..entry(&source_id, files, *code) });
            }
        }
    }
    command
}

pub fn apply(store: &Store, command: FeedChanges) -> FeedApplied {
    match store.execute(Command::ApplyFeed(command)).unwrap() {
        Outcome::FeedApplied(applied) => applied,
        other => panic!("{other:?}"),
    }
}

pub fn feed_state(store: &Store) -> FeedState {
    match store.execute(Command::FeedState { list: name(FEED) }).unwrap() {
        Outcome::FeedState(state) => state,
        other => panic!("{other:?}"),
    }
}

/// The newest state of each entry.
#[derive(Clone, Debug, Default)]
pub struct Newest(pub BTreeMap<u8, Change>);

impl Newest {
    pub fn take(&mut self, change: &Change) {
        if self.0.get(&change.id).is_none_or(|held| change.at >= held.at) {
            self.0.insert(change.id, change.clone());
        }
    }

    pub fn entries(&self) -> BTreeMap<String, (BTreeSet<Fingerprint>, u8)> {
        let stated = self.0.values().filter_map(|change| {
            let (files, code) = change.state.as_ref()?;
            let files: BTreeSet<_> = files.iter().filter(|number| **number < FILES).copied().map(file).collect();
            (!files.is_empty()).then(|| (change.id.to_string(), (files, *code)))
        });
        stated.collect()
    }

    pub fn model(&self) -> Model {
        let list = List::new(Content::Feed { role: Role::Illegal, entries: self.entries() });
        assert_eq!(list.state, ListState::Active);
        Model([(FEED.to_owned(), list)].into(), BTreeMap::new())
    }
}
