//! The operator's veto, in a store: what it covers, that it outlives whatever lists do, and that lifting ends it.

mod store_support;

use std::collections::BTreeSet;
use std::path::Path;

use hashward::fingerprint::{Fingerprint, Kind, Radii, Radius, hash_bytes};
use hashward::list::{Entry, ListState, Role, Roles, Source, Suppression, SuppressionScope, TEST_CONTENT};
use hashward::matching::{Question, Verdict, answer};
use hashward::store::command::{Explained, Holding, ImportCounts, Lifting, Suppressed};
use hashward::store::{Command, Incoming, Outcome, Publish, Store, StoreError};
use store_support::*;

fn md5(number: u32) -> Fingerprint {
    fingerprint(Kind::Md5, number)
}

fn sha1(number: u32) -> Fingerprint {
    fingerprint(Kind::Sha1, number)
}

fn veto(store: &Store, hash: &Fingerprint, scope: SuppressionScope) -> Suppressed {
    match try_suppress(store, hash, scope, "an operator", "a stock photo") {
        Ok(Outcome::Suppressed(suppressed)) => suppressed,
        other => panic!("{other:?}"),
    }
}

fn try_suppress(
    store: &Store,
    hash: &Fingerprint,
    scope: SuppressionScope,
    author: &str,
    reason: &str,
) -> Result<Outcome, StoreError> {
    let (fingerprint, author, reason) = (hash.clone(), author.to_owned(), reason.to_owned());
    store.execute(Command::Suppress { fingerprint, scope, author, reason })
}

fn end(store: &Store, of: Lifting) -> Result<(Vec<Suppression>, Vec<Suppression>), StoreError> {
    let (author, reason) = ("another".to_owned(), "looked at again".to_owned());
    match store.execute(Command::Lift { of, author, reason })? {
        Outcome::Lifted { lifted, still } => Ok((lifted, still)),
        other => panic!("{other:?}"),
    }
}

fn suppressions(store: &Store, lifted: bool) -> Vec<(Suppression, u64)> {
    match store.execute(Command::Suppressions { before: None, lifted }) {
        Ok(Outcome::Suppressions { suppressions }) => suppressions,
        other => panic!("{other:?}"),
    }
}

fn add(store: &Store, list: &str, entries: Vec<Entry>) {
    store.execute(Command::Add { list: name(list), role: Some(Role::Illegal), entries }).unwrap();
}

/// The verdict of a hash, and whether something that is suppressed matched.
fn told(store: &Store, hash: &Fingerprint) -> (Verdict, bool) {
    let (kinds, radii) = ([hash.kind()], Radii::none());
    let answers = answer(&store.snapshot(), &Question { kinds: &kinds, rows: hash.value(), radii: &radii }).unwrap();
    let found = answers.iter().next().unwrap();
    found.map_or((answers.miss, false), |found| (found.verdict, found.suppressed))
}

const VETOED: (Verdict, bool) = (Verdict::Unknown, true);
const KNOWN: (Verdict, bool) = (Verdict::Known, false);

fn reopen(store: Store, folder: &Path) -> Store {
    drop(store);
    open(folder, true)
}

