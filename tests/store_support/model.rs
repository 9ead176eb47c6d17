//! A plain model in memory of what lists say, and the check of a store against it.

use std::collections::{BTreeMap, BTreeSet};

use hashward::fingerprint::{Fingerprint, Radii};
use hashward::index::snapshot::ListView;
use hashward::list::{ListState, Role};
use hashward::matching::{Reason, Verdict};
use hashward::store::Store;

use super::{KINDS, Said, ask, is_suppressed, records_of};

/// A version of a file list.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    pub number: u32,
    pub role: Role,
    pub sources: Vec<String>,
    pub said: Said,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    File { versions: Vec<Version>, current: u32 },
    Feed { role: Role, entries: BTreeMap<String, (BTreeSet<Fingerprint>, u8)> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct List {
    pub state: ListState,
    pub radii: Radii,
    pub content: Content,
}

/// All lists, and what each suppression covers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model(pub BTreeMap<String, List>, pub BTreeMap<Veto, BTreeSet<Fingerprint>>);

/// What was suppressed, and whether with the entries that hold it.
pub type Veto = (Fingerprint, bool);

impl List {
    pub fn new(content: Content) -> List {
        List { state: ListState::Active, radii: Radii::none(), content }
    }

    /// It says nothing of these any more, and a rollback does not bring them back.
    pub fn withdraw(&mut self, gone: &BTreeSet<Fingerprint>) {
        match &mut self.content {
            Content::File { versions, .. } => {
                versions.iter_mut().for_each(|version| version.said.retain(|held, _| !gone.contains(held)))
            }
            Content::Feed { entries, .. } => {
                entries.values_mut().for_each(|(held, _)| held.retain(|held| !gone.contains(held)));
                entries.retain(|_, (held, _)| !held.is_empty());
            }
        }
    }

    /// Its role, and what it says now.
    pub fn says(&self) -> (Role, Said) {
        match &self.content {
            Content::File { versions, current } => {
                let current = versions.iter().find(|version| version.number == *current).unwrap();
                (current.role, current.said.clone())
            }
            Content::Feed { role, entries } => {
                let mut said = Said::new();
                for (fingerprints, code) in entries.values() {
                    for fingerprint in fingerprints {
                        said.entry(fingerprint.clone()).or_default().insert(*code);
                    }
                }
                (*role, said)
            }
        }
    }
}

/// What one active list says now.
type Active<'m> = (&'m str, Role, Said);

impl Model {
    /// Suppresses a hash. Records of file lists hold one fingerprint each here, so that only feed lists have more to cover.
    pub fn suppress(&mut self, hash: Fingerprint, with_entries: bool) {
        let mut covered = BTreeSet::from([hash.clone()]);
        for list in self.0.values() {
            let Content::Feed { entries, .. } = &list.content else { continue };
            let holding = entries.values().filter(|(held, _)| with_entries && held.contains(&hash));
            covered.extend(holding.flat_map(|(held, _)| held.iter().cloned()));
        }
        self.1.insert((hash, with_entries), covered);
    }

    /// A feed list gets an entry.
    pub fn cover(&mut self, together: &BTreeSet<Fingerprint>) {
        for ((hash, with_entries), covered) in &mut self.1 {
            if *with_entries && together.contains(hash) {
                covered.extend(together.iter().cloned());
            }
        }
    }

    /// Ends all that was suppressed for a hash. Returns whether anything was.
    pub fn lift(&mut self, hash: &Fingerprint) -> bool {
        let before = self.1.len();
        self.1.retain(|(of, _), _| of != hash);
        self.1.len() < before
    }

    fn covers(&self, fingerprint: &Fingerprint) -> bool {
        self.1.values().any(|covered| covered.contains(fingerprint))
    }

