//! Changes of feeds, held against a plain model: whatever the order in which states come, and however often, the newest
//! of each entry counts; and what `kill -9` interrupts is taken up again where the checkpoint says.

mod store_support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::time::{Duration, Instant};

use hashward::fingerprint::{Fingerprint, Kind, hash_bytes};
use hashward::list::{Entry, ListState, Role, Roles};
use hashward::store::command::{
    Deleted, FAULTS_MAX, FaultyItem, FeedApplied, FeedChanges, FeedFault, FeedNote, FeedState,
};
use hashward::store::{Command, Outcome, Store, StoreError, StoreOptions};
use proptest::prelude::*;
use store_support::model::{Content, List, Model, check};
use store_support::{fingerprint, name, options};

const FEED: &str = "network";
/// Made-up files; few, so that entries share them.
const FILES: u32 = 8;
/// Milliseconds of the source's time in one window.
const WINDOW_MS: i64 = 100;

/// One change: of which entry, when, and to what; `None` for a deletion. File [`FILES`] is the empty one.
#[derive(Clone, Debug)]
struct Change {
    id: u8,
    at: i64,
    state: Option<(Vec<u32>, u8)>,
}

/// In memory where that can be had: syncing to a disk takes time here and shows nothing.
fn temporary() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn file(number: u32) -> Fingerprint {
    if number == FILES { hash_bytes(Kind::Md5, b"") } else { fingerprint(Kind::Md5, number) }
}

fn files() -> Vec<Fingerprint> {
    (0..FILES).map(file).collect()
}

fn changes(changes: &[Change], checkpoint: Option<String>) -> FeedChanges {
    let mut command = FeedChanges::of(name(FEED));
    command.roles = Some(Roles::uniform(Role::Illegal));
    command.checkpoint = checkpoint;
    for Change { id, at, state } in changes {
        let (source_id, changed_at) = (id.to_string(), Some(*at));
        match state {
            None => command.deleted.push(Deleted { source_id, changed_at }),
            Some((files, code)) => {
                let files = files.iter().copied().map(file).collect();
                command.entries.push(Entry { changed_at, ..store_support::entry(&source_id, files, *code) });
            }
        }
    }
    command
}

fn apply(store: &Store, command: FeedChanges) -> FeedApplied {
    match store.execute(Command::ApplyFeed(command)).unwrap() {
        Outcome::FeedApplied(applied) => applied,
        other => panic!("{other:?}"),
    }
}

fn feed_state(store: &Store) -> FeedState {
    match store.execute(Command::FeedState { list: name(FEED) }).unwrap() {
        Outcome::FeedState(state) => state,
        other => panic!("{other:?}"),
    }
}

/// The newest state of each entry.
#[derive(Clone, Debug, Default)]
struct Newest(BTreeMap<u8, Change>);

impl Newest {
    fn take(&mut self, change: &Change) {
        if self.0.get(&change.id).is_none_or(|held| change.at >= held.at) {
            self.0.insert(change.id, change.clone());
        }
    }

    fn entries(&self) -> BTreeMap<String, (BTreeSet<Fingerprint>, u8)> {
        let stated = self.0.values().filter_map(|change| {
            let (files, code) = change.state.as_ref()?;
            let files: BTreeSet<_> = files.iter().filter(|number| **number < FILES).copied().map(file).collect();
            (!files.is_empty()).then(|| (change.id.to_string(), (files, *code)))
        });
        stated.collect()
    }

    fn model(&self) -> Model {
        let list = List::new(Content::Feed { role: Role::Illegal, entries: self.entries() });
        assert_eq!(list.state, ListState::Active);
        Model([(FEED.to_owned(), list)].into())
    }
}

/// Changes of one window in the order in which they come, some of them again, and some of the window before.
#[derive(Clone, Debug)]
struct Window {
    changes: Vec<Change>,
    repeated: Vec<prop::sample::Index>,
    page: usize,
    then: Then,
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    Maintain,
    Reopen { serve: bool },
}

