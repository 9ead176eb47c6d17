//! The gate: what holds a version, what a held version does and does not do, and alarms.

mod store_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hashward::fingerprint::{Fingerprint, Kind, Radii};
use hashward::list::{Category, ListState, Role, Roles, Source, VersionNumber};
use hashward::matching::{Reason, Verdict};
use hashward::store::command::{
    Accepted, Alarm, Held, HoldReason, ImportCounts, Inspected, ListInfo, OverlapWith, Published, RaisedAlarm,
    Withdrawn,
};
use hashward::store::{Command, GateLimits, Incoming, Limit, Outcome, Publish, Store, StoreError, StoreOptions};
use store_support::{Said, ask, category, entry, fingerprint, import, import_with, name, radii, write_version};

fn open_with(folder: &Path, serve: bool, gate: GateLimits) -> Store {
    let options = StoreOptions { create: true, serve, gate, ..StoreOptions::default() };
    let store = Store::open(folder, options).unwrap();
    store.load().unwrap();
    store
}

fn open(folder: &Path) -> Store {
    open_with(folder, true, GateLimits::default())
}

fn md5(number: u32) -> Fingerprint {
    fingerprint(Kind::Md5, number)
}

fn said(numbers: impl IntoIterator<Item = u32>, code: u8) -> Said {
    numbers.into_iter().map(|number| (md5(number), [code].into())).collect()
}

/// Imports MD5s of these made-up files.
fn take(store: &Store, list: &str, numbers: impl IntoIterator<Item = u32>, role: Role) -> Outcome {
    let said = said(numbers, 1);
    import(store, &name(list), &said, role, &format!("{said:?}"), false).unwrap()
}

#[track_caller]
fn passed(outcome: Outcome) -> Published {
    let Outcome::Published(published) = outcome else { panic!("{outcome:?}") };
    published
}

#[track_caller]
fn held(outcome: Outcome) -> Held {
    let Outcome::Held(held) = outcome else { panic!("{outcome:?}") };
    *held
}

fn verdict(store: &Store, number: u32) -> Verdict {
    ask(&store.snapshot(), Kind::Md5, &[md5(number)]).remove(0).0
}

fn inspect(store: &Store, list: &str) -> Inspected {
    let Ok(Outcome::Inspected(found)) = store.execute(Command::Inspect { list: name(list) }) else { panic!() };
    *found
}

fn info(store: &Store, list: &str) -> ListInfo {
    inspect(store, list).list
}

fn accept(store: &Store, list: &str, version: Option<u32>) -> Result<Outcome, StoreError> {
    let version = version.map(VersionNumber);
    store.execute(Command::Accept { list: name(list), version, reason: "looked at it".to_owned() })
}

fn alarms(store: &Store) -> Vec<(String, Alarm)> {
    let Ok(Outcome::Status(status)) = store.execute(Command::Status) else { panic!() };
    status.alarms.into_iter().map(|raised| (raised.list.unwrap().to_string(), raised.alarm)).collect()
}

fn verified(store: &Store) {
    let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
    assert_eq!(damage, Vec::<String>::new());
}

#[test]
fn a_version_is_held_for_its_size_from_the_limit_on() {
    let limits = GateLimits { shrink: Limit::new(0.1, 10), growth: Limit::new(0.5, 20), ..GateLimits::NONE };
    let md5s = |count| BTreeMap::from([(Kind::Md5, count)]);
    // What stands, what comes, and whether that is held.
    for (old, new, expected) in [
        (0..200, 20..200, None),
        (0..200, 21..200, Some(HoldReason::Shrunk { kind: Kind::Md5, removed: 21, of: 200, limit: limits.shrink })),
        // Below the number no share counts.
        (0..11, 10..11, None),
        (0..12, 11..12, Some(HoldReason::Shrunk { kind: Kind::Md5, removed: 11, of: 12, limit: limits.shrink })),
        (0..100, 0..150, None),
        (0..100, 0..151, Some(HoldReason::Grown { kind: Kind::Md5, added: 51, of: 100, limit: limits.growth })),
        (0..1, 0..21, None),
        (0..1, 0..22, Some(HoldReason::Grown { kind: Kind::Md5, added: 21, of: 1, limit: limits.growth })),
        // However small.
        (0..1, 0..0, Some(HoldReason::Emptied { of: 1 })),
    ] {
        for serve in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let store = open_with(folder.path(), serve, limits.clone());
            passed(take(&store, "vics", old.clone(), Role::Illegal));
            let outcome = take(&store, "vics", new.clone(), Role::Illegal);
            match &expected {
                None => drop(passed(outcome)),
                Some(reason) => assert_eq!(held(outcome).reasons, std::slice::from_ref(reason), "{old:?} {new:?}"),
            }
            let now = if expected.is_some() { &old } else { &new };
            assert_eq!(info(&store, "vics").fingerprints, md5s(u64::from(now.end - now.start)));
            verified(&store);
        }
    }
}

