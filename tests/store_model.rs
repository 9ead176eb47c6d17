//! The store against a plain model in memory: random commands, maintenance and restarts, in any order, and after each
//! of them the same answers.

mod store_support;

use std::collections::{BTreeMap, BTreeSet};

use hashward::fingerprint::{Fingerprint, Kind, Radii, Radius};
use hashward::list::{ListState, Role, VersionNumber};
use hashward::store::command::{Changes, HoldReason, Published, Withdrawn};
use hashward::store::{Command, Outcome, Store, StoreError};
use proptest::prelude::*;
use store_support::backup::{back_up, restore, restore_closed};
use store_support::model::{Content, List, Model, Version, check};
use store_support::*;

/// Made-up files; few, so that lists overlap.
const FILES: u32 = 10;
const FILE_LISTS: [&str; 2] = ["debian", "vics"];
const FEED_LISTS: [&str; 2] = ["own", "network"];

#[derive(Clone, Debug)]
enum Step {
    Import { list: usize, said: Vec<(u32, u8)>, role: Role, adds: bool, radius: Option<u16> },
    Add { list: usize, role: Role, entries: Vec<(u8, Vec<u32>, u8)> },
    Withdraw { list: usize, files: Vec<u32> },
    SetState { list: usize, state: ListState },
    SetRadius { list: usize, radius: Option<u16> },
    Remove { list: usize },
    Suppress { file: u32, with_entries: bool },
    Lift { file: u32 },
    Rollback { list: usize, to: Option<u32> },
    Maintain,
    Compact,
    Verify,
    Backup,
    Restore { closed: bool },
    Reopen { serve: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let role = || prop_oneof![Just(Role::Illegal), Just(Role::Ignorable), Just(Role::Watch)];
    let state = prop_oneof![Just(ListState::Active), Just(ListState::Disabled), Just(ListState::Shadow)];
    let files = || prop::collection::vec(0..2 * FILES, 1..4);
    let radius = || prop::option::of(prop_oneof![0u16..4, 62u16..64]);
    let said = prop::collection::vec((0..2 * FILES, 0u8..3), 0..10);
    let entries = prop::collection::vec((0u8..5, files(), 0u8..3), 1..4);
    prop::collection::vec(
        prop_oneof![
            4 => (0..2usize, said, role(), any::<bool>(), radius())
                .prop_map(|(list, said, role, adds, radius)| Step::Import { list, said, role, adds, radius }),
            6 => (2..4usize, role(), entries).prop_map(|(list, role, entries)| Step::Add { list, role, entries }),
            4 => (0..4usize, files()).prop_map(|(list, files)| Step::Withdraw { list, files }),
            2 => (0..4usize, state).prop_map(|(list, state)| Step::SetState { list, state }),
            2 => (0..4usize, radius()).prop_map(|(list, radius)| Step::SetRadius { list, radius }),
            1 => (0..4usize).prop_map(|list| Step::Remove { list }),
            3 => (0..2 * FILES, any::<bool>()).prop_map(|(file, with_entries)| Step::Suppress { file, with_entries }),
            1 => (0..2 * FILES).prop_map(|file| Step::Lift { file }),
            3 => (0..2usize, prop::option::of(1u32..5)).prop_map(|(list, to)| Step::Rollback { list, to }),
            4 => Just(Step::Maintain),
            2 => Just(Step::Compact),
            1 => Just(Step::Verify),
            2 => Just(Step::Backup),
            2 => any::<bool>().prop_map(|closed| Step::Restore { closed }),
            3 => prop::bool::weighted(0.7).prop_map(|serve| Step::Reopen { serve }),
        ],
        1..24,
    )
}

/// Files 0..FILES are asked by their MD5, the others by their SHA-1.
fn number(file: u32) -> Fingerprint {
    fingerprint(KINDS[(file / FILES) as usize], file)
}

fn list_name(list: usize) -> &'static str {
    FILE_LISTS.iter().chain(&FEED_LISTS).nth(list).unwrap()
}