fn windows() -> impl Strategy<Value = Vec<Window>> {
    let state = prop::option::weighted(0.7, (prop::collection::vec(0..FILES + 1, 1..4), 0u8..4));
    let changes = prop::collection::btree_map((0u8..6, 0..WINDOW_MS), state, 1..10);
    let changes = changes
        .prop_map(|changes| changes.into_iter().map(|((id, at), state)| Change { id, at, state }).collect::<Vec<_>>());
    let repeated = prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    let then =
        prop_oneof![Just(Then::Nothing), Just(Then::Maintain), any::<bool>().prop_map(|serve| Then::Reopen { serve })];
    let window = (changes.prop_shuffle(), repeated, 1usize..5, then);
    let window = window.prop_map(|(changes, repeated, page, then)| Window { changes, repeated, page, then });
    prop::collection::vec(window, 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_newest_state_counts_in_whatever_order(windows in windows()) {
        let folder = temporary();
        let mut store = Store::open(folder.path(), options(true)).unwrap();
        let (mut newest, mut before) = (Newest::default(), Vec::new());
        for (number, window) in windows.iter().enumerate() {
            let later = |change: &Change| Change { at: change.at + number as i64 * WINDOW_MS, ..change.clone() };
            let own: Vec<Change> = window.changes.iter().map(later).collect();
            let known: Vec<Change> = before.iter().chain(&own).cloned().collect();
            let sent: Vec<Change> =
                own.iter().chain(window.repeated.iter().map(|index| index.get(&known))).cloned().collect();
            let pages: Vec<_> = sent.chunks(window.page).collect();
            for (index, page) in pages.iter().enumerate() {
                let checkpoint = (index + 1 == pages.len()).then(|| number.to_string());
                let applied = apply(&store, changes(page, checkpoint));
                let FeedApplied { added, replaced, unchanged, deleted, older, .. } = applied;
                let repeated_in_page = page.len() as u64 - (added + replaced + unchanged + deleted + older);
                prop_assert!((repeated_in_page as usize) < page.len(), "{applied:?}");
                page.iter().for_each(|change| newest.take(change));
                prop_assert_eq!(check(&store, &newest.model(), &files()), Ok(()));
            }
            prop_assert_eq!(feed_state(&store).checkpoint, Some(number.to_string()));
            before = own;
            match window.then {
                Then::Nothing => {}
                Then::Maintain => while store.maintain().unwrap() {},
                Then::Reopen { serve } => {
                    drop(store);
                    if !serve {
                        // A tool that changes lists while no daemon runs maps nothing.
                        let tool = Store::open(folder.path(), options(false)).unwrap();
                        apply(&tool, changes(&before, None));
                    }
                    store = Store::open(folder.path(), options(true)).unwrap();
                    store.load().unwrap();
                }
            }
            prop_assert_eq!(check(&store, &newest.model(), &files()), Ok(()));
        }
        let all = Command::SourceIds { list: name(FEED), after: String::new(), limit: usize::MAX };
        let source_ids = newest.entries().into_keys().collect();
        prop_assert_eq!(store.execute(all).unwrap(), Outcome::SourceIds { source_ids });
        let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
        prop_assert_eq!(damage, Vec::<String>::new());
    }
}

#[test]
fn of_two_states_of_one_time_the_later_one_counts() {
    let folder = temporary();
    let store = Store::open(folder.path(), options(true)).unwrap();
    let at = |at: i64, state: Option<(Vec<u32>, u8)>| changes(&[Change { id: 1, at, state }], None);
    let timeless = |mut command: FeedChanges| {
        command.entries.iter_mut().for_each(|entry| entry.changed_at = None);
        command.deleted.iter_mut().for_each(|deleted| deleted.changed_at = None);
        command
    };
    let one = |count: &str| {
        let mut applied = FeedApplied::default();
        *match count {
            "added" => &mut applied.added,
            "replaced" => &mut applied.replaced,
            "unchanged" => &mut applied.unchanged,
            "deleted" => &mut applied.deleted,
            _ => &mut applied.older,
        } = 1;
        applied
    };
    assert_eq!(apply(&store, at(5, Some((vec![1], 1)))), FeedApplied { created: true, ..one("added") });
    assert_eq!(apply(&store, at(5, Some((vec![1], 1)))), one("unchanged"));
    assert_eq!(apply(&store, at(5, Some((vec![1], 2)))), one("replaced"));
    assert_eq!(apply(&store, at(4, Some((vec![1], 3)))), one("older"));
    assert_eq!(apply(&store, at(4, None)), one("older"));
    assert_eq!(apply(&store, timeless(at(0, Some((vec![1], 3))))), one("replaced"));
    assert_eq!(apply(&store, at(4, None)), one("deleted"));
    assert_eq!(apply(&store, at(3, Some((vec![1], 1)))), one("older"));
    assert_eq!(apply(&store, at(4, None)), one("unchanged"));
    assert_eq!(apply(&store, timeless(at(0, Some((vec![1], 3))))), one("added"));
    // Nothing but degenerate content: the newest state all the same.
    let applied = apply(&store, at(9, Some((vec![FILES], 1))));
    assert_eq!(applied, FeedApplied { degenerate: 1, ..one("deleted") });
    assert_eq!(apply(&store, at(8, Some((vec![1], 1)))), one("older"));
    assert_eq!(check(&store, &Newest::default().model(), &files()), Ok(()));
}

#[test]
fn faults_are_noted_counted_and_mended() {
    let folder = temporary();
    let store = Store::open(folder.path(), options(true)).unwrap();
    assert_eq!(feed_state(&store), FeedState::default());
    let note = |fault: Option<&str>| {
        store.execute(Command::NoteFeed(FeedNote {
            list: name(FEED),
            checkpoint: None,
            fault: fault.map(str::to_owned),
        }))
    };
    assert!(matches!(note(None), Err(StoreError::NoSuchList(_))));
    assert!(matches!(store.execute(Command::ApplyFeed(FeedChanges::of(name(FEED)))), Err(StoreError::NoRole(_))));
    let faults = |fault: &str| vec![FeedFault { item: "7".to_owned(), fault: fault.to_owned() }];
    apply(&store, FeedChanges { faults: faults("no hash"), ..changes(&[], Some("a".to_owned())) });
    apply(&store, FeedChanges { faults: faults("half a hash"), ..changes(&[], None) });
    note(Some("no answer")).unwrap();
    let state = feed_state(&store);
    assert!(state.synced_at.is_none() && state.attempted_at.is_some());
    assert_eq!((state.checkpoint.as_deref(), state.fault.as_deref()), (Some("a"), Some("no answer")));
    assert!(
        matches!(&state.faults[..], [FaultyItem { item, fault, tries: 2, .. }] if item == "7" && fault == "half a hash")
    );
    let flood = (0..2 * FAULTS_MAX).map(|item| FeedFault { item: format!("x{item}"), fault: String::new() });
    apply(&store, FeedChanges { faults: flood.collect(), ..changes(&[], None) });
    let noted: Vec<String> = feed_state(&store).faults.into_iter().map(|fault| fault.item).collect();
    assert_eq!(noted.len() as u64, FAULTS_MAX);
    apply(&store, FeedChanges { mended: noted, ..changes(&[], None) });
    note(None).unwrap();
    let state = feed_state(&store);
    assert!(state.synced_at.is_some() && state.fault.is_none() && state.faults.is_empty());
    drop(store);
    assert_eq!(feed_state(&Store::open(folder.path(), options(false)).unwrap()), state);

    // Roles follow the feed's; a list of another shape is not a feed's.
    let store = Store::open(folder.path(), options(true)).unwrap();
    apply(&store, changes(&[Change { id: 1, at: 1, state: Some((vec![1], 1)) }], None));
    apply(&store, FeedChanges { roles: Some(Roles::uniform(Role::Watch)), ..FeedChanges::of(name(FEED)) });
    let watched = store_support::ask(&store.snapshot(), Kind::Md5, &[file(1)]).remove(0).1;
    assert_eq!(watched, [(FEED.to_owned(), Role::Watch, 1)].into());
    let said = [(file(2), [1].into())].into();
    store_support::import(&store, &name("files"), &said, Role::Illegal, "s", false).unwrap();
    let refused = store.execute(Command::ApplyFeed(FeedChanges::of(name("files"))));
    assert!(matches!(refused, Err(StoreError::WrongShape { .. })), "{refused:?}");
    let noted = FeedNote { list: name("files"), checkpoint: Some("etag".to_owned()), fault: None };
    assert_eq!(store.execute(Command::NoteFeed(noted)).unwrap(), Outcome::FeedNoted);
}

const KILLS: usize = 40;
const WINDOWS: usize = 400;
const PAGES: usize = 4;
/// The child's task: `folder,notes`.
const TASK: &str = "HASHWARD_FEED_CRASH_TASK";

/// The pages of a window: the same for parent and child, and whenever the window is read again.
fn pages(window: usize) -> Vec<Vec<Change>> {
    let draw = |page: usize, index: usize, salt: u64| {
        let bytes = [window as u64, page as u64, index as u64, salt].map(u64::to_le_bytes).concat();
        let hash = hash_bytes(Kind::Sha1, &bytes);
        u32::from_le_bytes(hash.value()[..4].try_into().unwrap())
    };
    let change = |page: usize, index: usize| Change {
        id: (draw(page, index, 0) % 12) as u8,
        at: window as i64 * WINDOW_MS + i64::from(draw(page, index, 1)) % WINDOW_MS,
        state: (!draw(page, index, 2).is_multiple_of(3))
            .then(|| (vec![draw(page, index, 3) % FILES, draw(page, index, 4) % FILES], (window % 250) as u8)),
    };
    (0..PAGES).map(|page| (0..6).map(|index| change(page, index)).collect()).collect()
}

/// Reads windows as `sync` does: from the checkpoint on, each to its end.
fn sync(store: &Store, mut done: impl FnMut(usize, usize)) {
    let first = feed_state(store).checkpoint.map_or(0, |checkpoint| checkpoint.parse().unwrap());
    for window in first..WINDOWS {
        for (index, page) in pages(window).iter().enumerate() {
            let checkpoint = (index + 1 == PAGES).then(|| (window + 1).to_string());
            apply(store, changes(page, checkpoint));
            done(window, index);
        }
    }
}

fn crash_options() -> StoreOptions {
    StoreOptions { create: true, seal_at: 6, ..StoreOptions::default() }
}

/// Not a test of its own: what the killed process does. Without a task it passes.
#[test]
fn child() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (folder, notes) = task.split_once(',').unwrap();
    let mut notes = OpenOptions::new().append(true).create(true).open(notes).unwrap();
    let store = Store::open(Path::new(folder), crash_options()).unwrap();
    store.load().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                if !store.maintain().unwrap() {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        // Lines must be whole: one `write` each, which `writeln!` does not promise.
        sync(&store, |window, page| notes.write_all(format!("{window} {page}\n").as_bytes()).unwrap());
        std::thread::sleep(Duration::from_secs(60));
    });
}