#[test]
fn a_new_kind_is_measured_by_those_that_the_list_had() {
    let folder = tempfile::tempdir().unwrap();
    let limits = GateLimits { growth: Limit::new(1.0, 0), ..GateLimits::NONE };
    let store = open_with(folder.path(), true, limits.clone());
    take(&store, "vics", 0..50, Role::Illegal);
    let with_sha1 = |sha1s: u32| {
        let mut all = said(0..50, 1);
        all.extend((0..sha1s).map(|number| (fingerprint(Kind::Sha1, number), [1].into())));
        import(&store, &name("vics"), &all, Role::Illegal, &format!("{sha1s}"), false).unwrap()
    };
    let reason = HoldReason::Grown { kind: Kind::Sha1, added: 51, of: 50, limit: limits.growth };
    assert_eq!(held(with_sha1(51)).reasons, [reason]);
    passed(with_sha1(50));
}

/// What was taken away by name is gone from what a version is measured by.
#[test]
fn explicit_deletions_bypass_the_gate() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    take(&store, "vics", 0..300, Role::Illegal);
    let withdraw = |numbers: std::ops::Range<u32>| {
        let fingerprints = numbers.map(md5).collect();
        store.execute(Command::Withdraw { list: name("vics"), fingerprints }).unwrap()
    };
    let Outcome::Withdrawn(Withdrawn { withdrawn: 200, .. }) = withdraw(0..200) else { panic!() };
    assert_eq!((verdict(&store, 0), verdict(&store, 200)), (Verdict::Unknown, Verdict::Known));
    let deletion = |removed, of| Alarm::MassDeletion { version: None, removed, of };
    assert_eq!(alarms(&store), [("vics".to_owned(), deletion(200, 300))]);
    passed(take(&store, "vics", 200..300, Role::Illegal));
    // Below the limits there is no alarm.
    withdraw(200..300);
    assert_eq!(alarms(&store).len(), 1);
}