#[test]
fn a_suppressed_entry_is_covered_whole_in_all_lists_until_it_is_lifted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    add(&store, "own", vec![entry("a", vec![md5(1), sha1(1)], 1), entry("b", vec![md5(2), sha1(2)], 1)]);
    add(&store, "network", vec![entry("x", vec![md5(1), md5(7)], 2), entry("y", vec![sha1(1), md5(8)], 2)]);
    let Suppressed { id, covers, covered, held_by, without_records } = veto(&store, &md5(1), SuppressionScope::Entry);
    // `y` holds what the entry holds, and not the hash itself.
    assert_eq!(covered, [md5(1), md5(7), sha1(1)].into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    assert_eq!((covers, held_by, without_records), (3, vec![name("network"), name("own")], vec![]));
    let check = |store: &Store| {
        for hash in [md5(1), md5(7), sha1(1)] {
            assert_eq!(told(store, &hash), VETOED, "{hash}");
        }
        for hash in [md5(2), sha1(2), md5(8)] {
            assert_eq!(told(store, &hash), KNOWN, "{hash}");
        }
    };
    check(&store);
    let store = reopen(store, folder.path());
    check(&store);
    store.execute(Command::Compact).unwrap();
    check(&store);
    let store = reopen(store, folder.path());
    check(&store);
    // Nothing that lists do ends it: neither that one forgets the hash, nor that it is removed and comes back.
    store.execute(Command::Withdraw { list: name("own"), fingerprints: vec![md5(1)] }).unwrap();
    assert_eq!(told(&store, &sha1(1)), VETOED);
    store.execute(Command::Remove { list: name("own") }).unwrap();
    add(&store, "own", vec![entry("a", vec![md5(1), sha1(1)], 1), entry("b", vec![md5(2), sha1(2)], 1)]);
    check(&store);
    let [(suppression, 3)] = &suppressions(&store, false)[..] else { panic!() };
    assert_eq!(
        (suppression.id, &suppression.author[..], &suppression.reason[..]),
        (id, "an operator", "a stock photo")
    );

    let (lifted, still) = end(&store, Lifting::Id(id)).unwrap();
    assert_eq!((lifted.len(), still), (1, vec![]));
    assert_eq!(lifted[0].lifted.as_ref().unwrap().reason, "looked at again");
    for hash in [md5(1), md5(7), sha1(1)] {
        assert_eq!(told(&store, &hash), KNOWN, "{hash}");
    }
    assert_eq!(suppressions(&store, false), []);
    assert_eq!(suppressions(&store, true), [(lifted[0].clone(), 0)]);
    let store = reopen(store, folder.path());
    assert_eq!(told(&store, &md5(1)), KNOWN);
    assert_eq!(suppressions(&store, true), [(lifted[0].clone(), 0)]);
}

#[test]
fn an_entry_that_comes_later_is_covered_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    add(&store, "own", vec![entry("b", vec![md5(2)], 1)]);
    let suppressed = veto(&store, &md5(1), SuppressionScope::Entry);
    assert_eq!((suppressed.covers, suppressed.held_by), (1, vec![]));
    assert_eq!(told(&store, &md5(1)), (Verdict::Unknown, false));
    add(&store, "own", vec![entry("a", vec![md5(1), sha1(1)], 1)]);
    assert_eq!([told(&store, &md5(1)), told(&store, &sha1(1))], [VETOED, VETOED]);
    // The same entry with one more, and what it held before stays covered.
    add(&store, "own", vec![entry("a", vec![md5(1), md5(9)], 1)]);
    add(&store, "own", vec![entry("c", vec![sha1(1)], 1)]);
    let store = reopen(store, folder.path());
    assert_eq!([md5(1), sha1(1), md5(9)].map(|hash| told(&store, &hash)), [VETOED; 3]);
    assert_eq!(told(&store, &md5(2)), KNOWN);
}

#[test]
fn a_hash_alone_covers_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    add(&store, "own", vec![entry("a", vec![md5(1), sha1(1)], 1)]);
    let suppressed = veto(&store, &md5(1), SuppressionScope::Hash);
    assert_eq!(suppressed.covered, [md5(1)]);
    add(&store, "own", vec![entry("d", vec![md5(1), md5(4)], 1)]);
    assert_eq!([md5(1), sha1(1), md5(4)].map(|hash| told(&store, &hash)), [VETOED, KNOWN, KNOWN]);
    // Wider, and then narrow again: each is lifted by itself.
    let wide = veto(&store, &md5(1), SuppressionScope::Entry);
    assert_eq!([md5(1), sha1(1), md5(4)].map(|hash| told(&store, &hash)), [VETOED; 3]);
    let (_, still) = end(&store, Lifting::Id(wide.id)).unwrap();
    assert_eq!(still.iter().map(|still| still.id).collect::<Vec<_>>(), [suppressed.id]);
    assert_eq!([md5(1), sha1(1), md5(4)].map(|hash| told(&store, &hash)), [VETOED, KNOWN, KNOWN]);
}