/// Does a step with the store and in the model, and holds what the store says of it against the model.
fn take(store: &Store, model: &mut Model, step: &Step, count: usize) {
    match step {
        Step::Import { list, said, role, adds, radius } => {
            let mut asked = Said::new();
            said.iter().for_each(|(file, code)| {
                asked.entry(number(*file)).or_default().insert(*code);
            });
            let source = format!("{said:?}");
            let mut radii = Radii::none();
            radius.iter().for_each(|bits| radii.set(Kind::Pdq, Radius(*bits)).unwrap());
            let list = list_name(*list);
            let outcome = import_with(store, &name(list), &asked, *role, &source, *adds, radii.clone()).unwrap();
            if !imported(model, list, asked, *role, source, *adds, outcome) {
                return;
            }
            model.0.get_mut(list).unwrap().radii.merge(radii);
        }
        Step::Add { list, role, entries } => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(id, files, code)| {
                    entry(&id.to_string(), files.iter().map(|file| number(*file)).collect(), *code)
                })
                .collect();
            let list = list_name(*list);
            store.execute(Command::Add { list: name(list), role: Some(*role), entries: entries.clone() }).unwrap();
            // Of two of the same source id the last counts.
            let last: BTreeMap<_, _> = entries.iter().map(|entry| (&entry.source_id, &entry.fingerprints)).collect();
            last.values().for_each(|held| model.cover(&held.iter().cloned().collect()));
            let content = Content::Feed { role: *role, entries: BTreeMap::new() };
            let into = model.0.entry(list.to_owned()).or_insert(List::new(content));
            let Content::Feed { entries: into, .. } = &mut into.content else { panic!() };
            for entry in entries {
                let code = entry.category.map_or(0, |category| category.code.parse().unwrap());
                into.insert(entry.source_id, (entry.fingerprints.into_iter().collect(), code));
            }
        }
        Step::Withdraw { list, files } => {
            let list = list_name(*list);
            let fingerprints: Vec<_> = files.iter().map(|file| number(*file)).collect();
            let result = store.execute(Command::Withdraw { list: name(list), fingerprints: fingerprints.clone() });
            let Some(of) = model.0.get_mut(list) else {
                assert!(matches!(result, Err(StoreError::NoSuchList(_))));
                return;
            };
            let Ok(Outcome::Withdrawn(Withdrawn { withdrawn, not_held })) = result else { panic!("{result:?}") };
            let fingerprints: BTreeSet<_> = fingerprints.into_iter().collect();
            let said = of.says().1;
            let expected: Vec<_> = fingerprints.iter().filter(|asked| !said.contains_key(asked)).cloned().collect();
            assert_eq!((withdrawn, not_held), ((fingerprints.len() - expected.len()) as u64, expected));
            of.withdraw(&fingerprints);
        }
        Step::SetState { list, state } => {
            let result = store.execute(Command::SetState { list: name(list_name(*list)), state: *state });
            match model.0.get_mut(list_name(*list)) {
                Some(list) => {
                    let previous = std::mem::replace(&mut list.state, *state);
                    assert_eq!(result.unwrap(), Outcome::StateSet { previous, state: *state });
                }
                None => assert!(matches!(result, Err(StoreError::NoSuchList(_)))),
            }
        }
        Step::SetRadius { list, radius } => {
            let radius = radius.map(Radius);
            let result = store.execute(Command::SetRadius { list: name(list_name(*list)), kind: Kind::Pdq, radius });
            match model.0.get_mut(list_name(*list)) {
                Some(list) => {
                    assert_eq!(result.unwrap(), Outcome::RadiusSet { previous: list.radii.get(Kind::Pdq), radius });
                    match radius {
                        Some(radius) => list.radii.set(Kind::Pdq, radius).unwrap(),
                        None => list.radii.unset(Kind::Pdq),
                    }
                }
                None => assert!(matches!(result, Err(StoreError::NoSuchList(_)))),
            }
        }
        Step::Remove { list } => {
            let result = store.execute(Command::Remove { list: name(list_name(*list)) });
            match model.0.remove(list_name(*list)) {
                Some(_) => assert!(matches!(result, Ok(Outcome::Removed { .. }))),
                None => assert!(matches!(result, Err(StoreError::NoSuchList(_)))),
            }
        }
        Step::Suppress { file, with_entries } => {
            let veto = (number(*file), *with_entries);
            let result = store.execute(suppress(&veto.0, veto.1));
            match model.1.contains_key(&veto) {
                true => assert!(matches!(result, Err(StoreError::Suppressed(_))), "{result:?}"),
                false => {
                    model.suppress(veto.0.clone(), veto.1);
                    let Ok(Outcome::Suppressed(suppressed)) = result else { panic!("{result:?}") };
                    assert!(suppressed.covered.iter().eq(&model.1[&veto]), "{suppressed:?}");
                }
            }
        }
        Step::Lift { file } => {
            let result = store.execute(lift(&number(*file)));
            match model.lift(&number(*file)) {
                true => assert!(matches!(result, Ok(Outcome::Lifted { .. })), "{result:?}"),
                false => assert!(matches!(result, Err(StoreError::NotSuppressed { .. })), "{result:?}"),
            }
        }
        Step::Rollback { list, to } => {
            let to = to.map(VersionNumber);
            let result = store.execute(Command::Rollback { list: name(list_name(*list)), to });
            if let Ok(Outcome::RolledBack { from, to: now, .. }) = result {
                let list = model.0.get_mut(list_name(*list)).unwrap();
                let Content::File { versions, current } = &mut list.content else { panic!() };
                assert_eq!(from.0, *current);
                assert!(versions.iter().any(|version| version.number == now.0));
                assert!(to.is_none_or(|to| to == now));
                *current = now.0;
            } else {
                assert!(
                    matches!(result, Err(StoreError::NoSuchVersion { .. } | StoreError::NoSuchList(_))),
                    "{result:?}"
                );
            }
        }
        Step::Maintain => while store.maintain().unwrap() {},
        Step::Compact => {
            let Ok(Outcome::Compacted { after, .. }) = store.execute(Command::Compact) else { panic!() };
            assert!(after <= KINDS.len() as u64, "{after} segments of {} kinds", KINDS.len());
        }
        Step::Verify => {
            let Ok(Outcome::Verified { damage, .. }) = store.execute(Command::Verify) else { panic!() };
            assert_eq!(damage, Vec::<String>::new(), "step {count}");
        }
        Step::Backup | Step::Restore { .. } | Step::Reopen { .. } => unreachable!("the caller does these"),
    }
}