#[test]
fn a_held_version_leaves_the_old_one_in_force_until_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    take(&store, "vics", 0..100, Role::Illegal);
    let given = |pdq: &str, numbers| {
        let said = said(numbers, 1);
        let (list, source) = (name("vics"), format!("{said:?}"));
        import_with(&store, &list, &said, Role::Illegal, &source, false, radii(pdq)).unwrap()
    };
    let first = held(given("pdq=40", 50..100));
    assert_eq!((first.version.0, first.in_force, first.already), (2, Some(VersionNumber(1)), false));
    assert_eq!(first.changes[&Kind::Md5].removed, 50);
    assert_eq!((verdict(&store, 0), verdict(&store, 50)), (Verdict::Known, Verdict::Known));

    // The same again stays held and says so; what it names of radii waits with it.
    let again = held(given("phash64=2", 50..100));
    assert_eq!((again.version, again.already, &again.reasons), (first.version, true, &first.reasons));
    assert_eq!(held(store.execute(Command::TellHeld { list: name("vics") }).unwrap()), first);

    drop(store);
    store = open(folder.path());
    let inspected = inspect(&store, "vics");
    assert_eq!((inspected.list.version, inspected.list.held), (Some(VersionNumber(1)), Some(VersionNumber(2))));
    assert_eq!((inspected.list.radii, inspected.held.unwrap()), (Radii::none(), first));
    let states: Vec<_> = inspected.versions.iter().map(|kept| (kept.version.0, kept.current, kept.held)).collect();
    assert_eq!(states, [(2, false, true), (1, true, false)]);
    assert_eq!(alarms(&store), [("vics".to_owned(), Alarm::Held { version: VersionNumber(2) })]);
    assert_eq!(inspected.alarms.len(), 1);
    // No maintenance takes its files away.
    store.execute(Command::Compact).unwrap();
    while store.maintain().unwrap() {}
    verified(&store);

    // A withdrawal takes effect at once, and in the held version too.
    store.execute(Command::Withdraw { list: name("vics"), fingerprints: vec![md5(50), md5(0)] }).unwrap();
    assert_eq!((verdict(&store, 50), verdict(&store, 51)), (Verdict::Unknown, Verdict::Known));
    let Ok(Outcome::Accepted(accepted)) = accept(&store, "vics", Some(2)) else { panic!() };
    assert_eq!((accepted.version.0, accepted.replaced), (2, Some(VersionNumber(1))));
    assert_eq!(
        (verdict(&store, 1), verdict(&store, 50), verdict(&store, 51)),
        (Verdict::Unknown, Verdict::Unknown, Verdict::Known)
    );
    let inspected = inspect(&store, "vics");
    assert_eq!((inspected.list.held, inspected.held, inspected.alarms), (None, None, Vec::<RaisedAlarm>::new()));
    assert_eq!(inspected.list.radii, radii("pdq=40,phash64=2"));
    let history: Vec<_> = inspected.history.iter().map(|change| change.action.as_str()).take(2).collect();
    assert_eq!(history, ["published version 2 with radius pdq=40,phash64=2", "accepted version 2: looked at it"]);
    assert!(matches!(accept(&store, "vics", Some(2)), Err(StoreError::NotHeld { .. })));
    assert!(matches!(store.execute(Command::TellHeld { list: name("vics") }), Err(StoreError::NothingHeld(_))));
    drop(store);
    store = open(folder.path());
    assert_eq!((verdict(&store, 1), verdict(&store, 51)), (Verdict::Unknown, Verdict::Known));
    verified(&store);
}

#[test]
fn a_later_version_takes_the_place_of_a_held_one() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    take(&store, "vics", 0..100, Role::Illegal);
    held(take(&store, "vics", 50..100, Role::Illegal));
    let second = held(take(&store, "vics", 60..100, Role::Illegal));
    assert_eq!((second.version.0, second.dropped), (3, Some(VersionNumber(2))));
    let kept = |store: &Store| inspect(store, "vics").versions.iter().map(|kept| kept.version.0).collect::<Vec<_>>();
    assert_eq!((kept(&store), alarms(&store).len()), (vec![3, 1], 1));
    let error = accept(&store, "vics", Some(2)).unwrap_err().to_string();
    assert!(error.contains("version 3 came since and is held"), "{error}");

    // One that passes is published, and the held one is stale.
    let published = passed(take(&store, "vics", 0..101, Role::Illegal));
    assert_eq!((published.version.0, published.dropped), (4, Some(VersionNumber(3))));
    assert_eq!((kept(&store), alarms(&store)), (vec![4, 1], vec![]));
    let error = accept(&store, "vics", Some(3)).unwrap_err().to_string();
    assert!(error.contains("version 4 was published since"), "{error}");
    let error = accept(&store, "vics", Some(9)).unwrap_err().to_string();
    assert!(error.contains("no version is"), "{error}");
    verified(&store);
}

#[test]
fn a_rollback_does_not_choose_a_held_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for end in 100..104 {
        passed(take(&store, "vics", 0..end, Role::Illegal));
    }
    assert_eq!(held(take(&store, "vics", 0..50, Role::Illegal)).version.0, 5);
    // The held one does not count among those that are kept.
    let kept: Vec<_> = inspect(&store, "vics").versions.iter().map(|kept| kept.version.0).collect();
    assert_eq!(kept, [5, 4, 3, 2]);
    let rollback = |to: Option<u32>| store.execute(Command::Rollback { list: name("vics"), to: to.map(VersionNumber) });
    assert!(matches!(rollback(Some(5)), Err(StoreError::NoSuchVersion { .. })));
    let Ok(Outcome::RolledBack { to, .. }) = rollback(None) else { panic!() };
    assert_eq!((to.0, verdict(&store, 102)), (3, Verdict::Unknown));
    // An import that was published before is compared with what answers now, and the held one can still be accepted.
    let Ok(Outcome::Accepted(Accepted { version, replaced, .. })) = accept(&store, "vics", Some(5)) else { panic!() };
    assert_eq!((version.0, replaced), (5, Some(VersionNumber(3))));
    assert_eq!((verdict(&store, 49), verdict(&store, 50)), (Verdict::Known, Verdict::Unknown));
    let Ok(Outcome::RolledBack { to, .. }) = rollback(None) else { panic!() };
    assert_eq!((to.0, verdict(&store, 102)), (4, Verdict::Known));
    verified(&store);
}