#[test]
fn a_file_list_is_vetoed_through_imports_and_rollbacks() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path(), true);
    let said = |numbers: &[u32]| -> Said { numbers.iter().map(|number| (md5(*number), [1].into())).collect() };
    let publish = |store: &Store, numbers: &[u32], source: &str, adds| {
        import(store, &name("vics"), &said(numbers), Role::Illegal, source, adds).unwrap();
    };
    publish(&store, &[1, 2], "a", false);
    assert_eq!(veto(&store, &md5(1), SuppressionScope::Entry).held_by, [name("vics")]);
    publish(&store, &[1, 3], "b", false);
    assert_eq!([told(&store, &md5(1)), told(&store, &md5(3))], [VETOED, KNOWN]);
    publish(&store, &[4], "c", true);
    assert_eq!(told(&store, &md5(1)), VETOED);
    store.execute(Command::Rollback { list: name("vics"), to: None }).unwrap();
    assert_eq!(told(&store, &md5(1)), VETOED);
    store.execute(Command::Compact).unwrap();
    store = reopen(store, folder.path());
    assert_eq!([told(&store, &md5(1)), told(&store, &md5(3))], [VETOED, KNOWN]);
    // A list that does not decide has nothing to veto.
    store.execute(Command::SetState { list: name("vics"), state: ListState::Shadow }).unwrap();
    assert!(!told(&store, &md5(1)).1);
}

fn pdq(bits: u32) -> Fingerprint {
    let mut value = hash_bytes(Kind::Sha256, b"a made-up picture").value().to_vec();
    (0..bits as usize).for_each(|bit| value[bit / 8] ^= 1 << (bit % 8));
    Fingerprint::new(Kind::Pdq, &value).unwrap()
}

#[test]
fn the_records_of_a_file_list_are_its_entries() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let publish = |records: &[Together], source: &str, adds| {
        import_records(&store, &name("vics"), records, Role::Illegal, source, adds).unwrap();
    };
    let of_file = |number: u32| vec![md5(number), sha1(number)];
    publish(&[(of_file(1), 1), (of_file(2), 1), (vec![md5(1), md5(11)], 2)], "a", false);
    publish(&[([of_file(1), vec![pdq(0)]].concat(), 1), (of_file(3), 1)], "b", false);
    let suppressed = veto(&store, &md5(1), SuppressionScope::Entry);
    // Of the version before, too: one may return to it.
    let expected: BTreeSet<_> = [md5(1), sha1(1), pdq(0), md5(11)].into_iter().collect();
    assert_eq!(suppressed.covered.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!([md5(1), sha1(1), pdq(0)].map(|hash| told(&store, &hash)), [VETOED; 3]);
    // The code that the list holds is suppressed, by whatever code near to it one asks.
    assert_eq!(told(&store, &pdq(3)), VETOED);
    assert_eq!(told(&store, &sha1(3)), KNOWN);

    // Each import covers what it brings, in the step in which it comes to answer.
    publish(&[(of_file(3), 1), (vec![sha1(21), md5(1)], 1)], "c", false);
    assert_eq!([md5(1), sha1(21)].map(|hash| told(&store, &hash)), [VETOED; 2]);
    publish(&[(vec![md5(1), sha1(31)], 1), (of_file(4), 1)], "d", true);
    assert_eq!([md5(1), sha1(21), sha1(31)].map(|hash| told(&store, &hash)), [VETOED; 3]);
    assert_eq!([sha1(3), sha1(4)].map(|hash| told(&store, &hash)), [KNOWN; 2]);
    let rollback = |to| store.execute(Command::Rollback { list: name("vics"), to }).unwrap();
    rollback(Some(hashward::list::VersionNumber(2)));
    assert_eq!([md5(1), sha1(1), pdq(2)].map(|hash| told(&store, &hash)), [VETOED; 3]);
    assert_eq!(told(&store, &sha1(3)), KNOWN);

    store.execute(Command::Compact).unwrap();
    let store = reopen(store, folder.path());
    assert_eq!([md5(1), sha1(1), pdq(2)].map(|hash| told(&store, &hash)), [VETOED; 3]);
    end(&store, Lifting::Hash(md5(1))).unwrap();
    assert_eq!([md5(1), sha1(1), pdq(2)].map(|hash| told(&store, &hash)), [KNOWN; 3]);
}

