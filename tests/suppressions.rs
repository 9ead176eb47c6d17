//! The operator's veto, in a store: what it covers, that it outlives whatever lists do, and that lifting ends it.

mod store_support;

use std::collections::BTreeSet;
use std::path::Path;

use hashward::fingerprint::{Fingerprint, Kind, Radii, hash_bytes};
use hashward::list::{Entry, ListState, Role, Suppression, SuppressionScope, TEST_CONTENT};
use hashward::matching::{Question, Verdict, answer};
use hashward::store::command::{Lifting, Suppressed};
use hashward::store::{Command, Outcome, Store, StoreError};
use store_support::*;

fn md5(number: u32) -> Fingerprint {
    fingerprint(Kind::Md5, number)
}

fn sha1(number: u32) -> Fingerprint {
    fingerprint(Kind::Sha1, number)
}

fn suppress(store: &Store, hash: &Fingerprint, scope: SuppressionScope) -> Suppressed {
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

fn lift(store: &Store, of: Lifting) -> Result<(Vec<Suppression>, Vec<Suppression>), StoreError> {
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
    let Suppressed { id, covers, covered, held_by } = suppress(&store, &md5(1), SuppressionScope::Entry);
    // `y` holds what the entry holds, and not the hash itself.
    assert_eq!(covered, [md5(1), md5(7), sha1(1)].into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    assert_eq!((covers, held_by), (3, vec![name("network"), name("own")]));
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

    let (lifted, still) = lift(&store, Lifting::Id(id)).unwrap();
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
    let suppressed = suppress(&store, &md5(1), SuppressionScope::Entry);
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
    let suppressed = suppress(&store, &md5(1), SuppressionScope::Hash);
    assert_eq!(suppressed.covered, [md5(1)]);
    add(&store, "own", vec![entry("d", vec![md5(1), md5(4)], 1)]);
    assert_eq!([md5(1), sha1(1), md5(4)].map(|hash| told(&store, &hash)), [VETOED, KNOWN, KNOWN]);
    // Wider, and then narrow again: each is lifted by itself.
    let wide = suppress(&store, &md5(1), SuppressionScope::Entry);
    assert_eq!([md5(1), sha1(1), md5(4)].map(|hash| told(&store, &hash)), [VETOED; 3]);
    let (_, still) = lift(&store, Lifting::Id(wide.id)).unwrap();
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
    assert_eq!(suppress(&store, &md5(1), SuppressionScope::Entry).held_by, [name("vics")]);
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

#[test]
fn a_veto_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), true);
    add(&store, "own", vec![entry("a", vec![md5(1), sha1(1)], 1)]);
    let id = suppress(&store, &md5(1), SuppressionScope::Entry).id;
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
        let error = lift(&store, of).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    lift(&store, Lifting::Hash(md5(1))).unwrap();
    let error = lift(&store, Lifting::Id(id)).unwrap_err().to_string();
    assert!(error.contains("was lifted"), "{error}");
}