#[test]
fn a_list_whose_first_version_is_held_answers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store
        .execute(Command::Add {
            list: name("own"),
            role: Some(Role::Illegal),
            entries: vec![entry("1", vec![fingerprint(Kind::Sha1, 1)], 1)],
        })
        .unwrap();
    let own = [(fingerprint(Kind::Sha1, 1), BTreeSet::from([0])), (md5(1), BTreeSet::from([0]))].into();
    let outcome = import(&store, &name("benign"), &own, Role::Ignorable, "a", false).unwrap();
    assert_eq!(held(outcome).in_force, None);
    for _ in 0..2 {
        assert_eq!(verdict(&store, 1), Verdict::Undecided(Reason::NoListForKind));
        let info = info(&store, "benign");
        assert_eq!((info.version, info.held), (None, Some(VersionNumber(1))));
        assert!(matches!(
            store.execute(Command::Rollback { list: name("benign"), to: None }),
            Err(StoreError::NoSuchVersion { .. })
        ));
        store.execute(Command::SetState { list: name("benign"), state: ListState::Active }).unwrap();
        drop(store);
        store = open(folder.path());
    }
    let Ok(Outcome::Accepted(accepted)) = accept(&store, "benign", Some(1)) else { panic!() };
    assert_eq!((accepted.replaced, verdict(&store, 1)), (None, Verdict::Ignorable));
    store.execute(Command::Remove { list: name("benign") }).unwrap();
    held(import(&store, &name("benign"), &own, Role::Ignorable, "a", false).unwrap());
    store.execute(Command::Remove { list: name("benign") }).unwrap();
    assert_eq!(alarms(&store), []);
    assert!(matches!(store.execute(Command::Inspect { list: name("benign") }), Err(StoreError::NoSuchList(_))));
    verified(&store);
}

/// The counts of an overlap by list.
fn with(held: &Held) -> Vec<(String, Role, u64, u64)> {
    let told = |with: &OverlapWith| (with.list.to_string(), with.role, with.new, with.total);
    held.overlap.lists.iter().map(told).collect()
}