    fn active(&self) -> Vec<Active<'_>> {
        let active = self.0.iter().filter(|(_, list)| list.state == ListState::Active);
        let says = active.map(|(name, list)| {
            let (role, said) = list.says();
            (name.as_str(), role, said)
        });
        says.collect()
    }
}

/// What must be answered of a fingerprint; of one that nobody names, the verdict is not told.
fn tells(active: &[Active<'_>], fingerprint: &Fingerprint) -> (Option<Verdict>, BTreeSet<(String, Role, u8)>) {
    let mut matches = BTreeSet::new();
    for (name, role, said) in active {
        let codes = said.get(fingerprint).into_iter().flatten();
        matches.extend(codes.map(|code| ((*name).to_owned(), *role, *code)));
    }
    let has = |wanted| matches.iter().any(|(_, role, _)| *role == wanted);
    let verdict = match (has(Role::Illegal), has(Role::Ignorable)) {
        (true, true) => Some(Verdict::Conflict),
        (true, false) => Some(Verdict::Known),
        (false, true) => Some(Verdict::Ignorable),
        (false, false) if !matches.is_empty() => Some(Verdict::Unknown),
        (false, false) => None,
    };
    (verdict, matches)
}

/// The version that answers has a record for all that it says. What was withdrawn stays in its records.
fn check_records(store: &Store, view: &ListView, said: &Said) -> Result<(), String> {
    let records = records_of(store, view.id, view.current)?;
    for (fingerprint, codes) in said {
        let found = records.get(fingerprint);
        if !found.is_some_and(|found| found.is_superset(codes)) {
            return Err(format!("{}: expected records of {fingerprint} with {codes:?}, found {found:?}", view.name));
        }
    }
    Ok(())
}

/// Holds what the store answers of all `files` against the model. The error says what differs.
pub fn check(store: &Store, model: &Model, files: &[Fingerprint]) -> Result<(), String> {
    let snapshot = store.snapshot();
    for (name, list) in &model.0 {
        let view = snapshot.lists().iter().find(|view| view.name.as_str() == name);
        let found = view.map(|view| view.radii.clone());
        if found.as_ref() != Some(&list.radii) {
            return Err(format!("{name}: expected radii {:?}, found {found:?}", list.radii));
        }
        if let (Some(view), Content::File { .. }) = (view, &list.content) {
            check_records(store, view, &list.says().1)?;
        }
    }
    let mut active = model.active();
    let held = |asked: &Fingerprint| active.iter().any(|(.., said)| said.contains_key(asked));
    let vetoed: Vec<bool> = files.iter().map(|asked| model.covers(asked) && held(asked)).collect();
    let told: Vec<bool> = files.iter().map(|asked| is_suppressed(&snapshot, asked)).collect();
    if told != vetoed {
        return Err(format!("of {files:?}, expected to be told which are suppressed: {vetoed:?}, found {told:?}"));
    }
    active.iter_mut().for_each(|(.., said)| said.retain(|held, _| !model.covers(held)));
    for kind in KINDS {
        let asked: Vec<Fingerprint> = files.iter().filter(|asked| asked.kind() == kind).cloned().collect();
        for (fingerprint, (verdict, matches)) in asked.iter().zip(ask(&snapshot, kind, &asked)) {
            let (expected, expected_matches) = tells(&active, fingerprint);
            if matches != expected_matches {
                return Err(format!("{fingerprint}: expected {expected_matches:?}, found {matches:?}"));
            }
            let good = match expected {
                Some(expected) => verdict == expected,
                None if active.iter().any(|(.., said)| said.keys().any(|held| held.kind() == kind)) => {
                    verdict == Verdict::Unknown
                }
                // Where all was suppressed, or withdrawn and not yet compacted away, the kind may still count as held.
                None => matches!(verdict, Verdict::Unknown | Verdict::Undecided(Reason::NoListForKind)),
            };
            if !good {
                return Err(format!("{fingerprint}: expected {expected:?}, found {verdict}"));
            }
        }
    }
    Ok(())
}