/// As an earlier hashward published them: which hashes an entry holds together nobody can say, and it is told.
#[test]
fn a_list_without_records_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let begin = Command::BeginImport { list: name("old") };
    let Ok(Outcome::ImportBegun(begun)) = store.execute(begin) else { panic!() };
    let said: Said = [md5(1), sha1(1)].map(|hash| (hash, [1].into())).into();
    let incoming = Incoming::create(store.folder(), "old").unwrap();
    let source = Source { list: begun.list_id, version: begun.version };
    let segments = write_version(&incoming, &said, source, begun.applied_seq);
    let publish = Publish {
        list: name("old"),
        list_id: begun.list_id,
        version: begun.version,
        base: None,
        incoming: incoming.name().to_owned(),
        segments,
        records: None,
        roles: Roles::uniform(Role::Illegal),
        source: "a".to_owned(),
        adds: false,
        radii: Radii::none(),
        counts: ImportCounts::default(),
    };
    store.execute(Command::Publish(publish)).unwrap();
    let suppressed = veto(&store, &md5(1), SuppressionScope::Entry);
    assert_eq!((suppressed.covers, &suppressed.held_by), (1, &vec![name("old")]));
    assert_eq!(suppressed.without_records, [name("old")]);
    assert_eq!([told(&store, &md5(1)), told(&store, &sha1(1))], [VETOED, KNOWN]);
    assert_eq!(veto(&store, &sha1(1), SuppressionScope::Hash).without_records, []);
    assert_eq!(holding(&explain(&store, &md5(1), None), "old").versions[0].records, None);
}

/// No question may see a version without what suppressions cover of it.
#[test]
fn no_question_sees_an_import_before_its_suppressions() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    add(&store, "own", vec![entry("z", vec![sha1(900)], 1)]);
    veto(&store, &md5(1), SuppressionScope::Entry);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let hashes: Vec<_> = (0..60).map(sha1).collect();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for hash in &hashes {
                    assert_ne!(told(&store, hash), KNOWN, "{hash}");
                }
            }
        });
        for number in 0..30 {
            let record = (vec![md5(1), sha1(number)], 1);
            import_records(&store, &name("vics"), &[record], Role::Illegal, &number.to_string(), false).unwrap();
            add(&store, "own", vec![entry("a", vec![md5(1), sha1(30 + number)], 1)]);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        asking.join().unwrap();
    });
}

fn explain(store: &Store, hash: &Fingerprint, radius: Option<u16>) -> Explained {
    let command = Command::Explain { fingerprint: hash.clone(), radius: radius.map(Radius) };
    match store.execute(command) {
        Ok(Outcome::Explained(explained)) => *explained,
        other => panic!("{other:?}"),
    }
}

/// Lists of an explanation, by name.
fn holding<'e>(explained: &'e Explained, list: &str) -> &'e Holding {
    explained.lists.iter().find(|holding| holding.list.name == name(list)).unwrap()
}