#[test]
fn what_ignorable_lists_hold_holds_an_illegal_version() {
    for serve in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let limits = GateLimits { benign_in_illegal: Limit::new(0.01, 5), ..GateLimits::NONE };
        let store = open_with(folder.path(), serve, limits.clone());
        take(&store, "corpus", 0..10, Role::Ignorable);
        take(&store, "shadowed", 5..20, Role::Ignorable);
        take(&store, "disabled", 0..100, Role::Ignorable);
        take(&store, "other", 0..100, Role::Illegal);
        for (list, state) in [("shadowed", ListState::Shadow), ("disabled", ListState::Disabled)] {
            store.execute(Command::SetState { list: name(list), state }).unwrap();
        }
        store.execute(Command::Withdraw { list: name("corpus"), fingerprints: vec![md5(0)] }).unwrap();
        let entries = vec![entry("x", vec![md5(30)], 2)];
        store.execute(Command::Add { list: name("own"), role: Some(Role::Ignorable), entries }).unwrap();
        store.execute(Command::Withdraw { list: name("shadowed"), fingerprints: vec![md5(19)] }).unwrap();

        // Five pass and are reported; what was withdrawn counts no more.
        let published = passed(take(&store, "vics", (0..5).chain([30]).chain(40..100), Role::Illegal));
        assert_eq!((published.overlap.new, published.overlap.total), (5, 5));
        let told = &published.overlap.entries[0];
        assert_eq!((told.category.clone(), told.role, told.distance), (category(1), Role::Ignorable, None));

        // Those stood in force already; six that did not are too many.
        let found = held(take(&store, "vics", (0..11).chain([30]).chain(40..100), Role::Illegal));
        let reason = HoldReason::Contradicts { role: Role::Illegal, new: 6, of: 72, limit: limits.benign_in_illegal };
        assert_eq!(found.reasons, [reason]);
        assert_eq!((found.overlap.new, found.overlap.total), (6, 11));
        let expected = [("corpus", 5, 9), ("own", 0, 1), ("shadowed", 6, 6)];
        let expected = expected.map(|(list, new, total)| (list.to_owned(), Role::Ignorable, new, total));
        assert_eq!(with(&found), expected);
        // Entry by entry, each with each list.
        let entries: BTreeSet<_> =
            found.overlap.entries.iter().map(|e| (e.fingerprint.clone(), e.list.to_string())).collect();
        let corpus = (5..10).map(|number| (md5(number), "corpus".to_owned()));
        let shadowed = (5..11).map(|number| (md5(number), "shadowed".to_owned()));
        assert_eq!(entries, corpus.chain(shadowed).collect());
        assert!(
            inspect(&store, "vics").held.unwrap().overlap.entries.is_empty(),
            "inspect needs no right to the lists"
        );
        // Once accepted it stands in force.
        accept(&store, "vics", Some(found.version.0)).unwrap();
        passed(take(&store, "vics", (0..12).chain([30]).chain(40..100), Role::Illegal));
    }
}

#[test]
fn what_illegal_lists_hold_holds_an_ignorable_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    take(&store, "vics", 0..100, Role::Illegal);
    passed(take(&store, "debian", 100..200, Role::Ignorable));
    let found = held(take(&store, "debian", 99..200, Role::Ignorable));
    let limit = GateLimits::default().illegal_in_ignorable;
    assert_eq!(found.reasons, [HoldReason::Contradicts { role: Role::Ignorable, new: 1, of: 101, limit }]);
    assert_eq!(with(&found), [("vics".to_owned(), Role::Illegal, 1, 1)]);
    assert_eq!(verdict(&store, 99), Verdict::Known);
    // A list that is only watched contradicts nobody.
    passed(take(&store, "watched", 0..200, Role::Watch));
}

/// Roles go by category: only what is illegal in the version, or in the other list, counts as such.
#[test]
fn overlaps_go_by_the_roles_of_categories() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        open_with(folder.path(), true, GateLimits { benign_in_illegal: Limit::new(0.0, 0), ..GateLimits::NONE });
    let codes = |codes: [&str; 2]| codes.map(|code| code.parse().unwrap());
    let publish = |list: &str, said: &Said, roles: Roles| {
        let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: name(list) }) else {
            panic!()
        };
        let incoming = Incoming::create(store.folder(), list).unwrap();
        let source = Source { list: begun.list_id, version: begun.version };
        let segments = write_version(&incoming, said, source, begun.applied_seq);
        store.execute(Command::Publish(Publish {
            list: name(list),
            list_id: begun.list_id,
            version: begun.version,
            base: None,
            incoming: incoming.name().to_owned(),
            records: None,
            segments,
            roles,
            source: "s".to_owned(),
            adds: false,
            radii: Radii::none(),
            counts: ImportCounts::default(),
        }))
    };
    let mixed: Said = said(0..10, 1).into_iter().chain(said(10..20, 2)).chain(said(20..30, 3)).collect();
    let roles = Roles::by_category(Role::Watch, codes(["XX:1=ignorable", "XX:2=illegal"]));
    passed(publish("other", &mixed, roles).unwrap());
    let roles = Roles::by_category(Role::Watch, codes(["XX:2=illegal", "XX:3=ignorable"]));
    // 5 to 15 are illegal here: 5 to 10 ignorable there. 15 to 20 are ignorable here, and illegal there.
    let version: Said = said(0..5, 1).into_iter().chain(said(5..15, 2)).chain(said(15..30, 3)).collect();
    let found = held(publish("vics", &version, roles).unwrap());
    let limit = Limit::new(0.0, 0);
    assert_eq!(found.reasons, [HoldReason::Contradicts { role: Role::Illegal, new: 5, of: 10, limit }]);
    assert_eq!(with(&found), [("other".to_owned(), Role::Illegal, 5, 5), ("other".to_owned(), Role::Ignorable, 5, 5)]);
    assert_eq!(found.overlap.entries[0].list_category, Some(Category::new(Some("XX"), "1")));
}