/// What may be true after a kill: all windows before the checkpoint's, and of that one the first `pages`.
fn after(checkpoint: usize, count: usize) -> Model {
    let mut newest = Newest::default();
    (0..checkpoint).flat_map(pages).flatten().for_each(|change| newest.take(&change));
    if checkpoint < WINDOWS {
        pages(checkpoint).into_iter().take(count).flatten().for_each(|change| newest.take(&change));
    }
    newest.model()
}

#[test]
fn a_sync_that_is_killed_goes_on_where_it_was() {
    let home = temporary();
    let (folder, notes) = (home.path().join("data"), home.path().join("notes"));
    let mut furthest = (0, 0);
    for kill in 0..KILLS {
        let mut process = Process::new(std::env::current_exe().unwrap())
            .args(["child", "--exact"])
            .env(TASK, format!("{},{}", folder.display(), notes.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Every fourth is killed while it starts, the others some pages on.
        let lines = || fs::read_to_string(&notes).unwrap_or_default().lines().count();
        let (before, until) = (lines(), Instant::now() + Duration::from_secs(10));
        while kill % 4 != 0 && lines() < before + kill % 7 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(3_001 * (kill as u64 % 7)));
        process.kill().unwrap();
        process.wait().unwrap();
        // Acknowledged is (window, pages of it).
        let noted = fs::read_to_string(&notes).unwrap_or_default();
        let noted = noted.lines().filter_map(|line| line.split_once(' '));
        let noted = noted.map(|(window, page)| (window.parse().unwrap(), page.parse::<usize>().unwrap() + 1));
        furthest = noted.max().unwrap_or((0, 0)).max(furthest);
        let store = Store::open(&folder, crash_options()).unwrap();
        store.load().unwrap();
        let state = feed_state(&store);
        let checkpoint: usize = state.checkpoint.map_or(0, |checkpoint| checkpoint.parse().unwrap());
        let least = if furthest.1 == PAGES { (furthest.0 + 1, 0) } else { furthest };
        assert!(checkpoint >= least.0, "kill {kill}: {furthest:?} was acknowledged, the checkpoint is {checkpoint}");
        let first = if checkpoint == least.0 { least.1 } else { 0 };
        // Before the first page there is no list.
        let exists = store.snapshot().lists().iter().any(|list| list.name.as_str() == FEED);
        let empty = checkpoint == 0 && least.1 == 0 && !exists;
        let differences: Vec<_> =
            (first..=PAGES).map_while(|count| check(&store, &after(checkpoint, count), &files()).err()).collect();
        assert!(empty || differences.len() <= PAGES - first, "kill {kill} at {furthest:?}: {differences:#?}");
        let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
        assert_eq!(damage, Vec::<String>::new(), "kill {kill}");
    }
    assert!(furthest > (0, 0), "no page was ever acknowledged");
    let store = Store::open(&folder, crash_options()).unwrap();
    store.load().unwrap();
    sync(&store, |_, _| {});
    assert_eq!(check(&store, &after(WINDOWS, 0), &files()), Ok(()));
}