#[test]
fn an_explanation_tells_all_that_is_behind_a_match() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let records = [(vec![md5(1), sha1(1)], 1), (vec![md5(1), sha1(7)], 2), (vec![md5(2), sha1(2)], 1)];
    import_records(&store, &name("vics"), &records, Role::Illegal, "blake3:first", false).unwrap();
    import_records(&store, &name("vics"), &records[..2], Role::Illegal, "blake3:second", false).unwrap();
    let mut network = entry("x-17", vec![md5(1), md5(9)], 3);
    network.fingerprints.sort();
    network.changed_at = Some(1_000);
    network.attributes = [("name".to_owned(), "a.jpg".to_owned())].into();
    add(&store, "network", vec![network.clone()]);
    store.execute(Command::SetState { list: name("network"), state: ListState::Disabled }).unwrap();
    add(&store, "own", vec![entry("mine", vec![md5(1)], 0)]);
    store.execute(Command::Withdraw { list: name("own"), fingerprints: vec![md5(1)] }).unwrap();

    let explained = explain(&store, &md5(1), None);
    assert_eq!((&explained.verdict.verdict[..], explained.verdict.suppressed), ("known", false));
    assert_eq!((&explained.kind_state[..], explained.suppressions.len()), ("ready", 0));
    let names: Vec<_> = explained.lists.iter().map(|holding| holding.list.name.to_string()).collect();
    assert_eq!(names, ["network", "own", "vics"]);
    let vics = holding(&explained, "vics");
    let said: Vec<_> = vics.statements[0].said.iter().map(|said| (said.role, said.category.clone())).collect();
    assert_eq!((vics.statements.len(), said), (1, vec![(Role::Illegal, category(1)), (Role::Illegal, category(2))]));
    // The version that answers, and the one before, whose records hold it too.
    let versions: Vec<_> = vics.versions.iter().map(|version| (version.current, version.sources.clone())).collect();
    assert_eq!(versions, [(true, vec!["blake3:second".to_owned()]), (false, vec!["blake3:first".to_owned()])]);
    let told: Vec<_> =
        vics.records.iter().map(|record| (record.version.unwrap().0, &record.entry.fingerprints[..])).collect();
    let (one, two) = ([md5(1), sha1(1)], [md5(1), sha1(7)]);
    assert_eq!(told, [(2, &one[..]), (2, &two[..]), (1, &one[..]), (1, &two[..])]);
    let network_told = holding(&explained, "network");
    assert_eq!(network_told.list.state, ListState::Disabled);
    assert_eq!(network_told.records[0].entry, network);
    assert!(network_told.records[0].batch.as_ref().unwrap().action.starts_with("added 1"));
    assert_eq!(network_told.statements[0].said[0].category, category(3));
    let own = holding(&explained, "own");
    assert_eq!((own.records.len(), own.statements.len()), (0, 1));
    assert!(own.statements[0].withdrawn.as_ref().unwrap().action.starts_with("withdrew 1"));

    let suppressed = veto(&store, &sha1(1), SuppressionScope::Entry);
    let explained = explain(&store, &md5(1), None);
    assert_eq!((&explained.verdict.verdict[..], explained.verdict.suppressed), ("unknown", true));
    assert!(holding(&explained, "vics").statements[0].suppressed);
    assert_eq!(explained.suppressions.iter().map(|found| found.id).collect::<Vec<_>>(), [suppressed.id]);
    end(&store, Lifting::Id(suppressed.id)).unwrap();
    assert_eq!(explain(&store, &md5(1), None).suppressions, []);
    assert_eq!(explain(&store, &sha1(1), None).suppressions[0].lifted.as_ref().unwrap().author, "another");
    // The same from segments, and when all is opened again.
    let before = explain(&store, &md5(1), None);
    store.execute(Command::Compact).unwrap();
    let store = reopen(store, folder.path());
    let after = explain(&store, &md5(1), None);
    for list in ["vics", "network"] {
        let (before, after) = (holding(&before, list), holding(&after, list));
        assert_eq!((&before.statements, &before.records), (&after.statements, &after.records));
    }
}