/// A code like that of a picture.
fn pdq(number: u32) -> Fingerprint {
    Fingerprint::new(Kind::Pdq, fingerprint(Kind::Sha256, number).value()).unwrap()
}

/// A PDQ code that differs from `code` in the first `bits` bits.
fn near(code: &Fingerprint, bits: usize) -> Fingerprint {
    let mut value = code.value().to_vec();
    (0..bits).for_each(|bit| value[bit / 8] ^= 1 << (bit % 8));
    Fingerprint::new(Kind::Pdq, &value).unwrap()
}

#[test]
fn perceptual_codes_overlap_within_the_wider_radius() {
    // The radii of the ignorable list and of the illegal version, and how far they reach.
    for (ignorable, illegal, reach) in
        [("", "", 31), ("pdq=10", "", 31), ("", "pdq=40", 40), ("pdq=40", "pdq=5", 40), ("pdq=3", "pdq=5", 5)]
    {
        for bits in [0, reach, reach + 1] {
            let folder = tempfile::tempdir().unwrap();
            let store = open_with(
                folder.path(),
                true,
                GateLimits { benign_in_illegal: Limit::new(0.0, 0), ..GateLimits::NONE },
            );
            let code = pdq(7);
            let import = |list: &str, code: Fingerprint, role, given: &str| {
                let said = [(code, [1].into())].into();
                import_with(&store, &name(list), &said, role, "s", false, radii(given)).unwrap()
            };
            passed(import("corpus", code.clone(), Role::Ignorable, ignorable));
            let outcome = import("vics", near(&code, bits), Role::Illegal, illegal);
            if bits > reach {
                assert!(passed(outcome).overlap.is_empty());
                continue;
            }
            let found = held(outcome);
            let told = &found.overlap.entries[0];
            assert_eq!((&told.fingerprint, told.distance), (&near(&code, bits), Some(bits as u16)));
        }
    }
}

#[test]
fn degenerate_fingerprints_hold_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let limits = GateLimits { degenerate: Limit::new(0.1, 3), ..GateLimits::NONE };
    let store = open_with(folder.path(), true, limits.clone());
    let publish = |said: &Said, degenerate: u64| {
        let Ok(Outcome::ImportBegun(begun)) = store.execute(Command::BeginImport { list: name("vics") }) else {
            panic!()
        };
        let incoming = Incoming::create(store.folder(), "vics").unwrap();
        let source = Source { list: begun.list_id, version: begun.version };
        let segments = write_version(&incoming, said, source, begun.applied_seq);
        store.execute(Command::Publish(Publish {
            list: name("vics"),
            list_id: begun.list_id,
            version: begun.version,
            base: None,
            incoming: incoming.name().to_owned(),
            records: None,
            segments,
            roles: Roles::uniform(Role::Illegal),
            source: format!("{said:?} {degenerate}"),
            adds: false,
            radii: Radii::none(),
            counts: ImportCounts { duplicates: 2, degenerate, ..ImportCounts::default() },
        }))
    };
    passed(publish(&said(0..28, 1), 3).unwrap());
    passed(publish(&said(0..34, 1), 4).unwrap());
    let found = held(publish(&said(0..33, 1), 4).unwrap());
    assert_eq!(found.reasons, [HoldReason::Degenerate { count: 4, of: 39, limit: limits.degenerate }]);

    // Whatever a tool says of itself, what stands in the version is looked at.
    let flat = Fingerprint::new(Kind::Pdq, &[0; 32]).unwrap();
    let empty = hashward::fingerprint::hash_bytes(Kind::Md5, b"");
    let poor: Said = said(0..34, 1).into_iter().chain([(flat, [1].into()), (empty, [1].into())]).collect();
    assert_eq!(held(publish(&poor, 0).unwrap()).reasons, [HoldReason::NotDropped { count: 2 }]);
}

