//! Changes of feeds, held against a plain model: whatever the order in which states come, and however often, the newest
//! of each entry counts.

mod store_support;

use hashward::fingerprint::Kind;
use hashward::list::{Entry, Role, Roles};
use hashward::store::command::{
    Alarm, Continues, Deleted, FAULTS_MAX, FaultyItem, FeedApplied, FeedChanges, FeedFault, FeedNote, FeedState,
};
use hashward::store::{Command, GateLimits, Outcome, Store, StoreError, StoreOptions};
use proptest::prelude::*;
use store_support::feed::{Change, FEED, FILES, Newest, WINDOW_MS, apply, changes, feed_state, file, files, temporary};
use store_support::model::check;
use store_support::{name, options};

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

#[test]
fn many_deletions_in_one_window_raise_one_alarm_however_small_its_pages_are() {
    let folder = temporary();
    let store = Store::open(folder.path(), StoreOptions { gate: GateLimits::default(), ..options(true) }).unwrap();
    let entry = |number: u32| {
        let fingerprints = vec![hashward::fingerprint::hash_bytes(Kind::Md5, &number.to_le_bytes())];
        Entry { source_id: number.to_string(), fingerprints, ..Entry::default() }
    };
    let send = |changes: FeedChanges| store.execute(Command::ApplyFeed(changes)).unwrap();
    let roles = Some(Roles::uniform(Role::Illegal));
    let base = || FeedChanges { roles: roles.clone(), ..FeedChanges::of(name(FEED)) };
    send(FeedChanges { entries: (0..1_000).map(entry).collect(), checkpoint: Some("1".to_owned()), ..base() });
    let alarms = || match store.execute(Command::Status).unwrap() {
        Outcome::Status(status) => status.alarms.into_iter().map(|raised| raised.alarm).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let delete = |numbers: std::ops::Range<u32>, checkpoint: Option<&str>| {
        let deleted = numbers.map(|number| Deleted { source_id: number.to_string(), changed_at: None }).collect();
        send(FeedChanges { deleted, checkpoint: checkpoint.map(str::to_owned), ..base() });
    };
    // Few in each window are no alarm.
    delete(0..80, Some("2"));
    delete(80..160, Some("3"));
    assert_eq!(alarms(), []);
    for first in [160, 200, 240, 280] {
        delete(first..first + 40, None);
    }
    assert_eq!(alarms(), [Alarm::MassDeletionByFeed { removed: 120, of: 840 }]);
}

#[test]
fn a_feed_that_was_set_back_is_not_gone_on_with() {
    let folder = temporary();
    let store = Store::open(folder.path(), options(true)).unwrap();
    let on = |before: Option<&str>, after: Option<&str>| {
        let continues = Some(Continues { checkpoint: before.map(str::to_owned) });
        let roles = Some(Roles::uniform(Role::Illegal));
        let checkpoint = after.map(str::to_owned);
        store.execute(Command::ApplyFeed(FeedChanges { continues, roles, checkpoint, ..FeedChanges::of(name(FEED)) }))
    };
    on(None, Some("1")).unwrap();
    on(Some("1"), None).unwrap();
    on(Some("1"), Some("2")).unwrap();
    assert!(matches!(on(Some("1"), Some("3")), Err(StoreError::FeedSetBack(_))));
    store.execute(Command::Remove { list: name(FEED) }).unwrap();
    assert!(matches!(on(Some("2"), Some("3")), Err(StoreError::FeedSetBack(_))));
    assert_eq!(feed_state(&store), FeedState::default());
    on(None, Some("1")).unwrap();
}