#[test]
fn an_explanation_by_distance_names_what_lists_hold() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let records: Vec<Together> = [0, 3, 40].map(|bits| (vec![pdq(bits), md5(bits)], 1)).into();
    import_records(&store, &name("vics"), &records, Role::Illegal, "a", false).unwrap();
    add(&store, "own", vec![entry("near", vec![pdq(10)], 1)]);
    store.execute(Command::SetRadius { list: name("own"), kind: Kind::Pdq, radius: Some(Radius(8)) }).unwrap();
    let distances = |explained: &Explained, list: &str| -> Vec<Option<u16>> {
        let found = explained.lists.iter().filter(|holding| holding.list.name == name(list));
        found.flat_map(|holding| &holding.statements).map(|statement| statement.distance).collect()
    };
    let explained = explain(&store, &pdq(1), None);
    assert_eq!(distances(&explained, "vics"), [Some(1), Some(2)]);
    assert_eq!(distances(&explained, "own"), []);
    assert_eq!(holding(&explained, "vics").records.len(), 2);
    let explained = explain(&store, &pdq(2), Some(1));
    assert_eq!((distances(&explained, "vics"), distances(&explained, "own")), (vec![Some(1)], vec![]));
    let explained = explain(&store, &pdq(5), None);
    assert_eq!((distances(&explained, "vics"), distances(&explained, "own")), (vec![Some(2), Some(5)], vec![Some(5)]));
    // Suppressed is the code that is held, not the one that was asked.
    veto(&store, &pdq(0), SuppressionScope::Hash);
    let explained = explain(&store, &pdq(1), None);
    let vics = holding(&explained, "vics");
    assert_eq!(vics.statements.iter().map(|statement| statement.suppressed).collect::<Vec<_>>(), [true, false]);
    assert_eq!((&explained.verdict.verdict[..], explained.verdict.suppressed), ("known", true));
    assert_eq!(explained.suppressions.len(), 1);

    let error = store.execute(Command::Explain { fingerprint: md5(1), radius: Some(Radius(3)) }).unwrap_err();
    assert!(error.to_string().contains("compared by equality"), "{error}");
}

#[test]
fn an_explanation_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    let entries =
        (0..250).map(|number| entry(&number.to_string(), vec![md5(1), sha1(number)], (number % 2) as u8)).collect();
    add(&store, "own", entries);
    let records: Vec<Together> = (0..150).map(|number| (vec![md5(1), pdq(number)], 1)).collect();
    import_records(&store, &name("vics"), &records, Role::Illegal, "a", false).unwrap();
    store.execute(Command::SetRadius { list: name("vics"), kind: Kind::Pdq, radius: Some(Radius(63)) }).unwrap();
    let explained = explain(&store, &md5(1), None);
    let counts = |list: &str| (holding(&explained, list).records.len(), holding(&explained, list).more_records);
    assert_eq!((counts("own"), counts("vics")), ((100, 150), (100, 50)));
    let near = explain(&store, &pdq(70), None);
    let vics = holding(&near, "vics");
    assert_eq!((vics.statements.len(), vics.more_statements), (100, 27));
    let suppressed = veto(&store, &md5(1), SuppressionScope::Entry);
    assert_eq!((suppressed.covered.len(), suppressed.covers), (100, 401));
}

#[test]
fn a_veto_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    add(&store, "own", vec![entry("a", vec![md5(1), sha1(1)], 1)]);
    let id = veto(&store, &md5(1), SuppressionScope::Entry).id;
    let test = hash_bytes(Kind::Md5, TEST_CONTENT.as_bytes());
    let (empty, long) = (hash_bytes(Kind::Sha1, b""), "x".repeat(2_001));
    for (hash, author, reason, expected) in [
        (&test, "a", "b", "`hashward-test`, which is part of hashward"),
        (&empty, "a", "b", "`hashward-degenerate`, which is part of hashward"),
        (&md5(1), "a", "b", "suppressed already, by suppression"),
        (&md5(2), "", "b", "the author of a suppression: expected one line of 1 to 100"),
        (&md5(2), "a", " ", "the reason of a suppression: expected one line of 1 to 2000 characters, found nothing"),
        (&md5(2), "a", "b\nc", "found a line break"),
        (&md5(2), "a", &long, "found 2001"),
    ] {
        let error = try_suppress(&store, hash, SuppressionScope::Entry, author, reason).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let covered = format!("but covered by {id} of {}", md5(1));
    for (of, expected) in [
        (Lifting::Id(id + 1), "is not suppressed"),
        (Lifting::Hash(md5(2)), "is not suppressed;"),
        (Lifting::Hash(sha1(1)), &covered[..]),
    ] {
        let error = end(&store, of).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    end(&store, Lifting::Hash(md5(1))).unwrap();
    let error = end(&store, Lifting::Id(id)).unwrap_err().to_string();
    assert!(error.contains("was lifted"), "{error}");
}