#[test]
fn codes_of_flat_pictures_are_not_added() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let flat = Fingerprint::new(Kind::Pdq, &[0xFF; 32]).unwrap();
    let code = pdq(1);
    let entries = vec![entry("1", vec![flat.clone(), code.clone()], 1)];
    let Ok(Outcome::Added(added)) =
        store.execute(Command::Add { list: name("own"), role: Some(Role::Illegal), entries })
    else {
        panic!()
    };
    assert_eq!((added.added, added.degenerate), (1, 1));
    let verdicts: Vec<_> =
        ask(&store.snapshot(), Kind::Pdq, &[flat, code]).into_iter().map(|(verdict, _)| verdict).collect();
    // Not ignorable, either: what is near to it is another matter.
    assert_eq!(verdicts, [Verdict::Unknown, Verdict::Known]);
}

#[test]
fn what_cannot_be_asked_holds_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    take(&store, "corpus", 0..100, Role::Ignorable);
    drop(store);
    let segment = std::fs::read_dir(folder.path().join("segments")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&segment).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for serve in [true, false] {
        let store = open_with(folder.path(), serve, GateLimits::default());
        let found = held(take(&store, &format!("vics-{serve}"), 200..300, Role::Illegal));
        let [HoldReason::Unchecked { found }] = &found.reasons[..] else { panic!("{found:?}") };
        assert!(found.contains(segment.file_name().unwrap().to_str().unwrap()), "{found}");
    }
    // What stands on the same side is not asked.
    let store = open(folder.path());
    passed(take(&store, "debian", 300..400, Role::Ignorable));
    // Once the damaged list is gone, the same version passes.
    store.execute(Command::Remove { list: name("corpus") }).unwrap();
    passed(take(&store, "vics-true", 200..300, Role::Illegal));
}

#[test]
fn alarms_stay_until_they_are_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let limits = GateLimits { deletion: Limit::new(0.5, 2), ..GateLimits::NONE };
    let mut store = open_with(folder.path(), true, limits.clone());
    take(&store, "vics", 0..10, Role::Illegal);
    take(&store, "vics", 5..10, Role::Illegal);
    assert_eq!(alarms(&store), []);
    take(&store, "vics", 8..10, Role::Illegal);
    let of_version = Alarm::MassDeletion { version: Some(VersionNumber(3)), removed: 3, of: 5 };
    assert_eq!(alarms(&store), [("vics".to_owned(), of_version.clone())]);
    let entries = (0..6).map(|number| entry(&number.to_string(), vec![md5(number)], 1)).collect();
    store.execute(Command::Add { list: name("own"), role: Some(Role::Illegal), entries }).unwrap();
    store.execute(Command::Withdraw { list: name("own"), fingerprints: (0..4).map(md5).collect() }).unwrap();
    let of_command = Alarm::MassDeletion { version: None, removed: 4, of: 6 };
    drop(store);
    store = open_with(folder.path(), true, limits);
    assert_eq!(alarms(&store), [("vics".to_owned(), of_version), ("own".to_owned(), of_command.clone())]);

    assert_eq!(accept(&store, "vics", None).unwrap(), Outcome::Acknowledged { alarms: 1 });
    assert_eq!(accept(&store, "vics", None).unwrap(), Outcome::Acknowledged { alarms: 0 });
    assert_eq!(alarms(&store), [("own".to_owned(), of_command)]);
    assert_eq!(inspect(&store, "vics").history[0].action, "acknowledged 1 alarms: looked at it");
    let refused = |reason: &str| {
        let command = Command::Accept { list: name("own"), version: None, reason: reason.to_owned() };
        store.execute(command).unwrap_err().to_string()
    };
    assert!(refused(" ").contains("expected a reason of one line"));
    assert!(refused(&"x".repeat(1_001)).contains("found 1001 bytes"));
    assert!(refused("a\nb").contains("a control character"));
    assert!(matches!(accept(&store, "absent", None), Err(StoreError::NoSuchList(_))));
    assert!(matches!(accept(&store, "own", Some(1)), Err(StoreError::WrongShape { .. })));
    verified(&store);
}