/// Imports in the model, and holds what the store said of it against that. Returns false if the version is held, as it
/// must be if and only if it empties the list.
fn imported(
    model: &mut Model,
    name: &str,
    asked: Said,
    role: Role,
    source: String,
    adds: bool,
    outcome: Outcome,
) -> bool {
    let current = model.0.get(name).map(|list| {
        let Content::File { versions, current } = &list.content else { panic!() };
        versions.iter().find(|version| version.number == *current).unwrap().clone()
    });
    let same = current.as_ref().is_some_and(|current| {
        let known = if adds { current.sources.contains(&source) } else { current.sources == [source.clone()] };
        known && current.role == role
    });
    if same {
        let number = current.unwrap().number;
        assert_eq!(outcome, Outcome::Unchanged { version: VersionNumber(number) });
        return true;
    }
    let empties = current.as_ref().filter(|current| !adds && asked.is_empty() && !current.said.is_empty());
    if let Some(current) = empties {
        let Outcome::Held(held) = outcome else { panic!("{outcome:?}") };
        assert_eq!(held.in_force, Some(VersionNumber(current.number)));
        if !held.already {
            assert_eq!(held.reasons, [HoldReason::Emptied { of: current.said.len() as u64 }]);
        }
        return false;
    }
    let Outcome::Published(Published { version, replaced, changes, .. }) = outcome else { panic!("{outcome:?}") };
    assert_eq!(replaced.map(|replaced| replaced.0), current.as_ref().map(|current| current.number));
    let (mut said, mut sources) = (asked, vec![source]);
    let old = current.map_or_else(Said::new, |current| {
        if adds {
            sources = [current.sources.clone(), sources.clone()].concat();
            for (held, codes) in &current.said {
                said.entry(held.clone()).or_default().extend(codes);
            }
        }
        current.said
    });
    for kind in KINDS {
        let of_kind = |said: &Said| -> BTreeSet<Fingerprint> {
            said.keys().filter(|held| held.kind() == kind).cloned().collect()
        };
        let (new, old) = (of_kind(&said), of_kind(&old));
        let expected = Changes {
            added: new.difference(&old).count() as u64,
            removed: old.difference(&new).count() as u64,
            kept: new.intersection(&old).count() as u64,
        };
        assert_eq!(changes.get(&kind).copied().unwrap_or_default(), expected, "{kind}");
    }
    let version = Version { number: version.0, role, sources, said };
    let number = version.number;
    let content = Content::File { versions: Vec::new(), current: number };
    let list = model.0.entry(name.to_owned()).or_insert_with(|| List::new(content));
    let Content::File { versions, current } = &mut list.content else { panic!() };
    versions.push(version);
    *current = number;
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn the_store_answers_as_a_plain_model(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Model::default();
        let files: Vec<_> = (0..2 * FILES).map(number).collect();
        let (mut store, mut serves) = (open(folder.path(), true), true);
        // The newest backup, with what it must answer.
        let mut kept: Option<(tempfile::TempDir, Model)> = None;
        for (count, step) in steps.iter().enumerate() {
            match step {
                Step::Reopen { serve } => {
                    drop(store);
                    store = open(folder.path(), *serve);
                    serves = *serve;
                }
                Step::Backup => {
                    let backup = tempfile::tempdir().unwrap();
                    back_up(&store, backup.path());
                    kept = Some((backup, model.clone()));
                }
                Step::Restore { closed } => {
                    let Some((backup, then)) = &kept else { continue };
                    let before = store.snapshot().generation();
                    let restored = if *closed {
                        drop(store);
                        let restored = restore_closed(folder.path(), backup.path()).unwrap();
                        store = open(folder.path(), serves);
                        restored
                    } else {
                        restore(&store, backup.path()).unwrap()
                    };
                    prop_assert!(restored.generation > before && store.snapshot().generation() >= restored.generation);
                    model = then.clone();
                }
                step => take(&store, &mut model, step, count),
            }
            if serves {
                check(&store, &model, &files).unwrap();
            }
        }
        drop(store);
        let store = open(folder.path(), true);
        check(&store, &model, &files).unwrap();
        take(&store, &mut model, &Step::Verify, steps.len());
    }
}
